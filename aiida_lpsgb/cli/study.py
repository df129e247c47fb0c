"""``aiida-lpsgb study``: from a crystal to a study, its guesses shown before anything is submitted."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_lpsgb.cli.options import LABEL, LABEL_CODE, protocol_option, species_option, submission_options, use_profile
from aiida_lpsgb.cli.structure import CHARGES, CUTOFFS
from aiida_lpsgb.cli.types import PLAN, symbol

if TYPE_CHECKING:
    from aiida.engine import ProcessBuilder

    from aiida_lpsgb.structures.guess import Material
    from aiida_lpsgb.workflows.study_plan import StudyPlan

WIDTH = 116
INDENT = 25
CHANGES = {
    "charges": "--charge ELEMENT=CHARGE for each element",
    "mobile": "--mobile ELEMENT",
    "cutoffs": "--cutoff PAIR=LENGTH for each pair, or --no-units",
    "speciation": "--set transport.analyse.speciation.cutoff_A=2.5",
    "disorder": "--set transport.analyse.disorder.cutoff_A=5.0",
    "min_distance": "--set potential.min_distance_angstrom=1.4",
    "ordering": "--set ordering.rank_by=ewald or --set ordering.supercell=[2,1,1] or --set ordering.max_atoms=400",
}
"""What to type to change a guess, by its name."""


@click.command()
@click.argument("crystal", type=click.Path(exists=True, dir_okay=False))
@click.option("--mobile", metavar="ELEMENT", callback=symbol, help="What moves, such as Li.")
@CHARGES
@CUTOFFS
@click.option("--no-units", is_flag=True, help="There are no polyanions: grains are cut between any two atoms.")
@protocol_option("fast, or that of the YAML file")
@click.option("--boundary", "boundaries", metavar="AXIS/PLANE", multiple=True, help="Tilt boundary: 001/120; repeat.")
@click.option(
    "--twist", "twists", metavar="PLANE[@ANGLE]", multiple=True, help="Twist boundary: 001, or 001@36.9; repeat."
)
@click.option(
    "--pseudo-cubic", is_flag=True, help="Read indices as labels of a cube; a twist is then 001@5, with its Σ."
)
@click.option("--glass", is_flag=True, help="Make the glass, too.")
@click.option(
    "--interface",
    "interfaces",
    metavar="PLANE",
    multiple=True,
    help="Interface of the glass with a plane: 001; repeat.",
)
@LABEL
@LABEL_CODE
@click.option("--potential", "potentials", metavar="PK|FILE", multiple=True, help="Run with this; nothing is learned.")
@species_option("What the types of potentials in files stand for, such as Li,P,S.")
@click.option(
    "--from", "frames", metavar="PK|FILE", multiple=True, help="Learn from these labelled frames, not a start set."
)
@click.option("-l", "--level-of-theory", help="Of the labels of those frames, if the files do not say.")
@click.option("--start-set", is_flag=True, help="Label a start set beside those frames.")
@click.option("--scale", metavar="NAME", help="Which of the scales that the study in a YAML file has.")
@click.option("--save", type=PLAN, help="YAML to keep the study in.")
@click.option("-y", "--yes", is_flag=True, help="Submit without asking.")
@submission_options
def study(crystal: str, save: Path | None, **given: Any) -> None:
    """Study a CRYSTAL: a CIF, POSCAR or any file of ASE or pymatgen, or a study in a YAML file (--save writes one).

    What is not given is guessed from the structure. Every guess is shown with its reason and what to type to change it,
    then what will be run and what it costs at most. It is submitted when you say so.
    """
    from aiida_lpsgb.cli import nodes
    from aiida_lpsgb.report.published import read_published
    from aiida_lpsgb.workflows.crystal import crystal_node
    from aiida_lpsgb.workflows.study_file import write_plan

    saved = Path(crystal).suffix.lower() in PLAN.suffixes
    if given["scale"] and not saved:
        raise click.UsageError(f"--scale: {crystal} is a structure; scales are those of a study in a YAML file")
    plan, material = _saved_plan(crystal, given) if saved else _new_plan(crystal, given)
    if material is not None:
        _show_guesses(crystal, material)
    published = None if plan.published is None else read_published(plan.published)
    use_profile(given["profile"])
    potentials = nodes.potentials(plan.potentials, plan.species)
    training_sets = nodes.training_sets(plan.frames, plan.level_of_theory)
    codes = nodes.codes(given["computer"], ("md", "analyse") if potentials else None)
    builder = plan.builder(
        codes,
        crystal=crystal_node(plan.crystal),
        potentials=potentials or None,
        training_sets=training_sets or None,
    )
    _show_study(plan, builder)
    if save is not None:
        kept = {"potentials": _portable(plan.potentials), "frames": _portable(plan.frames)}
        write_plan(replace(plan, seed=builder.seed.value, **kept), save)
        click.echo(f"\nsaved: {save}; again: aiida-lpsgb study {save}")
    if given["dry_run"]:
        click.echo("\nDry run: everything fits, and nothing was submitted.")
        return
    if not given["yes"]:
        _ask()
    _launch(builder, given, published)


def _ask() -> None:
    """Ask whether it shall be submitted, and end where it shall not or nobody is there to answer."""
    nobody = click.UsageError("nobody is there to answer: --yes submits it, --dry-run does not")
    if sys.stdin is None:
        raise nobody
    try:
        click.confirm("\nSubmit it?", abort=True)
    except click.Abort as abort:
        if isinstance(abort.__context__, EOFError):
            raise nobody from None
        raise


def _portable(texts: Sequence[str]) -> tuple[str, ...]:
    """Names that mean the same in every profile that has the nodes: files, and UUIDs in place of PKs."""
    from aiida_lpsgb.cli import nodes

    return tuple(text if Path(text).exists() else nodes.load_node(text).uuid for text in texts)


def _launch(builder: ProcessBuilder, given: dict[str, Any], published: Mapping[str, Any] | None) -> None:
    from aiida_lpsgb.cli.launch import launch

    launch(builder, given["folder"], published, followed=not given["no_follow"])


# --- plans ----------------------------------------------------------------------------------------------------------


def _systems_asked(given: dict[str, Any]) -> dict[str, Any]:
    return {key: given[key] for key in ("boundaries", "twists", "glass", "interfaces", "pseudo_cubic")}


def _attributes(given: dict[str, Any]) -> dict[str, Any]:
    return {
        "label": given["label"],
        "label_code": given["label_code"],
        "potentials": given["potentials"],
        "species": tuple(given["species"]),
        "frames": given["frames"],
        "level_of_theory": given["level_of_theory"],
        "seed": given["seed"],
    }


def _overrides(given: dict[str, Any]) -> dict[str, Any]:
    from aiida_lpsgb.cli import nodes
    from aiida_lpsgb.workflows.study_plan import NO_START_SET

    changes = nodes.overrides(given["assignments"])
    return {**(NO_START_SET if given["frames"] and not given["start_set"] else {}), **changes}


def _material(crystal: str, given: dict[str, Any], overrides: Mapping[str, Any]) -> Material:
    from aiida_lpsgb.structures.files import read_structure
    from aiida_lpsgb.structures.guess import guess

    ordering = overrides.get("ordering")
    check_formula = ordering.get("check_formula", True) if isinstance(ordering, Mapping) else True
    structure = read_structure(crystal, check_formula=check_formula, oxidation_states=True)
    cutoffs = {} if given["no_units"] else given["cutoffs"]
    return guess(structure, charges=given["charges"], mobile=given["mobile"], cutoffs=cutoffs)


def _new_plan(crystal: str, given: dict[str, Any]) -> tuple[StudyPlan, Material]:
    """A plan from guesses and what was typed; the guesses are shown even where a question is open."""
    from aiida_lpsgb.workflows.study_plan import StudyPlan

    overrides = _overrides(given)
    material = _material(crystal, given, overrides)
    protocol = {"protocol": given["protocol"]} if given["protocol"] else {}
    try:
        plan = StudyPlan.of(
            crystal, material, overrides=overrides, **_systems_asked(given), **_attributes(given), **protocol
        )
    except ValueError:
        _show_guesses(crystal, material)
        raise
    return plan, material


def _saved_plan(path: str, given: dict[str, Any]) -> tuple[StudyPlan, None]:
    """A plan that was saved, and what was typed over it."""
    from aiida_lpsgb.workflows.guessed import recipes
    from aiida_lpsgb.workflows.study_file import read_plan

    plan = read_plan(path, given["scale"])
    if given["charges"] or given["mobile"] or given["cutoffs"] or given["no_units"]:
        raise ValueError(
            f"{path} has its charges, mobile ion and bonds already: change them there, or with --set "
            "(ordering.charges, mobile, transport.analyse)"
        )
    asked = _systems_asked(given)
    more = {}
    if any(asked.values()):
        material = _material(plan.crystal, given, plan.overrides)
        more = recipes(material, **asked)
        more.pop("crystal")
    return plan.changed(_overrides(given), more, protocol=given["protocol"], **_attributes(given)), None


# --- what is shown --------------------------------------------------------------------------------------------------


def _show_guesses(crystal: str, material: Material) -> None:
    from aiida_lpsgb.structures.guess import LABELS, written

    click.echo(f"{material.formula} ({crystal})\n\nGuessed")
    for name, label in LABELS.items():
        guessed = getattr(material, name)
        reason = f"({guessed.reason})"
        _item(label, f"{written(guessed.value)} {reason}", None if guessed.reason == "as given" else CHANGES.get(name))
    for question in material.questions:
        _item("question", question, None)


def _show_study(plan: StudyPlan, builder: ProcessBuilder) -> None:
    """What will be run, and what it costs at most."""
    from aiida.plugins import WorkflowFactory

    from aiida_lpsgb.calculations.label.engine import level_of
    from aiida_lpsgb.structures.ordering import primitive_cell
    from aiida_lpsgb.workflows.crystal import structure_of
    from aiida_lpsgb.workflows.estimate import estimate, how, total

    click.echo("\nTo run")
    described = WorkflowFactory("lpsgb.study").get_available_protocols()[plan.protocol]
    _item("protocol", f"{plan.protocol}: {described}", "--protocol fast|moderate|paper")
    inputs, structure = builder._inputs(prune=True), structure_of(plan.crystal)
    if "potential" in inputs:
        level = level_of(inputs["label"]["engine"]) or "of a level of theory that its engine names"
        _item("labels", level, "--label LEVEL (aiida-lpsgb levels)")
        learning = builder.active_learning.settings.get_dict()
        chosen = "the level that is chosen" if "passive_learning" in inputs else f"level {builder.potential['level']}"
        _item(
            "learning",
            f"{learning['n_potentials']} potentials of {chosen}, explored at "
            f"{_listed(learning['temperatures_K'])} K until no grade exceeds {learning['gamma_break'][-1]}",
            "--set potential.level=14 or --set active_learning.settings.temperatures_K=[500,900]",
        )
    else:
        _item("potentials", f"{len(inputs['potentials'])} given, nothing is learned", None)
    if "reference_md" in inputs:
        settings = inputs["reference_md"]["settings"]
        _item(
            "start",
            f"{settings['n_samples']} frames of {settings['duration_ps']:g} ps of the label engine's own dynamics at "
            f"{_listed(settings['temperatures_K'])} K, beside strained and rattled cells",
            "--set reference_md=null or --set reference_md.settings.duration_ps=1",
        )
    if builder.ordering.get_dict().get("primitive"):
        small, whole = (round(cell.composition.num_atoms) for cell in (primitive_cell(structure), structure))
        _item("cell", f"primitive, {small} atoms where the given one has {whole}", "--set ordering.primitive=false")
    _item("systems", ", ".join(inputs["systems"]), "--boundary, --twist, --glass, --interface")
    _show_boundaries(inputs)
    transport = builder.transport
    _item(
        "transport",
        f"{_listed(transport.temperatures.get_list())} K, {transport.n_replicas.value} run of each",
        "--set transport.temperatures_K=[700,500,300] or --set transport.n_replicas=2",
    )
    if "returns" in inputs:
        share = f"more than {builder.returns['max_share']:.0%} of a system's watched frames extrapolate"
        _item("back to learning", f"where {share}, and all is run again", "--set returns=null")
    _item("seed", str(builder.seed.value), "--seed N")

    click.echo(f"\n{'At most':<66}{'labels':>6}{'core-hours':>12}")
    costs = estimate(builder, structure)
    for cost in [*costs, total(costs)]:
        click.echo(f"  {cost.part:<23}{cost.amount:<41}{cost.labels or '':>6}{cost.core_hours:>12.1f}")
    click.echo(textwrap.fill(f"({how(builder)}.)", WIDTH, initial_indent="  ", subsequent_indent="  "))


def _show_boundaries(inputs: Mapping[str, Any]) -> None:
    """How the grains of each boundary lie in the cell of the crystal, and what is not as it was asked for."""
    from aiida_lpsgb.calculations.functions.recipes import boundary_requests
    from aiida_lpsgb.calculations.functions.structure_requests import boundary_of_crystal

    systems = {name: recipe.get_dict() for name, recipe in inputs["systems"].items()}
    for name, request in boundary_requests(systems).items():
        found = boundary_of_crystal(request, inputs["crystal"]).describe()
        planes = " and ".join(dict.fromkeys(str(found[key]) for key in ("plane_1", "plane_2")))
        label = "" if found["nominal_sigma"] is None else f", Σ{found['nominal_sigma']}"
        lying = f"{found['kind']} on {planes}, {found['true_angle_deg']:.2f}° about {found['axis']}{label}"
        _item(name, "; ".join([f"{lying}, in the cell of the crystal", *found["notes"]]), None)


def _item(label: str, text: str, change: str | None) -> None:
    wrapped = textwrap.fill(text, WIDTH - INDENT, break_on_hyphens=False, break_long_words=False).splitlines()
    click.echo(f"  {label:<{INDENT - 2}}" + ("\n" + " " * INDENT).join(wrapped))
    if change:
        click.echo(" " * INDENT + f"change: {change}")


def _listed(numbers: list[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


# --- levels of theory -----------------------------------------------------------------------------------------------


@click.command()
def levels() -> None:
    """List the levels of theory of every label engine; --label takes ENGINE:LEVEL."""
    from aiida_lpsgb.calculations.label import engine as engines

    for name in engines.names():
        try:
            known = engines.load(name).LEVELS
        except ValueError as error:
            click.echo(f"{name}: {error}")
            continue
        click.echo(f"{name}:")
        for level in known.levels:
            protocols = [protocol for protocol, own in known.protocols.items() if own == level]
            click.echo(f"  {level}" + (f"  (protocol {', '.join(protocols)})" if protocols else ""))
