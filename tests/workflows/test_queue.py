"""The sliding queue on AiiDA's own engine, with real jobs of which one is slow."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import run_get_node, while_
from aiida.plugins import CalculationFactory, WorkflowFactory

from aiida_lpsgb.workflows.queue import QueueMixin

AddCalculation = CalculationFactory("core.arithmetic.add")
SLOW_S = 20


class QueueTestWorkChain(QueueMixin):
    """Add numbers, two at a time; the first takes long. When all others have ended, one more is queued."""

    @classmethod
    def define(cls, spec):
        super().define(spec)
        spec.input("code", valid_type=orm.AbstractCode)
        spec.input("dropped", valid_type=orm.List, default=lambda: orm.List([]))
        spec.input("slow_s", valid_type=orm.Int, default=lambda: orm.Int(0))
        cls.limit_queue(spec, "Sums")
        spec.outline(cls.fill, while_(cls.queue_waits)(cls.run_queue), cls.finish)
        spec.output("order", valid_type=orm.List)

    def fill(self):
        self.ctx.ended = []
        inputs = {name: self._add(number) for number, name in enumerate(("first", "second", "third", "fourth"))}
        inputs["first"]["metadata"]["options"]["sleep"] = self.inputs.slow_s.value
        self.fill_queue(AddCalculation, inputs)
        self.drop_queued(self.inputs.dropped.get_list())

    def _add(self, number):
        return {"code": self.inputs.code, "x": orm.Int(number), "y": orm.Int(1), "metadata": {"options": {}}}

    def child_ended(self, label, node):
        self.ctx.ended.append(label)
        if label == "fourth":
            self.enqueue("late", AddCalculation, self._add(9))

    def finish(self):
        assert all(node.is_finished_ok for node in self.ctx.children.values())
        self.out("order", orm.List(self.ctx.ended).store())


@pytest.fixture
def adding_code(aiida_code_installed):
    return aiida_code_installed(default_calc_job_plugin="core.arithmetic.add", filepath_executable="/bin/bash")


def test_a_slow_child_holds_up_no_other(adding_code):
    outputs, node = run_get_node(QueueTestWorkChain, code=adding_code, slow_s=orm.Int(SLOW_S))
    assert node.is_finished_ok, node.exit_message
    order = outputs["order"].get_list()
    assert sorted(order) == ["first", "fourth", "late", "second", "third"]
    # With a barrier after each pair the third would begin when the first has ended.
    assert order.index("third") < order.index("first")
    called = {link.link_label: link.node for link in node.base.links.get_outgoing().all() if link.node in node.called}
    assert called["third"].ctime < called["first"].mtime
    # Nothing was left in the queue when the fourth ended.
    assert called["late"].ctime < called["first"].mtime


def test_what_is_dropped_never_runs(adding_code):
    outputs, node = run_get_node(QueueTestWorkChain, code=adding_code, dropped=orm.List(["third"]))
    assert node.is_finished_ok, node.exit_message
    assert sorted(outputs["order"].get_list()) == ["first", "fourth", "late", "second"]


@pytest.mark.parametrize(
    "name",
    [
        "active_learning",
        "grain_boundary",
        "label",
        "passive_learning",
        "reference_md",
        "study",
        "transport",
        "validate",
    ],
)
def test_a_queue_that_runs_nothing_is_refused(name):
    """It would wait for ever."""
    port = WorkflowFactory(f"lpsgb.{name}").spec().inputs["max_concurrent"]
    assert "expected at least 1" in port.validate(orm.Int(0)).message
    assert port.validate(orm.Int(1)) is None
