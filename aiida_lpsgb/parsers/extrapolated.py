"""Thin out the configurations that a run with extrapolation control has written (no AiiDA)."""

from __future__ import annotations

import math
import mmap
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ase import Atoms

from aiida_lpsgb.mtp.configurations import GRADE_FEATURE, CFGFormatError, parse_cfg

_BEGIN, _END = b"BEGIN_CFG", b"END_CFG"
_GRADE = re.compile(rb"Feature\s+" + GRADE_FEATURE.encode() + rb"\s+(\S+)")
_STEP = re.compile(rb"Feature\s+timestep\s+(\d+)")
# Within some steps of a hole in a potential atoms have fallen into each other. Nothing can be learned of what is left.
FAR_GRADE = 1e4


@dataclass
class Extrapolated:
    """What is kept of a file of extrapolated configurations.

    Attributes
    ----------
    images
        The configurations kept, in the order of the file, without energies: those of the potential are no labels.
    n_found
        How many whole configurations the file holds.
    max_grade
        The highest grade of all of them; None if there is none.
    """

    images: list[Atoms] = field(default_factory=list)
    n_found: int = 0
    max_grade: float | None = None


@dataclass
class _Block:
    start: int
    end: int
    step: int
    grade: float


def read_extrapolated(path: Path, species: Sequence[str], spacing_steps: int, max_configurations: int) -> Extrapolated:
    """Read a `.cfg` file that a run has appended to, keeping few of neighbours in time.

    Kept are the first, which is nearest to what the potential knows, and of all in a span of `spacing_steps` the one of
    highest grade; the span is widened until no more than `max_configurations` are left. Grades above `FAR_GRADE` are of
    atoms that have fallen into each other: of these only the first is kept, and only where there is nothing else. A
    configuration that was cut, or holds numbers that are not finite, is left out.

    Parameters
    ----------
    path
        The file; it may be missing.
    species
        Chemical symbols in the order of the potential's types.
    spacing_steps
        Span in steps, or in configurations where the program does not write their steps.
    max_configurations
        Most configurations to keep.
    """
    if not path.exists() or not path.stat().st_size:
        return Extrapolated()
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
        blocks = _blocks(data)
        images = []
        for block in choose(blocks, spacing_steps, max_configurations):
            try:
                images.extend(parse_cfg(data[block.start : block.end] + b"\n", species, path.name))
            except CFGFormatError:
                continue
    for image in images:
        image.calc = None
    n_found = len({block.step for block in blocks})  # where a stage ends and the next begins a step is written twice
    return Extrapolated(images, n_found, max((b.grade for b in blocks if math.isfinite(b.grade)), default=None))


def choose(blocks: Sequence[_Block], spacing_steps: int, max_configurations: int) -> list[_Block]:
    """The first block, and that of highest grade in each span of steps, the span as wide as it must be."""
    blocks = [block for block in blocks if not block.grade > FAR_GRADE] or blocks[:1]
    spacing = max(1, spacing_steps)
    while blocks:
        best: dict[int, _Block] = {}
        for block in blocks:
            span = block.step // spacing
            if span not in best or not block.grade <= best[span].grade:
                best[span] = block
        highest = list(best.values())
        chosen = highest if highest[0] is blocks[0] else [blocks[0], *highest]
        if len(chosen) <= max_configurations:
            return chosen
        if len(highest) == 1:
            return highest
        spacing *= 2
    return []


def _blocks(data: mmap.mmap) -> list[_Block]:
    """Places, steps and grades of the whole configurations."""
    blocks: list[_Block] = []
    start = data.find(_BEGIN)
    while start >= 0:
        following = data.find(_BEGIN, start + len(_BEGIN))
        end = data.find(_END, start)
        if end >= 0 and (following < 0 or end < following):
            features = data[max(data.find(b"Feature", start, end), start) : end]
            grade, step = _GRADE.search(features), _STEP.search(features)
            value = _number(grade[1]) if grade else math.nan
            blocks.append(_Block(start, end + len(_END), int(step[1]) if step else len(blocks), value))
        start = following
    return blocks


def _number(word: bytes) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan
