"""From the CIF of β-Li₃PS₄ to a glass and an interface of it with the crystal, with pictures of both.

Run it with `verdi run examples/glass.py` after `aiida-lpsgb quicksetup --daemon 2`; an hour or more on two cores,
most of it for potentials that know the melt.

Potentials are learned actively while a small crystal is run, and another one melted and quenched. A larger crystal is
then melted and quenched, the glass is joined to the (001) plane of the crystal, and all three are run. Every
structure is the output of a process, and the way from the CIF to the interface is printed at the end.
"""

import argparse
import sys
from pathlib import Path

from aiida import orm
from aiida.common.links import LinkType
from aiida.plugins import WorkflowFactory

from aiida_lpsgb.cli.launch import launch
from aiida_lpsgb.structures import picture
from aiida_lpsgb.structures.amorphous import density
from aiida_lpsgb.structures.units import survey
from aiida_lpsgb.workflows.protocols import load_codes

# `verdi run` sets __file__ to the bare file name, but argv[0] to the path.
CIF = Path(sys.argv[0]).resolve().parent / "data" / "beta-li3ps4.cif"
SEED = 2023
SYSTEMS = {
    "crystal": {"kind": "crystal"},
    "glass": {"kind": "glass", "amorphous": {"centre": "P", "unit": "PS4"}},
    "amorphous_001": {"kind": "interface", "glass": "glass", "plane": [0, 0, 1]},
}
OVERRIDES = {
    "ordering": {"charges": {"Li": 1, "P": 5, "S": -2}},
    "label": {"engine": {"level": "SevenNet-0 + D3"}},
}
DEPTH_A = 14.0  # of what the pictures show


def main() -> None:
    """Submit the study, follow it, draw the structures, and print how they came about."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where table, figures and pictures are written")
    parser.add_argument("--protocol", default="fast", help="fast, moderate or paper: how slowly the melt is quenched")
    arguments = parser.parse_args()

    cif = orm.CifData(file=str(CIF), parse_policy="lazy")
    builder = WorkflowFactory("lpsgb.study").get_builder_from_protocol(
        load_codes(), cif, SYSTEMS, protocol=arguments.protocol, overrides=OVERRIDES, seed=orm.Int(SEED)
    )
    systems = launch(builder, arguments.folder).outputs.systems
    for name, system in systems.items():
        show(name, system, arguments.folder)
    print(way(cif, systems["amorphous_001"].structure))


def show(name: str, system: orm.NodeLinksManager, folder: Path) -> None:
    """Draw a structure as it was made, with its regions, and say what it consists of."""
    atoms = system.structure.get_ase()
    regions = system.recipe.get_dict().get("regions", []) if "recipe" in system else []
    picture.save(picture.draw(atoms, regions=regions, title=name, depth=DEPTH_A), folder / f"{name}.png")
    print(f"{name}: {len(atoms)} atoms, {density(atoms):.3f} g/cm³, {survey(atoms).formulas}")


def way(start: orm.Data, end: orm.Data) -> str:
    """The shortest way through data and calculations from one node to another."""
    ways, seen = [[end]], {end.pk}
    for steps in ways:
        if steps[0].pk == start.pk:
            return " → ".join(
                f"{getattr(node, 'process_label', None) or type(node).__name__} {node.pk}" for node in steps
            )
        links = steps[0].base.links.get_incoming(link_type=(LinkType.CREATE, LinkType.INPUT_CALC)).all()
        for node in (link.node for link in links if link.node.pk not in seen):
            seen.add(node.pk)
            ways.append([node, *steps])
    return f"no way from {start} to {end}"


if __name__ == "__main__":
    main()
