"""Build the published grain boundaries of β-Li₃PS₄ from one table: structures, pictures and a summary.

The extended XYZ files hold what is known of each boundary, its regions included, in their comment line.

    python examples/grain_boundaries.py [FOLDER] [--n-atoms 10000]

No AiiDA profile is needed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml
from ase.io import write

from aiida_lpsgb.structures import bicrystal, ordering, picture, units
from aiida_lpsgb.structures.cif import read_cif
from aiida_lpsgb.structures.crystal import Crystal

DATA = Path(__file__).parent / "data"
CHARGES = {"Li": 1, "P": 5, "S": -2}


def main() -> None:
    """Build every boundary of the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("grain_boundaries"), help="where files go")
    parser.add_argument("--n-atoms", type=int, default=1, help="least number of atoms of each")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    atoms = ordering.order(read_cif(DATA / "beta-li3ps4.cif"), CHARGES, rank_by="occupancy")[0]
    crystal = Crystal(atoms, charges=CHARGES)
    table = yaml.safe_load((DATA / "grain_boundaries.yaml").read_text(encoding="utf-8"))
    for name, request in table.items():
        limit = 0.02 if request["kind"] == "twist" else 0.01
        (built,) = bicrystal.grain_boundary(
            crystal, **request, convention="pseudo-cubic", max_strain=limit, n_atoms=arguments.n_atoms
        )
        info = built.info["grain_boundary"]
        stem = name.translate(str.maketrans({"/": "_", "[": "_", "]": "", "(": "", ")": "", "Σ": "sigma"}))
        picture.save(picture.draw(built, title=name), arguments.folder / f"{stem}.png")
        report = units.survey(built)
        angles = f"true {info['true_angle_deg']:6.2f}° (nominal {info['nominal_angle_deg']:6.2f}°)"
        print(
            f"{name:18} {len(built):6} atoms  {angles}  area {info['total_area_A2']:8.1f} Å²  "
            f"strain {info['max_strain']:.2%}  "
            f"units {report.formulas}  shortest {report.shortest_pair:.2f} Å"
        )
        write(arguments.folder / f"{stem}.extxyz", built)


if __name__ == "__main__":
    main()
