"""A moment tensor potential."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aiida.orm import SinglefileData
from ase.calculators.calculator import Calculator

from aiida_lpsgb.data.html import described
from aiida_lpsgb.data.species import check_species
from aiida_lpsgb.mtp.potential import MTP


class PotentialData(SinglefileData):
    """One ``.mtp`` file and the species its types stand for.

    Parameters
    ----------
    potential
        Path of an ``.mtp`` file, a binary file object that holds one, or an :class:`~aiida_lpsgb.mtp.potential.MTP`.
    species
        Chemical symbols in the order of the potential's types: type 0 is the first.
    training_errors
        Errors on the training set, with the unit in each key, such as ``{'forces_mae_ev_angstrom': 0.05}``.
    trained
        Whether the coefficients come from a training; if not given, whether there are any.

    Raises
    ------
    ValueError
        If the file is not a complete potential, has coefficients that are not finite, or has another number of
        species than the list.

    Notes
    -----
    Attributes to query: ``species``, ``n_species``, ``level`` (None if the basis is of no known level),
    ``cutoff_angstrom``, ``min_distance_angstrom``, ``radial_basis_type``, ``radial_basis_size``, ``n_parameters``,
    ``trained``, ``training_errors``.
    """

    FILENAME = "potential.mtp"

    def __init__(
        self,
        potential: str | Path | io.IOBase | MTP,
        species: Iterable[str],
        training_errors: Mapping[str, float] | None = None,
        trained: bool | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(potential, MTP):
            text = potential.to_string()
        elif isinstance(potential, (str, Path)):
            text = Path(potential).read_text(encoding="utf-8")
        else:
            content = potential.read()
            text = content.decode() if isinstance(content, bytes) else content
        attributes = _describe(MTP.from_string(text), check_species(species), dict(training_errors or {}))
        super().__init__(io.BytesIO(text.encode()), filename=self.FILENAME, **kwargs)
        if trained and not attributes["trained"]:
            raise ValueError("trained is true, but the potential has no coefficients")
        self.base.attributes.set_many(attributes if trained is None else {**attributes, "trained": trained})

    @classmethod
    def from_string(
        cls, text: str, species: Iterable[str], training_errors: Mapping[str, float] | None = None
    ) -> PotentialData:
        """Return a node for the text of an ``.mtp`` file."""
        return cls(io.StringIO(text), species, training_errors)

    @property
    def mtp(self) -> MTP:
        """The potential as an object of this package's AiiDA-free layer."""
        return MTP.from_string(self.get_mtp())

    @property
    def species(self) -> list[str]:
        """Chemical symbols in the order of the potential's types."""
        return list(self.base.attributes.get("species"))

    @property
    def level(self) -> int | None:
        """Level of the basis, None if it is of no known level."""
        return self.base.attributes.get("level")

    @property
    def cutoff(self) -> float:
        """Cut-off radius in Å."""
        return self.base.attributes.get("cutoff_angstrom")

    @property
    def n_parameters(self) -> int:
        """Number of parameters that training determines."""
        return self.base.attributes.get("n_parameters")

    @property
    def trained(self) -> bool:
        """Whether the coefficients come from a training, rather than being random or not there."""
        return self.base.attributes.get("trained")

    @property
    def training_errors(self) -> dict[str, float]:
        """Errors on the training set, the unit in each key; empty if not known."""
        return dict(self.base.attributes.get("training_errors"))

    def get_mtp(self) -> str:
        """Return the text of the ``.mtp`` file."""
        return self.get_content()

    def get_ase(self) -> Calculator:
        """Return an ASE calculator of the potential."""
        # It loads the compiled kernel, which reading a node does not need.
        from aiida_lpsgb.mtp.calculator import MTPCalculator

        return MTPCalculator(self.mtp, self.species)

    def _repr_html_(self) -> str:
        """What it is, in a notebook."""
        rows = {
            "level": self.level,
            "species": self.species,
            "cut-off (Å)": self.cutoff,
            "parameters": self.n_parameters,
            "trained": self.trained,
            **{key.replace("_", " "): value for key, value in self.training_errors.items()},
        }
        return described(self, "Moment tensor potential", rows)

    def _prepare_mtp(self, main_file_name: str = "") -> tuple[bytes, dict]:
        """Give the ``.mtp`` file to ``Data.export``."""
        return self.get_mtp().encode(), {}


def _describe(mtp: MTP, species: list[str], errors: dict[str, float]) -> dict[str, Any]:
    if mtp.n_species != len(species):
        raise ValueError(f"species lists {len(species)} symbols {species}, the potential has {mtp.n_species} species")
    bad = sorted(key for key, value in errors.items() if not math.isfinite(value))
    if bad:
        raise ValueError(f"training_errors has values that are not finite: {bad}")
    return {
        "species": species,
        "n_species": mtp.n_species,
        "level": mtp.level,
        "cutoff_angstrom": float(mtp.cutoff),
        "min_distance_angstrom": float(mtp.min_distance),
        "radial_basis_type": mtp.radial_basis_type,
        "radial_basis_size": int(mtp.radial_basis_size),
        "n_parameters": int(mtp.n_parameters),
        "trained": bool(mtp.trained),
        "training_errors": {key: float(errors[key]) for key in sorted(errors)},
    }
