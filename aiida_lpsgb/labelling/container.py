"""One file for many configurations: exact, compact, reproducible byte for byte, readable one at a time.

The file is an uncompressed NumPy ``.npz``. Per-atom arrays of all configurations are stored end to end, and the array
``offsets`` says where each configuration begins, so that one configuration is read with a few seeks whatever the size
of the file, and ``numpy.load`` opens it without this module.

============= ================ ===============================================================================
array         shape            content
============= ================ ===============================================================================
version       ()               version of this layout
offsets       (n + 1)          configuration i owns the rows ``offsets[i]:offsets[i + 1]`` of the per-atom arrays
numbers       (N)              atomic numbers
positions     (N, 3)           Å
cells         (n, 3, 3)        Å, cell vectors as rows
pbc           (n, 3)           periodicity
energies      (n)              eV; NaN where a configuration has none
forces        (N, 3)           eV/Å; NaN where a configuration has none
stresses      (n, 6)           eV/Å³, xx yy zz yz xz xy, ASE's sign; NaN where a configuration has none
info          (bytes)          the ``info`` of each configuration as JSON, end to end
info.offsets  (n + 1)          where each configuration's JSON begins
arrays/NAME   (rows, …)        any further per-atom array, of the configurations that have it
arrays/NAME.offsets (n + 1)    where its rows begin
============= ================ ===============================================================================

``energies``, ``forces`` and ``stresses`` are left out when no configuration has them. Constraints, and the results of a
calculator beyond these three, are not kept; nor are values in ``Atoms.info`` that JSON cannot express (such as the
``Spacegroup`` object that ASE's CIF reader leaves there).
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, BinaryIO

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.formula import Formula
from ase.stress import full_3x3_to_voigt_6_stress

from aiida_lpsgb.mtp.configurations import labels as labels_of

VERSION = 1
LABELS = {"energy": "energies", "forces": "forces", "stress": "stresses"}
# Arrays that ``Atoms`` owns and that are stored by their own names.
_OWN_ARRAYS = ("numbers", "positions")
_CHUNK = 64


class ContainerError(ValueError):
    """A configuration cannot be stored, or a file is not one that :func:`write` made."""


def with_labels(atoms: Atoms, **labels: Any) -> Atoms:
    """Return a copy of an image that carries the given labels and no others.

    Parameters
    ----------
    atoms
        The image; it is not changed.
    labels
        Any of ``energy`` (eV), ``forces`` (eV/Å) and ``stress`` (eV/Å³, Voigt).

    Returns
    -------
    ase.Atoms
        The copy, with a ``SinglePointCalculator`` if there is any label.
    """
    copy = atoms.copy()
    copy.calc = SinglePointCalculator(copy, **labels) if labels else None
    return copy


def _to_json(value: Any) -> Any:
    """Turn NumPy's scalars and arrays into what JSON knows."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _encode_info(info: dict[str, Any]) -> bytes:
    """Encode the entries of ``Atoms.info`` that JSON can express."""
    kept = {}
    for key in sorted(key for key in info if isinstance(key, str)):
        with contextlib.suppress(TypeError, ValueError):
            kept[key] = json.loads(json.dumps(info[key], default=_to_json))
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _check_finite(index: int, what: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(value, dtype=float)
    if array.shape != shape:
        raise ContainerError(f"configuration {index}: {what} of shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all():
        raise ContainerError(f"configuration {index}: non-finite {what}")
    return array


def _scratch() -> BinaryIO:
    """Return a file without a name, which goes to disk when it grows."""
    return tempfile.SpooledTemporaryFile(max_size=1 << 20)


class _Column:
    """Rows of one array, gathered on disk."""

    def __init__(self) -> None:
        self.n_rows = 0
        self._file = _scratch()
        self._form = np.empty((0,))

    def append(self, rows: np.ndarray) -> None:
        """Add rows; those of a wider type (longer words, more digits) widen what is there."""
        if not self.n_rows:
            self._form = np.empty((0, *rows.shape[1:]), rows.dtype)
        elif rows.dtype != self._form.dtype:
            self._widen(np.result_type(rows.dtype, self._form.dtype))
        self._file.write(np.ascontiguousarray(rows, self._form.dtype).tobytes())
        self.n_rows += len(rows)

    def alike(self, rows: np.ndarray) -> bool:
        """Whether these rows could stand beside the others."""
        return self._form.shape[1:] == rows.shape[1:] and self._form.dtype.kind == rows.dtype.kind

    def write(self, stream: BinaryIO) -> None:
        """Write a whole `.npy` file."""
        dtype = np.lib.format.dtype_to_descr(self._form.dtype)
        header = {"descr": dtype, "fortran_order": False, "shape": (self.n_rows, *self._form.shape[1:])}
        np.lib.format.write_array_header_1_0(stream, header)
        self._file.seek(0)
        shutil.copyfileobj(self._file, stream, 1 << 20)

    def _widen(self, dtype: np.dtype) -> None:
        narrow, self._file, old = self._file, _scratch(), self._form.dtype
        narrow.seek(0)
        while block := narrow.read(old.itemsize << 16):
            self._file.write(np.frombuffer(block, old).astype(dtype).tobytes())
        self._form = self._form.astype(dtype)


class _Ragged:
    """Rows of an array of which a configuration may have any number."""

    def __init__(self, before: int = 0) -> None:
        self.column = _Column()
        self._ends = [0] * (before + 1)

    def add(self, rows: np.ndarray | None) -> None:
        if rows is not None:
            self.column.append(rows)
        self._ends.append(self.column.n_rows)

    def offsets(self) -> np.ndarray:
        return np.array(self._ends, dtype=np.int64)


class _Writer:
    """Checks images and gathers their arrays on disk; of each image it keeps a few numbers in memory."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.columns = {name: _Column() for name in ("numbers", "positions", "cells", "pbc", *LABELS.values())}
        self.info = _Ragged()
        self.arrays: dict[str, _Ragged] = {}
        self.n_with = dict.fromkeys(LABELS, 0)
        self.n_labelled = 0
        self.compositions: set[tuple[tuple[str, int], ...]] = set()
        # Smallest and largest of what is known of the images.
        self.ranges: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self.sizes)

    def add(self, atoms: Atoms) -> None:
        index = len(self)
        if not isinstance(atoms, Atoms):
            raise ContainerError(f"configuration {index} is a {type(atoms).__name__}, expected ase.Atoms")
        if len(atoms) == 0:
            raise ContainerError(f"configuration {index} has no atoms")
        if (atoms.numbers < 1).any():
            raise ContainerError(f"configuration {index} has atoms of no element (symbol X)")
        self.columns["positions"].append(_check_finite(index, "positions", atoms.positions, (len(atoms), 3)))
        self.columns["cells"].append(_check_finite(index, "cell vectors", atoms.cell.array, (3, 3))[None])
        if atoms.pbc.all() and abs(atoms.cell.volume) < 1e-6:
            raise ContainerError(f"configuration {index} is periodic and its cell has no volume")
        self.columns["numbers"].append(atoms.numbers.astype(np.uint8))
        self.columns["pbc"].append(np.array(atoms.pbc, dtype=bool)[None])
        self._add_labels(index, atoms)
        self._add_info(index, atoms.info)
        self._add_arrays(index, atoms)
        self.compositions.add(tuple(sorted(Counter(atoms.get_chemical_symbols()).items())))
        self.sizes.append(len(atoms))

    def _add_labels(self, index: int, atoms: Atoms) -> None:
        labels, shapes = labels_of(atoms), {"energy": (), "forces": (len(atoms), 3), "stress": (6,)}
        if np.shape(labels.get("stress")) == (3, 3):
            labels["stress"] = full_3x3_to_voigt_6_stress(np.asarray(labels["stress"], dtype=float))
        for name, shape in shapes.items():
            known = labels.get(name) is not None
            value = _check_finite(index, name, labels[name], shape) if known else np.full(shape, np.nan)
            self.columns[LABELS[name]].append(value if name == "forces" else value[None])
            self.n_with[name] += known
        if labels.get("energy") is not None:
            self._extend("energy", float(labels["energy"]) / len(atoms))
        if labels.get("forces") is not None:
            self._extend("force", float(np.linalg.norm(labels["forces"], axis=1).max()))
        self.n_labelled += labels.get("energy") is not None and labels.get("forces") is not None

    def _add_info(self, index: int, info: dict[str, Any]) -> None:
        if info.get("mv_grade") is not None:
            self._extend("grade", float(_check_finite(index, "info['mv_grade']", info["mv_grade"], ())))
        self.info.add(np.frombuffer(_encode_info(info), dtype=np.uint8))

    def _extend(self, name: str, value: float) -> None:
        low, high = self.ranges.get(name, (value, value))
        self.ranges[name] = min(low, value), max(high, value)

    def _add_arrays(self, index: int, atoms: Atoms) -> None:
        found = {name: array for name, array in atoms.arrays.items() if name not in _OWN_ARRAYS}
        for name, rows in found.items():
            if rows.dtype.kind not in "biufU":
                raise ContainerError(f"configuration {index}: array {name!r} is of type {rows.dtype}")
            column = self.arrays.setdefault(name, _Ragged(before=index)).column
            if column.n_rows and not column.alike(rows):
                raise ContainerError(f"configuration {index}: array {name!r} differs in type or shape from before")
        for name, ragged in self.arrays.items():
            ragged.add(found.get(name))

    def members(self) -> Iterator[tuple[str, np.ndarray | _Column]]:
        yield "version", np.array(VERSION, dtype=np.int64)
        yield "offsets", np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)
        unlabelled = {LABELS[name] for name, count in self.n_with.items() if not count}
        yield from ((name, column) for name, column in self.columns.items() if name not in unlabelled)
        yield "info", self.info.column
        yield "info.offsets", self.info.offsets()
        for name, ragged in sorted(self.arrays.items()):
            yield f"arrays/{name}", ragged.column
            yield f"arrays/{name}.offsets", ragged.offsets()

    def summary(self) -> dict[str, Any]:
        summary = {
            "count": len(self),
            "n_atoms": sum(self.sizes),
            "n_atoms_min": min(self.sizes),
            "n_atoms_max": max(self.sizes),
            "formulae": sorted(Formula.from_dict(dict(counts)).format("hill") for counts in self.compositions),
            "species": sorted({symbol for counts in self.compositions for symbol, _ in counts}),
            "labelled": self.n_labelled == len(self),
            "n_labelled": self.n_labelled,
            "has_stress": self.n_with["stress"] == len(self),
        }
        if "energy" in self.ranges:
            summary["energy_min_ev_atom"], summary["energy_max_ev_atom"] = self.ranges["energy"]
        if "force" in self.ranges:
            summary["force_max_ev_angstrom"] = self.ranges["force"][1]
        if "grade" in self.ranges:
            summary["max_grade"] = self.ranges["grade"][1]
        return summary


def write(handle: BinaryIO, images: Iterable[Atoms]) -> dict[str, Any]:
    """Write images to one file, in bounded memory. Equal images give equal bytes.

    Parameters
    ----------
    handle
        Binary file to write to.
    images
        The images, in order; any iterable, gone through once.

    Returns
    -------
    dict
        ``count``, ``n_atoms``, ``n_atoms_min``, ``n_atoms_max``, ``formulae``, ``species``, ``labelled`` (all images
        have energy and forces), ``n_labelled``, ``has_stress``, and where known ``energy_min_ev_atom``,
        ``energy_max_ev_atom``, ``force_max_ev_angstrom`` (largest norm) and ``max_grade`` (of ``info['mv_grade']``).

    Raises
    ------
    ContainerError
        If there is no image, or one has no atoms, is not finite, or is periodic without a volume.
    """
    writer = _Writer()
    for atoms in images:
        writer.add(atoms)
    if not len(writer):
        raise ContainerError("there are no configurations; at least one is needed")
    with zipfile.ZipFile(handle, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in writer.members():
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            # The default depends on the platform, and would change the bytes.
            member.create_system = 3
            with archive.open(member, "w", force_zip64=True) as stream:
                if isinstance(array, _Column):
                    array.write(stream)
                else:
                    np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
    return writer.summary()


class _Member:
    """Where one array lies in the file."""

    def __init__(self, handle: BinaryIO, member: zipfile.ZipInfo) -> None:
        handle.seek(member.header_offset)
        header = handle.read(30)
        handle.seek(
            member.header_offset
            + 30
            + int.from_bytes(header[26:28], "little")
            + int.from_bytes(header[28:30], "little")
        )
        np.lib.format.read_magic(handle)
        self.shape, _, self.dtype = np.lib.format.read_array_header_1_0(handle)
        self.start = handle.tell()
        self.stride = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))

    def read(self, handle: BinaryIO, start: int, stop: int) -> np.ndarray:
        handle.seek(self.start + start * self.stride)
        content = handle.read((stop - start) * self.stride)
        return np.frombuffer(content, dtype=self.dtype).reshape(stop - start, *self.shape[1:])


class Reader:
    """Images of a file that :func:`write` made, read as they are asked for.

    Parameters
    ----------
    handle
        Binary file that can seek. It is used for as long as the reader is, and not closed.

    Raises
    ------
    ContainerError
        If the file is not one of these, is truncated, or was written by a later version.
    """

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        try:
            with zipfile.ZipFile(handle) as archive:
                self._members = {
                    item.filename.removesuffix(".npy"): _Member(handle, item) for item in archive.infolist()
                }
            # A scalar is stored as one row.
            handle.seek(self._members["version"].start)
            version = int(np.frombuffer(handle.read(8), dtype=np.int64)[0])
            self._offsets = self._whole("offsets")
            self._ragged = {
                name.removesuffix(".offsets"): self._whole(name) for name in self._members if name.endswith(".offsets")
            }
        except (zipfile.BadZipFile, KeyError, ValueError, IndexError, EOFError) as error:
            raise ContainerError(f"not a file of configurations, or a truncated one: {error}") from error
        if version > VERSION:
            raise ContainerError(f"layout version {version} is later than {VERSION}: update aiida-lpsgb to read it")

    def _whole(self, name: str) -> np.ndarray:
        member = self._members[name]
        return member.read(self._handle, 0, member.shape[0])

    @property
    def pbc(self) -> np.ndarray:
        """Periodicity of all configurations, of shape ``(n, 3)``."""
        return self._whole("pbc")

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __iter__(self) -> Iterator[Atoms]:
        for start in range(0, len(self), _CHUNK):
            yield from self.read(start, min(start + _CHUNK, len(self)))

    def __getitem__(self, index: int) -> Atoms:
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"there is no configuration {index}: the file holds {len(self)}")
        return self.read(position, position + 1)[0]

    def read(self, start: int, stop: int) -> list[Atoms]:
        """Return the configurations ``start`` to ``stop - 1``."""
        offsets = self._offsets[start : stop + 1]
        rows = [slice(*bounds) for bounds in pairwise(offsets - offsets[0])]
        atomic = self._read_members(("numbers", "positions", "forces"), offsets[0], offsets[-1])
        single = self._read_members(("cells", "pbc", "energies", "stresses"), start, stop)
        ragged = {name: self._read_ragged(name, start, stop) for name in self._ragged}
        images = []
        for k in range(stop - start):
            atoms = Atoms(
                numbers=atomic["numbers"][rows[k]],
                positions=atomic["positions"][rows[k]],
                cell=single["cells"][k],
                pbc=single["pbc"][k],
                info=json.loads(ragged["info"][k].tobytes()),
            )
            for name, parts in ragged.items():
                if name.startswith("arrays/") and len(parts[k]):
                    atoms.set_array(name.removeprefix("arrays/"), parts[k])
            labels = {
                "energy": single["energies"][k].item() if "energies" in single else np.nan,
                "forces": atomic["forces"][rows[k]].copy() if "forces" in atomic else np.nan,
                "stress": single["stresses"][k].copy() if "stresses" in single else np.nan,
            }
            labels = {name: value for name, value in labels.items() if np.isfinite(value).all()}
            if labels:
                atoms.calc = SinglePointCalculator(atoms, **labels)
            images.append(atoms)
        return images

    def _read_members(self, names: Iterable[str], start: int, stop: int) -> dict[str, np.ndarray]:
        """Return rows of those of the arrays that the file has."""
        return {name: self._members[name].read(self._handle, start, stop) for name in names if name in self._members}

    def _read_ragged(self, name: str, start: int, stop: int) -> list[np.ndarray]:
        offsets = self._ragged[name][start : stop + 1]
        rows = self._members[name].read(self._handle, offsets[0], offsets[-1])
        bounds = offsets - offsets[0]
        return [rows[bounds[k] : bounds[k + 1]] for k in range(stop - start)]
