"""What was found, written to files that other programs read."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from aiida_lpsgb.report.fits import Fit
from aiida_lpsgb.report.processes import outputs_of
from aiida_lpsgb.report.results import Results, Run
from aiida_lpsgb.report.tables.whole import all_tables

_THERMO = ("step", "temperature_K", "pressure_bar", "potential_energy_eV", "kinetic_energy_eV", "volume_A3", "stage")


def write_csv(results: Results, folder: str | Path, published: Mapping[str, Any] | None = None) -> list[Path]:
    """Write every table, and displacements and thermodynamic output of every run as columns.

    Parameters
    ----------
    results
        What `study_results` has collected; its profile must be loaded.
    folder
        It is made if need be: ``systems.csv``, ``runs.csv`` and so on, ``msd_<system>_<run>.csv`` and
        ``thermo_<system>_<run>.csv``.
    published
        Published numbers, of `read_published`.

    Returns
    -------
    list
        The files.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for table in all_tables(results, published):
        written.append(folder / f"{table.name}.csv")
        written[-1].write_text(table.csv(), encoding="utf-8")
    for run in results.runs:
        for name, found in (("msd", msd_columns(run)), ("thermo", thermo_columns(run))):
            if found:
                written.append(folder / f"{name}_{file_name(run.system)}_{run.label}.csv")
                _write_columns(written[-1], found)
    return written


def write_json(results: Results, path: str | Path) -> Path:
    """Write everything that was collected; None stands for what is not known."""
    path = Path(path)
    path.write_text(json_text(results) + "\n", encoding="utf-8")
    return path


def json_text(results: Results) -> str:
    """Everything that was collected, as JSON."""
    return json.dumps(as_json(results), indent=1, ensure_ascii=False, allow_nan=False)


def as_json(results: Results) -> dict[str, Any]:
    """Everything that was collected, as plain values."""

    def plain(value: Any) -> Any:
        if isinstance(value, Fit):
            return plain(value.results)
        if isinstance(value, Mapping):
            return {str(key): plain(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [plain(entry) for entry in value]
        return value if isinstance(value, str | int | float | bool | None) else str(value)

    fields = {name: getattr(results, name) for name in results.__dataclass_fields__}
    systems = [
        {
            **{name: plain(getattr(system, name)) for name in system.__dataclass_fields__ if name != "runs"},
            "runs": [plain(asdict(run)) for run in system.runs],
        }
        for system in results.systems
    ]
    learning = plain(asdict(results.learning)) if results.learning else None
    return {
        **plain({k: v for k, v in fields.items() if k not in ("systems", "learning")}),
        "systems": systems,
        "learning": learning,
    }


def file_name(text: str) -> str:
    """A name that any file system takes."""
    return re.sub(r"[^\w.-]+", "_", text)


def msd_columns(run: Run) -> dict[str, np.ndarray]:
    """Mean-squared displacement of a run by lag; empty if there is none."""
    from aiida.orm import load_node

    from aiida_lpsgb.data.left_out import arrays_there

    if run.diffusivity_pk is None:
        return {}
    node = load_node(run.diffusivity_pk)
    names = arrays_there(node)
    if not {"lags_ps", "msd_A2"} <= names:
        return {}
    msd = node.get_array("msd_A2")
    columns = {"lag_ps": node.get_array("lags_ps"), **{f"msd_{a}_A2": msd[:, k] for k, a in enumerate("xyz")}}
    columns["msd_A2"] = msd.sum(axis=1)
    if "msd_error_A2" in names:
        columns["msd_error_A2"] = node.get_array("msd_error_A2")
    return columns


def thermo_columns(run: Run) -> dict[str, np.ndarray]:
    """Thermodynamic output of a run, over all its segments; empty if there is none."""
    from aiida_lpsgb.data.left_out import arrays_there

    found = outputs_of(run.md_pks, ["thermo"])
    nodes = [found[pk]["thermo"] for pk in run.md_pks if pk in found]
    names = [name for name in _THERMO if nodes and all(name in arrays_there(node) for node in nodes)]
    return {name: np.concatenate([node.get_array(name) for node in nodes]) for name in names}


def _write_columns(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(np.asarray(column).tolist() for column in columns.values()), strict=True))
