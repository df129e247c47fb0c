r"""Activation energies from diffusivities at several temperatures.

:math:`\ln D = \ln D_0 - E_a/(k_B T)` is fitted with the weights of the standard errors of :math:`\ln D`; its
covariance carries over to the extrapolated value. Where the scatter about the line is larger than the errors allow,
the covariance is widened by the reduced :math:`\chi^2` (Birge ratio); it is never narrowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import constants, optimize, special, stats

from aiida_lpsgb.analysis.estimates import Estimate
from aiida_lpsgb.analysis.motion import nernst_einstein

K_B = constants.k / constants.e
"""Boltzmann's constant, eV/K."""

_FEWEST_OVER = 3


@dataclass(frozen=True)
class ArrheniusFit:
    """A line through ln D against 1/T.

    Attributes
    ----------
    activation_energy_eV, activation_energy_error_eV
        Slope and its standard error.
    ln_d0
        Intercept: ln of D₀ in cm²/s.
    covariance
        Of (ln D₀, E_a), widened by ``inflation`` squared, shape ``(2, 2)``.
    birge_ratio
        Square root of the reduced χ²; NaN where two points leave nothing to judge by.
    dof
        Degrees of freedom of the intervals: normal (infinite) where the scatter agrees with the errors given, else
        the points' own, three at least.
    inflation
        Factor by which the scatter about the line widens the errors: the Birge ratio where it is above one, one where
        it is not; with fewer than three degrees of freedom it counts for no more than they are of three.
    temperatures_K, d_cm2_s, errors_cm2_s
        What was fitted.
    limits
        Which points were taken as upper limits.
    """

    activation_energy_eV: float
    ln_d0: float
    covariance: np.ndarray
    birge_ratio: float
    dof: float
    temperatures_K: np.ndarray
    d_cm2_s: np.ndarray
    errors_cm2_s: np.ndarray
    limits: np.ndarray
    inflation: float = 1.0

    @property
    def activation_energy_error_eV(self) -> float:
        """Standard error of the activation energy, eV."""
        return float(np.sqrt(self.covariance[1, 1]))

    @property
    def d0_cm2_s(self) -> float:
        """Prefactor, cm²/s."""
        return float(np.exp(self.ln_d0))

    @property
    def activation_energy(self) -> Estimate:
        """E_a with its error, eV."""
        return Estimate(self.activation_energy_eV, self.activation_energy_error_eV, self.dof)

    def ln_estimate(self, temperature_K: float) -> Estimate:
        """Logarithm of D (cm²/s) on the line, with its standard error."""
        if temperature_K <= 0:
            raise ValueError(f"temperature_K must be positive, found {temperature_K}")
        row = np.array([1.0, -1.0 / (K_B * temperature_K)])
        value = row @ [self.ln_d0, self.activation_energy_eV]
        return Estimate(float(value), float(np.sqrt(row @ self.covariance @ row)), self.dof)

    def predict(self, temperature_K: float, level: float = 0.95) -> tuple[float, float, float]:
        """D and the two ends of its confidence interval, cm²/s."""
        estimate = self.ln_estimate(temperature_K)
        low, high = estimate.interval(level)
        return float(np.exp(estimate.value)), float(np.exp(low)), float(np.exp(high))

    def conductivity(
        self, number_density_A3: float, temperature_K: float = 300.0, charge: float = 1.0, level: float = 0.95
    ) -> tuple[float, float, float]:
        """Nernst–Einstein conductivity and the two ends of its confidence interval, S/cm."""
        factor = nernst_einstein(1.0, number_density_A3, temperature_K, charge)
        return tuple(factor * d for d in self.predict(temperature_K, level))


def fit(
    temperatures_K: Sequence[float],
    d_cm2_s: Sequence[float],
    sigma_cm2_s: Sequence[float],
    limits: Sequence[bool] | None = None,
) -> ArrheniusFit:
    """Fit one activation energy.

    Parameters
    ----------
    temperatures_K
        Temperatures, at least two different ones; replicas may repeat one.
    d_cm2_s
        Diffusivities. Those that are not positive can only be upper limits.
    sigma_cm2_s
        Their standard errors, positive.
    limits
        Points where no diffusion was seen: D is known to be no more than ``d_cm2_s`` + a normal error of
        ``sigma_cm2_s``. Such a point pulls the line down where it passes above, and leaves it alone where it passes
        below (a censored observation).

    Returns
    -------
    ArrheniusFit

    Raises
    ------
    ValueError
        If lengths differ, values make no sense, or fewer than two temperatures hold a diffusivity that is no limit.
    """
    t, d, s, limits = _checked(temperatures_K, d_cm2_s, sigma_cm2_s, limits)
    seen = ~limits
    x, y, e = -1.0 / (K_B * t[seen]), np.log(d[seen]), s[seen] / d[seen]
    if len(np.unique(t[seen])) < 2:
        raise ValueError(
            f"an Arrhenius fit needs diffusivities at two temperatures or more, found {sorted(set(t[seen]))}"
        )
    design = np.stack([np.ones_like(x), x], axis=1)
    # 1/T is large and far from zero: solve about its weighted mean, then shift back.
    centre = np.average(x, weights=e**-2)
    shifted = design - [0.0, centre]
    covariance = np.linalg.inv((shifted / e[:, None] ** 2).T @ shifted)
    parameters = covariance @ (shifted / e[:, None] ** 2).T @ y
    if limits.any():
        parameters, covariance = _censored(
            parameters, covariance, shifted, y, e, centre, t[limits], d[limits], s[limits]
        )
    back = np.array([[1.0, -centre], [0.0, 1.0]])
    parameters, covariance = back @ parameters, back @ covariance @ back.T
    residual = (y - design @ parameters) / e
    dof = int(seen.sum()) - 2
    chi2 = float(residual @ residual)
    birge = float(np.sqrt(chi2 / dof)) if dof > 0 else np.nan
    widened = dof > 0 and birge > 1
    # One or two points over say little of how wrong the errors are: what lacks to three is taken to agree with them.
    agreeing = max(_FEWEST_OVER - dof, 0)
    inflation = (agreeing + chi2) / (agreeing + dof) if widened else 1.0
    return ArrheniusFit(
        activation_energy_eV=float(parameters[1]),
        ln_d0=float(parameters[0]),
        covariance=covariance * inflation,
        birge_ratio=birge,
        dof=float(agreeing + dof) if widened else np.inf,
        inflation=float(np.sqrt(inflation)),
        temperatures_K=t,
        d_cm2_s=d,
        errors_cm2_s=s,
        limits=limits,
    )


def _checked(temperatures, d, sigma, limits) -> tuple[np.ndarray, ...]:
    t, d, s = (np.asarray(list(v), float) for v in (temperatures, d, sigma))
    limits = np.zeros(len(t), bool) if limits is None else np.asarray(list(limits), bool)
    if not len(t) == len(d) == len(s) == len(limits):
        raise ValueError(
            "temperatures, diffusivities, errors and limits differ in number: "
            f"{len(t)}, {len(d)}, {len(s)}, {len(limits)}"
        )
    if not all(np.isfinite(v).all() for v in (t, d, s)) or np.any(t <= 0):
        raise ValueError("temperatures must be positive and all values finite")
    if np.any(s <= 0):
        raise ValueError("every diffusivity needs a positive standard error (sigma_cm2_s)")
    if np.any(d[~limits] <= 0):
        raise ValueError("a diffusivity that is not positive can only enter as an upper limit (limits)")
    return t, d, s, limits


def _censored(start, covariance, design, y, e, centre, t, d, s) -> tuple[np.ndarray, np.ndarray]:
    """Maximise the likelihood of points and limits; the covariance is the inverse of its curvature."""
    scale = np.sqrt(np.diag(covariance))
    rows = np.stack([np.ones_like(t), -1.0 / (K_B * t) - centre], axis=1)

    def cost(steps: np.ndarray) -> float:
        parameters = start + scale * steps
        residual = (y - design @ parameters) / e
        above = (np.maximum(d, 0.0) - np.exp(np.clip(rows @ parameters, -200, 50))) / s
        return 0.5 * residual @ residual - np.sum(special.log_ndtr(above))

    best = optimize.minimize(
        cost, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 4000}
    ).x
    # The logarithm of the normal distribution is concave, and so is the likelihood: its curvature has an inverse.
    above, slope = np.maximum(d, 0.0), np.exp(np.clip(rows @ (start + scale * best), -200, 50)) / s
    above = above / s - slope
    mills = np.sqrt(2 / np.pi) / special.erfcx(-above / np.sqrt(2))
    bent = np.clip(mills * (mills + above), 0.0, 1.0) * slope**2 + mills * slope
    return start + scale * best, np.linalg.inv(np.linalg.inv(covariance) + (bent[:, None] * rows).T @ rows)


@dataclass(frozen=True)
class Regimes:
    """One activation energy, or two that meet at a transition temperature.

    Attributes
    ----------
    fits
        One fit, or two: of the lower and of the higher temperatures.
    transition_K, transition_interval95_K
        Where the broken line bends and between which temperatures that may be (profile likelihood); None for one
        regime.
    criterion
        Corrected Akaike criterion of the models with one and with two regimes (the smaller is the better); the second
        is infinite if there are too few temperatures to tell.
    """

    fits: tuple[ArrheniusFit, ...]
    transition_K: float | None
    criterion: tuple[float, float]
    transition_interval95_K: tuple[float, float] | None = None

    def at(self, temperature_K: float) -> ArrheniusFit:
        """The fit of the regime that a temperature lies in."""
        return self.fits[0] if self.transition_K is None or temperature_K < self.transition_K else self.fits[-1]

    @property
    def low_temperature(self) -> ArrheniusFit:
        """The fit that extrapolates to low temperatures, as the paper does for the crystal."""
        return self.fits[0]


def fit_regimes(
    temperatures_K: Sequence[float],
    d_cm2_s: Sequence[float],
    sigma_cm2_s: Sequence[float],
    limits: Sequence[bool] | None = None,
) -> Regimes:
    """Decide between one and two regimes by the corrected Akaike information criterion.

    Where even the second model scatters more than the errors allow, they are too small, and χ² of both models is
    divided by its reduced χ² (quasi-likelihood; Burnham & Anderson, Model Selection and Multimodel Inference, 2002,
    ch. 2.5): scatter alone makes no bend.

    The second model is a broken line that is continuous at the transition: four parameters (E_a below and above, D₀,
    transition temperature), searched over the gaps between temperatures with two temperatures or more on either side.
    The fits reported for the two regimes are of their own points, so that the low-temperature slope does not lean on
    the high temperatures.

    Parameters
    ----------
    temperatures_K, d_cm2_s, sigma_cm2_s, limits
        As for :func:`fit`; limits count with the lower regime.
    """
    t, d, s, limits = _checked(temperatures_K, d_cm2_s, sigma_cm2_s, limits)
    one = fit(t, d, s, limits)
    seen = np.flatnonzero(~limits)
    x, y, e = 1.0 / (K_B * t[seen]), np.log(d[seen]), s[seen] / d[seen]
    levels = np.unique(t[seen])
    n = len(seen)
    straight = _chi2(np.stack([np.ones(n), x], axis=1), y, e)
    knees, profile = [], []
    for low, high in pairwise(levels[1:-1]):
        # Between two temperatures, not at one of them: each belongs to one side.
        for knee in np.linspace(1 / (K_B * high), 1 / (K_B * low), 11)[1:-1]:
            knees.append(knee)
            profile.append(_chi2(np.stack([np.ones(n), x - knee, np.maximum(0.0, x - knee)], axis=1), y, e))
    where = knees[int(np.argmin(profile))] if knees else None
    best = min(profile, default=np.inf)
    inflation = max(1.0, best / (n - 4)) if where is not None and n > 4 else 1.0
    first, second = _aicc(straight / inflation, n, 2), _aicc(best / inflation, n, 4)
    if second >= first:
        return Regimes((one,), None, (first, second))
    transition = 1.0 / (K_B * where)
    lower = t < transition
    fits = (fit(t[lower], d[lower], s[lower], limits[lower]), fit(t[~lower], d[~lower], s[~lower], limits[~lower]))
    likely = np.array(knees)[np.array(profile) / inflation <= best / inflation + stats.chi2.ppf(0.95, 1)]
    interval = (float(1 / (K_B * likely.max())), float(1 / (K_B * likely.min())))
    return Regimes(fits, float(transition), (first, second), interval)


def _chi2(design: np.ndarray, y: np.ndarray, e: np.ndarray) -> float:
    solution, *_ = np.linalg.lstsq(design / e[:, None], y / e, rcond=None)
    return float(np.sum(((y - design @ solution) / e) ** 2))


def _aicc(chi2: float, n: int, k: int) -> float:
    return chi2 + 2 * k + 2 * k * (k + 1) / (n - k - 1) if n > k + 1 else np.inf
