"""Labels by Quantum ESPRESSO, through aiida-quantumespresso: an engine of one's own."""

from pathlib import Path

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from aiida.plugins import WorkflowFactory
from ase.stress import full_3x3_to_voigt_6_stress
from ase.units import GPa

from aiida_lpsgb.calculations.functions.labels import assemble
from aiida_lpsgb.calculations.protocols import merged
from aiida_lpsgb.labelling import levels
from aiida_lpsgb.labelling.vasp import site_order
from aiida_lpsgb.workflows.label.single_points import SinglePointsWorkChain


@calcfunction
def labels_of_pw(configurations, level_of_theory, **nodes):
    """Put the results of pw.x on the configurations they belong to."""

    def label(atoms, found):
        trajectory = found["output_trajectory"]
        # Atoms of a species are together in what pw.x was given: forces go back to the configuration's own order.
        order = np.argsort(site_order(atoms.get_chemical_symbols()))
        # With smearing, what pw.x calls the total energy is the free energy, whose slopes the forces are. Its stress is
        # positive where the cell wants to expand, which is the other sign than here.
        return {
            "energy": found["output_parameters"]["energy"],
            "forces": trajectory.get_array("forces")[-1][order],
            "stress": full_3x3_to_voigt_6_stress(-GPa * trajectory.get_array("stress")[-1]),
        }

    return assemble(configurations, level_of_theory.value, nodes, label)


class PwLabelWorkChain(SinglePointsWorkChain):
    """Label configurations with single points of pw.x."""

    CODE_PLUGIN = "quantumespresso.pw"
    LEVELS = levels.read(Path(__file__).with_name("quantum_espresso_levels.yaml"))
    DEFAULTS = {"parameters": {}, "kpoints": [1, 1, 1], "pseudos": None}
    PROCESS = WorkflowFactory("quantumespresso.pw.base")
    NAMESPACE = "pw_base"
    FILLED_IN = ("pw.structure",)
    READ = ("output_parameters", "output_trajectory")
    COLLECT = staticmethod(labels_of_pw)

    @classmethod
    def fill_builder(cls, builder, code, values, options):
        """Put the level of theory, pseudopotentials (element to UpfData) and options into a builder."""
        if not values["pseudos"]:
            raise ValueError("override 'pseudos' is needed: element to its UpfData")
        level = values["level"]
        parameters = merged(level["parameters"], values["parameters"])
        kpoints = orm.KpointsData()
        kpoints.set_kpoints_mesh(values["kpoints"])
        cutoff = parameters["SYSTEM"]["ecutwfc"]
        builder.level_of_theory = orm.Str(f"Quantum ESPRESSO {level['name']}, {cutoff} Ry, {values['kpoints']}")
        builder.pw_base.pw.code = code
        builder.pw_base.pw.parameters = orm.Dict(parameters)
        builder.pw_base.pw.pseudos = values["pseudos"]
        builder.pw_base.pw.metadata.options = {"resources": {"num_machines": 1}, **options}
        builder.pw_base.kpoints = kpoints

    def child_inputs(self, structure):
        """Return the inputs of a run, with the pseudopotentials of the elements that are there."""
        inputs = self.exposed_inputs(self.PROCESS, namespace=self.NAMESPACE)
        inputs.pw.structure = structure
        inputs.pw.pseudos = {kind: inputs.pw.pseudos[kind] for kind in structure.get_kind_names()}
        return inputs
