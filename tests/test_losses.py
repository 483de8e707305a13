"""Costs and their derivatives: closed forms, autograd, and theory.md, Part III, C 17 and 20."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from kit.losses import NamedLoss, one_hot


def rows(n, K, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, K, generator=generator, dtype=torch.float64)


def curvature(loss, f):
    """The Hessian in the outputs of one sample, from its products with the unit vectors."""
    identity = torch.eye(f.shape[-1], dtype=f.dtype).unsqueeze(1)
    return loss.hessian_product(f, identity)[:, 0]


def test_softmax_of_1_2_half_as_worked_by_hand():
    f = torch.tensor([[1.0, 2.0, 0.5]], dtype=torch.float64)
    label = one_hot(torch.tensor([1]), 3, dtype=torch.float64)
    loss = NamedLoss("cross_entropy", label)
    p = torch.tensor([0.231223897622, 0.628531719212, 0.140244383166], dtype=torch.float64)
    assert torch.allclose(loss.gradient(f)[0] + label[0], p, atol=1e-11)
    A = curvature(loss, f)
    expected = torch.tensor([0, 0.168127239369, 0.363687660735], dtype=torch.float64)
    assert torch.allclose(torch.linalg.eigvalsh(A), expected, atol=1e-11)
    assert float(A.trace()) == pytest.approx(0.531814900103, abs=1e-11)
    assert float(loss.value(f)[0]) == pytest.approx(-math.log(0.628531719212), abs=1e-10)


def test_the_top_curvature_of_two_equal_probabilities_is_one_half():
    f = torch.tensor([[0.0, 0.0, -800.0]], dtype=torch.float64)  # p = (1/2, 1/2, 0)
    A = curvature(NamedLoss("cross_entropy", torch.eye(3, dtype=torch.float64)[:1]), f)
    assert float(torch.linalg.eigvalsh(A)[-1]) == 0.5


@pytest.mark.parametrize(
    ("c", "slope"), [(0, 0.25), (1, 0.196611933241), (5, 0.006648056671), (10, 4.539580774e-5)]
)
def test_confidence_flattens_the_logistic_cost(c, slope):
    f = torch.tensor([[0.0, c]], dtype=torch.float64)
    A = curvature(NamedLoss("cross_entropy", torch.eye(2, dtype=torch.float64)[:1]), f)
    assert float(A[1, 1]) == pytest.approx(slope, rel=1e-9)


@settings(max_examples=25)
@given(
    n=st.integers(1, 5),
    K=st.integers(1, 6),
    smoothing=st.floats(0, 0.99),
    name=st.sampled_from(["mse", "cross_entropy"]),
    seed=st.integers(0, 99),
)
def test_gradient_and_curvature_are_those_of_autograd(n, K, smoothing, name, seed):
    targets = one_hot(torch.arange(n) % K, K, smoothing, torch.float64)
    loss, f, u = NamedLoss(name, targets), 3 * rows(n, K, seed), rows(n, K, seed + 1)

    def value(f):
        return loss.value(f).sum()

    assert torch.allclose(loss.gradient(f), torch.func.grad(value)(f), atol=1e-12)
    _, product = torch.autograd.functional.hvp(value, f, u)
    assert torch.allclose(loss.hessian_product(f, u), product, atol=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_values_are_those_of_torch(smoothing):
    f, labels = rows(6, 4), torch.arange(6) % 4
    targets = one_hot(labels, 4, smoothing, torch.float64)
    ours = NamedLoss("cross_entropy", targets).value(f)
    theirs = F.cross_entropy(f, labels, label_smoothing=smoothing, reduction="none")
    assert torch.allclose(ours, theirs, atol=1e-13)
    hard = one_hot(labels, 4, 0.0, torch.float64)
    ours = NamedLoss("mse", hard).value(f).mean()
    assert float(ours) == pytest.approx(float(F.mse_loss(f, hard)) * 4 / 2)  # torch's times K/2


@pytest.mark.parametrize("offset", [0, 50, 300])
def test_a_small_cost_keeps_its_digits_in_float32(offset):
    """A common part of the outputs says nothing, and must not cost the cost its digits."""
    f, labels = rows(500, 10).float(), torch.arange(500) % 10
    f[torch.arange(500), labels] += 12
    f = f + offset
    exact = F.cross_entropy(f.double(), labels, reduction="none")
    loss = NamedLoss("cross_entropy", one_hot(labels, 10))
    assert float((loss.value(f) - exact).abs().max()) < 5e-7
    assert float(loss.value(f).double().mean()) == pytest.approx(float(exact.mean()), rel=1e-3)


def test_large_outputs_do_not_overflow():
    loss = NamedLoss("cross_entropy", one_hot(torch.tensor([0, 1]), 3))
    f = torch.tensor([[1e30, 0, 0], [1e30, 0, 0]])
    assert loss.value(f).tolist() == [0, pytest.approx(1e30)]
    assert loss.gradient(f).isfinite().all()


def test_smoothed_labels_sum_to_one_and_keep_the_rest_equal():
    q = one_hot(torch.tensor([2, 0]), 4, 0.2, torch.float64)
    assert torch.allclose(q.sum(1), torch.ones(2, dtype=torch.float64))
    assert torch.allclose(q[0], torch.tensor([0.05, 0.05, 0.85, 0.05], dtype=torch.float64))


@pytest.mark.parametrize("name", ["mse", "cross_entropy"])
@pytest.mark.parametrize("smoothing", [0.0, 0.4])
def test_no_constant_predictor_is_better_than_the_best_one(name, smoothing):
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    targets = one_hot(labels, 3, smoothing, torch.float64)
    loss, q = NamedLoss(name, targets), targets.mean(0)
    best = loss.best_constant()
    minimiser = q if name == "mse" else q.log()
    assert float(loss.value(minimiser.expand(6, 3)).mean()) == pytest.approx(best, abs=1e-12)
    for constant in rows(200, 3):
        assert float(loss.value((minimiser + constant).expand(6, 3)).mean()) > best


def test_best_constant_of_an_unused_class_is_finite():
    targets = one_hot(torch.tensor([0, 1]), 3)
    assert NamedLoss("cross_entropy", targets).best_constant() == pytest.approx(math.log(2))


def test_the_hessian_is_that_of_its_products_and_never_negative():
    f = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    for name in ("mse", "cross_entropy"):
        loss = NamedLoss(name, one_hot(torch.arange(6) % 4, 4))
        columns = [loss.hessian_product(f, e.expand_as(f)) for e in torch.eye(4)]
        assert torch.allclose(loss.hessian(f), torch.stack(columns, -1), atol=1e-6)
    for scale in (1.0, 10.0, 40.0):  # certain outputs
        values = torch.linalg.eigvalsh(loss.hessian(scale * f).double())
        assert values.min() >= -1e-6 * values.max()
