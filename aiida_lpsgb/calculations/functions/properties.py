"""Calcfunctions of the properties of a crystal, and of the card of a potential that they go onto."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from ase import Atoms

from aiida_lpsgb.calculations.md_parameters import FS_PER_PS, resolve, stage_steps
from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.parsers.md_summary import join_thermo
from aiida_lpsgb.structures import elasticity

DEFORMATION_KEYS = {"strain", "volume_strains"}
MEV_PER_EV = 1000.0

# What a card checks, with what it means. All but `stable` are upper bounds.
CHECKS = {
    "training_energy_rmse_mev_atom": "energies of the training set",
    "training_forces_rmse_mev_A": "forces of the training set",
    "test_energy_rmse_mev_atom": "energies of configurations that were never trained on",
    "test_forces_rmse_mev_A": "forces of configurations that were never trained on",
    "density_percent": "density, off the label engine's",
    "lattice_percent": "the edge of the cell that is furthest off the label engine's",
    "bulk_modulus_percent": "bulk modulus (Hill), off the label engine's",
    "shear_modulus_percent": "shear modulus (Hill), off the label engine's",
    "eos_bulk_modulus_percent": "bulk modulus of the equation of state, off the label engine's",
    "boundary_energy_mae_J_m2": "energies of the boundaries, off the label engine's on average",
    "stable": "the crystal withstands every small strain",
    "energy_drift_mev_atom_ps": "drift of the energy at constant volume without a thermostat",
}


@calcfunction
def deform(relaxed: orm.Data, deformation: orm.Dict) -> dict[str, orm.Data]:
    """Strain the lowest of several relaxed copies of a crystal.

    Parameters
    ----------
    relaxed : ConfigurationsData
        Relaxed copies, labelled.
    deformation : Dict
        ``strain`` and ``volume_strains`` of `aiida_lpsgb.structures.elasticity.strained_cells`.

    Returns
    -------
    dict
        ``strained`` (ConfigurationsData) and ``structure`` (StructureData), the copy that was strained.
    """
    lowest = lowest_of(relaxed)
    cells = elasticity.strained_cells(lowest, **deformation.get_dict())
    return {
        "strained": ConfigurationsData(cells, relaxed.species),
        "structure": orm.StructureData(ase=Atoms(lowest.symbols, lowest.positions, cell=lowest.cell, pbc=True)),
    }


def lowest_of(relaxed: orm.Data) -> Atoms:
    """The copy of lowest energy."""
    return min(relaxed, key=lambda atoms: atoms.get_potential_energy())


def deformation_error(deformation: Mapping[str, Any]) -> str | None:
    """What is wrong with the parameters of `lpsgb.properties.deform`, or None."""
    if set(deformation) != DEFORMATION_KEYS:
        return f"deformation: give {' and '.join(sorted(DEFORMATION_KEYS))}, not {sorted(deformation)}"
    try:
        elasticity.strained_cells(Atoms("H", cell=np.eye(3), pbc=True), **deformation)
    except (TypeError, ValueError) as error:
        return f"deformation: {error}"
    return None


@calcfunction
def evaluate(relaxed: orm.Data, strained: orm.Data) -> orm.Dict:
    """Lattice, elastic constants and equation of state of a crystal.

    Parameters
    ----------
    relaxed : ConfigurationsData
        What was given to `lpsgb.properties.deform`.
    strained : ConfigurationsData
        Its strained cells, ions relaxed, labelled with energy and stress.

    Returns
    -------
    Dict
        ``lattice``, ``elasticity``, ``equation_of_state`` (None if no volume was changed) as the classes in
        `aiida_lpsgb.structures.elasticity` describe them, ``energy_eV_per_atom``, ``energies_eV_per_atom`` of all
        copies, ``level_of_theory``.
    """
    lowest = lowest_of(relaxed)
    cells = list(strained)
    state = elasticity.equation_of_state(cells, lowest)
    return orm.Dict(
        {
            "lattice": elasticity.lattice(lowest),
            "elasticity": elasticity.elastic_tensor(cells).scalars(),
            "equation_of_state": None if state is None else state.scalars(),
            "energy_eV_per_atom": lowest.get_potential_energy() / len(lowest),
            "energies_eV_per_atom": [atoms.get_potential_energy() / len(atoms) for atoms in relaxed],
            "level_of_theory": strained.level_of_theory,
        }
    )


@calcfunction
def energy_drift(parameters: orm.Dict, structure: orm.StructureData, **thermo: orm.ArrayData) -> orm.Dict:
    """Slope of the total energy over the last stage of a run, which has no thermostat.

    Parameters
    ----------
    parameters : Dict
        Of `lpsgb.md`; the last stage is of the ensemble `nve`.
    structure : StructureData
        What was run.
    thermo : ArrayData
        Thermodynamic output of the segments of the run.

    Returns
    -------
    Dict
        ``energy_drift_mev_atom_ps``, its size, with ``uncertainty_mev_atom_ps`` (of the straight line),
        ``fluctuation_mev_atom`` about the line, ``temperature_K``, ``duration_ps``.
    """
    values = resolve(parameters.get_dict())
    segments = [
        {name: thermo[label].get_array(name) for name in thermo[label].get_arraynames()} for label in sorted(thermo)
    ]
    joined = join_thermo(segments)
    last = joined["stage"] == len(values["stages"]) - 1
    time_ps = joined["step"][last] * values["timestep_fs"] / FS_PER_PS
    energy = MEV_PER_EV * joined["total_energy_eV"][last] / len(structure.sites)
    (slope, offset), covariance = np.polyfit(time_ps, energy, 1, cov=True)
    return orm.Dict(
        {
            "energy_drift_mev_atom_ps": abs(float(slope)),
            "uncertainty_mev_atom_ps": float(np.sqrt(covariance[0, 0])),
            "fluctuation_mev_atom": float(np.std(energy - slope * time_ps - offset)),
            "temperature_K": float(joined["temperature_K"][last].mean()),
            "duration_ps": stage_steps(values["stages"][-1], values["timestep_fs"]) * values["timestep_fs"] / FS_PER_PS,
        }
    )


@calcfunction
def card(thresholds: orm.Dict, **known: orm.Dict) -> orm.Dict:
    """Say whether a potential is fit for production.

    Parameters
    ----------
    thresholds : Dict
        Largest allowed value by the names of `CHECKS`; what is not named is not checked.
    known : Dict
        What there is of: ``properties`` and ``reference`` (`lpsgb.properties.evaluate` with the potential, and with the
        label engine), ``drift`` (`lpsgb.properties.drift`), ``test`` (errors), ``boundaries`` (errors of
        `lpsgb.boundary_parity`) and ``training`` (results of the `lpsgb.mlp.train` that made the potential).

    Returns
    -------
    Dict
        ``passed``; ``checks``, a list of ``check``, ``value``, ``limit`` and ``passed`` (None where the value is not
        known, which is no failure); ``reasons`` of a failure, sentences.
    """
    values = card_values({name: node.get_dict() for name, node in known.items()})
    checks = []
    for name, limit in thresholds.get_dict().items():
        value = values.get(name)
        passed = None if value is None else bool(value) is bool(limit) if name == "stable" else value <= limit
        checks.append({"check": name, "value": value, "limit": limit, "passed": passed})
    failed = [check for check in checks if check["passed"] is False]
    reasons = [
        f"{CHECKS[c['check']]}: {c['check']} is {_text(c['value'])}, allowed {_text(c['limit'])}" for c in failed
    ]
    return orm.Dict({"passed": not failed, "checks": checks, "reasons": reasons})


def _text(value: Any) -> str:
    return str(value) if isinstance(value, bool) else f"{value:.3g}"


def card_values(known: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The values that a card checks, of what is known; see `card`."""
    values: dict[str, Any] = {}
    for stage, errors in (
        ("training", known.get("training", {}).get("training") or {}),
        ("test", known.get("test", {})),
    ):
        for name, key in (
            ("energy_rmse_mev_atom", "energy_rmse_ev_atom"),
            ("forces_rmse_mev_A", "forces_rmse_ev_angstrom"),
        ):
            if errors.get(key) is not None:
                values[f"{stage}_{name}"] = MEV_PER_EV * errors[key]
    if "boundaries" in known:
        values["boundary_energy_mae_J_m2"] = known["boundaries"]["boundary_energy_mae_J_m2"]
    if "drift" in known:
        values["energy_drift_mev_atom_ps"] = known["drift"]["energy_drift_mev_atom_ps"]
    if "properties" in known:
        values["stable"] = known["properties"]["elasticity"]["stable"]
        if "reference" in known:
            values |= deviations(known["properties"], known["reference"])
    return values


def deviations(properties: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, float]:
    """How far properties are off those of a reference, in percent."""

    def off(*keys: str) -> float:
        value, true = properties, reference
        for key in keys:
            value, true = value[key], true[key]
        return 100.0 * float(np.abs(np.array(value) / np.array(true) - 1).max())

    found = {
        "density_percent": off("lattice", "density_g_cm3"),
        "lattice_percent": off("lattice", "lengths_A"),
        "bulk_modulus_percent": off("elasticity", "bulk_modulus_GPa"),
        "shear_modulus_percent": off("elasticity", "shear_modulus_GPa"),
    }
    if properties["equation_of_state"] and reference["equation_of_state"]:
        found["eos_bulk_modulus_percent"] = off("equation_of_state", "bulk_modulus_GPa")
    return found


def thresholds_error(thresholds: Mapping[str, Any]) -> str | None:
    """What is wrong with the thresholds of a card, or None."""
    if unknown := sorted(set(thresholds) - set(CHECKS)):
        return f"thresholds: unknown {', '.join(unknown)}; there are {', '.join(CHECKS)}"
    for name, value in thresholds.items():
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        right = isinstance(value, bool) if name == "stable" else is_number and value > 0
        if not right:
            expected = "true or false" if name == "stable" else "a positive number"
            return f"thresholds: {name} is {value!r}, expected {expected}"
    return None
