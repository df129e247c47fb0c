"""What the programs of this package have in common: how arguments are read, and how errors and interruptions end."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable
from typing import NoReturn

__all__ = ["Parser", "count", "ended", "not_negative", "positive", "sentence", "threads"]

BAD_INPUT, INTERRUPTED = 1, 130


class Parser(argparse.ArgumentParser):
    """A parser that tells what is wrong with arguments in one line, with the exit status of bad input."""

    STATUS = BAD_INPUT

    def error(self, message: str) -> NoReturn:
        """Write a line and exit."""
        self.exit(self.STATUS, f"ERROR: {message} (see {self.prog} --help)\n")


def sentence(error: BaseException) -> str:
    """What an error says, in one line that begins with the file it concerns."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def ended(run: Callable[[], int]) -> int:
    """Run a program to its end.

    Parameters
    ----------
    run
        What it does; it returns the exit status.

    Returns
    -------
    int
        That status; 1 after an error, which is told in one line on the standard error, and 130 after an interruption.
    """
    try:
        status = run()
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on; what is still to be written must not fail once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError, MemoryError) as error:
        print(f"ERROR: {sentence(error)}", file=sys.stderr, flush=True)
        return BAD_INPUT
    return status


def positive(text: str) -> float:
    """A positive number."""
    if not 0 < (value := _number(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"a positive number is needed, got {text!r}")
    return value


def not_negative(text: str) -> float:
    """A number that is not negative."""
    if not 0 <= (value := _number(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"a number that is not negative is needed, got {text!r}")
    return value


def count(text: str) -> int:
    """An integer that is not negative."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"an integer that is not negative is needed, got {text!r}")
    return int(text)


def threads(text: str) -> int:
    """A positive integer."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a positive integer is needed, got {text!r}")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
