"""The ``aiida-lpsgb`` command: set a machine up, follow a study, look at its results.

Sub-commands are imported when they are called, so that ``--help`` and shell completion do not wait for AiiDA.
"""

from __future__ import annotations

from importlib import import_module

import click

from aiida_lpsgb import __version__
from aiida_lpsgb.cli.errors import PlainGroup

__all__ = ("LazyGroup", "main")


class LazyGroup(PlainGroup):
    """A click group whose commands are imported on first use.

    Parameters
    ----------
    commands_at
        Command name → (``module:attribute``, one-line help). The help shown in the group's listing comes from here, so
        listing imports nothing.
    """

    def __init__(self, *args, commands_at: dict[str, tuple[str, str]], **kwargs):
        super().__init__(*args, **kwargs)
        self.commands_at = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands, in the order of registration."""
        return list(self.commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command, or None if there is none of that name."""
        if cmd_name not in self.commands_at:
            return None
        module, _, attribute = self.commands_at[cmd_name][0].partition(":")
        return getattr(import_module(module), attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the listing without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.commands_at.items()])


COMMANDS = {
    "quicksetup": (
        "aiida_lpsgb.cli.quicksetup:quicksetup",
        "Make a profile and register the programs of this machine.",
    ),
    "study": ("aiida_lpsgb.cli.study:study", "Study a crystal: guess what it needs, show it, and submit it."),
    "launch": (
        "aiida_lpsgb.cli.parts:launch",
        "Submit a part of a study: learn, sweep, boundary, glass, interface, analyse, label.",
    ),
    "watch": ("aiida_lpsgb.cli.watch:watch", "Follow a running study until it ends."),
    "results": ("aiida_lpsgb.cli.results:results", "Print what a study, a sweep or a learning has found."),
    "structure": (
        "aiida_lpsgb.cli.structure:structure",
        "Order crystals, build grain boundaries and interfaces, draw them.",
    ),
    "data": (
        "aiida_lpsgb.cli.data:data",
        "Import labelled configurations from other programs' files, and export them.",
    ),
    "export": ("aiida_lpsgb.cli.export:export", "Write LAMMPS folders, structures, trajectories and archives."),
    "levels": ("aiida_lpsgb.cli.study:levels", "List the levels of theory of every label engine."),
    "report": ("aiida_lpsgb.cli.results:report", "Write what a study has found to one self-contained HTML page."),
}


@click.command(cls=LazyGroup, commands_at=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="aiida-lpsgb")
def main() -> None:
    """Moment tensor potentials and ionic transport of solid electrolytes, with AiiDA provenance."""
