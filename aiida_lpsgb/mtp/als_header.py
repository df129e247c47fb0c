"""What an active set's file was selected by, without reading its matrices."""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

__all__ = ["grade_mode"]

_MLIP3_MARK = b"#MVS_v1.1"
_MLIP3_WEIGHT = re.compile(rb"site_en_weight\s+(\S+)")
_HEADER_BYTES = 1 << 22


def grade_mode(stream: BinaryIO) -> str | None:
    """Tell whether an active set grades whole configurations or each atom's neighbourhood.

    Parameters
    ----------
    stream
        Opened ``.als`` file of MLIP-2 or ``.almtp`` file of MLIP-3.

    Returns
    -------
    str or None
        ``configuration`` or ``neighborhood``; None if there is no active set in the file.
    """
    data = stream.read(_HEADER_BYTES)
    if _MLIP3_MARK in data:
        match = _MLIP3_WEIGHT.search(data, data.index(_MLIP3_MARK))
        try:
            neighbourhoods = float(match[1]) if match else None
        except ValueError:
            neighbourhoods = None
    else:
        # After the potential: "^", then the weights of neighbourhoods, energy, forces and stress.
        start = data.find(b"\n^") + 2
        neighbourhoods = struct.unpack_from("<d", data, start)[0] if 2 <= start <= len(data) - 32 else None
    if neighbourhoods is None:
        return None
    return "neighborhood" if neighbourhoods else "configuration"
