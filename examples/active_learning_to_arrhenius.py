"""From the CIF of β-Li₃PS₄ to the ionic conductivity of the crystal and of a grain boundary.

Run it with `verdi run examples/active_learning_to_arrhenius.py` after `aiida-lpsgb quicksetup --daemon 2`.

The partially occupied crystal is ordered, a small start set is labelled with SevenNet-0, a level-8 moment tensor
potential is learned actively on crystal and grain boundary until molecular dynamics no longer extrapolates, and both
are run at five temperatures and looked at closely at 300 K, the crystal beside published numbers. The study runs in the
daemon: this script may be interrupted, `aiida-lpsgb watch` shows it again.
"""

import argparse
import sys
from pathlib import Path

import yaml
from aiida import orm
from aiida.engine import submit
from aiida.plugins import WorkflowFactory

from aiida_lpsgb.cli.watch import follow
from aiida_lpsgb.report import draw, study_results, table

# `verdi run` sets __file__ to the bare file name, but argv[0] to the path.
DATA = Path(sys.argv[0]).resolve().parent / "data"
CIF, PUBLISHED = DATA / "beta-li3ps4.cif", DATA / "beta-li3ps4-published.yaml"
SEED = 2023
# The tilt boundary that the paper calls Σ5[001]/(120).
BOUNDARY = {"axis": [0, 0, 1], "plane": [1, 2, 0], "convention": "pseudo-cubic", "sigma": 5}


# SevenNet-0 learned from PBE. The paper's functional holds the crystal together by dispersion, too.
LABEL = {"calculator": "sevennet", "dispersion": {"method": "PBE", "damping": "d3zero"}}


def main() -> None:
    """Submit the study, follow it, and show what it found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where the table and the plot are written")
    parser.add_argument("--protocol", default="fast", help="fast, moderate or paper")
    parser.add_argument("--seed", type=int, default=SEED, help="the seed that all others derive from")
    arguments = parser.parse_args()

    builder = WorkflowFactory("lpsgb.study").get_builder_from_protocol(
        mlp_code=orm.load_code("lpsgb-mlp@localhost"),
        md_code=orm.load_code("lmp@localhost"),
        label_code=orm.load_code("lpsgb-label@localhost"),
        crystal=orm.CifData(file=str(CIF), parse_policy="lazy"),
        protocol=arguments.protocol,
        boundary=BOUNDARY,
        overrides={"label": LABEL},
        seed=orm.Int(arguments.seed),
    )
    node = submit(builder)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    (arguments.folder / "pk").write_text(f"{node.pk}\n")
    print(f"Study {node.pk} submitted; to see it from another terminal: aiida-lpsgb watch {node.pk}")
    follow(node)

    results = study_results(node)
    summary = table(results, yaml.safe_load(PUBLISHED.read_text(encoding="utf-8")))
    (arguments.folder / "results.txt").write_text(summary + "\n")
    print(f"\n{summary}\n")
    for name, figure in draw(results).items():
        figure.savefig(arguments.folder / f"{name}.png", dpi=200, bbox_inches="tight")
    print(f"Arrhenius plot: {arguments.folder / 'arrhenius.png'}, further figures beside it")
    print(f"PK of the study: {node.pk}")
    if not node.is_finished_ok:
        raise SystemExit(f"the study ended with [{node.exit_status}] {node.exit_message}")


if __name__ == "__main__":
    main()
