"""Relax configurations in one job, with an ASE calculator or with any potential of `lpsgb.md`: `lpsgb.relax`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec

from aiida_lpsgb.calculations.label.ase import AseLabelCalculation
from aiida_lpsgb.calculations.lammps_script import POTENTIAL_FILE
from aiida_lpsgb.calculations.potentials import (
    POTENTIAL_TYPES,
    interaction,
    is_mtp,
    known_species,
    potential_error,
)
from aiida_lpsgb.labelling.relaxation import Plan


class RelaxCalculation(AseLabelCalculation):
    """Relax configurations with `lpsgb-label`, and label them where they come to rest."""

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare ports and outputs; exit codes are those of `lpsgb.label.ase`."""
        super().define(spec)
        spec.inputs["configurations"].help = "Configurations to relax."
        spec.inputs["parameters"].required = False
        spec.inputs["parameters"].help = "Of `lpsgb.label.ase`: the ASE calculator that relaxes; else give `potential`."
        spec.input(
            "potential",
            valid_type=POTENTIAL_TYPES,
            required=False,
            help="The potential that relaxes, as `lpsgb.md` takes it; else give `parameters`.",
        )
        spec.input(
            "relaxation",
            valid_type=orm.Dict,
            serializer=orm.to_aiida_type,
            validator=validate_relaxation,
            help="`cell`: whether the cell relaxes, too (false); `pressure_GPa` (0); `force_tolerance_ev_angstrom` "
            "(0.001); `stress_tolerance_GPa` (0.01); `max_steps` (1000).",
        )
        spec.outputs["configurations"].help = "The configurations that came to rest, labelled, in their order."

    @classmethod
    def validate(cls, inputs: Mapping[str, Any]) -> str | None:
        """Refuse what does not fit: one of `parameters` and `potential`, and a potential that can be run."""
        if "configurations" not in inputs:
            return None  # a work chain that exposes these inputs fills them in
        if ("parameters" in inputs) == ("potential" in inputs):
            return "give either `parameters` (an ASE calculator) or `potential`"
        if "potential" not in inputs:
            return None
        if message := potential_error(inputs["potential"]):
            return message
        known = known_species(inputs["potential"])
        if missing := sorted(set(inputs["configurations"].elements) - set(known)):
            return f"potential: it knows {known} and not {missing}, which the configurations contain"
        return None

    @classmethod
    def program_parameters(cls, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the calculator, from its parameters or of the potential, and the relaxation."""
        calculator = inputs["parameters"].get_dict() if "parameters" in inputs else calculator_of(inputs["potential"])
        return {**calculator, "relaxation": inputs["relaxation"].get_dict()}

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Add the files of the potential."""
        calcinfo = super().prepare_for_submission(folder)
        if "potential" in self.inputs:
            calcinfo.local_copy_list += interaction(self.inputs.potential, {"pair_style": "mtp"}).files
        return calcinfo


def calculator_of(potential: orm.Data) -> dict[str, Any]:
    """Parameters of `lpsgb-label` for a potential, whose files lie in its working folder."""
    species = known_species(potential)
    if is_mtp(potential):
        function, keywords = "mtp", {"path": POTENTIAL_FILE, "species": species}
    else:
        style = interaction(potential, {}).pair_style
        function = "pair_style"
        keywords = {"lines": style.render(), "species": species, "atom_style": style.atom_style}
    return {
        "calculator": f"aiida_lpsgb.labelling.potentials:{function}",
        "keywords": keywords,
        "level_of_theory": potential.class_node_type.rstrip(".").rsplit(".", maxsplit=1)[-1],
    }


def validate_relaxation(node: orm.Dict, _: Any) -> str | None:
    """Refuse what the program would not understand."""
    try:
        Plan.of(node.get_dict())
    except ValueError as error:
        return str(error)
    return None
