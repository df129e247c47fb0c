"""What was wrong with the input of a command, told in one sentence and in one place."""

from __future__ import annotations

import errno
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from aiida_lpsgb.programs import sentence

__all__ = ("PlainGroup", "plain_errors")

AIIDA_PREFIX = "invalid attribute value "
"""What AiiDA begins the message of a port's validator with."""


class PlainGroup(click.Group):
    """A click group that tells what is wrong with the input of its commands in one sentence, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that is asked for."""
        with plain_errors():
            return super().invoke(ctx)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what input is refused by into click's errors, and show this package's own warnings as one line each.

    Other packages warn of what is none of the user's business. What is no refusal but a defect keeps its traceback.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = _show_warning
        try:
            yield
        except click.ClickException:
            raise
        except Exception as error:
            if not _is_refusal(error):
                raise
            reason = getattr(error, "orig", error)  # a database's, without the query
            raise click.ClickException(sentence(reason).removeprefix(AIIDA_PREFIX)) from error


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    if category.__module__.startswith("aiida_lpsgb."):
        click.echo(f"Warning: {message}", err=True)


def _is_refusal(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno != errno.EPIPE  # click ends quietly where nobody reads on
    if isinstance(error, (ValueError, TypeError, MemoryError)):
        return True
    if "aiida.common.exceptions" not in sys.modules:
        return False  # AiiDA has not raised what it has not loaded
    from aiida.common.exceptions import AiidaException
    from sqlalchemy.exc import OperationalError  # a database that is locked or does not answer

    return isinstance(error, (AiidaException, OperationalError))
