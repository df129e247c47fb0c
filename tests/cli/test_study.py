"""`aiida-lpsgb study`: what it shows, asks, saves and refuses; nothing is run here."""

from pathlib import Path

import pytest
import yaml
from aiida import orm
from click.testing import CliRunner

from aiida_lpsgb.cli import main

CRYSTALS = Path(__file__).parents[2] / "examples" / "data"


@pytest.fixture
def study(computer):
    """Return a function that runs the command dry."""

    def run(crystal, *arguments, code=0):
        path = crystal if Path(crystal).suffix else CRYSTALS / f"{crystal}.cif"
        words = ["study", str(path), "--computer", computer, "--dry-run", *map(str, arguments)]
        result = CliRunner().invoke(main, words)
        assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
        return result.output

    return run


@pytest.mark.parametrize("name", ["li3n", "li6ps5cl", "li7la3zr2o12", "na3ps4"])
def test_a_crystal_is_all_that_is_needed(study, name):
    output = study(name)
    for part in ("Guessed", "mobile ion", "change: --charge", "To run", "SevenNet-0", "At most", "core-hours"):
        assert part in output
    assert output.endswith("nothing was submitted.\n")


def test_systems_and_numbers_are_shown(study):
    output = study("li6ps5cl", "--boundary", "001/120", "--twist", "001", "--interface", "001", "--seed", 7)
    assert "crystal, tilt_001_120, twist_001, glass, interface_001" in output
    assert "seed                   7" in output
    labels = int(next(line for line in output.splitlines() if line.startswith("  at most")).split()[2])
    assert labels > 300  # of active learning alone


def test_what_is_given_is_not_guessed(study):
    output = study("na3ps4", "--mobile", "Na", "--charge", "Na=1", "--charge", "P=5", "--charge", "S=-2", "--no-units")
    assert "Na 1, P 5, S -2 (as given)" in output
    assert "change: --charge" not in output


def test_a_study_is_saved_and_read_back(study, tmp_path):
    path = tmp_path / "study.yaml"
    first = study("na3ps4", "--set", "transport.temperatures_K=[700]", "--label", "chgnet", "--save", path)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert content["overrides"]["transport"]["temperatures_K"] == [700]
    assert content["systems"] == {"crystal": {"kind": "crystal"}}
    again = study(path, "--twist", "001", "--protocol", "moderate")
    assert "CHGNet" in again
    assert "crystal, twist_001" in again
    assert str(content["seed"]) in first
    assert str(content["seed"]) in again


def test_given_potentials(study, data_path):
    file = data_path / "mtp" / "li3ps4_level8.mtp"
    assert "--species Li,P,S" in study("beta-li3ps4", "--potential", file, code=1)
    output = study("beta-li3ps4", "--potential", file, "-s", "Li,P,S")
    assert "1 given, nothing is learned" in output
    assert "exploration" not in output
    assert "potentials.p1: it knows ['Li', 'P', 'S'] and not ['Na']" in study(
        "na3ps4", "--potential", file, "-s", "Li,P,S", code=1
    )


def test_a_saved_study_names_nodes_by_uuid(study, generate_potential, tmp_path):
    node = generate_potential(species=("Li", "N")).store()
    study("li3n", "--potential", node.pk, "--save", tmp_path / "study.yaml")
    assert yaml.safe_load((tmp_path / "study.yaml").read_text(encoding="utf-8"))["potentials"] == [node.uuid]


def test_own_frames_take_the_place_of_the_start_set(study, generate_images, tmp_path):
    from ase.io import write

    write(tmp_path / "frames.extxyz", generate_images(3))
    frames = ("--from", tmp_path / "frames.extxyz")
    assert "do not say what gave the labels" in study("beta-li3ps4", *frames, code=1)
    assert "SevenNet-0: they cannot be mixed" in study("beta-li3ps4", *frames, "-l", "PBE", code=1)
    output = study("beta-li3ps4", *frames, "-l", "SevenNet-0")
    assert "start set" not in output
    assert "start set" in study("beta-li3ps4", *frames, "-l", "SevenNet-0", "--start-set")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "potential.level=7"), "`level` is 7; it is an even number from 2 to 28"),
        (("--set", "potential.level=[8]"), "`level` is [8]; it is an even number"),
        (("--set", "transport.temperatures_K=700"), "'transport.temperatures_K' is 700, not a list"),
        (("--set", "transport.temperatures_K=[hot]"), "temperatures must be above 0 K, one is 'hot'"),
        (("--set", "transport.tempratures_K=[700]"), "'transport.tempratures_K' is no entry of the protocol"),
        (("--set", "level"), "give path=value"),
        (("--set", "ordering=5"), "override 'ordering' is 5, not a dictionary"),
        (("--set", "validate=false"), "override 'validate' is False, not a dictionary"),
        (("--boundary", "001/000"), "plane must not be zero"),
        (("--boundary", "001/12"), "'12' is not three integers"),
        (("--charge", "Na=1"), "no formal charge given for P, S"),
        (("--mobile", "Li"), "mobile ion Li is not in the crystal"),
        (("--label", "mace"), "label 'mace' is none; choose one of"),
        (("--label", "cp2k:PBE0"), "level of theory 'PBE0' is not known"),
        (("--set", "transport.parameters.stages=[{ensemble: nph, duration_ps: 1, temperature_K: target}]"), "'nph'"),
        (("--set", "transport.parameters.stages=[{ensemble: nvt, duration: 1, temperature_K: target}]"), "duration_ps"),
        (
            ("--set", "transport.parameters.stages=[{ensemble: nvt, duration_ps: 1, temperature_K: target}]"),
            "no stage sets `dump_interval_ps`",
        ),
        (("--set", "ordering.n_candidats=2"), "unknown n_candidats"),
        (("--set", "start_set.amplitudes=[.nan]"), "start_set: amplitudes must be a list of numbers"),
        (("--set", "recipes.crystal.run.n_atoms=-1"), "n_atoms must be a number that is not negative"),
        (("--set", "mobile.species=Xx"), "species"),
        (("--set", "transport.analyse.rdf.r_max=9"), "r_max"),
        (("--set", "transport.analyse.speciation.cutoff_A=-1"), "cutoff_A"),
        (("--set", "ordering.supercell=[0,1,1]"), "supercell must be three positive integers"),
        (("--set", "active_learning.settings.grade=atoms"), "`grade` is 'atoms'; choose one of configuration"),
        (("--set", "transport.parameters.timestep_fs=200"), "no atom is followed by steps above 20 fs"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(study, arguments, message):
    output = study("na3ps4", *arguments, code=1)
    assert message in output
    assert "Traceback" not in output


def test_it_asks_before_it_submits(computer):
    words = ["study", str(CRYSTALS / "li3n.cif"), "--computer", computer]
    result = CliRunner().invoke(main, words, input="n\n")
    assert result.exit_code == 1
    assert "Submit it? [y/N]: n" in result.output


def test_without_a_daemon_nothing_is_submitted(computer):
    before = orm.QueryBuilder().append(orm.WorkChainNode).count()
    result = CliRunner().invoke(main, ["study", str(CRYSTALS / "li3n.cif"), "--computer", computer, "--yes"])
    assert result.exit_code == 1
    assert "Nothing was submitted. The daemon is not running" in result.output + str(result.exception)
    assert orm.QueryBuilder().append(orm.WorkChainNode).count() == before


def test_codes_that_are_missing(computer):
    result = CliRunner().invoke(main, ["study", str(CRYSTALS / "li3n.cif"), "--computer", "elsewhere", "--dry-run"])
    assert result.exit_code == 1
    assert "aiida-lpsgb quicksetup" in result.output


def test_levels_of_every_engine():
    output = CliRunner().invoke(main, ["levels"]).output
    assert "  SevenNet-0 + D3\n" in output
    assert "  optB88-vdW" in output


def test_a_study_of_several_scales(study):
    path = CRYSTALS.parent / "jalem2023.yaml"
    assert "crystal, tilt_120, twist_001" in study(path, "--scale", "fast")
    assert "which scale? There are paper: The cells" in study(path, code=1)
    assert "scales are those of a study in a YAML file" in study("na3ps4", "--scale", "fast", code=2)


def test_published_numbers_are_read_before_anything_is_submitted(study, tmp_path):
    (tmp_path / "numbers.yaml").write_text("systems: 3")
    text = f"{{format: 1, crystal: {CRYSTALS / 'na3ps4.cif'}, systems: {{}}, published: numbers.yaml}}"
    (tmp_path / "study.yaml").write_text(text)
    assert "expected `systems`, a dictionary of published numbers by system" in study(tmp_path / "study.yaml", code=1)
