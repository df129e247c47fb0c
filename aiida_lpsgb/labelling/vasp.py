"""What VASP's numbers and names mean here: order of atoms, signs and units, and names of levels of theory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase.stress import full_3x3_to_voigt_6_stress
from ase.units import GPa

#: VASP prints stresses in kbar.
KBAR = 0.1 * GPa

#: INCAR tags that say how a result is reached, written or shared out to cores; a converged label depends on none.
MACHINE_TAGS = frozenset(
    {
        *(
            "kpar",
            "ncore",
            "npar",
            "nsim",
            "lplane",
            "lscalapack",
            "lscalu",
            "lscaawareness",
            "nthreads_high",
            "lasync",
        ),
        *("algo", "ialgo", "nelm", "nelmin", "nelmdl", "nbands", "amix", "bmix", "amin", "maxmix", "imix", "inimix"),
        *("mixpre", "wc", "time", "ldiag", "nrmm", "istart", "icharg", "iniwav"),
        *("lwave", "lcharg", "lvtot", "lvhar", "lelf", "laechg", "lorbit", "nedos", "emin", "emax", "nwrite", "lh5"),
        *("system", "lmaxmix", "npaco", "apaco"),
    }
)


def site_order(symbols: Sequence[str]) -> np.ndarray:
    """Return the order in which atoms are given to VASP: those of a species together, species by the first of each.

    Parameters
    ----------
    symbols
        Species of the atoms.

    Returns
    -------
    numpy.ndarray
        Places of the atoms; the atom given to VASP as number ``k`` is atom ``order[k]``.
    """
    first = {symbol: place for place, symbol in reversed(list(enumerate(symbols)))}
    return np.argsort([first[symbol] for symbol in symbols], kind="stable")


def label(misc: Mapping[str, Any], symbols: Sequence[str]) -> dict[str, Any]:
    """Return the label in the node ``misc`` of aiida-vasp.

    The energy is VASP's free energy: forces and stress are its slopes, whatever the smearing; those of the energy
    extrapolated to no smearing are others.

    Parameters
    ----------
    misc
        ``total_energies`` with ``energy_free`` (eV), ``forces`` (eV/Å) and ``stress`` (kbar, VASP's sign).
    symbols
        Species of the atoms in the order of the configuration; VASP had them in that of `site_order`.

    Returns
    -------
    dict
        ``energy`` in eV, ``forces`` in eV/Å and ``stress`` in eV/Å³ in ASE's sign and order, by the atoms' own order.

    Raises
    ------
    ValueError
        If one of them is missing, or there are forces on another number of atoms.
    """
    missing = [key for key in ("total_energies", "forces", "stress") if misc.get(key) is None]
    if missing or "energy_free" not in misc["total_energies"]:
        raise ValueError(f"VASP's output has no {', '.join(missing) or 'free energy'}")
    printed = np.asarray(misc["forces"], dtype=float)
    if printed.shape != (len(symbols), 3):
        raise ValueError(f"forces of shape {printed.shape} for {len(symbols)} atoms")
    forces = np.empty_like(printed)
    forces[site_order(symbols)] = printed
    stress = -KBAR * np.asarray(misc["stress"], dtype=float)
    return {
        "energy": float(misc["total_energies"]["energy_free"]),
        "forces": forces,
        "stress": full_3x3_to_voigt_6_stress(stress),
    }


def level_of_theory(name: str, changes: Mapping[str, Any], family: str, mapping: Mapping[str, str]) -> str:
    """Return the name that labels of a level go by.

    Parameters
    ----------
    name
        Name of the level.
    changes
        INCAR tags in which the calculation differs from the level; those of the machine are left out.
    family
        Name of the family of POTCARs.
    mapping
        Element to the name of its POTCAR; those that go by another name than the element are named.
    """
    tags = sorted(f"{key.upper()}={value}" for key, value in changes.items() if key.lower() not in MACHINE_TAGS)
    potentials = [family, *sorted(full for element, full in mapping.items() if full != element)]
    changed = f"({', '.join(tags)})" if tags else ""
    return f"VASP {name}{changed}, {' '.join(potentials)}"
