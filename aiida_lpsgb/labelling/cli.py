"""The program ``lpsgb-label``: label the configurations of a file with an ASE calculator, or run dynamics with it."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from aiida_lpsgb.labelling import calculators, dynamics, labels, relaxation
from aiida_lpsgb.labelling.container import Reader
from aiida_lpsgb.labelling.extxyz import write_extxyz
from aiida_lpsgb.programs import Parser, ended, not_negative
from aiida_lpsgb.typed import meant

KEYS = {"calculator", "dispersion", "dynamics", "keywords", "level_of_theory", "max_force_ev_angstrom", "relaxation"}
ALL_LABELLED, SOME_FAILED, OUT_OF_TIME = 0, 2, 3


def check_parameters(parameters: Any) -> None:
    """Refuse parameters that the program would not understand.

    Parameters
    ----------
    parameters
        ``calculator`` (``sevennet``, ``chgnet`` or ``module:Class``), and optionally ``keywords``, arguments of the
        calculator, ``dispersion``, a DFT-D3 correction to add, ``level_of_theory``, the name its labels go by,
        ``max_force_ev_angstrom``, above which a label counts as failed, and either ``relaxation``, how to relax each
        configuration before it is labelled (`aiida_lpsgb.labelling.relaxation.Plan`), or ``dynamics``, a plan of
        molecular dynamics to run from the configuration (`aiida_lpsgb.labelling.dynamics.Plan`).

    Raises
    ------
    ValueError
        Which names the key.
    """
    if not isinstance(parameters, dict):
        raise ValueError("parameters must be a dictionary")
    unknown = sorted(set(parameters) - KEYS)
    if unknown:
        raise ValueError(f"unknown keys {unknown}{meant(unknown, KEYS)}; there are {', '.join(sorted(KEYS))}")
    if not isinstance(parameters.get("calculator"), str):
        raise ValueError("calculator is missing; it is a name such as sevennet, or module:Class")
    if not isinstance(parameters.get("keywords", {}), dict):
        raise ValueError("keywords must be a dictionary of the calculator's arguments")
    if parameters.get("dispersion") is not None:
        calculators.check_dispersion(parameters["dispersion"])
    max_force = parameters.get("max_force_ev_angstrom", labels.MAX_FORCE)
    if isinstance(max_force, bool) or not isinstance(max_force, (int, float)) or not max_force > 0:
        raise ValueError(f"max_force_ev_angstrom is {max_force!r}, expected a positive number")
    if "dynamics" in parameters and "relaxation" in parameters:
        raise ValueError("dynamics and relaxation exclude each other")
    if "dynamics" in parameters:
        dynamics.Plan.of(parameters["dynamics"])
    if "relaxation" in parameters:
        relaxation.Plan.of(parameters["relaxation"])
    calculators.level_of_theory(parameters)


@contextmanager
def _open_images(path: Path) -> Iterator[Sequence[Atoms] | Reader]:
    if path.suffix != ".npz":
        try:
            images = ase.io.read(path, index=":")
        except Exception as error:
            # The readers of ASE raise anything at all.
            raise ValueError(f"{path} cannot be read: {error or type(error).__name__}") from error
        if not images:
            raise ValueError(f"{path} holds no configuration")
        yield images
        return
    with path.open("rb") as handle:
        yield Reader(handle)


def _fingerprint(arguments: argparse.Namespace) -> str:
    """Return the first line of a file of labels: what they are labels of, and by which parameters."""
    digest = hashlib.sha256(arguments.configurations.read_bytes())
    digest.update(arguments.parameters.read_bytes())
    return json.dumps({"input": digest.hexdigest()}) + "\n"


def _finished(path: Path, fingerprint: str) -> dict[int, labels.Label]:
    """Begin a file of labels, or return the labels an interrupted run left in it and end its last line if cut short."""
    content = path.read_bytes() if path.exists() else b""
    if not content:
        path.write_text(fingerprint, encoding="utf-8")
        return {}
    if not content.startswith(fingerprint.encode()):
        raise ValueError(f"{path} holds labels of other configurations or by other parameters: give another file")
    if not content.endswith(b"\n"):
        with path.open("ab") as handle:
            handle.write(b"\n")
    with path.open(encoding="utf-8") as stream:
        return {index: label for index, label in labels.read(stream).items() if not label.error}


def _parameters(path: Path) -> dict[str, Any]:
    try:
        parameters = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    check_parameters(parameters)
    return parameters


def _run(arguments: argparse.Namespace) -> int:
    parameters = _parameters(arguments.parameters)
    fingerprint = _fingerprint(arguments)
    with _open_images(arguments.configurations) as images:
        calculator = calculators.build(parameters)
        print(f"calculator {parameters['calculator']} {json.dumps(calculators.versions(parameters))}", flush=True)
        if "dynamics" in parameters:
            return _run_dynamics(images[0], calculator, parameters, arguments)
        done = _finished(arguments.labels, fingerprint)
        max_force = parameters.get("max_force_ev_angstrom", labels.MAX_FORCE)
        plan = relaxation.Plan.of(parameters["relaxation"]) if "relaxation" in parameters else None
        found = labels.label(calculator, images, frozenset(done), arguments.max_seconds, max_force, plan)
        tried, failed = _keep(found, arguments.labels, len(images))
        untried = len(images) - len(done) - tried
        if untried:
            print(f"out of time: {untried} of {len(images)} not begun", flush=True)
            return OUT_OF_TIME
        print(f"done: {len(images) - failed} of {len(images)} labelled", flush=True)
        return SOME_FAILED if failed else ALL_LABELLED


def _run_dynamics(
    start: Atoms, calculator: BaseCalculator, parameters: dict[str, Any], arguments: argparse.Namespace
) -> int:
    """Run dynamics and write each frame as extended XYZ; the file is begun anew."""
    plan = dynamics.Plan.of(parameters["dynamics"])
    max_force = parameters.get("max_force_ev_angstrom", labels.MAX_FORCE)
    step = int(start.info.get("step", 0))
    with arguments.labels.open("w", encoding="utf-8") as output:
        try:
            for frame in dynamics.run(start, calculator, plan, arguments.max_seconds, max_force):
                write_extxyz(output, [frame])
                output.flush()
                step = frame.info["step"]
                print(f"step {step} of {plan.n_steps}: {frame.get_temperature():.0f} K", flush=True)
        except labels.Refused as refusal:
            print(f"exploded after step {step} of {plan.n_steps}: {refusal}", flush=True)
            return SOME_FAILED
    if step < plan.n_steps:
        print(f"out of time: step {step} of {plan.n_steps}", flush=True)
        return OUT_OF_TIME
    print(f"done: {step} of {plan.n_steps} steps", flush=True)
    return ALL_LABELLED


def _keep(found: Iterator[labels.Label], path: Path, total: int) -> tuple[int, int]:
    """Write each label as it comes; return how many were tried and how many of these failed."""
    tried = failed = 0
    with path.open("a", encoding="utf-8") as output:
        for label in found:
            output.write(label.to_line())
            output.flush()
            tried += 1
            failed += bool(label.error)
            outcome = f"failed: {label.error}" if label.error else f"{label.values['energy']:.6f} eV"
            print(f"{label.index + 1} of {total}: {outcome}, {label.seconds:.2f} s", flush=True)
    return tried, failed


def main(argv: Sequence[str] | None = None) -> int:
    """Label configurations; see ``lpsgb-label --help``.

    Parameters
    ----------
    argv
        Arguments; those of the command line if not given.

    Returns
    -------
    int
        0 if all are labelled, 1 for bad input, 2 if some failed, 3 if the time ended first.
    """
    parser = Parser(
        prog="lpsgb-label",
        description="Label configurations (energy, forces, stress) with an ASE calculator. Labels are written as they "
        "come, and a run that was interrupted goes on where it was when it is started again. With a relaxation asked "
        "for, relax each one first; with dynamics asked for, run them from the first configuration and write labelled "
        "frames.",
    )
    parser.add_argument(
        "configurations", type=Path, help="configurations: an .npz of aiida-lpsgb, or any file that ASE reads"
    )
    parser.add_argument(
        "parameters",
        type=Path,
        help='JSON file such as {"calculator": "sevennet"}: sevennet, chgnet or module:Class, its "keywords", '
        'a "dispersion" to add, a "relaxation" before, "dynamics" to run instead',
    )
    parser.add_argument("labels", type=Path, help="file to add labels to, a JSON line each; frames of dynamics as XYZ")
    parser.add_argument(
        "--max-seconds", type=not_negative, help="begin no configuration that would not be done by then"
    )
    arguments = parser.parse_args(argv)
    return ended(lambda: _run(arguments))


if __name__ == "__main__":
    sys.exit(main())
