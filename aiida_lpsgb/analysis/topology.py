r"""Rings of mobile ions by persistent homology: loops (H1) of a growing neighbourhood of the points, frame by frame.

Two filtrations are offered, and every result names which it is of, and its scale:

``rips``
    Vietoris–Rips complex, by ripser (Tralie, Saul & Bar-On, J. Open Source Softw. 3, 925 (2018)); native scale:
    **diameter**, the longest Li–Li distance. It knows distances only: three ions are never a ring.
``alpha``
    Alpha complex (Edelsbrunner & Mücke, ACM Trans. Graph. 13, 43 (1994)) of the periodic Delaunay triangulation;
    native scale: **radius** of the balls. It knows the shape: an acute triangle of ions is a ring until its middle is
    covered.

In a periodic cell some loops close only through the boundary: the network of ions percolates. They never die, and are
kept apart as ``periodic`` (alpha) or dropped (rips, which tells how many there are, not which).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_matrix, csr_matrix, find
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Delaunay, cKDTree

from aiida_lpsgb.analysis._alpha import loops, torus_loops
from aiida_lpsgb.analysis._rips import last_birth
from aiida_lpsgb.analysis.estimates import Estimate, finite
from aiida_lpsgb.analysis.neighbours import heights, pairs_within
from aiida_lpsgb.analysis.observables import (
    COUNT,
    FLAG,
    POSITIVE,
    REGION,
    SPECIES,
    Context,
    Observable,
    Outcome,
    Parameter,
    Row,
    one_of,
    parameters_of,
)
from aiida_lpsgb.analysis.parallel import map_frames
from aiida_lpsgb.analysis.regions import Region
from aiida_lpsgb.analysis.rings import LONGEST_RING, Ring, longest_lived, rings_of, to_arrays
from aiida_lpsgb.analysis.trajectory import Trajectory

FILTRATIONS = {"rips": "diameter", "alpha": "radius"}
"""Filtrations and their native scales."""

_LONGEST_A = 8.0
_JITTER_A = 1e-5
_BOOTSTRAPS = 1000
# Where a Rips filtration is cut: beyond the last birth, then further if loops are left. Most die soon after.
_REACH_BEYOND_BIRTH = 1.05
_REACH_AGAIN = 1.1


@dataclass(frozen=True)
class Loops:
    """Loops of one set of points.

    Attributes
    ----------
    birth_A, death_A
        Scale at which each loop closes and fills, Å, shape ``(n_loops,)``.
    periodic_A
        Birth of loops that close only through the periodic boundary, ascending, Å.
    ring_size
        Points of the shortest ring that is closed at birth; 0 if not looked for or longer than :data:`LONGEST_RING`.
    edge
        Points of the edge that closes each loop, shape ``(n_loops, 2)``.
    filtration, scale
        ``rips`` or ``alpha``; ``diameter`` or ``radius``.
    """

    birth_A: np.ndarray
    death_A: np.ndarray
    periodic_A: np.ndarray
    ring_size: np.ndarray
    edge: np.ndarray
    filtration: str
    scale: str

    @property
    def lifetime_A(self) -> np.ndarray:
        """Death minus birth, Å, in the scale named."""
        return self.death_A - self.birth_A


def alpha_loops(
    scaled: np.ndarray,
    cell: np.ndarray,
    pbc: Sequence[bool] = (True,) * 3,
    *,
    longest_radius_A: float = 8.0,
    rings: bool = True,
) -> Loops:
    """Loops of the alpha filtration of points in a periodic, partly periodic or free cell; scale: radius.

    Parameters
    ----------
    scaled
        Scaled positions, shape ``(n_points, 3)``.
    cell, pbc
        Cell vectors in rows, Å, and periodicity along them.
    longest_radius_A
        In a cell that is not periodic throughout: radius at which the filtration ends; loops that live on are
        dropped. A fully periodic filtration runs to its end.
    rings
        Whether to look for the size of each ring.

    Raises
    ------
    ValueError
        If there are fewer than four points or the cell has no volume.
    """
    scaled, cell, pbc = np.asarray(scaled, float), np.asarray(cell, float), np.asarray(pbc, bool)
    if scaled.ndim != 2 or scaled.shape[1] != 3 or len(scaled) < 4:
        raise ValueError(f"loops need four points or more, shape (n, 3); found {scaled.shape}")
    if abs(np.linalg.det(cell)) < 1e-9:
        raise ValueError("the cell has no volume")
    if pbc.all():
        found = _torus(scaled, cell, rings)
    else:
        home = (scaled - np.floor(scaled) * pbc) @ cell + _jitter(len(scaled))
        # A sphere of the longest radius sees no further than its diameter.
        found = _quotient_loops(home, *_images(home, cell, pbc, 2 * longest_radius_A), longest_radius_A**2, rings)
    sizes = found["ring"] if rings else np.zeros(len(found["birth"]), int)
    essential = np.sort(np.sqrt(found["essential"])) if pbc.all() else np.empty(0)
    order = np.lexsort((found["death"], found["birth"]))
    birth, death = np.sqrt(found["birth"])[order], np.sqrt(found["death"])[order]
    # Loops that live only through the jitter are not there.
    keep = death - birth > 10 * _JITTER_A
    return Loops(birth[keep], death[keep], essential, sizes[order][keep], found["edge"][order][keep], "alpha", "radius")


def _jitter(number: int) -> np.ndarray:
    """Points on a common sphere have no unique triangulation, and periodic images must agree on one."""
    return np.random.default_rng(number).uniform(-_JITTER_A, _JITTER_A, (number, 3))


def _torus(scaled: np.ndarray, cell: np.ndarray, rings: bool) -> dict:
    inside = scaled + _jitter(len(scaled)) @ np.linalg.inv(cell)
    inside -= np.floor(inside)
    try:
        found = torus_loops(np.where(inside < 1, inside, 0.0), cell, LONGEST_RING if rings else 0)
    except RuntimeError as error:
        raise ValueError(
            f"{len(scaled)} points have no triangulation on the torus ({error}): do some coincide?"
        ) from None
    if found["euler"] != 0:
        raise ValueError(f"the triangulation of {len(scaled)} points does not close on the torus: do some coincide?")
    return found


def _images(home: np.ndarray, cell: np.ndarray, pbc: np.ndarray, margin_A: float):
    """The points and all their images within a margin of the cell: owners, image numbers, positions."""
    inverse = np.linalg.inv(cell)
    reach = margin_A / heights(cell)
    span = [range(-int(np.ceil(r)), int(np.ceil(r)) + 1) if p else (0,) for r, p in zip(reach, pbc, strict=True)]
    owners, images, points = [], [], []
    scaled = home @ inverse
    for shift in np.array(np.meshgrid(*span, indexing="ij")).reshape(3, -1).T:
        moved = scaled + shift
        keep = np.all(~pbc | ((moved > -reach) & (moved < 1 + reach)), axis=1)
        owners.append(np.flatnonzero(keep))
        images.append(np.broadcast_to(shift, (int(keep.sum()), 3)))
        points.append(home[keep] + shift @ cell)
    return np.concatenate(owners), np.concatenate(images), np.concatenate(points)


def _quotient_loops(home, owners, images, points, cap: float, rings: bool) -> dict:
    simplices = Delaunay(points).simplices
    # Of all images of a tetrahedron keep the one whose smallest vertex (by owner, then image) is in the home cell.
    code = (owners.astype(np.int64) << 30) + ((images + 512) @ [1 << 20, 1 << 10, 1])
    first = np.take_along_axis(simplices, np.argmin(code[simplices], axis=1)[:, None], axis=1)[:, 0]
    keep = simplices[(images[first] == 0).all(axis=1)]
    # Flat ones, from the rounded hull of points that are not periodic, have no sphere to speak of.
    corners = points[keep]
    edges = corners[:, 1:] - corners[:, :1]
    solid = np.abs(np.linalg.det(edges)) > 1e-9
    keep, corners = keep[solid], corners[solid]
    return loops(owners[keep], images[keep], corners, len(home), cap, LONGEST_RING if rings else 0)


def rips_loops(
    scaled: np.ndarray, cell: np.ndarray, pbc: Sequence[bool] = (True,) * 3, *, longest_distance_A: float = 8.0
) -> Loops:
    """Loops of the Vietoris–Rips filtration, by ripser; scale: diameter. Loops that outlive the longest distance are
    dropped.

    The filtration is cut as soon as nothing can follow, which changes nothing but the time: no loop is born after the
    longest edge that stays without a triangle when it appears, and once those loops that are left are as many as the
    network's windings around the torus, which never fill, all others have died.

    Parameters
    ----------
    scaled, cell, pbc
        As for :func:`alpha_loops`.
    longest_distance_A
        Where the filtration ends at the latest, Å; at most half the smallest periodic height of the cell. Beyond a
        third, three steps lead around the torus, and the loops through the boundary are filled and counted too.
    """
    from ripser import ripser

    scaled, cell, pbc = np.asarray(scaled, float), np.asarray(cell, float), np.asarray(pbc, bool)
    distances = _sparse_distances(scaled, cell, pbc, longest_distance_A)
    rows, columns, lengths = find(distances)
    born = last_birth(distances.indptr, distances.indices, distances.data)
    end = 0.0
    while end < longest_distance_A:
        end = min(max(_REACH_BEYOND_BIRTH * born, _REACH_AGAIN * end) or longest_distance_A, longest_distance_A)
        near = lengths <= end
        edges = coo_matrix((lengths[near], (rows[near], columns[near])), distances.shape)
        bars = ripser(edges, distance_matrix=True, maxdim=1, thresh=end)["dgms"][1]
        if np.isinf(bars[:, 1]).sum() == _windings(edges, scaled, pbc):
            break
    bars = bars[np.isfinite(bars[:, 1])].astype(float)
    bars = bars[np.lexsort((bars[:, 1], bars[:, 0]))]
    # ripser does not tell which edge closes a loop, but its length does; it computes in single precision.
    by_length = np.argsort(lengths)
    closing = by_length[np.searchsorted(lengths[by_length].astype(np.float32), bars[:, 0].astype(np.float32))]
    edge = np.stack([rows[closing], columns[closing]], axis=1)
    return Loops(bars[:, 0], bars[:, 1], np.empty(0), np.zeros(len(bars), int), edge, "rips", "diameter")


def _windings(edges: coo_matrix, scaled: np.ndarray, pbc: np.ndarray) -> int:
    """Independent ways in which a network closes through the boundary, by parity, over all its components.

    The network is unrolled twice along each periodic vector: the sheets that a walk through it connects tell.
    """
    axes = np.flatnonzero(pbc)
    sheets, n_points = np.arange(2 ** len(axes)), len(scaled)
    wrapped = scaled - np.floor(scaled)
    # Edges are shorter than half the cell, so the nearest image is the one meant.
    crossed = np.rint(wrapped[edges.col] - wrapped[edges.row])[:, axes].astype(int) % 2 @ (1 << np.arange(len(axes)))
    rows = (sheets[:, None] * n_points + edges.row).ravel()
    columns = ((sheets[:, None] ^ crossed) * n_points + edges.col).ravel()
    size = len(sheets) * n_points
    _, unrolled = connected_components(coo_matrix((np.ones(len(rows)), (rows, columns)), (size, size)))
    _, component = connected_components(edges)
    _, one_of_each = np.unique(component, return_index=True)
    copies = [len(set(unrolled.reshape(len(sheets), n_points)[:, point])) for point in one_of_each]
    return sum(len(axes) - int(np.log2(number)) for number in copies)


def _sparse_distances(scaled: np.ndarray, cell: np.ndarray, pbc: np.ndarray, longest_A: float) -> csr_matrix:
    """Symmetric, partners ascending within a row."""
    height = heights(cell)
    if np.any(pbc & (height < 2 * longest_A)):
        raise ValueError(
            f"longest_distance_A = {longest_A} exceeds half the cell's height ({height[pbc].min() / 2:.3f} Å): "
            "a pair would have two distances"
        )
    if np.allclose(cell, np.diag(np.diag(cell))):
        size = np.where(pbc, np.diag(cell), 0.0)
        points = (scaled - np.floor(scaled) * pbc) @ cell
        points = np.where(pbc, points % np.where(pbc, size, 1.0), points)
        tree = cKDTree(points, boxsize=size)
        matrix = tree.sparse_distance_matrix(tree, longest_A, output_type="coo_matrix").tocsr()
    else:
        pairs, distances = pairs_within(scaled, cell, pbc, longest_A)
        rows, columns = np.concatenate([pairs, pairs[:, ::-1]]).T
        matrix = coo_matrix((np.tile(distances, 2), (rows, columns)), shape=(len(scaled),) * 2).tocsr()
    matrix.sort_indices()
    return matrix


def _factor(scale: str, other: str) -> float:
    """What turns lengths of one scale into those of another."""
    return 1.0 if scale == other else 2.0 if other == "diameter" else 0.5


@dataclass(frozen=True)
class PersistenceDiagram:
    """Loops of many frames, pooled.

    Attributes
    ----------
    birth_A, death_A, ring_size
        Of every loop, shape ``(n_loops,)``.
    frame
        Number (from 0) of the frame each loop is of.
    periodic_A
        Birth of the loops through the boundary, shape ``(n_frames, 3)``, NaN where there are fewer.
    n_frames, n_points
        Frames and mean number of points.
    filtration, scale
        ``rips`` or ``alpha``; ``diameter`` or ``radius``.
    species
        Whose points.
    """

    birth_A: np.ndarray
    death_A: np.ndarray
    ring_size: np.ndarray
    frame: np.ndarray
    periodic_A: np.ndarray
    n_frames: int
    n_points: float
    filtration: str
    scale: str
    species: str

    @property
    def lifetime_A(self) -> np.ndarray:
        """Death minus birth, Å, in the scale named."""
        return self.death_A - self.birth_A

    def in_scale(self, scale: str) -> PersistenceDiagram:
        """The same diagram by radius or by diameter: a factor of two on every length."""
        if scale not in FILTRATIONS.values():
            raise ValueError(f"scale must be radius or diameter, found {scale!r}")
        lengths = {
            name: getattr(self, name) * _factor(self.scale, scale) for name in ("birth_A", "death_A", "periodic_A")
        }
        return replace(self, scale=scale, **lengths)

    def persistent_fraction(self, threshold_A: float = 1.0, seed: int = 0) -> Estimate:
        """f_PD: share of loops that live longer than a threshold (in this diagram's scale), with a bootstrap error
        over frames.

        Parameters
        ----------
        threshold_A
            Lifetime, Å.
        seed
            Of the bootstrap.
        """
        long_lived = np.bincount(self.frame, self.lifetime_A > threshold_A, self.n_frames)
        every = np.bincount(self.frame, minlength=self.n_frames).astype(float)
        if every.sum() == 0:
            return Estimate(float("nan"), float("nan"))
        value = float(long_lived.sum() / every.sum())
        if self.n_frames < 2:
            return Estimate(value, float("nan"))
        # Frames near in time resemble each other: blocks of them are drawn, not frames.
        blocks = np.array_split(np.arange(self.n_frames), min(20, self.n_frames))
        top, bottom = (np.array([v[b].sum() for b in blocks]) for v in (long_lived, every))
        draw = np.random.default_rng(seed).integers(0, len(blocks), (_BOOTSTRAPS, len(blocks)))
        total = bottom[draw].sum(axis=1)
        fractions = top[draw].sum(axis=1)[total > 0] / total[total > 0]
        # The spread of resampled means falls short of the standard error by the usual factor of a small sample.
        error = float(fractions.std() * np.sqrt(len(blocks) / (len(blocks) - 1)))
        return Estimate(value, error, len(blocks) - 1)

    def ring_statistics(self) -> dict[int, tuple[float, float]]:
        """By ring size: rings a frame, and their mean lifetime, Å. Size 0 holds what was longer than looked for."""
        return {
            int(size): (
                float(np.sum(self.ring_size == size) / self.n_frames),
                float(self.lifetime_A[self.ring_size == size].mean()),
            )
            for size in np.unique(self.ring_size)
        }


def heatmap(
    birth_A: np.ndarray, death_A: np.ndarray, n_frames: int = 1, bin_A: float = 0.05, smooth_A: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """Density of pooled loops over birth and death, smoothed by a Gaussian.

    Parameters
    ----------
    birth_A, death_A
        Loops, Å, shape ``(n_loops,)``.
    n_frames
        Frames that were pooled.
    bin_A, smooth_A
        Bin and standard deviation of the Gaussian, Å.

    Returns
    -------
    density : numpy.ndarray
        Loops per frame and Å², shape ``(n_bins, n_bins)``, birth first.
    edges : numpy.ndarray
        Of the bins of both axes, Å.
    """
    low, high = float(np.min(birth_A, initial=np.inf)), float(np.max(death_A, initial=0.0))
    low, high = (low - 3 * smooth_A, high + 3 * smooth_A) if np.isfinite(low) else (0.0, 1.0)
    edges = np.arange(low, high + bin_A, bin_A)
    counts, *_ = np.histogram2d(birth_A, death_A, [edges, edges])
    return gaussian_filter(counts / (n_frames * bin_A**2), smooth_A / bin_A), edges


def persistence(
    trajectory: Trajectory,
    species: str,
    *,
    filtration: str = "alpha",
    every: int = 1,
    region: Region | None = None,
    longest_A: float | None = None,
    rings: bool = True,
    workers: int | None = 1,
) -> PersistenceDiagram:
    """Pooled diagram of the loops of a species.

    Parameters
    ----------
    trajectory
        The run.
    species
        Whose loops.
    filtration
        ``alpha`` or ``rips``; the diagram's scale is the native one.
    every
        Take one frame in so many.
    region
        Take only loops of this region: those whose closing edge has its middle there. The filtration is that of all
        ions, as ions cut out of their surroundings would make loops around the void that is left.
    longest_A
        Where the filtration ends, in its native scale; by default 8 Å, or as far as a smaller cell lets Rips go. Not
        used by a fully periodic alpha filtration, which runs to its end.
    rings
        Whether to look for ring sizes (alpha).
    workers
        Cores; None for all.
    """
    if filtration not in FILTRATIONS:
        raise ValueError(f"filtration must be one of {', '.join(FILTRATIONS)}, found {filtration!r}")
    if every < 1 or (longest_A is not None and longest_A <= 0):
        raise ValueError(f"needed: every ≥ 1 and longest_A > 0, found {every} and {longest_A}")
    indices = trajectory.indices(species)
    frames = range(0, trajectory.n_frames, every)
    items = (
        (trajectory.scaled(None, i, i + 1, indices=indices)[0], trajectory.cells[i], tuple(trajectory.pbc))
        for i in frames
    )
    job = _Job(filtration, _reach(trajectory, filtration, every, longest_A), rings, region)
    # The alpha route spends its time without Python's lock; ripser holds it.
    found = list(map_frames(job, items, workers, processes=filtration == "rips"))
    periodic = np.full((len(found), 3), np.nan)
    for row, (single, _) in enumerate(found):
        births = single.periodic_A[:3]
        periodic[row, : len(births)] = births
    return PersistenceDiagram(
        birth_A=np.concatenate([single.birth_A for single, _ in found]),
        death_A=np.concatenate([single.death_A for single, _ in found]),
        ring_size=np.concatenate([single.ring_size for single, _ in found]),
        frame=np.repeat(np.arange(len(found)), [len(single.birth_A) for single, _ in found]),
        periodic_A=periodic,
        n_frames=len(found),
        n_points=float(np.mean([n for _, n in found])),
        filtration=filtration,
        scale=FILTRATIONS[filtration],
        species=species,
    )


def _reach(trajectory: Trajectory, filtration: str, every: int, longest_A: float | None) -> float:
    """Where the filtration ends: as told, else 8 Å or as far as the cell lets Rips go."""
    if longest_A is not None or filtration != "rips":
        return longest_A or _LONGEST_A
    height = min(heights(c)[trajectory.pbc].min(initial=np.inf) for c in trajectory.cells[::every])
    return min(_LONGEST_A, 0.4999 * height)


@dataclass(frozen=True)
class _Job:
    """Loops of one frame and how many ions they are of, in a process of its own."""

    filtration: str
    longest_A: float
    rings: bool
    region: Region | None

    def __call__(self, item: tuple[np.ndarray, np.ndarray, tuple[bool, ...]]) -> tuple[Loops, int]:
        scaled, cell, pbc = item
        if self.filtration == "rips":
            found = rips_loops(scaled, cell, pbc, longest_distance_A=self.longest_A)
        else:
            found = alpha_loops(scaled, cell, pbc, longest_radius_A=self.longest_A, rings=self.rings)
        if self.region is None:
            return found, len(scaled)
        start, end = scaled[found.edge[:, 0]], scaled[found.edge[:, 1]]
        middle = start + 0.5 * (end - start - np.rint(end - start) * pbc)
        here = self.region.contains(middle, cell)
        kept = {name: getattr(found, name)[here] for name in ("birth_A", "death_A", "ring_size", "edge")}
        return replace(found, **kept), int(self.region.contains(scaled, cell).sum())


def observe(trajectory: Trajectory, options: Mapping[str, Any], context: Context) -> Outcome:
    """Arrays ``birth_A``, ``death_A``, ``ring_size``, ``frame``, ``periodic_A``, and the ions of some rings of the last
    frame with that frame, as `aiida_lpsgb.analysis.rings.to_arrays` names them; f_PD and rings by size.
    """
    arguments = {**options, "region": context.region(options["region"])}
    threshold, scale, n_rings = (arguments.pop(name) for name in ("threshold_A", "scale", "n_rings"))
    diagram = persistence(trajectory, **arguments, workers=context.threads)
    members = last_rings(trajectory, n_rings, **arguments)
    if scale is not None:
        members |= {k: members[k] * _factor(diagram.scale, scale) for k in ("ring_birth_A", "ring_death_A")}
        diagram = diagram.in_scale(scale)
    share = diagram.persistent_fraction(threshold)
    rings = {str(k): {"per_frame": n, "mean_lifetime_A": t} for k, (n, t) in diagram.ring_statistics().items()}
    return Outcome(
        {
            "scale": diagram.scale,
            "f_pd": finite(share.value),
            "f_pd_uncertainty": finite(share.error),
            "n_frames": diagram.n_frames,
            "mean_points": diagram.n_points,
            "loops_per_frame": len(diagram.birth_A) / diagram.n_frames,
            "ring_statistics": rings,
        },
        {name: getattr(diagram, name) for name in ("birth_A", "death_A", "ring_size", "frame", "periodic_A")} | members,
    )


def last_rings(
    trajectory: Trajectory,
    n_rings: int,
    species: str,
    *,
    filtration: str,
    every: int,
    region: Region | None,
    longest_A: float | None,
    rings: bool,
) -> dict[str, np.ndarray]:
    """The longest-lived rings of the last frame that `persistence` looks at, with their ions, as arrays.

    Parameters
    ----------
    trajectory, species, filtration, every, region, longest_A, rings
        As of `persistence`.
    n_rings
        How many rings.
    """
    index = range(0, trajectory.n_frames, every)[-1]
    indices = trajectory.indices(species)
    scaled = trajectory.scaled(None, index, index + 1, indices=indices)[0]
    cell, pbc = trajectory.cells[index], tuple(trajectory.pbc)
    found, _ = _Job(filtration, _reach(trajectory, filtration, every, longest_A), rings, region)((scaled, cell, pbc))
    # Some loops have longer rings than are looked for.
    members: list[Ring] = rings_of(scaled % 1.0, cell, found, longest_lived(found, 10 * n_rings), pbc)[:n_rings]
    frame = trajectory.frame(index)
    frame.wrap()
    return to_arrays(members, frame, indices)


def rows(headline: Mapping[str, Any], label: str) -> list[Row]:
    """A line for f_PD, which says by what convention."""
    convention = f"L > {headline['threshold_A']:g} Å, {headline['filtration']}, {headline['scale']}"
    where = f", {headline['region']}" if headline["region"] else ""
    values = headline["f_pd"], headline["f_pd_uncertainty"]
    return [Row(f"f_PD, {convention}{where}", *values, form=".4f", reference=("f_pd",))]


OBSERVABLE = Observable(
    name="topology",
    order=50,
    summary="Persistence diagram of the loops of a species, pooled over frames: one for each variant.",
    parameters=parameters_of(
        persistence,
        species=SPECIES,
        filtration=one_of(*FILTRATIONS),
        every=COUNT,
        region=REGION,
        longest_A=POSITIVE,
        rings=FLAG,
    )
    | {
        "threshold_A": Parameter(POSITIVE, 1.0, "Lifetime above which a loop counts as persistent, in the scale, Å."),
        "scale": Parameter(one_of(*FILTRATIONS.values()), None, "Of all lengths; that of the filtration if None."),
        "n_rings": Parameter(
            COUNT, 6, "How many of the longest-lived rings of the last frame to keep with their ions."
        ),
    },
    compute=observe,
    headline=("f_pd", "f_pd_uncertainty", "threshold_A", "filtration", "scale", "loops_per_frame", "region"),
    rows=rows,
    captions={"": "Persistence diagram of the loops.", "rings": "The longest-lived rings of the last frame."},
    variants=True,
)
