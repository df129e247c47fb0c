"""The whole paper out of one study: every system of Jalem et al. 2023, or of another file, at the scale asked for.

Run it with `verdi run examples/jalem2023.py --scale fast` after `aiida-lpsgb quicksetup --daemon 2`.
"""

import argparse
import sys
from pathlib import Path

from aiida import orm
from aiida.plugins import WorkflowFactory

from aiida_lpsgb.cli.launch import launch
from aiida_lpsgb.report.published import read_published
from aiida_lpsgb.workflows.presets import read_preset, scales_of
from aiida_lpsgb.workflows.protocols import load_codes

# `verdi run` sets __file__ to the bare file name, but argv[0] to the path.
STUDY = Path(sys.argv[0]).resolve().parent / "jalem2023.yaml"


def main() -> None:
    """Submit the study, follow it, and show what it found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", type=Path, default=STUDY, help="a YAML file of a study")
    parser.add_argument("--scale", default="fast", help="; ".join(f"{k}: {v}" for k, v in scales_of(STUDY).items()))
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where the table and the figures are written")
    arguments = parser.parse_args()

    preset = read_preset(arguments.study, arguments.scale)
    builder = WorkflowFactory("lpsgb.study").get_builder_from_protocol(
        load_codes(),
        orm.CifData(file=preset["crystal"], parse_policy="lazy"),
        preset["systems"],
        protocol=preset["protocol"],
        overrides=preset["overrides"],
        seed=None if preset["seed"] is None else orm.Int(preset["seed"]),
    )
    launch(builder, arguments.folder, read_published(preset["published"]) if preset["published"] else None)


if __name__ == "__main__":
    main()
