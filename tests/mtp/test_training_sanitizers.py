"""Training's C++ under the address, undefined behaviour and thread sanitizers."""

import shutil
import subprocess
from pathlib import Path

import pytest

from aiida_lpsgb.mtp.basis import untrained

SOURCES = Path(__file__).parents[2] / "aiida_lpsgb" / "mtp" / "src"
NAMES = ("potential", "program", "neighbourhoods", "periodic", "training", "training_baseline")


@pytest.mark.slow
@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_nothing_is_found(tmp_path, sanitizers):
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    for name, level, n_species, size in (("a", 2, 1, 1), ("b", 6, 2, 3), ("c", 10, 3, 8)):
        untrained(level, n_species, 0.5, radial_basis_size=size, seed=1).write(tmp_path / name)
    command = [compiler, "-g", "-O1", "-std=c++17", f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", "-pthread"]
    command += ["-I", SOURCES, Path(__file__).with_name("training_check.cpp"), *(SOURCES / f"{n}.cpp" for n in NAMES)]
    subprocess.run([*command, "-o", tmp_path / "check"], check=True)
    done = subprocess.run([tmp_path / "check", *(tmp_path / name for name in "abc")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "finished" in done.stdout


@pytest.mark.slow
def test_shortlists_have_all_neighbours(tmp_path, data_path):
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    names = ("evaluator", "neighbourhoods", "shortlist", "program", "potential", "kernel_baseline")
    command = [compiler, "-g", "-O1", "-std=c++17", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command += ["-I", SOURCES, Path(__file__).with_name("shortlist_check.cpp"), *(SOURCES / f"{n}.cpp" for n in names)]
    subprocess.run([*command, "-o", tmp_path / "check"], check=True)
    potential = data_path / "mtp" / "li3ps4_level8.mtp"
    done = subprocess.run([tmp_path / "check", potential], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
