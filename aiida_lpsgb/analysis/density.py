"""Where the ions are: maps in three and two dimensions, and profiles along the normal of a boundary."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from aiida_lpsgb.analysis.estimates import Estimate, finite, from_blocks
from aiida_lpsgb.analysis.neighbours import heights
from aiida_lpsgb.analysis.observables import (
    COUNT,
    POSITIVE,
    REGION,
    SPECIES,
    SPECIES_LIST,
    Context,
    Observable,
    Outcome,
    Parameter,
    Row,
    parameters_of,
)
from aiida_lpsgb.analysis.regions import Region
from aiida_lpsgb.analysis.trajectory import Trajectory

_FRAMES_A_BATCH = 64


@dataclass(frozen=True)
class DensityMap:
    """Number density on a grid that spans the mean cell.

    Attributes
    ----------
    density_A3
        Ions per Å³, shape ``(n_a, n_b, n_c)``; entry (i, j, k) is the mean of the voxel that begins at (i/n_a, j/n_b,
        k/n_c).
    cell
        Mean cell, Å.
    atoms
        The first frame scaled to the mean cell, to show beside the map.
    species
        Whose density.
    """

    density_A3: np.ndarray
    cell: np.ndarray
    atoms: Atoms
    species: str

    def projection(self, axis: int) -> np.ndarray:
        """Ions per Å² of the face seen along a cell vector, shape of the other two grid directions."""
        if axis not in (0, 1, 2):
            raise ValueError(f"axis must be 0, 1 or 2, found {axis}")
        return self.density_A3.mean(axis=axis) * heights(self.cell)[axis]

    def smoothed(self, width_A: float) -> DensityMap:
        """The map under a periodic Gaussian of a standard deviation along each cell vector's normal, Å."""
        widths = width_A / (heights(self.cell) / self.density_A3.shape)
        return DensityMap(gaussian_filter(self.density_A3, widths, mode="wrap"), self.cell, self.atoms, self.species)

    def write_cube(self, path: str | os.PathLike) -> None:
        """Write a Gaussian cube file: lengths in Bohr as the format has it, density in Å⁻³ as its title says."""
        from ase.units import Bohr

        shape = self.density_A3.shape
        with open(path, "w") as handle:
            handle.write(f"Number density of {self.species}\nIons per cubic Angstrom\n")
            handle.write(f"{len(self.atoms):5d}{0.0:12.6f}{0.0:12.6f}{0.0:12.6f}\n")
            for n, vector in zip(shape, self.cell / Bohr, strict=True):
                handle.write(f"{n:5d}" + "".join(f"{x:12.6f}" for x in vector / n) + "\n")
            for number, position in zip(self.atoms.numbers, self.atoms.positions / Bohr, strict=True):
                handle.write(f"{number:5d}{float(number):12.6f}" + "".join(f"{x:12.6f}" for x in position) + "\n")
            for row in self.density_A3.reshape(-1, shape[2]):
                for start in range(0, len(row), 6):
                    handle.write("".join(f"{v:13.5E}" for v in row[start : start + 6]) + "\n")

    def write_xsf(self, path: str | os.PathLike) -> None:
        """Write an XCrySDen file, whose general grid repeats the first plane at the end of each direction."""
        grid = np.pad(self.density_A3, [(0, 1)] * 3, mode="wrap")
        with open(path, "w") as handle:
            handle.write("CRYSTAL\nPRIMVEC\n")
            handle.writelines("".join(f"{x:14.8f}" for x in vector) + "\n" for vector in self.cell)
            handle.write(f"PRIMCOORD\n{len(self.atoms)} 1\n")
            for number, position in zip(self.atoms.numbers, self.atoms.positions, strict=True):
                handle.write(f"{number:4d}" + "".join(f"{x:14.8f}" for x in position) + "\n")
            name = f"density_{self.species}"
            handle.write(f"BEGIN_BLOCK_DATAGRID_3D\n{name}\nBEGIN_DATAGRID_3D_{name}\n")
            handle.write("".join(f"{n:6d}" for n in grid.shape) + "\n" + f"{0.0:14.8f}" * 3 + "\n")
            handle.writelines("".join(f"{x:14.8f}" for x in vector) + "\n" for vector in self.cell)
            values = grid.transpose(2, 1, 0).ravel()
            for start in range(0, len(values), 6):
                handle.write("".join(f"{v:14.6E}" for v in values[start : start + 6]) + "\n")
            handle.write("END_DATAGRID_3D\nEND_BLOCK_DATAGRID_3D\n")


def density_map(trajectory: Trajectory, species: str, *, voxel_A: float = 0.25, every: int = 1) -> DensityMap:
    """Mean number density of a species on a grid.

    Parameters
    ----------
    trajectory
        The run; positions are taken in scaled coordinates, so a cell that breathes blurs nothing.
    species
        Whose density.
    voxel_A
        Largest edge of a voxel, Å.
    every
        Take one frame in so many.

    Returns
    -------
    DensityMap
    """
    if voxel_A <= 0 or every < 1:
        raise ValueError(f"needed: voxel_A > 0 and every ≥ 1, found {voxel_A} and {every}")
    cell = trajectory.mean_cell
    shape = np.maximum(1, np.ceil(np.linalg.norm(cell, axis=1) / voxel_A)).astype(int)
    counts, frames = np.zeros(int(np.prod(shape))), 0
    for low in range(0, trajectory.n_frames, _FRAMES_A_BATCH * every):
        scaled = trajectory.scaled(species, low, low + _FRAMES_A_BATCH * every, every)
        frames += len(scaled)
        index = np.minimum((scaled % 1.0) * shape, shape - 1).astype(int).reshape(-1, 3)
        np.add.at(counts, np.ravel_multi_index(index.T, tuple(shape)), 1)
    voxel = abs(np.linalg.det(cell)) / np.prod(shape)
    first = trajectory.frame(0)
    first.set_cell(cell, scale_atoms=True)
    return DensityMap(counts.reshape(tuple(shape)) / (frames * voxel), cell, first, species)


@dataclass(frozen=True)
class Profile:
    """Number density along the normal of a pair of cell vectors.

    Attributes
    ----------
    position_A
        Distance along the normal, Å, shape ``(n_bins,)``.
    density_A3, error_A3
        Ions per Å³ and the standard error over blocks of frames.
    smooth_A3
        The density under a periodic Gaussian kernel.
    width_A
        Standard deviation of that kernel.
    """

    position_A: np.ndarray
    density_A3: np.ndarray
    error_A3: np.ndarray
    smooth_A3: np.ndarray
    width_A: float


def profile(
    trajectory: Trajectory, species: str, axis: int = 2, *, bin_A: float = 0.1, width_A: float = 0.3, n_blocks: int = 10
) -> Profile:
    """Concentration along the normal of the planes that a cell vector cuts.

    Parameters
    ----------
    trajectory
        The run.
    species
        Whose concentration.
    axis
        Cell vector (0, 1, 2) that the planes cut.
    bin_A
        Width of a bin, Å.
    width_A
        Standard deviation of the smoothing kernel, Å.
    n_blocks
        Blocks of frames for the error.
    """
    _check_axis(axis)
    if bin_A <= 0 or width_A < 0:
        raise ValueError(f"needed: bin_A > 0 and width_A ≥ 0, found {bin_A} and {width_A}")
    height = heights(trajectory.mean_cell)[axis]
    n_bins = max(1, round(height / bin_A))
    volume = trajectory.mean_volume_A3 / n_bins

    def counts(scaled: np.ndarray) -> np.ndarray:
        bins = np.minimum(scaled[..., axis] % 1.0 * n_bins, n_bins - 1).astype(int)
        return np.bincount(bins.ravel(), minlength=n_bins) / volume

    blocks = _block_means(trajectory, species, n_blocks, counts)
    mean = blocks.mean(axis=0)
    error = blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks)) if len(blocks) > 1 else np.full(n_bins, np.nan)
    step = height / n_bins
    smooth = gaussian_filter1d(mean, width_A / step, mode="wrap") if width_A else mean
    return Profile((np.arange(n_bins) + 0.5) * step, mean, error, smooth, width_A)


def enrichment(trajectory: Trajectory, species: str, region: Region, n_blocks: int = 10) -> Estimate:
    """Density in a region over that of the rest of the cell, minus one: positive where ions gather, negative where
    they lack.

    Parameters
    ----------
    trajectory
        The run.
    species
        Whose density.
    region
        Where.
    n_blocks
        Blocks of frames for the error.
    """
    cell = trajectory.mean_cell
    share = region.share(cell)
    if not 0 < share < 1:
        raise ValueError("the region must hold a part of the cell, not all or nothing of it")
    number = len(trajectory.indices(species))
    inside = _block_means(trajectory, species, n_blocks, lambda s: region.contains(s, cell).sum() / number)
    values = inside / share / ((1 - inside) / (1 - share)) - 1
    return from_blocks(float(np.mean(values)), values)


def _block_means(trajectory: Trajectory, species: str, n_blocks: int, count: Callable[[np.ndarray], Any]) -> np.ndarray:
    """Means over the frames of blocks of what is counted in scaled positions ``(frames, ions, 3)``, some at a time."""
    means = []
    for part in np.array_split(np.arange(trajectory.n_frames), min(n_blocks, trajectory.n_frames)):
        first, end = int(part[0]), int(part[-1]) + 1
        starts = range(first, end, _FRAMES_A_BATCH)
        total = sum(count(trajectory.scaled(species, low, min(low + _FRAMES_A_BATCH, end))) for low in starts)
        means.append(total / len(part))
    return np.array(means)


def _check_axis(axis: int) -> None:
    if axis not in (0, 1, 2):
        raise ValueError(f"axis must be 0, 1 or 2, found {axis}")


def grid_axes(density: DensityMap, axis: int) -> tuple[np.ndarray, np.ndarray, Sequence[int]]:
    """Edges, Å, of the two grid directions left by a projection along ``axis``, and their numbers."""
    _check_axis(axis)
    left = [k for k in range(3) if k != axis]
    lengths = np.linalg.norm(density.cell, axis=1)
    edges = [np.linspace(0, lengths[k], density.density_A3.shape[k] + 1) for k in left]
    return edges[0], edges[1], left


def observe(trajectory: Trajectory, options: Mapping[str, Any], context: Context) -> Outcome:
    """Arrays ``density_A3`` (on a grid), ``cell_A``, ``numbers`` and ``positions_A`` (the first frame in the mean cell,
    to show beside the map) and, for the cell vectors k = 0, 1, 2, ``profile_position_A_<k>``, ``profile_A3_<k>``,
    ``profile_error_A3_<k>``, ``profile_smooth_A3_<k>``, for every species of ``beside`` its density projected along the
    second cell vector, ``projection_A2_<species>``; the enrichment of the region.
    """
    species, region = options["species"], context.region(options["region"])
    grid = density_map(trajectory, species, voxel_A=options["voxel_A"], every=options["every"])
    arrays = {"density_A3": grid.density_A3, "cell_A": grid.cell}
    arrays |= {"numbers": grid.atoms.numbers, "positions_A": grid.atoms.positions}
    for k in range(3):
        line = profile(trajectory, species, k)
        arrays |= {f"profile_position_A_{k}": line.position_A, f"profile_A3_{k}": line.density_A3}
        arrays |= {f"profile_error_A3_{k}": line.error_A3, f"profile_smooth_A3_{k}": line.smooth_A3}
    for other in options["beside"]:
        beside = density_map(trajectory, other, voxel_A=options["voxel_A"], every=options["every"])
        arrays[f"projection_A2_{other}"] = beside.projection(1)
    gain = None if region is None else enrichment(trajectory, species, region)
    return Outcome(
        {
            "enrichment": None if gain is None else finite(gain.value),
            "enrichment_uncertainty": None if gain is None else finite(gain.error),
        },
        arrays,
    )


def rows(headline: Mapping[str, Any], label: str) -> list[Row]:
    """A line for the enrichment of the region, if there is one."""
    if headline["region"] is None:
        return []
    values = headline["enrichment"], headline["enrichment_uncertainty"]
    return [Row(f"enrichment of {headline['region']}", *values, form=".3f", reference=("enrichment",))]


OBSERVABLE = Observable(
    name="density",
    order=30,
    summary="Mean number density of a species on a grid, and its profile along each normal.",
    parameters=parameters_of(density_map, species=SPECIES, voxel_A=POSITIVE, every=COUNT)
    | {
        "region": Parameter(REGION, None, "Whose enrichment against the rest of the cell is told."),
        "beside": Parameter(SPECIES_LIST, (), "Further species whose maps are shown beside, such as the framework's."),
    },
    compute=observe,
    headline=("species", "region", "enrichment", "enrichment_uncertainty"),
    rows=rows,
    captions={
        "": "Number density, projected.",
        "profile": "Concentration along the third cell vector.",
        "species": "Number densities of several species, projected.",
    },
)
