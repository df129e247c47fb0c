"""The program ``lpsgb-label``."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms

from aiida_lpsgb.labelling import container, labels
from aiida_lpsgb.labelling.calculators import level_of_theory
from aiida_lpsgb.labelling.cli import main


class Moody(Calculator):
    """Fails for one atom, is not finite for two, takes its time for three."""

    implemented_properties = ["energy", "forces"]

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        if len(atoms) == 1:
            raise RuntimeError("did not converge")
        if len(atoms) == 3:
            time.sleep(30)
        self.results = {"energy": np.nan if len(atoms) == 2 else 1.0, "forces": np.zeros((len(atoms), 3))}


@pytest.fixture
def moody(monkeypatch):
    """Make the calculator above importable, in this process and its children, and return its import path."""
    folder = str(Path(__file__).parent)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", folder)
    return {"calculator": "test_cli:Moody"}


EMT_PARAMETERS = {"calculator": "ase.calculators.emt:EMT"}


def rattled(count, size=2):
    images = []
    for seed in range(count):
        atoms = bulk("Cu", cubic=True).repeat((size, 1, 1))
        atoms.rattle(0.1, seed=seed)
        images.append(atoms)
    return images


@pytest.fixture
def files(tmp_path):
    """Return a factory that writes the input files and returns the arguments."""

    def factory(images, parameters=EMT_PARAMETERS):
        with (tmp_path / "in.npz").open("wb") as handle:
            container.write(handle, images)
        (tmp_path / "parameters.json").write_text(json.dumps(parameters))
        return [str(tmp_path / name) for name in ("in.npz", "parameters.json", "labels.jsonl")]

    return factory


def read(arguments):
    with open(arguments[2], encoding="utf-8") as stream:
        return labels.read(stream)


def test_labels_are_exact(files, capsys):
    images = rattled(3)
    arguments = files(images)
    assert main(arguments) == 0
    found = read(arguments)
    for index, atoms in enumerate(images):
        atoms.calc = EMT()
        assert found[index].values["energy"] == atoms.get_potential_energy()
        assert np.array_equal(found[index].values["forces"], atoms.get_forces())
        assert np.array_equal(found[index].values["stress"], atoms.get_stress())
    output = capsys.readouterr().out
    assert "3 of 3: " in output
    assert "done: 3 of 3 labelled" in output
    assert '"ase": ' in output


def test_constraints_do_not_touch_the_labels(files):
    free, fixed = rattled(1)[0], rattled(1)[0]
    fixed.set_constraint(FixAtoms([0]))
    assert np.array_equal(labels.compute(EMT(), fixed)["forces"], labels.compute(EMT(), free)["forces"])


def test_other_files_that_ase_reads(files, tmp_path):
    arguments = files(rattled(1))
    ase.io.write(tmp_path / "in.extxyz", rattled(2))
    assert main([str(tmp_path / "in.extxyz"), *arguments[1:]]) == 0
    assert len(read(arguments)) == 2


def test_a_failure_does_not_cost_the_others(files, capsys, moody):
    images = [bulk("Cu", cubic=True), bulk("Cu"), bulk("Cu").repeat((2, 1, 1)), bulk("Cu", cubic=True)]
    arguments = files(images, moody)
    assert main(arguments) == 2
    found = read(arguments)
    assert found[0].values["energy"] == found[3].values["energy"] == 1.0
    assert found[1].error == "RuntimeError: did not converge"
    assert (found[2].error, found[2].refused) == ("energy not finite", True)
    assert "stress" not in found[0].values
    assert "done: 2 of 4 labelled" in capsys.readouterr().out


def test_exploded_configurations_get_no_label(files, capsys):
    """Two atoms on top of each other, as an early potential may leave them, would spoil a training set."""
    images = rattled(2)
    images[1].positions[1] = images[1].positions[0] + [0.01, 0, 0]
    arguments = files(images)
    assert main(arguments) == 2
    found = read(arguments)
    assert found[0].values["energy"]
    assert "above max_force_ev_angstrom 200" in found[1].error
    arguments = files(images, EMT_PARAMETERS | {"max_force_ev_angstrom": 1e9})
    Path(arguments[2]).unlink()
    assert main(arguments) == 0


def test_out_of_time(files, capsys):
    arguments = files(rattled(3))
    assert main([*arguments, "--max-seconds", "0"]) == 3
    assert "not begun" in capsys.readouterr().out


def test_an_interrupted_run_goes_on(files, capsys):
    arguments = files(rattled(3))
    main(arguments)
    lines = Path(arguments[2]).read_text().splitlines(keepends=True)
    Path(arguments[2]).write_text(lines[0] + lines[1] + lines[2][:40])
    capsys.readouterr()
    assert main(arguments) == 0
    output = capsys.readouterr().out
    assert "1 of 3: " not in output
    assert "2 of 3: " in output
    assert sorted(read(arguments)) == [0, 1, 2]


def test_labels_of_other_configurations_are_not_taken(files, capsys):
    arguments = files(rattled(3))
    main(arguments)
    files(rattled(4))
    assert main(arguments) == 1
    assert "holds labels of other configurations" in capsys.readouterr().err
    assert len(read(arguments)) == 3


def test_a_kill_loses_nothing(files, moody):
    images = [bulk("Cu", cubic=True), bulk("Cu", cubic=True), bulk("Cu").repeat((3, 1, 1))]
    arguments = files(images, moody)
    command = [sys.executable, "-m", "aiida_lpsgb.labelling.cli", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(arguments[0]).parent)
    for line in process.stdout:
        if line.startswith("2 of 3"):
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert sorted(read(arguments)) == [0, 1]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "calculator is missing"),
        ({"calculator": "vasp"}, "calculator is 'vasp', expected chgnet, sevennet or the import path"),
        ({"calculator": "no.such:Thing"}, "No module named 'no'"),
        ({"calculator": "ase.calculators.emt:Thing"}, "no attribute 'Thing'"),
        ({"calculator": "ase.calculators.emt:EMT", "keywords": {"nothing": 1, "directory": 3}}, "does not start"),
        ({"calculator": "sevennet", "device": "cpu"}, "unknown keys ['device']"),
        ({"calculator": "sevennet", "keywords": []}, "keywords must be a dictionary"),
        ({"calculator": "sevennet", "dispersion": "d3bj"}, "dispersion is 'd3bj', expected such as"),
        ({"calculator": "chgnet", "max_force_ev_angstrom": 0}, "max_force_ev_angstrom is 0, expected a positive"),
        ([], "parameters must be a dictionary"),
    ],
)
def test_bad_parameters(files, capsys, parameters, message):
    assert main(files(rattled(1), parameters)) == 1
    error = capsys.readouterr().err
    assert error.startswith("ERROR: ")
    assert error.count("\n") == 1
    assert message in error


def test_a_file_without_configurations(files, capsys):
    arguments = files(rattled(1))
    empty = Path(arguments[0]).with_suffix(".extxyz")
    empty.touch()
    assert main([str(empty), *arguments[1:]]) == 1
    assert "cannot be read" in (error := capsys.readouterr().err) or "holds no configuration" in error


def test_bad_files(files, capsys, tmp_path):
    arguments = files(rattled(1))
    Path(arguments[0]).write_bytes(Path(arguments[0]).read_bytes()[:200])
    assert main(arguments) == 1
    assert "not a file of configurations" in capsys.readouterr().err
    assert main([str(tmp_path / "nothing.npz"), *arguments[1:]]) == 1
    assert "No such file" in capsys.readouterr().err
    (tmp_path / "text.xyz").write_text("no atoms")
    assert main([str(tmp_path / "text.xyz"), *arguments[1:]]) == 1
    assert "text.xyz cannot be read" in capsys.readouterr().err
    Path(arguments[1]).write_text("{")
    assert main(arguments) == 1
    assert "parameters.json is not JSON" in capsys.readouterr().err


def test_level_of_theory():
    assert level_of_theory({"calculator": "sevennet"}) == "SevenNet-0"
    assert level_of_theory({"calculator": "sevennet", "keywords": {"device": "cpu"}}) == "SevenNet-0"
    assert level_of_theory({"calculator": "chgnet", "keywords": {"a": 1}}) == "CHGNet(a=1)"
    dispersion = {"method": "pbe", "damping": "d3bj"}
    assert level_of_theory({"calculator": "chgnet", "dispersion": dispersion}) == "CHGNet + d3bj(PBE)"
    assert level_of_theory({"calculator": "a.b:C", "level_of_theory": "mine"}) == "mine"


@pytest.mark.parametrize("calculator", ["sevennet", "chgnet", "a.b:C"])
def test_level_of_theory_is_that_of_every_device(calculator):
    parameters = {"calculator": calculator, "keywords": {"a": 1}, "dispersion": {"method": "PBE", "damping": "d3bj"}}
    elsewhere = {**parameters, "keywords": {"a": 1, "device": "cuda", "use_device": "cuda"}}
    assert level_of_theory(elsewhere) == level_of_theory(parameters)
    assert level_of_theory({**parameters, "keywords": {"a": 2}}) != level_of_theory(parameters)
