"""Fuzzing of the Python readers of `.cfg`, `.mtp` and `.als`.

Whatever the bytes are, a reader returns something that it writes and reads back unchanged, or raises its own error.

    python tests/fuzz/fuzz_python_readers.py CORPUS_FOLDER [-runs=1000000]    with atheris (pip install atheris)
    python tests/fuzz/fuzz_python_readers.py --inputs 1000000 --seed 1        with the built-in mutations of small files
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

try:
    import atheris
except ImportError:
    atheris = None

from aiida_lpsgb.mtp.basis import untrained
from aiida_lpsgb.mtp.configurations import CFGFormatError, format_cfg, parse_cfg
from aiida_lpsgb.mtp.potential import MTP, MTPFormatError
from aiida_lpsgb.mtp.selection import ActiveSet, ALSFormatError

SPECIES = ["Li", "P"]
SEED_CFG = b"""BEGIN_CFG
 Size
    2
 Supercell
    4.0 0.0 0.0
    0.5 5.0 0.0
    0.0 0.0 6.0
 AtomData:  id type       cartes_x      cartes_y      cartes_z           fx          fy          fz
             1    0       0.0 0.0 0.0   0.1 0.2 0.3
             2    1       1.0 2.0 3.0  -0.1 -0.2 -0.3
 Energy
    -12.5
 PlusStress:  xx          yy          zz          yz          xz          xy
     1.0 2.0 3.0 4.0 5.0 6.0
 Feature   two\\_words\tfirst
 Feature   MV_grade\t1.25
 Feature   nbh_grades\t 1.25 1.5
END_CFG

BEGIN_CFG
 Size
    1
 AtomData:  type cartes_x cartes_y cartes_z site_en
  0 0 0 0 0
END_CFG
"""
TOKENS = [
    b"nan",
    b"inf",
    b"-1",
    b"0",
    b"1e999",
    b"99999999999999999999",
    b"{",
    b"}",
    b",",
    b"\n",
    b"\t",
    b"\xff",
    b"1_0",
    b"",
]


def check_cfg(data: bytes) -> bool:
    """Return whether the bytes are configurations."""
    try:
        images = list(parse_cfg(data, SPECIES))
    except CFGFormatError:
        return False
    text = b"".join(format_cfg(atoms, SPECIES) for atoms in images)
    again = b"".join(format_cfg(atoms, SPECIES) for atoms in parse_cfg(text, SPECIES))
    assert len(text) == len(again)
    return True


def check_mtp(data: bytes) -> bool:
    """Return whether the bytes are a potential."""
    try:
        text = data.decode("utf-8")
        mtp = MTP.from_string(text)
    except (UnicodeDecodeError, MTPFormatError):
        return False
    assert MTP.from_string(mtp.to_string()).to_string() == mtp.to_string()
    return True


def check_als(data: bytes) -> bool:
    """Return whether the bytes are an active set."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as file:
        file.write(data)
        file.flush()
        try:
            active = ActiveSet.read(file.name, SPECIES)
        except ALSFormatError:
            return False
    assert active.matrix.shape == (active.mtp.n_parameters,) * 2
    return True


CHECKS: dict[str, Callable[[bytes], bool]] = {"cfg": check_cfg, "mtp": check_mtp, "als": check_als}


def seeds() -> dict[str, bytes]:
    """Small valid files."""
    potential = untrained(4, len(SPECIES), radial_basis_size=2, seed=1)
    active = ActiveSet(potential, SPECIES)
    active.extend([next(parse_cfg(SEED_CFG, SPECIES))])
    with tempfile.TemporaryDirectory() as folder:
        active.write(Path(folder) / "a.als")
        return {"cfg": SEED_CFG, "mtp": potential.to_string().encode(), "als": (Path(folder) / "a.als").read_bytes()}


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes changed, cut, repeated, or replaced by tokens that parsers stumble over."""
    for _ in range(rng.integers(1, 4)):
        begin = int(rng.integers(len(data) + 1))
        end = min(begin + int(rng.integers(1, 20)), len(data))
        match rng.integers(5):
            case 0:
                data = data[:begin] + bytes(rng.integers(0, 256, end - begin, dtype=np.uint8)) + data[end:]
            case 1:
                data = data[:begin]
            case 2:
                data = data[:end] + data[begin:]
            case 3:
                data = data[:begin] + TOKENS[rng.integers(len(TOKENS))] + data[end:]
            case _:
                data = data[:begin] + TOKENS[rng.integers(len(TOKENS))] + data[begin:]
    return data


def run(inputs: int, seed: int) -> dict[str, int]:
    """Check mutations of the seeds; return how many of each kind were still valid."""
    rng, files = np.random.default_rng(seed), seeds()
    valid = dict.fromkeys(CHECKS, 0)
    for index in range(inputs):
        kind = list(CHECKS)[index % len(CHECKS)]
        data = mutated(files[kind], rng)
        try:
            valid[kind] += CHECKS[kind](data)
        except BaseException:
            print(f"{kind}, input {index} of seed {seed}: {data!r}", file=sys.stderr)
            raise
    return valid


def one_input(data: bytes) -> None:
    """Entry of atheris: the first byte chooses the reader."""
    if data:
        list(CHECKS.values())[data[0] % len(CHECKS)](data[1:])


def main() -> None:
    if atheris is not None and "--inputs" not in sys.argv:
        atheris.instrument_all()
        atheris.Setup(sys.argv, one_input)
        atheris.Fuzz()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"{args.inputs} inputs without a failure, still valid: {run(args.inputs, args.seed)}")


if __name__ == "__main__":
    main()
