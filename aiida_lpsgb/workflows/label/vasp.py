"""Label configurations with VASP, through aiida-vasp: `lpsgb.label.vasp`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ProcessBuilder, ProcessSpec
from aiida.plugins import WorkflowFactory
from aiida_vasp.data.potcar import PotcarData

from aiida_lpsgb.calculations.functions.labels import labels_of_vasp
from aiida_lpsgb.calculations.protocols import merged
from aiida_lpsgb.labelling import levels, vasp
from aiida_lpsgb.workflows.label.single_points import SinglePointsWorkChain

#: What aiida-vasp needs to be told for a label. The forces are the slope of the free energy, which is not what it reads
#: by default. POSCAR holds every digit, since a label belongs to a configuration down to the last bit. A single point
#: has nothing that could converge ionically, which both the parser and the work chain ask about.
SETTINGS = {
    "parser_settings": {
        "energy_type": ["energy_free"],
        "check_ionic_convergence": False,
        "exclude_node": ["arrays"],
        "exclude_quantity": ["band_properties", "magnetization", "site_magnetization"],
    },
    "CHECK_IONIC_CONVERGENCE": False,
    "poscar_precision": 16,
}


class VaspLabelWorkChain(SinglePointsWorkChain):
    """Label configurations with single points of VASP."""

    CODE_PLUGIN = "vasp.vasp"
    LEVELS = levels.shipped("vasp")
    DEFAULTS = {
        "incar": {},
        "kpoints": None,
        "potential_family": None,
        "potential_mapping": None,
        "vdw_kernel": None,
        "settings": {},
        "max_iterations": 5,
        "level_of_theory": None,
    }
    PROCESS = WorkflowFactory("vasp.v2.vasp")
    NAMESPACE = "vasp"
    READ = ("misc",)
    COLLECT = staticmethod(labels_of_vasp)

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Say what the ports are for here."""
        super().define(spec)
        spec.inputs["vasp"]["parameters"].help = "INCAR tags under the key `incar`."
        spec.inputs["vasp"]["potential_family"].help = "Family of POTCARs (`aiida-vasp potcar uploadfamily`)."
        spec.inputs["vasp"]["potential_mapping"].help = "Element to the name of its POTCAR, such as `Li: Li_sv`."
        spec.inputs["vasp"][
            "vdw_kernel"
        ].help = "`vdw_kernel.bindat`, which VASP before 6.4.3 needs for vdW functionals."

    @classmethod
    def validate(cls, inputs: Mapping[str, Any], _: Any = None) -> str | None:
        """Refuse elements without a POTCAR before anything is submitted."""
        error = super().validate(inputs)
        if error or "configurations" not in inputs or "vasp" not in inputs:
            return error
        mapping = inputs["vasp"]["potential_mapping"].get_dict()
        family = inputs["vasp"]["potential_family"].value
        missing = [element for element in inputs["configurations"].elements if element not in mapping]
        if missing:
            return f"vasp.potential_mapping: names no POTCAR for {', '.join(missing)}"
        names = {mapping[element] for element in inputs["configurations"].elements}
        group = PotcarData.get_potcar_group(family)
        unknown = sorted(names - {node.full_name for node in group.nodes})
        return f"vasp.potential_mapping: the family {family} has no {', '.join(unknown)}" if unknown else None

    @classmethod
    def fill_builder(
        cls, builder: ProcessBuilder, code: orm.AbstractCode, values: dict[str, Any], options: dict[str, Any]
    ) -> None:
        """Put the level of theory, potentials and options into a builder.

        Overrides: `incar`, tags over those of the level; `kpoints`, a mesh or a spacing in 2π/Å; `potential_family` and
        `potential_mapping`, which have no default, since a level of theory is not known without them; `vdw_kernel`, a
        SinglefileData; `settings` over `SETTINGS`; `max_iterations`, how often aiida-vasp tries to mend one;
        `level_of_theory`, a name for the labels in place of the one that is made of all these.

        Raises
        ------
        ValueError
            If the family or the mapping is not given.
        """
        for key, example in (("potential_family", "PBE.54"), ("potential_mapping", "{Li: Li_sv, P: P, S: S}")):
            if not values[key]:
                raise ValueError(f"override {key!r} is needed: which POTCARs are to be used, such as {example}")
        level = values["level"]
        incar = {key.lower(): value for key, value in level["incar"].items()}
        changes = {key.lower(): value for key, value in values["incar"].items()}
        changed = {key: value for key, value in changes.items() if incar.get(key) != value}
        if values["kpoints"] is not None and values["kpoints"] != level["kpoints"]:
            changed["kpoints"] = values["kpoints"]
        family, mapping = values["potential_family"], values["potential_mapping"]

        name = values["level_of_theory"] or vasp.level_of_theory(level["name"], changed, family, mapping)
        builder.level_of_theory = orm.Str(name)
        builder.vasp.code = code
        builder.vasp.parameters = orm.Dict({"incar": incar | changes})
        builder.vasp.potential_family = orm.Str(family)
        builder.vasp.potential_mapping = orm.Dict(mapping)
        builder.vasp.max_iterations = orm.Int(values["max_iterations"])
        builder.vasp.settings = orm.Dict(merged(SETTINGS, values["settings"]))
        if values["vdw_kernel"] is not None:
            builder.vasp.vdw_kernel = values["vdw_kernel"]
        _set_kpoints(builder.vasp, values["kpoints"] if values["kpoints"] is not None else level["kpoints"])
        builder.vasp.calc.metadata.options = {"resources": {"num_machines": 1}, **options}


def _set_kpoints(builder: Any, kpoints: list[int] | float) -> None:
    if isinstance(kpoints, (int, float)):
        builder.kpoints_spacing = orm.Float(kpoints)
        return
    node = orm.KpointsData()
    node.set_kpoints_mesh(kpoints)
    builder.kpoints = node
