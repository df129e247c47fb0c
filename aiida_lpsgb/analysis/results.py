"""What `lpsgb-analyse` writes: a folder with `results.json` and the arrays of each result as a `.npz`.

The folder is written result by result, so that what an interrupted run had computed is there. `results.json` holds
``format``, ``version``, ``complete``, ``run`` (facts of the trajectory), ``results`` (by label: ``observable``,
``variant``, ``node``, ``scalars``), ``failed`` (by label: ``reason`` and whether it was ``refused``, which equal inputs
would be again) and ``refused`` (why nothing at all was computed, else null). Equal inputs give equal content.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from aiida_lpsgb.analysis.observables import Outcome, registry

FORMAT = "lpsgb-analysis"
VERSION = 1
FILENAME = "results.json"


class ResultsFormatError(ValueError):
    """A folder of results that cannot be read, with the reason."""


@dataclass
class Results:
    """The results of one trajectory, in a folder.

    Attributes
    ----------
    folder
        Where they stand.
    run
        Facts of the trajectory.
    results, failed
        By label, such as ``rdf`` or ``topology.rips``; see the module's description.
    refused
        Why the trajectory could not be looked at, None if it could.
    complete
        Whether all that was asked for has been tried.
    """

    folder: Path
    run: dict[str, Any] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: str | None = None
    complete: bool = False

    def add(self, observable: str, variant: str, label: str, outcome: Outcome) -> None:
        """Keep an outcome under a label and write it down."""
        scalars = json.loads(json.dumps(outcome.scalars, allow_nan=False))
        entry = {"observable": observable, "variant": variant, "node": registry()[observable].node, "scalars": scalars}
        if outcome.arrays:
            np.savez(self._arrays_file(label), **{name: np.asarray(a) for name, a in sorted(outcome.arrays.items())})
        self.results[label] = entry
        self.write()

    def fail(self, label: str, reason: str, refused: bool) -> None:
        """Note that something could not be computed."""
        self.failed[label] = {"reason": reason, "refused": refused}
        self.write()

    def write(self) -> None:
        """Write `results.json`, whole at any moment."""
        content = {name: getattr(self, name) for name in ("complete", "run", "results", "failed", "refused")}
        text = json.dumps({"format": FORMAT, "version": VERSION, **content}, indent=1, sort_keys=True, allow_nan=False)
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f"{FILENAME}.part"
        partial.write_text(text + "\n", encoding="utf-8")
        os.replace(partial, self.folder / FILENAME)

    def arrays(self, label: str) -> dict[str, np.ndarray]:
        """Arrays of a result by name, empty if it has none."""
        path = self._arrays_file(label)
        if not path.exists():
            return {}
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    def outcomes(self) -> Iterator[tuple[str, dict[str, Any], dict[str, np.ndarray]]]:
        """Label, entry and arrays of every result."""
        for label, entry in self.results.items():
            yield label, entry, self.arrays(label)

    def summary(self) -> dict[str, Any]:
        """Headline numbers by observable; those of variants, regions and estimators by their label. ``run`` has the
        facts of the trajectory.
        """
        found: dict[str, Any] = {"run": self.run}
        for label, entry in sorted(self.results.items()):
            numbers = {name: entry["scalars"].get(name) for name in registry()[entry["observable"]].headline}
            observable, _, rest = label.partition(".")
            if rest:
                found.setdefault(observable, {})[rest] = numbers
            else:
                found[observable] = numbers
        return found

    def _arrays_file(self, label: str) -> Path:
        return self.folder / f"{label}.npz"


def load(folder: str | os.PathLike) -> Results:
    """Read a folder of results, complete or not.

    Raises
    ------
    ResultsFormatError
        If there is none, or it is of a newer version.
    """
    path = Path(folder) / FILENAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultsFormatError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, Mapping) or content.get("format") != FORMAT:
        raise ResultsFormatError(f"{path} holds no results of lpsgb-analyse")
    if content.get("version") not in _READERS:
        raise ResultsFormatError(
            f"{path} has format version {content.get('version')}; this package reads {', '.join(map(str, _READERS))}"
        )
    return _READERS[content["version"]](Path(folder), content)


def _read_1(folder: Path, content: Mapping[str, Any]) -> Results:
    names = ("run", "results", "failed", "refused", "complete")
    return Results(folder, **{name: content[name] for name in names})


_READERS = {1: _read_1}
