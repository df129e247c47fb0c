"""Files that an archive has left out: the node is there, its file is not."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import BinaryIO

from aiida.orm import ArrayData, Node

LEFT_OUT = "lpsgb_left_out"
"""Extra of a node that lists its files that an archive has left out."""


def left_out_of(node: Node) -> tuple[str, ...]:
    """Files of a node that the archive it was imported from has left out."""
    return tuple(node.base.extras.get(LEFT_OUT, None) or ())


def arrays_there(node: ArrayData) -> set[str]:
    """Names of the arrays of a node but of those that the archive it was imported from has left out."""
    return set(node.get_arraynames()) - {name.removesuffix(".npy") for name in left_out_of(node)}


def open_file(node: Node, name: str) -> AbstractContextManager[BinaryIO]:
    """Open a file of a node.

    Raises
    ------
    FileNotFoundError
        If it was left out of the archive that the node was imported from.
    """
    if name not in node.base.repository.list_object_names() and name in left_out_of(node):
        raise FileNotFoundError(
            f"{type(node).__name__}<{node.pk}>: {name} was left out of the archive that this was imported from"
        )
    return node.base.repository.open(name, "rb")
