"""The program ``lpsgb-label``: label the configurations of a file with an ASE calculator."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms

from aiida_lpsgb.labelling import calculators, labels
from aiida_lpsgb.labelling.container import Reader

KEYS = {"calculator", "keywords", "level_of_theory"}
ALL_LABELLED, BAD_INPUT, SOME_FAILED, OUT_OF_TIME = 0, 1, 2, 3


def check_parameters(parameters: Any) -> None:
    """Refuse parameters that the program would not understand.

    Parameters
    ----------
    parameters
        ``calculator`` (``sevennet``, ``chgnet`` or ``module:Class``), and optionally ``keywords``, arguments of the
        calculator, and ``level_of_theory``, the name its labels go by.

    Raises
    ------
    ValueError
        Which names the key.
    """
    if not isinstance(parameters, dict):
        raise ValueError("parameters must be a dictionary")
    unknown = sorted(set(parameters) - KEYS)
    if unknown:
        raise ValueError(f"unknown keys {unknown}; there are {', '.join(sorted(KEYS))}")
    if not isinstance(parameters.get("calculator"), str):
        raise ValueError("calculator is missing; it is a name such as sevennet, or module:Class")
    if not isinstance(parameters.get("keywords", {}), dict):
        raise ValueError("keywords must be a dictionary of the calculator's arguments")
    calculators.level_of_theory(parameters)


@contextmanager
def _open_images(path: Path) -> Iterator[Sequence[Atoms] | Reader]:
    if path.suffix != ".npz":
        yield ase.io.read(path, index=":")
        return
    with path.open("rb") as handle:
        yield Reader(handle)


def _finished(path: Path) -> dict[int, labels.Label]:
    """Return the labels an earlier, interrupted run left, and end its last line if that was cut short."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8") as stream:
        found = labels.read(stream)
    with path.open("rb+") as handle:
        content = handle.read()
        if content and not content.endswith(b"\n"):
            handle.write(b"\n")
    return {index: label for index, label in found.items() if not label.error}


def _run(arguments: argparse.Namespace) -> int:
    parameters = json.loads(arguments.parameters.read_text(encoding="utf-8"))
    check_parameters(parameters)
    calculator = calculators.build(parameters)
    print(f"calculator {parameters['calculator']} {json.dumps(calculators.versions(parameters))}", flush=True)
    done = _finished(arguments.labels)
    with _open_images(arguments.configurations) as images, arguments.labels.open("a", encoding="utf-8") as output:
        tried, failed, total = set(done), 0, len(images)
        for label in labels.label(calculator, images, frozenset(done), arguments.max_seconds):
            output.write(label.to_line())
            output.flush()
            tried.add(label.index)
            failed += bool(label.error)
            outcome = f"failed: {label.error}" if label.error else f"{label.values['energy']:.6f} eV"
            print(f"{label.index + 1} of {total}: {outcome}, {label.seconds:.2f} s", flush=True)
    if len(tried) < total:
        print(f"out of time: {total - len(tried)} of {total} not begun", flush=True)
        return OUT_OF_TIME
    print(f"done: {total - failed} of {total} labelled", flush=True)
    return SOME_FAILED if failed else ALL_LABELLED


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
    parser = argparse.ArgumentParser(
        prog="lpsgb-label",
        description="Label configurations (energy, forces, stress) with an ASE calculator. Labels are written as they "
        "come, and a run that was interrupted goes on where it was when it is started again.",
    )
    parser.add_argument(
        "configurations", type=Path, help="configurations: an .npz of aiida-lpsgb, or any file that ASE reads"
    )
    parser.add_argument(
        "parameters",
        type=Path,
        help='JSON file such as {"calculator": "sevennet"}: sevennet, chgnet or module:Class, and its "keywords"',
    )
    parser.add_argument("labels", type=Path, help="file to add labels to, a JSON line each")
    parser.add_argument("--max-seconds", type=float, help="begin no configuration that would not be done by then")
    try:
        return _run(parser.parse_args(argv))
    except (ValueError, OSError) as error:
        print(f"ERROR: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())
