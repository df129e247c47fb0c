"""Import from other programs' files, and export."""

import gzip
import shutil
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from aiida_lpsgb.labelling import files, readers
from aiida_lpsgb.labelling.container import with_labels

CP2K = Path(__file__).parents[1] / "data" / "cp2k"


def copper(count=1):
    images = []
    for seed in range(count):
        atoms = bulk("Cu", cubic=True)
        atoms.set_cell(atoms.cell.array + np.random.default_rng(seed).normal(size=(3, 3)) * 0.05, scale_atoms=True)
        atoms.rattle(0.1, seed=seed)
        atoms.wrap()
        atoms.calc = EMT()
        images.append(atoms)
    return images


def labelled(count=1):
    return [
        with_labels(atoms, energy=atoms.get_potential_energy(), forces=atoms.get_forces(), stress=atoms.get_stress())
        for atoms in copper(count)
    ]


def assert_alike(found, expected, tolerance=1e-7):
    assert len(found) == len(expected)
    for atoms, image in zip(found, expected, strict=True):
        assert atoms.get_chemical_symbols() == image.get_chemical_symbols()
        assert atoms.cell.array == pytest.approx(image.cell.array, abs=tolerance)
        shift = (atoms.get_scaled_positions() - image.get_scaled_positions() + 0.5) % 1 - 0.5
        assert np.abs(shift).max() < tolerance
        assert atoms.get_potential_energy() == pytest.approx(image.get_potential_energy(), abs=tolerance)
        assert atoms.get_forces() == pytest.approx(image.get_forces(), abs=tolerance)
        assert atoms.get_stress() == pytest.approx(image.get_stress(), abs=tolerance)


# --- VASP -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("name", "tolerance"), [("vasprun.xml", 1e-7), ("OUTCAR", 2e-5)])
def test_vasp(emulate, name, tolerance, packed):
    """The energy is the free energy, whose slopes the forces are."""
    path = emulate(copper()[0], entropy=0.5) / name
    if packed:
        path = shutil.move(path, path.with_name(f"my_{name}"))
        packed_path = Path(f"{path}.gz")
        packed_path.write_bytes(gzip.compress(Path(path).read_bytes()))
        path = packed_path
    found = files.read(path, level_of_theory="EMT")
    assert found.level_of_theory == "EMT"
    assert_alike(found.images, copper(), tolerance)


@pytest.mark.parametrize("name", ["vasprun.xml", "OUTCAR"])
def test_dynamics_of_vasp(emulate, name):
    """Energies are potential energies; a step that did not converge is named by its number."""
    incar = "IBRION = 0\nNSW = 4\nPOTIM = 2\nTEBEG = 300"
    path = emulate(copper()[0], incar, failures=[{"mode": "electronic", "step": 3}]) / name
    with pytest.raises(ValueError, match=rf"{name}, frame 2: the electrons did not converge in 60 steps \(NELM 60\)"):
        files.read(path, level_of_theory="EMT")
    found = files.read(path, level_of_theory="EMT", skip=True)
    assert len(found.images) == 3
    assert found.skipped == [f"{path}, frame 2: the electrons did not converge in 60 steps (NELM 60)"]
    for atoms in found.images:
        again = atoms.copy()
        again.calc = EMT()
        assert atoms.get_potential_energy() == pytest.approx(again.get_potential_energy(), abs=1e-4)
        assert atoms.get_forces() == pytest.approx(again.get_forces(), abs=1e-3)


@pytest.mark.parametrize(("name", "tolerance"), [("vasprun.xml", 1e-6), ("OUTCAR", 2e-5)])
def test_vasp_under_pressure(emulate, name, tolerance):
    """Energies in vasprun.xml hold the work of PSTRESS: 31 eV here."""
    path = emulate(copper()[0], "NSW = 0\nPSTRESS = 1000") / name
    assert_alike(files.read(path, level_of_theory="EMT").images, copper(), tolerance)


def test_level_of_a_run_of_vasp(emulate):
    """Known from INCAR and POTCAR; cores and the atoms' motion are no part of it."""
    one = emulate(copper()[0], "NSW = 0\nGGA = PE\nNCORE = 4") / "vasprun.xml"
    two = emulate(copper()[0], "IBRION = 0\nNSW = 2\nTEBEG = 300\nGGA = PE") / "vasprun.xml"
    other = emulate(copper()[0], "NSW = 0\nGGA = BO") / "vasprun.xml"
    found = files.read([one, two])
    assert found.level_of_theory == "VASP(ENCUT=300.0, GGA=Pe), PAW_PBE Cu 01Jan2026"
    assert len(found.images) == 3
    with pytest.raises(ValueError, match="different levels of theory would be mixed"):
        files.read([one, other])
    assert len(files.read([one, other], level_of_theory="both").images) == 2


@pytest.mark.parametrize("name", ["vasprun.xml", "OUTCAR"])
def test_a_run_of_vasp_that_was_ended_from_outside(emulate, name):
    """The steps before are there; where it ended is told."""
    incar = "IBRION = 0\nNSW = 4\nPOTIM = 2\nTEBEG = 300"
    whole = files.read(emulate(copper()[0], incar) / name, level_of_theory="EMT").images
    path = emulate(copper()[0], incar, failures=[{"mode": "walltime", "step": 3}]) / name
    with pytest.raises(ValueError, match=f"{name}, frame 2: the file is cut short here"):
        files.read(path, level_of_theory="EMT")
    found = files.read(path, level_of_theory="EMT", skip=True)
    assert_alike(found.images, whole[:2], 1e-12)
    assert len(files.read(path, labelled=False).images) == 2  # the last of them once
    path = emulate(copper()[0], incar, failures=[{"mode": "walltime", "step": 1}]) / name
    with pytest.raises(ValueError, match="no ionic step, or the file is cut short before the first was done"):
        files.read(path, level_of_theory="EMT", skip=True)


def test_an_outcar_of_two_runs(emulate, tmp_path):
    """Ionic steps are numbered anew in each run: those of the first must not be judged by those of the second."""
    incar = "IBRION = 0\nNSW = 4\nPOTIM = 2\nTEBEG = 300"
    first = emulate(copper()[0], incar, failures=[{"mode": "electronic", "step": 3}]) / "OUTCAR"
    second = emulate(copper()[0], incar) / "OUTCAR"
    path = tmp_path / "OUTCAR"
    path.write_text(first.read_text() + second.read_text())
    found = files.read(path, level_of_theory="EMT", skip=True)
    assert found.skipped == [f"{path}, frame 2: the electrons did not converge in 60 steps (NELM 60)"]
    assert len(found.images) == 7


def test_an_outcar_with_steps_of_a_force_field(emulate):
    path = emulate(copper()[0]) / "OUTCAR"
    learned = "  ML FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n  ---\n  free  energy ML TOTEN  =  -9.0 eV\n\n"
    path.write_text(path.read_text().replace("  FREE ENERGIE", learned + "  FREE ENERGIE"))
    with pytest.raises(ValueError, match=r"OUTCAR cannot be read: .* machine-learned force field: read vasprun\.xml"):
        files.read(path, level_of_theory="EMT")


# --- CP2K -----------------------------------------------------------------------------------------------------------


def test_dynamics_of_cp2k(tmp_path):
    """Stress is that of the output: the file of stresses holds the motion of the atoms too."""
    shutil.copytree(CP2K, tmp_path / "run")
    path = tmp_path / "run" / "run-pos-1.xyz"
    found = files.read(path, level_of_theory="CP2K PBE")
    assert len(found.images) == 4
    first, last = found.images[0], found.images[-1]
    assert first.cell.array.tolist() == [[4.0, 0.1, 0.0], [0.0, 4.0, 0.0], [0.3, 0.0, 4.0]]
    assert last.cell[0, 0] == pytest.approx(3.9975574919)
    assert first.get_potential_energy() == pytest.approx(-4.0671585700 * units.Hartree)
    assert first.get_forces()[1, 0] == pytest.approx(-0.0293801705 * units.Hartree / units.Bohr)
    assert first.get_stress()[0] == pytest.approx(0.322832147087 * units.GPa)
    assert first.get_stress()[5] == pytest.approx(-0.826460486915 * units.GPa)

    text = (tmp_path / "run" / "run.out").read_text()
    (tmp_path / "run" / "run.out").write_text(text.replace("SCF run converged in    11", "SCF run NOT converged in", 1))
    with pytest.raises(ValueError, match="frame 0: the electrons did not converge"):
        files.read(path, level_of_theory="CP2K PBE")
    (tmp_path / "run" / "run.out").unlink()
    assert "stress" not in files.read(path, level_of_theory="CP2K PBE").images[0].calc.results
    (tmp_path / "run" / "run-1.cell").unlink()
    with pytest.raises(ValueError, match=r"run-1.cell is not beside it: let CP2K print it \(MOTION/PRINT/CELL\)"):
        files.read(path, level_of_theory="CP2K PBE")


@pytest.mark.parametrize("name", ["run-1.cell", "run-frc-1.xyz"])
def test_files_of_cp2k_at_other_steps(tmp_path, name):
    """Rows of the cell must be those of the frames, not merely as many."""
    shutil.copytree(CP2K, tmp_path / "run")
    for file, width in (("run-1.cell", 1), ("run-pos-1.xyz", 5), ("run-frc-1.xyz", 5)):
        if file != name:
            lines = (tmp_path / "run" / file).read_text().splitlines(keepends=True)
            head, frames = lines[: len(lines) % width or (width == 1)], lines[width == 1 :]
            kept = [line for number, line in enumerate(frames) if number // width % 2 == 0]
            (tmp_path / "run" / file).write_text("".join([*head, *kept]))
    with pytest.raises(ValueError, match=rf"{name} is of other steps than run-pos-1.xyz: all files must be printed"):
        files.read(tmp_path / "run" / "run-pos-1.xyz", level_of_theory="CP2K PBE")


def test_a_single_point_of_cp2k(tmp_path):
    """The cell has three decimals, its lengths and angles six: both are used."""
    path = shutil.copy(CP2K / "single_point.out", tmp_path)
    atoms = files.read(path, level_of_theory="CP2K PBE").images[0]
    given = [[4.01234, 0.10333, 0.0511], [0.0, 4.0, 0.0], [0.3, 0.0, 4.0]]
    assert atoms.cell.array == pytest.approx(np.array(given), abs=4e-4)
    assert atoms.get_volume() == pytest.approx(np.linalg.det(given), rel=1e-6)
    assert atoms.get_chemical_symbols() == ["He", "H", "H"]
    assert atoms.positions[2].tolist() == [2.1, 1.6, 1.9]
    assert atoms.get_potential_energy() == pytest.approx(-110.668613818)
    assert atoms.get_forces()[2, 0] == pytest.approx(1.53893237)
    assert atoms.get_stress()[1] == pytest.approx(0.01309825)
    text = Path(path).read_text()
    Path(path).write_text(text.replace("SCF run converged in", "SCF run NOT converged"))
    with pytest.raises(ValueError, match="frame 0: the electrons did not converge"):
        files.read(path, level_of_theory="CP2K PBE")
    (tmp_path / "run.log").write_text((CP2K / "run.out").read_text())
    with pytest.raises(
        ValueError, match=r"it holds 4 configurations, and positions of one at most: read NAME-pos-1\.xyz"
    ):
        files.read(tmp_path / "run.log", level_of_theory="CP2K PBE")


# --- files of learning ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".cfg", ".extxyz", ".xyz", ".traj", ".db"])
def test_round_trip(tmp_path, suffix):
    path = tmp_path / f"set{suffix}"
    files.write(path, labelled(3), ["Cu"], "EMT")
    found = files.read(path, ["Cu"], None if suffix != ".cfg" else "EMT")
    assert_alike(found.images, labelled(3), 1e-12)
    assert found.level_of_theory == "EMT"


def test_a_suffix_that_is_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"set.cif: the format is told by the suffix, one of .cfg, .extxyz"):
        files.write(tmp_path / "set.cif", labelled(), ["Cu"])
    assert not (tmp_path / "set.cif").exists()


def write_xyz(path, images, energy="energy", forces="forces", tensor="stress", scale=lambda _: 1.0, shape=(3, 3)):
    """Write extended XYZ with other names, in the sign and shape of a virial where told."""
    text = ""
    for atoms in images:
        stress = atoms.get_stress(voigt=False) * scale(atoms)
        values = stress.ravel() if shape == (3, 3) else stress.ravel()[[0, 4, 8, 5, 2, 1]]
        lattice = " ".join(map(repr, atoms.cell.array.ravel().tolist()))
        text += f'{len(atoms)}\nLattice="{lattice}" Properties=species:S:1:pos:R:3:{forces}:R:3 '
        numbers = " ".join(map(repr, values.tolist()))
        text += f'{energy}={float(atoms.get_potential_energy())!r} {tensor}="{numbers}" pbc="T T T"\n'
        for symbol, row in zip(
            atoms.get_chemical_symbols(), np.hstack([atoms.positions, atoms.get_forces()]).tolist(), strict=True
        ):
            text += f"{symbol} {' '.join(map(repr, row))}\n"
    path.write_text(text)


@pytest.mark.parametrize(
    ("energy", "forces", "tensor", "virial"),
    [
        ("energy", "forces", "stress", False),
        ("REF_energy", "REF_forces", "REF_stress", False),
        ("dft_energy", "dft_forces", "virial", True),
        ("free_energy", "force", "virials", True),
        ("Energy", "Forces", "dft_virial", True),
    ],
)
def test_extended_xyz_by_any_name(tmp_path, energy, forces, tensor, virial):
    write_xyz(tmp_path / "set.xyz", labelled(2), energy, forces, tensor, lambda a: -a.get_volume() if virial else 1.0)
    found = files.read(tmp_path / "set.xyz", level_of_theory="EMT")
    assert_alike(found.images, labelled(2), 1e-10)
    # Labels are on the calculator and nowhere else.
    assert not set(found.images[0].info) & {energy, tensor}
    assert forces not in found.images[0].arrays


@pytest.mark.parametrize("suffix", [".xyz", ".db"])
def test_labels_by_two_names_that_differ(tmp_path, suffix):
    """Energies of a potential beside those of its reference, whose forces may be taken, would be mixed."""
    image, other = labelled()[0], labelled()[0]
    path = tmp_path / f"set{suffix}"
    for atoms, shift in ((image, 1.0), (other, 0.0)):
        atoms.info["dft_energy"] = atoms.get_potential_energy() + shift
    if suffix == ".db":
        with ase.db.connect(path) as rows:
            for atoms in (other, image):
                rows.write(atoms, key_value_pairs={"dft_energy": atoms.info["dft_energy"]})
    else:
        files.write(path, [other, image], ["Cu"])
    message = "frame 1: energy and dft_energy differ: leave the one that is to be learned"
    with pytest.raises(ValueError, match=message):
        files.read(path, level_of_theory="EMT")
    assert len(files.read(path, level_of_theory="EMT", skip=True).images) == 1


def test_the_free_energy_comes_first(tmp_path):
    atoms = labelled()[0]
    results = {**atoms.calc.results, "free_energy": -7.0}
    atoms.calc = SinglePointCalculator(atoms, **results)
    ase.io.write(tmp_path / "set.traj", atoms)
    assert files.read(tmp_path / "set.traj", level_of_theory="a").images[0].get_potential_energy() == -7.0


@pytest.fixture
def deepmd(tmp_path):
    """Return a system of DeePMD-kit in two sets, and its images."""
    images = labelled(3)
    path = tmp_path / "system"
    path.mkdir()
    (path / "type.raw").write_text("0\n0\n0\n0\n")
    (path / "type_map.raw").write_text("Cu\n")
    for number, part in enumerate((images[:2], images[2:])):
        folder = path / f"set.{number:03d}"
        folder.mkdir()
        np.save(folder / "coord.npy", [atoms.positions.ravel() for atoms in part])
        np.save(folder / "box.npy", [atoms.cell.array.ravel() for atoms in part])
        np.save(folder / "energy.npy", [atoms.get_potential_energy() for atoms in part])
        np.save(folder / "force.npy", [atoms.get_forces().ravel() for atoms in part])
        virials = [-atoms.get_volume() * atoms.get_stress(voigt=False).ravel() for atoms in part]
        np.save(folder / "virial.npy", virials)
    return path, images


def test_deepmd(deepmd):
    path, images = deepmd
    assert_alike(files.read(path, level_of_theory="EMT").images, images, 1e-12)
    (path / "set.001" / "force.npy").unlink()
    with pytest.raises(ValueError, match="system, frame 2: no forces"):
        files.read(path, level_of_theory="EMT")
    assert len(files.read(path, level_of_theory="EMT", skip=True).images) == 2
    (path / "type_map.raw").unlink()
    with pytest.raises(ValueError, match="there are names for 0: give the species"):
        files.read(path, level_of_theory="EMT")
    (path / "nopbc").touch()
    with pytest.raises(ValueError, match="frame 0: not periodic along all three axes"):
        files.read(path, ["Cu"], level_of_theory="EMT")


def test_deepmd_of_mixed_types(deepmd):
    """Where every frame has types of its own, type.raw does not say them."""
    path, _ = deepmd
    (path / "type_map.raw").write_text("Cu\nAg\n")
    np.save(path / "set.001" / "real_atom_types.npy", [[0, 1, 1, 0]])
    found = files.read(path, level_of_theory="EMT").images
    assert found[0].get_chemical_symbols() == ["Cu"] * 4
    assert found[2].get_chemical_symbols() == ["Cu", "Ag", "Ag", "Cu"]
    np.save(path / "set.001" / "real_atom_types.npy", [[0, 2, 1, 0]])
    with pytest.raises(ValueError, match="has the type 2 and there are names for 2"):
        files.read(path, level_of_theory="EMT")


def test_deepmd_of_atoms_that_are_none(deepmd):
    """Types below zero fill up frames of fewer atoms; they are no last element."""
    path, _ = deepmd
    (path / "type_map.raw").write_text("Cu\nAg\n")
    np.save(path / "set.001" / "real_atom_types.npy", [[0, 1, 1, -1]])
    with pytest.raises(ValueError, match=r"set.001, frame 0: atoms of type -1, which is no element"):
        files.read(path, level_of_theory="EMT")


@pytest.mark.parametrize("name", ["energy", "force", "box"])
def test_deepmd_of_different_numbers_of_frames(deepmd, name):
    path, _ = deepmd
    file = path / "set.000" / f"{name}.npy"
    array = np.load(file)
    np.save(file, np.concatenate([array, array[:1]]))
    with pytest.raises(ValueError, match=rf"set.000 has different numbers of frames: .*3 in {name}.npy"):
        files.read(path, level_of_theory="EMT")


def test_configurations_of_mlip_that_did_not_converge(tmp_path):
    image = labelled()[0]
    image.info["features"] = {"EFS_by": "VASP_not_converged"}
    files.write(tmp_path / "set.cfg", [*labelled(2), image], ["Cu"])
    with pytest.raises(ValueError, match=r"set.cfg, frame 2: the electrons did not converge"):
        files.read(tmp_path / "set.cfg", ["Cu"], level_of_theory="EMT")
    image.info["features"] = {"EFS_by": "VASP"}
    files.write(tmp_path / "set.cfg", [image], ["Cu"])
    assert len(files.read(tmp_path / "set.cfg", ["Cu"], level_of_theory="EMT").images) == 1


# --- what is refused ------------------------------------------------------------------------------------------------


def broken(what):
    atoms = labelled()[0]
    results = dict(atoms.calc.results)
    if what == "forces":
        results.pop("forces")
    elif what == "energy":
        results.pop("energy")
    elif what == "nan":
        results["energy"] = np.nan
    elif what == "large":
        results["forces"] = results["forces"] + 300.0
    elif what == "pbc":
        atoms.pbc = [True, True, False]
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("forces", "no forces"),
        ("energy", "no energy"),
        ("nan", "energy not finite"),
        ("large", "a force of .* above max_force"),
        ("pbc", r"not periodic along all three axes \(pbc TTF\)"),
    ],
)
def test_what_cannot_be_learned_from(tmp_path, what, message):
    path = tmp_path / "set.traj"
    ase.io.write(path, [*labelled(2), broken(what)])
    with pytest.raises(ValueError, match=rf"set.traj, frame 2: {message}"):
        files.read(path, level_of_theory="EMT")
    found = files.read(path, level_of_theory="EMT", skip=True)
    assert len(found.images) == 2
    assert len(found.skipped) == 1
    ase.io.write(path, broken(what))
    with pytest.raises(ValueError, match="there is no labelled configuration"):
        files.read(path, level_of_theory="EMT", skip=True)


def test_levels(tmp_path):
    files.write(tmp_path / "one.xyz", labelled(), ["Cu"], "PBE")
    files.write(tmp_path / "two.xyz", labelled(), ["Cu"], "optB88-vdW")
    files.write(tmp_path / "none.xyz", labelled(), ["Cu"])
    both = tmp_path / "both.xyz"
    both.write_text((tmp_path / "one.xyz").read_text() + (tmp_path / "two.xyz").read_text())
    assert files.read(tmp_path / "one.xyz").level_of_theory == "PBE"
    with pytest.raises(
        ValueError, match=r"different levels of theory would be mixed .*one.xyz, frame 0: PBE; .*two.xyz"
    ):
        files.read([tmp_path / "one.xyz", tmp_path / "two.xyz"])
    with pytest.raises(ValueError, match=r"both.xyz, frame 0: PBE; .*both.xyz, frame 1: optB88-vdW"):
        files.read(both)
    with pytest.raises(ValueError, match=r"none.xyz, frame 0: not known"):
        files.read([tmp_path / "one.xyz", tmp_path / "none.xyz"])
    with pytest.raises(ValueError, match="level_of_theory: the files do not say what gave the labels"):
        files.read(tmp_path / "none.xyz")


def test_files_that_are_none(tmp_path):
    (tmp_path / "a.xyz").write_text("no atoms\n")
    (tmp_path / "folder").mkdir()
    for name, message in (("a.xyz", "a.xyz cannot be read"), ("folder", "no type.raw"), ("gone.xyz", "cannot be read")):
        with pytest.raises(ValueError, match=message):
            files.read(tmp_path / name)
    files.write(tmp_path / "a.cfg", labelled(), ["Cu"])
    with pytest.raises(ValueError, match="name them in order"):
        files.read(tmp_path / "a.cfg", level_of_theory="EMT")


def test_constraints_do_not_take_forces_away(tmp_path):
    from ase.constraints import FixAtoms

    atoms = labelled()[0]
    atoms.set_constraint(FixAtoms([0]))
    ase.io.write(tmp_path / "set.traj", atoms)
    found = files.read(tmp_path / "set.traj", level_of_theory="EMT").images[0]
    assert np.abs(found.get_forces()[0]).max() > 0


def test_atoms_of_no_periodicity_are_told_from_atoms_without_a_cell(tmp_path):
    atoms = Atoms("Cu2", [[0, 0, 0], [2, 0, 0]])
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((2, 3)))
    ase.io.write(tmp_path / "set.xyz", atoms)
    with pytest.raises(ValueError, match=r"pbc FFF"):
        files.read(tmp_path / "set.xyz", level_of_theory="EMT")


def test_configurations_to_be_labelled(tmp_path):
    """Without labels nothing is asked of them, and labels that are there are not taken."""
    isolated = Atoms("Cu2", [[0, 0, 0], [2, 0, 0]])
    ase.io.write(tmp_path / "set.traj", [*labelled(), broken("forces"), isolated])
    found = files.read(tmp_path / "set.traj", labelled=False)
    assert len(found.images) == 3
    assert found.level_of_theory is None
    assert all(atoms.calc is None for atoms in found.images)


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("OUTCAR", "outcar"),
        ("run1_OUTCAR.gz", "outcar"),
        ("from_outcar.xyz", "any_of_ase"),
        ("vasprun.xml.gz", "vasprun"),
        ("outcars.cfg", "cfg"),
        ("outcars.db", "database"),
    ],
)
def test_readers_go_by_names(tmp_path, name, reader):
    assert readers.reader_of(tmp_path / name).__name__ == reader
