"""From the CIF of β-Li₃PS₄ to a potential that has learned from density-functional theory.

    verdi run examples/dft.py --code vasp_std@cluster --potcars PBE.54 --mapping Li=Li_sv P=P S=S --cores 32

after `aiida-lpsgb quicksetup --daemon 2`, where `vasp_std@cluster` is a code of the plugin `vasp.vasp` and `PBE.54` a
family of POTCARs. As in Jalem et al. 2023: the ordered crystal is run with PBE at several temperatures, frames drawn at
random are labelled with optB88-vdW, level and cut-off of the potential are chosen on these labels, and the potential is
learned actively, by one iteration here. Every part runs in the daemon: `aiida-lpsgb watch` shows it from elsewhere.

    verdi run examples/dft.py --emulate

runs the same on a laptop without VASP: a program that reads and writes VASP's files, with SevenNet-0 in place of the
electrons. What it gives is not density-functional theory, and its labels do not go by that name.
"""

import argparse
import sys
from pathlib import Path

from aiida import orm
from aiida.engine import submit
from aiida.orm import ProcessNode
from aiida.plugins import CalculationFactory, WorkflowFactory

from aiida_lpsgb.cli.watch import follow
from aiida_lpsgb.report import draw, study_results, table
from aiida_lpsgb.workflows.label.cost import preview
from aiida_lpsgb.workflows.protocols import load_codes

# `verdi run` sets __file__ to the bare file name, but argv[0] to the path.
HERE = Path(sys.argv[0]).resolve().parent
CIF = HERE / "data" / "beta-li3ps4.cif"
SEED = 2023
ORDERING = {"charges": {"Li": 1, "P": 5, "S": -2}, "rank_by": "occupancy", "n_candidates": 1}
REFERENCE = {
    "temperatures_K": [500, 1000],
    "duration_ps": 0.3,
    "equilibration_ps": 0.06,
    "frame_interval_ps": 0.01,
    "n_samples": 30,
}
GRID = {"levels": [6, 8], "cutoffs_angstrom": [4.0, 5.0]}
TRAINING = {"max_iter": 60}
LEARNING = {
    "training": TRAINING,
    "selection": {"selection_limit": 10},
    "settings": {"temperatures_K": [600, 1000], "gamma_break": [10], "n_potentials": 1},
    "exploration": {
        "stages": [
            {"name": "heat", "ensemble": "npt", "duration_ps": 1, "temperature_K": [300, "target"]},
            {"name": "explore", "ensemble": "npt", "duration_ps": 5, "temperature_K": "target"},
        ]
    },
}
EMULATED = "SevenNet-0 behind the files of VASP"
BUDGET_SPENT = ("ERROR_ITERATIONS_EXHAUSTED", "ERROR_LABELS_EXHAUSTED")


def main() -> None:
    """Run all parts one after the other, and show what was learned."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--code", help="code of VASP, such as vasp_std@cluster")
    parser.add_argument("--potcars", help="family of POTCARs, such as PBE.54")
    parser.add_argument("--mapping", nargs="+", default=[], metavar="ELEMENT=POTCAR", help="such as Li=Li_sv P=P S=S")
    parser.add_argument("--cores", type=int, default=1, help="processes of VASP, default 1")
    parser.add_argument("--emulate", action="store_true", help="set up a program in place of VASP, and use that")
    parser.add_argument("--iterations", type=int, default=1, help="most iterations of active learning, default 1")
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where the table and the figures are written")
    parser.add_argument("--seed", type=int, default=SEED, help="the seed that all others derive from")
    arguments = parser.parse_args()

    if arguments.emulate:
        code, engine = emulated(arguments.folder)
    elif arguments.code and arguments.potcars and arguments.mapping:
        code = orm.load_code(arguments.code)
        mapping = dict(entry.split("=") for entry in arguments.mapping)
        engine = {"potential_family": arguments.potcars, "potential_mapping": mapping}
    else:
        parser.error("give --code, --potcars and --mapping, or --emulate")
    resources = {"num_machines": 1, "num_mpiprocs_per_machine": arguments.cores}
    options = {"label": {"resources": resources, "withmpi": arguments.cores > 1}}
    run_all(load_codes() | {"label": code}, engine, options, arguments)


def run_all(codes: dict, engine: dict, options: dict, arguments: argparse.Namespace) -> None:
    """Order the crystal, run it, label frames, choose a potential, and learn it."""
    seed = orm.Int(arguments.seed)
    given = {"options": options, "protocol": "fast"}

    cif = orm.CifData(file=str(CIF), parse_policy="lazy")
    crystal = CalculationFactory("lpsgb.order")(cif, orm.Dict(ORDERING), seed)["structure"]

    reference = run(
        WorkflowFactory("lpsgb.reference_md").get_builder_from_protocol(
            codes, crystal, overrides={"settings": REFERENCE, "engine": engine}, seed=seed, **given
        )
    )
    # Labels of the dynamics' level are left behind: what is learned is the level of the single points.
    label = {"engine": engine | {"level": "optB88-vdW"}}
    labelling = run(
        WorkflowFactory("lpsgb.label").get_builder_from_protocol(
            codes, reference.outputs.configurations, overrides=label, **given
        )
    )
    labels = {"reference": labelling.outputs.configurations}

    grid = run(
        WorkflowFactory("lpsgb.passive_learning").get_builder_from_protocol(
            codes, labels, crystal, overrides={"settings": GRID, "training": TRAINING}, seed=seed, **given
        ),
        accept=("ERROR_SOME_POINTS_FAILED",),
    )
    print(f"\n{table(study_results(grid))}\n")

    overrides = {**LEARNING, "label": label}
    overrides["settings"] = {**LEARNING["settings"], "max_iterations": arguments.iterations}
    untrained = CalculationFactory("lpsgb.potential.untrained")(grid.outputs.parameters, seed)
    small = CalculationFactory("lpsgb.supercell")(crystal, orm.Dict({"n_atoms": 64}))
    learning = run(
        WorkflowFactory("lpsgb.active_learning").get_builder_from_protocol(
            codes, untrained, labels, {"crystal": small}, overrides=overrides, seed=seed, **given
        ),
        accept=BUDGET_SPENT,
    )
    show(grid, learning, arguments.folder)


def run(builder, accept: tuple[str, ...] = ()) -> ProcessNode:
    """Run a part in the daemon and follow it; end here if it failed otherwise than by one of the exit codes."""
    for line in preview(builder):
        print(line)
    node = submit(builder)
    print(f"{node.process_label} {node.pk} submitted; to see it from another terminal: aiida-lpsgb watch {node.pk}")
    follow(node)
    accepted = [node.process_class.exit_codes[name].status for name in accept]
    if not node.is_finished_ok and node.exit_status not in accepted:
        raise SystemExit(f"{node.process_label}<{node.pk}> ended with [{node.exit_status}] {node.exit_message}")
    return node


def show(grid: ProcessNode, learning: ProcessNode, folder: Path) -> None:
    """Write tables and figures of the choice and of the learning, and say whether it has come to its end."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = []
    for node in (grid, learning):
        results = study_results(node)
        texts.append(table(results))
        for name, figure in draw(results).items():
            figure.savefig(folder / f"{name}.png", dpi=200, bbox_inches="tight")
    (folder / "results.txt").write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    print(f"\n{texts[-1]}\n")
    if not learning.is_finished_ok:
        print(f"{learning.exit_message} Give more --iterations: what was labelled here is not labelled again.")
    print(f"Tables and figures: {folder}; the processes: {grid.pk}, {learning.pk}")


def emulated(folder: Path) -> tuple[orm.AbstractCode, dict]:
    """Set up the program in place of VASP, with its own code and family of POTCARs; return both as options."""
    sys.path.insert(0, str(HERE.parent / "tests" / "programs"))
    from emulated_vasp import upload_potcars, write_program

    folder.mkdir(parents=True, exist_ok=True)
    mapping = {"Li": "Li", "P": "P", "S": "S"}
    upload_potcars("EMULATED", mapping)
    label = "vasp-emulator"
    computer = orm.load_computer("localhost")
    try:
        code = orm.load_code(f"{label}@{computer.label}")
    except Exception:
        script = write_program(
            folder.resolve(), label, "sevenn.calculator:SevenNetCalculator", keywords={"model": "7net-0"}
        )
        code = orm.InstalledCode(
            label=label,
            computer=computer,
            filepath_executable=str(script),
            default_calc_job_plugin="vasp.vasp",
            description="Reads and writes the files of VASP, with SevenNet-0 in place of the electrons",
        ).store()
    engine = {"potential_family": "EMULATED", "potential_mapping": mapping, "level_of_theory": EMULATED}
    return code, engine


if __name__ == "__main__":
    main()
