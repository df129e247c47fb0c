"""From the CIF of β-Li₃PS₄ to a glass and an interface of it with the crystal.

Run it with `verdi run examples/glass.py` after `aiida-lpsgb quicksetup --daemon 2`; about half an hour on two cores.

A potential is learned actively while the crystal and a grain boundary melt and are quenched, 1 500 atoms are then
melted and quenched by it, the glass is joined to the (001) plane of the crystal, and the interface is run for some
picoseconds. With `--potential PK` learning is left out. Every structure is the output of a process, and the way back
from the interface to the CIF is printed at the end.
"""

import argparse
import sys
from pathlib import Path

from aiida import orm
from aiida.engine import submit
from aiida.plugins import CalculationFactory, WorkflowFactory

from aiida_lpsgb.cli.watch import follow
from aiida_lpsgb.structures import picture
from aiida_lpsgb.structures.units import survey

# `verdi run` sets __file__ to the bare file name, but argv[0] to the path.
CIF = Path(sys.argv[0]).resolve().parent / "data" / "beta-li3ps4.cif"
SEED = 2023
CHARGES = {"Li": 1, "P": 5, "S": -2}
ORDERING = {"charges": CHARGES, "rank_by": "occupancy"}
START_SET = {"strains": [-0.05, 0.0, 0.05], "amplitudes": [0.05, 0.12, 0.2], "n_rattles": 4}
UNTRAINED = {"species": ["Li", "P", "S"], "level": 10, "cutoff_angstrom": 5.0, "min_distance_angstrom": 1.4}
BOUNDARY = {"axis": [0, 0, 1], "plane": [2, -1, 0], "width": 12, "region": 5}
LEARNING = {
    "settings": {"temperatures_K": [600, 1000, 1500, 2000], "max_iterations": 25, "max_labels": 1000},
    "exploration": {
        "barostat": "iso",
        "timestep_fs": 1.0,
        "stages": [
            {"name": "heat", "ensemble": "npt", "duration_ps": 3, "temperature_K": [300, "target"]},
            {"name": "hold", "ensemble": "npt", "duration_ps": 15, "temperature_K": "target"},
            {"name": "cool", "ensemble": "npt", "duration_ps": 7, "temperature_K": ["target", 300]},
        ],
    },
}
INTERFACE = {"plane": [0, 0, 1], "max_strain": 0.05, "max_area": 2500, "shift_step": 4.0, "n_cuts": 3}
SHORT_RUN = {
    "barostat": "aniso",
    "stages": [
        {"name": "relax", "ensemble": "minimise", "max_steps": 200},
        {"name": "run", "ensemble": "npt", "duration_ps": 10, "temperature_K": 600, "dump_interval_ps": 0.2},
    ],
}


def main() -> None:
    """Learn, melt, quench, join and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where the pictures are written")
    parser.add_argument("--protocol", default="fast", help="fast, moderate or paper: how slowly the melt is quenched")
    parser.add_argument("--potential", type=int, help="PK of a potential that knows the melt")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)

    cif = orm.CifData(file=str(CIF), parse_policy="lazy")
    crystal = CalculationFactory("lpsgb.order")(cif, orm.Dict(ORDERING), orm.Int(SEED))["structure"]
    potential = orm.load_node(arguments.potential) if arguments.potential else learn(crystal)
    glass = melt_and_quench(crystal, potential, arguments.protocol)
    joined = CalculationFactory("lpsgb.interface")(crystal, glass, orm.Dict(INTERFACE))
    final = run_shortly(joined["structure"], potential)

    regions = joined["results"]["regions"]
    for name, structure in {"interface-built": joined["structure"], "interface-run": final}.items():
        figure = picture.draw(structure.get_ase(), regions=regions, title=name)
        picture.save(figure, arguments.folder / f"{name}.png")
    picture.save(picture.draw(glass.get_ase(), title="glass"), arguments.folder / "glass.png")
    print_history(final)


def learn(crystal: orm.StructureData) -> orm.Data:
    """Learn a potential that stays within what it knows from 600 to 2000 K, and on the way back."""
    mlp, md, label = (orm.load_code(f"{name}@localhost") for name in ("lpsgb-mlp", "lmp", "lpsgb-label"))
    start_set = CalculationFactory("lpsgb.start_set")(orm.Dict(START_SET), orm.Int(SEED), crystal=crystal)
    labelled = run(WorkflowFactory("lpsgb.label").get_builder_from_protocol(label, start_set))
    builder = WorkflowFactory("lpsgb.active_learning").get_builder_from_protocol(
        mlp_code=mlp,
        md_code=md,
        label_code=label,
        potential=CalculationFactory("lpsgb.potential.untrained")(orm.Dict(UNTRAINED), orm.Int(SEED)),
        training_sets={"start": labelled.outputs.configurations},
        structures={
            "crystal": CalculationFactory("lpsgb.supercell")(crystal, orm.Dict({"n_atoms": 64})),
            "boundary": CalculationFactory("lpsgb.bicrystal")(crystal, orm.Dict(BOUNDARY))["structure"],
        },
        protocol="fast",
        overrides=LEARNING,
        seed=orm.Int(SEED),
    )
    return run(builder).outputs.potential


def melt_and_quench(crystal: orm.StructureData, potential: orm.Data, protocol: str) -> orm.StructureData:
    """Make the glass, and say what it is like."""
    builder = WorkflowFactory("lpsgb.melt_quench").get_builder_from_protocol(
        orm.load_code("lmp@localhost"),
        crystal,
        potential,
        amorphous={"centre": "P", "unit": "PS4"},
        protocol=protocol,
        seed=orm.Int(SEED),
    )
    outputs = run(builder).outputs
    for name in ("reference", "structure"):
        print(f"{name}: {outputs.amorphous[name]}")
    return outputs.structure


def run_shortly(structure: orm.StructureData, potential: orm.Data) -> orm.StructureData:
    """Relax the interface, run it, and count its atoms and units."""
    builder = WorkflowFactory("lpsgb.md.base").get_builder()
    builder.md.code = orm.load_code("lmp@localhost")
    builder.md.structure = structure
    builder.md.potential = potential
    builder.md.parameters = orm.Dict(SHORT_RUN)
    builder.md.seed = orm.Int(SEED)
    final = run(builder).outputs.structure
    for name, node in {"built": structure, "run": final}.items():
        print(f"interface, {name}: {len(node.sites)} atoms, {survey(node.get_ase()).formulas}")
    return final


def run(builder) -> orm.ProcessNode:
    """Submit a process to the daemon, follow it to its end, and stop here if it failed."""
    node = submit(builder)
    follow(node)
    if not node.is_finished_ok:
        raise SystemExit(f"{node.process_label}<{node.pk}> ended with [{node.exit_status}] {node.exit_message}")
    return node


def print_history(structure: orm.StructureData) -> None:
    """Print the processes that lead from the CIF to a structure, along one shortest way."""
    paths = [[structure]]
    seen = {structure.pk}
    for path in paths:
        for link in path[-1].base.links.get_incoming().all():
            node = link.node
            if isinstance(node, orm.CifData):
                print(
                    "\n".join(
                        f"{type(n).__name__}<{n.pk}> {n.process_label if hasattr(n, 'process_label') else ''}"
                        for n in reversed([*path, node])
                    )
                )
                return
            if node.pk not in seen:
                seen.add(node.pk)
                paths.append([*path, node])


if __name__ == "__main__":
    main()
