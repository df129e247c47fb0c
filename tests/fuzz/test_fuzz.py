"""A million damaged potentials and active sets, under AddressSanitizer and UndefinedBehaviorSanitizer."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from aiida_lpsgb.mtp.basis import untrained

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
    return [*(folder / name for name in seeds), folder / "set.als", folder / "set.almtp"]


@pytest.mark.slow
def test_readers_survive_damaged_files(tmp_path):
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    names = ("potential", "active_set", "program", "neighbourhoods", "periodic", "evaluator", "kernel_baseline")
    command = [compiler, "-g", "-O1", "-std=c++17", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command += ["-I", SOURCES, Path(__file__).with_name("fuzz_readers.cpp"), *(SOURCES / f"{n}.cpp" for n in names)]
    subprocess.run([*command, "-o", tmp_path / "fuzz"], check=True)
    run = [tmp_path / "fuzz", str(INPUTS), "1", *write_seeds(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"{INPUTS} inputs, nothing found" in done.stdout
