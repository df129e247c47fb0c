from pathlib import Path

import pytest

from aiida_lpsgb.structures import ordering
from aiida_lpsgb.structures.cif import read_cif

CIF = Path(__file__).parents[2] / "examples" / "data" / "beta-li3ps4.cif"
CHARGES = {"Li": 1, "P": 5, "S": -2}


@pytest.fixture(scope="session")
def cif_path():
    """The CIF of β-Li₃PS₄."""
    return CIF


@pytest.fixture(scope="session")
def disordered():
    """β-Li₃PS₄ with its partial occupancies."""
    return read_cif(CIF)


@pytest.fixture(scope="session")
def lps(disordered):
    """β-Li₃PS₄, ordered, 32 atoms."""
    return ordering.order(disordered, CHARGES, rank_by="occupancy")[0]
