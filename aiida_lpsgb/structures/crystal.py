"""A crystal as grain boundaries need it: primitive lattice, whole units, symmetry, planes and directions.

Indices of planes and directions always refer to the cell that was given, in its own axis order. The primitive lattice
(of a centred cell, say) is found and used underneath, so that areas and periods are the true ones.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property

import numpy as np
import spglib
from ase import Atoms
from ase.cell import Cell
from pymatgen.core import Structure

from aiida_lpsgb.structures.coincidence import reduced_basis
from aiida_lpsgb.structures.units import Unit, as_pairs, bond_cutoffs, find_units, inter_unit_distances
from aiida_lpsgb.structures.validation import composition, require_ordered, total_charge

__all__ = ["Crystal", "Flip", "Plane", "fold", "primitive_indices", "read_indices", "site_marks", "spglib_cell"]

#: A relaxed cell differs from its parent's by less than this share.
MAX_CHANGE = 0.3
#: A strain up to which a cell still counts as having its parent's rotations.
MAX_DISTORTION = 0.015


def primitive_indices(indices: Sequence[int], name: str) -> np.ndarray:
    """Check the indices of a plane or direction.

    Parameters
    ----------
    indices : three integers
        Miller or direction indices.
    name : str
        What the message calls them.

    Returns
    -------
    numpy.ndarray, shape (3,)
        The indices, as integers.

    Raises
    ------
    ValueError
        If they are not three integers without a common divisor.
    """
    values = np.asarray(indices, dtype=float)
    if values.shape != (3,) or not np.array_equal(values, np.round(values)):
        raise ValueError(f"{name} must be three integers, not {indices}")
    integers = np.round(values).astype(int)
    divisor = math.gcd(*integers.tolist())
    if divisor == 0:
        raise ValueError(f"{name} must not be zero")
    if divisor != 1:
        raise ValueError(
            f"{name} {integers.tolist()} has the common divisor {divisor}: give {(integers // divisor).tolist()}"
        )
    return integers


def read_indices(text: str) -> list[int]:
    """Read the three integers of ``1,2,0``, ``1 -2 0``, ``(120)`` or (single digits) ``1-20``.

    Raises
    ------
    ValueError
        If they are not three integers.
    """
    words = text.strip("()[] ").replace(",", " ").split()
    if len(words) == 1:
        words = re.findall(r"-?\d", words[0]) if re.fullmatch(r"(-?\d)+", words[0]) else words
    try:
        numbers = [int(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) != 3:
        raise ValueError(f"{text!r} is not three integers, such as 1,-2,0")
    return numbers


@dataclass(frozen=True)
class Flip:
    """An isometry of the crystal that turns a lattice plane's normal round.

    Attributes
    ----------
    kind : {"inversion", "mirror"}
        Inversion at a point, or reflection in the plane (with or without glide).
    height : float
        Height of the centre or mirror along the plane's normal, in Å.
    shift : numpy.ndarray, shape (3,)
        Its translation in Å, in the crystal's Cartesian frame: r → −r + shift, or reflected r + shift.
    """

    kind: str
    height: float
    shift: np.ndarray


@dataclass(frozen=True)
class Plane:
    """A lattice plane.

    Attributes
    ----------
    miller : numpy.ndarray, shape (3,)
        Indices in the cell of the crystal's setting.
    normal : numpy.ndarray, shape (3,)
        Unit normal in the crystal's Cartesian frame.
    spacing : float
        Distance between neighbouring lattice planes, in Å.
    basis : numpy.ndarray, shape (2, 3)
        Reduced primitive vectors of the lattice within the plane, in Å; with the normal they are right-handed.
    stacking : numpy.ndarray, shape (3,)
        Lattice vector to the next plane, as upright as possible, in Å.
    """

    miller: np.ndarray
    normal: np.ndarray
    spacing: float
    basis: np.ndarray
    stacking: np.ndarray


@dataclass(frozen=True)
class Crystal:
    """An ordered periodic crystal.

    Parameters
    ----------
    atoms : ase.Atoms
        The crystal, in the setting that indices refer to where it has no parent.
    cutoffs : mapping of pair to float, optional
        Bonds within units; see :func:`aiida_lpsgb.structures.units.find_units`.
    charges : mapping of str to float, optional
        Formal charges; if given, the crystal must be neutral.
    symprec : float
        Tolerance of the symmetry search, in Å.
    parent : ase.Atoms or pymatgen.core.Structure, optional
        The crystal before it was relaxed or ordered (a Structure may be partially occupied), in the same setting or
        that of which the crystal is a supercell. Ions that leave special positions, or fill some of them, break some
        of its symmetry; a lost operation then carries the crystal into a variant of equal energy. The parent's point
        group says which orientations are equivalent, grains may be variants of each other, and indices refer to its
        cell.

    Attributes
    ----------
    units : tuple of Unit
        The whole units of a primitive cell.
    repeats : numpy.ndarray, shape (3, 3), or None
        The cell's vectors in those of the parent, whole numbers.

    Raises
    ------
    ValueError
        If the crystal is partially occupied, not periodic in three dimensions, charged, or made of endless networks,
        or if its parent is another crystal or in another setting.
    """

    atoms: Atoms
    cutoffs: Mapping[tuple[str, str] | str, float] | None = None
    charges: Mapping[str, float] | None = None
    symprec: float = 0.01
    parent: Atoms | Structure | None = None
    units: tuple[Unit, ...] = field(init=False, repr=False)
    repeats: np.ndarray | None = field(init=False, repr=False, default=None)

    def __post_init__(self):
        require_ordered(self.atoms, "crystal")
        if not all(self.atoms.pbc) or abs(self.atoms.cell.volume) < 1e-6:
            raise ValueError("crystal must be periodic in three dimensions with a cell of finite volume")
        if self.atoms.cell.volume < 0 or np.linalg.det(self.atoms.cell.array) < 0:
            raise ValueError("crystal has a left-handed cell: exchange two cell vectors (and the indices with them)")
        if self.charges is not None:
            charge = total_charge(self.atoms, self.charges)
            if abs(charge) > 1e-6:
                raise ValueError(
                    f"crystal is charged: its cell has {charge:+g} e with the charges {dict(self.charges)}"
                )
        if self.parent is not None:
            _check_parent(self.parent, self.atoms)
            object.__setattr__(self, "repeats", self._repeats_of_parent())
        object.__setattr__(self, "units", self._primitive_units())

    @cached_property
    def cell(self) -> np.ndarray:
        """The given cell, rows in Å."""
        return self.atoms.cell.array.copy()

    @cached_property
    def setting(self) -> np.ndarray:
        """The cell that indices refer to, rows in Å: the parent's as the crystal has it, else the given cell."""
        return self.cell if self.repeats is None else np.linalg.solve(self.repeats, self.cell)

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """Its elements, in the order of their first atoms."""
        return tuple(dict.fromkeys(self.atoms.get_chemical_symbols()))

    @cached_property
    def _symmetry(self) -> tuple[np.ndarray, np.ndarray]:
        """Cartesian rotations and translations (Å) of the space group of the given cell."""
        rotations, translations = _space_group(self.atoms, self.symprec)
        return _to_cartesian(rotations, self.cell), translations @ self.cell

    @cached_property
    def point_group(self) -> np.ndarray:
        """Rotation parts of the space group, Cartesian, then what only the parent has of them; shape (n, 3, 3)."""
        own = self._symmetry[0]
        if self.parent is None:
            return own
        # The parent's cell as the crystal has it; where that is a little strained, the nearest rotations.
        wanted = _to_cartesian(_space_group(self.parent, self.symprec)[0], self.setting)
        wanted = [_nearest_rotation(r) for r in wanted if np.abs(r @ r.T - np.eye(3)).max() < 2 * MAX_DISTORTION]
        return np.array([*own, *(r for r in wanted if not self.has(r))])

    def _repeats_of_parent(self) -> np.ndarray:
        """The crystal's cell vectors in those of its parent, as integers."""
        parent = _cell_of(self.parent)
        lengths = np.linalg.norm(self.cell, axis=1) / np.linalg.norm(parent, axis=1)
        for repeats in (np.round(self.cell @ np.linalg.inv(parent)), np.diag(np.round(lengths))):
            if np.linalg.det(repeats) < 0.5:
                continue
            # Compared by metric, since either cell may have been turned.
            own, wanted = self.cell @ self.cell.T, repeats @ parent @ parent.T @ repeats.T
            stretches = np.sqrt(np.abs(np.linalg.eigvals(np.linalg.solve(wanted, own))))
            if np.abs(stretches - 1).max() < MAX_CHANGE:
                return repeats
        raise ValueError(
            f"parent must be in the crystal's own setting: its cell {_cellpar(parent)} is not that of the crystal, "
            f"{_cellpar(self.cell)}"
        )

    def in_parent_cell(self) -> Crystal:
        """The crystal strained to its parent's cell, scaled coordinates kept."""
        atoms = self.atoms.copy()
        atoms.set_cell(self.repeats @ _cell_of(self.parent), scale_atoms=True)
        return replace(self, atoms=atoms)

    def has(self, rotation: np.ndarray) -> bool:
        """Whether a Cartesian rotation, shape (3, 3), is one of the crystal's own, not of its parent's only."""
        return any(np.allclose(rotation, own, atol=1e-3) for own in self._symmetry[0])

    @cached_property
    def rotations(self) -> np.ndarray:
        """Proper rotations of the Laue group, Cartesian, shape (n, 3, 3)."""
        proper = [rotation * np.sign(np.linalg.det(rotation)) for rotation in self.point_group]
        return np.unique(np.round(proper, 10) + 0.0, axis=0)

    @cached_property
    def lattice(self) -> np.ndarray:
        """Primitive lattice vectors as rows, right-handed, in Å."""
        rotations, translations = self._symmetry
        pure = [t for r, t in zip(rotations, translations, strict=True) if np.allclose(r, np.eye(3), atol=1e-6)]
        return _lattice_basis(np.vstack([self.cell, *pure]), self.atoms.cell.volume / len(pure))

    @cached_property
    def distances(self) -> dict[tuple[str, str], float]:
        """Shortest distances between atoms of different units by pair of elements, in Å."""
        return inter_unit_distances(self.atoms, find_units(self.atoms, self.cutoffs))

    @cached_property
    def bond_cutoffs(self) -> dict[tuple[str, str], float]:
        """Longest bond of each alphabetically ordered pair of elements that bonds, in Å."""
        if self.cutoffs is None:
            return bond_cutoffs(self.atoms.get_chemical_symbols())
        pairs = as_pairs(self.cutoffs)
        return {(min(pair), max(pair)): cutoff for pair, cutoff in pairs.items()}

    def _primitive_units(self) -> tuple[Unit, ...]:
        """Keep one of each set of units that lattice translations carry into each other."""
        inverse = np.linalg.inv(self.lattice)
        kept: list[Unit] = []
        for unit in find_units(self.atoms, self.cutoffs):
            for other in kept:
                if other.formula == unit.formula:
                    difference = (unit.centre - other.centre) @ inverse
                    if np.all(np.abs((difference - np.round(difference)) @ self.lattice) < 10 * self.symprec):
                        break
            else:
                kept.append(unit)
        expected = len(self.atoms) * abs(np.linalg.det(self.lattice)) / self.atoms.cell.volume
        if sum(len(unit.symbols) for unit in kept) != round(expected):
            raise ValueError(
                f"the units of the crystal do not repeat with its lattice within {self.symprec} Å: lower symprec, or "
                "symmetrise the crystal"
            )
        return tuple(kept)

    def direction(self, indices: Sequence[int]) -> np.ndarray:
        """Cartesian vector of a direction of the setting, in Å."""
        return np.asarray(indices, dtype=float) @ self.setting

    def plane(self, miller: Sequence[int]) -> Plane:
        """Find the geometry of a lattice plane.

        Parameters
        ----------
        miller : three integers
            Indices in the cell of the setting, without common divisor.

        Returns
        -------
        Plane
            Normal, spacing and the primitive lattice within it.
        """
        indices = primitive_indices(miller, "plane")
        gradient = np.linalg.inv(self.setting) @ indices
        reduced = _to_integers(self.lattice @ gradient)
        gradient = np.linalg.inv(self.lattice) @ reduced
        spacing = 1.0 / float(np.linalg.norm(gradient))
        normal = gradient * spacing
        first, second, stacking = _plane_vectors(reduced)
        basis = reduced_basis(np.array([first, second]) @ self.lattice)
        if np.dot(np.cross(basis[0], basis[1]), normal) < 0:
            basis[1] = -basis[1]
        upright = stacking @ self.lattice
        lateral = upright - (upright @ normal) * normal
        upright = upright - np.round(np.linalg.lstsq(basis.T, lateral, rcond=None)[0]) @ basis
        return Plane(indices, normal, spacing, basis, upright)

    def flips(self, plane: Plane) -> list[Flip]:
        """List the symmetry operations that turn a plane's normal round and keep or invert what lies in the plane.

        Parameters
        ----------
        plane : Plane
            A plane of this crystal.

        Returns
        -------
        list of Flip
            One for each distinct kind and height within one spacing, mirrors first.
        """
        mirror = np.eye(3) - 2 * np.outer(plane.normal, plane.normal)
        found: dict[tuple[str, int], Flip] = {}
        for rotation, translation in zip(*self._symmetry, strict=True):
            for kind, wanted in (("mirror", mirror), ("inversion", -np.eye(3))):
                if not np.allclose(rotation, wanted, atol=1e-6):
                    continue
                for layer in range(2):
                    shift = translation + layer * plane.stacking
                    height = fold(shift @ plane.normal / 2, plane.spacing)
                    shift = shift + round((2 * height - shift @ plane.normal) / plane.spacing) * plane.stacking
                    key = (kind, round(height / plane.spacing * 1000) % 1000)
                    found.setdefault(key, Flip(kind, float(height), shift))
        return sorted(found.values(), key=lambda flip: (flip.kind != "mirror", flip.height))

    def heights(self, plane: Plane) -> np.ndarray:
        """Heights of the primitive cell's units above the plane through the origin, folded into one spacing, in Å."""
        return np.array([fold(unit.centre @ plane.normal, plane.spacing) for unit in self.units])

    def terminations(self, plane: Plane, tolerance: float = 0.05) -> list[float]:
        """List the heights at which the crystal can be cut between units.

        Parameters
        ----------
        plane : Plane
            A plane of this crystal.
        tolerance : float
            Units whose heights differ by less than this, in Å, lie in one layer.

        Returns
        -------
        list of float
            The middle of each gap between successive layers, within one spacing, widest gap first, in Å.
        """
        layers = np.sort(self.heights(plane))
        gaps = np.diff(np.append(layers, layers[0] + plane.spacing))
        cuts = [
            (gap, float((height + gap / 2) % plane.spacing))
            for height, gap in zip(layers, gaps, strict=True)
            if gap > tolerance
        ]
        return [cut for gap, cut in sorted(cuts, key=lambda item: (-round(item[0], 6), item[1]))]


def site_marks(structure: Structure) -> Atoms:
    """An atom at every site of a crystal that may be disordered, of one element where the occupants are the same.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The crystal.

    Returns
    -------
    ase.Atoms
        Lattice and symmetry of the crystal; the elements mean nothing.
    """
    kinds = np.unique([site.species_string for site in structure], return_inverse=True)[1]
    return Atoms(numbers=kinds + 1, positions=structure.cart_coords, cell=structure.lattice.matrix, pbc=True)


def spglib_cell(crystal: Atoms | Structure) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors, scaled positions and kinds of a crystal that may be disordered, as spglib takes them."""
    if isinstance(crystal, Atoms):
        return _cell_of(crystal), crystal.get_scaled_positions(), crystal.numbers
    return _cell_of(crystal), crystal.frac_coords, site_marks(crystal).numbers


def _space_group(crystal: Atoms | Structure, symprec: float) -> tuple[np.ndarray, np.ndarray]:
    """Rotations and translations of the space group, in fractions of the cell."""
    found = spglib.get_symmetry(spglib_cell(crystal), symprec=symprec)
    if found is None:
        return np.eye(3)[None], np.zeros((1, 3))
    return found["rotations"], found["translations"]


def _cell_of(crystal: Atoms | Structure) -> np.ndarray:
    return crystal.cell.array if isinstance(crystal, Atoms) else np.array(crystal.lattice.matrix)


def _cellpar(cell: np.ndarray) -> list[float]:
    return Cell(cell).cellpar().round(2).tolist()


def _to_cartesian(rotations: np.ndarray, cell: np.ndarray) -> np.ndarray:
    return cell.T @ rotations @ np.linalg.inv(cell.T)


def _nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """The orthogonal matrix nearest to one that a strained cell has made of it."""
    if np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-6):
        return matrix
    left, _, right = np.linalg.svd(matrix)
    return left @ right


def _check_parent(parent: Atoms | Structure, atoms: Atoms) -> None:
    """Refuse a parent of another composition."""
    if isinstance(parent, Atoms):
        require_ordered(parent, "parent")
        counts, formula = composition(parent), parent.get_chemical_formula()
    else:
        counts, formula = parent.composition.get_el_amt_dict(), parent.composition.formula
    own = composition(atoms)
    if isinstance(parent, Structure) and not parent.is_ordered:
        alike = set(own) <= set(counts)  # an element of few atoms may be one that the cell cannot hold
    else:
        alike = {element: n * len(atoms) / sum(counts.values()) for element, n in counts.items()} == own
    if not alike:
        raise ValueError(
            f"parent {formula} is not the crystal before relaxation: that is {atoms.get_chemical_formula()}"
        )


def fold(value: float, period: float) -> float:
    """Fold a number into [0, period), a rounding error below the period counting as zero."""
    folded = float(value % period)
    return 0.0 if period - folded < 1e-6 else folded


def _to_integers(values: np.ndarray) -> np.ndarray:
    """Scale numbers of rational proportions to integers without common divisor."""
    scaled = values / np.abs(values).max()
    fractions = [Fraction(float(x)).limit_denominator(5000) for x in scaled]
    common = math.lcm(*[f.denominator for f in fractions])
    integers = np.array([int(f * common) for f in fractions])
    return integers // math.gcd(*integers.tolist())


def _lattice_basis(vectors: np.ndarray, volume: float) -> np.ndarray:
    """Choose the shortest three of the vectors' combinations that span the lattice; a primitive cell stays as it is."""
    cell = vectors[:3]
    if math.isclose(abs(np.linalg.det(cell)), volume, rel_tol=1e-3):
        return cell
    candidates = {tuple(np.round(c, 6)): c for c in _short_combinations(vectors)}
    ordered = sorted(candidates.values(), key=lambda v: (round(float(v @ v), 5), tuple(np.round(v, 5))))
    for triple in itertools.combinations(ordered, 3):
        determinant = np.linalg.det(np.array(triple))
        if math.isclose(abs(determinant), volume, rel_tol=1e-3):
            basis = np.array(triple)
            return basis if determinant > 0 else basis[[1, 0, 2]]
    raise ValueError("no primitive lattice found: the crystal's translations do not form a lattice within symprec")


def _short_combinations(vectors: np.ndarray) -> list[np.ndarray]:
    """Nonzero centring translations modulo the cell, moved by −1 … 1 cell vectors."""
    cell, extra = vectors[:3], vectors[3:]
    shifts = np.array(list(itertools.product((-1, 0, 1), repeat=3))) @ cell
    points = np.vstack([shifts, *[shifts + t for t in extra]])
    return [p for p in points if np.linalg.norm(p) > 1e-3]


def _plane_vectors(h: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two integer vectors that span the lattice plane h·x = 0 and one with h·x = 1 (extended Euclid by columns)."""
    transform = np.eye(3, dtype=int)
    values = h.copy()
    while np.count_nonzero(values) > 1:
        nonzero = np.flatnonzero(values)
        pivot = nonzero[np.argmin(np.abs(values[nonzero]))]
        for k in nonzero:
            if k != pivot:
                factor = values[k] // values[pivot]
                values[k] -= factor * values[pivot]
                transform[k] -= factor * transform[pivot]
    pivot = int(np.flatnonzero(values)[0])
    first, second = (transform[k] for k in range(3) if k != pivot)
    return first, second, transform[pivot] * values[pivot]
