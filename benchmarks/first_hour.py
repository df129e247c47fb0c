"""Count what a person types for the tasks of `docs/how-to/next.md`, now and at an earlier revision.

    python benchmarks/first_hour.py [--before REVISION]

Now it is read from the table of that page. Before, it is the blocks of that revision's pages that did the task; the
lines of a script count, since it is typed into a file. The exit status is 1 if a task takes more than one command, or
has none.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = "docs/how-to/next.md"
ROW = re.compile(r"^\| ([^|`]+) \| (.+) \|$", re.MULTILINE)
BLOCK = re.compile(r"^([ ]*)```(console|python)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
#: The revision before a study could be asked for by one command.
BEFORE = "bf8a1ed~1"
#: Page and part of the blocks that a task took then, in their order.
BLOCKS = {
    "study a new crystal": [("how-to/own-crystal.md", '"twin": {"kind"'), ("how-to/own-crystal.md", "structure order")],
    "learn from dynamics of your own": [("how-to/given-potentials.md", "from_extxyz(")],
    "run a potential of your own": [
        ("how-to/given-potentials.md", '"/path/to/potential.mtp"'),
        ("how-to/systems.md", '"lpsgb.transport").get_builder'),
    ],
    "add a temperature": [("how-to/add.md", "builder.transport.temperatures")],
    "analyse a dump of your own": [
        ("topics/analysis/trajectories.md", "from_lammps_dump"),
        ("topics/analysis/index.md", '"lpsgb.analyse").get_builder'),
    ],
    "all tables as CSV": [("how-to/results.md", "aiida-lpsgb results PK")],
    "a folder that LAMMPS runs": [],
}


def now() -> dict[str, list[str]]:
    """The commands of each task by the page."""
    rows = ROW.findall((ROOT / PAGE).read_text(encoding="utf-8"))
    return {task.strip(): re.findall(r"`(aiida-lpsgb [^`]+)`", cell) for task, cell in rows if task.strip() in BLOCKS}


def before(revision: str, task: str) -> list[str]:
    """The lines of the blocks that a task took at a revision."""
    lines = []
    for page, part in BLOCKS[task]:
        text = subprocess.run(
            ["git", "show", f"{revision}:docs/{page}"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        block = next((content for _, _, content in BLOCK.findall(text) if part in content), None)
        if block is None:
            raise ValueError(f"{page} of {revision} has no block with {part!r}")
        lines += [line for line in block.splitlines() if line.strip()]
    return lines


def main() -> int:
    """Print a line for each task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", metavar="REVISION", default=BEFORE, help="of git, default %(default)s")
    revision = parser.parse_args().before
    commands = now()
    print(f"{'task':<34}{'lines before':>13}{'commands now':>14}{'words now':>11}")
    for task in BLOCKS:
        found = commands.get(task, [])
        lines = before(revision, task)
        words = sum(len(command.split()) for command in found)
        print(f"{task:<34}{len(lines) or 'no way':>13}{len(found):>14}{words:>11}")
    return int(any(len(commands.get(task, [])) != 1 for task in BLOCKS))


if __name__ == "__main__":
    sys.exit(main())
