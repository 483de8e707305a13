"""The PAC-Bayes bound: its parts against other routes, and its truth where the error is known."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import binom

from kit import Objective, Training, load_dataset, mlp, rescale_layers
from kit.pac_bayes import (
    gaussian_kl,
    kl_inverse,
    optimal_objective,
    pac_bayes_bound,
    posterior_deviation,
)
from tests.oracles import flat, gauss_newton, net, samples


@settings(max_examples=25)
@given(
    st.lists(st.floats(0, 20), min_size=1, max_size=4),
    st.floats(0.5, 50),
    st.floats(0.05, 2),
    st.integers(0, 99),
)
def test_the_noise_is_the_one_that_a_general_search_finds(h, beta, s, seed):
    """Row 9: min over sigma of (1/2) sum h sigma^2 + KL / beta."""
    h = torch.tensor(h, dtype=torch.float64)
    away = torch.randn(len(h), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def objective(log_sigma):
        sigma = torch.as_tensor(log_sigma).exp()
        return 0.5 * float((h * sigma.square()).sum()) + gaussian_kl(away, sigma, s) / beta

    search = minimize(objective, [math.log(s)] * len(h), tol=1e-12)
    best = posterior_deviation(h, beta, s)
    assert objective(best.log()) == pytest.approx(search.fun, rel=1e-6, abs=1e-9)
    assert optimal_objective(h, away, beta, s) == pytest.approx(objective(best.log()), rel=1e-9)


def test_kl_is_that_of_torch():
    generator = torch.Generator().manual_seed(0)
    away = torch.randn(6, generator=generator, dtype=torch.float64)
    sigma = torch.rand(6, generator=generator, dtype=torch.float64)
    q = torch.distributions.Normal(away, sigma)
    p = torch.distributions.Normal(torch.zeros(6).double(), 0.3)
    expected = float(torch.distributions.kl_divergence(q, p).sum())
    assert gaussian_kl(away, sigma, 0.3) == pytest.approx(expected, rel=1e-12)


@settings(max_examples=50)
@given(st.floats(0, 1), st.floats(0, 5))
def test_the_inverse_gives_back_its_budget(q, budget):
    b = kl_inverse(q, budget)
    assert q - 1e-12 <= b <= 1
    if q < b < 1 - 1e-12:
        kl = (q * math.log(q / b) if q else 0) + (1 - q) * math.log((1 - q) / (1 - b))
        assert kl == pytest.approx(budget, rel=1e-5, abs=1e-9)
    assert b <= q + math.sqrt(budget / 2) + 1e-9  # Pinsker


def test_the_inverse_is_a_confidence_limit_of_a_binomial():
    n, p, truth = 200, 0.05, 0.2
    chance = sum(
        binom.pmf(k, n, truth)
        for k in range(n + 1)
        if kl_inverse(k / n, math.log(1 / p) / n) < truth
    )
    assert chance <= p


def classes(n, seed):
    """Two classes, told apart by a line, with a tenth of the labels wrong."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    wrong = torch.rand(n, generator=generator) < 0.1
    return X, ((X[:, 0] > 0) ^ wrong).long()


def test_it_holds_for_fresh_samples_and_says_something():
    """A linear classifier, against its error on 20,000 fresh samples."""
    held = 0
    for seed in range(5):
        X, y = classes(400, seed)
        model = net((3, 2), seed=seed)
        objective = Objective(model, X, y)
        for _ in range(100):
            with torch.no_grad():
                step = 0.5 * objective.gradient()
                torch.nn.utils.vector_to_parameters(flat(model) - step, model.parameters())
        bound = pac_bayes_bound(objective, draws=1000, seed=seed)
        assert not bound.vacuous
        assert bound.value < 0.4
        fresh, labels = classes(20_000, 100 + seed)
        with torch.no_grad():
            error = float((model(fresh).argmax(1) != labels).double().mean())
        held += error < bound.value
        assert bound.terms["Gibbs error"] <= bound.terms["Gibbs error, at most"] <= bound.value
    assert held == 5


def test_a_prior_nearer_by_gives_a_smaller_bound_and_rescaling_moves_it():
    dataset = load_dataset("digits", n_train=600)
    run = Training(mlp((64, 12, 10), seed=0), dataset, lr=0.3, batch_size=50, measures=())
    run.run(300)
    half = Objective(run.model, dataset.X_train[:300], dataset.y_train[:300])
    options = {"draws": 40, "betas": (1000.0,)}
    far = pac_bayes_bound(half, **options)
    near = pac_bayes_bound(half, initial=flat(run.model) * 0.98, **options)
    assert near.value < far.value
    assert near.terms["KL"] < far.terms["KL"]
    scaled = rescale_layers(run.model, (5, 0.2))
    moved = pac_bayes_bound(Objective(scaled, half.X, half.y), **options)
    assert moved.value != pytest.approx(far.value, rel=1e-3)


def test_every_term_by_other_means():
    """Two tries share p = 0.04; each pays p/4 for the draws and p/4 for the bound."""
    X, y = classes(400, 0)
    objective = Objective(net((3, 2), seed=0), X, y)
    options = {"draws": 300, "deviations": (0.1, 0.1), "betas": (300.0,)}
    bound = pac_bayes_bound(objective, failure=0.04, initial=torch.full((8,), 0.1), **options)

    def inverse(q, budget):  # by bisection
        low, high = q, 1.0
        for _ in range(200):
            b = 0.5 * (low + high)
            kl = q * math.log(q / b) + (1 - q) * math.log((1 - q) / (1 - b)) if b < 1 else math.inf
            low, high = (b, high) if kl <= budget else (low, b)
        return low

    theta, h = flat(objective.model), gauss_newton(objective.model, X, y).diagonal()
    sigma = (300 * h + 1 / 0.1**2) ** -0.5
    q = torch.distributions.Normal(theta, sigma)
    prior = torch.distributions.Normal(torch.full((8,), 0.1).double(), 0.1)
    kl = float(torch.distributions.kl_divergence(q, prior).sum())
    assert bound.terms["KL"] == pytest.approx(kl, rel=1e-6)
    assert bound.terms["mean sigma"] == pytest.approx(float(sigma.mean()), rel=1e-9)
    upper = inverse(bound.terms["Gibbs error"], math.log(2 / 0.01) / 300)
    assert bound.terms["Gibbs error, at most"] == pytest.approx(upper, rel=1e-6)
    value = inverse(upper, (kl + math.log(2 * math.sqrt(400) / 0.01)) / 400)
    assert bound.value == pytest.approx(value, rel=1e-6)
    with torch.no_grad():  # the Gibbs error, from other draws and a plain forward pass
        W = (
            theta
            + sigma * torch.randn(4000, 8, generator=torch.Generator().manual_seed(9)).double()
        )
        f = torch.einsum("mkd,nd->mnk", W[:, :6].view(-1, 2, 3), X) + W[:, None, 6:]
        gibbs = (f.argmax(2) != y).double().mean(1)
    error = 4 * float(gibbs.std()) * math.sqrt(1 / 300 + 1 / 4000)
    assert bound.terms["Gibbs error"] == pytest.approx(float(gibbs.mean()), abs=error)


def test_the_linear_form_beside_it_is_alquiers():
    X, y = classes(400, 0)
    objective = Objective(net((3, 2), seed=0), X, y)
    options = {"draws": 300, "deviations": (0.1,), "betas": (300.0,)}
    bound = pac_bayes_bound(objective, failure=0.04, **options)
    error, kl = bound.terms["Gibbs error, at most"], bound.terms["KL"]
    expected = error + (kl + math.log(1 / 0.02)) / 300 + 300 / (8 * 400)
    assert bound.terms["linear form"] == pytest.approx(expected)


def test_it_says_when_it_says_nothing():
    X, y = samples(20, 4, 3)
    bound = pac_bayes_bound(Objective(net((4, 30, 3)), X, y), draws=10)
    assert bound.vacuous
    assert bound.terms["best constant"] == pytest.approx(1 - 7 / 20)
    assert "holds with probability 0.95" in bound.assumptions[0]


def test_it_repeats_with_its_seed_and_changes_nothing():
    objective = Objective(net((4, 6, 3)), *samples(20, 4, 3))
    before, state = flat(objective.model), torch.get_rng_state()
    a, b = (pac_bayes_bound(objective, draws=10, seed=2) for _ in range(2))
    assert a == b
    assert torch.equal(before, flat(objective.model))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda o: pac_bayes_bound(2), "objective: got int"),
        (lambda o: pac_bayes_bound(o, failure=0), "failure: got 0"),
        (lambda o: pac_bayes_bound(o, draws=1), "draws: got 1"),
        (lambda o: pac_bayes_bound(o, deviations=()), "take at least one number"),
        (lambda o: pac_bayes_bound(o, deviations=(-1,)), "deviations: got -1"),
        (lambda o: pac_bayes_bound(o, betas=(0,)), "betas: got 0"),
        (lambda o: pac_bayes_bound(o, betas=100.0), "betas: got 100.0; takes a sequence"),
        (lambda o: pac_bayes_bound(o, initial=torch.ones(2)), r"initial: got \(2,\)"),
        (lambda o: pac_bayes_bound(o, initial=3), "initial: got int"),
        (
            lambda o: pac_bayes_bound(Objective(net((2, 1)), [[1.0, 0]], [[1.0]], loss="mse")),
            "takes labels",
        ),
        (lambda o: kl_inverse(2.0, 1.0), "q: got 2"),
        (lambda o: kl_inverse(0.5, -1.0), "budget: got -1"),
    ],
    ids=[str(i) for i in range(12)],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(Objective(net((4, 6, 3)), *samples(20, 4, 3)))
