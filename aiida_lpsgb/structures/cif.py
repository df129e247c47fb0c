"""CIF files as they are found: partial occupancies, shared sites and sloppy habits, each read or refused with its line.

What goes wrong quietly elsewhere is checked here: a value left out of a row, occupancies that add up to more than one,
two elements in one type symbol (Pauling file, Springer), symmetry that is named but not found, and atoms that are not
those of the formula that the file states.
"""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np
from pymatgen.core import Composition, Element, Lattice, Structure
from pymatgen.core.operations import SymmOp
from pymatgen.io.cif import CifBlock, CifParser

from aiida_lpsgb.structures.space_group import (
    fits,
    group_of,
    number_of,
    number_of_settings,
    operations_of,
    settings_of_cell,
    settings_of_hall,
    settings_of_name,
    settings_of_number,
)
from aiida_lpsgb.structures.validation import StructureWarning

__all__ = ["read_cif"]

#: Positions that differ by less are one site, in Å: coordinates are often given to three decimals.
SITE_TOLERANCE = 0.05
#: What a missing value is written as; the default of an occupancy is 1 (IUCr core dictionary).
UNKNOWN = (".", "?", "")
#: Isotopes are read as their element.
ISOTOPES = {"D": "H", "T": "H"}
#: Type symbols that stand for more atoms than they place.
GROUPS = ("Wat", "OH", "OH2", "H2O", "NH4", "NH3", "CH3", "CH2")
#: How a share of a site that is vacant is written.
VACANT = re.compile(r"(?:Vac?|VAC?|□)(?![A-Za-z])")
VACANCIES = ("Va", "Vac", "VA", "VAC", "X", "□")

TOKEN = re.compile(r"""'(?P<single>.*?)'(?=\s|$)|"(?P<double>.*?)"(?=\s|$)|(?P<comment>\#.*)|(?P<bare>\S+)""")
SHARE = re.compile(r"(\d*\.\d+|\d+)(?:\(\d+\))?\s*([A-Z][a-z]?)(?![a-z])")
#: The same the other way round, as in Li0.5Na0.5.
SHARES_BEHIND = re.compile(r"([A-Z][a-z]?\s*\d*\.\d+[\s,+]*){2,}")
SHARE_BEHIND = re.compile(r"([A-Z][a-z]?)\s*(\d*\.\d+)")
OPERATION = re.compile(r"[xyzXYZ0-9+\-*/.\s]*[xyzXYZ][xyzXYZ0-9+\-*/.\s]*")
OPERATION_TAGS = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz")
HALL_TAGS = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
NAME_TAGS = ("_space_group_name_h-m_alt", "_symmetry_space_group_name_h-m")
NUMBER_TAGS = ("_space_group_it_number", "_symmetry_int_tables_number")


@dataclass
class _Block:
    """One data block: single values and columns of loops by lower-case tag, and the line of every loop's rows."""

    name: str
    values: dict[str, str] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=dict)
    lines: dict[str, list[int]] = field(default_factory=dict)

    def value(self, *tags: str) -> str | None:
        """The first of the tags that has a value."""
        for tag in tags:
            text = self.values.get(tag) or next(iter(self.columns.get(tag, ())), None)
            if text is not None and text not in UNKNOWN:
                return text
        return None


@dataclass(frozen=True)
class _Row:
    """A row of the atom-site loop: one position and what occupies it (such as ``Li`` or ``Fe3+``)."""

    label: str
    line: int
    shares: Mapping[str, float]
    position: tuple[float, float, float]


def read_cif(
    source: str | PathLike,
    occupancy_tolerance: float = 1.02,
    *,
    check_formula: bool = True,
    oxidation_states: bool = False,
) -> Structure:
    """Read the only structure of a CIF file, partial occupancies kept.

    Deuterium and tritium are read as hydrogen, and positions within 0.05 Å of a special one are put on it.

    Parameters
    ----------
    source : path, or the text of a CIF
        A string of several lines is taken as the text itself.
    occupancy_tolerance : float
        Site occupancies between 1 and this are rounding and scaled back to 1.
    check_formula : bool
        Whether atoms that are not those of the file's own ``_chemical_formula_sum`` and ``_cell_formula_units_Z`` are
        refused (if off by half an atom and 5 %) or warned of.
    oxidation_states : bool
        Whether species keep the oxidation states that the file gives (to all of them).

    Returns
    -------
    pymatgen.core.Structure
        The conventional cell as the file states it, sites labelled as in the file.

    Raises
    ------
    ValueError
        If the file holds no structure or more than one, or a row of it cannot be right; the message names site and
        line.
    """
    is_text = isinstance(source, str) and ("\n" in source or source.startswith("data_"))
    text = str(source) if is_text else Path(source).read_bytes().decode("utf-8-sig", errors="replace")
    blocks = [block for block in _blocks(text) if "_atom_site_fract_x" in block.columns]
    if len(blocks) != 1:
        what = "no atom sites with fractional coordinates" if not blocks else ", ".join(block.name for block in blocks)
        raise ValueError(f"expected one structure in the CIF, found {len(blocks)} ({what})")
    (block,) = blocks
    lattice, rows = _lattice(block), _rows(block)
    structure = _in_settings(block, rows, lattice, occupancy_tolerance)
    if not oxidation_states or not all("+" in name or "-" in name for row in rows for name in row.shares):
        structure.remove_oxidation_states()
    if check_formula:
        _compare_formula(block, structure)
    return structure


def _blocks(text: str) -> list[_Block]:
    """Read every data block."""
    found: list[_Block] = []
    tokens = _tokens(text)
    i = 0
    while i < len(tokens):
        word, line, quoted = tokens[i]
        i += 1
        if quoted:
            continue
        if word.lower().startswith("data_"):
            found.append(_Block(word[5:]))
        elif not found:
            continue
        elif word.lower() == "loop_":
            i = _loop(found[-1], tokens, i, line)
        elif word.startswith("_") and i < len(tokens):
            if not tokens[i][2] and tokens[i][0].startswith("_"):
                continue  # a tag without a value
            found[-1].values[_tag(word)] = tokens[i][0].strip()
            i += 1
    return found


def _loop(block: _Block, tokens: Sequence[tuple[str, int, bool]], i: int, line: int) -> int:
    """Read one loop and return where it ends."""
    tags, values = [], []
    while i < len(tokens) and not tokens[i][2] and tokens[i][0].startswith("_"):
        tags.append(_tag(tokens[i][0]))
        i += 1
    while i < len(tokens) and (tokens[i][2] or not _is_keyword(tokens[i][0])):
        values.append(tokens[i])
        i += 1
    if tags and len(values) % len(tags):
        raise ValueError(_uneven(tags, values, line))
    for k, tag in enumerate(tags):
        column = values[k :: len(tags)]
        block.columns[tag] = [word.strip() for word, _, _ in column]
        block.lines[tag] = [number for _, number, _ in column]
    return i


def _uneven(tags: Sequence[str], values: Sequence[tuple[str, int, bool]], line: int) -> str:
    """Say which row of a loop has a value too few or too many."""
    on_line = Counter(number for _, number, _ in values)
    odd = [number for number, count in on_line.items() if count != len(tags)]
    where = f"line {odd[0]} has {on_line[odd[0]]}" if odd else f"the loop has {len(values)}"
    return f"the loop of {tags[0]} (line {line}) has rows of {len(tags)} values, but {where}"


def _tokens(text: str) -> list[tuple[str, int, bool]]:
    """Split a CIF into words, each with its line and whether it was quoted."""
    found: list[tuple[str, int, bool]] = []
    block: list[str] | None = None
    start = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if block is not None:
            if line.startswith(";"):
                found.append(("\n".join(block), start, True))
                block, line = None, line[1:]
            else:
                block.append(line)
                continue
        elif line.startswith(";"):
            block, start = [line[1:]], number
            continue
        for match in TOKEN.finditer(line):
            if match["comment"] is not None:
                break
            quoted = match["bare"] is None
            word = next(match[key] for key in ("single", "double", "bare") if match[key] is not None)
            found.append((word, number, quoted))
    return found


def _tag(word: str) -> str:
    """Tags are compared without case; later dictionaries write a category with a dot."""
    return word.lower().replace(".", "_")


def _is_keyword(word: str) -> bool:
    return word.startswith("_") or word.lower().startswith(("loop_", "data_", "save_", "stop_", "global_"))


def _number(text: str, what: str) -> float:
    """Read a number, its standard uncertainty in parentheses left out."""
    try:
        number = float(re.sub(r"\(\d*\)$", "", text))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{what} is {text!r}, not a number")
    return number


def _lattice(block: _Block) -> Lattice:
    values = []
    for name in ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"):
        text = block.value(f"_cell_{name}")
        if text is None:
            raise ValueError(f"the CIF has no _cell_{name}")
        values.append(_number(text, f"_cell_{name}"))
    lattice = Lattice.from_parameters(*values)
    if not lattice.volume > 1.0:
        raise ValueError(f"the cell {values} of the CIF has no volume")
    return lattice


def _in_settings(block: _Block, rows: Sequence[_Row], lattice: Lattice, tolerance: float) -> Structure:
    """The structure; of several origins that the space group's name leaves open, in the one that the formula tells."""
    settings = _operations(block, lattice)
    if len(settings) == 1:
        return _structure(lattice, _sites(rows, lattice, settings[0]), tolerance)
    found = []
    for operations in settings:
        try:
            structure = _structure(lattice, _sites(rows, lattice, operations), tolerance)
        except ValueError:
            continue
        if _formula(block) is not None and not _differences(block, structure)[1]:
            found.append(structure)
    if len(found) == 1:
        return found[0]
    name = block.value(*HALL_TAGS, *NAME_TAGS, *NUMBER_TAGS)
    raise ValueError(
        f"the space group {name!r} has several origins, and the CIF does not tell which is meant: list its operations "
        "as _space_group_symop_operation_xyz, or name the choice, as in 'F d -3 m :2'"
    )


def _operations(block: _Block, lattice: Lattice) -> list[list[SymmOp]]:
    """Symmetry operations as listed, or those of every setting that the names of the space group may mean."""
    listed = _listed(block)
    names = [text for tags in (HALL_TAGS, NAME_TAGS, NUMBER_TAGS) if (text := block.value(*tags))]
    if len(listed) > 1:
        _compare_names(block, number_of(listed, lattice))
        found = [listed]
    else:
        found = _named(block, names, lattice)
        if not names and not listed:
            message = "the CIF tells no symmetry: the atoms that it lists are taken for all of the cell"
            warnings.warn(message, StructureWarning, stacklevel=4)
        elif listed and len(found[0]) > 1:
            raise ValueError(_not_found(names[0]))
    fitting = [operations for operations in found if fits(operations, lattice)]
    if not fitting:
        cell = ", ".join(f"{x:g}" for x in lattice.parameters)
        what = "the symmetry operations listed" if len(listed) > 1 else f"the space group {names[0]!r}"
        raise ValueError(f"the cell ({cell}) has not the symmetry of {what}: correct the one or the other")
    return fitting


def _listed(block: _Block) -> list[SymmOp]:
    """The operations that the file lists."""
    for tag in OPERATION_TAGS:
        listed = block.columns.get(tag) or [text for text in (block.value(tag),) if text]
        for number, text in enumerate(listed, start=1):
            parts = text.split(",")
            if len(parts) != 3 or not all(OPERATION.fullmatch(part) for part in parts):
                raise ValueError(f"symmetry operation {number} of {tag} is {text!r}, not such as 'x, -y, z+1/2'")
        if listed:
            return _by_pymatgen({tag: listed})
    return []


def _named(block: _Block, names: Sequence[str], lattice: Lattice) -> list[list[SymmOp]]:
    """Operations of the settings that the names of the space group may mean; the identity where none is named."""
    if not names:
        return [[SymmOp.from_rotation_and_translation()]]
    hall, name, number = _settings(block)
    found = hall or name
    if not found and (text := block.value(*NAME_TAGS)):
        # An older name, perhaps (C m c a), or one whose setting is told by the number as there is no other.
        operations = _by_pymatgen({"_symmetry_space_group_name_H-M": text})
        if len(operations) > 1:
            return [operations]
        number = number if len(number) == 1 == number_of_settings(number[0]) else []
    found = found or number
    if not found:
        raise ValueError(_not_found(block.value(*NAME_TAGS) or names[0]))
    groups = {group_of(setting) for setting in found}
    for others in (name, number):
        if others and not groups & {group_of(setting) for setting in others}:
            raise ValueError(
                f"the CIF names the space groups {', '.join(map(repr, names))}, which contradict each other, and lists "
                "no symmetry operations: correct the names, or add the operations as _space_group_symop_operation_xyz"
            )
    return [operations_of(setting) for setting in settings_of_cell(found, lattice)]


def _settings(block: _Block) -> tuple[list[int], list[int], list[int]]:
    """Settings by the Hall symbol, the name and the number; none where these are not given or not known."""
    hall, name, number = (block.value(*tags) for tags in (HALL_TAGS, NAME_TAGS, NUMBER_TAGS))
    return (
        settings_of_hall(hall) if hall else [],
        settings_of_name(name) if name else [],
        settings_of_number(int(_number(number, "the number of the space group"))) if number else [],
    )


def _compare_names(block: _Block, number: int | None) -> None:
    """Warn where the operations listed are not those of the space group that is named."""
    others = {group_of(setting) for settings in _settings(block) for setting in settings} - {number}
    if number is not None and others:
        warnings.warn(
            f"the symmetry operations that the CIF lists are those of space group {number}, and it names "
            f"{', '.join(map(str, sorted(others)))}: those listed are taken",
            StructureWarning,
            stacklevel=5,
        )


def _by_pymatgen(given: Mapping[str, str | list[str]]) -> list[SymmOp]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CifParser.from_str("data_empty\n").get_symops(CifBlock(dict(given), [], ""))


def _not_found(name: str) -> str:
    return (
        f"the CIF names the space group {name!r} but lists no symmetry operations, and they are not found by that "
        "name: add them as _space_group_symop_operation_xyz"
    )


def _rows(block: _Block) -> list[_Row]:
    """Read the rows of the atom-site loop that place an atom."""
    columns = {tag.removeprefix("_atom_site_"): c for tag, c in block.columns.items() if tag.startswith("_atom_site_")}
    lines = block.lines["_atom_site_fract_x"]
    named = _formula(block)
    states = _oxidation_numbers(block)
    found = []
    for i, line in enumerate(lines):
        row = {key: column[i] for key, column in columns.items() if len(column) == len(lines)}
        label = row.get("label") or row.get("type_symbol") or f"in row {i + 1}"
        site = f"site {label} (line {line})"
        if row.get("calc_flag") == "dum":
            continue
        coordinates = [row.get(f"fract_{axis}", "?") for axis in "xyz"]
        if any(text in UNKNOWN for text in coordinates):
            raise ValueError(f"{site} has no position ({' '.join(coordinates)})")
        hydrogens = row.get("attached_hydrogens", "0")
        if hydrogens not in UNKNOWN and _number(hydrogens, f"{site}: the number of attached hydrogens") > 0:
            raise ValueError(f"{site} has {hydrogens} hydrogen attached whose positions are not given: add them")
        occupancy = row.get("occupancy", "1")
        share = 1.0 if occupancy in UNKNOWN else _number(occupancy, f"the occupancy of {site}")
        if share < 0:
            raise ValueError(f"the occupancy of {site} is negative ({occupancy})")
        shares = _shares(row, share, site, named, states)
        if share > 0 and shares:
            x, y, z = (_number(text, f"a coordinate of {site}") for text in coordinates)
            found.append(_Row(label, line, shares, (x, y, z)))
    if not found:
        raise ValueError("the CIF lists no occupied site")
    return found


def _oxidation_numbers(block: _Block) -> dict[str, str]:
    """Oxidation number of each type symbol, written as the end of a species' name (``2-``)."""
    symbols, numbers = (block.columns.get(f"_atom_type_{key}", []) for key in ("symbol", "oxidation_number"))
    known = [(symbol, number) for symbol, number in zip(symbols, numbers, strict=False) if number not in UNKNOWN]
    return {symbol: _charge(_number(number, f"the oxidation number of {symbol}")) for symbol, number in known}


def _charge(number: float) -> str:
    return f"{abs(number):g}{'-' if number < 0 else '+'}"


def _state(symbol: str, states: Mapping[str, str]) -> str:
    """End of a species' name with its oxidation state, as the loop of types or the symbol itself gives it."""
    match = re.fullmatch(r"[A-Za-z]+(\d*)([+-])|[A-Za-z]+([+-])(\d+)", symbol)
    if symbol in states or match is None:
        return states.get(symbol, "")
    size, sign = (match[1], match[2]) if match[2] else (match[4], match[3])
    return f"{size or 1}{sign}"


def _shares(
    row: Mapping[str, str], occupancy: float, site: str, named: Composition | None, states: Mapping[str, str]
) -> dict[str, float]:
    """Species of a row and their shares of the site."""
    symbol = row.get("type_symbol", "?")
    text = symbol if symbol not in UNKNOWN else row.get("label", "?")
    plain = VACANT.sub("Va", re.sub(r"<(sup|sub)>.*?</\1>", "", text))
    # A whole number before an element is that of an isotope.
    plain = re.sub(r"^\d+(?=[A-Z][a-z]?\b)", "", plain)
    # Labels are free: Li1A names no share of anything, and Li0.5Na0.5 does.
    pairs = _pairs(plain) if symbol not in UNKNOWN or "." in plain else []
    if pairs:
        return _of_pairs(pairs, text, occupancy, site)
    if re.search(r"[A-Za-z]\s*[,/]\s*[A-Z]", plain):
        raise ValueError(f"{site}: {text!r} names several elements without their shares")
    if any(plain == group or re.fullmatch(rf"{group}\d*", plain) for group in GROUPS):
        raise ValueError(f"{site}: {text!r} stands for a group of atoms: give each atom a row of its own")
    if plain in VACANCIES:
        return {}
    element = _element(plain, site, named)
    if symbol not in UNKNOWN and _names_another(plain[len(element) :]):
        raise ValueError(f"{site}: {text!r} names several elements without their shares")
    return {element + _state(symbol, states): occupancy}


def _pairs(plain: str) -> list[tuple[str, str]]:
    """Shares and names of a symbol of several elements, or of one with its share before it; else none."""
    if SHARES_BEHIND.fullmatch(plain):
        return [(share, name) for name, share in SHARE_BEHIND.findall(plain)]
    pairs = SHARE.findall(plain)
    return pairs if len(pairs) > 1 or plain[:1] in "0123456789." else []


def _of_pairs(pairs: Sequence[tuple[str, str]], text: str, occupancy: float, site: str) -> dict[str, float]:
    """Shares of a site by element, of the numbers that its symbol and its occupancy give."""
    mixed = [(_element(name, site, None), float(share)) for share, name in pairs if name != "Va"]
    total = sum(share for _, share in mixed)
    # The shares are of the site, or of its occupants where these fill it only in part.
    factor = occupancy if abs(total - 1) < 0.02 or abs(occupancy - 1) < 1e-6 else 1.0
    if factor == 1.0 and min(abs(occupancy - 1), abs(occupancy - total)) > 0.02:
        raise ValueError(f"{site}: the shares of {text!r} add up to {total:g}, and its occupancy is {occupancy:g}")
    shares: dict[str, float] = {}
    for element, share in mixed:
        shares[element] = shares.get(element, 0.0) + share * factor
    return shares


def _names_another(rest: str) -> bool:
    """Whether what follows an element in a type symbol is another one: not so a charge (Fe3+, P(V)) or water's W."""
    rest = re.sub(r"\([IVX]*\)", "", rest)
    names = re.findall(r"(?<!\d)[A-Z](?![a-z])|[A-Z][a-z]", rest) if rest != "W" else []
    return any(Element.is_valid_symbol(name) for name in names)


def _element(text: str, site: str, named: Composition | None) -> str:
    """Element that a type symbol or label begins with; of two readings, the one that the formula names."""
    letters = re.match(r"[A-Za-z]*", text).group()
    if letters[:1].upper() in ISOTOPES and not letters[1:2].islower():
        return ISOTOPES[letters[:1].upper()]
    readings = [name for name in (letters[:2].title(), letters[:1].upper()) if name and Element.is_valid_symbol(name)]
    if named is not None:
        readings.sort(key=lambda name: Element(name) not in named.elements)
    if not readings:
        raise ValueError(f"{site}: {text!r} names no element")
    return readings[0]


@dataclass
class _Site:
    """A position, its images under the symmetry, and the rows that share it."""

    images: np.ndarray
    rows: list[_Row]


def _sites(rows: Sequence[_Row], lattice: Lattice, operations: Sequence[SymmOp]) -> list[_Site]:
    """Expand the rows by symmetry; rows at one position make one site."""
    rotations = np.array([operation.rotation_matrix for operation in operations])
    shifts = np.array([operation.translation_vector for operation in operations])
    found: list[_Site] = []
    for row in rows:
        position = np.array(row.position)
        for site in found:
            if _apart(site.images, position, lattice).min() < SITE_TOLERANCE:
                site.rows.append(row)
                break
        else:
            # The images on the position itself average to the special position.
            images = rotations @ position + shifts
            stays = _apart(images, position, lattice) < SITE_TOLERANCE
            near = images[stays] - np.round(images[stays] - position)
            position = near.mean(axis=0)
            images = (rotations @ position + shifts) % 1.0
            distinct: list[np.ndarray] = []
            for image in images:
                if not distinct or _apart(np.array(distinct), image, lattice).min() >= SITE_TOLERANCE:
                    distinct.append(image)
            found.append(_Site(np.array(distinct), [row]))
    return found


def _apart(points: np.ndarray, point: np.ndarray, lattice: Lattice) -> np.ndarray:
    """Distances in Å of points from one point, nearest images (exact for distances much shorter than the cell)."""
    difference = points - point
    return np.linalg.norm((difference - np.round(difference)) @ lattice.matrix, axis=-1)


def _structure(lattice: Lattice, sites: Sequence[_Site], tolerance: float) -> Structure:
    """Check the occupancies of every site and put the structure together."""
    species, positions, labels = [], [], []
    for site in sites:
        shares: dict[str, float] = {}
        for row in site.rows:
            for name, share in row.shares.items():
                shares[name] = shares.get(name, 0.0) + share
        total = sum(shares.values())
        if total > tolerance:
            raise ValueError(_overfull(site, total, tolerance))
        if total > 1.0:
            shares = {name: share / total for name, share in shares.items()}
        species += [shares] * len(site.images)
        positions += site.images.tolist()
        labels += ["/".join(dict.fromkeys(row.label for row in site.rows))] * len(site.images)
    return Structure(lattice, species, positions, labels=labels).get_sorted_structure()


def _overfull(site: _Site, total: float, tolerance: float) -> str:
    place = ", ".join(f"{x:.4f}".rstrip("0").rstrip(".") for x in site.rows[0].position)
    parts = ", ".join(f"{species} {share:.2f}" for row in site.rows for species, share in row.shares.items())
    named = ", ".join(f"{row.label} in line {row.line}" for row in site.rows)
    return (
        f"occupancies of the site at ({place}) add up to {total:.2f} ({parts}; {named}); up to {tolerance:.2f} is "
        "taken for rounding"
    )


def _formula(block: _Block) -> Composition | None:
    """The chemical formula that the file states, isotopes as their elements."""
    text = block.value("_chemical_formula_sum")
    if text is None:
        return None
    try:
        found = Composition(text.replace(",", " "))
    except (ValueError, KeyError):
        return None
    amounts: dict[str, float] = {}
    for element, amount in found.items():
        symbol = ISOTOPES.get(element.symbol, element.symbol)
        amounts[symbol] = amounts.get(symbol, 0.0) + amount
    return Composition(amounts)


def _compare_formula(block: _Block, structure: Structure) -> None:
    """Compare the atoms of the cell with the formula that the file states."""
    stated = _formula(block)
    if stated is None or not stated.num_atoms:
        return
    n, off = _differences(block, structure)
    if not off:
        return
    read = structure.composition.element_composition
    listed = ", ".join(f"{e} {read[e]:.3g} instead of {n * stated[e]:.3g}" for e in off)
    message = (
        f"the cell's atoms ({_plain(read)}) are not those of the formula that the CIF states ({_plain(stated)}, "
        f"Z = {n:g}): {listed}"
    )
    if any(abs(x) > 0.5 - 1e-6 and abs(x) > 0.05 * n * stated[e] for e, x in off.items()):
        raise ValueError(f"{message}; correct the file, or read it with check_formula=False if its formula is wrong")
    warnings.warn(message, StructureWarning, stacklevel=3)


def _differences(block: _Block, structure: Structure) -> tuple[float, dict[str, float]]:
    """How many formula units the cell's atoms are nearest to, and by how much they are off, by element."""
    stated, read = _formula(block), structure.composition.element_composition
    given = block.value("_cell_formula_units_z", "_chemical_formula_units_z")
    n_units = _number(given, "_cell_formula_units_Z") if given else 0.0
    # Some programs write the formula of the whole cell beside its Z.
    whole = [1.0] if _may_be_of_cell(stated, n_units) else []
    units = [n_units, *whole] if n_units > 0 else _possible_units(read, stated)
    elements = sorted({element.symbol for element in [*read, *stated]})

    def differences(n: float) -> dict[str, float]:
        missing = {element: read[element] - n * stated[element] for element in elements}
        return {e: x for e, x in missing.items() if abs(x) > max(0.02, 0.01 * n * stated[e])}

    n = min(units, key=lambda n: (len(differences(n)), max(map(abs, differences(n).values()), default=0.0)))
    return n, differences(n)


def _may_be_of_cell(stated: Composition, n_units: float) -> bool:
    """Whether a formula can be that of so many units: its whole numbers are multiples of theirs."""
    whole = [amount for amount in stated.values() if abs(amount - round(amount)) < 1e-6]
    return n_units > 0 and all(round(amount) % n_units == 0 for amount in whole)


def _possible_units(read: Composition, stated: Composition) -> list[float]:
    """Numbers of formula units that the atoms may stand for, where the file does not say."""
    ratios = [read[element] / amount for element, amount in stated.items()]
    return sorted({float(max(1, round(ratio))) for ratio in ratios} | {ratio for ratio in ratios if ratio > 0})


def _plain(composition: Composition) -> str:
    return " ".join(f"{element.symbol}{amount:.4g}" for element, amount in composition.items())
