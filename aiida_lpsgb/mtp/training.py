r"""Fitting a moment tensor potential's coefficients to energies, forces and stresses.

The loss is MLIP-2's [1]_: the mean over configurations of

.. math:: \frac{w_e}{N} (E - E^*)^2 + w_f \sum_i |\mathbf f_i - \mathbf f_i^*|^2
          + \frac{w_s}{N} \lVert V\sigma - V^*\sigma^* \rVert_F^2 .

It is a sum of squares in which the moment and species coefficients are linear: variable projection [3]_. Steps of the
Levenberg–Marquardt method [2]_ with analytic derivatives damp the radial coefficients only (Kaufman's approximation),
and a trial is judged with the linear coefficients at their optimum for its radial ones. At fixed composition the
species coefficients are not determined one by one; the smallest change that fits is taken.

References
----------
.. [1] I. S. Novikov, K. Gubaev, E. V. Podryabinkin, A. V. Shapeev, Mach. Learn.: Sci. Technol. 2, 025002 (2021).
.. [2] D. W. Marquardt, J. Soc. Ind. Appl. Math. 11, 431 (1963); K. Madsen, H. B. Nielsen, O. Tingleff, Methods for
   Non-Linear Least Squares Problems, DTU (2004), for the control of the damping.
.. [3] L. Kaufman, BIT 15, 49 (1975); G. H. Golub, V. Pereyra, Inverse Problems 19, R1 (2003).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms

from aiida_lpsgb.mtp import _training
from aiida_lpsgb.mtp.basis import random_coefficients
from aiida_lpsgb.mtp.calculator import Engine
from aiida_lpsgb.mtp.configurations import labels, types_of
from aiida_lpsgb.mtp.potential import MTP

__all__ = [
    "Prior",
    "TrainingResult",
    "Weights",
    "balanced",
    "bootstrap_weights",
    "prior_error",
    "train",
    "training_set",
]

#: Largest force component in eV/Å that is believed; one wrong label of this kind would be all that is fitted.
MAX_FORCE = 1e4
_WEIGHTINGS = ("vibrations", "molecules", "structures")
_INITS = ("same", "random")
# Steps of each random start before the first of them are given up, and between the further times; how many of them are
# left when the sample gives way to all configurations, whose minima have another order, and their steps there.
_FIRST_STEPS, _FURTHER_STEPS = 12, 6
_FINALISTS, _LAST_STEPS = 2, 10


@dataclass(frozen=True)
class Weights:
    """Weights of the loss, with MLIP-2's defaults.

    Attributes
    ----------
    energy, force, stress
        Weights of squared errors of energies (eV), forces (eV/Å) and virials (eV).
    scale_by_force
        If positive, a force f counts ``scale_by_force / (f² + scale_by_force)`` times.
    weighting
        How configurations of different size count: ``vibrations`` (energy and stress by 1/N), ``molecules`` (by 1),
        or ``structures`` (energy and stress by 1/N², forces by 1/N).
    """

    energy: float = 1.0
    force: float = 0.01
    stress: float = 0.001
    scale_by_force: float = 0.0
    weighting: str = "vibrations"

    def __post_init__(self):
        for name in ("energy", "force", "stress", "scale_by_force"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f"the weight {name} should be finite and not negative, got {value}")
        if self.weighting not in _WEIGHTINGS:
            raise ValueError(f"weighting should be one of {', '.join(_WEIGHTINGS)}, got {self.weighting!r}")
        if self.energy == self.force == self.stress == 0:
            raise ValueError("the weights of energy, force and stress are all 0")

    def targets(self, atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
        """Targets and weights (3n + 7,) of a configuration: energy, forces, virial; weight 0 without a label."""
        known, n = labels(atoms), len(atoms)
        targets, weights = np.zeros(3 * n + 7), np.zeros(3 * n + 7)
        whole = {"vibrations": 1.0 / n, "molecules": 1.0, "structures": 1.0 / n**2}[self.weighting]
        if "energy" in known:
            targets[0], weights[0] = known["energy"], self.energy * whole
        if "forces" in known:
            forces = np.asarray(known["forces"], dtype=float)
            weight = np.full(n, self.force / n if self.weighting == "structures" else self.force)
            if self.scale_by_force > 0:
                weight *= self.scale_by_force / (np.sum(forces**2, axis=1) + self.scale_by_force)
            targets[1:-6], weights[1:-6] = forces.ravel(), np.repeat(weight, 3)
        if "stress" in known and atoms.pbc.all():
            targets[-6:] = -atoms.get_volume() * np.asarray(known["stress"])
            weights[-6:] = self.stress * whole * np.array([1, 1, 1, 2, 2, 2])
        return targets, weights


@dataclass(frozen=True)
class Prior:
    """What is known of a potential from another level of theory, of which there are more labels.

    Attributes
    ----------
    mtp
        Potential that was trained on these.
    images
        What it was trained on.
    weight
        As how many configurations that counts.
    """

    mtp: MTP
    images: Sequence[Atoms]
    weight: float = 8.0

    def __post_init__(self):
        if not (np.isfinite(self.weight) and self.weight > 0):
            raise ValueError(f"the prior should count as a positive number of configurations, got {self.weight}")
        if not self.mtp.trained:
            raise ValueError("the potential of the prior has no coefficients: it must be trained first")


@dataclass
class TrainingResult:
    """What a training gives.

    Attributes
    ----------
    mtp
        The trained potential.
    converged
        Whether the loss had stopped falling before the limit on iterations was met.
    loss_history
        Loss after each iteration, beginning with that of the given coefficients, or of the random start that goes on.
    """

    mtp: MTP
    converged: bool
    loss_history: list[float] = field(default_factory=list)

    @property
    def loss(self) -> float:
        """Final loss."""
        return self.loss_history[-1]


def train(
    mtp: MTP,
    images: Iterable[Atoms],
    species: Sequence[str],
    *,
    weights: Weights | None = None,
    image_weights: Sequence[float] | None = None,
    regularisation: float = 0.0,
    max_iter: int = 1000,
    tolerance: float = 2e-4,
    seed: int = 0,
    threads: int = 1,
    starts: int = 16,
    init: str | None = None,
    prior: Prior | None = None,
    progress: Callable[[int, float, MTP], None] | None = None,
) -> TrainingResult:
    """Fit the coefficients of a potential to labelled configurations.

    Parameters
    ----------
    mtp
        Potential to start from. Without coefficients it gets random radial ones.
    images
        Configurations with some of energy, forces and stress on ``atoms.calc``.
    species
        Chemical symbols in the order of the potential's types.
    weights
        Weights of the loss.
    image_weights
        Further factor of each configuration's part of the loss, 1 by default; with 0 it is left out.
    regularisation
        Factor of the sum of all coefficients' squares, which is added to the loss (L2). About 1e-4 keeps the
        extrapolation of a potential within bounds that few configurations determine, and is hardly seen in the errors
        of well sampled systems.
    max_iter
        Largest number of iterations.
    tolerance
        The training has converged when ten iterations together lower the loss by less than this fraction.
    seed
        Seed of the random coefficients and of the sample that they are tried on.
    threads
        Number of threads. The result is reproducible for the same number.
    starts
        Number of random starts for a potential without coefficients. They are fitted to a sample of the configurations,
        the last two to all of them, and the worse half is given up again and again until one is left: the loss has many
        minima, and where a fit will end shows early.
    init
        Whether a start has the ``same`` radial coefficients for all pairs of species, or ``random`` ones for each;
        by turns if not given, since either finds the better minima of some systems.
    prior
        A potential of another level of theory, near which the coefficients stay as far as its own training set
        determines them: Laplace's approximation of what was learned there is added to the loss. Energies of the species
        are shifted to fit first. A potential without coefficients starts from it.
    progress
        Called after each iteration with its number, the loss and the potential, and before the first one with 0.

    Returns
    -------
    TrainingResult

    Raises
    ------
    ValueError
        When there is nothing to train on, a configuration does not fit the potential, or a force is above
        `MAX_FORCE`.
    """
    if max_iter < 0:
        raise ValueError(f"max_iter should not be negative, got {max_iter}")
    if not (np.isfinite(regularisation) and regularisation >= 0):
        raise ValueError(f"regularisation should be finite and not negative, got {regularisation}")
    if starts < 1:
        raise ValueError(f"starts should be positive, got {starts}")
    if init not in (None, *_INITS):
        raise ValueError(f"init should be one of {', '.join(_INITS)}, got {init!r}")
    images, weights = list(images), weights or Weights()
    data, count = training_set(mtp, images, species, weights, image_weights)
    start = mtp
    if prior is None:
        everything = data, count, _ridge(regularisation, count, mtp)
    else:
        if regularisation:
            raise ValueError("give a prior or a regularisation, not both")
        centre = _shifted(prior, mtp, images, species)
        everything = data, count, _penalty_of(prior, centre, species, weights, threads)
        start = mtp if mtp.trained else centre
    if start.trained:
        fit = _LevenbergMarquardt(*everything, start, threads)
    else:
        inits = [init] if init else _INITS
        trials = [random_coefficients(mtp, (seed, k), inits[k % len(inits)] == "same") for k in range(starts)]
        if max_iter and starts > 1:
            sample = _sample(mtp, images, image_weights, seed)
            sample_weights = None if image_weights is None else [image_weights[index] for index in sample]
            few, n_few = training_set(mtp, [images[index] for index in sample], species, weights, sample_weights)
            tried = few, n_few, _ridge(regularisation, n_few, mtp)
            groups = [trials[kind :: len(inits)] for kind in range(len(inits))]
            fit = _best_start(groups, tried, everything, threads)
        else:
            fit = _LevenbergMarquardt(*everything, trials[0], threads)
            fit.solve_linear()
    history = [fit.loss]
    if progress:
        progress(0, fit.loss, mtp.with_parameters(fit.parameters))
    converged = False
    while not converged and len(history) <= max_iter:
        improved = fit.step()
        history.append(fit.loss)
        converged = not improved or _settled(history, tolerance)
        if progress:
            progress(len(history) - 1, fit.loss, mtp.with_parameters(fit.parameters))
    trained = mtp.with_parameters(fit.parameters)
    # With regularisation, the scale of the coefficients is part of the fit.
    return TrainingResult(trained if regularisation else balanced(trained), converged, history)


def _sample(mtp: MTP, images: Sequence[Atoms], image_weights: Sequence[float] | None, seed: int) -> list[int]:
    """Some of the configurations that count, enough to determine the coefficients ten times over."""
    used = [k for k in range(len(images)) if image_weights is None or image_weights[k]]
    order = np.random.default_rng((seed, len(used))).permutation(used).tolist()
    rows = np.cumsum([3 * len(images[k]) + 7 for k in order])
    return sorted(order[: max(8, int(np.searchsorted(rows, 10 * mtp.n_parameters)) + 1)])


def _best_start(
    groups: Sequence[Sequence[MTP]],
    sample: tuple[_training.TrainingSet, float, _Penalty],
    everything: tuple[_training.TrainingSet, float, _Penalty],
    threads: int,
) -> _LevenbergMarquardt:
    """Fit all, give up the worse half after some steps, and again, until one is left."""

    def begun(problem: tuple[_training.TrainingSet, float, _Penalty], mtp: MTP) -> _LevenbergMarquardt:
        fit = _LevenbergMarquardt(*problem, mtp, threads)
        fit.solve_linear()
        return fit

    def race(fits: list[_LevenbergMarquardt], steps: int) -> list[_LevenbergMarquardt]:
        for fit in fits:
            any(not fit.step() for _ in range(steps))
        return sorted(fits, key=lambda fit: fit.loss)[: (len(fits) + 1) // 2]

    left = []
    for group in groups:  # some kinds of starts are slower at first
        left += race([begun(sample, trial) for trial in group], _FIRST_STEPS)
    while len(left) > _FINALISTS:
        left = race(left, _FURTHER_STEPS)
    left = [begun(everything, groups[0][0].with_parameters(fit.parameters)) for fit in left]
    while len(left) > 1:
        left = race(left, _LAST_STEPS)
    return left[0]


def prior_error(prior: MTP, mtp: MTP) -> str | None:
    """Why the coefficients of a potential mean something else than those of another; None if they mean the same."""
    for name in ("n_species", "n_parameters", "cutoff", "min_distance", "radial_basis_type"):
        if (its := getattr(prior, name)) != (own := getattr(mtp, name)):
            return f"its {name} is {its}, and {own} of the one that is trained"
    return None


def bootstrap_weights(count: int, seed: int) -> np.ndarray:
    """Random weights of configurations, exponentially distributed with mean 1 (count,): a Bayesian bootstrap [1]_.

    As `image_weights` of `train`, with another seed for each member of a committee, the spread of the members'
    predictions shows how far the training set determines them, as for configurations that are drawn with replacement.
    But every configuration counts for something: a drawn sample lacks 37 % of them, and without what active learning
    found at the edge of the known, dynamics leaves it.

    References
    ----------
    .. [1] D. B. Rubin, Ann. Stat. 9, 130 (1981).
    """
    weights = np.random.default_rng(seed).exponential(size=count)
    return weights / weights.mean()


def training_set(
    mtp: MTP,
    images: Sequence[Atoms],
    species: Sequence[str],
    weights: Weights,
    image_weights: Sequence[float] | None = None,
) -> tuple[_training.TrainingSet, float]:
    """Make the engine's training set; arguments as for `train`.

    Returns
    -------
    TrainingSet, float
        The set, whose losses are sums over configurations, and the sum of the configurations' weights.
    """
    if not images:
        raise ValueError("there is no configuration to train on")
    if len(species) != mtp.n_species:
        raise ValueError(f"the potential has {mtp.n_species} species, got {', '.join(species) or 'none'}")
    factors = np.ones(len(images)) if image_weights is None else np.asarray(image_weights, dtype=float)
    if factors.shape != (len(images),) or not np.isfinite(factors).all() or factors.min() < 0 or not factors.any():
        raise ValueError("image_weights should be finite numbers, one for each configuration, none of them negative")
    data = _training.TrainingSet(mtp.to_string())
    labelled = False
    for index, (atoms, factor) in enumerate(zip(images, factors, strict=True)):
        if not factor:
            continue
        try:
            targets, row_weights = weights.targets(atoms)
            if (largest := np.abs(targets[1:-6]).max()) > MAX_FORCE:
                raise ValueError(f"a force of {largest:.3g} eV/Å: the label must be wrong, or atoms overlap")
            data.add(
                types_of(atoms, species), atoms.positions, atoms.cell.array, atoms.pbc, targets, factor * row_weights
            )
        except ValueError as error:
            raise ValueError(f"configuration {index}: {error}") from None
        labelled = labelled or bool(row_weights.any())
    if not labelled:
        raise ValueError("no configuration has an energy, forces or a stress whose weight is not 0")
    return data, float(factors.sum())


def _settled(history: list[float], tolerance: float, window: int = 10) -> bool:
    return len(history) > window and history[-1 - window] - history[-1] <= tolerance * history[-1]


@dataclass(frozen=True)
class _Penalty:
    """A quadratic form of the coefficients about a centre, which is added to the sum of the losses."""

    matrix: np.ndarray
    centre: np.ndarray

    def __call__(self, parameters: np.ndarray) -> float:
        return float((parameters - self.centre) @ self.slope(parameters))

    def slope(self, parameters: np.ndarray) -> np.ndarray:
        """Half of its derivative, as normal equations have it."""
        return self.matrix @ (parameters - self.centre)


def _ridge(regularisation: float, count: float, mtp: MTP) -> _Penalty:
    return _Penalty(regularisation * count * np.eye(mtp.n_parameters), np.zeros(mtp.n_parameters))


def _penalty_of(prior: Prior, centre: MTP, species: Sequence[str], weights: Weights, threads: int) -> _Penalty:
    """The curvature of the loss of what the prior was trained on, for as many configurations as that counts."""
    data, count = training_set(prior.mtp, prior.images, species, weights)
    matrix, _, _ = data.normal_equations(prior.mtp.parameters, threads)
    return _Penalty(prior.weight / count * matrix, centre.parameters)


def _shifted(prior: Prior, mtp: MTP, images: Sequence[Atoms], species: Sequence[str]) -> MTP:
    """The potential of the prior with energies of the species that fit these configurations."""
    if message := prior_error(prior.mtp, mtp):
        raise ValueError(f"the potential of the prior: {message}")
    engine, shares, differences = Engine(prior.mtp, species), [], []
    for atoms in images:
        if (energy := labels(atoms).get("energy")) is not None:
            symbols = np.array(atoms.get_chemical_symbols())
            shares.append([np.mean(symbols == one) for one in species])
            differences.append((energy - engine.evaluate(atoms)["energy"]) / len(atoms))
    if not shares:
        return prior.mtp
    first = prior.mtp.n_radial_parameters
    parameters = prior.mtp.parameters
    parameters[first : first + len(species)] += np.linalg.lstsq(np.array(shares), np.array(differences), rcond=1e-6)[0]
    return prior.mtp.with_parameters(parameters)


class _LevenbergMarquardt:
    """The state of the optimiser: parameters, their normal equations and the damping."""

    # Eigenvalues of the scaled normal matrix below this fraction of the largest are taken as directions without effect:
    # in a step, and where the linear coefficients are solved for.
    RANK = 1e-12
    LINEAR_RANK = 1e-11

    def __init__(self, data: _training.TrainingSet, count: float, penalty: _Penalty, mtp: MTP, threads: int):
        self._data, self._count, self._threads, self._penalty = data, count, threads, penalty
        self._n_radial, self._pairs = mtp.n_radial_parameters, mtp.n_species**2
        self._damping, self._growth = 1e-2, 2.0
        self.parameters = mtp.parameters
        self._linearise()

    @property
    def loss(self) -> float:
        """Mean loss of a configuration."""
        return self._sum / self._count

    def _linearise(self) -> None:
        self._matrix, self._gradient, self._sum = self._data.normal_equations(self.parameters, self._threads)
        self._matrix += self._penalty.matrix
        self._gradient += self._penalty.slope(self.parameters)
        self._sum += self._penalty(self.parameters)

    def _with_best_linear(self, parameters: np.ndarray) -> tuple[np.ndarray, float]:
        """The moment and species coefficients at their optimum for the radial ones, and the sum of losses there."""
        n = self._n_radial
        matrix, gradient, total = self._data.linear_equations(parameters, self._threads)
        if not (np.isfinite(total) and np.isfinite(matrix).all()):  # a step too far
            return parameters, np.inf
        matrix += self._penalty.matrix[n:, n:]
        gradient += self._penalty.slope(parameters)[n:]
        scale = _scale(matrix)
        values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
        used = values > self.LINEAR_RANK * values[-1]
        projected = vectors.T[used] @ (gradient / scale)
        best = parameters.copy()
        best[n:] -= vectors[:, used] @ (projected / values[used]) / scale
        return best, total + self._penalty(parameters) - float(projected @ (projected / values[used]))

    def solve_linear(self) -> None:
        """Give the moment and species coefficients their optimum for the present radial ones."""
        self.parameters, _ = self._with_best_linear(self.parameters)
        self._linearise()

    def step(self) -> bool:
        """Lower the loss by one iteration; False when no step does."""
        before = self.parameters, self._matrix, self._gradient, self._sum
        scale, radial = _scale(self._matrix), np.diag_indices(self._n_radial)
        matrix, gradient = self._matrix / np.outer(scale, scale), self._gradient / scale
        # One scale for all pairs of species: by its own, the function of a pair that is hardly met grows without bound.
        pairs = np.diag(self._matrix)[: self._n_radial].reshape(self._pairs, -1)
        common = np.tile(pairs.mean(axis=0), self._pairs) / scale[: self._n_radial] ** 2
        while self._damping < 1e12:
            damped = matrix.copy()
            damped[np.diag_indices_from(damped)] += self.RANK * len(matrix)
            damped[radial] += self._damping * common
            scaled = -np.linalg.solve(damped, gradient)
            expected = -(2.0 * scaled @ gradient + scaled @ matrix @ scaled)
            trial, loss = self._with_best_linear(before[0] + scaled / scale)
            if loss < before[-1] and expected > 0:
                self.parameters = trial
                self._linearise()
                if self._sum < before[-1]:  # the other loss is a difference, with its rounding errors
                    ratio = (before[-1] - self._sum) / expected
                    self._damping = max(self._damping * max(0.2, 1.0 - (2.0 * ratio - 1.0) ** 3), 1e-12)
                    self._growth = 2.0
                    return True
                self.parameters, self._matrix, self._gradient, self._sum = before
            self._damping *= self._growth
            self._growth *= 2.0
        return False


def _scale(matrix: np.ndarray) -> np.ndarray:
    """Square roots of the diagonal, parameters without any effect aside."""
    diagonal = np.sqrt(np.diag(matrix))
    return np.where(diagonal > 1e-10 * diagonal.max(), diagonal, diagonal.max() or 1.0)


def balanced(mtp: MTP) -> MTP:
    """Fix the freedom to rescale: each radial function gets the same norm, the moment coefficients take the factors.

    The energy is the same function afterwards. Potentials whose basis functions are not homogeneous in the radial
    functions are returned as they are.
    """
    degrees = _degrees(mtp)
    norms = np.sqrt(np.mean(np.square(mtp.radial_coefficients), axis=(0, 1, 3))) * mtp.scaling
    if degrees is None or not norms.all():
        return mtp
    target = 0.3 / (mtp.cutoff - mtp.min_distance) ** 2
    parameters = mtp.parameters
    factors = norms / target
    radial = mtp.radial_coefficients / factors[:, None]
    parameters[: mtp.n_radial_parameters] = radial.ravel()
    parameters[mtp.n_radial_parameters + mtp.n_species :] *= np.prod(factors**degrees, axis=1)
    return mtp.with_parameters(parameters) if np.isfinite(parameters).all() else mtp


def _degrees(mtp: MTP) -> np.ndarray | None:
    """How often each radial function is a factor of each basis function (M, K); None if that is not settled."""
    degrees = np.full((mtp.n_moments, mtp.n_radial), -1)
    degrees[: len(mtp.index_basic)] = np.eye(mtp.n_radial, dtype=int)[mtp.index_basic[:, 0]]
    for first, second, _, target in mtp.index_times.tolist():
        degree = degrees[first] + degrees[second]
        if degrees[target, 0] >= 0 and (degrees[target] != degree).any():
            return None
        degrees[target] = degree
    found = degrees[mtp.moment_mapping]
    return None if (found < 0).any() else found
