"""The .mtp reader and writer."""

import numpy as np
import pytest

from aiida_lpsgb.mtp.potential import MTP, MTPFormatError

TEXT = """MTP
version = 1.1.0
potential_name = MTP1m
scaling = 3.130086396550662e-02
species_count = 2
potential_tag = \n\
radial_basis_type = RBChebyshev
\tmin_dist = 2.000000000000000e+00
\tmax_dist = 5.000000000000000e+00
\tradial_basis_size = 3
\tradial_funcs_count = 1
\tradial_coeffs
\t\t0-0
\t\t\t{1.000000000000000e+00, 2.000000000000000e+00, 3.000000000000000e+00}
\t\t0-1
\t\t\t{4.000000000000000e+00, 5.000000000000000e+00, 6.000000000000000e+00}
\t\t1-0
\t\t\t{7.000000000000000e+00, 8.000000000000000e+00, 9.000000000000000e+00}
\t\t1-1
\t\t\t{1.000000000000000e+01, 1.100000000000000e+01, 1.200000000000000e+01}
alpha_moments_count = 2
alpha_index_basic_count = 1
alpha_index_basic = {{0, 0, 0, 0}}
alpha_index_times_count = 1
alpha_index_times = {{0, 0, 1, 1}}
alpha_scalar_moments = 2
alpha_moment_mapping = {0, 1}
species_coeffs = {-9.145799755017784e+00, 1.000000000000000e+00}
moment_coeffs = {-1.375878059928774e+01, 1.455531498697905e+01}"""


def test_round_trip_is_byte_exact():
    mtp = MTP.from_string(TEXT)
    assert mtp.to_string() == TEXT
    assert MTP.from_string(mtp.to_string()) == mtp
    assert mtp.level == 4
    assert mtp.trained
    assert mtp.n_parameters == 12 + 2 + 2
    np.testing.assert_array_equal(mtp.radial_coefficients[1, 0, 0], [7, 8, 9])
    np.testing.assert_array_equal(mtp.parameters[:12], np.arange(1, 13))


def test_write_and_read(tmp_path):
    mtp = MTP.from_string(TEXT)
    mtp.write(tmp_path / "a.mtp")
    assert MTP.read(tmp_path / "a.mtp") == mtp
    (tmp_path / "a.als").write_bytes(TEXT.encode() + b"\n^" + bytes(range(256)))
    assert MTP.read(tmp_path / "a.als") == mtp


def test_with_parameters_copies():
    mtp = MTP.from_string(TEXT)
    parameters = np.arange(16.0)
    other = mtp.with_parameters(parameters)
    np.testing.assert_array_equal(other.parameters, parameters)
    parameters[:] = 0
    assert other.parameters[-1] == 15
    with pytest.raises(ValueError, match="16 parameters"):
        mtp.with_parameters(np.zeros(3))


def test_untrained_template():
    lines = TEXT.split("\n")
    text = "\n".join(lines[:11] + lines[20:27]) + "\n"
    mtp = MTP.from_string(text)
    assert not mtp.trained
    assert MTP.from_string(mtp.to_string()) == mtp
    with pytest.raises(ValueError, match="trained first"):
        _ = mtp.parameters


@pytest.mark.parametrize("n_lines", [0, 1, 5, 10, 12, 14, 20, 24, 26, 27])
def test_truncated_by_lines(n_lines):
    with pytest.raises(MTPFormatError, match=r"line \d+"):
        MTP.from_string("\n".join(TEXT.split("\n")[:n_lines]))


@pytest.mark.parametrize("cut", [3, 40, 200, 700])
def test_truncated_inside_a_line(cut):
    with pytest.raises(MTPFormatError):
        MTP.from_string(TEXT[:-cut])


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("version = 1.1.0", "version = 2.0", "line 2: version"),
        ("species_count = 2", "species_count = two", "line 5: species_count should be an integer"),
        ("RBChebyshev", "RBWrong", "RBWrong"),
        ("max_dist = 5.0", "max_dist = 1.0", "min_dist < max_dist"),
        ("7.000000000000000e+00", "nan", "line 18: .*finite"),
        ("species_count = 2", "species_count = -2", "line 5: species_count should be an integer that is not negative"),
        ("species_count = 2", "species_count = 99999999999999999999999", "below 2.31"),
        ("max_dist = 5.0", "max_dist = 5_0.0", "max_dist should be numbers"),
        ("1-0", "0-1", "line 17: expected the pair 1-0"),
        ("{{0, 0, 1, 1}}", "{{0, 0, 1, 7}}", "out of range"),
        ("{{0, 0, 1, 1}}", "{{1, 0, 1, 1}}", "before it is complete"),
        ("{{0, 0, 1, 1}}", "{{0, 0, 1}}", "4 integers, got 3"),
        ("{{0, 0, 0, 0}}", "{{1, 0, 0, 0}}", "radial functions 0 to 1"),
        ("mapping = {0, 1}", "mapping = {0, 2}", "alpha_moment_mapping"),
        ("1.455531498697905e+01}", "1.455531498697905e+01}\nmore", "nothing should follow"),
        ("moment_coeffs", "moments", "expected 'moment_coeffs"),
    ],
)
def test_broken_files_say_where_and_why(old, new, reason):
    with pytest.raises(MTPFormatError, match=reason):
        MTP.from_string(TEXT.replace(old, new))


def test_binary_file(tmp_path):
    (tmp_path / "x.mtp").write_bytes(b"MTP\n\xff\xfe")
    with pytest.raises(MTPFormatError, match="line 2: not text"):
        MTP.read(tmp_path / "x.mtp")
