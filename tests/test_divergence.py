"""Blow-up and collapse, told apart: rule by rule, then on runs that really break."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kit import Training, load_dataset, mlp
from kit.divergence import LOSS_LIMIT, STUCK_STEPS, Divergence, DivergenceWatch

BEST = 0.45


def feed(losses, best=BEST, active=None):
    """(step, kind) of the first divergence along these losses, or None."""
    watch = DivergenceWatch(best)
    for step, loss in enumerate(losses):
        kind = watch.check(step, loss, active)
        if kind is not None:
            return step, kind
    return None


@pytest.mark.parametrize("loss", [math.inf, -math.inf, math.nan, 1.1e6, 1e30])
def test_a_loss_that_is_not_finite_or_too_large_is_a_blow_up(loss):
    assert feed([0.3, 0.2, loss]) == (2, "blow-up")


def test_the_limit_itself_is_not_yet_a_blow_up():
    assert feed([LOSS_LIMIT]) is None
    assert feed([LOSS_LIMIT * 1.000001]) == (0, "blow-up")


def test_a_hidden_layer_without_an_active_unit_is_a_collapse():
    watch = DivergenceWatch(BEST)
    assert watch.check(0, 0.3, [5, 1]) is None
    assert watch.check(1, 0.3, [5, 0]) == "collapse"
    assert watch.reason == "no unit of hidden layer 2 is active on any training sample"


def test_a_blow_up_comes_before_a_collapse():
    assert DivergenceWatch(BEST).check(0, math.nan, [0, 0]) == "blow-up"


def test_no_hidden_layer_or_no_count_is_no_collapse():
    assert feed([0.3] * 10, active=[]) is None
    assert feed([0.3] * 10, active=None) is None


def test_fifty_steps_at_the_best_constant_after_having_been_better_are_a_collapse():
    losses = [0.3] + [BEST] * 200
    assert feed(losses) == (1 + STUCK_STEPS, "collapse")


def test_a_start_at_the_best_constant_is_no_collapse():
    assert feed([BEST] * 500) is None
    assert feed([2.0, 1.0] + [BEST] * 500) is None  # worse before, never better


def test_leaving_the_constant_starts_the_count_anew():
    near, away = [BEST] * STUCK_STEPS, [0.4]
    assert feed([0.3, *near, *away, *near, *away]) is None
    assert feed([0.3, *near, *away, *near, BEST]) == (2 * STUCK_STEPS + 2, "collapse")


@pytest.mark.parametrize(
    ("share", "stuck"), [(0.995, True), (1.005, True), (0.98, False), (1.02, False)]
)
def test_within_one_percent_counts(share, stuck):
    assert (feed([0.3] + [share * BEST] * 100) is not None) == stuck


def test_a_cost_of_ones_own_has_no_best_constant():
    assert feed([0.3] + [BEST] * 200, best=None) is None


@given(st.lists(st.floats(0, 0.9 * BEST), max_size=100))
def test_losses_below_the_constant_never_diverge(losses):
    assert feed(losses, active=[3]) is None


def test_the_watch_is_restored_from_its_three_values():
    watch, other = DivergenceWatch(BEST), DivergenceWatch(BEST)
    for step, loss in enumerate([0.3] + [BEST] * 30):
        watch.check(step, loss, None)
    vars(other).update(vars(watch))
    kinds = [(watch.check(s, BEST, None), other.check(s, BEST, None)) for s in range(31, 60)]
    assert all(a == b for a, b in kinds)
    assert kinds[-1] == ("collapse", "collapse")


# Runs that break.


def digits_run(lr=0.1, **settings):
    data = load_dataset("digits", n_train=100)
    return Training(mlp((64, 16, 10), seed=0), data, loss="mse", lr=lr, **settings)


def test_a_learning_rate_far_too_large_blows_up_with_a_record():
    run = digits_run(lr=50.0, measures=("sharpness",))
    taken = run.step(100)
    record = run.diverged
    assert isinstance(record, Divergence)
    assert record.kind == "blow-up"
    assert record.step == run.steps == taken
    assert record.threshold == pytest.approx(2 / 50)
    assert math.isfinite(record.sharpness)
    assert not record.loss <= LOSS_LIMIT
    assert run.history["loss"][-1] == pytest.approx(record.loss, nan_ok=True)
    assert run.step(5) == 0  # nothing more is done


def test_dead_units_are_a_collapse_with_the_layer_named():
    run = digits_run(measures=())
    with torch.no_grad():
        run.model[0].bias.fill_(-1e3)
    run.step()
    assert run.diverged.kind == "collapse"
    assert "hidden layer 1" in run.diverged.reason
    assert math.isnan(run.diverged.sharpness)  # none was measured


def test_tanh_units_are_never_counted_as_dead():
    data = load_dataset("digits", n_train=50)
    run = Training(mlp((64, 8, 10), activation="tanh", seed=0), data, loss="mse", measures=())
    with torch.no_grad():
        run.model[0].bias.fill_(-30)
    run.run(20)
    assert run.diverged is None
    assert run.active_units() is None


def test_a_quiet_run_has_no_record():
    run = digits_run(measures=())
    run.run(60)
    assert run.diverged is None
