"""Kendall's tau against counting pairs, Simpson's paradox, and the coverage of its interval."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from kit import ranking
from kit.ranking import granulated_tau, kendall_tau


def frame(x, y, **columns):
    return pd.DataFrame({"m": x, "loss_gap": y} | columns)


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=9, unique=True), st.integers(0, 999))
def test_it_counts_pairs_that_agree_less_pairs_that_do_not(x, seed):
    y = np.random.default_rng(seed).permutation(len(x))
    signs = [
        np.sign((x[i] - x[j]) * (y[i] - y[j])) for i, j in itertools.combinations(range(len(x)), 2)
    ]
    result = kendall_tau(frame(x, y), "m", draws=10)
    assert result.tau == pytest.approx(np.mean(signs))
    assert result.count == len(x)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """Gaussian pairs with correlation r have tau = (2/pi) asin r."""
    r, rng, inside = 0.5, np.random.default_rng(0), []
    truth = 2 / math.pi * math.asin(r)
    for _ in range(100):
        x = rng.standard_normal(40)
        y = r * x + math.sqrt(1 - r * r) * rng.standard_normal(40)
        result = kendall_tau(frame(x, y), "m", draws=200, level=0.9)
        inside.append(result.low <= truth <= result.high)
    assert 0.8 < np.mean(inside) < 0.98


def test_simpsons_paradox_pooled_against_granulated():
    """Within each batch size the measure agrees with the gap; the batch size reverses both."""
    rows = [(b, wd, 10 * b + wd, -b + wd / 10) for b in range(4) for wd in range(5)]
    b, wd, x, y = zip(*rows, strict=True)
    table = frame(x, y, batch_size=b, weight_decay=wd)
    assert kendall_tau(table, "m").tau < -0.3
    parts = granulated_tau(table, "m", vary=("batch_size", "weight_decay"))
    taus = {name: part.tau for name, part in parts.items()}
    assert taus == pytest.approx({"weight_decay": 1, "batch_size": -1, "mean": 0}, abs=1e-12)
    assert parts["mean"].count == 9
    assert parts["batch_size"].count == 5


def test_one_name_ranks_all_rows_and_groups_without_pairs_are_left_out():
    table = frame([1, 2, 3, 4], [1, 2, 3, 4], lr=[0.1, 0.1, 0.2, 0.2], seed=[0, 1, 0, 1])
    assert granulated_tau(table, "m", vary="lr")["lr"].count == 1
    ragged = table.drop(index=1)  # seed 1 has one learning rate only
    parts = granulated_tau(ragged, "m", vary=("lr", "seed"))
    assert parts["lr"].count == 1
    constant = frame([1, 1, 1, 1], [1, 2, 3, 4], lr=[0.1, 0.1, 0.2, 0.2])
    assert math.isnan(granulated_tau(constant, "m", vary="lr")["mean"].tau)


def test_rows_that_did_not_finish_are_left_out_and_counted():
    status = ["done", "done", "diverged (blow-up): it is", "done", "done"]
    table = frame([1, 2, 100, 3, math.nan], [1, 2, -5, 3, 4], status=status)
    result = kendall_tau(table, "m")
    assert (result.count, result.dropped) == (3, 2)
    assert result.tau == pytest.approx(1)


def test_too_little_to_rank_is_not_a_number():
    for x, y in (([1], [1]), ([], []), ([2, 2, 2], [1, 2, 3])):
        result = kendall_tau(frame(x, y), "m")
        assert math.isnan(result.tau)
        assert math.isnan(result.low)


def test_the_same_seed_gives_the_same_interval():
    rng = np.random.default_rng(0)
    table = frame(rng.random(20), rng.random(20), lr=[0.1, 0.2] * 10, seed=list(range(20)))
    assert kendall_tau(table, "m") == kendall_tau(table, "m")
    assert kendall_tau(table, "m") != kendall_tau(table, "m", seed=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: kendall_tau([1], "m"), "table: got list"),
        (lambda t: kendall_tau(t, "trace"), "measure: got 'trace'"),
        (lambda t: kendall_tau(t, "m", "gap"), "gap: got 'gap'"),
        (lambda t: kendall_tau(t, "m", level=1), "level: got 1"),
        (lambda t: kendall_tau(t, "m", draws=0), "draws: got 0"),
        (lambda t: granulated_tau(t, "m", vary=()), "vary: got"),
        (lambda t: granulated_tau(t, "m", vary=("lr", "lr")), "each once"),
        (lambda t: granulated_tau(t, "m", vary=("width",)), "vary: got 'width'"),
    ],
    ids=[str(i) for i in range(8)],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(frame([1, 2, 3], [1, 2, 3], lr=[1, 2, 3]))


def test_resampled_taus_are_those_of_scipy_on_the_resampled_rows():
    rng = np.random.default_rng(3)
    x, y = rng.integers(5, size=12).astype(float), rng.normal(size=12)
    counts = rng.multinomial(12, np.full(12, 1 / 12), size=20)
    for count, tau in zip(counts, ranking._resampled(x, y, counts), strict=True):
        i = np.repeat(np.arange(12), count)
        assert tau == pytest.approx(kendalltau(x[i], y[i]).statistic)
