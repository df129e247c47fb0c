"""Submit a process, follow it to its end, and write what it found into a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiida.engine import ProcessBuilder, submit
from aiida.orm import ProcessNode

from aiida_lpsgb.cli.watch import follow
from aiida_lpsgb.report import draw, study_results, table
from aiida_lpsgb.workflows.label.cost import preview

FIGURE_DPI = 200


def launch(builder: ProcessBuilder, folder: Path, published: Mapping[str, Any] | None = None) -> ProcessNode:
    """Run a study (or a part of one) in the daemon, and show it.

    The process does not depend on this one: it may be interrupted, and ``aiida-lpsgb watch`` shows the process again.

    Parameters
    ----------
    builder
        Of the process.
    folder
        Where ``pk``, ``results.txt`` and the figures are written.
    published
        Published numbers to show beside those that were found.

    Raises
    ------
    SystemExit
        If the process did not end well; what there is has been written then.
    """
    for line in preview(builder):
        print(line)
    node = submit(builder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pk").write_text(f"{node.pk}\n", encoding="utf-8")
    print(f"{node.process_label} {node.pk} submitted; to see it from another terminal: aiida-lpsgb watch {node.pk}")
    follow(node)
    results = study_results(node)
    summary = table(results, published)
    (folder / "results.txt").write_text(summary + "\n", encoding="utf-8")
    print(f"\n{summary}\n")
    for name, figure in draw(results).items():
        figure.savefig(folder / f"{name}.png", dpi=FIGURE_DPI, bbox_inches="tight")
    print(f"Tables and figures: {folder}; the process: {node.pk}")
    if not node.is_finished_ok:
        raise SystemExit(f"{node.process_label}<{node.pk}> ended with [{node.exit_status}] {node.exit_message}")
    return node
