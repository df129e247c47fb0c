"""What active sets were selected by."""

import io
import struct

import numpy as np
import pytest

from aiida_lpsgb.mtp.als_header import grade_mode
from aiida_lpsgb.mtp.selection import ActiveSet


@pytest.mark.parametrize("mode", ["configuration", "neighborhood"])
def test_mlip2(mode, generate_potential, tmp_path, aiida_profile):
    ActiveSet(generate_potential().mtp, ["Li", "P", "S"], mode).write(tmp_path / "set.als")
    with (tmp_path / "set.als").open("rb") as handle:
        assert grade_mode(handle) == mode


@pytest.mark.parametrize(("weight", "mode"), [("0", "configuration"), ("1", "neighborhood")])
def test_mlip3(weight, mode):
    text = f"MTP\n...\n#MVS_v1.1\nenergy_weight 1\nforce_weight 0\nstress_weight 0\nsite_en_weight {weight}\n"
    assert grade_mode(io.BytesIO(text.encode() + b"weight_scaling 1\n#" + np.eye(3).tobytes())) == mode


@pytest.mark.parametrize(
    "content", [b"", b"MTP\nversion = 1.1.0\n", b"MTP\n^" + struct.pack("<d", 1.0), b"#MVS_v1.1\nx"]
)
def test_no_active_set(content):
    assert grade_mode(io.BytesIO(content)) is None
