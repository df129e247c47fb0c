"""One face for the potentials that `lpsgb.md` takes: moment tensor potentials, pair styles, those of aiida-lammps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiida import orm
from aiida.common.exceptions import EntryPointError
from aiida.plugins import DataFactory

from aiida_lpsgb.calculations.lammps_script import POTENTIAL_FILE, PairStyle, mtp_pair_style

PotentialData = DataFactory("lpsgb.potential")
PairStyleData = DataFactory("lpsgb.pair_style")
try:
    LammpsPotentialData = DataFactory("lammps.potential")
except EntryPointError:  # the extra `lammps` is not installed
    LammpsPotentialData = None

# Node classes of the port `potential`.
POTENTIAL_TYPES: tuple[type[orm.Data], ...] = tuple(
    kind for kind in (PotentialData, PairStyleData, LammpsPotentialData) if kind is not None
)
# Parameters of `lpsgb.md` that only a moment tensor potential has a use for.
MTP_ONLY = ("pair_style", "extrapolation", "precision")


@dataclass(frozen=True)
class Interaction:
    """A potential as LAMMPS is told it.

    Attributes
    ----------
    pair_style
        Its lines in the input.
    files
        Files to copy: uuid of the node, name there, name in the working folder.
    """

    pair_style: PairStyle
    files: tuple[tuple[str, str, str], ...]


def is_mtp(potential: orm.Data) -> bool:
    """Whether a potential is a moment tensor potential, which can be graded and trained."""
    return isinstance(potential, PotentialData)


def known_species(potential: orm.Data) -> list[str]:
    """Chemical symbols that a potential knows, in the order of LAMMPS's atom types."""
    # From the attributes: `LammpsPotentialData.get_or_create` overwrites the properties of its class.
    return list(potential.base.attributes.get("species"))


def interaction(potential: orm.Data, parameters: Mapping[str, Any]) -> Interaction:
    """Lines and files of a potential for resolved parameters of `lpsgb.md`."""
    if is_mtp(potential):
        files = ((potential.uuid, potential.filename, POTENTIAL_FILE),)
        return Interaction(mtp_pair_style(parameters, potential.species), files)
    if isinstance(potential, PairStyleData):
        style = PairStyle(tuple(potential.species), tuple(potential.lines), potential.charges)
        return Interaction(style, tuple((potential.uuid, name, name) for name in potential.files))
    return _of_aiida_lammps(potential, parameters)


def _of_aiida_lammps(potential: orm.SinglefileData, parameters: Mapping[str, Any]) -> Interaction:
    """Lines as `lammps.base` writes them, with the atom types of all of the potential's species."""
    species = known_species(potential)
    style = potential.base.attributes.get("pair_style")
    options = parameters.get("pair_style_options") or []
    first = " ".join(["pair_style", style, *(str(option) for option in options)])
    if potential.default_potential_info[style].get("read_from_file"):
        name = "potential.dat"
        lines = (first, f"pair_coeff * * {name} {' '.join(species)}")
        return Interaction(PairStyle(tuple(species), lines), ((potential.uuid, potential.filename, name),))
    coefficients = " ".join(potential.get_content().split())
    return Interaction(PairStyle(tuple(species), (first, f"pair_coeff * * {coefficients}")), ())


def potential_error(potential: orm.Data, parameters: Mapping[str, Any] | None = None) -> str | None:
    """Why LAMMPS cannot run a potential, or None.

    Parameters
    ----------
    potential
        A node of one of `POTENTIAL_TYPES`.
    parameters
        Parameters of `lpsgb.md` as given, where they are known.
    """
    parameters = parameters or {}
    if is_mtp(potential):
        if not potential.trained:
            return "potential: it is untrained; train it first (lpsgb.mlp.train)"
        return _useless(potential, parameters, ("pair_style_options",))
    if message := _useless(potential, parameters, MTP_ONLY):
        return message
    if isinstance(potential, PairStyleData):
        return _useless(potential, parameters, ("pair_style_options",))
    units, atom_style = (potential.base.attributes.get(key) for key in ("default_units", "atom_style"))
    if units != "metal":
        return f"potential: its units are {units!r}; lpsgb.md runs in metal units"
    if atom_style != "atomic":
        return f"potential: its atom_style is {atom_style!r}; give it as lpsgb.pair_style, with its charges"
    return None


def _useless(potential: orm.Data, parameters: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    if given := [key for key in keys if parameters.get(key) is not None]:
        return f"parameters: {given} have no meaning with a potential of the kind {potential.class_node_type}"
    return None
