"""Checks of lab (f): soft rank, the ridge case, calibration, temperature, Takeuchi's criterion."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from kit.check.exercise import Exercise, Mistake


def _spectrum(rng: np.random.Generator) -> tuple:
    a = np.exp(rng.uniform(-6, 2, int(rng.integers(4, 10))))
    a[0] = 0.0
    return a, float(np.exp(rng.uniform(-4, 1)))


soft_rank = Exercise(
    "soft_rank",
    _spectrum,
    lambda a, mu: float(np.trace(np.linalg.solve(np.diag(a) + mu * np.eye(len(a)), np.diag(a)))),
    (
        Mistake(
            "hard count",
            lambda a, mu: float((a > mu).sum()),
            "You count the eigenvalues above mu. Softly: each counts as a / (a + mu).",
        ),
        Mistake(
            "the rest",
            lambda a, mu: float((mu / (a + mu)).sum()),
            "That is what is left of the dimension: the directions that the loss does not hold.",
        ),
        Mistake(
            "trace over mu",
            lambda a, mu: float((a / mu).sum()),
            "Without the a below the line one large eigenvalue counts as many. Each is at most 1.",
        ),
        Mistake(
            "mean",
            lambda a, mu: float((a / (a + mu)).mean()),
            "That is the mean over directions. A rank is their sum.",
        ),
        Mistake(
            "numerical rank",
            lambda a, mu: float((a > 0).sum()),
            "That is the rank without damping, the limit of mu to 0.",
        ),
        Mistake(
            "squares",
            lambda a, mu: float((a**2 / (a**2 + mu**2)).sum()),
            "No squares: that form counts variance, as in another kind of degrees of freedom.",
        ),
    ),
    takes="It takes eigenvalues (P,), none below 0, and mu, and returns one number.",
)


def _ridge(rng: np.random.Generator) -> tuple:
    n, d = int(rng.integers(10, 30)), int(rng.integers(2, 6))
    return rng.normal(size=(n, d)), float(np.exp(rng.uniform(-3, 1))), float(rng.uniform(0.3, 2))


def _hat(X, mu, sigma, power=2, over=True):
    n, d = X.shape
    hat = X @ np.linalg.solve(X.T @ X + (n if over else 1) * mu * np.eye(d), X.T)
    return float(sigma**power / n * np.trace(hat))


ridge_gap = Exercise(
    "ridge_gap",
    _ridge,
    _hat,
    (
        Mistake(
            "X'X not over n",
            lambda X, mu, sigma: _hat(X, mu, sigma, over=False),
            "The matrix is X'X over n, as the loss is a mean: else mu means something else.",
        ),
        Mistake(
            "sigma",
            lambda X, mu, sigma: _hat(X, mu, sigma, power=1),
            "It is the variance of the noise that enters, the square of sigma.",
        ),
        Mistake(
            "parameters",
            lambda X, mu, sigma: sigma**2 * X.shape[1] / len(X),
            "You count every parameter as one. That is the case without a penalty.",
        ),
        Mistake(
            "not over n",
            lambda X, mu, sigma: _hat(X, mu, sigma) * len(X),
            "Divide by n: the gap is one of mean losses.",
        ),
        Mistake(
            "twice",
            lambda X, mu, sigma: 2 * _hat(X, mu, sigma),
            "The cost is one half of the squared error: a factor 2 too much.",
        ),
    ),
    takes="It takes X (n, d), mu and sigma, and returns one number.",
)

BINS = 5


def _predictions(rng: np.random.Generator) -> tuple:
    n = int(rng.integers(60, 120))
    confidence = rng.uniform(0.2, 1.0, n) ** 0.7
    right = (rng.random(n) < confidence**2.5 + 0.1).astype(float)
    confidence[: n // 10] = 1.0  # as softmax rounds it
    return confidence, right


def _bins(confidence, right):
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    parts = [(confidence[place == b], right[place == b]) for b in range(BINS)]
    return [(len(c), c.mean() - r.mean()) for c, r in parts if len(c)]


def _weighted(confidence, right, size=abs):
    return float(sum(n * size(gap) for n, gap in _bins(confidence, right)) / len(confidence))


calibration_error = Exercise(
    "calibration_error",
    _predictions,
    _weighted,
    (
        Mistake(
            "signed",
            lambda confidence, right: _weighted(confidence, right, lambda gap: gap),
            "That is over-confidence on the whole: bins that are too sure and bins that are not "
            "cancel. Take the size bin by bin.",
        ),
        Mistake(
            "bins alike",
            lambda confidence, right: float(np.mean([abs(g) for _, g in _bins(confidence, right)])),
            "A bin with two samples counts as much as one with fifty. Weight by their numbers.",
        ),
        Mistake(
            "largest",
            lambda confidence, right: float(max(abs(g) for _, g in _bins(confidence, right))),
            "That is the worst bin. Wanted is the mean over samples.",
        ),
        Mistake(
            "last bin open",
            lambda confidence, right: (
                _weighted(confidence[confidence < 1], right[confidence < 1])
                * (confidence < 1).mean()
            ),
            "A confidence of exactly 1 is in none of your bins. The last one includes its end.",
        ),
        Mistake(
            "squares",
            lambda confidence, right: _weighted(confidence, right, lambda gap: gap**2),
            "You squared the differences: this error takes their size.",
        ),
        Mistake(
            "sample by sample",
            lambda confidence, right: float(np.abs(confidence - right).mean()),
            "One sample is right or wrong, never 80%. Compare means over a bin.",
        ),
    ),
    takes=f"It takes confidence (n,) and right (n,) of 0 and 1; {BINS} bins; returns one number.",
)


def _logits(rng: np.random.Generator) -> tuple:
    n, K = 80, 4
    clean = rng.normal(size=(n, K)) * 1.5
    p = np.exp(clean - logsumexp(clean, axis=1, keepdims=True))
    labels = np.array([rng.choice(K, p=row) for row in p])
    return float(rng.uniform(0.5, 4)) * clean, labels


def _nll(T, logits, labels):
    f = logits / T
    return float((logsumexp(f, axis=1) - f[np.arange(len(f)), labels]).mean())


def _best(logits, labels):
    found = minimize_scalar(
        lambda u: _nll(np.exp(u), logits, labels),
        bounds=(-4, 4),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))


def _right(logits, labels):
    return float((logits.argmax(1) == labels).mean())


temperature = Exercise(
    "temperature",
    _logits,
    _best,
    (
        Mistake(
            "inverse",
            lambda logits, labels: 1 / _best(logits, labels),
            "Upside down: outputs are divided by T, and above 1 means less sure.",
        ),
        Mistake(
            "the loss itself",
            lambda logits, labels: _nll(_best(logits, labels), logits, labels),
            "That is the least loss. Wanted is the T at which it is reached.",
        ),
        Mistake(
            "one",
            lambda logits, labels: 1.0,
            "T = 1 changes nothing. Search for the T with the least cross-entropy.",
        ),
        Mistake(
            "accuracy",
            _right,
            "That is the accuracy, which no T changes. Minimise the cross-entropy over T.",
        ),
        Mistake(
            "logarithm",
            lambda logits, labels: float(np.log(_best(logits, labels))),
            "You searched over log T, which is wise. Take it back with exp.",
        ),
        Mistake(
            "spread of the outputs",
            lambda logits, labels: float(logits.std()),
            "That is the spread of the outputs. T has to be fitted to the labels.",
        ),
    ),
    tolerance=2e-2,
    takes="It takes logits (n, K) and labels (n,), and returns T to two digits.",
)


def _gradients(rng: np.random.Generator) -> tuple:
    n, P = int(rng.integers(8, 15)), 4
    g = rng.normal(size=(n, P)) + rng.normal(size=P)
    B = rng.normal(size=(P, P))
    return g, B @ B.T / P, float(np.exp(rng.uniform(-2, 1)))


def _takeuchi(g, G, mu, centred=True, ddof=0, damp=1.0, over=True):
    n, P = g.shape
    u = g - g.mean(0) if centred else g
    C = u.T @ u / (n - ddof)
    value = np.trace(C @ np.linalg.inv(G + damp * mu * np.eye(P)))
    return float(value / n if over else value)


takeuchi = Exercise(
    "takeuchi",
    _gradients,
    _takeuchi,
    (
        Mistake(
            "not centred",
            lambda g, G, mu: _takeuchi(g, G, mu, centred=False),
            "A covariance: take the mean gradient off first. It is not 0 where there is a penalty.",
        ),
        Mistake(
            "not over n",
            lambda g, G, mu: _takeuchi(g, G, mu, over=False),
            "Divide by n once more: the criterion estimates a gap of mean losses.",
        ),
        Mistake(
            "no damping",
            lambda g, G, mu: _takeuchi(g, G, mu, damp=0.0),
            "The damping is not in your inverse: the penalty bends the loss as well.",
        ),
        Mistake(
            "n - 1",
            lambda g, G, mu: _takeuchi(g, G, mu, ddof=1),
            "Here the covariance is divided by n, as a mean over the samples.",
        ),
        Mistake(
            "G for the covariance",
            lambda g, G, mu: float(np.trace(np.linalg.solve(G + mu * np.eye(len(G)), G)) / len(g)),
            "That is the soft rank over n: it takes the model's own noise for that of the data.",
        ),
        Mistake(
            "trace of the covariance",
            lambda g, G, mu: float(np.trace(np.cov(g.T, ddof=0)) / len(g)),
            "The curvature is missing: multiply by the inverse of G + mu I before the trace.",
        ),
    ),
    takes="It takes gradients (n, P), G (P, P) and mu, and returns one number.",
)

EXERCISES = {e.name: e for e in (soft_rank, ridge_gap, calibration_error, temperature, takeuchi)}
