"""From the CIF of β-Li₃PS₄ to its crystal, a tilt and a twist boundary, its glass and an interface of both.

Run it with `verdi run examples/microstructure.py` after `aiida-lpsgb quicksetup --daemon 2`; an hour and a half on two
cores, most of it for potentials that know the melt. All systems are learned together and run in one study.

With `--add PK` one more boundary joins the finished study PK: what that study has learned and run is taken from it, and
the new boundary alone is computed.
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
SIGMA_5 = {"kind": "boundary", "axis": [0, 0, 1], "convention": "pseudo-cubic", "sigma": 5}
SYSTEMS = {
    "crystal": {"kind": "crystal"},
    "tilt_120": SIGMA_5 | {"plane": [1, 2, 0]},
    "twist_001": SIGMA_5 | {"plane": [0, 0, 1]},
    "glass": {"kind": "glass", "amorphous": {"centre": "P", "unit": "PS4"}},
    "amorphous_001": {"kind": "interface", "glass": "glass", "plane": [0, 0, 1]},
}
ANOTHER = {"tilt_130": SIGMA_5 | {"plane": [1, 3, 0], "learn": None}}
OVERRIDES = {
    "ordering": {"charges": {"Li": 1, "P": 5, "S": -2}},
    "label": {"engine": {"level": "SevenNet-0 + D3"}},
}
# Nothing else runs while a potential is trained.
TWO_CORES = {"resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1, "num_cores_per_mpiproc": 2}}


def main() -> None:
    """Submit the study, follow it, and show what it found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where the table and the figures are written")
    parser.add_argument("--protocol", default="fast", help="fast, moderate or paper")
    parser.add_argument("--seed", type=int, default=SEED, help="the seed that all others derive from")
    parser.add_argument("--add", type=int, metavar="PK", help="a finished study that another boundary is to join")
    arguments = parser.parse_args()
    published = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))

    work_chain = WorkflowFactory("lpsgb.study")
    if arguments.add:
        builder = work_chain.get_builder_adding(orm.load_node(arguments.add), ANOTHER, protocol=arguments.protocol)
        launch(builder, arguments.folder, published)
        return
    builder = work_chain.get_builder_from_protocol(
        load_codes(),
        orm.CifData(file=str(CIF), parse_policy="lazy"),
        SYSTEMS,
        protocol=arguments.protocol,
        overrides=OVERRIDES,
        options={"train": TWO_CORES},
        seed=orm.Int(arguments.seed),
    )
    launch(builder, arguments.folder, published)


if __name__ == "__main__":
    main()
