"""From the CIF of β-Li₃PS₄ to a glass and an interface of it with the crystal.

Run it with `verdi run examples/glass.py` after `aiida-lpsgb quicksetup --daemon 2`; an hour or more on two cores,
most of it for the potential.

A potential is learned actively while the crystal and a grain boundary melt and are quenched, 1 500 atoms are then
melted and quenched by it, the glass is joined to the (001) plane of the crystal, and crystal and interface are run for
some picoseconds. With `--potential PK` learning is left out. Every structure is the output of a process, and the way
from the CIF to the interface is printed at the end.
"""

import argparse
import sys
from pathlib import Path

from aiida import orm
from aiida.engine import submit
from aiida.plugins import CalculationFactory, WorkflowFactory

from aiida_lpsgb.calculations.functions.md import at_temperature
from aiida_lpsgb.cli.watch import follow
from aiida_lpsgb.report.figures import radial_distributions, save
from aiida_lpsgb.structures import picture
from aiida_lpsgb.structures.amorphous import density
from aiida_lpsgb.structures.units import survey

# `verdi run` sets __file__ to the bare file name, but argv[0] to the path.
CIF = Path(sys.argv[0]).resolve().parent / "data" / "beta-li3ps4.cif"
SEED = 2023
CHARGES = {"Li": 1, "P": 5, "S": -2}
ORDERING = {"charges": CHARGES, "rank_by": "occupancy"}
START_SET = {"strains": [-0.05, 0.0, 0.05], "amplitudes": [0.05, 0.12, 0.2], "n_rattles": 4}
UNTRAINED = {"species": ["Li", "P", "S"], "level": 10, "cutoff_angstrom": 5.0, "min_distance_angstrom": 1.4}
BOUNDARY = {"axis": [0, 0, 1], "plane": [2, -1, 0], "width": 12, "region": 5}


def melt(hold_ps: float, cool_ps: float) -> dict:
    """Exploration that melts what it begins with and quenches it again."""
    return {
        "barostat": "iso",
        "timestep_fs": 1.0,
        "stages": [
            {"name": "heat", "ensemble": "npt", "duration_ps": 3, "temperature_K": [300, "target"]},
            {"name": "hold", "ensemble": "npt", "duration_ps": hold_ps, "temperature_K": "target"},
            {"name": "cool", "ensemble": "npt", "duration_ps": cool_ps, "temperature_K": ["target", 300]},
        ],
    }


# From the crystal to its melt, as far as ten iterations go …
LEARNING = {
    "settings": {"temperatures_K": [600, 1000, 1500], "max_iterations": 10, "max_labels": 1000},
    "exploration": melt(hold_ps=15, cool_ps=7),
}
# … and the melt itself. A big cell meets rarer neighbourhoods than a small one, so small ones are run often; compressed
# and strongly rattled melts teach what happens when atoms come too close.
MELT_SET = {"strains": [-0.08, -0.04, 0.0], "amplitudes": [0.2, 0.35], "n_rattles": 2}
MELT_LEARNING = {
    "settings": {"temperatures_K": [1500, 2000], "n_replicas": 4, "max_iterations": 25, "max_labels": 1000},
    "exploration": melt(hold_ps=40, cool_ps=10),
    "selection": {"selection_limit": 20},
}
SOME_LABELS_FAILED, STILL_EXTRAPOLATES = 402, 410  # exit statuses that leave something to go on with
DEPTH = 14.0  # of what the pictures show, in Å
INTERFACE = {"plane": [0, 0, 1], "max_strain": 0.05, "max_area": 2500, "shift_step": 4.0, "n_cuts": 3}
RUN = {
    "barostat": "aniso",
    "stages": [
        {"name": "relax", "ensemble": "minimise", "max_steps": 200},
        {"name": "settle", "ensemble": "npt", "duration_ps": 2, "temperature_K": 300},
        {"name": "run", "ensemble": "npt", "duration_ps": 10, "temperature_K": 300, "dump_interval_ps": 0.2},
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

    known = orm.load_node(arguments.potential) if arguments.potential else None
    cif = orm.CifData(file=str(CIF), parse_policy="lazy")
    crystal = CalculationFactory("lpsgb.order")(cif, orm.Dict(ORDERING), orm.Int(SEED))["structure"]
    potential = known or learn(crystal)
    glass = melt_and_quench(crystal, potential, arguments.protocol)
    joined = CalculationFactory("lpsgb.interface")(crystal, glass.structure, orm.Dict(INTERFACE))
    cell = CalculationFactory("lpsgb.supercell")(crystal, orm.Dict({"n_atoms": 1500}))
    runs = {"crystal": run_md(cell, potential, RUN), "interface": run_md(joined["structure"], potential, RUN)}

    structures = {
        "crystal": runs["crystal"].structure,
        "glass": glass.structure,
        "interface, as built": joined["structure"],
        "interface, after the run": runs["interface"].structure,
    }
    for name, structure in structures.items():
        atoms = structure.get_ase()
        print(f"{name}: {len(atoms)} atoms, {density(atoms):.3f} g/cm³, {survey(atoms).formulas}")
        regions = joined["results"]["regions"] if "interface" in name else []
        path = arguments.folder / f"{name.replace(', ', '-').replace(' ', '-')}.png"
        picture.save(picture.draw(atoms, regions=regions, title=name, depth=DEPTH), path)
    trajectories = {"crystal": runs["crystal"].trajectory, "glass": glass.trajectory}
    save(radial_distributions(phosphorus_order(trajectories)), arguments.folder / "phosphorus", ("png",))
    print_way(cif, glass.structure)
    print_way(glass.structure, joined["structure"])
    print_way(joined["structure"], runs["interface"].structure)


def learn(crystal: orm.StructureData) -> orm.Data:
    """Learn a potential that knows the crystal, a boundary and the melt, and the way back from it."""
    untrained = CalculationFactory("lpsgb.potential.untrained")(orm.Dict(UNTRAINED), orm.Int(SEED))
    cells = {
        "crystal": CalculationFactory("lpsgb.supercell")(crystal, orm.Dict({"n_atoms": 64})),
        "boundary": CalculationFactory("lpsgb.bicrystal")(crystal, orm.Dict(BOUNDARY))["structure"],
    }
    solid = actively(untrained, {"start": start_set(START_SET, crystal)}, cells, LEARNING)

    cell = CalculationFactory("lpsgb.supercell")(crystal, orm.Dict({"n_atoms": 128}))
    quench = at_temperature(melt(hold_ps=15, cool_ps=7), 1500)
    melted = run_md(cell, solid.potential, quench).structure
    sets = {**solid.training_sets, "melt": start_set(MELT_SET, melted)}
    return actively(solid.potential, sets, {"melt": melted}, MELT_LEARNING).potential


def start_set(parameters: dict, structure: orm.StructureData) -> orm.Data:
    """Strain and rattle a structure, and label the set, but for what has forces beyond use."""
    images = CalculationFactory("lpsgb.start_set")(orm.Dict(parameters), orm.Int(SEED), structure=structure)
    label = WorkflowFactory("lpsgb.label").get_builder_from_protocol(orm.load_code("lpsgb-label@localhost"), images)
    return run(label, SOME_LABELS_FAILED).outputs.configurations


def actively(potential: orm.Data, training_sets: dict, structures: dict, overrides: dict) -> orm.NodeLinksManager:
    """Learn actively from what there is."""
    mlp, md, label = (orm.load_code(f"{name}@localhost") for name in ("lpsgb-mlp", "lmp", "lpsgb-label"))
    builder = WorkflowFactory("lpsgb.active_learning").get_builder_from_protocol(
        mlp_code=mlp,
        md_code=md,
        label_code=label,
        potential=potential,
        training_sets=training_sets,
        structures=structures,
        protocol="fast",
        overrides=overrides,
        seed=orm.Int(SEED),
    )
    return run(builder, STILL_EXTRAPOLATES).outputs


def melt_and_quench(crystal: orm.StructureData, potential: orm.Data, protocol: str) -> orm.NodeLinksManager:
    """Make the glass, and say how much order it and the crystal have."""
    builder = WorkflowFactory("lpsgb.melt_quench").get_builder_from_protocol(
        orm.load_code("lmp@localhost"),
        crystal,
        potential,
        amorphous={"centre": "P", "unit": "PS4"},
        protocol=protocol,
        seed=orm.Int(SEED),
    )
    outputs = run(builder).outputs
    for name, label in {"reference": "crystal", "structure": "glass"}.items():
        print(f"order of the {label}: {outputs.amorphous[name]}")
    return outputs


def run_md(structure: orm.StructureData, potential: orm.Data, parameters: dict) -> orm.NodeLinksManager:
    """Run a structure."""
    builder = WorkflowFactory("lpsgb.md.base").get_builder()
    builder.md.code = orm.load_code("lmp@localhost")
    builder.md.structure = structure
    builder.md.potential = potential
    builder.md.parameters = orm.Dict(parameters)
    builder.md.seed = orm.Int(SEED)
    return run(builder).outputs


def phosphorus_order(trajectories: dict[str, orm.Data]) -> dict[str, tuple]:
    """Distances and g(r) of P–P for each trajectory."""
    curves = {}
    for name, trajectory in trajectories.items():
        parameters = orm.Dict({"pairs": ["P-P"], "cutoff_A": 14.0, "bin_A": 0.1})
        found = CalculationFactory("lpsgb.rdf")(trajectory, parameters)
        curves[f"P–P, {name}"] = (found.get_array("r_A"), found.get_array("g_P_P"))
    return curves


def run(builder, *accepted: int) -> orm.ProcessNode:
    """Submit a process to the daemon, follow it to its end, and stop here if it ended neither well nor as accepted."""
    node = submit(builder)
    follow(node)
    if node.exit_status not in (0, *accepted):
        raise SystemExit(f"{node.process_label}<{node.pk}> ended with [{node.exit_status}] {node.exit_message}")
    return node


def print_way(start: orm.Data, end: orm.Data) -> None:
    """Print the shortest way through the provenance graph from one node to another."""
    ways, seen = [[end]], {end.pk}
    for way in ways:
        if way[-1].pk == start.pk:
            names = [getattr(node, "process_label", None) or type(node).__name__ for node in way]
            print(" → ".join(f"{name} {node.pk}" for name, node in reversed(list(zip(names, way, strict=True)))))
            return
        for link in way[-1].base.links.get_incoming().all():
            if link.node.pk not in seen:
                seen.add(link.node.pk)
                ways.append([*way, link.node])


if __name__ == "__main__":
    main()
