"""Soft rank and Takeuchi trace: worked numbers, two routes each, the gaps they estimate."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import Objective, rescale_layers
from kit.curvature import matrix
from kit.softrank import (
    METHODS,
    conjugate_gradients,
    gradient_covariance,
    kronecker_factors,
    over_confidence_index,
    soft_rank,
    takeuchi_terms,
    takeuchi_trace,
)
from kit.tangent import output_root, parameter_jacobian
from tests import oracles
from tests.oracles import net, prescribed, samples


def problem(widths=(5, 8, 6, 3), n=12, **options):
    X, y = samples(n, widths[0], widths[-1])
    return Objective(net(widths, options.pop("activation", "relu")), X, y, **options)


def logistic(f, y):
    return torch.nn.functional.softplus(f[:, 0]) - y * f[:, 0]


def case_sixteen():
    model = oracles.put(net((2, 1), bias=False), torch.tensor([0.5, -0.25], dtype=torch.float64))
    X = torch.tensor([[1.0, 0], [0, 2], [1, 1]], dtype=torch.float64)
    y = torch.tensor([1.0, 0, 1], dtype=torch.float64)
    return Objective(model, X, y, loss=logistic)


# Worked numbers of theory.md, Part III.


def test_case_sixteen():
    objective = case_sixteen()
    assert objective.value() == pytest.approx(0.508031129413, abs=1e-11)
    assert takeuchi_trace(objective, 0.0, centered=False) == pytest.approx(1.310729897935, abs=1e-9)
    assert takeuchi_trace(objective, 0.0) == pytest.approx(0.680588144934, abs=1e-9)
    assert takeuchi_trace(objective, 0.1) == pytest.approx(0.544806126910, abs=1e-9)
    assert soft_rank(objective, 0.1) == pytest.approx(1.381820542208, abs=1e-9)
    C = gradient_covariance(objective, centered=False)
    expected = [[0.111408790991, 0.063896472126], [0.063896472126, 0.253945747588]]
    torch.testing.assert_close(C, torch.tensor(expected).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "damping", "expected"),
    [
        ([1.0, 2.0, 3.0], 1.0, 23 / 12),
        ([1.0, 2.0, 0.0], 1e-9, 1.9999999985),
        ([1.0, 1.0, 1.0, 1.0], 0.5, 8 / 3),
        ([1.0, 3.0], 1.0, 1.25),
        ([5.0, 15.0], 1.0, 1.770833333333),
        ([1.0, 3.0], 0.2, 1.770833333333),
    ],
)
def test_case_thirty_five(values, damping, expected):
    objective = prescribed(values)
    for operator in ("hessian", "gauss_newton"):
        tol = 1e-9 + 1e-15 / damping  # an eigenvalue of 0 is known to rounding
        assert soft_rank(objective, damping, operator=operator) == pytest.approx(expected, abs=tol)


def test_the_diagonal_of_case_thirty_five_is_too_large():
    """[[2, 1], [1, 2]] = A' A with A as the design of a linear model, n = 2."""
    A = torch.linalg.cholesky(torch.tensor([[2.0, 1], [1, 2]], dtype=torch.float64)).mT
    objective = Objective(
        net((2, 1), bias=False), math.sqrt(2) * A, torch.zeros(2, 1).double(), loss="mse"
    )
    assert soft_rank(objective, 1.0) == pytest.approx(1.25)
    assert soft_rank(objective, 1.0, method="diagonal") == pytest.approx(4 / 3)


@settings(max_examples=30)
@given(st.lists(st.floats(0, 50), min_size=1, max_size=8), st.floats(1e-3, 10))
def test_it_is_the_slope_of_a_log_determinant(values, damping):
    """d/d log mu of log det(I + A / mu) = -rank_mu(A): case 37, by a central difference."""
    eigenvalues = torch.tensor(values, dtype=torch.float64)

    def logdet(log_mu):
        return float(torch.log1p(eigenvalues / math.exp(log_mu)).sum())

    at, h = math.log(damping), 1e-5
    slope = (logdet(at + h) - logdet(at - h)) / (2 * h)
    assert -slope == pytest.approx(soft_rank(prescribed(values), damping), rel=1e-5, abs=1e-6)


# What it estimates.


def test_ridge_regression_has_exactly_this_gap():
    """theory.md, P3.2: E[test - train] = (sigma^2 / n) rank_mu(X'X/n) for a fixed design."""
    n, d, sigma, mu = 30, 6, 0.7, 0.2
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(n, d, generator=generator, dtype=torch.float64)
    truth = torch.randn(d, generator=generator, dtype=torch.float64)
    objective = Objective(net((d, 1), bias=False), X, torch.zeros(n, 1), loss="mse")
    draws = 40_000
    noise = sigma * torch.randn(2, n, draws, generator=generator, dtype=torch.float64)
    train, test = (X @ truth).unsqueeze(1) + noise
    A = X.mT @ X / n + mu * torch.eye(d, dtype=torch.float64)
    fit = X @ torch.linalg.solve(A, X.mT @ train / n)
    gaps = 0.5 * ((test - fit).square() - (train - fit).square()).mean(0)
    error = float(gaps.std()) / math.sqrt(draws)
    expected = sigma**2 / n * soft_rank(objective, mu)
    assert abs(float(gaps.mean()) - expected) < 4 * error
    assert error < 0.02 * expected


def test_the_takeuchi_trace_is_the_gap_of_a_gaussian_location():
    """Case 40: gap = v / (n (1 + mu)); with the population's variance v, A = 1."""
    n, mu, v = 200_000, 0.5, 2.0
    y = math.sqrt(v) * torch.randn(n, 1, generator=torch.Generator().manual_seed(0)).double()
    model = net((1, 1), bias=False)
    with torch.no_grad():
        model[0].weight.fill_(float(y.mean()) / (1 + mu))
    objective = Objective(model, torch.ones(n, 1), y, loss="mse")
    assert takeuchi_trace(objective, mu) == pytest.approx(v / (1 + mu), rel=0.01)


def test_labels_drawn_from_the_model_itself_make_it_calibrated():
    model = net((3, 4))
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(20_000, 3, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        p = torch.softmax(model(X), 1)
    y = torch.multinomial(p, 1, generator=generator)[:, 0]
    calibrated = Objective(model, X, y)
    assert abs(over_confidence_index(calibrated, 0.01)) < 0.03
    terms = takeuchi_terms(calibrated, 0.01, operator="hessian", centered=False)
    assert abs(terms.miscalibration) < 0.03 * terms.soft_rank
    assert abs(terms.residual) < 1e-9  # a linear model: H = G
    with torch.no_grad():
        model[0].weight *= 4
        model[0].bias *= 4
    assert over_confidence_index(Objective(model, X, y), 0.01) > 0.2
    with torch.no_grad():
        model[0].weight /= 16
        model[0].bias /= 16
    assert over_confidence_index(Objective(model, X, y), 0.01) < -0.01


# Two routes to each number.


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("centered", [True, False])
def test_the_dual_gives_what_the_dense_matrices_give(monkeypatch, centered, loss):
    objective = problem((5, 20, 10, 3), loss=loss)
    assert objective.n * objective.K < objective.parameters
    dual = soft_rank(objective, 0.03), takeuchi_trace(objective, 0.03, centered=centered)
    monkeypatch.setattr("kit.softrank.DUAL_LIMIT", 0)
    dense = soft_rank(objective, 0.03), takeuchi_trace(objective, 0.03, centered=centered)
    assert dual == pytest.approx(dense, rel=1e-9)
    G = oracles.gauss_newton(objective.model, objective.X, objective.y, loss=loss)
    a = torch.linalg.eigvalsh(G)
    assert dual[0] == pytest.approx(float((a / (a + 0.03)).sum()), rel=1e-9)
    U = torch.stack(
        [
            oracles.gradient(
                objective.model, objective.X[i : i + 1], objective.y[i : i + 1], loss=loss
            )
            for i in range(objective.n)
        ]
    )
    U = U - U.mean(0) if centered else U
    eye = 0.03 * torch.eye(len(G), dtype=torch.float64)
    direct = float((torch.linalg.solve(G + eye, U.mT @ U / len(U))).trace())
    assert dual[1] == pytest.approx(direct, rel=1e-8)


def test_a_damping_above_the_negative_eigenvalues_does_not_hide_them():
    X, y = samples(20, 3, 3)
    objective = Objective(
        net((3, 6, 3), "tanh"), X, 5 * torch.nn.functional.one_hot(y, 3).to(X), loss="mse"
    )
    low = float(torch.linalg.eigvalsh(matrix(objective, "hessian"))[0])
    assert low < -0.1
    for method in ("exact", "lanczos", "hutchinson"):
        with pytest.raises(ValueError, match="has a negative eigenvalue"):
            soft_rank(objective, 2 * abs(low), operator="hessian", method=method)


@pytest.mark.parametrize("method", ["lanczos", "hutchinson"])
def test_estimates_scatter_about_the_exact_number_as_their_errors_say(method):
    objective = problem((6, 30, 20, 4), n=30)
    assert objective.parameters > 500
    exact = soft_rank(objective, 0.01)
    runs = [soft_rank(objective, 0.01, method=method, probes=10, seed=seed) for seed in range(20)]
    z = torch.tensor([(run.value - exact) / run.standard_error for run in runs])
    assert 0.4 < float((z.abs() < 1).double().mean()) < 0.95
    assert float(z.abs().max()) < 5
    assert all(run.matvecs > 0 for run in runs)


def test_conjugate_gradients_solve_each_column():
    generator = torch.Generator().manual_seed(0)
    M = torch.randn(30, 30, generator=generator, dtype=torch.float64)
    A, B = M @ M.mT + torch.eye(30), torch.randn(30, 4, generator=generator, dtype=torch.float64)
    B[:, 2] = 0
    X, products = conjugate_gradients(lambda V: A @ V, B, tol=1e-10)
    torch.testing.assert_close(X, torch.linalg.solve(A, B), rtol=1e-6, atol=1e-8)
    assert products % 4 == 0
    with pytest.raises(ValueError, match="not positive definite"):
        conjugate_gradients(lambda V: -V, B)
    with pytest.raises(ValueError, match="did not reach"):
        conjugate_gradients(lambda V: A @ V, B, tol=1e-10, max_steps=2)


# Properties: theory.md, P3.3.


@settings(max_examples=25)
@given(st.integers(1, 5), st.floats(1e-4, 1), st.integers(0, 100), st.booleans())
def test_orderings(n, damping, seed, mse):
    X, y = samples(n, 3, 4, seed=seed)
    objective = Objective(net((3, 4, 4), seed=seed), X, y, loss="mse" if mse else "cross_entropy")
    exact = soft_rank(objective, damping)
    G = matrix(objective, "gauss_newton")
    sizes = [p.numel() for p in objective.model.parameters()]
    ends = torch.tensor(sizes).cumsum(0).tolist()
    pinched = 0.0
    for low, high in zip([0, *ends], ends, strict=False):
        a = torch.linalg.eigvalsh(G[low:high, low:high]).clamp(min=0)
        pinched += float((a / (a + damping)).sum())
    diagonal = soft_rank(objective, damping, method="diagonal")
    assert -1e-9 <= exact <= pinched + 1e-6
    assert pinched <= diagonal + 1e-6
    assert exact <= min(objective.parameters, n * (4 if mse else 3)) + 1e-6
    assert soft_rank(objective, 2 * damping) <= exact + 1e-9


def test_one_sample_makes_kfac_exact_layer_by_layer():
    objective = problem((4, 5, 3), n=1)
    G = matrix(objective, "gauss_newton")
    first = 4 * 5 + 5
    expected = 0.0
    for block in (G[:first, :first], G[first:, first:]):
        a = torch.linalg.eigvalsh(block).clamp(min=0)
        expected += float((a / (a + 0.1)).sum())
    assert soft_rank(objective, 0.1, method="kfac") == pytest.approx(expected, rel=1e-9)


def test_kfac_is_exact_for_a_linear_model_whose_factors_are_independent():
    """mse: grad^2 c = I at every sample, so G = mean h h' (x) I."""
    objective = problem((4, 3), n=9, loss="mse")
    kfac = soft_rank(objective, 0.1, method="kfac")
    assert kfac == pytest.approx(soft_rank(objective, 0.1), rel=1e-9)
    factors = kronecker_factors(objective)
    assert [len(f) for pair in factors for f in pair] == [5, 3]


def test_kfac_is_near_the_block_diagonal_of_a_real_network():
    objective = problem((6, 12, 8, 4), n=60)
    J = parameter_jacobian(objective)
    C = output_root(objective)
    blocks, start = 0.0, 0
    for fan_in, fan_out in ((6, 12), (12, 8), (8, 4)):
        size = (fan_in + 1) * fan_out
        D = torch.einsum("iab,iap->ibp", C, J[:, :, start : start + size]).flatten(0, 1)
        a = torch.linalg.eigvalsh(D.mT @ D).clamp(min=0)
        blocks += float((a / (a + 0.01)).sum())
        start += size
    kfac = soft_rank(objective, 0.01, method="kfac")
    assert kfac == pytest.approx(blocks, rel=0.15)
    assert kfac != pytest.approx(blocks, rel=1e-6)
    assert blocks > soft_rank(objective, 0.01)


def test_duplicating_the_data_changes_nothing():
    X, y = samples(6, 4, 3)
    model = net((4, 7, 3))
    once, twice = (Objective(model, X.repeat(m, 1), y.repeat(m)) for m in (1, 2))
    for measure in (soft_rank, takeuchi_trace, over_confidence_index):
        assert measure(twice, 0.05) == pytest.approx(measure(once, 0.05), rel=1e-9)


@settings(max_examples=20)
@given(st.lists(st.floats(-2, 2), min_size=2, max_size=2), st.integers(0, 20))
def test_the_soft_rank_of_the_layer_metric_survives_rescaling(logs, seed):
    """Our suggestion in theory.md, P3.3, where the fit is exact, so that H = G."""
    a, b = (10.0**t for t in logs)
    X, _ = samples(8, 3, 2)
    model = net((3, 4, 4, 2), seed=seed)
    y = model(X).detach()
    other = rescale_layers(model, (a, b, 1 / (a * b)))
    before, after = (Objective(m, X, y, loss="mse") for m in (model, other))
    rank = soft_rank(before, 0.1, operator="layer")
    assert soft_rank(after, 0.1, operator="layer") == pytest.approx(rank, rel=1e-6)


def test_the_plain_soft_rank_does_not_survive_rescaling():
    X, y = samples(30, 4, 3)
    model = net((4, 8, 3))
    before, after = (Objective(m, X, y) for m in (model, rescale_layers(model, (10, 0.1))))
    assert soft_rank(after, 0.1) != pytest.approx(soft_rank(before, 0.1), rel=0.2)


def test_the_decomposition_adds_up_and_vanishes_where_it_should():
    objective = problem((3, 5, 3), n=40)
    terms = takeuchi_terms(objective, 0.3, operator="hessian")
    total = terms.soft_rank + terms.miscalibration + terms.residual
    assert total == pytest.approx(terms.takeuchi, rel=1e-12)
    assert abs(terms.residual) > 1e-3
    H = oracles.hessian(objective.model, objective.X, objective.y)
    a = torch.linalg.eigvalsh(H)
    assert terms.soft_rank == pytest.approx(float((a / (a + 0.3)).sum()), rel=1e-9)
    G = takeuchi_terms(objective, 0.3)
    assert G.residual == 0
    assert G.takeuchi == pytest.approx(takeuchi_trace(objective, 0.3), rel=1e-9)


# Bad input.


def negative():
    return prescribed([3.0, 1.0, -0.5])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: soft_rank(3, 0.1), "objective: got int"),
        (lambda: soft_rank(problem(), 0), "damping: got 0"),
        (lambda: soft_rank(problem(), math.nan), "damping: got nan"),
        (lambda: soft_rank(problem(), 0.1, method="svd"), "method: got 'svd'"),
        (lambda: soft_rank(problem(), 0.1, operator="fisher"), "operator: got 'fisher'"),
        (
            lambda: soft_rank(problem(), 0.1, operator="hessian", method="kfac"),
            "method: got 'kfac'",
        ),
        (lambda: soft_rank(problem(), 0.1, method="lanczos", probes=1), "probes: got 1"),
        (lambda: soft_rank(negative(), 0.1, operator="hessian"), "negative eigenvalue here, -0.5"),
        (
            lambda: soft_rank(negative(), 0.1, operator="hessian", method="lanczos"),
            "'hessian' has a negative eigenvalue",
        ),
        (
            lambda: soft_rank(negative(), 0.1, operator="hessian", method="hutchinson"),
            "'hessian' has a negative eigenvalue",
        ),
        (lambda: takeuchi_trace(problem(), 0.0), "damping: got 0"),
        (lambda: takeuchi_trace(problem(), -1.0), "damping: got -1"),
        (lambda: takeuchi_trace(negative(), 0.5, operator="hessian"), "damping: got 0.5"),
        (lambda: takeuchi_trace(problem(), 0.1, centered=1), "centered: got 1"),
        (lambda: takeuchi_terms(None, 0.1), "objective: got NoneType"),
        (lambda: over_confidence_index("x", 0.1), "objective: got str"),
    ],
    ids=[str(i) for i in range(16)],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_too_large_a_problem_says_what_to_do(monkeypatch):
    monkeypatch.setattr("kit.softrank.DENSE_LIMIT", 50)
    monkeypatch.setattr("kit.softrank.DUAL_LIMIT", 10)
    with pytest.raises(ValueError, match="use method='lanczos'"):
        soft_rank(problem(), 0.1)
    with pytest.raises(ValueError, match="at most 50 for a dense covariance"):
        gradient_covariance(problem())


def test_kfac_refuses_a_layer_norm_and_the_other_methods_take_it():
    model = torch.nn.Sequential(torch.nn.LayerNorm(4), torch.nn.Linear(4, 3)).double()
    objective = Objective(model, *samples(6, 4, 3))
    with pytest.raises(ValueError, match="LayerNorm has parameters of its own"):
        soft_rank(objective, 0.1, method="kfac")
    for method in METHODS:
        if method != "kfac":
            result = soft_rank(objective, 0.1, method=method, probes=400)
            value = result if isinstance(result, float) else result.value
            exact = soft_rank(objective, 0.1)
            assert value > exact if method == "diagonal" else value == pytest.approx(exact, rel=0.2)


def test_nothing_of_the_callers_changes():
    objective = problem()
    before, state = oracles.flat(objective.model), torch.get_rng_state()
    for method in METHODS:
        soft_rank(objective, 0.1, method=method)
    takeuchi_terms(objective, 0.1)
    assert torch.equal(before, oracles.flat(objective.model))
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.grad is None for p in objective.model.parameters())
