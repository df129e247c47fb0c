"""Imports point down: what computes knows no AiiDA, and what runs a program knows no work chain."""

import ast
from pathlib import Path

import pytest

import aiida_lpsgb

PACKAGE = Path(aiida_lpsgb.__file__).parent
NUMERICS = ("structures", "analysis", "mtp", "labelling")
ABOVE = {
    **dict.fromkeys(
        NUMERICS, ("aiida", *(f"aiida_lpsgb.{p}" for p in ("calculations", "data", "parsers", "workflows")))
    ),
    **dict.fromkeys(
        ("data", "calculations", "parsers"), ("aiida_lpsgb.workflows", "aiida_lpsgb.cli", "aiida_lpsgb.report")
    ),
    "workflows": ("aiida_lpsgb.cli", "aiida_lpsgb.report"),
}


def imported(path):
    """Yield the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", ABOVE)
def test_nothing_is_imported_from_above(folder):
    broken = {
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in (PACKAGE / folder).rglob("*.py")
        for name in imported(path)
        if any(f"{name}.".startswith(f"{above}.") for above in ABOVE[folder])
    }
    assert not broken
