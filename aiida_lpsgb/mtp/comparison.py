"""How far predictions are from labels, and how well a set of configurations tells."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from ase.units import GPa

from aiida_lpsgb.mtp.configurations import labels

#: Of what there are errors, and their unit as it is written in keys.
UNITS = {"energy": "ev_atom", "forces": "ev_angstrom", "stress": "gpa"}
STATISTICS = ("mae", "rmse")
#: The errors that potentials can be chosen by.
ERRORS = tuple(f"{quantity}_{statistic}_{unit}" for quantity, unit in UNITS.items() for statistic in STATISTICS)


def uncertainty_key(error: str) -> str:
    """Key of the standard error of an error, such as ``forces_rmse_uncertainty_ev_angstrom``."""
    quantity, statistic, unit = error.split("_", 2)
    return f"{quantity}_{statistic}_uncertainty_{unit}"


def compare(reference: Iterable[Atoms], predicted: Iterable[Atoms]) -> dict[str, float | int | None]:
    """Errors of predictions, counted as `lpsgb-mlp` and MLIP-2 do, with their standard errors.

    Parameters
    ----------
    reference
        Configurations with energy and forces; a stress is compared where there is one.
    predicted
        The same configurations in the same order, labelled by what is tested.

    Returns
    -------
    dict
        ``n_configurations``, ``n_atoms``, ``n_stresses`` and the errors of `ERRORS`: ``rmse`` is that of a component (3
        of a force, 9 of a stress), ``mae`` the mean length of the difference of two vectors (norm of that of two
        tensors), ``max`` the largest. Errors of energy are per atom. Each ``mae`` and ``rmse`` has a standard error
        (`uncertainty_key`; None for fewer than two configurations), in which a configuration counts as one draw: the
        atoms of one are not independent of each other. What there are no labels of is left out.

    Raises
    ------
    ValueError
        If the two are not the same configurations, or a label is missing.
    """
    rows: dict[str, list[tuple[float, float, float, float]]] = {quantity: [] for quantity in UNITS}
    count = n_atoms = 0
    for count, (true, found) in enumerate(zip(reference, predicted, strict=True), start=1):
        if not np.array_equal(true.numbers, found.numbers) or not np.allclose(true.positions, found.positions):
            raise ValueError(f"configuration {count - 1}: the prediction is of another one")
        for quantity, difference in _differences(true, found, count - 1).items():
            lengths = np.linalg.norm(difference, axis=1)
            rows[quantity].append((len(lengths), lengths.sum(), (lengths**2).sum(), lengths.max()))
        n_atoms += len(true)
    if not count:
        raise ValueError("there is no configuration to compare")
    errors: dict[str, float | int | None] = {"n_configurations": count, "n_atoms": n_atoms}
    errors["n_stresses"] = len(rows["stress"])
    components = {"energy": 1, "forces": 3, "stress": 9}
    for quantity, unit in UNITS.items():
        if not rows[quantity]:
            continue
        weights, sums, squares, largest = np.array(rows[quantity]).T
        mae, mae_error = ratio(sums, weights)
        mean_square, square_error = ratio(squares / components[quantity], weights)
        rmse = float(np.sqrt(mean_square))
        errors[f"{quantity}_mae_{unit}"] = mae
        errors[f"{quantity}_rmse_{unit}"] = rmse
        errors[f"{quantity}_max_{unit}"] = float(largest.max())
        errors[f"{quantity}_mae_uncertainty_{unit}"] = mae_error
        errors[f"{quantity}_rmse_uncertainty_{unit}"] = (
            None if square_error is None else square_error / (2 * rmse) if rmse else 0.0
        )
    return errors


def _differences(true: Atoms, found: Atoms, index: int) -> dict[str, np.ndarray]:
    """Differences in the units of the keys, a row for each vector whose length counts."""
    expected, given = labels(true), labels(found)
    missing = [name for name in ("energy", "forces") if name not in expected or name not in given]
    if missing:
        raise ValueError(f"configuration {index} has no {' and no '.join(missing)}")
    differences = {
        "energy": np.array([[(given["energy"] - expected["energy"]) / len(true)]]),
        "forces": given["forces"] - expected["forces"],
    }
    if "stress" in expected and "stress" in given:
        tensor = voigt_6_to_full_3x3_stress(given["stress"] - expected["stress"])
        differences["stress"] = tensor.reshape(1, 9) / GPa
    return differences


def ratio(sums: np.ndarray, weights: np.ndarray) -> tuple[float, float | None]:
    """Mean of something that comes in clusters, and its standard error.

    Parameters
    ----------
    sums
        Sum over each cluster (n,).
    weights
        Size of each cluster (n,).

    Returns
    -------
    float, float or None
        The ratio of both sums, and its standard error by linearisation [1]_; None for a single cluster.

    References
    ----------
    .. [1] W. G. Cochran, Sampling Techniques, 3rd ed., Wiley 1977, chapter 6.
    """
    n, total = len(sums), weights.sum()
    value = sums.sum() / total
    if n < 2:
        return float(value), None
    residuals = sums - value * weights
    return float(value), float(np.sqrt(n / (n - 1) * (residuals**2).sum()) / total)
