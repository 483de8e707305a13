"""Costs, accuracies and gaps: by hand, and against torch's own losses."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from kit import Training, load_dataset, mlp
from kit.evaluation import costs, evaluate_outputs

KEYS = {
    "train_loss",
    "test_loss",
    "loss_gap",
    "loss_gap_se",
    "train_accuracy",
    "test_accuracy",
    "error_gap",
    "error_gap_se",
}


def outputs(n, K, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, K, generator=generator, dtype=torch.float64)


def test_by_hand():
    train, test = torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0, 0.0]] * 4)
    scores = evaluate_outputs(train, torch.tensor([0, 1]), test, torch.tensor([0, 0, 0, 1]), "mse")
    assert scores["train_loss"] == 0.5  # (2 - 1)^2 / 2
    assert scores["test_loss"] == 0.25  # 0, 0, 0, 1
    assert scores["loss_gap"] == -0.25
    assert scores["loss_gap_se"] == pytest.approx(0.25)  # std of 0, 0, 0, 1 is 1/2, over sqrt 4
    assert (scores["train_accuracy"], scores["test_accuracy"]) == (1, 0.75)
    assert scores["error_gap"] == 0.25
    assert scores["error_gap_se"] == pytest.approx(0.25)
    assert set(scores) == KEYS


@given(st.integers(1, 30), st.integers(2, 30), st.integers(2, 6), st.integers(0, 1000))
def test_they_are_means_of_torchs_own_costs(n, m, K, seed):
    f, g = outputs(n, K, seed), outputs(m, K, seed + 1)
    y, z = torch.arange(n) % K, torch.arange(m) % K
    scores = evaluate_outputs(f, y, g, z)
    each = F.cross_entropy(g, z, reduction="none")
    assert scores["train_loss"] == pytest.approx(F.cross_entropy(f, y).item())
    assert scores["test_loss"] == pytest.approx(each.mean().item())
    assert scores["loss_gap"] == pytest.approx(scores["test_loss"] - scores["train_loss"])
    assert scores["loss_gap_se"] == pytest.approx(each.std().item() / math.sqrt(m))
    p = (g.argmax(1) == z).double().mean().item()
    assert scores["test_accuracy"] == pytest.approx(p)
    assert scores["error_gap"] == pytest.approx(scores["train_accuracy"] - p)
    assert scores["error_gap_se"] == pytest.approx(math.sqrt(p * (1 - p) / (m - 1)))


def test_the_standard_error_is_the_spread_over_test_sets():
    f, y = outputs(5, 3, 0), torch.arange(5) % 3
    gaps, stated = [], []
    for seed in range(200):
        scores = evaluate_outputs(f, y, outputs(100, 3, seed), torch.arange(100) % 3)
        gaps.append(scores["loss_gap"])
        stated.append(scores["loss_gap_se"])
    assert torch.tensor(gaps).std().item() == pytest.approx(sum(stated) / 200, rel=0.15)


def test_regression_has_costs_but_no_accuracy():
    f, y = outputs(4, 2, 0), outputs(4, 2, 1)
    scores = evaluate_outputs(f, y, f + 1, y, "mse")
    assert scores["train_loss"] == pytest.approx(F.mse_loss(f, y).item())  # times K/2, and K = 2
    missing = ("train_accuracy", "test_accuracy", "error_gap", "error_gap_se")
    assert all(math.isnan(scores[name]) for name in missing)
    assert set(scores) == KEYS


def test_one_test_sample_has_no_standard_error():
    scores = evaluate_outputs(
        outputs(3, 2, 0), torch.tensor([0, 1, 0]), *(outputs(1, 2, 1), torch.tensor([1]))
    )
    assert math.isnan(scores["loss_gap_se"])
    assert math.isnan(scores["error_gap_se"])


def test_a_cost_of_ones_own_is_used_as_it_is():
    f, y = outputs(6, 3, 0), torch.arange(6) % 3

    def own(outputs, targets):
        return 3 * F.cross_entropy(outputs, targets, reduction="none")

    torch.testing.assert_close(costs(f, y, own), 3 * costs(f, y, "cross_entropy"))
    scores = evaluate_outputs(f, y, f, y, own)
    assert scores["train_loss"] == pytest.approx(3 * F.cross_entropy(f, y).item())
    assert scores["loss_gap"] == 0


def test_costs_are_of_the_hard_labels_in_the_dtype_of_the_outputs():
    f, y = outputs(6, 3, 0), torch.arange(6) % 3
    for dtype in (torch.float32, torch.float64):
        assert costs(f.to(dtype), y, "mse").dtype == dtype
    expected = 0.5 * (f - F.one_hot(y, 3)).square().sum(1)
    torch.testing.assert_close(costs(f, y, "mse"), expected)


def test_a_run_reports_the_clean_cost_without_smoothing_or_penalty():
    data = load_dataset("digits", n_train=100)
    model = mlp((64, 10), seed=0)
    plain = Training(model, data, measures=())
    other = Training(model, data, measures=(), label_smoothing=0.2, weight_decay=0.1)
    assert other.evaluate() == plain.evaluate()
    assert other.objective.value() != plain.objective.value()
    with torch.no_grad():
        f = model(data.X_test)
    scores = plain.evaluate()
    assert scores["test_loss"] == pytest.approx(F.cross_entropy(f, data.y_test).item(), rel=1e-5)
    accuracy = (f.argmax(1) == data.y_test).double().mean().item()
    assert scores["test_accuracy"] == pytest.approx(accuracy)


def test_the_network_at_its_start_knows_nothing_and_has_no_gap():
    scores = Training(mlp((64, 10), seed=0), load_dataset("digits"), measures=()).evaluate()
    assert abs(scores["error_gap"]) < 4 * scores["error_gap_se"]
    assert abs(scores["loss_gap"]) < 4 * scores["loss_gap_se"]


def test_equal_shares_of_right_answers_have_no_gap():
    """0.9 of 10 and 0.9 of 1000: not 1e-17."""
    y_train, y_test = torch.arange(10) % 3, torch.arange(1000) % 3
    wrong = torch.arange(1000) % 10 == 0
    outputs = torch.eye(3)[(y_test + wrong.long()) % 3]
    scores = evaluate_outputs(outputs[:10], y_train, outputs, y_test)
    assert scores["train_accuracy"] == scores["test_accuracy"] == 0.9
    assert scores["error_gap"] == 0.0
