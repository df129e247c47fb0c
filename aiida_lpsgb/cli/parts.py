"""``aiida-lpsgb launch``: each part of a study by itself, as a few options and a function that makes its builder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click
import yaml

from aiida_lpsgb.cli import nodes
from aiida_lpsgb.cli.errors import PlainGroup
from aiida_lpsgb.cli.options import (
    LABEL,
    LABEL_CODE,
    profile_option,
    protocol_option,
    species_option,
    submission_options,
    use_profile,
)
from aiida_lpsgb.cli.structure import CHARGES, CUTOFFS
from aiida_lpsgb.cli.types import LENGTH, Number, indices, numbers, symbol

if TYPE_CHECKING:
    from aiida.engine import ProcessBuilder

    from aiida_lpsgb.structures.guess import Material

CACHED = "aiida.calculations:lpsgb.md"


@click.group(cls=PlainGroup, context_settings={"help_option_names": ["-h", "--help"]})
def launch() -> None:
    """Submit a part of a study, follow it, and show what it found.

    Files of any format and nodes (PK, UUID) are taken alike; what a structure says about itself is guessed.
    """


def part(*options: Callable) -> Callable:
    """Make a command of a function that returns a builder, with these options and those of all parts."""

    def decorate(make: Callable[..., ProcessBuilder]) -> click.Command:
        def run(**given: Any) -> None:
            use_profile(given["profile"])
            builder = make(**given)
            if not builder.metadata.get("description"):
                builder.metadata.description = described(builder.process_class, given)
            submitted(builder, given)

        run.__doc__ = make.__doc__
        run.__name__ = make.__name__
        for option in reversed((*options, protocol_option(), submission_options)):
            run = option(run)
        return launch.command(make.__name__)(run)

    return decorate


def described(process: Any, given: dict[str, Any]) -> str:
    """By what protocol a process was made, and what was typed over it; reports show it."""
    changes = "".join(f", {assignment}" for assignment in given["assignments"])
    return f"by protocol {given['protocol'] or process.get_default_protocol()}{changes}"


def submitted(builder: ProcessBuilder, given: dict[str, Any]) -> None:
    """Submit a builder and follow it, or show it."""
    from aiida_lpsgb.cli.launch import launch as submit_and_follow

    if given["dry_run"]:
        error = builder.process_class.spec().inputs.validate(builder._inputs(prune=True))
        if error is not None:
            raise ValueError(f"{error.port}: {error.message}" if error.port else error.message)
        inputs = nodes.as_plain(builder._inputs(prune=True))
        click.echo(yaml.safe_dump(inputs, sort_keys=False, allow_unicode=True).rstrip())
        click.echo(f"\nDry run of {builder.process_class.__name__}: everything fits, and nothing was submitted.")
        return
    submit_and_follow(builder, given["folder"], followed=not given["no_follow"])


def mapping(_context: click.Context, parameter: click.Parameter, value: str | None) -> dict[str, Any] | None:
    """Read a dictionary in YAML or JSON."""
    from aiida_lpsgb.typed import yaml_value

    try:
        found = None if value is None else yaml_value(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no YAML: {error}", param=parameter) from error
    if found is not None and not isinstance(found, dict):
        raise click.BadParameter(f"{value!r} is not a dictionary", param=parameter)
    return found


STRUCTURE = click.argument("structure", metavar="STRUCTURE")
POTENTIALS = click.option(
    "--potential", "potentials", metavar="PK|FILE", multiple=True, help="Potential, or a study that has learned some."
)
SPECIES = species_option("What the types of potentials in files stand for, such as Li,P,S.")
MOBILE = click.option("--mobile", metavar="ELEMENT", callback=symbol, help="What moves; guessed if not given.")
REGIONS = click.option(
    "--regions",
    callback=mapping,
    help="Regions of the cell: '{boundary: {axis: 2, centres: [0, 0.5], thickness_A: 10}}'.",
)
LEVEL_OF_THEORY = click.option("-l", "--level-of-theory", help="Of labels whose files do not say what gave them.")


def common(given: dict[str, Any], **overrides: Any) -> dict[str, Any]:
    """Keywords that every builder takes: the protocol, and what was typed over it."""
    from aiida_lpsgb.calculations.protocols import merged

    return {"protocol": given["protocol"], "overrides": merged(overrides, nodes.overrides(given["assignments"]))}


def seed(given: dict[str, Any]) -> dict[str, Any]:
    """The seed as a keyword, drawn by the builder where it is not given."""
    from aiida import orm

    return {"seed": orm.Int(given["seed"]) if given["seed"] else None}


def labelling(given: dict[str, Any], codes: dict[str, Any]) -> dict[str, Any]:
    """Overrides of the label engine, and its code in place of the default one."""
    from aiida_lpsgb.workflows.label.choice import find_label_code, label_overrides

    if given["label"] is None:
        return {}
    engine, changes = label_overrides(given["label"])
    codes["label"] = find_label_code(engine, given["label_code"], codes["label"])
    return changes["label"]


def guessed(structure: Any, given: dict[str, Any]) -> Material:
    """What a structure says about itself, beside what was typed."""
    from aiida_lpsgb.structures.guess import guess
    from aiida_lpsgb.workflows.crystal import structure_of

    known = {key: given.get(key) for key in ("charges", "mobile", "cutoffs")}
    return guess(structure_of(structure), **known)


def only(potentials: dict[str, Any]) -> Any:
    """The first potential, where one is needed."""
    if not potentials:
        raise click.UsageError("give the potential: --potential PK or FILE")
    return next(iter(potentials.values()))


# --- the parts ------------------------------------------------------------------------------------------------------


@part(
    click.argument("structures", metavar="STRUCTURE...", nargs=-1, required=True),
    click.option(
        "--from", "frames", metavar="PK|FILE", multiple=True, required=True, help="Labelled configurations; repeat."
    ),
    *(POTENTIALS, SPECIES, LEVEL_OF_THEORY, LABEL, LABEL_CODE),
    click.option(
        "--level", type=click.IntRange(min=2), default=8, show_default=True, help="Of the potential, if none is given."
    ),
)
def learn(structures: Sequence[str], frames: Sequence[str], level: int, **given: Any) -> ProcessBuilder:
    """Learn a potential actively on STRUCTURES, from labelled configurations (lpsgb.active_learning)."""
    from aiida.plugins import WorkflowFactory

    from aiida_lpsgb.workflows.label.choice import label_of

    codes = nodes.codes(given["computer"], ("mlp", "md", "label"))
    sets = nodes.training_sets(frames, given["level_of_theory"])
    given["label"] = given["label"] or label_of(sets.values())
    explored = {f"s{number}": nodes.structure(text) for number, text in enumerate(structures, start=1)}
    given_potentials = nodes.potentials(given["potentials"], given["species"])
    potential = next(iter(given_potentials.values()), None) or untrained(explored, level, given)
    return WorkflowFactory("lpsgb.active_learning").get_builder_from_protocol(
        codes,
        potential,
        sets,
        explored,
        **common(given, label=labelling(given, codes)),
        **seed(given),
    )


def untrained(structures: dict[str, Any], level: int, given: dict[str, Any]) -> Any:
    """An untrained potential of all elements; nothing is stored in a dry run."""
    from aiida import orm
    from aiida.plugins import CalculationFactory

    shortest = min(guessed(structure, given).min_distance.value for structure in structures.values())
    species = sorted({symbol for structure in structures.values() for symbol in structure.get_symbols_set()})
    parameters = orm.Dict({"level": level, "species": species, "min_distance_angstrom": shortest})
    function = CalculationFactory("lpsgb.potential.untrained")
    start = orm.Int(given["seed"] or 1)
    return function(parameters, start, metadata={"store_provenance": not given["dry_run"]})


@part(
    click.argument("structure", metavar="[STRUCTURE]", required=False),
    click.option("--add", metavar="PK", help="A sweep that these temperatures and replicas join; only they are run."),
    *(POTENTIALS, SPECIES),
    click.option("--temperatures", callback=numbers, help="In K, such as 700,500; those of the protocol if not given."),
    click.option("--replicas", type=click.IntRange(min=1), help="Runs of each temperature and potential."),
    click.option(
        "--max-production",
        type=LENGTH,
        metavar="PS",
        help="Longest production of a run, in ps.",
    ),
    *(MOBILE, CHARGES, CUTOFFS, REGIONS),
)
def sweep(structure: str | None, add: str | None, **given: Any) -> ProcessBuilder:
    """Run STRUCTURE at several temperatures, or one, and find how fast its ions move (lpsgb.transport)."""
    from aiida.plugins import WorkflowFactory

    from aiida_lpsgb.workflows.guessed import guessed_observables, mobile_of

    work_chain = WorkflowFactory("lpsgb.transport")
    if add is not None:
        return added(work_chain, structure, add, given)
    if structure is None:
        raise click.UsageError("give the STRUCTURE to run, or a sweep to go on from: --add PK")
    node = nodes.structure(structure)
    potentials = nodes.potentials(given["potentials"], given["species"])
    only(potentials)
    material = guessed(node, given)
    budget = {"max_production_ps": given["max_production"]} if given["max_production"] else None
    typed = {"temperatures_K": given["temperatures"], "n_replicas": given["replicas"], "budget": budget}
    overrides = {key: value for key, value in typed.items() if value}
    return work_chain.get_builder_from_protocol(
        nodes.codes(given["computer"], ("md", "analyse")),
        node,
        potentials,
        mobile=mobile_of(material),
        regions=given["regions"],
        **common(given, analyse=guessed_observables(material), **overrides),
        **seed(given),
    )


def added(work_chain: Any, structure: str | None, sweep: str, given: dict[str, Any]) -> ProcessBuilder:
    """Builder of a sweep that goes on from a finished one."""
    from aiida.manage.caching import get_use_cache

    fixed = {
        "STRUCTURE": structure,
        "--potential": given["potentials"],
        "--protocol": given["protocol"],
        "--seed": given["seed"],
        "--set": given["assignments"],
        "--regions": given["regions"],
        "--species": given["species"],
        "--mobile": given["mobile"],
        "--charge": given["charges"],
        "--cutoff": given["cutoffs"],
    }
    if named := [name for name, value in fixed.items() if value]:
        raise click.UsageError(f"{', '.join(named)}: those of the sweep {sweep} are kept; leave it out")
    node = nodes.load_node(sweep)
    if getattr(node, "process_type", None) != work_chain.build_process_type():
        raise click.UsageError(f"--add {sweep}: it is no sweep (lpsgb.transport); of a study take one of its systems'")
    if not get_use_cache(identifier=CACHED):
        click.echo(
            "Caching is off in this profile: all runs are computed again. aiida-lpsgb quicksetup sets it.", err=True
        )
    return work_chain.get_builder_adding(
        node,
        temperatures_K=given["temperatures"],
        n_replicas=given["replicas"],
        max_production_ps=given["max_production"],
    )


@part(
    STRUCTURE,
    click.option(
        "--boundary", "boundaries", metavar="AXIS/PLANE", multiple=True, help="Tilt boundary, such as 001/120."
    ),
    click.option("--twist", "twists", metavar="PLANE[@ANGLE]", multiple=True, help="Twist, such as 001 or 001@36.9."),
    click.option("--pseudo-cubic", is_flag=True, help="Read indices as labels of a cube; a twist is then 001@5."),
    click.option(
        "--parent",
        metavar="PK|FILE",
        help="The crystal before it was ordered (also its CIF with partial sites): its cell and symmetry count.",
    ),
    *(POTENTIALS, SPECIES, CHARGES, CUTOFFS),
)
def boundary(
    structure: str,
    boundaries: Sequence[str],
    twists: Sequence[str],
    pseudo_cubic: bool,
    parent: str | None,
    **given: Any,
) -> ProcessBuilder:
    """Build a grain boundary of the ordered crystal STRUCTURE and relax it (lpsgb.grain_boundary)."""
    from aiida.plugins import WorkflowFactory

    from aiida_lpsgb.calculations.functions.recipes import shared
    from aiida_lpsgb.workflows.guessed import recipes

    if len(boundaries) + len(twists) != 1:
        raise click.UsageError("give one boundary: --boundary AXIS/PLANE or --twist PLANE")
    node = nodes.structure(structure)
    made = recipes(guessed(node, given), boundaries, twists, pseudo_cubic=pseudo_cubic)
    return WorkflowFactory("lpsgb.grain_boundary").get_builder_from_protocol(
        nodes.codes(given["computer"], ("md",)),
        node,
        only(nodes.potentials(given["potentials"], given["species"])),
        boundary=shared(list(made.values())[-1]),
        parent=nodes.parent(parent),
        **common(given),
        **seed(given),
    )


@part(STRUCTURE, POTENTIALS, SPECIES, MOBILE, CHARGES, CUTOFFS)
def glass(structure: str, **given: Any) -> ProcessBuilder:
    """Melt and quench the ordered crystal STRUCTURE (lpsgb.melt_quench)."""
    from aiida.plugins import WorkflowFactory

    from aiida_lpsgb.workflows.guessed import framework

    node = nodes.structure(structure)
    material = guessed(node, given)
    return WorkflowFactory("lpsgb.melt_quench").get_builder_from_protocol(
        nodes.codes(given["computer"], ("md",)),
        node,
        only(nodes.potentials(given["potentials"], given["species"])),
        amorphous={**framework(material), "cutoffs": material.cutoffs.value},
        **common(given),
        **seed(given),
    )


@part(
    click.argument("runs", metavar="DUMP|PK...", nargs=-1, required=True),
    click.option("--timestep", type=LENGTH, metavar="FS", help="Of the run, in fs; a dump does not say it."),
    click.option("--temperature", type=LENGTH, metavar="K", help="Of the run, in K; a dump does not say it."),
    species_option("Elements of LAMMPS's types, such as Li,P,S, where the dump has none."),
    click.option("--every", type=click.IntRange(min=1), help="Take one frame in so many of a dump."),
    click.option("--units", type=click.Choice(["metal", "real"]), help="Of the times in a dump that does not say."),
    click.option("--sorted-rows", is_flag=True, help="Each frame of a dump without ids has its atoms in one order."),
    click.option(
        *("--restart-gap", "restart_gap_ps"),
        type=Number(min=0),
        metavar="PS",
        help="Time between two runs in one dump whose steps begin again.",
    ),
    *(MOBILE, CHARGES, CUTOFFS, REGIONS),
)
def analyse(runs: Sequence[str], **given: Any) -> ProcessBuilder:
    """Compute all observables of a run: LAMMPS dumps, or segments or a process of a run (lpsgb.analyse)."""
    from aiida.plugins import CalculationFactory

    from aiida_lpsgb.workflows.guessed import guessed_observables, mobile_of

    segments = nodes.trajectories(runs, given)
    with segments[0].open_trajectory() as trajectory:
        material = guessed(trajectory.frame(0), given)
    return CalculationFactory("lpsgb.analyse").get_builder_from_protocol(
        nodes.codes(given["computer"], ("analyse",))["analyse"],
        {f"segment_{number:03d}": node for number, node in enumerate(segments)},
        regions=given["regions"],
        **common(given, mobile=mobile_of(material), **guessed_observables(material)),
    )


@part(click.argument("frames", metavar="FILE|PK"), LABEL, LABEL_CODE)
def label(frames: str, **given: Any) -> ProcessBuilder:
    """Compute energies, forces and stresses of configurations (lpsgb.label)."""
    from aiida.plugins import WorkflowFactory

    codes = nodes.codes(given["computer"], ("label",))
    overrides = labelling(given, codes)
    return WorkflowFactory("lpsgb.label").get_builder_from_protocol(
        codes, nodes.configurations(frames, labelled=False), **common(given, **overrides)
    )


@launch.command()
@STRUCTURE
@click.argument("glass_structure", metavar="GLASS")
@click.argument("plane", callback=indices)
@CHARGES
@CUTOFFS
@click.option("--set", "assignments", metavar="NAME=VALUE", multiple=True, help="Another parameter of lpsgb.interface.")
@profile_option()
def interface(
    structure: str,
    glass_structure: str,
    plane: tuple[int, int, int],
    assignments: Sequence[str],
    profile: str | None,
    **given: Any,
) -> None:
    """Join the GLASS to a PLANE of the ordered crystal STRUCTURE, here and now (lpsgb.interface)."""
    from aiida import orm
    from aiida.plugins import CalculationFactory

    from aiida_lpsgb.calculations.functions.structure_requests import interface_keys_error
    from aiida_lpsgb.workflows.outputs import made_by

    use_profile(profile)
    crystal, glass_node = nodes.structure(structure), nodes.structure(glass_structure)
    parameters = {"plane": list(plane), "cutoffs": guessed(crystal, given).cutoffs.value}
    parameters |= nodes.overrides(assignments)
    if message := interface_keys_error(parameters):
        raise ValueError(message)
    found = made_by(CalculationFactory("lpsgb.interface"), crystal, glass_node, orm.Dict(parameters))
    for name, node in found.items():
        click.echo(f"{name}: {type(node).__name__}<{node.pk}>")
    click.echo(
        f"{found['structure'].get_formula()}; run it: aiida-lpsgb launch sweep {found['structure'].pk} --potential PK"
    )
