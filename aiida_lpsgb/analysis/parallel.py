"""Frames over cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any


def map_frames(
    function: Callable[[Any], Any], items: Iterable[Any], workers: int | None = None, processes: bool = False
) -> Iterator[Any]:
    """Apply a function to every item, in order, on several cores.

    Parameters
    ----------
    function
        Of one item. With ``processes`` it and its items must be picklable.
    items
        What to work on.
    workers
        Cores; 1 works in place, None takes all that this process may use.
    processes
        Use processes, for code that holds Python's lock; else threads.
    """
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers < 1:
        raise ValueError(f"workers must be 1 or more, found {workers}")
    if workers == 1:
        yield from map(function, items)
        return
    if processes:
        # A fresh interpreter each: forking a process that has threads (a daemon's worker) can hang.
        with ProcessPoolExecutor(workers, mp_context=get_context("forkserver")) as pool:
            yield from pool.map(function, items, chunksize=1)
    else:
        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(function, items)
