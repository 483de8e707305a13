"""The certificate: its parts against other routes, what it may know, and what it says."""

import numpy as np
import pytest
import torch

from kit import Objective
from kit.certificate import RECIPES, Certificate, HalfPrior, hold_out_bound, wrong
from kit.pac_bayes import kl_inverse

SIGMAS = (0.03, 0.07, 0.1, 0.3, 0.7)


def trained(name="digits", **options):
    training = HalfPrior(name, **options)
    shares = []
    while not training.done:
        training.part(50)
        shares.append(training.progress)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    return training.pair


@pytest.fixture(scope="module")
def pair():
    return trained()


def certified(pair, draws=100, **options):
    certificate = Certificate(pair, SIGMAS, **options)
    certificate.draw(draws)
    return certificate


def test_the_prior_has_seen_the_first_half_only():
    """Other features and labels in the second half: the same prior, another posterior."""
    one, other = HalfPrior("digits", n=100), HalfPrior("digits", n=100)
    second = other._second
    other.data.X_train[second] = 0.0
    other.data.y_train[second] = 3
    for training in (one, other):
        while not training.done:
            training.part(100)
    assert torch.equal(one.pair.prior, other.pair.prior)
    assert not torch.equal(one.pair.posterior, other.pair.posterior)
    first = torch.ones(100, dtype=torch.bool)
    first[one._second] = False
    seen = one.data.X_train[first]
    assert seen.mean(0).abs().max() < 1e-5
    assert float(seen.std()) == pytest.approx(1, abs=1e-4)


def test_kl_is_that_of_torch(pair):
    certificate = Certificate(pair, SIGMAS, alpha=2.0, tied=True)
    q = torch.distributions.Normal(certificate.posterior, 0.1 * certificate.scale)
    p = torch.distributions.Normal(certificate.prior, 0.1 * certificate.scale)
    expected = float(torch.distributions.kl_divergence(q, p).sum())
    assert certificate.kl[2] == pytest.approx(expected, rel=1e-4)


def test_errors_are_counted_as_the_objective_would(pair):
    objective = Objective(pair.model, pair.X, pair.y)
    theta = torch.stack([pair.prior, pair.posterior])
    expected = [int((objective.at(t).outputs.argmax(1) != pair.y).sum()) for t in theta]
    assert wrong(pair.model, theta, pair.X, pair.y).tolist() == expected


def test_more_draws_refine_and_the_standard_error_is_that_of_the_draws(pair):
    one, two = certified(pair), Certificate(pair, SIGMAS)
    for _ in range(4):
        two.draw(25)
    assert two.draws == one.draws
    assert np.allclose(one.noisy, two.noisy)
    before = one.error.copy()
    one.draw(300)
    assert np.all(one.error < before)
    many = np.array([certified(pair, 20, seed=seed).noisy for seed in range(20)])
    assert many.std(0, ddof=1)[:4] == pytest.approx(
        certified(pair, 400).error[:4] * 20**0.5, rel=0.5
    )


def test_every_setting_is_paid_for(pair):
    alone, among = certified(pair), certified(pair, settings=18)
    assert np.all(among.values > alone.values)
    assert alone.share * len(SIGMAS) == pytest.approx(0.05)
    assert among.share * len(SIGMAS) * 18 == pytest.approx(0.05)
    by_hand = kl_inverse(among.upper[2], among.budget[2])
    assert among.values[2] == pytest.approx(by_hand)
    assert np.all(among.noisy <= among.upper)
    assert np.all(among.upper <= among.values)


def test_it_holds_on_new_data(pair):
    for alpha in (0.5, 1.0, 2.0):
        certificate = certified(pair, alpha=alpha)
        for sigma, value in zip(SIGMAS, certificate.values, strict=True):
            rate, error = certificate.on_new_data(sigma)
            assert rate - 2 * error < value
    assert pair.error(pair.prior, pair.data.X_test, pair.data.y_test) < hold_out_bound(pair)


def test_rescaling_moves_it_unless_the_noise_is_tied(pair):
    free = {alpha: certified(pair, 1000, alpha=alpha, settings=18) for alpha in (1.0, 2.0, 5.0)}
    assert free[1.0].values[2] == pytest.approx(0.26, abs=0.02)
    assert free[2.0].values[2] == pytest.approx(0.43, abs=0.03)
    assert free[5.0].values.min() > 0.9
    tied = [certified(pair, 1000, alpha=a, tied=True, settings=18) for a in (0.2, 1.0, 5.0)]
    for certificate in tied:
        assert certificate.kl == pytest.approx(tied[1].kl, rel=1e-4)
        assert certificate.noisy == pytest.approx(tied[1].noisy, abs=1e-3)
        assert certificate.values.min() == pytest.approx(0.32, abs=0.02)


def test_digits_far_below_chance_and_mnist1d_nearly_vacuous(pair):
    """Page 7's numbers."""
    digits = certified(pair, 1000, settings=18)
    assert digits.values.min() < 0.3
    assert digits.kl[2] == pytest.approx(41, abs=4)
    assert digits.on_new_data(0.1)[0] == pytest.approx(0.06, abs=0.02)
    assert hold_out_bound(pair) == pytest.approx(0.068, abs=0.01)
    signals = trained("mnist1d")
    certificate = Certificate(signals, (0.07, 0.1, 0.14), settings=5 * 18)  # as of 15 sigmas
    certificate.draw(400)
    assert 0.75 < certificate.values.min() < 0.9
    assert certificate.kl[1] == pytest.approx(286, abs=30)
    assert certificate.noisy[1] == pytest.approx(0.53, abs=0.03)
    error = signals.error(signals.posterior, signals.data.X_test, signals.data.y_test)
    assert error == pytest.approx(0.43, abs=0.03)
    moved = [float((p.posterior - p.prior).norm()) for p in (pair, signals)]
    assert moved[1] > 2 * moved[0]


def test_what_it_refuses():
    assert set(RECIPES) == {"digits", "mnist1d"}
    with pytest.raises(ValueError, match="name: got 'chebyshev'"):
        HalfPrior("chebyshev")
