"""Bicrystals of whole units: where two grains are cut, how they are shifted, and the periodic cell they make.

Grain 1 lies below the first boundary and grain 2 above it, the plane's normal along z, the second boundary at the top
of the cell. A symmetric boundary's second grain is the first one turned by 180° about the normal, which brings any
lattice plane into exact coincidence with itself; for a centrosymmetric crystal that is the mirror twin. Where one grain
is the image of the other under a half turn about the normal, or a mirror along it (most twists), the bicrystal keeps a
screw axis or glide plane, and both boundaries of the cell are equivalent whatever the cut and the shift. A crystal that
has lost its mirror when it was relaxed, but knows its parent, is joined to its mirrored variant. Other boundaries are
equivalent where the crystal has an inversion centre or a mirror between two layers of units to cut at. What holds is
reported.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from aiida_lpsgb.structures.boundary import Boundary, boundaries
from aiida_lpsgb.structures.boundary_request import COLLINEAR
from aiida_lpsgb.structures.contact import CONTACT, contact_table, touch
from aiida_lpsgb.structures.crystal import Crystal, Flip, Plane
from aiida_lpsgb.structures.slab import Slab, faces, fill_slab, planar_grid, region_record, stack
from aiida_lpsgb.structures.validation import require_buildable

__all__ = ["Candidate", "bicrystals", "boundary_energy", "build", "candidates", "check_sizes", "grain_boundary", "scan"]

EV_PER_SQUARE_ANGSTROM_IN_J_PER_M2 = 16.0217663
#: What is tried on top of the gap of contact where energies decide, in Å.
WIDENINGS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Candidate:
    """Where the grains are cut and how they are placed against each other.

    Attributes
    ----------
    cuts : tuple of two float
        Height of the cut through either crystal's plane, within one spacing, in Å.
    shift : numpy.ndarray, shape (2,)
        In-plane displacement of grain 2, in Å.
    gaps : tuple of two float
        Space along the normal between the cuts at the first and second boundary, in Å: that of contact.
    equivalent : str
        Symmetry that carries one boundary into the other: ``screw``, ``glide``, ``inversion``, ``mirror`` or ``none``.
    crowding : float
        Sum of (contact distance / distance)¹² over pairs of both grains at the first boundary, per Å²: ranks candidates
        of equal gap.
    twin : numpy.ndarray, shape (3, 3), optional
        Half turn or mirror that makes grain 2 of grain 1.
    flips : tuple of two Flip, optional
        Inversions or mirrors of either grain at the cuts.
    rigid_energy : float, optional
        Boundary energy before any relaxation in J/m², where :func:`scan` has computed it.
    """

    cuts: tuple[float, float]
    shift: np.ndarray
    gaps: tuple[float, float]
    equivalent: str
    crowding: float
    twin: np.ndarray | None = None
    flips: tuple[Flip, Flip] | None = None
    rigid_energy: float | None = None

    def describe(self) -> dict[str, Any]:
        """Summarise as plain numbers, units in the keys."""
        return {
            "cuts_A": [round(cut, 6) for cut in self.cuts],
            "shift_A": [round(float(x), 6) + 0.0 for x in self.shift],
            "gaps_A": [round(gap, 6) for gap in self.gaps],
            "equivalent_by": self.equivalent,
            "crowding_per_A2": round(self.crowding, 6),
            "rigid_energy_J_m2": None if self.rigid_energy is None else round(self.rigid_energy, 6),
        }


def candidates(
    crystal: Crystal,
    boundary: Boundary,
    *,
    shift_step: float = 1.0,
    max_shifts: int = 100,
    contact: float = CONTACT,
) -> list[Candidate]:
    """Scan terminations and rigid shifts, each with the gap at which the grains touch.

    The gap is that of hard contact: no two atoms of different grains are closer than `contact` times the shortest
    distance between units that their elements have in the crystal, nor close enough to bond.

    Parameters
    ----------
    crystal : Crystal
        The crystal.
    boundary : Boundary
        How its grains meet.
    shift_step : float
        Distance between the in-plane shifts tried, in Å.
    max_shifts : int
        Most shifts tried for a termination; the step widens to keep to it.
    contact : float
        Share of the crystal's own distances.

    Returns
    -------
    list of Candidate
        The densest (smallest sum of gaps) first.
    """
    table = contact_table(crystal, contact)
    depth = 2 * max(table.values())
    shifts = planar_grid(boundary.displacement_cell, shift_step, max_shifts)
    twin = _twin_operation(crystal, boundary)
    found = []
    for cuts, flips in _cut_choices(crystal, boundary, twin):
        lower = faces(crystal, boundary.grains[0], cuts[0], depth)
        if twin is not None:
            upper = (lower[0].turned(twin), lower[1].turned(twin))
        else:
            upper = faces(crystal, boundary.grains[1], cuts[1], depth)
        equivalent = ("screw" if np.linalg.det(twin) > 0 else "glide") if twin is not None else "none"
        if flips is not None:
            equivalent = flips[0].kind
        for shift in shifts:
            gap, crowding = touch(lower[1], upper[0], shift, boundary.cell, table)
            second = gap
            if equivalent == "none":
                second, _ = touch(upper[1], lower[0], -shift, boundary.cell, table)
            found.append(Candidate(cuts, shift, (gap, second), equivalent, crowding, twin, flips))
    return sorted(found, key=lambda c: (round(sum(c.gaps), 2), round(c.crowding, 6), c.cuts, tuple(c.shift)))


def scan(
    crystal: Crystal,
    boundary: Boundary,
    choices: Sequence[Candidate],
    calculator: Calculator,
    *,
    widenings: Sequence[float] = WIDENINGS,
    width: float = 15.0,
) -> list[Candidate]:
    """Rank candidates by energy, the gap of each widened until it is lowest.

    Nothing is relaxed: this finds which rigid shifts and gaps are worth it.

    Parameters
    ----------
    crystal : Crystal
        The crystal, near the calculator's minimum.
    boundary : Boundary
        How its grains meet.
    choices : sequence of Candidate
        Those of :func:`candidates` to look at.
    calculator : ase.calculators.calculator.Calculator
        Energies.
    widenings : sequence of float
        What is added to the gap of contact, in Å.
    width : float
        Least thickness of the grains whose energy is computed, in Å.

    Returns
    -------
    list of Candidate
        The lowest energy first, each with its best gaps and ``rigid_energy``.
    """
    per_atom = _energy(crystal.atoms, calculator) / len(crystal.atoms)
    found = []
    for choice in choices:
        for widening in widenings:
            wider = replace(choice, gaps=(choice.gaps[0] + widening, choice.gaps[1] + widening))
            atoms = build(crystal, boundary, wider, width=width, region=width / 2)
            energy = boundary_energy(_energy(atoms, calculator), len(atoms), per_atom, boundary.area)
            found.append(replace(wider, rigid_energy=energy))
    found.sort(key=lambda item: item.rigid_energy)
    best = {(item.cuts, tuple(item.shift)): item for item in reversed(found)}
    return sorted(best.values(), key=lambda item: item.rigid_energy)


def _energy(atoms: Atoms, calculator: Calculator) -> float:
    copy = atoms.copy()
    copy.calc = calculator
    return float(copy.get_potential_energy())


def _twin_operation(crystal: Crystal, boundary: Boundary) -> np.ndarray | None:
    """Half turn about z or mirror along z that makes grain 2 of grain 1 and leaves the common cell as it is."""
    first, second = boundary.grains
    if not np.array_equal(first.plane.miller, second.plane.miller):
        return None
    inverse = np.linalg.inv(boundary.cell)
    for symmetry in crystal.point_group:
        operation = second.frame @ symmetry @ first.frame.T
        involution = np.allclose(operation @ operation, np.eye(3), atol=1e-4)
        if not involution or not np.allclose(operation[2], [0, 0, 1], atol=1e-4) or np.trace(operation) > 2.9:
            continue
        planar = operation[:2, :2]
        image = boundary.cell @ planar.T @ inverse
        strained_alike = np.allclose(planar @ first.deformation @ planar.T, second.deformation, atol=1e-4)
        if strained_alike and np.allclose(image, np.round(image), atol=1e-3):
            return np.round(operation, 12)
    return None


def _cut_choices(
    crystal: Crystal, boundary: Boundary, twin: np.ndarray | None
) -> Iterator[tuple[tuple[float, float], tuple[Flip, Flip] | None]]:
    """Yield the cuts of both grains, with the flips that make the two boundaries equivalent if these need any."""
    first, second = (grain.plane for grain in boundary.grains)
    if twin is not None:
        yield from (((cut, cut), None) for cut in crystal.terminations(first))
        return
    clean = [
        [flip for flip in crystal.flips(plane) if _is_clean(crystal, plane, flip.height)] for plane in (first, second)
    ]
    pairs = [(a, b) for a in clean[0] for b in clean[1] if a.kind == b.kind]
    yield from (((a.height, b.height), (a, b)) for a, b in pairs)
    if not pairs:
        cuts = itertools.product(crystal.terminations(first)[:4], crystal.terminations(second)[:4])
        yield from (((cut, other), None) for cut, other in cuts)


def _is_clean(crystal: Crystal, plane: Plane, height: float, clearance: float = 0.05) -> bool:
    """Whether no unit's centre lies in the cut."""
    distance = (crystal.heights(plane) - height + plane.spacing / 2) % plane.spacing - plane.spacing / 2
    return bool(np.abs(distance).min() > clearance)


def build(
    crystal: Crystal,
    boundary: Boundary,
    candidate: Candidate,
    *,
    width: float = 25.0,
    region: float = 10.0,
    n_atoms: int = 1,
    vacuum: float = 0.0,
) -> Atoms:
    """Make the periodic bicrystal.

    Parameters
    ----------
    crystal : Crystal
        The crystal.
    boundary : Boundary
        How its grains meet.
    candidate : Candidate
        Where they are cut and how they are placed.
    width : float
        Least thickness of each grain, in Å.
    region : float
        Thickness of each boundary's region, in Å, recorded for the analysis.
    n_atoms : int
        Least number of atoms, reached by repeats within the plane.
    vacuum : float
        If positive, the second boundary is opened by this much, in Å: two slabs that meet once.

    Returns
    -------
    ase.Atoms
        Atoms grouped by element in the crystal's order, with ``arrays["grain"]`` (1 or 2) and
        ``info["grain_boundary"]``: the description of boundary and candidate, ``axis_along`` (which in-plane cell
        vector, 0 or 1, the axis of misorientation runs along, or None), ``variant`` (whether grain 2 is a variant of
        the crystal by symmetry of its parent only) and ``regions`` (centre and thickness along the normal in Å, and
        the centre as a fraction of the third cell vector).

    Raises
    ------
    ValueError
        If a grain would be thinner than two regions, or the numbers are not positive.
    """
    check_sizes(width, region, n_atoms, vacuum)
    lower, upper = _two_slabs(crystal, boundary, candidate, width)
    repeats = _planar_repeats(boundary.cell, len(lower.positions) + len(upper.positions), n_atoms)
    atoms, (middle, top) = stack(
        lower,
        upper,
        boundary.cell,
        shift=candidate.shift + lower.advance,
        gaps=(candidate.gaps[0], vacuum or candidate.gaps[1]),
        elements=crystal.elements,
        offset=np.zeros(2) if vacuum else _offset(boundary, candidate, lower, upper),
        repeats=repeats,
    )
    atoms.info["grain_boundary"] = {
        **boundary.describe(),
        **candidate.describe(),
        "grain_widths_A": [round(slab.thickness, 6) for slab in (lower, upper)],
        "repeats": list(repeats),
        "vacuum_A": vacuum,
        "total_area_A2": round(boundary.area * math.prod(repeats), 4),
        "axis_along": _axis_along(crystal, boundary),
        "variant": _is_variant(crystal, boundary, candidate),
        "regions": [region_record(centre, region, top) for centre in ([middle] if vacuum else [middle, top])],
    }
    return atoms


def _axis_along(crystal: Crystal, boundary: Boundary) -> int | None:
    """Number of the in-plane cell vector along the axis of misorientation; None where neither is, as in a twist."""
    direction = boundary.grains[0].frame @ crystal.direction(boundary.axis)
    unit = boundary.cell / np.linalg.norm(boundary.cell, axis=1)[:, None]
    along = np.abs(unit @ direction[:2]) / np.linalg.norm(direction)
    return int(np.argmax(along)) if along.max() > COLLINEAR else None


def _is_variant(crystal: Crystal, boundary: Boundary, candidate: Candidate) -> bool:
    """Whether grain 2 is not the crystal itself, turned, but its variant by an operation that only its parent has."""
    if candidate.twin is None:
        return False
    first, second = boundary.grains
    return not crystal.has(second.frame.T @ candidate.twin @ first.frame)


def check_sizes(width: float = 25.0, region: float = 10.0, n_atoms: int = 1, vacuum: float = 0.0) -> None:
    """Refuse sizes that make no bicrystal with a bulk-like middle.

    Parameters
    ----------
    width, region, n_atoms, vacuum
        As for :func:`build`.

    Raises
    ------
    ValueError
        If a grain would be thinner than two regions, or the numbers are not positive.
    """
    if width <= 0 or region <= 0 or n_atoms < 1 or vacuum < 0:
        raise ValueError(
            f"width ({width} Å), region ({region} Å) and n_atoms ({n_atoms}) must be positive, vacuum ({vacuum} Å) "
            "not negative"
        )
    require_buildable(n_atoms)
    if width < 2 * region:
        raise ValueError(
            f"grains {width:g} Å wide are thinner than two regions of {region:g} Å, so nothing in them would be "
            f"bulk-like: give a width of at least {2 * region:g} Å, or a thinner region"
        )


def _two_slabs(crystal: Crystal, boundary: Boundary, candidate: Candidate, width: float) -> tuple[Slab, Slab]:
    """Fill both grains; a twin is made of the first grain's very atoms."""
    first, second = boundary.grains
    lower = fill_slab(crystal, first, candidate.cuts[0], math.ceil(width / first.plane.spacing - 1e-9))
    if candidate.twin is None:
        return lower, fill_slab(crystal, second, candidate.cuts[1], math.ceil(width / second.plane.spacing - 1e-9))
    return lower, lower.turned(candidate.twin)


def _offset(boundary: Boundary, candidate: Candidate, lower: Slab, upper: Slab) -> np.ndarray:
    """In-plane part of the third cell vector that makes the second boundary the image of the first.

    A twin operation done twice must be a lattice vector; a flip of grain 1 must be one of grain 2 as well; and where
    there is neither, the second boundary has the opposite shift of the first.
    """
    displacement = candidate.shift + lower.advance
    if candidate.twin is not None:
        offset = displacement + candidate.twin[:2, :2] @ displacement
    elif candidate.flips is not None:
        below, above = (
            grain.deformation @ (grain.frame @ flip.shift)[:2]
            for grain, flip in zip(boundary.grains, candidate.flips, strict=True)
        )
        offset = above + upper.advance - below - lower.advance
        if candidate.flips[0].kind == "inversion":
            offset = offset + 2 * displacement
    else:
        offset = lower.advance + upper.advance
    return offset - np.round(offset @ np.linalg.inv(boundary.cell)) @ boundary.cell


def _planar_repeats(cell: np.ndarray, count: int, n_atoms: int) -> tuple[int, int]:
    """Repeats that reach the number of atoms, the shorter side first."""
    repeats = np.ones(2, dtype=int)
    lengths = np.linalg.norm(cell, axis=1)
    while count * repeats.prod() < n_atoms:
        repeats[np.argmin(lengths * repeats)] += 1
    return int(repeats[0]), int(repeats[1])


def grain_boundary(
    crystal: Crystal, axis: Sequence[int] | None, plane: Sequence[int], kind: str | None = None, **options: Any
) -> list[Atoms]:
    """Build the first boundary that :func:`boundaries` finds with the best of its :func:`candidates`.

    Parameters
    ----------
    crystal : Crystal
        The crystal.
    axis, plane, kind, **options
        As for :func:`aiida_lpsgb.structures.boundary.boundaries` and :func:`bicrystals`.

    Returns
    -------
    list of ase.Atoms
        As :func:`bicrystals` returns them.
    """
    building = {key: options.pop(key) for key in BUILD_OPTIONS if key in options}
    sizes = {key: building[key] for key in ("width", "region", "n_atoms", "vacuum") if key in building}
    check_sizes(**sizes)
    found = boundaries(crystal, axis, plane, kind, **{**options, "smallest": True})
    return bicrystals(crystal, found[0], **building)


def bicrystals(
    crystal: Crystal,
    boundary: Boundary,
    *,
    n_candidates: int = 1,
    width: float = 25.0,
    region: float = 10.0,
    n_atoms: int = 1,
    vacuum: float = 0.0,
    shift_step: float = 1.0,
    contact: float = CONTACT,
    calculator: Calculator | None = None,
    n_scanned: int = 24,
) -> list[Atoms]:
    """Build bicrystals of a boundary from the best of its :func:`candidates`.

    Parameters
    ----------
    crystal : Crystal
        The crystal.
    boundary : Boundary
        How its grains meet.
    n_candidates : int
        How many bicrystals to build: the best of each termination in turn, the best termination first.
    width, region, n_atoms, vacuum
        As for :func:`build`.
    shift_step, contact
        As for :func:`candidates`.
    calculator : ase.calculators.calculator.Calculator, optional
        If given, the `n_scanned` densest candidates are ranked by its energies (:func:`scan`), else by density.
    n_scanned : int
        How many candidates are.

    Returns
    -------
    list of ase.Atoms
        As :func:`build` makes them; fewer than asked for if there are fewer.
    """
    for name, count in (("n_candidates", n_candidates), ("n_scanned", n_scanned)):
        if count < 1:
            raise ValueError(f"{name} must be at least 1, not {count}")
    check_sizes(width, region, n_atoms, vacuum)
    ranked = _termination_in_turn(candidates(crystal, boundary, shift_step=shift_step, contact=contact))
    if calculator is not None:
        ranked = _termination_in_turn(scan(crystal, boundary, ranked[:n_scanned], calculator))
    options = {"width": width, "region": region, "n_atoms": n_atoms, "vacuum": vacuum}
    return [build(crystal, boundary, candidate, **options) for candidate in ranked[:n_candidates]]


#: Keywords of :func:`bicrystals`; the other ones of :func:`grain_boundary` are of the request.
BUILD_OPTIONS = tuple(inspect.signature(bicrystals).parameters)[2:]


def _termination_in_turn(ranked: Sequence[Candidate]) -> list[Candidate]:
    """Sort candidates so that each termination's best comes before any one's second best."""
    seen: dict[tuple[float, float], int] = {}
    places = []
    for candidate in ranked:
        seen[candidate.cuts] = seen.get(candidate.cuts, 0) + 1
        places.append(seen[candidate.cuts])
    return [ranked[k] for k in np.argsort(places, kind="stable")]


def boundary_energy(
    energy: float, n_atoms: int, bulk_energy_per_atom: float, area: float, n_boundaries: int = 2
) -> float:
    """Excess energy of a boundary against the bulk.

    Parameters
    ----------
    energy : float
        Energy of the bicrystal, in eV.
    n_atoms : int
        Atoms in it, in the bulk's proportions.
    bulk_energy_per_atom : float
        Energy of the bulk per atom, in eV.
    area : float
        Area of one boundary, in Å².
    n_boundaries : int
        Boundaries in the cell.

    Returns
    -------
    float
        γ in J/m².
    """
    excess = energy - n_atoms * bulk_energy_per_atom
    return excess / (n_boundaries * area) * EV_PER_SQUARE_ANGSTROM_IN_J_PER_M2
