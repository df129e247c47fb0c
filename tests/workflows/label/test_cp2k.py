"""Labels by CP2K, the program itself."""

import shutil

import numpy as np
import pytest
from aiida.engine import run_get_node
from aiida.plugins import WorkflowFactory
from ase import Atoms
from ase.spacegroup import crystal

from aiida_lpsgb.data.configurations import ConfigurationsData

LabelWorkChain = WorkflowFactory("lpsgb.label")
STEP, STRAIN = 0.01, 0.002
# Fine enough that energies are smooth functions of positions.
FINE = {"DFT": {"MGRID": {"CUTOFF": 400}, "SCF": {"EPS_SCF": 1e-7}}}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("cp2k") is None, reason="CP2K is not installed: apt-get install cp2k"),
]


@pytest.fixture
def label(aiida_code_installed):
    """Return a function that labels configurations with the program."""

    def factory(images, force_eval=FINE, protocol="fast", **overrides):
        code = aiida_code_installed(
            label="cp2k", default_calc_job_plugin="lpsgb.label.cp2k", filepath_executable=shutil.which("cp2k")
        )
        builder = LabelWorkChain.get_builder_from_protocol(
            {"label": code},
            ConfigurationsData(images),
            protocol=protocol,
            overrides={"engine": {"force_eval": force_eval, **overrides}},
            options={"label": {"environment_variables": {"OMP_NUM_THREADS": "1"}, "withmpi": False}},
        )
        return run_get_node(builder)

    return factory


def hydrogen():
    """Return a stretched H₂ beside a helium in a sheared cell, which CP2K is given in another order."""
    positions = [[1.5, 1.4, 1.6], [0.0, 0.0, 0.0], [2.1, 1.6, 1.9]]
    return Atoms(["H", "He", "H"], positions, cell=[[4.0, 0.1, 0], [0, 4.0, 0], [0.3, 0, 4.0]], pbc=True)


def sulphide():
    """Return a disturbed primitive cell of Li₂S."""
    atoms = crystal(
        ["S", "Li"], [(0, 0, 0), (0.25, 0.25, 0.25)], spacegroup=225, cellpar=[5.72] * 3 + [90] * 3, primitive_cell=True
    )
    atoms.rattle(0.1, seed=1)
    return Atoms(atoms.get_chemical_symbols(), atoms.positions, cell=atoms.cell, pbc=True)


def moved(atoms, index, axis, by):
    copy = atoms.copy()
    copy.positions[index, axis] += by
    return copy


def strained(atoms, i, j, by):
    strain = np.eye(3)
    strain[i, j] += by / 2
    strain[j, i] += by / 2
    copy = atoms.copy()
    copy.set_cell(copy.cell.array @ strain, scale_atoms=True)
    return copy


@pytest.mark.parametrize(("make", "protocol"), [(hydrogen, "fast"), (hydrogen, "moderate"), (sulphide, "fast")])
def test_forces_and_stress_are_the_slopes_of_the_energy(label, make, protocol):
    """By both levels of theory, for atoms of either kind, stretching and shear."""
    base = make()
    last = len(base) - 1
    pairs = [(moved(base, 0, 0, sign * STEP), moved(base, last, 2, sign * STEP)) for sign in (-1, 1)]
    shears = [(strained(base, 0, 0, sign * STRAIN), strained(base, 1, 2, sign * STRAIN)) for sign in (-1, 1)]
    outputs, node = label([base, *pairs[0], *pairs[1], *shears[0], *shears[1]], protocol=protocol)
    assert node.is_finished_ok, node.exit_message
    labelled = list(outputs["configurations"])
    energies = [atoms.get_potential_energy() for atoms in labelled]
    first = labelled[0]
    assert first.get_chemical_symbols() == base.get_chemical_symbols()
    for k, (index, axis) in enumerate([(0, 0), (last, 2)]):
        slope = (energies[3 + k] - energies[1 + k]) / (2 * STEP)
        assert first.get_forces()[index, axis] == pytest.approx(-slope, abs=2e-2)
    for k, voigt in enumerate([0, 3]):
        slope = (energies[7 + k] - energies[5 + k]) / (2 * STRAIN) / first.get_volume()
        assert first.get_stress()[voigt] == pytest.approx(slope, abs=2e-3, rel=0.05)
    largest = np.abs(first.get_forces()).max(), np.abs(first.get_stress()).max()
    # What is compared is far larger than what is tolerated.
    assert largest[0] > 0.2
    assert largest[1] > 0.01


def test_two_compositions(label):
    """`lpsgb.label` gives each composition a run of its own and puts the labels back in order."""
    images = [hydrogen(), sulphide(), moved(hydrogen(), 0, 0, 0.1)]
    outputs, node = label(images, {"DFT": {"MGRID": {"CUTOFF": 150}}}, basis_set="SZV-MOLOPT-SR-GTH")
    assert node.is_finished_ok, node.exit_message
    jobs = [run for run in node.called if run.process_label == "Cp2kLabelCalculation"]
    assert sorted(len(job.inputs.configurations) for job in jobs) == [1, 2]
    for labelled, image in zip(outputs["configurations"], images, strict=True):
        assert np.array_equal(labelled.positions, image.positions)
    assert outputs["configurations"].level_of_theory == "CP2K PBE(CUTOFF=150), SZV-MOLOPT-SR-GTH GTH-PBE"


def test_electrons_that_do_not_converge_are_no_label(label):
    outputs, node = label([hydrogen()], {"DFT": {"MGRID": {"CUTOFF": 150}, "SCF": {"MAX_SCF": 2}}})
    assert node.exit_status == LabelWorkChain.exit_codes.ERROR_NO_LABELS.status
    assert "0: the electrons did not converge" in node.exit_message
    assert "configurations" not in outputs
    # It would not converge the next time either.
    assert len([run for run in node.called if run.process_label == "Cp2kLabelCalculation"]) == 1


def test_an_input_that_the_program_refuses(label):
    _, node = label([hydrogen()], basis_set="NO-SUCH-BASIS")
    assert node.exit_status == LabelWorkChain.exit_codes.ERROR_NO_LABELS.status
    assert "[310] CP2K stopped" in node.exit_message
