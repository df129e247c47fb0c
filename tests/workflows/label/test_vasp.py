"""Labels by VASP: the true plugin and parser, and an emulator in place of the program."""

import numpy as np
import pytest
from aiida import orm
from aiida.common.exceptions import InputValidationError
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching
from aiida.plugins import WorkflowFactory
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

pytest.importorskip("aiida_vasp")

from aiida_lpsgb.data.configurations import ConfigurationsData

LabelWorkChain = WorkflowFactory("lpsgb.label")
VaspLabelWorkChain = WorkflowFactory("lpsgb.label.vasp")


def copper(count):
    images = []
    for seed in range(count):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=seed)
        atoms.set_cell(atoms.cell.array + np.random.default_rng(seed).normal(size=(3, 3)) * 0.05, scale_atoms=True)
        images.append(atoms)
    return images


@pytest.fixture
def builder(vasp_code, potcar_family):
    """Return a factory of builders of `lpsgb.label.vasp` for copper."""

    def factory(images, failures=(), overrides=None, **config):
        overrides = {"potential_family": potcar_family, "potential_mapping": {"Cu": "Cu"}, **(overrides or {})}
        return VaspLabelWorkChain.get_builder_from_protocol(
            vasp_code(failures=failures, **config),
            ConfigurationsData(images),
            overrides=overrides,
            options={"withmpi": False, "resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1}},
        )

    return factory


def marked(images, place, mode, **rule):
    """Return the rule by which the emulator fails for one of the images."""
    return {"mode": mode, "x": float(images[place].positions[0, 0]), **rule}


def test_what_failed_is_left_out_and_named(builder):
    """As VASP fails: what the plugin can mend is labelled, the rest is named with its exit status."""
    images = copper(8)
    failures = [
        marked(images, 1, "electronic"),
        marked(images, 2, "edddav"),
        marked(images, 3, "walltime"),
        marked(images, 4, "truncated"),
        marked(images, 5, "segfault"),
        marked(images, 6, "electronic", unless={"NELM": 150}),
        marked(images, 7, "walltime", times=1),
    ]
    inputs = builder(images, failures, {"max_iterations": 2}, entropy=0.5)
    inputs.max_concurrent = orm.Int(8)
    outputs, node = run_get_node(inputs)
    # What is cut or crashes may be whole another time.
    assert node.exit_status == VaspLabelWorkChain.exit_codes.ERROR_SOME_INTERRUPTED.status
    assert outputs["results"]["unlabelled"] == [1, 2, 3, 4, 5]
    for atoms, image in zip(outputs["configurations"], [images[0], *images[6:]], strict=True):
        image.calc = EMT()
        assert np.array_equal(atoms.positions, image.positions)
        assert np.array_equal(atoms.cell, image.cell)
        # The free energy, without half the entropy that lies between it and VASP's energy(sigma->0).
        assert atoms.get_potential_energy() == pytest.approx(image.get_potential_energy(), abs=1e-7)
        assert atoms.get_forces() == pytest.approx(image.get_forces(), abs=1e-7)
        assert atoms.get_stress() == pytest.approx(image.get_stress(), abs=1e-7)
    called = {link.link_label: link.node for link in node.base.links.get_outgoing().all()}
    statuses = [[run.exit_status for run in called[f"image_{place:05d}"].called] for place in range(8)]
    assert statuses == [[0], [701, 701], [700, 700], [700, 700], [0], [352], [701, 0], [700, 0]]
    assert "1: VaspWorkChain" in node.exit_message
    assert "[701] The electronic structure is not converged" in node.exit_message
    assert outputs["results"]["refused"] == {"4": "VASP's output has no total_energies, forces, stress"}
    # The plugin takes half a vasprun.xml for success, and AiiDA would reuse it for ever.
    valid = [called[f"image_{place:05d}"].called[-1].base.caching.is_valid_cache for place in (0, 1, 3, 4, 5)]
    assert valid == [True, True, False, False, False]


def test_interleaved_species_come_back_in_order(builder, generate_images):
    """VASP is given the atoms of a species together; labels are those of the configuration's own order."""
    images = generate_images(1, size=12, labelled=False)
    outputs, node = run_get_node(
        builder(
            images,
            overrides={"potential_mapping": {"Li": "Li_sv", "P": "P", "S": "S"}, "level": "PBE"},
            calculator="ase.calculators.lj:LennardJones",
            keywords={"sigma": 2.3, "epsilon": 0.1, "rc": 6.0},
        )
    )
    assert node.is_finished_ok, node.exit_message
    calculation = next(run for run in node.called_descendants if run.process_label == "VaspCalculation")
    symbols = images[0].get_chemical_symbols()
    poscar = calculation.base.repository.get_object_content("POSCAR").splitlines()
    assert poscar[5].split() == list(dict.fromkeys(symbols))
    assert symbols != sorted(symbols)
    labelled = outputs["configurations"][0]
    images[0].calc = LennardJones(sigma=2.3, epsilon=0.1, rc=6.0)
    assert labelled.get_chemical_symbols() == symbols
    assert labelled.get_forces() == pytest.approx(images[0].get_forces(), abs=1e-7)
    assert outputs["configurations"].level_of_theory == "VASP PBE, STUB.54 Li_sv"
    # Every label leads back to INCAR, POTCARs and code; POTCAR itself stays out of the repository.
    assert calculation.inputs.potential.Li.full_name == "Li_sv"
    assert calculation.inputs.parameters["encut"] == 520
    assert "POTCAR" not in calculation.base.repository.list_object_names()
    assert sorted(calculation.outputs.retrieved.list_object_names()) == [
        *("CONTCAR", "OUTCAR", "_scheduler-stderr.txt", "_scheduler-stdout.txt", "vasp_output", "vasprun.xml"),
    ]


def test_the_papers_level(builder):
    inputs = builder(copper(1))
    incar = inputs.vasp.parameters["incar"]
    paper = {
        "gga": "BO", "luse_vdw": True, "param1": 0.1833333333, "param2": 0.22, "aggac": 0.0, "lasph": True,
        "encut": 520, "ediff": 1e-5, "nsw": 0,
    }  # fmt: skip
    assert paper.items() <= incar.items()
    assert inputs.vasp.kpoints.get_kpoints_mesh()[0] == [1, 1, 1]
    assert inputs.level_of_theory == "VASP optB88-vdW, STUB.54"
    settings = inputs.vasp.settings.get_dict()
    assert settings["parser_settings"]["energy_type"] == ["energy_free"]
    assert settings["parser_settings"]["check_ionic_convergence"] is settings["CHECK_IONIC_CONVERGENCE"] is False
    assert not inputs.vasp.calc.metadata.options.withmpi


def test_what_a_level_depends_on(builder):
    """Cores and electronic minimisers change no label, a cut-off does."""
    same = builder(copper(1), overrides={"incar": {"NCORE": 4, "algo": "All", "ENCUT": 520}})
    assert same.level_of_theory == "VASP optB88-vdW, STUB.54"
    assert same.vasp.parameters["incar"]["ncore"] == 4
    other = builder(copper(1), overrides={"incar": {"ENCUT": 400}, "kpoints": [2, 2, 2]})
    assert other.level_of_theory == "VASP optB88-vdW(ENCUT=400, KPOINTS=[2, 2, 2]), STUB.54"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"potential_mapping": None}, "override 'potential_mapping' is needed"),
        ({"potential_family": ""}, "override 'potential_family' is needed"),
        ({"level": "B3LYP"}, "'B3LYP' is not known; there are PBE, optB88-vdW"),
        ({"encut": 400}, "override 'encut' is no entry"),
    ],
)
def test_what_a_builder_refuses(builder, overrides, message):
    with pytest.raises(ValueError, match=message):
        builder(copper(1), overrides=overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"potential_mapping": {"Li": "Li"}}, "potential_mapping: names no POTCAR for Cu"),
        ({"potential_mapping": {"Cu": "Cu_pv"}}, "potential_mapping: the family STUB.54 has no Cu_pv"),
        ({"potential_family": "PBE.64"}, 'family "PBE.64" is not found'),
    ],
)
def test_potentials_that_are_not_there(vasp_code, potcar_family, generate_workchain, overrides, message):
    """Refused by `lpsgb.label` before anything is submitted."""
    overrides = {"potential_family": potcar_family, "potential_mapping": {"Cu": "Cu"}} | overrides
    configurations = ConfigurationsData(copper(1))
    with pytest.raises((ValueError, InputValidationError), match=message):
        generate_workchain(
            "lpsgb.label",
            LabelWorkChain.get_builder_from_protocol(
                {"label": vasp_code()}, configurations, overrides={"engine": overrides}
            )._inputs(prune=True),
        )


def test_isolated_configurations_are_refused(builder, generate_workchain):
    images = copper(3)
    images[1].pbc = [True, True, False]
    with pytest.raises(ValueError, match="configurations: configuration 1 is not periodic along all three axes"):
        generate_workchain("lpsgb.label.vasp", builder(images)._inputs(prune=True))


def test_through_lpsgb_label(vasp_code, potcar_family):
    """The engine is found by the code; labels of another set with the same configuration come from the cache."""
    images = copper(3)
    code = vasp_code(failures=[marked(images, 1, "segfault", times=1)])
    overrides = {"engine": {"potential_family": potcar_family, "potential_mapping": {"Cu": "Cu"}}}
    options = {"withmpi": False, "resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1}}
    with enable_caching(identifier="aiida.calculations:vasp.vasp"):
        inputs = LabelWorkChain.get_builder_from_protocol(
            {"label": code},
            ConfigurationsData(images[:2]),
            protocol="fast",
            overrides=overrides,
            options={"label": options},
        )
        outputs, node = run_get_node(inputs)
        # What a crash has left is tried once more, and nothing else is.
        assert node.is_finished_ok, node.exit_message
        assert outputs["results"]["n_labelled"] == 2
        assert [len(run.inputs.configurations) for run in node.called if run.process_label == "VaspLabelWorkChain"] == [
            2,
            1,
        ]
        inputs.configurations = ConfigurationsData(images)
        outputs, node = run_get_node(inputs)
    assert node.is_finished_ok, node.exit_message
    assert outputs["configurations"].level_of_theory == "VASP PBE, STUB.54"
    jobs = [run for run in node.called_descendants if run.process_label == "VaspCalculation"]
    assert [job.base.caching.is_created_from_cache for job in sorted(jobs, key=lambda job: job.pk)] == [
        True,
        True,
        False,
    ]
