"""Archives of studies that are small enough to hand on: AiiDA's own, without the files that take the space."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from fnmatch import fnmatchcase
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from aiida import orm
from aiida.tools.archive import create_archive

from aiida_lpsgb.data.left_out import LEFT_OUT
from aiida_lpsgb.data.potential import PotentialData

__all__ = ["LeftOut", "write_archive"]

DATABASE = "db.sqlite3"
REPOSITORY = "repo/"
KEPT = PotentialData.class_node_type
"""Nodes without whose files an archive would be of no use."""


@dataclass(frozen=True)
class LeftOut:
    """Files of one name that an archive has left out.

    Attributes
    ----------
    name
        Of the files.
    count
        How many there are.
    bytes
        What they would have taken in the archive.
    """

    name: str
    count: int
    bytes: int


def write_archive(
    nodes: Sequence[orm.Node], path: str | PathLike, max_file_bytes: int | None = None, keep: Collection[str] = ()
) -> tuple[LeftOut, ...]:
    """Write an archive of processes with everything that went into them and came out.

    Nodes, their attributes and links are all kept, so that provenance is whole and queries give the same answers.
    What is left out can no longer be read, and nothing that needs it can be run again.

    Parameters
    ----------
    nodes
        The processes, or data.
    path
        File to write; one that is there is replaced.
    max_file_bytes
        Leave out files that take more in the archive, but for those of potentials; None keeps all.
    keep
        Names of files that stay whatever they take, or patterns of them, such as ``density_A3.npy`` or ``g_*.npy``.

    Returns
    -------
    tuple of LeftOut
        The names of files that were left out, what takes most first.
    """
    if max_file_bytes is None:
        create_archive(nodes, filename=path, overwrite=True)
        return ()
    with TemporaryDirectory(dir=Path(path).absolute().parent) as folder:
        whole = Path(folder) / "whole.aiida"
        create_archive(nodes, filename=whole, overwrite=True)
        return _without_large_files(whole, Path(path), max_file_bytes, keep)


def _without_large_files(whole: Path, path: Path, max_file_bytes: int, keep: Collection[str]) -> tuple[LeftOut, ...]:
    with ZipFile(whole) as source:
        stored = {item.filename.removeprefix(REPOSITORY): item for item in source.infolist()}
        sizes = {key: item.compress_size for key, item in stored.items() if item.filename.startswith(REPOSITORY)}
        database = Path(source.extract(DATABASE, whole.parent))
        names = _forget(database, {key for key, size in sizes.items() if size > max_file_bytes}, keep)
        with ZipFile(path, "w", ZIP_DEFLATED) as target:
            for key, item in stored.items():
                if item.filename == DATABASE:
                    target.write(database, DATABASE, compresslevel=9)
                elif key not in names:
                    target.writestr(item, source.read(item))
    found: dict[str, list[int]] = {}
    for key, name in names.items():
        found.setdefault(name, []).append(sizes[key])
    counted = (LeftOut(name, len(own), sum(own)) for name, own in found.items())
    return tuple(sorted(counted, key=lambda files: -files.bytes))


def _forget(database: Path, large: set[str], keep: Collection[str]) -> dict[str, str]:
    """Take files from the nodes of an archive's database but from potentials, and note it there; their names by key."""
    names: dict[str, str] = {}
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("select id, node_type, repository_metadata, extras from db_dbnode").fetchall()
        trees = {pk: json.loads(metadata or "{}") for pk, _, metadata, _ in rows}
        for pk, kind, *_ in rows:
            files = _files(trees[pk])
            large -= {key for path, key in files if kind == KEPT or _is_among(path.rpartition("/")[2], keep)}
        for pk, _, _, extras in rows:
            gone = {path: key for path, key in _files(trees[pk]) if key in large}
            if gone:
                names |= {key: path.rpartition("/")[2] for path, key in gone.items()}
                noted = json.loads(extras or "{}") | {LEFT_OUT: sorted(gone)}
                row = (json.dumps(_pruned(trees[pk], large)), json.dumps(noted), pk)
                connection.execute("update db_dbnode set repository_metadata = ?, extras = ? where id = ?", row)
        connection.commit()
        connection.execute("vacuum")
    return names


def _is_among(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _files(tree: Mapping[str, Any], folder: str = "") -> Iterator[tuple[str, str]]:
    """Paths and keys of the files in a tree as AiiDA keeps it: ``o`` holds what is in a folder, ``k`` a file's key."""
    for name, entry in tree.get("o", {}).items():
        if "k" in entry:
            yield f"{folder}{name}", entry["k"]
        else:
            yield from _files(entry, f"{folder}{name}/")


def _pruned(tree: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    """A tree without some files."""
    if "o" not in tree:
        return dict(tree)
    kept = {name: _pruned(entry, keys) for name, entry in tree["o"].items() if entry.get("k") not in keys}
    return {**tree, "o": kept}
