"""Labels by CP2K: the files of a run, and its parser."""

import pytest
from aiida import orm
from ase import Atoms

from aiida_lpsgb.calculations.label.cp2k import Cp2kLabelCalculation
from aiida_lpsgb.data.configurations import ConfigurationsData


def helium(count, element="He"):
    images = []
    for k in range(count):
        cell = [[4.0 + 0.1 * k, 0.1, 0], [0, 4.0, 0], [0, 0.2, 4.0]]
        images.append(Atoms(["S", element], [[0.1 * k, 0, 0], [1.5, 1.4, 1.6]], cell=cell, pbc=True))
    return images


@pytest.fixture
def code(aiida_code_installed):
    return aiida_code_installed(
        label="cp2k", default_calc_job_plugin="lpsgb.label.cp2k", filepath_executable="/bin/true"
    )


@pytest.fixture
def builder(code):
    """Return a factory of builders."""

    def factory(images, **arguments):
        return Cp2kLabelCalculation.get_builder_from_protocol(code, ConfigurationsData(images), **arguments)

    return factory


def files(generate_calc_job, builder):
    builder.configurations.store()
    _, folder = generate_calc_job("lpsgb.label.cp2k", builder._inputs(prune=True))
    found = {}
    for name in folder.get_content_list():
        with folder.open(name) as handle:
            found[name] = handle.read()
    return found


def test_files(generate_calc_job, builder):
    inputs = builder(helium(3), options={"max_wallclock_seconds": 100}, overrides={"version": "2024.1"})
    found = files(generate_calc_job, inputs)
    assert found["reftraj.xyz"].splitlines()[2].split()[:2] == ["He", "1.5000000000000000"]
    assert len(found["reftraj.xyz"].splitlines()) == 3 * 4
    assert float(found["reftraj.cell"].splitlines()[2].split()[2]) == 4.1
    text = found["aiida.inp"]
    for line in ("ENSEMBLE REFTRAJ", "EVAL ENERGY_FORCES", "LAST_SNAPSHOT 3", "VARIABLE_VOLUME .TRUE.", "WALLTIME 95",
                 "STRESS_TENSOR ANALYTICAL", "&GGA_X_OPTB88_VDW", "IGNORE_CONVERGENCE_FAILURE .TRUE.", "&KIND He",
                 "POTENTIAL GTH-PBE", "COORD_FILE_NAME reftraj.xyz"):  # fmt: skip
        assert line in text
    assert inputs.level_of_theory == "CP2K optB88-vdW, DZVP-MOLOPT-SR-GTH GTH-PBE"


def test_keywords_of_older_versions(generate_calc_job, builder):
    text = files(generate_calc_job, builder(helium(1), protocol="fast"))["aiida.inp"]
    assert "EVAL_ENERGY_FORCES .TRUE." in text
    assert "EVAL_FORCES .TRUE." in text
    assert "IGNORE_CONVERGENCE_FAILURE" not in text


def test_what_a_level_depends_on(builder):
    same = builder(helium(1), overrides={"force_eval": {"DFT": {"SCF": {"MAX_SCF": 7}, "MGRID": {"CUTOFF": 500}}}})
    assert same.level_of_theory == "CP2K optB88-vdW, DZVP-MOLOPT-SR-GTH GTH-PBE"
    assert same.parameters["force_eval"]["DFT"]["SCF"]["MAX_SCF"] == 7
    assert same.parameters["force_eval"]["DFT"]["SCF"]["EPS_SCF"] == 1e-6
    other = builder(
        helium(1),
        overrides={
            "force_eval": {"DFT": {"MGRID": {"CUTOFF": 300}}},
            "kinds": {"Li": {"basis_set": "TZVP-MOLOPT-GTH"}},
        },
        protocol="fast",
    )
    assert other.level_of_theory == ("CP2K PBE(CUTOFF=300), DZVP-MOLOPT-SR-GTH GTH-PBE; Li: TZVP-MOLOPT-GTH GTH-PBE")


def test_what_is_refused(builder, generate_calc_job):
    with pytest.raises(ValueError, match="configurations: 2 compositions"):
        files(generate_calc_job, builder([*helium(1), *helium(1, "Li")]))
    with pytest.raises(ValueError, match="version: is 'new', expected such as"):
        builder(helium(1), overrides={"version": "new"})
    isolated = helium(1)
    isolated[0].pbc = False
    with pytest.raises(ValueError, match="configurations: configuration 0 is not periodic"):
        files(generate_calc_job, builder(isolated))


HEADER = """\
 ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:                -{energy:.10f}

 ATOMIC FORCES in [a.u.]

 # Atom   Kind   Element          X                  Y                  Z
      1      1      He          0.010000000000     0.000000000000     0.000000000000
      2      2      S           {force}     0.000000000000     0.000000000000
 SUM OF ATOMIC FORCES          -0.001544986671    -0.001699631867    -0.001804369729     0.002920870147

 STRESS| Analytical stress tensor [GPa]
 STRESS|                        x                   y                   z
 STRESS|      x        1.00000000000E+00   4.00000000000E+00   5.00000000000E+00
 STRESS|      y        4.00000000000E+00   2.00000000000E+00   6.00000000000E+00
 STRESS|      z        5.00000000000E+00   6.00000000000E+00   3.00000000000E+00
 STRESS| 1/3 Trace                                             1.21285856871E+01

"""
CONVERGED, NOT_CONVERGED = "  *** SCF run converged in    34 steps ***\n", "  *** WARNING: SCF run NOT converged ***\n"
ENDED = "  **** **** ******  **  PROGRAM ENDED AT                 2026-01-01 00:00:00.000\n"


def evaluation(energy=1.0, force="-0.010000000000", converged=True):
    return (CONVERGED if converged else NOT_CONVERGED) + HEADER.format(energy=energy, force=force)


@pytest.fixture
def parse(generate_calc_job_node, generate_parser):
    def factory(text, count=3):
        inputs = {"configurations": ConfigurationsData(helium(count)), "level_of_theory": orm.Str("CP2K test")}
        node = generate_calc_job_node(
            "lpsgb.label.cp2k", inputs, {} if text is None else {"aiida.out": text},
            options={"output_filename": "aiida.out"},
        )  # fmt: skip
        return generate_parser("lpsgb.label.cp2k").parse_from_node(node, store_provenance=False)

    return factory


def test_all_labelled(parse):
    results, node = parse(evaluation(1.0) + evaluation(2.0) + evaluation(3.0) + ENDED)
    assert node.exit_status == 0, node.exit_message
    labelled = results["configurations"]
    assert [atoms.get_potential_energy() / 27.211386 for atoms in labelled] == pytest.approx([-1, -2, -3])
    # CP2K has the atoms by symbol: helium first.
    assert labelled[0].get_forces()[:, 0] == pytest.approx([-0.01 * 51.42207, 0.01 * 51.42207], rel=1e-6)
    assert labelled[0].get_stress() == pytest.approx([-x / 160.21766 for x in (1, 2, 3, 6, 5, 4)], rel=1e-6)
    assert labelled.level_of_theory == "CP2K test"


def test_not_converged(parse):
    results, node = parse(evaluation(1.0) + evaluation(2.0, converged=False) + evaluation(3.0) + ENDED)
    assert node.exit_status == 321
    assert "1 of 3 configurations have no label: 1: the electrons did not converge" in node.exit_message
    assert len(results["configurations"]) == 2
    assert results["results"]["unconverged"] == [1]


def test_ended_from_outside(parse):
    text = evaluation(1.0) + evaluation(2.0)
    results, node = parse(text[: text.rindex(" STRESS|      y")])
    assert node.exit_status == 301
    assert len(results["configurations"]) == 1
    assert results["results"]["not_begun"] == [1, 2]


def test_out_of_time(parse):
    text = " *** MD run terminated - exceeded requested execution time:           95 s.\n"
    _, node = parse(evaluation(1.0) + text + ENDED)
    assert node.exit_status == 400
    assert "1 of 3" in node.exit_message


def test_aborted(parse):
    box = (
        " *   ___   *\n *  /   \\  *\n * [ABORT] *\n *  \\___/   found an unknown keyword EVAL in section REFTRAJ   *\n"
        " *    |    *\n"
    )
    results, node = parse(box)
    assert node.exit_status == 310
    assert "found an unknown keyword EVAL in section REFTRAJ" in node.exit_message
    assert "configurations" not in results


def test_no_output(parse):
    _, node = parse(None)
    assert node.exit_status == 300
