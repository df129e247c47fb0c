"""A million damaged potentials, active sets and configurations, under sanitizers of addresses and behaviour."""

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from aiida_lpsgb.mtp.basis import untrained
from aiida_lpsgb.mtp.configurations import read_cfg, write_cfg
from aiida_lpsgb.mtp.selection import ActiveSet

SOURCES = Path(__file__).parents[2] / "aiida_lpsgb" / "mtp" / "src"
INPUTS = 1_000_000


def random_potential(level, n_species, **options):
    mtp = untrained(level, n_species, **options)
    return mtp.with_parameters(np.random.default_rng(level).normal(size=mtp.n_parameters))


def write_seeds(folder):
    """Small files: the smaller, the more of them is reached."""
    seeds = {
        "level2.mtp": random_potential(2, 1),
        "level6.mtp": random_potential(6, 2),
        "untrained.mtp": untrained(8, 1),
    }
    for name, mtp in seeds.items():
        mtp.write(folder / name)
    mtp = random_potential(2, 1, radial_basis_size=2)
    rows = np.random.default_rng(0).normal(size=(mtp.n_parameters, mtp.n_parameters))
    inverse = np.ascontiguousarray(np.linalg.inv(rows).T)
    weights = np.array([0.0, 1.0, 0.0, 0.0])
    content = mtp.to_string().rstrip().encode() + b"\n^" + weights.tobytes() + b"\n#" + rows.tobytes()
    (folder / "set.als").write_bytes(content + inverse.tobytes())
    head = b"#MVS_v1.1\nenergy_weight 1\nforce_weight 0\nstress_weight 0\nsite_en_weight 0\nweight_scaling 1\n#"
    (folder / "set.almtp").write_bytes(mtp.to_string().encode() + head + rows.tobytes() + inverse.tobytes())
    write_configurations(folder)
    (folder / "whole.als").write_bytes(selected(mtp, folder / "text.cfg"))
    names = ("set.als", "set.almtp", "whole.als", "text.cfg", "binary.cfg")
    return [folder / name for name in (*seeds, *names)]


def write_configurations(folder):
    atoms = Atoms("LiP", [[0, 0, 0], [1, 2, 3]], cell=[[4, 0, 0], [0.5, 5, 0], [0, 0, 6]], pbc=True)
    atoms.calc = SinglePointCalculator(atoms, energy=-1.5, forces=np.ones((2, 3)), stress=np.ones(6))
    atoms.info = {"mv_grade": 1.25, "features": {"two words": "first\nsecond"}}
    atoms.set_array("nbh_grades", np.array([1.25, 1.5]))
    write_cfg(folder / "text.cfg", [atoms, Atoms("Li")], ["Li", "P"])
    number = struct.Struct("i").pack
    fields = b"l" + atoms.cell.array.tobytes() + b"p" + atoms.positions.tobytes() + b"t" + number(0) + number(1)
    features = b"F" + number(1) + b"a" + number(2) + b"bc"
    (folder / "binary.cfg").write_bytes(
        b"n" + number(2) + fields + b"s" + np.ones(6).tobytes() + b"e" + np.ones(1).tobytes() + features + b"#"
    )


def selected(mtp, path):
    """An active set with its configurations."""
    active = ActiveSet(mtp, ["Li"])
    atoms = read_cfg(path, ["Li", "Li"])[0]
    active.extend([atoms])
    active.write(path.with_suffix(".als"))
    return path.with_suffix(".als").read_bytes()


@pytest.mark.slow
def test_readers_survive_damaged_files(tmp_path):
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    names = (
        "potential",
        "active_set",
        "configurations",
        "selection",
        "training",
        "training_baseline",
        "program",
        "neighbourhoods",
        "periodic",
        "evaluator",
        "shortlist",
        "kernel_baseline",
    )
    command = [compiler, "-g", "-O1", "-std=c++17", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command += ["-I", SOURCES, Path(__file__).with_name("fuzz_readers.cpp"), *(SOURCES / f"{n}.cpp" for n in names)]
    subprocess.run([*command, "-o", tmp_path / "fuzz"], check=True)
    run = [tmp_path / "fuzz", str(INPUTS), "1", *write_seeds(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"{INPUTS} inputs, nothing found" in done.stdout
