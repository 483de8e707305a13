"""What each preset promises, on three seeds: kit.presets holds the ranges, this file measures.

Sharpness is measured at every fifth step (odd, since runs at the edge swing with period two).
A running mean is over 100 steps. The slow climb is timed by it: single measurements touch 2/eta
earlier, at step 325 to 420.
"""

import math
from functools import cache

import numpy as np
import pytest

from kit import Objective, invariant_sharpness, rescale_layers, sharpness
from kit.presets import PRESETS

pytestmark = pytest.mark.slow

SEEDS = (0, 1, 2)
WINDOW = 100  # steps of a running mean
# preset: steps, a measurement every so many steps, measures
RUNS = {
    "edge": (600, 5, ("sharpness", "jacobian_max")),
    "slow": (800, 5, ("sharpness",)),
    "catapult": (150, 1, ("sharpness",)),
    "adam": (1500, 5, ("sharpness", "preconditioned_sharpness")),
    "digits": (600, 5, ("sharpness",)),
    "batches": (3000, 25, ("sharpness", "batch_sharpness")),
    "chebyshev": (2000, 5, ("sharpness", "bound")),
}


@cache
def run_of(preset, seed):
    steps, every, measures = RUNS[preset]
    run = PRESETS[preset].build(seed=seed, every=every, measures=measures)
    run.run(steps)
    assert run.diverged is None
    return run


def measured(run, name, first=0):
    """(steps, values) of a measure where it was measured, from step `first` on."""
    steps, values = np.array(run.history["step"]), np.array(run.history[name])
    there = np.isfinite(values) & (steps >= first)
    return steps[there], values[there]


def ratios(run, first=0, name="sharpness"):
    steps, values = measured(run, name, first)
    return steps, values * run.lr / 2


def running_mean(steps, values):
    return np.array([values[(steps > s - WINDOW) & (steps <= s)].mean() for s in steps])


def steps_until(steps, values, level):
    return float(steps[values >= level][0]) if (values >= level).any() else math.inf


def preconditioned(run):
    _, values = measured(run, "preconditioned_sharpness", 400)
    return values * run.lr / 38


def late_growth(run):
    steps, values = measured(run, "sharpness")
    return values[steps > 1400].mean() / values[(steps > 350) & (steps < 450)].mean()


# One check a range name: what is measured, as numbers that must all lie in the range.


def until_the_edge(run):
    return steps_until(*ratios(run), 1)


def running_mean_afterwards(run):
    """Windows that lie wholly after sharpness has first reached 2/eta."""
    steps, values = ratios(run, until_the_edge(run))
    return running_mean(steps, values)[steps >= steps[0] + WINDOW]


def until_the_halved_edge(run):
    halved = run.fork()
    halved.lr = run.lr / 2
    halved.run(500)
    return steps_until(*ratios(halved, run.steps + 1), 0.9) - run.steps


def until_the_running_mean(run):
    steps, values = ratios(run)
    return steps_until(steps, running_mean(steps, values), 1)


def mean_afterwards(run):
    return ratios(run, until_the_running_mean(run))[1].mean()


def largest_after_halving(run):
    halved = run.fork()
    halved.lr = run.lr / 2
    halved.run(500)
    return ratios(halved, run.steps + 1)[1].max()


CHECKS = {
    "steps until 2/eta": until_the_edge,
    "running mean over 2/eta": running_mean_afterwards,
    "after halving: steps until 0.9 of the new edge": until_the_halved_edge,
    "sharpness at the start": lambda run: run.history["sharpness"][0],
    "steps until the running mean is at 2/eta": until_the_running_mean,
    "mean over 2/eta afterwards": mean_afterwards,
    "lambda over 2/eta at the start": lambda run: ratios(run)[1][0],
    "largest loss over the first, in 20 steps": (
        lambda run: max(run.history["loss"][:20]) / run.history["loss"][0]
    ),
    "lowest lambda over 2/eta, in 10 steps": lambda run: ratios(run)[1][:10].min(),
    "loss after 150 steps over the first": (
        lambda run: run.history["loss"][150] / run.history["loss"][0]
    ),
    "preconditioned sharpness over 38/eta, steps 400 to 1500": preconditioned,
    "sharpness, at step 1500 over that at 400": late_growth,
    "ratio from step 100": lambda run: ratios(run, 100)[1],
    "after halving: largest ratio to the new edge": largest_after_halving,
    "batch sharpness over 2/eta, steps 1500 to 3000": (
        lambda run: ratios(run, 1500, "batch_sharpness")[1].mean()
    ),
    "lambda over 2/eta, steps 1500 to 3000": lambda run: ratios(run, 1500)[1].mean(),
    "mean over 2/eta, steps 1000 to 2000": lambda run: ratios(run, 1000)[1].mean(),
}
RANGES = [(preset, name) for preset in PRESETS for name in PRESETS[preset].ranges]


def test_every_preset_has_ranges_and_every_range_a_check():
    assert all(preset.ranges for preset in PRESETS.values())
    assert {name for _, name in RANGES} == set(CHECKS)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("preset", "name"), RANGES)
def test_what_the_preset_shows_lies_in_its_range(preset, name, seed):
    low, high = PRESETS[preset].ranges[name]
    values = np.atleast_1d(CHECKS[name](run_of(preset, seed)))
    print(f"{preset}, seed {seed}: {name}: {values.min():.4g} to {values.max():.4g}")
    assert len(values)
    assert low <= values.min()
    assert values.max() <= high


# What the pages say beside the ranges.


@pytest.mark.parametrize("seed", SEEDS)
def test_edge_the_jacobian_goes_on_climbing_after_sharpness_has_stopped(seed):
    run = run_of("edge", seed)
    steps, norms = measured(run, "jacobian_max")
    there = norms[steps == until_the_edge(run)].item()
    assert there > 1.2 * norms[0]
    assert norms[-20:].mean() > 1.5 * there


@pytest.mark.parametrize("seed", SEEDS)
def test_adam_its_sharpness_is_far_above_the_threshold_in_the_very_first_steps(seed):
    run = PRESETS["adam"].build(seed=seed, every=1, measures=("preconditioned_sharpness",))
    run.run(3)
    assert max(run.history["preconditioned_sharpness"][1:]) > 10 * 38 / run.lr


@pytest.mark.parametrize("seed", SEEDS)
def test_edge_doubling_the_learning_rate_pulls_sharpness_down_or_diverges_with_a_record(seed):
    run = run_of("edge", seed)
    doubled = run.fork()
    doubled.lr = 2 * run.lr
    doubled.run(100)
    before = measured(run, "sharpness", run.steps - WINDOW)[1].mean()
    if doubled.diverged is None:
        after = measured(doubled, "sharpness", run.steps + 50)[1].mean()
        print(f"edge, seed {seed}: doubling: {before:.3g} to {after:.3g}")
        assert after < 0.8 * before
    else:
        record = doubled.diverged
        assert record.kind in ("blow-up", "collapse")
        assert record.step > run.steps
        assert record.threshold == pytest.approx(2 / doubled.lr)


@pytest.mark.parametrize("seed", SEEDS)
def test_batches_the_standard_error_is_small_and_the_threshold_is_named_full_batch(seed):
    run = run_of("batches", seed)
    error = measured(run, "batch_sharpness_se", 1500)[1].mean() * run.lr / 2
    assert 0 < error < 0.05  # of 100 batches: what is seen is not chance
    assert run.threshold()[1] == "full-batch threshold 2/eta"


@pytest.mark.parametrize("seed", SEEDS)
def test_chebyshev_the_bound_is_a_bound_and_vacuous_and_never_below_the_gap(seed):
    run = run_of("chebyshev", seed)
    bound = run.probes["bound"].last
    assert bound.kind == "bound"
    assert bound.vacuous
    steps, bounds = measured(run, "bound")
    gaps = dict(zip(*measured(run, "loss_gap"), strict=True))
    assert len(steps) > 10
    assert all(value >= gaps[step] for step, value in zip(steps, bounds, strict=True))


# Rescaling, on the network of the digits preset after 200 steps.


@cache
def trained(seed):
    run = PRESETS["digits"].build(seed=seed, every=49, measures=())
    run.run(200)
    return run


def factors(alpha):
    return (alpha, 1.0, 1 / alpha)


@pytest.mark.parametrize("alpha", [10, 0.1])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_rescale_by_10_changes_sharpness_but_neither_outputs_nor_invariant_sharpness(seed, alpha):
    before = trained(seed).objective
    after = Objective(
        rescale_layers(before.model, factors(alpha)), before.X, before.y, loss=before.loss
    )
    tight = {"tol": 1e-5}
    ratio = sharpness(after, **tight) / sharpness(before, **tight)
    largest = before.outputs().abs().max()
    change = (after.outputs() - before.outputs()).abs().max() / largest
    invariant = invariant_sharpness(after, **tight) / invariant_sharpness(before, **tight)
    print(f"digits, seed {seed}, x{alpha}: {ratio:.3g}, {change:.1e}, {invariant - 1:.1e}")
    assert ratio > 10
    assert change < 1e-5
    assert abs(invariant - 1) < 1e-3


@pytest.mark.parametrize("alpha", [100, 10, 0.1, 0.01])
@pytest.mark.parametrize("seed", SEEDS)
def test_training_on_after_a_rescale_of_10_or_more_breaks_the_run(seed, alpha):
    run = trained(seed).fork()
    run.rescale(factors(alpha))
    run.run(200)
    assert run.diverged is not None
    print(f"digits, seed {seed}, x{alpha}: {run.diverged.kind} at step {run.diverged.step}")
    assert run.diverged.kind in ("blow-up", "collapse")
    assert run.diverged.reason


@pytest.mark.parametrize("alpha", [2, 3, 1 / 2, 1 / 3])
@pytest.mark.parametrize("seed", SEEDS)
def test_training_on_after_a_rescale_of_2_or_3_recovers_after_a_catapult(seed, alpha):
    run = trained(seed).fork()
    before, start = run.objective.value(), run.steps
    run.rescale(factors(alpha))
    run.run(1000, lambda run: run.history["loss"][-1] < before and run.steps > start + 10)
    assert run.diverged is None
    losses = run.history["loss"][start:]
    print(f"digits, seed {seed}, x{alpha:.3g}: {max(losses):.2g}, below after {len(losses)} steps")
    assert max(losses) > 2 * before
    assert losses[-1] < before
