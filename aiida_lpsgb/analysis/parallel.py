"""Frames over cores."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import islice
from multiprocessing import get_context
from typing import Any

_AHEAD = 2  # items in work or waiting, for each worker


def map_frames(
    function: Callable[[Any], Any], items: Iterable[Any], workers: int | None = None, processes: bool = False
) -> Iterator[Any]:
    """Apply a function to every item, in order, on several cores; only a few items a core are held at a time.

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
    # A fresh interpreter each: forking a process that has threads (a daemon's worker) can hang.
    pool = (
        ProcessPoolExecutor(workers, mp_context=get_context("forkserver")) if processes else ThreadPoolExecutor(workers)
    )
    with pool:
        yield from _in_order(pool, function, iter(items), _AHEAD * workers)


def _in_order(pool: Executor, function: Callable[[Any], Any], items: Iterator[Any], ahead: int) -> Iterator[Any]:
    waiting = deque(pool.submit(function, item) for item in islice(items, ahead))
    try:
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(items, 1))
            yield result
    finally:
        for future in waiting:
            future.cancel()
