"""Which ends of a job are remembered: the cache must not serve a passing fault for ever."""

import pytest
from aiida.engine import CalcJob
from aiida.plugins import CalculationFactory
from aiida.plugins.entry_point import get_entry_point_names

# True: a passing fault of the machine, the scheduler or the network, or of a job's luck with it; another try may do
# better, so the result is not taken from the cache. False: what the inputs give, every time.
OF_EVERY_JOB = {
    "ERROR_UNSPECIFIED": True,
    "ERROR_LEGACY_FAILURE": True,
    "ERROR_INVALID_OUTPUT": True,
    "ERROR_MISSING_OUTPUT": True,
    "ERROR_NO_RETRIEVED_FOLDER": True,
    "ERROR_SCHEDULER_OUT_OF_MEMORY": True,
    "ERROR_SCHEDULER_OUT_OF_WALLTIME": True,
    "ERROR_SCHEDULER_INVALID_ACCOUNT": True,
    "ERROR_SCHEDULER_NODE_FAILURE": True,
    "STOPPED_BY_MONITOR": True,
    "ERROR_STASHING_FAILED": True,
    # Every program of ours: a faulty node or library, and a want of memory, are causes as well as the input.
    "ERROR_CRASHED": True,
    "ERROR_KILLED": True,
}
OF_MLP = {
    "ERROR_OUTPUT_MISSING": True,  # killed, or the disk was full
    "ERROR_OUTPUT_INCOMPLETE": True,
    "ERROR_MLP": True,  # its messages do not tell memory and disk from the input
    "ERROR_OUT_OF_WALLTIME": True,
}
DECISIONS = {
    "lpsgb.md": {
        "ERROR_NO_LOG": True,
        "EXTRAPOLATION_BREAK": False,  # the potential extrapolates
        "ERROR_LOST_ATOMS": False,  # the dynamics is unstable
        "ERROR_NON_FINITE": False,
        "ERROR_TEMPERATURE": False,
        "ERROR_LAMMPS": False,  # LAMMPS refuses the input; faults of the machine are ERROR_MACHINE
        "ERROR_MACHINE": True,
        "ERROR_RESTART": True,  # the folder was cleaned, or a file cut
        "ERROR_NOT_MINIMISED": False,  # `max_steps` were too few
        "ERROR_OUT_OF_WALLTIME": True,
        "ERROR_INTERRUPTED": True,
        "ERROR_OUTPUT_INCOMPLETE": True,
    },
    "lpsgb.mlp.train": {**OF_MLP, "ERROR_INVALID_POTENTIAL": False},  # the training diverged
    "lpsgb.mlp.grade": OF_MLP,
    "lpsgb.mlp.select": OF_MLP,
    "lpsgb.mlp.errors": OF_MLP,
    "lpsgb.mlp.predict": OF_MLP,
    "lpsgb.label.ase": {
        "ERROR_OUTPUT_MISSING": True,
        "ERROR_INTERRUPTED": True,
        "ERROR_LABEL_PROGRAM": True,
        "ERROR_ALL_FAILED": True,  # perhaps by the memory of the GPU
        "ERROR_SOME_FAILED": True,
        "ERROR_REFUSED": False,  # forces beyond use: the engine would say the same again
        "ERROR_OUT_OF_WALLTIME": True,
    },
    "lpsgb.relax": {
        "ERROR_OUTPUT_MISSING": True,
        "ERROR_INTERRUPTED": True,
        "ERROR_LABEL_PROGRAM": True,
        "ERROR_ALL_FAILED": True,
        "ERROR_SOME_FAILED": True,
        "ERROR_REFUSED": False,  # what does not come to rest would not another time either
        "ERROR_OUT_OF_WALLTIME": True,
    },
    "lpsgb.label.cp2k": {
        "ERROR_OUTPUT_MISSING": True,
        "ERROR_INTERRUPTED": True,
        "ERROR_ABORTED": True,  # its messages do not tell memory and disk from the input
        "ERROR_NOT_CONVERGED": False,
        "ERROR_OUT_OF_WALLTIME": True,
    },
    "lpsgb.dynamics": {
        "ERROR_OUTPUT_MISSING": True,
        "ERROR_INTERRUPTED": True,
        "ERROR_PROGRAM": True,
        "ERROR_EXPLODED": False,
        "ERROR_OUT_OF_WALLTIME": True,
    },
    "lpsgb.analyse": {
        "ERROR_OUTPUT_MISSING": True,
        "ERROR_INTERRUPTED": True,
        "ERROR_PROGRAM": True,
        "ERROR_TRAJECTORIES": False,  # segments of several runs
        "ERROR_OBSERVABLES_REFUSED": False,
        "ERROR_OBSERVABLES_FAILED": True,
    },
}


def calcjobs():
    names = [name for name in get_entry_point_names("aiida.calculations") if name.startswith("lpsgb.")]
    classes = {name: CalculationFactory(name) for name in names}
    return {name for name, cls in classes.items() if isinstance(cls, type) and issubclass(cls, CalcJob)}


def test_every_calcjob_is_decided_on():
    assert calcjobs() == set(DECISIONS)


@pytest.mark.parametrize("name", sorted(DECISIONS))
def test_every_exit_code_is_decided_on(name):
    codes = {label: code.invalidates_cache for label, code in CalculationFactory(name).exit_codes.items()}
    assert codes == OF_EVERY_JOB | DECISIONS[name]
