"""Calibration against hand-made cases and labels drawn from known probabilities."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from kit.calibration import reliability, temperature_scaling


def drawn(n, K, *, scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, K, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(torch.softmax(logits, 1), 1, generator=generator)[:, 0]
    return scale * logits, labels


def test_a_case_by_hand():
    """Confidences 0.9 (two right of three) and 0.6 (one right of one), in separate bins."""
    p = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.6, 0.4]], dtype=torch.float64)
    result = reliability(p.log(), torch.tensor([0, 1, 1, 0]), bins=10)
    assert result.error == pytest.approx(0.75 * (0.9 - 2 / 3) + 0.25 * 0.4)
    assert result.accuracy == 0.75
    assert result.over_confidence == pytest.approx((3 * 0.9 + 0.6) / 4 - 0.75)
    assert result.bin_count.sum() == 4
    assert math.isnan(result.bin_accuracy[0])


def test_labels_drawn_from_the_probabilities_are_calibrated_and_sharper_ones_are_not():
    logits, labels = drawn(40_000, 5)
    result = reliability(logits, labels)
    assert abs(result.over_confidence) < 4 * result.over_confidence_se
    assert result.error < 0.5 * math.sqrt(15 / 40_000) * 3
    sure, unsure = reliability(3 * logits, labels), reliability(0.3 * logits, labels)
    assert sure.over_confidence > 0.1
    assert unsure.over_confidence < -0.1
    assert sure.error == pytest.approx(sure.over_confidence, abs=0.01)


@settings(max_examples=20)
@given(st.floats(0.05, 20), st.integers(0, 50))
def test_the_temperature_is_that_of_a_general_minimiser_and_undoes_a_scale(scale, seed):
    logits, labels = drawn(300, 4, scale=scale, seed=seed)

    def cost(log_t):
        return float(torch.nn.functional.cross_entropy(logits / math.exp(log_t), labels))

    other = minimize_scalar(cost, bounds=(-6, 6), method="bounded", options={"xatol": 1e-9})
    temperature = temperature_scaling(logits, labels)
    assert temperature == pytest.approx(math.exp(other.x), rel=1e-4)
    plain = temperature_scaling(logits / scale, labels)
    assert temperature / scale == pytest.approx(plain, rel=1e-6)


def test_labels_that_are_all_right_or_all_chance_meet_the_limits():
    f = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert temperature_scaling(f, torch.tensor([0, 1])) == pytest.approx(1e-3)
    assert temperature_scaling(f, torch.tensor([1, 0])) == pytest.approx(1e3)


@settings(max_examples=20)
@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 20), st.integers(0, 50))
def test_errors_lie_between_over_confidence_and_one(n, K, bins, seed):
    logits, labels = drawn(n, K, seed=seed)
    result = reliability(logits, labels, bins=bins)
    assert abs(result.over_confidence) - 1e-9 <= result.error <= 1 + 1e-9
    assert int(result.bin_count.sum()) == n


@pytest.mark.parametrize("measure", [reliability, temperature_scaling])
@pytest.mark.parametrize(
    ("outputs", "labels", "message"),
    [
        ([[1.0]], torch.tensor([0]), "outputs: got list"),
        (torch.zeros(2, 2), [0, 1], "labels: got list"),
        (torch.zeros(2), torch.tensor([0, 1]), "outputs: got shape"),
        (torch.full((2, 2), math.nan), torch.tensor([0, 1]), "takes finite logits"),
        (torch.zeros(2, 2), torch.tensor([0.0, 1.0]), "labels: got torch.float32"),
        (torch.zeros(2, 2), torch.tensor([0]), "takes integers"),
        (torch.zeros(2, 2), torch.tensor([0, 2]), "takes 0 to 1"),
        (torch.zeros(2, 2), torch.tensor([-1, 0]), "got -1 to 0"),
    ],
    ids=["list", "label list", "vector", "nan", "float", "short", "high", "low"],
)
def test_bad_input_is_refused(measure, outputs, labels, message):
    with pytest.raises((TypeError, ValueError), match=message):
        measure(outputs, labels)


def test_bins_are_whole_numbers_from_one():
    with pytest.raises(ValueError, match="bins: got 0"):
        reliability(torch.zeros(2, 2), torch.tensor([0, 1]), bins=0)
