"""Every observable of one run, beside the published values of the β-Li₃PS₄ crystal.

Run it with `verdi run examples/analyse.py PK [PK …]`, where each PK is that of an `lpsgb.trajectory` node: the
segments of one run, in their order, such as `systems.crystal.trajectories.t300k_p1_1` of a study (`verdi node show
PK` lists them). With `--region` structure is that of a part of the cell, such as a boundary, and motion is resolved
by it: `--region '{"axis": 2, "centres": [0.0, 0.5], "thickness_A": 10.0}'`. Figures are written as PNG and PDF, the
density map for VESTA as XSF.
"""

import argparse
import json
import sys
from pathlib import Path

from aiida import orm
from aiida.engine import submit
from aiida.plugins import CalculationFactory

from aiida_lpsgb.cli.watch import follow
from aiida_lpsgb.report.characterisation import characterisation_figures, characterisation_table, density_of
from aiida_lpsgb.report.figures import save
from aiida_lpsgb.report.published import published_of, read_published
from aiida_lpsgb.workflows.protocols import load_codes

# `verdi run` sets __file__ to the bare file name, but argv[0] to the path.
PUBLISHED = Path(sys.argv[0]).resolve().parent / "data" / "beta-li3ps4-published.yaml"
RESTRICTED = ("rdf", "density", "disorder")  # observables that are computed in the region alone


def main() -> None:
    """Analyse, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("segments", type=int, nargs="+", metavar="PK", help="lpsgb.trajectory nodes, in their order")
    parser.add_argument("--protocol", default="moderate", help="fast, moderate or paper: ever more frames")
    parser.add_argument("--region", type=json.loads, help="a slab or a box, as JSON")
    parser.add_argument("--threads", type=int, default=1, help="threads that the job may use")
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where the table and the figures are written")
    arguments = parser.parse_args()

    regions = {"region": arguments.region} if arguments.region else None
    builder = CalculationFactory("lpsgb.analyse").get_builder_from_protocol(
        load_codes()["analyse"],
        {f"segment_{number:03d}": orm.load_node(pk) for number, pk in enumerate(arguments.segments)},
        arguments.protocol,
        overrides={name: {"region": "region"} for name in RESTRICTED} if regions else None,
        regions=regions,
        options={"resources": {"num_machines": 1, "num_cores_per_mpiproc": arguments.threads}},
    )
    node = follow(submit(builder))
    arguments.folder.mkdir(parents=True, exist_ok=True)
    published = published_of(read_published(PUBLISHED), "crystal")
    if "summary" in node.outputs:
        table = characterisation_table(node.outputs.summary.get_dict(), published)
        (arguments.folder / "analysis.txt").write_text(table + "\n", encoding="utf-8")
        print(f"{table}\n")
    for name, figure in characterisation_figures(node, published).items():
        print(*save(figure, arguments.folder / name))
    if "density" in node.outputs:
        density_of(node.outputs.density).write_xsf(arguments.folder / "density.xsf")
        print(arguments.folder / "density.xsf")
    print(f"PK of the analysis: {node.pk}")
    if not node.is_finished_ok:
        raise SystemExit(f"it ended with [{node.exit_status}] {node.exit_message}")


if __name__ == "__main__":
    main()
