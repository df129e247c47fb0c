"""From the CIF of β-Li₃PS₄ to the ionic conductivity of the crystal and of a grain boundary.

Run it with `verdi run examples/study.py` after `aiida-lpsgb quicksetup --daemon 2`.

The partially occupied crystal is ordered, a small start set is labelled with SevenNet-0 and dispersion, level-8 moment
tensor potentials are learned actively on crystal and grain boundary until molecular dynamics no longer extrapolates,
and both are run from 900 K down to 300 K, each as long as its diffusivity needs, and looked at closely at 300 K, the
crystal beside published numbers. The study runs in the daemon: this script may be interrupted, `aiida-lpsgb watch`
shows it again.
"""

import argparse
import sys
from pathlib import Path

import yaml
from aiida import orm
from aiida.plugins import WorkflowFactory

from aiida_lpsgb.cli.launch import launch
from aiida_lpsgb.workflows.protocols import load_codes

# `verdi run` sets __file__ to the bare file name, but argv[0] to the path.
DATA = Path(sys.argv[0]).resolve().parent / "data"
CIF, PUBLISHED = DATA / "beta-li3ps4.cif", DATA / "beta-li3ps4-published.yaml"
SEED = 2023
SYSTEMS = {
    "crystal": {"kind": "crystal"},
    # The tilt boundary that the paper calls Σ5[001]/(120).
    "tilt_120": {"kind": "boundary", "axis": [0, 0, 1], "plane": [1, 2, 0], "convention": "pseudo-cubic", "sigma": 5},
}
OVERRIDES = {
    "ordering": {"charges": {"Li": 1, "P": 5, "S": -2}},
    # SevenNet-0 learned from PBE. The paper's functional holds the crystal together by dispersion, too.
    "label": {"engine": {"level": "SevenNet-0 + D3"}},
}
# Enough for this crystal, and done in a quarter of an hour; for one that is not known `fast` explores longer, and looks
# at the extrapolation grade more often.
QUICK = {
    "active_learning": {
        "settings": {"grade_interval_steps": 10},
        "exploration": {
            "stages": [
                {"name": "heat", "ensemble": "npt", "duration_ps": 1, "temperature_K": [300, "target"]},
                {"name": "explore", "ensemble": "npt", "duration_ps": 40, "temperature_K": "target"},
            ]
        },
    }
}
# Nothing else runs while a potential is trained.
TWO_CORES = {"resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1, "num_cores_per_mpiproc": 2}}


def main() -> None:
    """Submit the study, follow it, and show what it found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where the table and the figures are written")
    parser.add_argument("--protocol", default="fast", help="fast, moderate or paper")
    parser.add_argument("--seed", type=int, default=SEED, help="the seed that all others derive from")
    arguments = parser.parse_args()

    builder = WorkflowFactory("lpsgb.study").get_builder_from_protocol(
        load_codes(),
        orm.CifData(file=str(CIF), parse_policy="lazy"),
        SYSTEMS,
        protocol=arguments.protocol,
        overrides=OVERRIDES | (QUICK if arguments.protocol == "fast" else {}),
        options={"train": TWO_CORES},
        seed=orm.Int(arguments.seed),
    )
    launch(builder, arguments.folder, yaml.safe_load(PUBLISHED.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
