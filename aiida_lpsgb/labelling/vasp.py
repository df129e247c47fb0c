"""What VASP's numbers and names mean here: order of atoms, signs and units, and names of levels of theory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress
from ase.units import GPa

from aiida_lpsgb.labelling.container import with_labels

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
    return {
        "energy": float(misc["total_energies"]["energy_free"]),
        "forces": forces,
        "stress": ase_stress(misc["stress"]),
    }


def ase_stress(tensor: Any) -> np.ndarray:
    """Return a stress that VASP printed (3 × 3, kbar, positive where the cell wants to expand) in ASE's form."""
    return full_3x3_to_voigt_6_stress(-KBAR * np.asarray(tensor, dtype=float))


def without_work(energy: float, pstress: float, volume: float) -> float:
    """Return the energy of an ionic step of ``vasprun.xml`` without the work of the pressure, which VASP adds to it.

    Parameters
    ----------
    energy
        Enthalpy, eV: of the three energies of the step, which are energies in OUTCAR.
    pstress
        INCAR tag PSTRESS, kbar.
    volume
        Å³.
    """
    return energy - pstress * KBAR * volume


def frame(symbols: Sequence[str], step: Mapping[str, Any], pstress: float = 0.0) -> Atoms:
    """Return a step of dynamics as aiida-vasp's trajectory has it, labelled.

    Parameters
    ----------
    symbols
        Species of the atoms.
    step
        ``positions`` (fractional), ``cells`` (Å), ``energy_free`` (eV), ``forces`` (eV/Å), ``stress`` (kbar).
    pstress
        INCAR tag PSTRESS of the run, kbar.
    """
    atoms = Atoms(symbols, scaled_positions=step["positions"], cell=step["cells"], pbc=True)
    energy = without_work(float(step["energy_free"]), pstress, atoms.get_volume())
    return with_labels(atoms, energy=energy, forces=np.array(step["forces"]), stress=ase_stress(step["stress"]))


def dynamics_tags(plan: Mapping[str, Any], n_steps: int, done: int) -> dict[str, Any]:
    """Return the INCAR tags of a segment of molecular dynamics.

    Parameters
    ----------
    plan
        ``ensemble``, ``temperature_K``, ``timestep_fs``, ``seed``, ``thermostat_damping_ps``, ``barostat_damping_ps``,
        ``pressure_GPa``.
    n_steps
        Steps of the segment.
    done
        Steps of the segments before, from which the random numbers of this one derive.

    Returns
    -------
    dict
        Langevin dynamics at constant temperature or pressure, or plain dynamics. Velocities are VASP's own at the first
        segment, and those of POSCAR after it.
    """
    tags: dict[str, Any] = {
        "ibrion": 0,
        "nsw": n_steps,
        "potim": plan["timestep_fs"],
        "tebeg": plan["temperature_K"],
        "teend": plan["temperature_K"],
        # Three numbers that VASP's generator takes; the third must be even.
        "random_seed": [(plan["seed"] + done) % 900_000_000, 0, 0],
    }
    if plan["ensemble"] == "nve":
        return tags | {"isif": 2, "mdalgo": 0, "smass": -3}
    friction = 1 / plan["thermostat_damping_ps"]
    langevin = {"mdalgo": 3, "langevin_gamma": friction}
    if plan["ensemble"] == "nvt":
        return tags | langevin | {"isif": 2}
    barostat = {
        "langevin_gamma_l": 1 / plan["barostat_damping_ps"],
        "pmass": 1000,
        "pstress": 10 * plan["pressure_GPa"],
    }
    return tags | langevin | barostat | {"isif": 3}


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


#: INCAR tags that say where the atoms go, which a label does not depend on, or that are there without being set.
MOTION_TAGS = frozenset(
    {
        *("nsw", "ibrion", "isif", "potim", "ediffg", "nfree", "smass", "mdalgo", "tebeg", "teend", "nblock", "kblock"),
        *("langevin_gamma", "langevin_gamma_l", "pmass", "pstress", "random_seed", "andersen_prob", "isym", "iwavpr"),
        *("kpoint_bse", "ml_lmlff", "ml_mode", "latoms", "nsubsys", "tsubsys", "psubsys", "nhc_nchains", "nhc_period"),
    }
)


def level_of_run(incar: Mapping[str, Any], potentials: Sequence[str]) -> str:
    """Return the name that labels of a run of VASP go by of which only the input is known.

    Parameters
    ----------
    incar
        INCAR tags of the run; those of the machine and of the atoms' motion are left out.
    potentials
        Titles of its POTCARs.
    """
    kept = {key.upper(): value for key, value in incar.items() if key.lower() not in MACHINE_TAGS | MOTION_TAGS}
    tags = ", ".join(f"{key}={value}" for key, value in sorted(kept.items()))
    return f"VASP({tags}), {', '.join(title.strip() for title in potentials)}"
