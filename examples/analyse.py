"""Every observable of one trajectory, beside the published values of the β-Li₃PS₄ crystal.

Run it with `verdi run examples/characterise.py PK`, where PK is that of an `lpsgb.trajectory` node, for example one
of the trajectories of `examples/active_learning_to_arrhenius.py`. With `--region` structure, topology and motion are
those of a boundary: `--region '{"axis": 2, "centres": [0.0, 0.5], "thickness_A": 10.0}'`. Figures are written as PNG
and PDF, the density map for VESTA as XSF.
"""

import argparse
import json
import sys
from pathlib import Path

import yaml
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import WorkflowFactory

from aiida_lpsgb.report.characterisation import characterisation_figures, characterisation_table, density_of
from aiida_lpsgb.report.figures import save

# `verdi run` sets __file__ to the bare file name, but argv[0] to the path.
PUBLISHED = Path(sys.argv[0]).resolve().parent / "data" / "beta-li3ps4-published.yaml"


def main() -> None:
    """Characterise, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trajectory", type=int, help="PK of an lpsgb.trajectory node")
    parser.add_argument("--protocol", default="moderate", help="fast, moderate or paper: ever more frames")
    parser.add_argument("--region", type=json.loads, help="a slab or a box, as JSON")
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where the table and the figures are written")
    arguments = parser.parse_args()

    builder = WorkflowFactory("lpsgb.characterise").get_builder_from_protocol(
        orm.load_node(arguments.trajectory), arguments.protocol, region=arguments.region
    )
    outputs, node = run_get_node(builder)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    published = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))
    if "summary" in outputs:
        table = characterisation_table(outputs["summary"].get_dict(), published)
        (arguments.folder / "characterisation.txt").write_text(table + "\n", encoding="utf-8")
        print(f"{table}\n")
    for name, figure in characterisation_figures(node, published).items():
        print(*save(figure, arguments.folder / name))
    if "density" in outputs:
        density_of(outputs["density"]).write_xsf(arguments.folder / "density.xsf")
        print(arguments.folder / "density.xsf")
    print(f"PK of the characterisation: {node.pk}")
    if not node.is_finished_ok:
        raise SystemExit(f"it ended with [{node.exit_status}] {node.exit_message}")


if __name__ == "__main__":
    main()
