"""Parsers of ``mlp``'s sub-commands, fed with written files."""

import re

import numpy as np
import pytest
from aiida import orm

from aiida_lpsgb.data.potential import PotentialData
from aiida_lpsgb.labelling.container import with_labels
from aiida_lpsgb.mtp.configurations import read_cfg, write_cfg
from aiida_lpsgb.parsers import mlp_output

SPECIES = ["Li", "P", "S"]


def report(n_configurations=3, energy=0.001, forces=0.05, n_atoms=24):
    """Return an errors report as mlp prints it."""
    rows = []
    for heading, count, unit, value in (
        ("Energy", n_configurations, "configurations", 8 * energy),
        ("Energy per atom", n_configurations, "configurations", energy),
        ("Forces", n_atoms, "atoms", forces),
        ("Stresses (in eV)", n_configurations, "configurations", 0.5),
        ("Stresses (in GPa)", n_configurations, "configurations", 0.4),
    ):
        rows += [
            f"{heading}:",
            f"\tErrors checked for {count} {unit}",
            f"\tMaximal absolute difference = {3 * value}",
            f"\tAverage absolute difference = {value}",
            f"\tRMS     absolute difference = {2 * value}",
            "",
        ]
    return "_________________Errors report_________________\n" + "\n".join(rows) + "_" * 47 + "\n"


def training(ending="step limit reached", validation="", losses=(1.0, 0.5, 0.25), **kwargs):
    """Return the output of a training as mlp prints it."""
    iterations = "".join(f"BFGS iter {number}: f={loss}\n" for number, loss in enumerate(losses))
    return (
        "Pre-training started\nBFGS iter 0: f=9\nBFGS iter 1: f=8\nstep limit reached\nPre-training ended\n"
        f"BFGS iterations count set to 2\n{iterations}{ending}\nMTPR training ended\n\n"
        f"\t\t* * * TRAIN ERRORS * * *\n\n{report(**kwargs)}{validation}"
    )


class TestOutput:
    def test_report(self):
        assert mlp_output.parse_report(report()) == {
            "n_configurations": 3,
            "n_atoms": 24,
            "energy_max_ev_atom": pytest.approx(0.003),
            "energy_mae_ev_atom": 0.001,
            "energy_rmse_ev_atom": 0.002,
            "forces_max_ev_angstrom": pytest.approx(0.15),
            "forces_mae_ev_angstrom": pytest.approx(0.15),
            "forces_rmse_ev_angstrom": 0.1,
            "stress_max_gpa": pytest.approx(1.2),
            "stress_mae_gpa": pytest.approx(3.6),
            "stress_rmse_gpa": 0.8,
        }
        assert mlp_output.parse_report("nothing") is None
        assert mlp_output.parse_report(report()[:-60]) is None

    def test_training(self):
        found = mlp_output.parse_training(training())
        assert (found["n_iterations"], found["converged"], found["loss_history"]) == (2, False, [1.0, 0.5, 0.25])
        assert found["validation"] is None
        found = mlp_output.parse_training(
            training(
                "BFGS ended due to small decr. in 50 iterations",
                "\t\t* * * VALIDATION ERRORS * * *\n\n" + report(7),
            )
        )
        assert found["converged"]
        assert found["training"]["n_configurations"] == 3
        assert found["validation"]["n_configurations"] == 7

    @pytest.mark.parametrize("end", ["f=1.2e", "f=-", "f=nan", "f="])
    def test_training_that_was_cut_off(self, end):
        found = mlp_output.parse_training("BFGS iter 0: f=2.5\nBFGS iter 1: " + end)
        assert found["training"] is None
        assert found["loss_history"][0] == 2.5
        assert not np.isfinite(found["loss_history"][1:]).any()

    def test_training_that_made_no_iteration(self):
        found = mlp_output.parse_training("\t\t* * * TRAIN ERRORS * * *\n" + report())
        assert (found["n_iterations"], found["loss_history"]) == (0, [])

    @pytest.mark.parametrize(
        ("stdout", "stderr", "message"),
        [
            ("all well\n", "a warning\n", None),
            ("ERROR: Cannot open x\n  line: 25\n", "", "Cannot open x"),
            ("", "ERROR: no such file\n", "no such file"),
            ("", "terminate called after throwing\n  what():  std::bad_alloc\n", "std::bad_alloc"),
            ("", "Traceback (most recent call last):\n  File x\nImportError: no kernel\n\n", "ImportError: no kernel"),
            ("", "terminate called without an active exception\n", "terminate called without an active exception"),
        ],
    )
    def test_failures(self, stdout, stderr, message):
        assert mlp_output.find_failure(stdout, stderr) == message


@pytest.fixture
def parse(generate_calc_job_node, generate_parser, tmp_path):
    """Return a factory that parses the given output of a job; its other files lie in ``tmp_path``."""

    def factory(command, inputs, stdout, stderr="", status=None):
        retrieved = {"mlp.err": stderr} if stdout is None else {"mlp.out": stdout, "mlp.err": stderr}
        node = generate_calc_job_node(f"lpsgb.mlp.{command}", inputs, retrieved, options={"output_filename": "mlp.out"})
        if status is not None:
            node.set_exit_status(status)
        return generate_parser(f"lpsgb.mlp.{command}").parse_from_node(
            node, store_provenance=False, retrieved_temporary_folder=str(tmp_path)
        )

    return factory


class TestTrain:
    @pytest.fixture
    def inputs(self, generate_potential, generate_configurations):
        sets = {"a": generate_configurations(2), "b": generate_configurations(1, seed=5)}
        return {"potential": generate_potential(trained=False), "training_sets": sets}

    @pytest.fixture
    def trained(self, generate_potential, tmp_path):
        text = generate_potential().get_mtp()
        (tmp_path / "trained.mtp").write_text(text)
        return text

    def test_success(self, parse, inputs, trained):
        results, node = parse("train", inputs, training(validation="\t\t* * * VALIDATION ERRORS * * *\n" + report(9)))
        assert node.exit_status == 0, node.exit_message
        assert results["potential"].get_mtp() == trained
        assert results["potential"].species == SPECIES
        assert results["potential"].training_errors["forces_rmse_ev_angstrom"] == 0.1
        content = results["results"].get_dict()
        assert content["training"]["energy_mae_ev_atom"] == 0.001
        assert content["validation"]["n_configurations"] == 9
        assert content["converged"] is False

    def test_results_can_be_stored_whatever_the_validation(self, parse, inputs, trained):
        validation = "\t\t* * * VALIDATION ERRORS * * *\n" + report(9, energy=np.inf, forces=np.nan)
        results, node = parse("train", inputs, training(validation=validation, losses=(1.0, np.nan)))
        assert node.exit_status == 0
        results["results"].store()

    def test_configurations_were_lost(self, parse, inputs, trained):
        """`mlp` goes on without what it cannot read, and says all is well."""
        _, node = parse("train", inputs, training(n_configurations=2))
        assert node.exit_status == 301
        assert "trained on 2 of 3 configurations" in node.exit_message

    def test_error(self, parse, inputs):
        _, node = parse("train", inputs, "ERROR: Unable to read AtomData. Wrong Size specified?\n" + training())
        assert node.exit_status == 310
        assert node.exit_message == "The program stopped: Unable to read AtomData. Wrong Size specified?"

    def test_no_output(self, parse, inputs):
        _, node = parse("train", inputs, None)
        assert node.exit_status == 300

    def test_no_potential(self, parse, inputs):
        _, node = parse("train", inputs, training())
        assert node.exit_status == 300
        assert "trained.mtp was not written" in node.exit_message

    @pytest.mark.parametrize(("status", "expected"), [(None, 301), (120, 400)])
    def test_ended_early(self, parse, inputs, trained, tmp_path, status, expected):
        """What the last iteration left is kept, and the wall time is blamed if the scheduler says so."""
        (tmp_path / "trained.mtp").rename(tmp_path / "current.mtp")
        results, node = parse("train", inputs, training()[:200], status=status)
        assert node.exit_status == expected
        assert results["potential"].get_mtp() == trained
        assert results["results"]["converged"] is False
        assert "training" not in results["results"].get_dict()

    def test_ended_while_writing(self, parse, inputs, trained, tmp_path):
        (tmp_path / "current.mtp").write_text(trained[: len(trained) // 2])
        results, node = parse("train", inputs, training()[:200])
        assert node.exit_status == 301
        assert "potential" not in results

    @pytest.mark.parametrize("damage", ["cut", "nan", "untrained"])
    def test_unusable_potential(self, parse, inputs, trained, tmp_path, damage):
        text = {
            "cut": trained[: len(trained) // 2],
            "nan": re.sub(r"moment_coeffs = {.*}", "moment_coeffs = {nan}", trained),
            "untrained": inputs["potential"].get_mtp(),
        }[damage]
        assert text != trained
        (tmp_path / "trained.mtp").write_text(text)
        _, node = parse("train", inputs, training())
        assert node.exit_status == 320

    def test_errors_that_are_not_finite(self, parse, inputs, trained):
        _, node = parse("train", inputs, training(forces=np.nan))
        assert node.exit_status == 320


class TestErrors:
    @pytest.fixture
    def inputs(self, generate_potential, generate_configurations):
        return {"potential": generate_potential(), "configurations": generate_configurations(3)}

    def test_success(self, parse, inputs):
        results, node = parse("errors", inputs, report(3))
        assert node.exit_status == 0
        assert results["results"]["forces_rmse_ev_angstrom"] == 0.1

    @pytest.mark.parametrize(
        ("stdout", "message"),
        [
            (report(3)[:-60], "no complete report"),
            (report(2), "compared 2 of 3"),
            (report(3, energy=np.nan), "not finite"),
        ],
    )
    def test_incomplete(self, parse, inputs, stdout, message):
        _, node = parse("errors", inputs, stdout)
        assert node.exit_status == 301
        assert message in node.exit_message


class TestGrade:
    @pytest.fixture
    def inputs(self, generate_potential, generate_configurations):
        return {
            "potential": generate_potential(),
            "training_sets": {"a": generate_configurations(2)},
            "configurations": generate_configurations(3, seed=7, labelled=False, source="md"),
        }

    @pytest.fixture
    def graded(self, inputs, tmp_path):
        """Return a factory that writes the files of a run, the positions rounded as mlp does."""

        def factory(grades=(1.0, 3.0, 2.0), order=(0, 1, 2)):
            images = [inputs["configurations"][index] for index in order]
            for atoms, grade in zip(images, grades, strict=True):
                atoms.positions = np.round(atoms.positions, 6)
                if grade is not None:
                    atoms.info["mv_grade"] = grade
            write_cfg(tmp_path / "graded.cfg", images, SPECIES)
            (tmp_path / "active_set.als").write_bytes(b"state")

        return factory

    def test_success(self, parse, inputs, graded):
        graded()
        results, node = parse("grade", inputs, "")
        assert node.exit_status == 0, node.exit_message
        assert [atoms.info["mv_grade"] for atoms in results["configurations"]] == [1.0, 3.0, 2.0]
        for atoms, sent in zip(results["configurations"], inputs["configurations"], strict=True):
            assert np.array_equal(atoms.positions, sent.positions)
            assert atoms.info["source"] == "md"
        assert results["results"].get_dict() == {
            "n_configurations": 3,
            "max_grade": 3.0,
            "mean_grade": 2.0,
            "n_above_one": 2,
        }
        assert results["active_set"].get_content(mode="rb") == b"state"

    def test_only_the_active_set(self, parse, inputs, graded):
        graded()
        del inputs["configurations"]
        results, node = parse("grade", inputs, "")
        assert node.exit_status == 0
        assert "configurations" not in results
        assert "active_set" in results

    def test_no_active_set(self, parse, inputs):
        _, node = parse("grade", inputs, "")
        assert node.exit_status == 300
        assert "active_set.als was not written" in node.exit_message

    def test_another_order(self, parse, inputs, graded):
        graded(order=(1, 0, 2))
        _, node = parse("grade", inputs, "")
        assert node.exit_status == 301
        assert "another order" in node.exit_message

    def test_missing_grade(self, parse, inputs, graded):
        graded(grades=(1.0, None, 2.0))
        _, node = parse("grade", inputs, "")
        assert node.exit_status == 301
        assert "without a finite grade" in node.exit_message

    @pytest.mark.parametrize("share", [0.5, 0.3])
    def test_cut_short(self, parse, inputs, graded, tmp_path, share):
        graded()
        text = (tmp_path / "graded.cfg").read_text()
        (tmp_path / "graded.cfg").write_text(text[: int(len(text) * share)])
        _, node = parse("grade", inputs, "")
        assert node.exit_status == 301

    def test_fewer(self, parse, inputs, graded, tmp_path):
        graded()
        write_cfg(tmp_path / "graded.cfg", read_cfg(tmp_path / "graded.cfg", SPECIES)[:2], SPECIES)
        _, node = parse("grade", inputs, "")
        assert node.exit_status == 301
        assert "holds 2 of 3 configurations" in node.exit_message


class TestPredict:
    @pytest.fixture
    def inputs(self, generate_potential, generate_configurations):
        return {"potential": generate_potential(), "configurations": generate_configurations(3, source="md")}

    @pytest.fixture
    def predicted(self, inputs, tmp_path):
        """Return a factory that writes what the program would, positions rounded as mlp does, and returns it."""

        def factory(order=(0, 1, 2), labelled=True):
            images = []
            for k, atoms in enumerate(inputs["configurations"][index] for index in order):
                given = {"energy": float(k), "forces": np.full((len(atoms), 3), 0.5)} if labelled else {}
                images.append(with_labels(atoms, **given))
                images[-1].positions = np.round(atoms.positions, 6)
                if labelled:
                    images[-1].calc.atoms = images[-1].copy()
            write_cfg(tmp_path / "predicted.cfg", images, SPECIES)

        return factory

    def test_success(self, parse, inputs, predicted):
        predicted()
        results, node = parse("predict", inputs, "")
        assert node.exit_status == 0, node.exit_message
        answers = list(results["configurations"])
        assert [atoms.get_potential_energy() for atoms in answers] == [0.0, 1.0, 2.0]
        for atoms, sent in zip(answers, inputs["configurations"], strict=True):
            assert np.array_equal(atoms.positions, sent.positions)
            assert (atoms.get_forces() == 0.5).all()
            assert atoms.info["source"] == "md"
        # Nobody takes them for labels.
        assert results["configurations"].level_of_theory == "moment tensor potential"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"order": (0, 2, 1)}, "other configurations than were sent, or another order"),
            ({"order": (0, 1)}, "holds 2 of 3 configurations"),
            ({"labelled": False}, "configurations without energy or forces"),
        ],
    )
    def test_incomplete(self, parse, inputs, predicted, arguments, message):
        predicted(**arguments)
        _, node = parse("predict", inputs, "")
        assert node.exit_status == 301
        assert message in node.exit_message

    def test_nothing_written(self, parse, inputs):
        _, node = parse("predict", inputs, "")
        assert node.exit_status == 300


class TestSelect:
    @pytest.fixture
    def inputs(self, generate_potential, generate_configurations):
        candidates = {
            "x": generate_configurations(2, seed=3, labelled=False, source="x"),
            "y": generate_configurations(3, seed=4, labelled=False, source="y"),
        }
        return {
            "potential": generate_potential(),
            "training_sets": {"a": generate_configurations(2)},
            "candidates": candidates,
        }

    def write(self, path, inputs, numbers):
        every = [*inputs["candidates"]["x"], *inputs["candidates"]["y"]]
        images = []
        for number in numbers:
            atoms = every[number % 5].copy()
            atoms.info = {} if number is None else {"features": {"lpsgb_index": str(number)}}
            images.append(atoms)
        write_cfg(path / "added.cfg", images, SPECIES)
        (path / "active_set.als").write_bytes(b"state")

    def test_success(self, parse, inputs, tmp_path):
        self.write(tmp_path, inputs, [4, 1, 2])
        results, node = parse("select", inputs, "TS increased by 3 configs\n")
        assert node.exit_status == 0, node.exit_message
        expected = [inputs["candidates"]["x"][1], inputs["candidates"]["y"][0], inputs["candidates"]["y"][2]]
        for atoms, sent in zip(results["selected"], expected, strict=True):
            assert np.array_equal(atoms.positions, sent.positions)
            assert atoms.info["source"] == sent.info["source"]
        assert results["results"].get_dict() == {
            "n_candidates": 5,
            "n_selected": 3,
            "selected": {"x": [1], "y": [0, 2]},
        }
        assert isinstance(results["active_set"], orm.SinglefileData)

    def test_nothing_selected(self, parse, inputs, tmp_path):
        self.write(tmp_path, inputs, [])
        results, node = parse("select", inputs, "")
        assert node.exit_status == 0
        assert results["results"]["n_selected"] == 0
        assert "selected" not in results

    def test_no_file(self, parse, inputs):
        _, node = parse("select", inputs, "")
        assert node.exit_status == 300

    @pytest.mark.parametrize("numbers", [[1, 1], [7], [-1]])
    def test_nonsense(self, parse, inputs, tmp_path, numbers):
        self.write(tmp_path, inputs, numbers)
        _, node = parse("select", inputs, "")
        assert node.exit_status == 301
        assert "names candidates twice" in node.exit_message

    def test_features_were_lost(self, parse, inputs, tmp_path):
        write_cfg(tmp_path / "added.cfg", list(inputs["candidates"]["x"])[:1], SPECIES)
        text = (tmp_path / "added.cfg").read_text()
        assert "lpsgb_index" not in text
        _, node = parse("select", inputs, "")
        assert node.exit_status == 301
        assert "does not tell which candidates" in node.exit_message


def test_the_output_potential_is_a_node_that_can_be_stored(
    parse, generate_potential, generate_configurations, tmp_path
):
    (tmp_path / "trained.mtp").write_text(generate_potential().get_mtp())
    inputs = {"potential": generate_potential(trained=False), "training_sets": {"a": generate_configurations(3)}}
    results, _ = parse("train", inputs, training())
    node = results["potential"].store()
    assert orm.QueryBuilder().append(PotentialData, filters={"id": node.pk, "attributes.trained": True}).count() == 1
