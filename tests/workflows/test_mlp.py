"""The work chain that trains and mends."""

import pytest
from aiida import orm
from aiida.common import LinkType
from aiida.engine import run_get_node
from aiida.plugins import CalculationFactory, WorkflowFactory

MlpTrainBaseWorkChain = WorkflowFactory("lpsgb.mlp.train.base")
CODES = CalculationFactory("lpsgb.mlp.train").exit_codes


@pytest.fixture
def inputs(generate_potential, generate_configurations, installed_code, metadata):
    return {
        "mlp": {
            "code": installed_code("lpsgb-mlp", "lpsgb.mlp.train"),
            "potential": generate_potential(trained=False),
            "training_sets": {"start": generate_configurations(4)},
            "parameters": orm.Dict({"max_iter": 3}),
            "metadata": metadata,
        }
    }


@pytest.fixture
def finished(generate_calc_job_node, generate_potential):
    """Return a factory of finished trainings with given outputs."""

    def factory(exit_code=None, potential=None, converged=None):
        node = generate_calc_job_node("lpsgb.mlp.train")
        node.set_exit_status(exit_code.status if exit_code else 0)
        node.set_exit_message(exit_code.message if exit_code else "")
        outputs = {"potential": potential}
        if converged is not None:
            outputs["results"] = orm.Dict({"converged": converged})
        for label, output in outputs.items():
            if output is not None:
                output.base.links.add_incoming(node, link_type=LinkType.CREATE, link_label=label)
                output.store()
        return node

    return factory


@pytest.fixture
def process(generate_workchain, inputs):
    """Return a factory of work chains that are set up."""

    def factory(**more):
        process = generate_workchain("lpsgb.mlp.train.base", inputs | more)
        process.setup()
        return process

    return factory


def test_out_of_walltime(process, finished, generate_potential):
    chain = process()
    report = chain.handle_out_of_walltime(finished(CODES.ERROR_OUT_OF_WALLTIME, generate_potential(seed=7)))
    assert report.do_break
    assert report.exit_code.status == 0
    assert chain.ctx.inputs.potential.get_mtp() == generate_potential(seed=7).get_mtp()
    assert chain.handle_out_of_walltime(finished(CODES.ERROR_OUT_OF_WALLTIME)) is None


@pytest.mark.parametrize("code", [CODES.ERROR_OUTPUT_MISSING, CODES.ERROR_OUTPUT_INCOMPLETE, CODES.ERROR_MLP])
def test_failures_are_repeated_once(process, finished, generate_potential, code):
    chain = process()
    before = chain.ctx.inputs.potential.uuid
    report = chain.handle_failed(finished(code, generate_potential(seed=7)))
    assert report.exit_code.status == 0
    assert chain.ctx.inputs.potential.uuid == before
    report = chain.handle_failed(finished(code, generate_potential(seed=8)))
    assert report.exit_code.status == 411
    assert chain.outputs["potential"].get_mtp() == generate_potential(seed=8).get_mtp()


def test_continuations(process, finished, generate_potential):
    assert process().handle_not_converged(finished(None, generate_potential(), converged=False)) is None
    chain = process(max_continuations=orm.Int(1))
    assert chain.handle_not_converged(finished(None, generate_potential(), converged=True)) is None
    assert chain.handle_not_converged(finished(None, generate_potential(seed=7), converged=False)).do_break
    assert chain.ctx.inputs.potential.get_mtp() == generate_potential(seed=7).get_mtp()
    assert chain.handle_not_converged(finished(None, generate_potential(seed=8), converged=False)) is None


def test_negative_continuations_are_refused(generate_workchain, inputs):
    with pytest.raises(ValueError, match="max_continuations: is -1"):
        generate_workchain("lpsgb.mlp.train.base", inputs | {"max_continuations": orm.Int(-1)})


def test_a_killed_training_ends_as_an_undisturbed_one(inputs, aiida_code_installed, tmp_path):
    undisturbed, node = run_get_node(MlpTrainBaseWorkChain, **inputs)
    assert node.is_finished_ok, node.exit_message

    program = inputs["mlp"]["code"].get_executable()
    script = tmp_path / "killed-once"
    mark = f"mkdir {tmp_path}/seen 2>/dev/null"
    script.write_text(f'#!/bin/sh\nif {mark}; then echo "BFGS iter 0: f=1"; kill -9 $$; fi\nexec {program} "$@"\n')
    script.chmod(0o755)
    inputs["mlp"]["code"] = aiida_code_installed(label="killed-once", filepath_executable=str(script))
    outputs, node = run_get_node(MlpTrainBaseWorkChain, **inputs)
    assert node.is_finished_ok, node.exit_message
    assert [called.exit_status for called in sorted(node.called, key=lambda called: called.pk)] == [303, 0]
    assert outputs["potential"].get_mtp() == undisturbed["potential"].get_mtp()


def test_a_failing_program_is_given_up(aiida_code_installed, generate_potential, generate_configurations, metadata):
    """The sub-commands other than train are repeated too, and the reason is told in the end."""
    code = aiida_code_installed(label="false", filepath_executable="/bin/false")
    mlp = {"code": code, "potential": generate_potential(), "configurations": generate_configurations(2)}
    _, node = run_get_node(WorkflowFactory("lpsgb.mlp.errors.base"), mlp=mlp | {"metadata": metadata})
    assert node.exit_status == 411
    assert "no complete report of errors" in node.exit_message
    assert len(node.called) == 2


@pytest.mark.slow
def test_continuing_for_real(inputs):
    """Two legs of the same training; the second starts from the potential of the first."""
    inputs["mlp"]["parameters"] = orm.Dict({"max_iter": 1, "bfgs_conv_tol": 1e-12})
    outputs, node = run_get_node(MlpTrainBaseWorkChain, **inputs, max_continuations=1)
    assert node.is_finished_ok, node.exit_message
    first, second = sorted(node.called, key=lambda called: called.pk)
    assert second.inputs.potential.uuid == first.outputs.potential.uuid
    assert outputs["results"]["loss_history"][0] == pytest.approx(first.outputs.results["loss_history"][-1], rel=0.5)
