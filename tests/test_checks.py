"""Errors name the argument, what it got and what it takes."""

from fractions import Fraction

import numpy as np
import pytest

from kit.checks import check_bool, check_int, check_number, check_one_of, check_seed


@pytest.mark.parametrize("value", [2, Fraction(4, 2), np.float64(2), np.float32(2)])
def test_every_kind_of_real_number_becomes_a_float(value):
    number = check_number("lr", value, above=0)
    assert number == 2.0
    assert type(number) is float


@pytest.mark.parametrize("value", [True, "2", None, 2j, [2.0], np.array([2.0])])
def test_what_is_no_number_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"^lr: got .*; takes a number above 0$"):
        check_number("lr", value, above=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400])
def test_a_number_that_is_not_finite_is_refused_without_any_limit(value):
    with pytest.raises(ValueError, match=r"^x: got .*; takes a number$"):
        check_number("x", value)


@pytest.mark.parametrize(
    ("limits", "inside", "outside", "said"),
    [
        ({"above": 0}, (1e-300, 5), (0, -1), "a number above 0"),
        ({"low": 0}, (0, 5), (-1e-9,), "a number from 0"),
        ({"high": 1}, (1, -5), (1.01,), "a number up to 1"),
        ({"below": 1}, (0.99,), (1, 2), "a number below 1"),
        ({"low": 0, "below": 1}, (0, 0.5), (-1, 1), "a number from 0 below 1"),
    ],
)
def test_limits_are_included_or_excluded_as_their_names_say(limits, inside, outside, said):
    for value in inside:
        assert check_number("x", value, **limits) == value
    for value in outside:
        with pytest.raises(ValueError, match=rf"^x: got {value}; takes {said}$"):
            check_number("x", value, **limits)


def test_whole_numbers():
    assert check_int("steps", 3, low=3, high=3) == 3
    assert type(check_int("steps", np.int64(3))) is int
    for value in (3.0, True, "3", None):
        with pytest.raises(TypeError, match=r"^steps: got .*; takes a whole number from 1 up "):
            check_int("steps", value, low=1, high=5)
    for value in (0, 6):
        with pytest.raises(ValueError, match=rf"^steps: got {value}; takes a whole number from 1"):
            check_int("steps", value, low=1, high=5)


@pytest.mark.parametrize(
    ("value", "error"), [(-1, ValueError), (2**63, ValueError), (0.0, TypeError), (None, TypeError)]
)
def test_a_seed_is_one_that_torch_takes(value, error):
    assert check_seed(2**63 - 1) == 2**63 - 1
    with pytest.raises(error, match=r"^seed: got "):
        check_seed(value)


def test_names():
    assert check_one_of("norm", "spectral", ("spectral", "frobenius")) == "spectral"
    takes = "takes one of 'spectral', 'frobenius'"
    with pytest.raises(ValueError, match=rf"^norm: got 'two'; {takes}$"):
        check_one_of("norm", "two", iter(("spectral", "frobenius")))
    with pytest.raises(TypeError, match=rf"^norm: got 2; {takes}$"):
        check_one_of("norm", 2, ("spectral", "frobenius"))


@pytest.mark.parametrize("value", [1, 0, None, "True", np.True_])
def test_only_true_and_false_are_booleans(value):
    assert check_bool("bias", False) is False
    with pytest.raises(TypeError, match=r"^bias: got .*; takes True or False$"):
        check_bool("bias", value)
