"""Many configurations in one node."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ase.io
from aiida.common.exceptions import ValidationError
from aiida.orm import Data, StructureData
from ase import Atoms
from ase.formula import Formula

from aiida_lpsgb.data.html import described
from aiida_lpsgb.data.left_out import open_file
from aiida_lpsgb.data.species import check_species
from aiida_lpsgb.labelling import container
from aiida_lpsgb.labelling.extxyz import write_extxyz
from aiida_lpsgb.mtp.configurations import iter_cfg, write_cfg


class ConfigurationsData(Data):
    """Configurations, labelled or not, in one file that is read one configuration at a time.

    Iterating or indexing gives :class:`ase.Atoms`. Labels (energy, forces, stress; eV and Å) ride on a
    ``SinglePointCalculator``, and what ``Atoms.info`` held is kept, such as ``mv_grade``, ``temperature_K`` or
    ``source``. Numbers are stored exactly.

    Parameters
    ----------
    images
        Configurations; any iterable, gone through once, so that a generator keeps memory low.
    species
        Species in the order they should have; the species present, sorted, if not given.
    level_of_theory
        What gave the labels, such as ``optB88-vdW`` or ``SevenNet-0``.

    Raises
    ------
    ValueError
        If there are no configurations, one is not finite (labels included), or one has a species that is not listed.

    Notes
    -----
    Attributes to query: ``count``, ``n_atoms`` (in all), ``n_atoms_min``, ``n_atoms_max``, ``formulae``, ``species``,
    ``labelled`` (every configuration has energy and forces), ``n_labelled``, ``has_stress``, ``level_of_theory``, and
    where known ``energy_min_ev_atom``, ``energy_max_ev_atom``, ``force_max_ev_angstrom``, ``max_grade``.
    """

    FILENAME = "configurations.npz"

    def __init__(
        self,
        images: Iterable[Atoms],
        species: Iterable[str] | None = None,
        level_of_theory: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(images, (Atoms, str)) or not isinstance(images, Iterable):
            raise ValueError(f"images must be a list of configurations, not {type(images).__name__}")
        order = None if species is None else check_species(species)
        if level_of_theory is not None and not (isinstance(level_of_theory, str) and level_of_theory.strip()):
            raise ValueError(f"level_of_theory must be a name, not {level_of_theory!r}")
        with tempfile.TemporaryFile() as handle:
            summary = container.write(handle, images)
            if order is not None:
                unlisted = sorted(set(summary["species"]) - set(order))
                if unlisted:
                    raise ValueError(f"configurations contain {unlisted}, which species {order} does not list")
                summary["species"] = order
            handle.seek(0)
            self.base.repository.put_object_from_filelike(handle, self.FILENAME)
        self.base.attributes.set_many(summary | {"level_of_theory": level_of_theory})

    @classmethod
    def from_cfg(
        cls, path: str | Path, species: Iterable[str], level_of_theory: str | None = None
    ) -> ConfigurationsData:
        """Return a node for an MLIP ``.cfg`` file whose types stand for the given species, in order."""
        order = check_species(species)
        return cls(iter_cfg(path, order), order, level_of_theory)

    @classmethod
    def from_extxyz(
        cls, path: str | Path, species: Iterable[str] | None = None, level_of_theory: str | None = None
    ) -> ConfigurationsData:
        """Return a node for an extended XYZ file."""
        return cls(ase.io.iread(path, index=":", format="extxyz"), species, level_of_theory)

    @classmethod
    def from_structures(
        cls, structures: Iterable[StructureData], species: Iterable[str] | None = None
    ) -> ConfigurationsData:
        """Return a node for structures, in order.

        Raises
        ------
        ValueError
            If a structure has partial occupancies: order it first.
        """
        return cls((_ordered_atoms(structure, index) for index, structure in enumerate(structures)), species)

    def _validate(self) -> bool:
        super()._validate()
        if self.base.repository.list_object_names() != [self.FILENAME]:
            raise ValidationError(f"configurations hold the file {self.FILENAME} and nothing else")
        return True

    @contextmanager
    def open_reader(self) -> Iterator[container.Reader]:
        """Give a reader of the configurations, which reads each when asked for it.

        Looping over the node, or indexing it, is enough for most uses; this saves opening the file for each index.
        """
        with open_file(self, self.FILENAME) as handle:
            yield container.Reader(handle)

    def __len__(self) -> int:
        return self.base.attributes.get("count")

    def __iter__(self) -> Iterator[Atoms]:
        with self.open_reader() as reader:
            yield from reader

    def __getitem__(self, index: int | slice) -> Atoms | list[Atoms]:
        with self.open_reader() as reader:
            if isinstance(index, slice):
                return [reader[i] for i in range(*index.indices(len(reader)))]
            return reader[index]

    @property
    def species(self) -> list[str]:
        """Species present (or given), in order."""
        return list(self.base.attributes.get("species"))

    @property
    def elements(self) -> list[str]:
        """Species present, sorted."""
        return sorted({symbol for formula in self.formulae for symbol in Formula(formula).count()})

    @property
    def formulae(self) -> list[str]:
        """The different chemical formulae."""
        return list(self.base.attributes.get("formulae"))

    @property
    def labelled(self) -> bool:
        """Whether every configuration has energy and forces."""
        return self.base.attributes.get("labelled")

    @property
    def level_of_theory(self) -> str | None:
        """What gave the labels, None if not known."""
        return self.base.attributes.get("level_of_theory")

    def _repr_html_(self) -> str:
        """What it holds, in a notebook."""
        rows = {
            "formulae": self.formulae,
            "labelled": self.labelled,
            "level of theory": self.level_of_theory,
            "species": self.species,
        }
        return described(self, f"{len(self)} configurations", rows)

    def get_ase(self) -> list[Atoms]:
        """Return all configurations."""
        return list(self)

    def get_structure(self, index: int) -> StructureData:
        """Return one configuration as a new, unstored structure."""
        return StructureData(ase=self[index])

    def get_cfg(self, species: Iterable[str] | None = None) -> str:
        """Return an MLIP ``.cfg`` file, types numbered in the order of ``species`` (the node's own by default)."""
        order = self.species if species is None else check_species(species)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "configurations.cfg"
            write_cfg(path, self, order)
            return path.read_text(encoding="utf-8")

    def get_extxyz(self) -> str:
        """Return an extended XYZ file, with every number written exactly."""
        stream = io.StringIO()
        write_extxyz(stream, self)
        return stream.getvalue()

    def _prepare_cfg(self, main_file_name: str = "") -> tuple[bytes, dict]:
        """Give a ``.cfg`` file to ``Data.export``."""
        return self.get_cfg().encode(), {}

    def _prepare_extxyz(self, main_file_name: str = "") -> tuple[bytes, dict]:
        """Give an extended XYZ file to ``Data.export``."""
        return self.get_extxyz().encode(), {}


def _ordered_atoms(structure: StructureData, index: int) -> Atoms:
    if structure.is_alloy or structure.has_vacancies:
        raise ValueError(f"structure {index} ({structure.get_formula()}) has partial occupancies: order it first")
    return structure.get_ase()
