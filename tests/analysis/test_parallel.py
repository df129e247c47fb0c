"""Frames over cores."""

import threading

import pytest

from aiida_lpsgb.analysis.parallel import map_frames


@pytest.mark.parametrize("workers", [1, 2, None])
def test_order_is_kept(workers):
    assert list(map_frames(lambda x: x * x, range(50), workers)) == [x * x for x in range(50)]


def test_few_items_are_held_at_a_time():
    taken, done, lock, most = 0, 0, threading.Lock(), 0

    def items():
        nonlocal taken, most
        for number in range(200):
            with lock:
                taken += 1
                most = max(most, taken - done)
            yield number

    for _ in map_frames(lambda x: x, items(), 2):
        with lock:
            done += 1
    assert taken == done == 200
    assert most <= 6


def test_a_failure_ends_it():
    with pytest.raises(ZeroDivisionError):
        list(map_frames(lambda x: 1 / (x - 5), range(1000), 2))
    with pytest.raises(ValueError, match="workers must be 1 or more"):
        list(map_frames(abs, [1], 0))
