"""What `lpsgb.transport_run` makes of parts that fail, from stand-ins of its children."""

import pytest
from aiida import orm
from aiida.common import LinkType
from aiida.engine import ProcessState
from aiida.plugins import DataFactory
from ase.build import bulk

from aiida_lpsgb.analysis.trajectory import Trajectory

STAGES = [{"ensemble": "nvt", "temperature_K": 900, "duration_ps": 20, "dump_interval_ps": 0.1}]
MOTION = {"diffusivity": {"species": "Li"}}
SCALARS = {
    "diffusivity_cm2_s": 1e-5,
    "uncertainty_cm2_s": 9e-6,
    "upper_limit_cm2_s": 3e-5,
    "diffusive": False,
    "verdict": "not diffusive yet",
    "temperature_K": 900.0,
    "species": "Li",
    "region": "all",
    "estimator": "windowed_msd_gls",
    "direction": "xyz",
    "duration_ps": 20.0,
}
BLOWN = "Non-finite energy, pressure or position at step 42200."


@pytest.fixture
def process(aiida_profile_clean, generate_workchain, generate_potential, installed_code, monkeypatch):
    """Return a factory of runs with a budget that are set up; what they submit ends up in ``submitted``."""

    def factory(structural=None, budget=True, max_production_ps=100):
        md = {
            "code": installed_code("lmp", "lpsgb.md"),
            "structure": orm.StructureData(ase=bulk("Li")),
            "potential": generate_potential(),
            "parameters": orm.Dict({"stages": STAGES}),
            "seed": orm.Int(1),
        }
        analyse = {
            "code": installed_code("lpsgb-analyse", "lpsgb.analyse"),
            "parameters": orm.Dict({**MOTION, **(structural or {})}),
        }
        judged = {
            "motion": orm.Dict(MOTION),
            "budget": orm.Dict({"target_relative_error": 0.1, "max_production_ps": max_production_ps}),
        }
        inputs = {"md": {"md": md}, "analyse": analyse, **(judged if budget else {})}
        run = generate_workchain("lpsgb.transport_run", inputs)
        run.submitted = []
        monkeypatch.setattr(run, "submit", lambda cls, **given: run.submitted.append(given))
        monkeypatch.setattr(run, "to_context", lambda **_: None)
        run.setup()
        return run

    return factory


def ended(label, outputs, exit_status=0, message=""):
    """Store a process that ended so with some outputs, by the paths of their ports."""
    node = orm.WorkChainNode()
    node.set_process_label(label)
    node.set_process_state(ProcessState.FINISHED)
    node.set_exit_status(exit_status)
    node.set_exit_message(message)
    node.store()
    for path, output in outputs.items():
        output.store().base.links.add_incoming(node, LinkType.RETURN, path.replace(".", "__"))
    return node


def segment():
    frames = Trajectory.from_ase([bulk("Li", cubic=True)] * 2, interval_ps=0.1)
    return DataFactory("lpsgb.trajectory")(frames, "nvt", 900.0, 1.0)


@pytest.fixture
def part(aiida_localhost):
    """Return a factory of parts of the dynamics; one that failed may lack any output."""

    def factory(exit_status=0, message="", without=(), **changed):
        outputs = {
            "parameters": orm.Dict({"stages": STAGES, **changed}),
            "results": orm.Dict({"steps": 1}),
            "structure": orm.StructureData(ase=bulk("Li")),
            "trajectories.segment_000": segment(),
            "remote_folder": orm.RemoteData("/nowhere", computer=aiida_localhost),
        }
        kept = {name: node for name, node in outputs.items() if name not in without}
        return ended("MdBaseWorkChain", kept, exit_status, message)

    return factory


def analysis(exit_status=0, message="", **more):
    outputs = {"diffusivity": DataFactory("lpsgb.diffusivity")(SCALARS), "summary": orm.Dict({}), **more}
    return ended("AnalyseCalculation", outputs if not exit_status else {}, exit_status, message)


def go(run, first):
    """Run a first part, look at it, and find that it is to go on."""
    run.run_dynamics()
    run.ctx.dynamics = first
    assert run.inspect_run() is None
    run.look()
    run.ctx.analysis = analysis()
    run.judge()
    assert run.goes_on()
    run.run_dynamics()


@pytest.mark.parametrize(
    "without",
    [(), ("structure",), ("structure", "results"), ("structure", "results", "trajectories.segment_000")],
)
def test_extension_that_fails(process, part, without):
    run, first = process(), part()
    go(run, first)
    run.ctx.dynamics = part(410, BLOWN, without)
    code = run.inspect_run()
    assert code.status == run.exit_codes.ERROR_RUN_FAILED.status
    assert "after 20 ps that ended well and are analysed: MdBaseWorkChain" in code.message
    assert code.message.endswith(f"[410] {BLOWN}")
    # The blow-up is handed out, and its atoms, that fly apart, are no diffusivity.
    looks = [given for given in run.submitted if "trajectories" in given]
    assert len(looks) == 1
    assert list(looks[0]["trajectories"]) == ["segment_000"]
    assert len(run.outputs["trajectories"]) == (1 if "trajectories.segment_000" in without else 2)
    last = first if "structure" in without else run.ctx.dynamics
    assert run.outputs["structure"].uuid == last.outputs.structure.uuid
    assert list(run.outputs["results"]) == ["part_0"] + ([] if "results" in without else ["part_1"])
    assert run.outputs["diffusivity"].uuid == run.ctx.analysis.outputs.diffusivity.uuid
    assert run.outputs["judgement"]["known"] is False


def test_extension_that_was_lost(process, part):
    """One that excepted has no output at all."""
    run = process()
    go(run, part())
    run.ctx.dynamics = ended("MdBaseWorkChain", {})
    run.ctx.dynamics.set_process_state(ProcessState.EXCEPTED)
    code = run.inspect_run()
    assert code.status == run.exit_codes.ERROR_RUN_FAILED.status
    assert "diffusivity" in run.outputs


@pytest.mark.parametrize("without", [(), ("structure",), ("structure", "results", "trajectories.segment_000")])
@pytest.mark.parametrize("budget", [True, False])
def test_first_part_that_fails_leaves_what_it_has(process, part, budget, without):
    run = process(budget=budget)
    run.run_dynamics()
    run.ctx.dynamics = part(410, BLOWN, without)
    code = run.inspect_run()
    assert code.message.startswith("The dynamics failed: MdBaseWorkChain")
    assert [name for name in ("structure", "results") if name in run.outputs] == [
        name for name in ("structure", "results") if name not in without
    ]
    assert "diffusivity" not in run.outputs
    assert len(run.submitted) == 1


def test_look_that_fails_is_told_as_an_analysis(process, part):
    run = process(structural={"rdf": {}})
    run.run_dynamics()
    run.ctx.dynamics = part()
    run.inspect_run()
    run.look()
    run.ctx.analysis = analysis(310, "The program stopped: no memory")
    run.judge()
    assert not run.goes_on()
    run.analyse()
    run.ctx.analysis = analysis()
    code = run.finish()
    assert code.status == run.exit_codes.ERROR_ANALYSIS_FAILED.status
    assert "no memory" in code.message
    assert {"diffusivity", "structure", "trajectories"} <= set(run.outputs)


def test_run_that_is_known_is_not_analysed_twice(process, part):
    run = process()
    run.run_dynamics()
    run.ctx.dynamics = part()
    run.inspect_run()
    run.look()
    run.ctx.analysis = analysis()
    run.ctx.over = True
    run.analyse()
    assert len(run.submitted) == 2
    assert run.finish() is None


def test_the_last_look_that_the_budget_leaves_is_the_whole_analysis(process, part):
    run = process(structural={"rdf": {}}, max_production_ps=40)
    go(run, part())
    run.ctx.dynamics = part(stages=[{**STAGES[0], "duration_ps": 40}])
    assert run.inspect_run() is None
    run.look()
    run.ctx.analysis = analysis()
    run.judge()
    assert not run.goes_on()
    run.analyse()
    looks = [given["parameters"].get_dict() for given in run.submitted if "trajectories" in given]
    assert [sorted(look) for look in looks] == [["diffusivity"], ["diffusivity", "rdf"]]
    assert run.finish() is None


def test_a_run_is_extended_with_the_time_step_it_was_made_with(process, part):
    run = process()
    go(run, part(timestep_fs=1.0))
    first, _, extension = run.submitted
    assert "timestep_fs" not in first["md"]["parameters"].get_dict()
    assert extension["md"]["parameters"]["timestep_fs"] == 1.0
