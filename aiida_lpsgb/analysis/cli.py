"""The program ``lpsgb-analyse``: every observable that is asked for, of one run in segments."""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aiida_lpsgb.analysis.observables import (
    POSITIVE,
    Context,
    Observable,
    Outcome,
    asked,
    parameters_error,
    regions_of,
    registry,
)
from aiida_lpsgb.analysis.results import Results
from aiida_lpsgb.analysis.trajectory import Trajectory
from aiida_lpsgb.programs import Parser, ended, threads

ALL_COMPUTED, SOME_FAILED = 0, 2
KEYS = ("parameters", "regions", "temperature_K")
AMU_A3_TO_G_CM3 = 1.66053906892


def read_request(path: Path) -> dict[str, Any]:
    """The request in a JSON file: ``parameters`` by observable and, optionally, ``regions`` and ``temperature_K``.

    Raises
    ------
    ValueError
        Which names what is wrong with it.
    """
    try:
        request = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(request, dict) or not isinstance(request.get("parameters"), dict):
        raise ValueError(f"{path} must hold a dictionary with `parameters`, a dictionary by observable")
    if unknown := sorted(set(request) - set(KEYS)):
        raise ValueError(f"{path}: there is no {', '.join(unknown)}; there are {', '.join(KEYS)}")
    if message := parameters_error(request["parameters"], request.get("regions") or {}):
        raise ValueError(f"{path}: {message}")
    temperature = request.get("temperature_K")
    if temperature is not None and not POSITIVE.accepts(temperature):
        raise ValueError(f"{path}: temperature_K is {temperature!r}, expected {POSITIVE.expected}")
    return request


def analyse(
    trajectory: Trajectory,
    parameters: Mapping[str, Any],
    folder: str | os.PathLike,
    *,
    regions: Mapping[str, Any] | None = None,
    temperature_K: float | None = None,
    threads: int = 1,
) -> Results:
    """Compute observables of a trajectory, one after the other, and write what they find into a folder.

    Each reads the frames it wants and holds a few at a time; a frame costs far less to read than to look at, so they
    do not share a pass.

    Parameters
    ----------
    trajectory
        The run.
    parameters
        By observable; None where one is not wanted. Variants by name where an observable has them.
    folder
        Where the results go; it is made.
    regions
        Definitions by name, as for :func:`aiida_lpsgb.analysis.regions.region_from_dict`.
    temperature_K
        Temperature of the run; that of the trajectory's metadata if None.
    threads
        To work with; results do not depend on it.

    Raises
    ------
    ValueError
        If what is asked for makes no sense; what fails in the computation is noted in the results.
    """
    if message := parameters_error(parameters, regions or {}, trajectory.species):
        raise ValueError(message)
    results = Results(Path(folder), run=facts(trajectory, temperature_K))
    results.write()
    context = Context(regions_of(regions), results.run["temperature_K"], threads)
    for observable, variant, given in asked(parameters):
        label = f"{observable.name}.{variant}" if variant else observable.name
        _compute(results, observable, variant, label, given, trajectory, context, regions or {})
    results.complete = True
    results.write()
    return results


def facts(trajectory: Trajectory, temperature_K: float | None = None) -> dict[str, Any]:
    """What can be told of a run without looking at its positions."""
    temperature = trajectory.metadata.get("temperature_K") if temperature_K is None else temperature_K
    mass = float(trajectory.masses.sum())
    return {
        "n_atoms": trajectory.n_atoms,
        "n_frames": trajectory.n_frames,
        "duration_ps": trajectory.duration_ps,
        "temperature_K": temperature,
        "cell_A": np.linalg.norm(trajectory.mean_cell, axis=1).tolist(),
        "volume_A3": trajectory.mean_volume_A3,
        "density_g_cm3": mass / trajectory.mean_volume_A3 * AMU_A3_TO_G_CM3,
    }


def _compute(
    results: Results,
    observable: Observable,
    variant: str,
    label: str,
    given: Mapping[str, Any],
    trajectory: Trajectory,
    context: Context,
    definitions: Mapping[str, Any],
) -> None:
    options, begin = observable.options(given), time.perf_counter()
    try:
        found = observable.compute(trajectory, options, context)
    except ValueError as error:
        results.fail(label, str(error), refused=True)
        print(f"{label}: refused: {error}", flush=True)
        return
    except Exception as error:
        # The others are worth having; what went wrong here is told with its place.
        traceback.print_exc()
        results.fail(label, f"{type(error).__name__}: {error}", refused=False)
        print(f"{label}: failed: {type(error).__name__}: {error}", flush=True)
        return
    settings = _settings(observable, options, definitions)
    for name, outcome in found.items() if isinstance(found, dict) else [("", found)]:
        whole = Outcome(settings | outcome.scalars, outcome.arrays)
        results.add(observable.name, variant or name, f"{label}.{name}" if name else label, whole)
    print(f"{label}: {time.perf_counter() - begin:.1f} s, memory so far {peak_memory_GB():.2f} GB", flush=True)


def peak_memory_GB() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _settings(observable: Observable, options: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """What an outcome was computed with; that of diffusion tells it itself."""
    if observable.node == "diffusivity":
        return {}
    settings = {"observable": observable.name, **options}
    if options.get("region") is not None:
        settings["region_definition"] = definitions[options["region"]]
    return settings


def _run(arguments: argparse.Namespace) -> int:
    request = read_request(arguments.request)
    try:
        names = [path.name for path in arguments.segments]
        trajectory = Trajectory.concatenate([Trajectory.load(path) for path in arguments.segments], names=names)
    except ValueError as error:
        Results(arguments.results, refused=f"the segments cannot be joined: {error}", complete=True).write()
        raise
    print(f"{trajectory!r}, {arguments.threads} threads", flush=True)
    options = {"regions": request.get("regions"), "temperature_K": request.get("temperature_K")}
    results = analyse(trajectory, request["parameters"], arguments.results, **options, threads=arguments.threads)
    tried, failed = len(list(asked(request["parameters"]))), len(results.failed)
    print(f"done: {tried - failed} of {tried} computed", flush=True)
    return SOME_FAILED if results.failed else ALL_COMPUTED


def describe() -> str:
    """All observables with their parameters, defaults and meaning, as text."""
    lines = []
    for observable in registry().values():
        lines.append(f"{observable.name}{' (variants by name)' if observable.variants else ''}: {observable.summary}")
        for name, parameter in observable.parameters.items():
            default = "must be given" if parameter.default is parameter.__class__.default else f"{parameter.default!r}"
            lines.append(f"    {name} ({default}): {parameter.kind.expected}. {parameter.help}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Analyse a run; see ``lpsgb-analyse --help``.

    Parameters
    ----------
    argv
        Arguments; those of the command line if not given.

    Returns
    -------
    int
        0 if all was computed, 1 for bad input, 2 if something could not be computed.
    """
    parser = Parser(
        prog="lpsgb-analyse",
        description="Compute observables of a run in one or several segments (.lpsgbtraj), which are joined in the "
        "order given. Results are written one by one into a folder: results.json, and a .npz of arrays each.",
        epilog=describe(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "request",
        type=Path,
        help='JSON file such as {"parameters": {"diffusivity": {"species": "Li"}}, "temperature_K": 600}; '
        '"regions" holds regions by name',
    )
    parser.add_argument("results", type=Path, help="folder for the results")
    parser.add_argument("segments", type=Path, nargs="+", help="trajectory files, in order")
    parser.add_argument(
        "--threads",
        type=threads,
        default=os.environ.get("OMP_NUM_THREADS", "").split(",")[0] or "1",
        help="to work with (default: $OMP_NUM_THREADS, or one)",
    )
    arguments = parser.parse_args(argv)
    return ended(lambda: _run(arguments))


if __name__ == "__main__":
    sys.exit(main())
