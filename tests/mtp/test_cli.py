"""The program lpsgb-mlp, alone and beside MLIP-2's mlp."""

import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from aiida_lpsgb.mtp.cli import main
from aiida_lpsgb.mtp.configurations import labels, read_cfg, write_cfg
from aiida_lpsgb.mtp.potential import MTP
from aiida_lpsgb.mtp.selection import ActiveSet
from aiida_lpsgb.mtp.training import bootstrap_weights

PROGRAM = Path(sys.executable).parent / "lpsgb-mlp"


@pytest.fixture(scope="module")
def files(tmp_path_factory, make_potential, make_labelled, species):
    """A potential, a training set and a test set labelled by another potential."""
    folder = tmp_path_factory.mktemp("files")
    make_potential(4, seed=1, radial_basis_size=4).write(folder / "pot.mtp")
    teacher = make_potential(6, seed=2)
    write_cfg(folder / "train.cfg", make_labelled(teacher, 40, seed=1), species)
    write_cfg(folder / "test.cfg", make_labelled(teacher, 15, seed=2), species)
    return folder


@pytest.fixture
def folder(tmp_path, monkeypatch, files):
    """A working folder of its own with these files."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(arguments):
    """Status of the program, whose output goes the way of the test's own; training is done in this process."""
    arguments = [*map(str, arguments)]
    if arguments and arguments[0] in ("train", "init"):
        return main(arguments)
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False)
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    return done.returncode


def run(*arguments):
    assert call(arguments) == 0


def mlip(program, *arguments):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=True)
    assert "ERROR:" not in done.stdout + done.stderr
    return done.stdout


def report(text):
    return text[text.index("____") :].rstrip()


def test_init_and_train(folder, capsys):
    run("init", 6, 3, "new.mtp", "--min-dist=1.4", "--max-dist=4.5", "--radial-basis-size=5")
    mtp = MTP.read("new.mtp")
    assert (mtp.level, mtp.cutoff, mtp.min_distance, mtp.radial_basis_size) == (6, 4.5, 1.4, 5)
    run("train", "new.mtp", "train.cfg", "--trained-pot-name=out.mtp", "--curr-pot-name=now.mtp", "--max-iter=6")
    out = capsys.readouterr().out
    assert MTP.read("out.mtp").trained
    assert MTP.read("now.mtp").trained
    assert re.findall(r"^BFGS iter (\d+): f=\S+$", out, re.MULTILINE) == [str(i) for i in range(7)]
    assert "\nstep limit reached\n" in out
    assert out.count("Errors report") == 1


def test_train_validates_and_converges(folder, capsys):
    run("train", "pot.mtp", "train.cfg", "--trained-pot-name=o.mtp", "--valid-cfgs=test.cfg", "--bfgs-conv-tol=0.5")
    out = capsys.readouterr().out
    assert "\nBFGS ended due to small decr" in out
    assert out.index("* * * TRAIN ERRORS * * *") < out.index("* * * VALIDATION ERRORS * * *")
    validation = report(out[out.index("VALIDATION") :])
    run("calc-errors", "o.mtp", "test.cfg")
    assert report(capsys.readouterr().out) == validation


def test_train_near_a_prior(folder, capsys):
    call(["train", "pot.mtp", "train.cfg", "--trained-pot-name=cheap.mtp", "--max-iter=5"])
    call(["train", "pot.mtp", "train.cfg", "--prior=cheap.mtp", "--prior-set=train.cfg", "--max-iter=5"])
    assert "Prior: cheap.mtp, of" in capsys.readouterr().out
    assert call(["train", "pot.mtp", "train.cfg", "--prior=cheap.mtp"]) != 0
    assert "--prior and --prior-set go together" in capsys.readouterr().err


def test_same_seed_same_file(folder):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("init", 4, 3, "u.mtp", "--min-dist=1.4")
        run("train", "u.mtp", "train.cfg", f"--trained-pot-name={name}.mtp", "--max-iter=3", f"--seed={seed}")
    a, b, c = ((folder / f"{name}.mtp").read_bytes() for name in "abc")
    assert a == b != c


def test_bootstrap_is_training_with_weights(folder, species, capsys):
    images = read_cfg("train.cfg", species)
    for atoms, weight in zip(images, bootstrap_weights(len(images), 5), strict=True):
        atoms.info["features"] = {"share": repr(float(weight))}
    write_cfg("weighted.cfg", images, species)
    losses = {}
    for name, arguments in {
        "all": ["train.cfg"],
        "weighted": ["weighted.cfg", "--weight-feature=share"],
        "5": ["train.cfg", "--bootstrap-seed=5"],
        "6": ["train.cfg", "--bootstrap-seed=6"],
    }.items():
        run("train", "pot.mtp", *arguments, "--max-iter=3", f"--trained-pot-name={name}.mtp")
        out = capsys.readouterr().out
        losses[name] = re.findall(r"f=(\S+)", out)
        assert "Errors checked for 40 configurations" in out
    assert losses["5"] == losses["weighted"]
    assert losses["all"] != losses["5"] != losses["6"]
    run("train", "pot.mtp", "train.cfg", "--bootstrap-seed=5", "--max-iter=3", "--trained-pot-name=again.mtp")
    assert (folder / "again.mtp").read_bytes() == (folder / "5.mtp").read_bytes()


def test_resuming_continues(folder, capsys):
    run("train", "pot.mtp", "train.cfg", "--curr-pot-name=now.mtp", "--max-iter=4")
    first = float(re.findall(r"f=(\S+)", capsys.readouterr().out)[-1])
    run("train", "now.mtp", "train.cfg", "--max-iter=1")
    assert float(re.findall(r"f=(\S+)", capsys.readouterr().out)[0]) == pytest.approx(first, rel=1e-4)


def test_higher_level_starts_from_a_lower_one(folder, capsys):
    run("train", "pot.mtp", "train.cfg", "--trained-pot-name=low.mtp", "--max-iter=20")
    low = float(re.findall(r"f=(\S+)", capsys.readouterr().out)[-1])
    run("init", 6, 3, "high.mtp", "--start=low.mtp", "--radial-basis-size=4")
    run("train", "high.mtp", "train.cfg", "--trained-pot-name=high2.mtp", "--max-iter=8")
    losses = [float(text) for text in re.findall(r"f=(\S+)", capsys.readouterr().out)]
    assert losses[0] == pytest.approx(low, rel=1e-4)
    assert losses[-1] < 0.9 * low


def test_weight_feature(folder, species, capsys):
    images = read_cfg("train.cfg", species)
    for index, atoms in enumerate(images):
        atoms.info["features"] = {"weight": str(index % 2)}
    write_cfg("weighted.cfg", images, species)
    write_cfg("half.cfg", images[1::2], species)
    losses = []
    for arguments in (("weighted.cfg", "--weight-feature=weight"), ("half.cfg",)):
        run("train", "pot.mtp", *arguments, "--max-iter=0")
        losses.append(re.search(r"iter 0: f=(\S+)", capsys.readouterr().out)[1])
    assert losses[0] == losses[1]


def test_grades_with_a_saved_set(folder, species):
    run("calc-grade", "pot.mtp", "train.cfg", "test.cfg", "a.cfg", "--als-filename=s.als")
    run("calc-grade", "pot.mtp", "train.cfg", "test.cfg", "b.cfg", "--load-als=s.als")
    first, second = ([a.info["mv_grade"] for a in read_cfg(name, species)] for name in ("a.cfg", "b.cfg"))
    np.testing.assert_allclose(first, second, rtol=1e-10)
    np.testing.assert_allclose(first, ActiveSet.read("s.als", species).grade(read_cfg("test.cfg", species)))
    assert labels(read_cfg("a.cfg", species)[0]).keys() == {"energy", "forces", "stress"}


def test_neighbourhood_grades(folder, species):
    run("calc-grade", "pot.mtp", "train.cfg", "test.cfg", "n.cfg", "--nbh-weight=1")
    for atoms in read_cfg("n.cfg", species):
        assert atoms.info["mv_grade"] == pytest.approx(atoms.arrays["nbh_grades"].max(), rel=1e-8)


def test_select_add(folder, species, capsys):
    run("select-add", "pot.mtp", "train.cfg", "test.cfg", "add.cfg", "--selected-filename=sel.cfg")
    count = int(re.search(r"TS increased by (\d+) configs", capsys.readouterr().out)[1])
    added, candidates = read_cfg("add.cfg", species), read_cfg("test.cfg", species)
    assert len(added) == count > 0
    assert all(any(a == b for b in candidates) for a in added)
    assert len(read_cfg("sel.cfg", species)) == len(ActiveSet.read("state.als", species).selected)


def test_efs_and_mindist(folder, species, capsys):
    run("calc-efs", "pot.mtp", "test.cfg", "efs.cfg")
    run("calc-errors", "pot.mtp", "efs.cfg")
    assert "Maximal absolute difference = 0\n" in capsys.readouterr().out
    shortest = min(
        a.get_all_distances(mic=True)[np.triu_indices(len(a), 1)].min() for a in read_cfg("efs.cfg", species)
    )
    run("mindist", "efs.cfg")
    found = float(capsys.readouterr().out.removeprefix("Global mindist: "))
    assert found == pytest.approx(shortest, rel=1e-4)
    assert "mindist" in read_cfg("efs.cfg", species)[0].info["features"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["calc-errors", "nothing.mtp", "test.cfg"], "nothing.mtp"),
        (["calc-errors", "test.cfg", "test.cfg"], "must be 'MTP'"),
        (["calc-errors", "pot.mtp", "pot.mtp"], "line 1: expected BEGIN_CFG"),
        (["calc-errors", "pot.mtp", "empty.cfg"], "holds no configuration"),
        (["calc-errors", "fresh.mtp", "test.cfg"], "trained first"),
        (["calc-grade", "pot.mtp", "train.cfg", "test.cfg", "o.cfg", "--load-als=pot.mtp"], "no active set"),
        (["train", "one.mtp", "train.cfg"], "but there are 1 species"),
        (["init", "9", "3", "o.mtp"], "even number"),
        (["select-add", "pot.mtp", "train.cfg", "test.cfg", "o.cfg", "--energy-weight=0"], "--nbh-weight=1"),
        (["select-add", "pot.mtp", "train.cfg", "selected.cfg", "o.cfg"], "selected.cfg would be overwritten"),
        (["train", "pot.mtp", "train.cfg", "--valid-cfgs=nothing.cfg"], "nothing.cfg"),
    ],
)
def test_errors_are_one_line(folder, capsys, arguments, reason):
    (folder / "empty.cfg").write_text("\n")
    run("init", 4, 3, "fresh.mtp")
    run("init", 4, 1, "one.mtp")
    capsys.readouterr()
    assert call(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("ERROR: ")
    assert error.count("\n") == 1
    assert reason in error


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "pot.mtp"],
        ["train", "pot.mtp", "train.cfg", "--force-weight=-1"],
        ["fit"],
        [],
        ["calc-efs", "pot.mtp", "test.cfg"],
        ["calc-grade", "pot.mtp", "train.cfg", "test.cfg", "o.cfg", "--select-threshold=1"],
        ["calc-grade", "pot.mtp", "train.cfg", "test.cfg", "o.cfg", "--weighting=heavy"],
        ["calc-errors", "pot.mtp", "test.cfg", "--threads=x"],
        ["calc-errors", "pot.mtp", "test.cfg", "--weight=1"],
        ["mindist", "test.cfg", "--no-overwrite=1"],
    ],
)
def test_usage_errors(folder, arguments):
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("ERROR: ")
    assert not done.stdout


def test_the_program_trains_too(folder):
    """By Python, which it starts."""
    done = subprocess.run([PROGRAM, "train", "pot.mtp", "train.cfg", "--max-iter=1"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "TRAIN ERRORS" in done.stdout
    help_text = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True).stdout
    for name in ("train", "init", "calc-errors", "calc-efs", "calc-grade", "select-add", "mindist"):
        assert name in help_text
        assert "--" in subprocess.run([PROGRAM, name, "--help"], capture_output=True, text=True, check=True).stdout


def test_the_program_is_the_installed_one_in_a_clone_too(tmp_path):
    """A clone's own folder has no compiled modules."""
    (tmp_path / "aiida_lpsgb").mkdir()
    (tmp_path / "aiida_lpsgb" / "__init__.py").write_text("raise ImportError('not this one')")
    done = subprocess.run([PROGRAM, "train", "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_threads_change_nothing(folder):
    for threads in (1, 3):
        run("calc-efs", "pot.mtp", "test.cfg", f"efs{threads}.cfg", f"--threads={threads}")
        run("calc-grade", "pot.mtp", "train.cfg", "test.cfg", f"g{threads}.cfg", f"--threads={threads}")
    for name in ("efs", "g"):
        assert (folder / f"{name}1.cfg").read_bytes() == (folder / f"{name}3.cfg").read_bytes()


def test_a_file_may_be_written_over_itself(folder, species):
    run("calc-efs", "pot.mtp", "test.cfg", "efs.cfg")
    run("calc-efs", "pot.mtp", "test.cfg", "test.cfg")
    assert (folder / "efs.cfg").read_bytes() == (folder / "test.cfg").read_bytes()
    assert not list(folder.glob("*.new"))


def test_mindist_leaves_the_rest_as_it_is(folder):
    text = (folder / "test.cfg").read_text().replace("END_CFG", " Feature   mindist\t9\n Feature   a\t b \nEND_CFG")
    (folder / "odd.cfg").write_text(text.replace(" Size", "\tSize   "))
    run("mindist", "odd.cfg")
    written = (folder / "odd.cfg").read_text()
    assert re.sub(r" Feature   mindist\t\d\.\d{6}\n", "", written) == (
        text.replace(" Size", "\tSize   ").replace(" Feature   mindist\t9\n", "")
    )
    assert written.count("mindist") == written.count("END_CFG")


def test_mindist_does_not_ask_what_the_atoms_are(folder, capsys):
    rows = "  1  0.0 0.0 0.0\n  2  1.5 0.0 0.0\n"
    (folder / "bare.cfg").write_text(f"BEGIN_CFG\n Size\n 2\n AtomData: id cartes_x cartes_y cartes_z\n{rows}END_CFG\n")
    run("mindist", "bare.cfg")
    assert capsys.readouterr().out == "Global mindist: 1.5\n"


@pytest.mark.parametrize("pbc", [(1, 1, 1), (1, 1, 0), (0, 0, 0)])
@pytest.mark.parametrize("skew", [0.0, 6.0])
def test_shortest_distances_of_any_cell(folder, pbc, skew, capsys):
    """Thin and skewed cells too, by a sum over many images."""
    rng = np.random.default_rng(7)
    for size in (2, 5):
        cell = np.array([[3.0, 0, 0], [skew, 4.0, 0], [-skew, skew, 2.5]])
        atoms = Atoms("Li" * size, positions=rng.uniform(0, 9, (size, 3)), cell=cell, pbc=pbc)
        write_cfg("a.cfg", [atoms], ["Li"])
        steps = [range(-18, 19) if periodic else [0] for periodic in pbc]
        shifts = np.array([s @ cell for s in itertools.product(*steps)])
        distances = np.linalg.norm(atoms.positions[:, None, None] - atoms.positions[None, :, None] + shifts, axis=-1)
        run("mindist", "a.cfg", "--no-overwrite")
        found = float(capsys.readouterr().out.removeprefix("Global mindist: "))
        assert found == pytest.approx(distances[distances > 1e-9].min(), rel=1e-5)


def test_shortest_distances_do_not_depend_on_the_vectors_of_a_lattice(folder, capsys):
    """However far these lean: the nearest image may be any number of cells away."""
    cell = np.array([[3.0, 0.2, 0], [0.3, 4.0, 0.1], [-0.4, 0.2, 2.5]])
    positions = np.random.default_rng(3).uniform(0, 9, (4, 3))
    found = []
    for leaning in (np.eye(3), [[1, 0, 0], [70_000, 1, 0], [300, -20_000, 1]], [[1, 1, 1], [1, 2, 2], [5, 6, 7]]):
        vectors = np.array(leaning) @ cell
        assert np.linalg.det(leaning) == pytest.approx(1)
        write_cfg("a.cfg", [Atoms("Li4", positions=positions, cell=vectors, pbc=True)], ["Li"])
        run("mindist", "a.cfg", "--no-overwrite")
        found.append(float(capsys.readouterr().out.removeprefix("Global mindist: ")))
    assert found[1:] == pytest.approx([found[0]] * 2, abs=1e-5)


def test_loaded_sets_are_graded_as_they_were_selected(folder, capsys):
    run("calc-grade", "pot.mtp", "train.cfg", "test.cfg", "n.cfg", "--nbh-weight=1", "--als-filename=n.als")
    run("calc-grade", "pot.mtp", "train.cfg", "test.cfg", "m.cfg", "--load-als=n.als")
    assert (folder / "n.cfg").read_bytes() == (folder / "m.cfg").read_bytes()
    assert call(["calc-grade", "pot.mtp", "train.cfg", "test.cfg", "o.cfg", "--load-als=n.als", "--nbh-weight=0"]) == 1
    assert "was selected by neighbourhoods" in capsys.readouterr().err


class TestBesideMLIP2:
    """The same files through both programs."""

    def test_errors_report_is_the_same(self, folder, mlip2, capsys):
        run("calc-errors", "pot.mtp", "test.cfg")
        assert report(capsys.readouterr().out) == report(mlip(mlip2, "calc-errors", "pot.mtp", "test.cfg"))

    def test_efs(self, folder, mlip2, species):
        mlip(mlip2, "calc-efs", "pot.mtp", "test.cfg", "theirs.cfg")
        run("calc-efs", "pot.mtp", "test.cfg", "ours.cfg")
        for ours, theirs in zip(read_cfg("ours.cfg", species), read_cfg("theirs.cfg", species), strict=True):
            np.testing.assert_allclose(ours.get_forces(), theirs.get_forces(), atol=2e-6)
            np.testing.assert_allclose(ours.get_stress(), theirs.get_stress(), atol=2e-5)

    def test_loss_is_that_of_its_errors(self, folder, mlip2, capsys):
        """The loss, put together from the root mean squares that MLIP-2 reports for configurations of eight atoms."""
        text = mlip(mlip2, "calc-errors", "pot.mtp", "train.cfg")
        energy, _, force, virial, _ = map(float, re.findall(r"RMS +absolute difference = (\S+)", text))
        run("train", "pot.mtp", "train.cfg", "--max-iter=0", "--l2=0")
        loss = float(re.search(r"iter 0: f=(\S+)", capsys.readouterr().out)[1])
        assert loss == pytest.approx(energy**2 / 8 + 0.01 * 24 * force**2 + 0.001 * 9 * virial**2 / 8, rel=1e-4)

    @pytest.mark.parametrize("option", [(), ("--nbh-weight=1", "--energy-weight=0")])
    def test_grades_are_the_same(self, folder, mlip2, species, option):
        mlip(mlip2, "calc-grade", "pot.mtp", "train.cfg", "test.cfg", "theirs.cfg", "--als-filename=t.als", *option)
        run("calc-grade", "pot.mtp", "train.cfg", "test.cfg", "ours.cfg", "--als-filename=o.als", *option)
        run("calc-grade", "pot.mtp", "train.cfg", "test.cfg", "loaded.cfg", "--load-als=t.als")
        theirs, ours, loaded = (
            np.array([a.info["mv_grade"] for a in read_cfg(name, species)])
            for name in ("theirs.cfg", "ours.cfg", "loaded.cfg")
        )
        np.testing.assert_allclose(loaded, theirs, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("option", [(), ("--nbh-weight=1",)])
    def test_it_reads_our_active_sets(self, folder, mlip2, species, option):
        run("calc-grade", "pot.mtp", "train.cfg", "test.cfg", "ours.cfg", "--als-filename=o.als", *option)
        settings = {"mtp-filename": "pot.mtp", "select": "TRUE", "select:load-state": "o.als"}
        settings |= {"select:threshold": 1e9, "select:threshold-break": 1e10, "write-cfgs": "theirs.cfg"}
        (folder / "mlip.ini").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
        # It takes the second argument, whatever its help says.
        mlip(mlip2, "run", "run", "mlip.ini", "--filename=test.cfg")
        ours, theirs = ([a.info["mv_grade"] for a in read_cfg(f"{whose}.cfg", species)] for whose in ("ours", "theirs"))
        np.testing.assert_allclose(theirs, ours, atol=1e-6)

    @pytest.mark.parametrize("command", ["calc-errors", "mindist"])
    def test_binary_files(self, folder, mlip2, species, capsys, command):
        mlip(mlip2, "convert-cfg", "test.cfg", "binary.cfg", "--output-format=bin")
        assert (folder / "binary.cfg").read_bytes()[:1] == b"n"
        for ours, theirs in zip(read_cfg("test.cfg", species), read_cfg("binary.cfg", species), strict=True):
            assert ours == theirs
            for key, value in labels(ours).items():
                np.testing.assert_allclose(labels(theirs)[key], value, rtol=1e-14)
        outputs = []
        for file in ("test.cfg", "binary.cfg"):
            run(command, *(["pot.mtp"] if command == "calc-errors" else []), file)
            outputs.append(capsys.readouterr().out.replace(file, ""))
        assert outputs[0] == outputs[1]

    def test_selection_is_the_same(self, folder, mlip2, species):
        mlip(mlip2, "select-add", "pot.mtp", "train.cfg", "test.cfg", "theirs.cfg")
        run("select-add", "pot.mtp", "train.cfg", "test.cfg", "ours.cfg")
        theirs, ours = (
            {round(a.positions.sum(), 4) for a in read_cfg(name, species)} for name in ("theirs.cfg", "ours.cfg")
        )
        assert ours == theirs

    def test_template_is_trained_by_either(self, folder, mlip2, capsys):
        run("init", 6, 3, "u.mtp", "--min-dist=1.4")
        mlip(mlip2, "train", "u.mtp", "train.cfg", "--max-iter=2", "--trained-pot-name=theirs.mtp")
        mtp = MTP.read("theirs.mtp")
        assert mtp.trained
        assert mtp.level == 6
        assert mtp.to_string() == (folder / "theirs.mtp").read_text()
