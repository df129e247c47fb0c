"""From a crystal, an axis and a plane to the relaxed boundary of lowest energy: `lpsgb.grain_boundary`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, while_
from aiida.plugins import CalculationFactory, WorkflowFactory

from aiida_lpsgb.calculations import validation
from aiida_lpsgb.calculations.functions.structure_requests import boundary_request_error, rattle_request_error
from aiida_lpsgb.calculations.potentials import POTENTIAL_TYPES, is_mtp
from aiida_lpsgb.workflows.md import MD_FILLED_IN, inputs_of_run, validate_relaxation
from aiida_lpsgb.workflows.outputs import how_it_ended
from aiida_lpsgb.workflows.protocols import ProtocolMixin, fill_in, fill_job
from aiida_lpsgb.workflows.queue import QueueMixin

MdBaseWorkChain = WorkflowFactory("lpsgb.md.base")
bicrystal = CalculationFactory("lpsgb.bicrystal")
boundary_energies = CalculationFactory("lpsgb.boundary_energies")
lowest_of = CalculationFactory("lpsgb.lowest")
rattle = CalculationFactory("lpsgb.rattle")


class GrainBoundaryWorkChain(ProtocolMixin, QueueMixin):
    """Relax the crystal, build candidate bicrystals of it, relax them, and keep the one of lowest energy."""

    OPEN_ENTRIES = ("boundary", "rattle")

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        spec.input("structure", valid_type=orm.StructureData, help="The crystal, ordered.")
        spec.input(
            "parent",
            valid_type=(orm.StructureData, orm.CifData),
            required=False,
            help="The crystal before it was ordered, such as its CIF with partial occupancies: indices refer to its "
            "cell, and its symmetry counts. If not given, those of `structure`.",
        )
        spec.input(
            "potential",
            valid_type=POTENTIAL_TYPES,
            help="As `lpsgb.md` takes it. Shifts and gaps are ranked by a moment tensor potential, else by density.",
        )
        spec.input(
            "boundary",
            valid_type=orm.Dict,
            validator=validate_boundary,
            help="Parameters of `lpsgb.bicrystal`: axis, plane, kind, n_candidates, width …",
        )
        spec.input(
            "rattle",
            valid_type=orm.Dict,
            validator=validate_rattle,
            help="Parameters of `lpsgb.rattle`: amplitude and number of the copies of the crystal that are relaxed.",
        )
        spec.input("seed", valid_type=orm.Int, help="Seed of the rattle, and of velocities should a stage need some.")
        for name, relaxed in {"bulk": "crystal", "relaxation": "bicrystals"}.items():
            spec.input(
                name,
                valid_type=orm.Dict,
                validator=validate_relaxation,
                help=f"Parameters of `lpsgb.md` that relax the {relaxed}.",
            )
        cls.limit_queue(spec, "Runs")
        spec.expose_inputs(MdBaseWorkChain, namespace="md", exclude=MD_FILLED_IN)
        spec.inputs.validator = validate_inputs

        spec.outline(
            cls.rattle_bulk,
            while_(cls.queue_waits)(cls.run_queue),
            cls.build_candidates,
            while_(cls.queue_waits)(cls.run_queue),
            cls.compare,
        )

        spec.output(
            "bulk", valid_type=orm.StructureData, required=False, help="The relaxed crystal, the lowest of its copies."
        )
        spec.output("structure", valid_type=orm.StructureData, help="The relaxed bicrystal of lowest energy.")
        spec.output(
            "results",
            valid_type=orm.Dict,
            help="Energy of every candidate in J/m², with its orientation, strain, cut, shift and regions; `lowest`.",
        )
        spec.output_namespace("relaxed", valid_type=orm.StructureData, help="Every candidate, relaxed.")
        spec.exit_code(401, "ERROR_BULK_FAILED", message="The crystal could not be relaxed: {detail}")
        spec.exit_code(402, "ERROR_ALL_FAILED", message="No candidate could be relaxed; the last one: {detail}")
        spec.exit_code(403, "ERROR_REFUSED", message="The relaxed crystal has no such boundary: {detail}")

    @classmethod
    def get_builder_from_protocol(
        cls,
        codes: Mapping[str, orm.AbstractCode],
        structure: orm.StructureData | None = None,
        potential: orm.Data | None = None,
        *,
        boundary: Mapping[str, Any] | None = None,
        parent: orm.StructureData | orm.CifData | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        seed: orm.Int | None = None,
        path: str = "",
    ) -> Any:
        """Builder with the numbers of a protocol.

        Parameters
        ----------
        codes
            By role: `md` (LAMMPS); see `load_codes`.
        structure, potential
            The ordered crystal, and the potential that relaxes it; left out where a parent fills them in.
        boundary
            At least `axis` and `plane`; further parameters of `lpsgb.bicrystal` replace the protocol's. Left out where
            a parent fills it in.
        parent
            The crystal before it was ordered.
        protocol, overrides, options, path
            As of `get_protocol_inputs`; the role of `options` is `md`.
        seed
            Drawn once and stored where not given.
        """
        values = cls.get_protocol_inputs(protocol, overrides, options, path)
        builder = cls.get_builder()
        fill_in(builder, structure=structure, potential=potential, parent=parent)
        if boundary is not None:
            builder.boundary = orm.Dict({**values["boundary"], **boundary})
        builder.rattle = orm.Dict(values["rattle"])
        builder.seed = seed or cls.draw_seed()
        builder.bulk = orm.Dict(values["bulk"])
        builder.relaxation = orm.Dict(values["relaxation"])
        builder.max_concurrent = orm.Int(values["max_concurrent"])
        fill_job(builder.md.md, codes, values, "md")
        return cls.checked(builder)

    def rattle_bulk(self) -> None:
        """Queue relaxations of the crystal off its symmetry.

        Ordered sites may be a saddle point that a boundary would relieve, and there may be several minima around it.
        """
        copies = rattle(self.inputs.structure, self.inputs.rattle, self.inputs.seed)
        self._queue({f"bulk_{name}": copy for name, copy in copies.items()}, self.inputs.bulk)

    def build_candidates(self) -> ExitCode | None:
        """Cut and join the lowest crystal where the potential is lowest, and queue the relaxations.

        The crystal before it was relaxed, or ordered, is its parent, so that angles and the equivalence of both
        boundaries are those of its full symmetry.
        """
        relaxed = self.ended_well("was not relaxed")
        if not relaxed:
            return self.exit_codes.ERROR_BULK_FAILED.format(detail=self._last_end())
        choice = lowest_of(**{label: run.outputs.results for label, run in relaxed.items()})
        self.ctx.bulk = relaxed[choice["lowest"]]
        bulk = self.ctx.bulk.outputs.structure
        self.out("bulk", bulk)
        ranking = {"potential": self.inputs.potential} if is_mtp(self.inputs.potential) else {}
        parent = self.inputs.get("parent", self.inputs.structure)
        built, node = bicrystal.run_get_node(bulk, self.inputs.boundary, parent=parent, **ranking)
        if not node.is_finished_ok:
            return self.exit_codes.ERROR_REFUSED.format(detail=node.exit_message)
        candidates = {"candidate_0": built["structure"], **built.get("others", {})}
        self.ctx.descriptions = built["results"]
        first = built["results"]["candidates"][0]
        self.report(
            f"{len(candidates)} candidates of {first['n_atoms']} atoms, true angle {first['true_angle_deg']:.2f}°, "
            f"area {first['area_A2']:.0f} Å², strain {first['max_strain']:.2%}"
        )
        for note in first["notes"]:
            self.report(note)
        self._queue(candidates, self.inputs.relaxation)
        return None

    def compare(self) -> ExitCode | None:
        """Compute the boundary energies and hand on the lowest."""
        relaxed = self.ended_well("was not relaxed")
        if not relaxed:
            return self.exit_codes.ERROR_ALL_FAILED.format(detail=self._last_end())
        for label, run in relaxed.items():
            self.out(f"relaxed.{label}", run.outputs.structure)
        results = boundary_energies(
            self.ctx.descriptions,
            self.ctx.bulk.outputs.results,
            self.ctx.bulk.outputs.structure,
            **{label: run.outputs.results for label, run in relaxed.items()},
        )
        lowest = results["lowest"]
        self.out("results", results)
        self.out("structure", relaxed[lowest].outputs.structure)
        self.report(f"{lowest} is lowest: {results['energies_J_m2'][lowest]:.3f} J/m²")
        return None

    def _queue(self, structures: Mapping[str, orm.StructureData], parameters: orm.Dict) -> None:
        """Queue a relaxation of each structure."""
        shared = {"potential": self.inputs.potential, "parameters": parameters, "seed": self.inputs.seed}
        runs = {label: inputs_of_run(self, structure=structure, **shared) for label, structure in structures.items()}
        self.fill_queue(MdBaseWorkChain, runs)

    def _last_end(self) -> str:
        return how_it_ended(list(self.ctx.children.values())[-1])


def validate_boundary(node: orm.Dict, _: Any) -> str | None:
    """Axis and plane must be given and every key known."""
    return boundary_request_error(node.get_dict())


def validate_rattle(node: orm.Dict, _: Any) -> str | None:
    """The amplitude must be given."""
    return rattle_request_error(node.get_dict())


def validate_inputs(inputs: Mapping[str, Any], _: Any) -> str | None:
    """The potential must know the crystal, and the crystal must have such a boundary."""
    if any(key not in inputs for key in ("structure", "potential", "boundary")):
        return None  # the ports themselves complain
    if message := validation.md_inputs_error(inputs["structure"], inputs["potential"]):
        return message
    return boundary_request_error(inputs["boundary"].get_dict(), inputs["structure"], inputs.get("parent"))
