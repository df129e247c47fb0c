"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from aiida_lpsgb.cli.types import FOLDER, SEED, symbols

if TYPE_CHECKING:
    from aiida.orm import ProcessNode

STUDY_TYPES = (
    "aiida.workflows:lpsgb.study",
    "aiida.workflows:lpsgb.transport",
    "aiida.workflows:lpsgb.active_learning",
)


LABEL = click.option("--label", metavar="LEVEL", help="What labels: sevennet, sevennet+d3, chgnet, vasp:optB88-vdW, …")
LABEL_CODE = click.option("--label-code", metavar="CODE", help="Code that labels, where there are several.")


def profile_option() -> Callable:
    """The option ``-p/--profile``."""
    return click.option("-p", "--profile", help="AiiDA profile; the default profile if not given.")


def process_argument(required: bool = True) -> Callable:
    """The argument that names a process by PK, UUID or label."""
    return click.argument("process", metavar="PK" if required else "[PK]", required=required)


def submission_options(command: Callable) -> Callable:
    """What is asked of every command that submits a process."""
    for option in (
        profile_option(),
        click.option("--folder", type=FOLDER, help="Where to write what is found."),
        click.option("--no-follow", is_flag=True, help="Submit it and do not wait for its end."),
        click.option("--dry-run", is_flag=True, help="Build and check everything, show it, and submit nothing."),
        click.option("--seed", type=SEED, help="The seed that all others derive from; drawn if not given."),
        click.option(
            "--set",
            "assignments",
            metavar="PATH=VALUE",
            multiple=True,
            help="Replace an entry of the protocol, the value as YAML: temperatures_K=[700,500] (of a study "
            "transport.temperatures_K=[700,500]); repeat.",
        ),
        click.option("--computer", default="localhost", show_default=True, help="Computer whose codes are used."),
    ):
        command = option(command)
    return command


def protocol_option(default: str = "moderate") -> Callable:
    """The option ``--protocol``, None where it is not given; what is taken then is said in words."""
    return click.option("--protocol", type=click.Choice(["fast", "moderate", "paper"]), show_default=default)


def species_option(help_text: str, required: bool = False) -> Callable:
    """The option ``-s/--species``: a list of chemical symbols, empty if not given."""
    return click.option(
        *("-s", "--species"),
        required=required,
        callback=symbols,
        help=help_text,
    )


def use_profile(profile: str | None) -> None:
    """Load an AiiDA profile, or end with a message that says which there are.

    Parameters
    ----------
    profile
        Its name, None for the default profile.
    """
    from aiida import load_profile
    from aiida.common.exceptions import ConfigurationError, ProfileConfigurationError
    from aiida.manage.configuration import get_config

    try:
        load_profile(profile)
    except (ConfigurationError, ProfileConfigurationError) as exception:
        try:
            names = ", ".join(get_config().profile_names)
        except ConfigurationError:  # there is no configuration at all
            names = ""
        names = names or "none (make one: aiida-lpsgb quicksetup)"
        raise click.ClickException(f"no profile {profile or 'is the default'}; there are: {names}") from exception


def load_process(identifier: str | None, profile: str | None) -> ProcessNode:
    """Load a profile and one of its processes.

    Parameters
    ----------
    identifier
        PK, UUID or label; None for the newest study of the profile that nothing else called.
    profile
        Name of the profile, None for the default one.

    Raises
    ------
    click.ClickException
        If there is no such profile or process.
    """
    from aiida.common.exceptions import MultipleObjectsError, NotExistent
    from aiida.orm import ProcessNode, load_node

    use_profile(profile)
    if identifier is None:
        node = _newest_study()
        if node is None:
            raise click.ClickException("no study in this profile yet; give the PK of a process")
        return node
    try:
        node = load_node(identifier)
    except (NotExistent, MultipleObjectsError, ValueError) as exception:
        raise click.ClickException(f"no process {identifier}: {exception}") from exception
    if not isinstance(node, ProcessNode):
        raise click.ClickException(f"{identifier} is not a process but a {type(node).__name__}")
    return node


def _newest_study() -> ProcessNode | None:
    from aiida.orm import QueryBuilder, WorkChainNode

    query = QueryBuilder().append(WorkChainNode, filters={"process_type": {"in": list(STUDY_TYPES)}})
    query.order_by({WorkChainNode: {"ctime": "desc"}})
    return next((node for (node,) in query.iterall() if node.caller is None), None)
