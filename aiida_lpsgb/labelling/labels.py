"""Label images one after the other, and keep each label as soon as it is there.

Labels are kept as JSON lines, one an image: ``index`` (from 0), ``energy`` (eV), ``forces`` (eV/Å) and ``stress``
(eV/Å³, xx yy zz yz xz xy) where the calculator has one, ``positions`` and ``cell`` (Å) of an image that was relaxed,
``seconds``; or ``index`` and why there is no label: ``error``
if the calculator failed, which it may not do another time, ``refused`` if what it found cannot be a label. Numbers are
written so that they are read back exactly. Lines that are not labels, such as one cut short, are passed over.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TextIO

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from aiida_lpsgb.labelling import relaxation as relaxations

#: eV/Å. Configurations of a run that has exploded have far larger forces; atoms pushed together at 1 Å have smaller.
MAX_FORCE = 200.0
KEYS = ("energy", "forces", "stress", "positions", "cell")
"""What a line may hold of an image that has a label."""


@dataclass(frozen=True)
class Label:
    """Label of one image, or the reason why there is none.

    Attributes
    ----------
    index
        Place of the image, from 0.
    values
        ``energy``, ``forces`` and where there is one ``stress``, and ``positions`` and ``cell`` of an image that was
        relaxed; empty without a label.
    error
        Why there is no label, empty with one.
    seconds
        Time it took.
    refused
        Whether there is no label because of what was found, so that there is none another time either.
    """

    index: int
    values: dict[str, Any]
    error: str = ""
    seconds: float = 0.0
    refused: bool = False

    def to_line(self) -> str:
        """Return the JSON line."""
        if self.error:
            outcome: dict[str, Any] = {"refused" if self.refused else "error": self.error}
        else:
            outcome = {key: np.asarray(value).tolist() for key, value in self.values.items()}
        return json.dumps({"index": self.index, **outcome, "seconds": round(self.seconds, 3)}) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Label:
        """Return the label of a JSON line.

        Raises
        ------
        ValueError
            If the line is not complete.
        """
        content = json.loads(line)
        if not isinstance(content, dict) or "index" not in content:
            raise ValueError("not a label")
        values = {key: np.array(content[key]) for key in KEYS if key in content}
        if "energy" in values:
            values["energy"] = float(values["energy"])
        error = content.get("error") or content.get("refused", "")
        return cls(content["index"], values, error, content.get("seconds", 0.0), "refused" in content)


class Refused(ValueError):
    """What a calculator found cannot be a label."""


def compute(calculator: BaseCalculator, atoms: Atoms, max_force: float = MAX_FORCE) -> dict[str, Any]:
    """Compute energy, forces and, if periodic and the calculator has it, stress.

    Parameters
    ----------
    calculator
        An ASE calculator.
    atoms
        The image; it is not changed.
    max_force
        Largest length of a force to accept, eV/Å.

    Returns
    -------
    dict
        ``energy`` in eV, ``forces`` in eV/Å of shape ``(n, 3)``, ``stress`` in eV/Å³ of shape ``(6,)``.

    Raises
    ------
    Refused
        If a value is not finite, or a force too large.
    """
    copy = atoms.copy()
    # ASE would take the forces on fixed atoms away.
    copy.set_constraint()
    copy.calc = calculator
    values = {"energy": float(copy.get_potential_energy()), "forces": np.asarray(copy.get_forces(), dtype=float)}
    if copy.pbc.all():
        with contextlib.suppress(NotImplementedError):
            values["stress"] = np.asarray(copy.get_stress(), dtype=float)
    check(values, max_force)
    return values


def check(values: Mapping[str, Any], max_force: float = MAX_FORCE) -> None:
    """Refuse what cannot be a label.

    Parameters
    ----------
    values
        ``energy`` in eV, ``forces`` in eV/Å of shape ``(n, 3)`` and perhaps ``stress``.
    max_force
        Largest length of a force to accept, eV/Å.

    Raises
    ------
    Refused
        If a value is not finite, or a force too large.
    """
    bad = [name for name, value in values.items() if not np.isfinite(value).all()]
    if bad:
        raise Refused(f"{' and '.join(bad)} not finite")
    largest = float(np.linalg.norm(values["forces"], axis=1).max())
    if largest > max_force:
        raise Refused(f"a force of {largest:.3g} eV/Å, above max_force_ev_angstrom {max_force:g}")


def label(
    calculator: BaseCalculator,
    images: Iterable[Atoms],
    done: frozenset[int] = frozenset(),
    seconds: float | None = None,
    max_force: float = MAX_FORCE,
    relaxation: relaxations.Plan | None = None,
) -> Iterator[Label]:
    """Label images one after the other; one that fails does not end the rest.

    Parameters
    ----------
    calculator
        An ASE calculator.
    images
        Images to label.
    done
        Places of images to pass over.
    seconds
        Time to spend. No image is begun that, by the longest so far, would not be done by then.
    max_force
        Largest length of a force to accept, eV/Å; a larger one is a failure.
    relaxation
        How each image is relaxed before it is labelled; not at all if not given.

    Yields
    ------
    Label
        Of each image that was tried, in order.
    """
    begin = time.monotonic()
    longest = 0.0
    for index, atoms in enumerate(images):
        if index in done:
            continue
        start = time.monotonic()
        if seconds is not None and start - begin + longest > seconds:
            return
        try:
            moved = {}
            if relaxation is not None:
                atoms = relaxations.relax(atoms, calculator, relaxation)
                moved = {"positions": atoms.positions, "cell": atoms.cell.array}
            outcome = Label(index, compute(calculator, atoms, max_force) | moved)
        except (Refused, relaxations.NotConverged) as refusal:
            outcome = Label(index, {}, str(refusal), refused=True)
        except Exception as failure:
            # Calculators raise anything at all, and an image that cannot be labelled must not cost the others.
            outcome = Label(index, {}, f"{type(failure).__name__}: {failure}".strip(": "))
        took = time.monotonic() - start
        longest = max(longest, took)
        yield replace(outcome, seconds=took)


def read(stream: TextIO) -> dict[int, Label]:
    """Return the labels of a file of JSON lines by place; the last of an image counts.

    Parameters
    ----------
    stream
        Text of the file.
    """
    labels: dict[int, Label] = {}
    for line in stream:
        try:
            found = Label.from_line(line)
        except ValueError:
            continue
        labels[found.index] = found
    return labels
