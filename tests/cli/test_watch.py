"""watch: the tree of processes, the tails of running jobs, the lines that are printed."""

import io
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from aiida import orm
from aiida.common.datastructures import CalcJobState
from aiida.common.links import LinkType
from click.testing import CliRunner
from plumpy import ProcessState

from aiida_lpsgb.cli import main, watch
from aiida_lpsgb.report.processes import ProcessTree

CALLS = iter(range(10**6))


def process(
    cls=orm.WorkChainNode, caller=None, label="StudyWorkChain", state=ProcessState.WAITING, name=None, **kwargs
):
    """Store a process node as the engine would."""
    node = cls(**kwargs)
    node.set_process_label(label)
    node.set_process_state(state)
    if caller is not None:
        link = LinkType.CALL_WORK if cls is orm.WorkChainNode else LinkType.CALL_CALC
        node.base.links.add_incoming(caller, link, name or f"part_{next(CALLS)}")
    return node.store()


def end(node, exit_status=0, message=None):
    node.set_process_state(ProcessState.FINISHED)
    node.set_exit_status(exit_status)
    if message:
        node.set_exit_message(message)
    node.seal()


def report(node, text, level="REPORT"):
    orm.Log(time=datetime.now(UTC), loggername="test", levelname=level, dbnode_id=node.pk, message=text)


@pytest.fixture
def job(aiida_profile_clean, aiida_localhost, tmp_path):
    """Return a factory of running jobs with a working folder that holds the given files."""

    def factory(caller=None, label="MdCalculation", process_type="", stdout=None, **files):
        node = orm.CalcJobNode(computer=aiida_localhost, process_type=process_type)
        node.set_process_label(label)
        node.set_process_state(ProcessState.WAITING)
        node.set_state(CalcJobState.WITHSCHEDULER)
        node.set_option("resources", {"num_machines": 1, "num_mpiprocs_per_machine": 1})
        calcinfo = {"codes_info": [{"stdout_name": stdout}]}
        node.base.repository.put_object_from_filelike(io.BytesIO(json.dumps(calcinfo).encode()), ".aiida/calcinfo.json")
        if caller is not None:
            node.base.links.add_incoming(caller, LinkType.CALL_CALC, f"iteration_{next(CALLS)}")
        node.set_remote_workdir(str(tmp_path))
        for name, text in files.items():
            (tmp_path / name.replace("_", ".")).write_text(text)
        return node.store()

    return factory


def test_tree_finds_what_is_called_later(aiida_profile_clean):
    study = process()
    tree = ProcessTree(study.pk)
    tree.refresh()
    assert [p.pk for p in tree.active()] == [study.pk]
    loop = process(caller=study, label="ActiveLearningWorkChain")
    inner = process(caller=loop, label="MdBaseWorkChain")
    tree.refresh()
    assert [p.pk for p in tree.active()] == [study.pk, loop.pk, inner.pk]
    late = process(caller=inner, label="LateWorkChain")
    end(loop)
    end(inner)
    tree.refresh()
    assert [p.pk for p in tree.active()] == [study.pk, late.pk]
    end(late)
    end(study)
    tree.refresh()
    assert tree.active() == []
    assert len(tree.processes) == 4
    tree.refresh()  # with nothing left to ask for
    assert tree.active() == []


def test_reports_are_given_once_and_in_order(aiida_profile_clean):
    study, child = process(), process()
    report(study, f"[{study.pk}|StudyWorkChain|explore]: iteration 1: 12 new configurations")
    report(child, "no prefix", level="WARNING")
    reports = watch.Reports()
    lines = [(level, text) for _, level, text, _ in reports.new([study.pk, child.pk])]
    assert lines == [("REPORT", "iteration 1: 12 new configurations"), ("WARNING", "no prefix")]
    assert reports.new([study.pk, child.pk]) == []


def test_reports_of_a_process_found_late_are_not_lost(aiida_profile_clean):
    study, child = process(), process()
    reports = watch.Reports()
    report(child, "early line of a child that is not known yet")
    report(study, "later line")
    assert len(reports.new([study.pk])) == 1
    found = [(text, pk) for *_, text, pk in reports.new([study.pk, child.pk])]
    assert found == [("early line of a child that is not known yet", child.pk)]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("launching MdCalculation<80> iteration #1", False),
        ("remote folders will not be cleaned", False),
        ("MdCalculation<81> failed but a handler detected an unrecoverable problem, aborting", False),
        ("output parser returned exit code<310>: The extrapolation grade 53 exceeded gamma_break", False),
        ("completed in 1 jobs, 1 segments", False),
        ("completed in 3 jobs, 3 segments", True),
        ("output parser returned exit code<320>: LAMMPS lost atoms: the dynamics is unstable.", True),
        ("MdCalculation<81> was unstable; starting again with half the time step", True),
        ("iteration 1: 2 of 2 runs ended early (gamma_break 10), 2 configurations extrapolate", True),
    ],
)
def test_routine_lines_are_left_out(aiida_profile_clean, text, shown):
    node = process()
    report(node, f"[{node.pk}|X|y]: {text}")
    assert bool(watch.Reports().new([node.pk])) is shown


def plan(caller, label, n_runs, name="seed_run"):
    """Store a calcfunction that gave so many runs a seed."""
    node = process(orm.CalcFunctionNode, caller=caller, label=label)
    for number in range(n_runs):
        seed = orm.Int(number)
        seed.base.links.add_incoming(node, LinkType.CREATE, f"{name}_{number}")
        seed.store()
    parameters = orm.Dict()
    parameters.base.links.add_incoming(node, LinkType.CREATE, "parameters_t500k")
    parameters.store()
    end(node)


def test_runs_that_are_done_are_counted_by_system(aiida_profile_clean):
    study = process()
    sweeps = [process(caller=study, label="TransportWorkChain", name=name) for name in ("crystal", "tilt_120")]
    runs = []
    for sweep in sweeps:
        plan(sweep, "plan_sweep", 5)
        runs += [process(caller=sweep, label="TransportRunWorkChain", name=f"t{t}k_p1_1") for t in (900, 800)]
    tree = ProcessTree(study.pk)
    tree.refresh()
    assert watch.runs_done(tree, watch.n_planned) == [
        "crystal: 0 of 5 runs done, 2 going",
        "tilt_120: 0 of 5 runs done, 2 going",
    ]
    end(runs[0])
    end(runs[2])
    end(runs[3])
    tree.refresh()
    assert watch.runs_done(tree, watch.n_planned) == ["crystal: 1 of 5 runs done, 1 going"]


def test_runs_of_the_last_exploration_are_counted(aiida_profile_clean):
    loop = process(label="ActiveLearningWorkChain")
    plan(loop, "plan_exploration", 3)
    for run in [process(caller=loop, label="MdBaseWorkChain", name=f"crystal_t500k_{k}") for k in range(3)]:
        end(run)
    plan(loop, "plan_exploration", 4)
    process(caller=loop, label="MdBaseWorkChain", name="crystal_t500k_1")
    tree = ProcessTree(loop.pk)
    tree.refresh()
    assert watch.runs_done(tree, watch.n_planned) == ["0 of 4 runs done, 1 going"]


def test_trainings_of_a_grid_are_counted(aiida_profile_clean):
    stage = process(label="PassiveLearningWorkChain")
    plan(stage, "plan_grid", 6, "training_l08_r5")
    runs = [process(caller=stage, label="MlpTrainBaseWorkChain", name=f"train_l08_r5_{k}") for k in range(2)]
    end(runs[0])
    tree = ProcessTree(stage.pk)
    tree.refresh()
    assert watch.runs_done(tree, watch.n_planned) == ["1 of 6 trainings done, 1 going"]


def test_labels_that_are_done_are_counted_and_timed(aiida_profile_clean):
    engine = process(label="VaspLabelWorkChain", name="attempt_1_batch_000")
    made = process(orm.CalcFunctionNode, caller=engine, label="structures")
    for number in range(6):
        structure = orm.StructureData(cell=np.eye(3))
        structure.base.links.add_incoming(made, LinkType.CREATE, f"image_{number:05d}")
        structure.store()
    end(made)
    runs = [process(caller=engine, label="VaspWorkChain", name=f"image_{number:05d}") for number in range(2)]
    tree = ProcessTree(engine.pk)
    tree.refresh()
    assert watch.labels_done(tree, watch.n_planned) == ["0 of 6 labels done"]
    end(runs[0])
    tree.refresh()
    ended = tree.processes[runs[0].pk]
    ended.mtime = ended.ctime + timedelta(seconds=90)
    # Five are left, and one is going.
    assert watch.labels_done(tree, watch.n_planned) == ["1 of 6 labels done, 90 s each, about 7.5 min to go"]


def test_a_job_is_named_by_system_and_run(job):
    study = process()
    sweep = process(caller=study, label="TransportWorkChain", name="crystal")
    run = process(caller=sweep, label="TransportRunWorkChain", name="t500k_p1_1")
    node = job(caller=run, label="XCalculation", stdout="out.txt", out_txt="half\n")
    tree = ProcessTree(study.pk)
    tree.refresh()
    with watch.Tails() as tails:
        assert watch.status_line(tree, tails).endswith(f"crystal t500k_p1_1 X<{node.pk}> half")


CAUSE = "LAMMPS lost atoms: the dynamics is unstable."


def failing(study):
    """Let a run of a study fail, each process with what it says of it."""
    sweep = process(caller=study, label="TransportWorkChain", name="crystal")
    run = process(caller=sweep, label="MdBaseWorkChain", name="t500k_p1_1")
    report(run, f"output parser returned exit code<320>: {CAUSE}")
    end(run, 320, CAUSE)
    report(sweep, f"run t500k_p1_1: MdBaseWorkChain<{run.pk}> [320] {CAUSE}")
    text = f"Of 1 runs these failed: t500k_p1_1: MdBaseWorkChain<{run.pk}> [320] {CAUSE}"
    end(sweep, 401, text)
    report(study, f"crystal: TransportWorkChain<{sweep.pk}> [401] {text}")
    end(study, 403, f"Not all systems have results: crystal: TransportWorkChain<{sweep.pk}> [401] {text}")
    return sweep, run


def test_a_cause_is_told_once(aiida_profile_clean):
    study = process()
    sweep, run = failing(study)
    stream = io.StringIO()
    watch.follow(study, stream=stream)
    text = stream.getvalue()
    assert text.count(CAUSE) == 1
    lines = [line.split("  ", 1)[1].strip() for line in text.strip().splitlines()]
    assert lines == [
        f"crystal t500k_p1_1: output parser returned exit code<320>: {CAUSE}",
        f"crystal: run t500k_p1_1: MdBaseWorkChain<{run.pk}> [320] (as above)",
        f"crystal: TransportWorkChain<{sweep.pk}> [401] Of 1 runs these failed: t500k_p1_1: "
        f"MdBaseWorkChain<{run.pk}> [320] (as above)",
        f"StudyWorkChain<{study.pk}> failed with exit status 403: Not all systems have results: crystal: "
        f"TransportWorkChain<{sweep.pk}> [401] (as above)",
    ]


def test_a_cause_that_was_told_before_its_process_ended_is_not_told_again(aiida_profile_clean):
    causes = watch.Causes()
    study = process()
    run = process(caller=study, label="MdBaseWorkChain")
    tree = ProcessTree(study.pk)
    causes.learn(tree.refresh())
    assert causes.once(f"output parser returned: {CAUSE}").endswith(CAUSE)
    end(run, 320, CAUSE)
    causes.learn(tree.refresh())
    assert causes.once(f"run failed: {CAUSE}") == "run failed: (as above)"


def test_of_a_traceback_the_last_line_is_shown(aiida_profile_clean):
    node = process()
    report(node, "Traceback (most recent call last):\n  File x, line 1\nKeyError: 'trajectory'\n", level="ERROR")
    ((_, _, text, _),) = watch.Reports().new([node.pk])
    assert text == "KeyError: 'trajectory' (the traceback: verdi process report)"


def test_last_line_of_standard_output(job):
    node = job(label="MlpTrainCalculation", stdout="out.txt", out_txt="iteration 1 rmse 5\niteration 2  rmse 3\n\n")
    with watch.Tails() as tails:
        assert watch.job_progress(node.pk, tails) == "iteration 2 rmse 3"


def test_long_lines_and_missing_files(job):
    node = job(stdout="out.txt")
    with watch.Tails() as tails:
        assert watch.job_progress(node.pk, tails) == ""
        assert tails.lines(node, "none") == []


def test_status_line_counts_jobs_without_progress(job):
    study = process()
    for _ in range(2):
        job(caller=study, label="LabelCalculation", stdout="none")
    tree = ProcessTree(study.pk)
    tree.refresh()
    with watch.Tails() as tails:
        assert watch.status_line(tree, tails) == "[0 of 3 processes done] 2 × Label with the scheduler"


def test_follow_an_ended_study(aiida_profile_clean):
    study = process()
    report(study, f"[{study.pk}|StudyWorkChain|finish]: converged")
    end(study, 402, "the budget of labels is used up")
    stream = io.StringIO()
    assert watch.follow(study, stream=stream) is study
    first, last = stream.getvalue().splitlines()
    assert first.endswith("converged")
    assert last.endswith(f"StudyWorkChain<{study.pk}> failed with exit status 402: the budget of labels is used up")


def test_a_locked_database_is_looked_at_again(aiida_profile_clean, monkeypatch):
    from sqlalchemy.exc import OperationalError

    study = process()
    end(study)
    failures = [OperationalError("SELECT", {}, Exception("database is locked"))] * 2
    refresh = ProcessTree.refresh

    def locked_at_first(tree):
        if failures:
            raise failures.pop()
        return refresh(tree)

    monkeypatch.setattr(ProcessTree, "refresh", locked_at_first)
    stream = io.StringIO()
    watch.follow(study, interval_s=0.01, stream=stream)
    assert failures == []
    assert stream.getvalue().endswith(f"StudyWorkChain<{study.pk}> finished\n")


def test_terminal_line_is_overwritten_and_cut(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", "20")
    terminal = Terminal()
    display = watch.Display(terminal)
    display.update("x" * 50)
    display.line("stays")
    assert terminal.getvalue() == "x" * 18 + "…" + "\r\x1b[2K" + "stays\n"


def test_without_a_terminal_the_status_is_not_repeated_each_second():
    stream = io.StringIO()
    display = watch.Display(stream)
    for number in range(5):
        display.update(f"status {number}")
    assert stream.getvalue() == "status 0\n"


class TestCommand:
    def test_exit_status_follows_the_process(self, aiida_profile_clean):
        good, bad = process(), process()
        end(good)
        end(bad, 1)
        assert CliRunner().invoke(main, ["watch", str(good.pk)]).exit_code == 0
        assert CliRunner().invoke(main, ["watch", str(bad.pk)]).exit_code == 1

    def test_newest_study_is_the_default(self, aiida_profile_clean):
        result = CliRunner().invoke(main, ["watch"])
        assert result.exit_code == 1
        assert "no study in this profile" in result.output
        study = process(process_type="aiida.workflows:lpsgb.study")
        inner = process(process_type="aiida.workflows:lpsgb.active_learning", caller=study)
        end(inner)
        end(study)
        assert f"<{study.pk}> finished" in CliRunner().invoke(main, ["watch"]).output

    @pytest.mark.parametrize(
        ("argument", "words"), [("999999", "no process 999999"), ("no-such", "no process no-such")]
    )
    def test_unknown_process(self, aiida_profile_clean, argument, words):
        result = CliRunner().invoke(main, ["watch", argument])
        assert result.exit_code == 1
        assert words in result.output
        assert "Traceback" not in result.output

    def test_data_is_not_a_process(self, aiida_profile_clean):
        node = orm.Int(1).store()
        result = CliRunner().invoke(main, ["watch", str(node.pk)])
        assert "not a process but a Int" in result.output

    def test_unknown_profile(self, aiida_profile_clean):
        result = CliRunner().invoke(main, ["watch", "-p", "nobody", "1"])
        assert result.exit_code == 1
        assert "no profile nobody" in result.output


def test_what_the_daemon_has_not_heard_of_is_named(aiida_profile_clean, job):
    study = process()
    begun = job(caller=study)
    lost = process(orm.CalcJobNode, study, "MdCalculation", ProcessState.CREATED)
    tree = ProcessTree(study.pk)
    tree.refresh()
    assert watch.lost_hint(tree, lost.ctime + timedelta(seconds=60)) is None
    hint = watch.lost_hint(tree, lost.ctime + timedelta(seconds=400))
    assert hint.startswith(f"Md<{lost.pk}> has not begun for 5 min")
    assert str(begun.pk) not in hint.partition(" has")[0]
    assert "verdi process repair" in hint
