"""Submit a process, follow it to its end, and write what it found into a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiida.engine import ProcessBuilder, submit
from aiida.orm import ProcessNode

from aiida_lpsgb.cli.results import summary
from aiida_lpsgb.cli.watch import daemon_hint, follow
from aiida_lpsgb.report import draw, study_results
from aiida_lpsgb.report.gather import ROOTS
from aiida_lpsgb.workflows.label.cost import preview

FIGURE_DPI = 200


def launch(
    builder: ProcessBuilder,
    folder: Path | None = None,
    published: Mapping[str, Any] | None = None,
    *,
    followed: bool = True,
) -> ProcessNode:
    """Run a study (or a part of one) in the daemon, and show it.

    The process does not depend on this one: it may be interrupted, and ``aiida-lpsgb watch`` shows the process again.

    Parameters
    ----------
    builder
        Of the process.
    folder
        Where ``pk``, ``results.txt`` and the figures are written; None to write nothing.
    published
        Published numbers to show beside those that were found.
    followed
        Whether to wait for its end.

    Raises
    ------
    SystemExit
        If no daemon runs, before anything is submitted; or if the process did not end well, after what there is has
        been written.
    """
    if hint := daemon_hint():
        raise SystemExit(f"Nothing was submitted. {hint}")
    for line in preview(builder):
        print(line)
    node = submit(builder)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pk").write_text(f"{node.pk}\n", encoding="utf-8")
    print(f"{node.process_label} {node.pk} submitted; to see it from another terminal: aiida-lpsgb watch {node.pk}")
    if not followed:
        return node
    try:
        follow(node)
    except KeyboardInterrupt:
        raise SystemExit(
            f"\nStopped watching; the process goes on. To look again: aiida-lpsgb watch {node.pk}"
        ) from None
    text = summary(node, published)
    print(f"\n{text}\n")
    if folder is not None:
        (folder / "results.txt").write_text(text + "\n", encoding="utf-8")
        if node.process_type in ROOTS:
            for name, figure in draw(study_results(node)).items():
                figure.savefig(folder / f"{name}.png", dpi=FIGURE_DPI, bbox_inches="tight")
        print(f"Tables and figures: {folder}; the process: {node.pk}")
    if not node.is_finished_ok:
        raise SystemExit(f"{node.process_label}<{node.pk}> ended with [{node.exit_status}] {node.exit_message}")
    return node
