"""Any interaction that LAMMPS knows, as the lines that say it."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from aiida.common.exceptions import ValidationError
from aiida.orm import Data

from aiida_lpsgb.data.html import described
from aiida_lpsgb.data.species import check_species

FORMAT_VERSION = 1
COMMANDS = ("pair_style", "pair_coeff", "pair_modify", "kspace_style", "kspace_modify", "special_bonds", "dielectric")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


class PairStyleData(Data):
    """Lines of a LAMMPS input that define an interaction, the species of its atom types, and the files it reads.

    Parameters
    ----------
    lines
        Lines that begin with ``pair_style``, ``pair_coeff``, ``pair_modify``, ``kspace_style`` …, in this order, in
        LAMMPS's units ``metal`` (eV, Å, ps, bar). A text of several lines will do.
    species
        Chemical symbols in the order of LAMMPS's atom types: type 1 is the first.
    charges
        Charge of each species in e, for styles with charges; all species then.
    files
        Files that the lines name: their contents (bytes or text), or paths, by name.

    Raises
    ------
    ValueError
        If a line is none of a potential's, or lines, species, charges and files do not fit each other.

    Notes
    -----
    Attributes to query: ``style`` (such as ``lj/cut``), ``species``, ``n_species``, ``lines``, ``charges``, ``files``,
    ``format_version``. Equal definitions have equal hashes.

    Examples
    --------
    >>> PairStyleData(["pair_style lj/cut 8.5", "pair_coeff 1 1 0.0104 3.40"], ["Ar"])  # doctest: +SKIP
    """

    trained: ClassVar[bool] = True

    def __init__(
        self,
        lines: str | Iterable[str],
        species: Iterable[str],
        charges: Mapping[str, float] | None = None,
        files: Mapping[str, str | bytes | Path] | None = None,
        **kwargs: Any,
    ) -> None:
        symbols = check_species(species)
        contents = {name: _content(source) for name, source in sorted((files or {}).items())}
        clean = _check_lines(lines.splitlines() if isinstance(lines, str) else lines, contents)
        super().__init__(**kwargs)
        self.base.attributes.set_many(
            {
                "format_version": FORMAT_VERSION,
                "style": clean[0].split()[1],
                "lines": clean,
                "species": symbols,
                "n_species": len(symbols),
                "charges": _check_charges(charges or {}, symbols),
                "files": list(contents),
            }
        )
        for name, content in contents.items():
            self.base.repository.put_object_from_filelike(io.BytesIO(content), name)

    def _validate(self) -> bool:
        super()._validate()
        if sorted(self.base.repository.list_object_names()) != self.files:
            raise ValidationError(f"a pair style holds the files {self.files} and nothing else")
        return True

    @property
    def style(self) -> str:
        """Name of the pair style, such as ``lj/cut``."""
        return self.base.attributes.get("style")

    @property
    def species(self) -> list[str]:
        """Chemical symbols in the order of LAMMPS's atom types."""
        return list(self.base.attributes.get("species"))

    @property
    def lines(self) -> list[str]:
        """Lines of the input."""
        return list(self.base.attributes.get("lines"))

    @property
    def charges(self) -> dict[str, float]:
        """Charge of each species in e; empty where there are none."""
        return dict(self.base.attributes.get("charges"))

    @property
    def files(self) -> list[str]:
        """Names of the files, sorted."""
        return list(self.base.attributes.get("files"))

    def _repr_html_(self) -> str:
        """What it is, in a notebook."""
        rows = {"species": self.species, "lines": "; ".join(self.lines), "charges": self.charges, "files": self.files}
        return described(self, f"Pair style {self.style}", rows)


def _content(source: str | bytes | Path) -> bytes:
    """Content of a file: bytes, a path, or a text that is the path of a file if there is such a file."""
    if isinstance(source, bytes):
        return source
    if isinstance(source, Path):
        return source.read_bytes()
    return source.encode() if "\n" in source or not Path(source).is_file() else Path(source).read_bytes()


def _check_lines(lines: Iterable[str], files: Mapping[str, bytes]) -> list[str]:
    """Lines without comments, blank lines and superfluous spaces."""
    clean = [words for words in (" ".join(line.partition("#")[0].split()) for line in lines) if words]
    for line in clean:
        if line.split()[0] not in COMMANDS or len(line.split()) < 2:
            raise ValueError(f"the line {line!r} is none of a potential's; such lines begin with {', '.join(COMMANDS)}")
    if not clean or not clean[0].startswith("pair_style "):
        raise ValueError("lines should begin with one `pair_style` that names the style")
    if sum(line.startswith("pair_style ") for line in clean) > 1:
        raise ValueError("lines hold `pair_style` more than once; combine styles by `pair_style hybrid`")
    if not any(line.startswith("pair_coeff ") for line in clean):
        raise ValueError("lines hold no `pair_coeff`; every pair style needs some, if only `pair_coeff * *`")
    for name in files:
        if not _NAME.fullmatch(name):
            raise ValueError(f"files: {name!r} is no plain name of a file")
        if not any(name in line.split() for line in clean):
            raise ValueError(f"files: no line names {name!r}")
    return clean


def _check_charges(charges: Mapping[str, float], species: list[str]) -> dict[str, float]:
    if not charges:
        return {}
    if sorted(charges) != sorted(species):
        raise ValueError(f"charges are those of {sorted(charges)}, the species are {sorted(species)}")
    if bad := sorted(symbol for symbol, charge in charges.items() if not math.isfinite(charge)):
        raise ValueError(f"charges of {bad} are not finite")
    return {symbol: float(charges[symbol]) for symbol in sorted(charges)}
