"""Numbers and tables in one format."""

import csv
import io

import pytest

from aiida_lpsgb.report.text import Column, Number, Table, columns, decimal, formula, with_error


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (1.2345e-6, 1.2e-7, "(1.23 ± 0.12)×10⁻⁶"),
        (1.2e-7, 1.2345e-6, "(0.1 ± 1.2)×10⁻⁶"),
        (9.996e-6, 1e-9, "(9.9960 ± 0.0010)×10⁻⁶"),
        (-2e-8, 1e-8, "(-2.0 ± 1.0)×10⁻⁸"),
        (0.0, 1e-8, "(0.0 ± 1.0)×10⁻⁸"),
        (0.3123, 0.0145, "0.312 ± 0.015"),
        (0.3123, 0.0999, "0.31 ± 0.10"),
        (123.0, 45.0, "123 ± 45"),
        (12345.0, 450.0, "(1.234 ± 0.045)×10⁴"),
    ],
)
def test_with_error(value, error, expected):
    assert with_error(value, error) == expected


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (2.1e-4, 3, "2.10×10⁻⁴"),
        (7.4e-5, None, "7.4×10⁻⁵"),
        (0.29, None, "0.29"),
        (2.0, None, "2"),
        (300, None, "300"),
        (9.999e-6, 2, "1.0×10⁻⁵"),
        (768.0, 3, "768"),
        (0.0, 3, "0"),
        (-0.05, 2, "-0.050"),
    ],
)
def test_decimal(value, digits, expected):
    assert decimal(value, digits) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (Number(1e-6, 1e-7), "(1.00 ± 0.10)×10⁻⁶"),
        (Number(1e-6, 1e-7, limit=3.21e-9), "< 3.2×10⁻⁹"),
        (Number(limit=3.21e-9, note="500 K"), "< 3.2×10⁻⁹ (500 K)"),
        (Number(8.5e-5, interval=(4.4e-5, 1.66e-4)), "8.5×10⁻⁵ [4.4×10⁻⁵, 1.7×10⁻⁴]"),
        (Number(0.4, 0.1, note="500 K"), "0.40 ± 0.10 (500 K)"),
        (Number(2.43, form=".2f"), "2.43"),
        (Number(0.87, form=".1%"), "87.0%"),
        (Number(1e-5, form=".2e"), "1.00×10⁻⁵"),
        (Number(180614000.0, form=".1f"), "1.81×10⁸"),
        (Number(0.0, form=".4f"), "0.0000"),
        (Number(1e-5, 0.0), "1.00×10⁻⁵"),
        (Number(note="500 K"), "–"),
        (Number(float("nan"), 1.0), "–"),
    ],
)
def test_number(number, expected):
    assert str(number) == expected


def test_formula():
    assert formula("Li10GeP2S12") == "Li₁₀GeP₂S₁₂"


def test_columns_are_aligned():
    assert columns(("a", "long name"), [("1", "2"), ("100", "3")]) == "a    long name\n---  ---------\n1    2\n100  3"


TABLE = Table(
    "runs",
    "Runs",
    (Column("run", "run"), Column("d_cm2_s", "D (cm²/s)"), Column("seed", "seed"), Column("empty", "empty")),
    (("a, b", Number(1e-6, 1e-7), 7, None), ("c", Number(limit=2e-9), None, Number())),
)


def test_table_as_text_leaves_out_columns_with_nothing_in_them():
    assert str(TABLE).splitlines() == [
        "Runs",
        "run   D (cm²/s)           seed",
        "----  ------------------  ----",
        "a, b  (1.00 ± 0.10)×10⁻⁶  7",
        "c     < 2.0×10⁻⁹          –",
    ]


def test_table_as_csv_has_bare_numbers_and_no_value_for_a_limit():
    rows = list(csv.DictReader(io.StringIO(TABLE.csv())))
    assert [float(rows[0][key]) for key in ("d_cm2_s", "d_cm2_s_uncertainty")] == [1e-6, 1e-7]
    assert (rows[1]["d_cm2_s"], float(rows[1]["d_cm2_s_upper_limit95"])) == ("", 2e-9)
    assert [row["run"] for row in rows] == ["a, b", "c"]
    assert rows[0]["seed"] == "7"


def test_table_in_a_notebook_is_escaped():
    table = Table("x", "a < b", (Column("a", "a"), Column("b", "b")), (("<i>", Number(limit=1e-9)),))
    assert table._repr_html_() == (
        "<table><caption>a &lt; b</caption><tr><th>a</th><th>b</th></tr>"
        "<tr><td>&lt;i&gt;</td><td>&lt; 1.0×10⁻⁹</td></tr></table>"
    )
