"""A study that examines its potentials first: argon by Lennard-Jones, held against another Lennard-Jones."""

from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import WorkflowFactory
from ase.build import bulk

from aiida_lpsgb.data.pair_style import PairStyleData
from aiida_lpsgb.report import study_results
from aiida_lpsgb.report.tables.learning import cards_table, properties_table
from aiida_lpsgb.report.tables.sentences import warnings

StudyWorkChain = WorkflowFactory("lpsgb.study")
HOLD = {"ensemble": "nvt", "temperature_K": 20, "duration_ps": 0.2}
OVERRIDES = {
    "mobile": {"species": "Ar", "charge": 1},
    "properties": {
        "start": {"amplitudes": [0.02], "n_rattles": 1},
        "relaxation": {"force_tolerance_ev_angstrom": 1e-4, "stress_tolerance_GPa": 1e-3},
        "deformation": {"volume_strains": []},
        "drift": {"parameters": {"stages": [HOLD, HOLD | {"ensemble": "nve", "duration_ps": 0.4}]}},
    },
    "transport": {
        "temperatures_K": [30],
        "structural_temperatures_K": [],
        "budget": None,
        "motion": ["diffusivity"],
        "parameters": {"stages": [HOLD | {"name": "produce", "duration_ps": 2, "dump_interval_ps": 0.02}]},
    },
    "recipes": {"crystal": {"learn": None, "run": {"n_atoms": 30}}},
}


def lines(epsilon=0.0104):
    return ["pair_style lj/smooth/linear 7", f"pair_coeff 1 1 {epsilon} 3.40"]


def run(installed_code, **overrides):
    codes = {
        "label": installed_code("lpsgb-label", "lpsgb.label.ase"),
        "md": installed_code("lmp", "lpsgb.md"),
        "analyse": installed_code("lpsgb-analyse", "lpsgb.analyse"),
    }
    builder = StudyWorkChain.get_builder_from_protocol(
        codes,
        orm.StructureData(ase=bulk("Ar", a=5.3, cubic=True)),
        {"crystal": {"kind": "crystal"}},
        potentials={"p1": PairStyleData(lines(), ["Ar"])},
        protocol="fast",
        overrides={**OVERRIDES, **overrides},
        seed=orm.Int(1),
    )
    # Half again as stiff.
    calculator = "aiida_lpsgb.labelling.potentials:pair_style"
    builder.reference = orm.Dict({"calculator": calculator, "keywords": {"lines": lines(0.0156), "species": ["Ar"]}})
    return run_get_node(builder)


def test_a_potential_that_is_not_fit_ends_the_study(installed_code):
    results, node = run(installed_code)
    assert node.exit_status == 407
    assert "bulk modulus (Hill), off the label engine's: bulk_modulus_percent is 33" in node.exit_message
    card = results["cards"]["p1"].get_dict()
    assert not card["passed"]
    checks = {check["check"]: check for check in card["checks"]}
    assert checks["stable"]["passed"] is checks["density_percent"]["passed"] is True
    assert checks["energy_drift_mev_atom_ps"]["passed"] is True
    assert checks["test_forces_rmse_mev_A"]["passed"] is None
    assert set(results["properties"]) == {"p1", "reference"}
    assert "systems" not in results

    found = study_results(node)
    rows = {row[0]: row[2] for row in cards_table(found).rows}
    assert rows["all"] == "fails"
    assert rows["bulk_modulus_percent"].startswith("33")
    assert rows["bulk_modulus_percent"].endswith(", fails")
    assert {row[0].split(" ")[0] for row in properties_table(found).rows} == {"p1", "reference"}
    assert any(sentence.startswith("p1 is not fit for production: bulk modulus") for sentence in warnings(found))


def test_it_goes_on_where_it_is_told_to(installed_code):
    results, node = run(installed_code, go_on_anyway=True)
    assert node.is_finished_ok, node.exit_message
    assert not results["cards"]["p1"]["passed"]
    assert "crystal" in results["systems"]
    assert "table" in results
