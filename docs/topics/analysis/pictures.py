"""Draw the pictures of these pages from made-up data: ``python docs/topics/analysis/pictures.py``.

With a folder of long runs (``t300.trj``, ``t500.trj``, ``t900.trj``, of ``Trajectory.save``), those of real ones too.
"""

import sys
from pathlib import Path

import numpy as np
from ase import Atoms

from aiida_lpsgb.analysis import arrhenius, density, diffusion, disorder, rdf, region_diffusion, regions, topology
from aiida_lpsgb.analysis.trajectory import Trajectory
from aiida_lpsgb.report import figures

HERE = Path(__file__).parent / "pictures"
EDGE, THICKNESS, INSIDE, OUTSIDE = 30.0, 8.0, 0.06, 0.01  # of the layered toy: Å, Å, Å²/ps, Å²/ps
# β-Li3PS4 with Li on 8d and 4b, as (element, fractional coordinates); the other positions follow from Pnma.
CELL = (13.07, 8.13, 6.26)
SITES = {
    "Li": [(0.333, 0.030, 0.387), (0.0, 0.0, 0.5)],
    "P": [(0.088, 0.25, 0.165)],
    "S": [(0.1544, 0.030, 0.274), (0.938, 0.25, 0.263), (0.106, 0.25, 0.840)],
}


def draw(name, figure):
    """Save one picture, small enough for the pages."""
    figure.savefig(HERE / f"{name}.png", dpi=100, metadata={"Software": None})


def crystal(n_frames=40, amplitude=0.15):
    """Rattled frames of a supercell of the crystal."""
    from ase.spacegroup import crystal as build

    symbols = [s for s, places in SITES.items() for _ in places]
    basis = [place for places in SITES.values() for place in places]
    unit = build(symbols, basis, spacegroup=62, cellpar=[*CELL, 90, 90, 90])
    atoms = unit * (2, 3, 4)
    rng = np.random.default_rng(0)
    images = []
    for _ in range(n_frames):
        image = atoms.copy()
        image.positions += (
            rng.normal(0, amplitude, image.positions.shape) * np.where(atoms.numbers == 3, 1.3, 0.6)[:, None]
        )
        images.append(image)
    return Trajectory.from_ase(images, 1.0, unwrapped=True)


def layered(n_ions=600, n_frames=3000, substeps=4):
    """Walk whose diffusivity is larger in the middle slab, at even density (Metropolis)."""
    rng = np.random.default_rng(3)

    def local(z):
        distance = z - EDGE / 2
        return np.where(np.abs(distance - EDGE * np.rint(distance / EDGE)) <= THICKNESS / 2, INSIDE, OUTSIDE) / substeps

    x = rng.uniform(0, EDGE, (n_ions, 3))
    frames = np.zeros((n_frames, n_ions + 1, 3))
    for t in range(n_frames):
        for _ in range(substeps):
            here = local(x[:, 2])
            step = rng.normal(size=(n_ions, 3)) * np.sqrt(2 * here)[:, None]
            there = local(x[:, 2] + step[:, 2])
            square = (step**2).sum(axis=1)
            accept = rng.random(n_ions) < (here / there) ** 1.5 * np.exp(square / 4 * (1 / here - 1 / there))
            x[accept] += step[accept]
        frames[t, :-1] = x
    return Trajectory(["Li"] * n_ions + ["S"], frames, np.eye(3) * EDGE, np.arange(n_frames) * 1.0)


def motion():
    """Mean-squared displacement of ions that vibrate and hop; Arrhenius line with a limit."""
    rng = np.random.default_rng(1)
    n_frames, n_ions = 2000, 100
    walk = (rng.normal(size=(n_frames, n_ions, 3)) * np.sqrt([0.002, 0.004, 0.003])).cumsum(axis=0)
    positions = np.concatenate([walk + rng.normal(0, 0.3, walk.shape), np.zeros((n_frames, 1, 3))], axis=1)
    run = Trajectory(["Li"] * n_ions + ["S"], positions, np.eye(3) * 20, np.arange(n_frames) * 0.5)
    result = diffusion.diffusivity(run, "Li")
    figure = figures.msd(
        result.lags_ps,
        result.msd_A2,
        error_A2=result.msd_error_A2,
        window_ps=result.window_ps,
        slope_A2_ps=6e4 * result.value,
        intercept_A2=result.intercept_A2,
    )
    draw("msd", figure)
    t = np.array([450, 500, 550, 600, 700, 800.0])
    d = 2e-3 * np.exp(-0.32 / (arrhenius.K_B * t)) * np.exp(rng.normal(0, 0.1, 6))
    s = 0.1 * d
    limits = np.array([True] + [False] * 5)
    values = np.where(limits, 0.0, d)
    errors = np.where(limits, 1.5 * d / 1.645, s)
    draw("arrhenius", figures.arrhenius(t, values, errors, arrhenius.fit(t, values, errors, limits), limits=limits))


def verdicts(folder):
    """Displacements of long runs and of their pieces of 50 ps, beside the square of a hop; prints their verdicts."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 3.4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, temperatures in zip(axes, ((300,), (500, 900)), strict=True):
        for colour, temperature in zip(("C0", "C3"), temperatures, strict=False):
            run = Trajectory.load(Path(folder) / f"t{temperature}.trj")
            size = round(50 / run.interval_ps)
            starts = range(0, run.n_frames - size + 1, 4 * size)
            for number, part in enumerate([run, *(run[a : a + size] for a in starts)]):
                found = diffusion.diffusivity(part, "Li")
                print(f"{temperature} K, {part.duration_ps:.0f} ps: {found.verdict.sentence}")
                style = {"lw": 0.6, "alpha": 0.7} if number else {"lw": 2.0, "label": f"{temperature} K"}
                total = found.msd_A2[1:].sum(axis=1)
                axis.loglog(found.lags_ps[1:], total, color=colour, ls="-" if found.diffusive else "--", **style)
        axis.axhline(3.75**2, color="k", ls=":", lw=1)
        axis.set_xlabel("lag  (ps)")
        axis.legend(frameon=False, loc="upper left")
    axes[0].set_ylabel("mean-squared displacement  (Å²)")
    axes[0].set_title("not diffusive yet (dashed)", fontsize="medium")
    axes[1].set_title("diffusive (full)", fontsize="medium")
    draw("verdict", figure)


def normal():
    """Apparent diffusivity along the normal by lag, of a layer of 8 Å in the layered toy, and what is made of it."""
    from matplotlib.figure import Figure

    slab = {"boundary": regions.Slab(2, (0.5,), THICKNESS)}
    found = region_diffusion.region_diffusivity(layered(400, 1500), "Li", slab, estimators=["occupancy", "propagator"])
    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axis = figure.subplots()
    result, truth = found["boundary", "propagator"], INSIDE * 1e-4
    lags, apparent = result.propagated.lags_ps, result.propagated.apparent
    axis.semilogx(lags, apparent / truth, "o-", color="C0", label="transitions within one lag")
    low, high = result.normal.interval()
    axis.axhspan(low / truth, high / truth, color="C0", alpha=0.25, label="slope over lags, 95 %")
    displacement = found["boundary", "occupancy"].normal.value / truth
    axis.axhline(displacement, color="C3", ls=":", label="displacements")
    axis.axhline(1, color="k", lw=0.8)
    axis.set_xlabel("lag  (ps)")
    axis.set_ylabel("D along the normal / truth")
    axis.set_ylim(0.84, 1.04)
    axis.legend(frameon=False, fontsize="small", loc="lower left")
    draw("normal", figure)


def region():
    """Estimators on the layered toy; prints the table of the page."""
    run = layered()
    slab = {"boundary": regions.Slab(2, (0.5,), THICKNESS)}
    rows = {}
    print("| estimator | window (ps) | in the slab: lateral | normal | all | outside: lateral | normal | all |")
    print("|---|---|---|---|---|---|---|---|")
    for window in (None, (2, 20), (10, 60), (20, 200)):
        found = region_diffusion.region_diffusivity(run, "Li", slab, window_ps=window)
        window = window or found["boundary", "occupancy"].window_ps
        print(f"still there after {window[1]:g} ps: {found['boundary', 'occupancy'].still_there:.2f}")
        for name in region_diffusion.ESTIMATORS:
            inside, outside = found["boundary", name], found["elsewhere", name]
            cells = []
            for result, truth in ((inside, INSIDE), (outside, OUTSIDE)):
                for value in (result.lateral, result.components[2], result.total):
                    cells.append(f"{value.value / truth * 1e4:.2f} ± {value.error / truth * 1e4:.2f}")
            print(f"| `{name}` | {window[0]}–{window[1]} | {' | '.join(cells)} |")
            middle = np.sqrt(window[0] * window[1])
            rows.setdefault(name, []).append(
                (middle, 0.0, inside.lateral.value / INSIDE * 1e4, inside.lateral.error / INSIDE * 1e4)
            )
    labels = {"x_label": "middle of the window  (ps)", "y_label": "lateral D in the slab / truth", "log_y": False}
    draw("regions", figures.scatter(rows, **labels))


def isotropy():
    """Walks with known slopes along the three directions, five runs of each."""
    rng = np.random.default_rng(5)
    rows = {}
    for name, slopes in {"1": (1, 1, 1), "0.5": (1, 0.8, 0.5), "0.2": (1, 0.5, 0.2)}.items():
        for scale in np.geomspace(0.01, 0.1, 5):
            walk = (rng.normal(size=(600, 48, 3)) * np.sqrt(2 * scale * np.array(slopes))).cumsum(axis=0)
            everything = np.concatenate([walk, np.zeros((600, 1, 3))], axis=1)
            run = Trajectory(["Li"] * 48 + ["S"], everything, np.eye(3) * 20, np.arange(600) * 1.0)
            found = diffusion.diffusivity(run, "Li")
            row = (found.isotropy.value, found.isotropy.error, found.value, found.uncertainty)
            rows.setdefault(f"true ξ = {name}", []).append(row)
    draw("isotropy", figures.scatter(rows))


def speciation():
    """The glasses of the page about them."""
    fast = {"PS4": 203, "P2S7": 14, "P3S10": 2, "P3S9": 1, "S": 21}
    draw("speciation", figures.units({"85 K/ps": fast, "10 K/ps": {"PS4": 230, "P2S7": 5, "S": 5}}))


def depletion(fraction=0.52, thickness=CELL[1]):
    """The rattled crystal without every fifth Li of a slab of one repeat; prints the enrichment."""
    full = crystal()
    slab = regions.Slab(1, (fraction,), thickness)
    lithium = full.indices("Li")
    inside = lithium[slab.contains(full.scaled("Li", 0, 1)[0], full.mean_cell)]
    keep = np.setdiff1d(np.arange(full.n_atoms), inside[::5])
    run = Trajectory.from_ase([full.frame(i)[keep] for i in range(full.n_frames)], 1.0)
    gain = density.enrichment(run, "Li", slab)
    print(f"enrichment {gain.value:.2f} ± {gain.error:.2f}")
    line = density.profile(run, "Li", 1, width_A=2.0)
    middle, half = fraction * run.mean_cell[1, 1], 0.5 * thickness
    figure = figures.profile(
        line.position_A,
        line.density_A3,
        smooth_A3=line.smooth_A3,
        error_A3=line.error_A3,
        regions_A=[(middle - half, middle + half)],
    )
    draw("profile", figure)


def structure():
    """Everything of the rattled crystal."""
    run = crystal()
    found = rdf.radial_distributions(run, cutoff_A=9.0, bin_A=0.03)
    references = {"Li-S": 2.43, "Li-P": 3.05, "S-S": 3.35, "P-P": 5.01}
    draw(
        "prdf",
        figures.radial_distributions({"-".join(p): (v.r_A, v.g) for p, v in found.items()}, references_A=references),
    )
    grid = density.density_map(run, "Li", voxel_A=0.25).smoothed(0.25)
    first, second, _ = density.grid_axes(grid, 2)
    draw("density", figures.density_map(grid.projection(2), (first, second), labels=("a", "b")))
    for filtration in ("alpha", "rips"):
        diagram = topology.persistence(run, "Li", filtration=filtration, longest_A=8.0)
        options = {"filtration": filtration, "scale": diagram.scale, "n_frames": diagram.n_frames}
        draw(filtration, figures.persistence_diagram(diagram.birth_A, diagram.death_A, **options))
    still = disorder.disorder(run, "Li", neighbours=["P"], cutoff_A=5.0)
    rng = np.random.default_rng(0)
    gas = [Atoms("Li288P72", scaled_positions=rng.random((360, 3)), cell=run.mean_cell, pbc=True) for _ in range(10)]
    random = disorder.disorder(Trajectory.from_ase(gas, 1.0, unwrapped=True), "Li", neighbours=["P"], cutoff_A=5.0)
    names = {"rattled crystal": still, "random points": random}
    draw(
        "disorder",
        figures.disorder(
            {k: v.distribution(60) for k, v in names.items()}, means={k: v.mean for k, v in names.items()}
        ),
    )


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    motion()
    isotropy()
    region()
    normal()
    speciation()
    depletion()
    structure()
    if len(sys.argv) > 1:
        verdicts(sys.argv[1])
