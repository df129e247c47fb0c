r"""Diffusion along the normal of layers, from how often ions go from where to where.

Displacements along the normal of a thin layer tell too low a diffusivity: ions that walk far leave it. Their positions
along the normal are therefore described by Smoluchowski's equation on a grid (Hummer, New J. Phys. 7, 34 (2005)): hops
between neighbouring cells *i* of a free-energy profile :math:`F_i = -k_BT\ln p_i`, with rates

.. math:: R_{i+1,i} = \frac{D_{i+1/2}}{\Delta^2}\sqrt{p_{i+1}/p_i}

that keep the density *p* that was seen. The chance to go from *i* to *j* within a lag *t* is :math:`[e^{tR}]_{ji}`, and
the diffusivities of the layers are those that make the transitions that were counted most likely. Nothing is wrong with
ions that leave: where they are then, the diffusivity is another.

The width of a cell and the vibrations make apparent diffusivities too large by a part that falls as 1/t. The apparent
displacement :math:`2D(t)\,t` is therefore a line in *t*, and its slope the diffusivity, as for displacements.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CELL_A = 0.25
"""Width of a cell of the grid, Å; wider where the cell is long."""
_MOST_CELLS = 160
_RAREST = 1e-4  # of the mean density, below which a cell counts as this much
_FRAMES_A_BATCH = 512
_SMALLEST, _STEP, _CLOSE = 1e-12, 1e-4, 1e-5
_ROUNDS, _HALVINGS = 40, 6


@dataclass(frozen=True)
class Layers:
    """A grid along a normal and the layers on it.

    Attributes
    ----------
    spacing_A
        Width of a cell, Å.
    shares
        Share of the way from the middle of cell *i* to that of the next that lies in each layer, shape
        ``(n_cells, n_layers)``; of the last cell the way to the first, across the boundary of the cell.
    ends
        ``periodic``; or ``absorbing``, where ions that pass the first or the last cell are gone.
    """

    spacing_A: float
    shares: np.ndarray
    ends: str = "periodic"

    def __post_init__(self) -> None:
        if self.ends not in ("periodic", "absorbing"):
            raise ValueError(f"ends must be periodic or absorbing, found {self.ends!r}")

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.shares)

    @classmethod
    def along(cls, height_A: float, intervals: list[list[tuple[float, float]]], spacing_A: float = CELL_A) -> Layers:
        """Layers of a periodic cell.

        Parameters
        ----------
        height_A
            Height of the cell along the normal, Å.
        intervals
            For each layer the intervals it takes, as fractions of the height; ends may lie outside 0 to 1, for those
            across the boundary. What is left over is one more layer.
        spacing_A
            Width of a grid cell.
        """
        n_cells = int(np.clip(round(height_A / spacing_A), 8, _MOST_CELLS))
        fine = (np.arange(64 * n_cells) + 0.5) / (64 * n_cells)
        inside = np.zeros((len(intervals) + 1, len(fine)))
        for layer, own in zip(inside, intervals, strict=False):
            for low, high in own:
                layer[(fine - low) % 1.0 < high - low] = 1.0
        inside[-1] = 1.0 - inside[:-1].max(axis=0, initial=0.0)
        # From the middle of one cell to that of the next.
        shares = np.roll(inside, -32, axis=1).reshape(len(inside), n_cells, 64).mean(axis=2).T
        return cls(height_A / n_cells, shares)


def transitions(
    cells: np.ndarray, lag: int, n_cells: int, edges: np.ndarray, counted: np.ndarray | None = None
) -> np.ndarray:
    """How often an ion is in cell *j* a lag after it was in cell *i*, by block of the time origin.

    Parameters
    ----------
    cells
        Cell of each ion in each frame, shape ``(n_frames, n_ions)``.
    lag
        Frames.
    n_cells
        Number of cells.
    edges
        First frames of the blocks, and the number of frames.
    counted
        Which ions count in which frame, as origin and as end; all if None.

    Returns
    -------
    numpy.ndarray
        Shape ``(n_blocks, n_cells, n_cells)``, from *i* (second axis) to *j* (last).
    """
    n_frames = len(cells)
    found = np.zeros((len(edges) - 1, n_cells * n_cells))
    for block, (first, last) in enumerate(zip(edges[:-1], np.minimum(edges[1:], n_frames - lag), strict=True)):
        for low in range(first, last, _FRAMES_A_BATCH):
            high = min(low + _FRAMES_A_BATCH, last)
            pairs = cells[low:high].astype(np.int64) * n_cells + cells[low + lag : high + lag]
            if counted is not None:
                pairs = pairs[counted[low:high] & counted[low + lag : high + lag]]
            found[block] += np.bincount(pairs.ravel(), minlength=n_cells * n_cells)
    return found.reshape(-1, n_cells, n_cells)


def propagator(d: np.ndarray, density: np.ndarray, layers: Layers, time: float) -> np.ndarray:
    """Chance to be in cell *j* (last axis) a time after cell *i*, shape ``(n_cells, n_cells)``.

    Parameters
    ----------
    d
        Diffusivity of each layer, Å² per unit of time.
    density
        Density in each cell, in any unit.
    layers
        The grid.
    time
        Time.
    """
    # On the way between two cells resistances add.
    along = 1.0 / (layers.shares @ (1.0 / np.asarray(d, float))) / layers.spacing_A**2
    n = layers.n_cells
    here, there = np.arange(n), (np.arange(n) + 1) % n
    root = np.sqrt(density)
    out_up, out_down = along * root[there] / root, along * root / root[there]
    if layers.ends == "absorbing":
        # Half a cell from the middle of the last one to the end.
        out_up[-1], out_down[-1], along = 2 * along[-1], 2 * along[-1], np.append(along[:-1], 0.0)
    symmetric = np.zeros((n, n))
    symmetric[here, there] += along
    symmetric[there, here] += along
    symmetric[here, here] -= out_up
    symmetric[there, there] -= out_down
    levels, modes = np.linalg.eigh(symmetric)
    kernel = (modes * np.exp(levels * time)) @ modes.T
    return np.maximum(kernel, 0.0) * root[None, :] / root[:, None]


def fit_layers(
    counts: np.ndarray, density: np.ndarray, layers: Layers, lag: float, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Most likely diffusivities of the layers, and those of each block of time.

    Parameters
    ----------
    counts
        Transitions within a lag by block, shape ``(n_blocks, n_cells, n_cells)``, from *i* to *j*; with absorbing ends
        one column more, of those that have gone.
    density
        Density in each cell.
    layers
        The grid.
    lag
        Lag, in any unit of time.
    start
        Where to begin, Å² per unit of time.

    Returns
    -------
    whole : numpy.ndarray
        Å² per unit of time, shape ``(n_layers,)``, by Fisher scoring.
    blocks : numpy.ndarray
        One step of it from the whole for each block, shape ``(n_blocks, n_layers)``; NaN where a block has no counts.
    """
    density = np.maximum(density, _RAREST * density.mean())
    total = counts.sum(axis=0)

    def log_chance(ln_d: np.ndarray) -> np.ndarray:
        chance = propagator(np.exp(ln_d), density, layers, lag)
        if layers.ends == "absorbing":
            chance = np.column_stack([chance, 1 - chance.sum(axis=1)])
        return np.log(np.maximum(chance, _SMALLEST))

    def slopes(ln_d: np.ndarray, here: np.ndarray) -> np.ndarray:
        return np.stack([(log_chance(ln_d + _STEP * unit) - here) / _STEP for unit in np.eye(len(ln_d))])

    def step(own: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        score = np.tensordot(gradient, own, axes=2)
        information = np.einsum("kij,lij,ij->kl", gradient, gradient, own)
        return np.clip(np.linalg.lstsq(information, score, rcond=1e-10)[0], -1.0, 1.0)

    ln_d = np.log(np.asarray(start, float))
    here = log_chance(ln_d)
    for _ in range(_ROUNDS):
        gradient = slopes(ln_d, here)
        move = step(total, gradient)
        for _ in range(_HALVINGS):
            there = log_chance(ln_d + move)
            if np.sum(total * (there - here)) >= 0:
                break
            move = move / 2
        ln_d, here = ln_d + move, there
        if np.abs(move).max() < _CLOSE:
            break
    gradient = slopes(ln_d, here)
    blocks = np.full((len(counts), len(ln_d)), np.nan)
    for block, own in zip(blocks, counts, strict=True):
        if own.sum():
            block[:] = np.exp(ln_d + step(own, gradient))
    return np.exp(ln_d), blocks


def effective_diffusivity(d: np.ndarray, density: np.ndarray, layers: Layers, layer: int) -> float:
    """Diffusivity over the barriers of a layer's density (Lifson & Jackson, J. Chem. Phys. 36, 2410 (1962))."""
    share = layers.shares[:, layer]
    density = np.maximum(density, _RAREST * density.mean())
    middle = np.sqrt(density * np.roll(density, -1))
    if not (width := share.sum()):
        return np.nan  # the layers leave nothing over
    return float(d[layer] / ((share @ middle / width) * (share @ (1.0 / middle) / width)))
