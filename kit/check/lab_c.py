"""Checks of lab (c): Lipschitz constants from samples, floors under them, bounds made of them."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.spatial.distance import cdist, pdist
from scipy.special import rel_entr

from kit.check.exercise import Exercise, Mistake


def _on_interval(rng: np.random.Generator) -> tuple:
    """Samples in no order, that sometimes leave out one end of the interval."""
    x = rng.uniform(0, 1, size=int(rng.integers(4, 10)))
    if rng.random() < 0.4:
        x = 0.4 * x if rng.random() < 0.5 else 1 - 0.4 * x
    return (x,)


def _furthest(x):
    """The worst point is an end or lies half way between two samples: all of them are tried."""
    tried = np.concatenate([[0.0, 1.0], np.add.outer(x, x).ravel() / 2])
    return np.abs(tried[:, None] - x).min(axis=1).max()


def _reach(first, gap, last):
    def answer(x):
        x = np.sort(x)
        return max(first * x[0], gap * np.diff(x).max(), last * (1 - x[-1]))

    return answer


covering_radius = Exercise(
    "covering_radius",
    _on_interval,
    _furthest,
    (
        Mistake(
            "whole gaps",
            _reach(1, 1, 1),
            "Between two samples no point is a whole gap away from the nearer one.",
        ),
        Mistake(
            "ends forgotten",
            _reach(0, 0.5, 0),
            "You look between samples only. The ends of the interval can be further away.",
        ),
        Mistake(
            "ends halved",
            _reach(0.5, 0.5, 0.5),
            "At an end there is a sample on one side only: nothing to halve.",
        ),
        Mistake(
            "not sorted",
            lambda x: max(x[0], np.abs(np.diff(x)).max() / 2, 1 - x[-1]),
            "You take samples as they come. Neighbours on the line need not be neighbours in the "
            "array.",
        ),
        Mistake(
            "mean gap",
            lambda x: np.diff(np.sort(x)).mean() / 2,
            "You average the gaps. To cover *every* point takes the worst one.",
        ),
        Mistake(
            "smallest gap",
            lambda x: np.diff(np.sort(x)).min() / 2,
            "That is where samples are closest. Wanted is the point that is worst off.",
        ),
    ),
    takes="It takes samples x (n,) from 0 to 1, in any order, and returns one number.",
    cases=40,
)


def _broken_line(rng: np.random.Generator) -> tuple:
    """A ReLU network with kinks in and out of the interval, at times two of them very close."""
    inside = (np.arange(4) + rng.uniform(0.15, 0.85, size=4)) / 4
    kinks = np.concatenate([inside, rng.uniform(1.1, 2, size=2), rng.uniform(-1, -0.1, size=1)])
    w1 = rng.uniform(0.5, 2, size=7) * rng.choice([-1, 1], size=7)
    w2 = rng.normal(size=7)
    if rng.random() < 0.3:  # a steep piece, narrower than any grid
        kinks[-2] = kinks[0] + 1e-6
        w1[0] = w1[-2] = 1.0
        w2[0], w2[-2] = np.array([20.0, -20.0]) * rng.choice([-1, 1])
    order = rng.permutation(7)
    return w1[order], (-w1 * kinks)[order], w2[order]


def _value(w1, b1, w2, x):
    return np.maximum(np.multiply.outer(x, w1) + b1, 0) @ w2


def _kinks(w1, b1, low=0.0, high=1.0):
    t = np.sort(-b1 / w1)
    return np.concatenate([[low], t[(t > low) & (t < high)], [high]])


def _quotients(w1, b1, w2, x):
    """The function's own differences: between two kinks it is a line."""
    return np.diff(_value(w1, b1, w2, x)) / np.diff(x)


def _on_grid(w1, b1, w2):
    return np.abs(_quotients(w1, b1, w2, np.linspace(0, 1, 1001))).max()


def _without_first_weights(w1, b1, w2):
    x = _kinks(w1, b1)
    middle = (x[1:] + x[:-1]) / 2
    return np.abs((np.multiply.outer(middle, w1) + b1 > 0) @ w2).max()


lipschitz = Exercise(
    "lipschitz",
    _broken_line,
    lambda w1, b1, w2: np.abs(_quotients(w1, b1, w2, _kinks(w1, b1))).max(),
    (
        Mistake(
            "signed",
            lambda w1, b1, w2: _quotients(w1, b1, w2, _kinks(w1, b1)).max(),
            "You take the largest slope with its sign. A line that falls is steep as well.",
        ),
        Mistake(
            "ends forgotten",
            lambda w1, b1, w2: np.abs(_quotients(w1, b1, w2, _kinks(w1, b1))[1:-1]).max(),
            "You look from the first kink to the last. Two pieces are missing, at the ends.",
        ),
        Mistake(
            "out of the interval",
            lambda w1, b1, w2: np.abs(_quotients(w1, b1, w2, _kinks(w1, b1, -50, 50))).max(),
            "You count pieces that lie out of the interval from 0 to 1.",
        ),
        Mistake(
            "product",
            lambda w1, b1, w2: np.abs(w1 * w2).sum(),
            "That is an upper bound, with all units active and of one sign. Wanted is the exact "
            "constant: which units are active on a piece?",
        ),
        Mistake(
            "first weights forgotten",
            _without_first_weights,
            "The chain rule: an active unit's slope is w2 times what else?",
        ),
        Mistake(
            "bias forgotten",
            lambda w1, b1, w2: abs(w1[w1 > 0] @ w2[w1 > 0]),
            "You have all units change at 0. Where does unit j change, with its bias?",
        ),
        Mistake(
            "grid",
            _on_grid,
            "You look on a grid. A steep piece can be narrower than its cells: take the kinks.",
        ),
        Mistake(
            "end to end",
            lambda w1, b1, w2: abs(_quotients(w1, b1, w2, np.array([0.0, 1.0]))[0]),
            "That is the mean slope from 0 to 1. Up and down cancel in it.",
        ),
    ),
    takes="It takes w1, b1, w2, all (m,), and returns one number.",
)


def _measured(rng: np.random.Generator) -> tuple:
    n = 2.0 ** np.arange(3, 3 + int(rng.integers(5, 9)))
    noise = np.exp(0.15 * rng.normal(size=len(n)))
    return n, rng.uniform(0.5, 4) * n ** -rng.uniform(0.2, 1.2) * noise


def _fit(x, y):
    return np.polyfit(x, y, 1)[0]


rate = Exercise(
    "rate",
    _measured,
    lambda n, shortfall: _fit(np.log(n), np.log(shortfall)),
    (
        Mistake(
            "no logarithms",
            lambda n, shortfall: _fit(n, shortfall),
            "You fit a line to the numbers themselves. A power is a line on two log axes.",
        ),
        Mistake(
            "one logarithm",
            lambda n, shortfall: _fit(n, np.log(shortfall)),
            "Only the shortfall is on a log axis: there exp(-n) is a line, not a power of n.",
        ),
        Mistake(
            "the other logarithm",
            lambda n, shortfall: _fit(np.log(n), shortfall),
            "Only n is on a log axis. Take the logarithm of both.",
        ),
        Mistake(
            "sign",
            lambda n, shortfall: -_fit(np.log(n), np.log(shortfall)),
            "The sign: the shortfall falls as n grows.",
        ),
        Mistake(
            "through 0",
            lambda n, shortfall: np.log(n) @ np.log(shortfall) / (np.log(n) @ np.log(n)),
            "Your line goes through the origin. It has a height of its own, the constant before "
            "the power: subtract the means first.",
        ),
        Mistake(
            "ends only",
            lambda n, shortfall: np.log(shortfall[-1] / shortfall[0]) / np.log(n[-1] / n[0]),
            "You use the first and the last point only. Least squares uses all of them.",
        ),
        Mistake(
            "other way round",
            lambda n, shortfall: 1 / _fit(np.log(shortfall), np.log(n)),
            "You fit n as a function of the shortfall. Errors are in the shortfall: divide by the "
            "spread of log n.",
        ),
        Mistake(
            "two counts",
            lambda n, shortfall: np.cov(np.log(n), np.log(shortfall))[0, 1] / np.var(np.log(n)),
            "You divide by k - 1 above and by k below: np.cov and np.var count in different ways.",
        ),
        Mistake(
            "correlation",
            lambda n, shortfall: np.corrcoef(np.log(n), np.log(shortfall))[0, 1],
            "That is the correlation: how well a line fits, not how steep it is.",
        ),
    ),
    takes="It takes n (k,) and shortfall (k,), all positive, and returns one number.",
)


def _fitted(rng: np.random.Generator) -> tuple:
    """Inputs, targets and costs; the costs are too large to force anything a third of the time."""
    n, d, K = int(rng.integers(4, 8)), int(rng.integers(1, 4)), int(rng.integers(1, 3))
    X, Y = 3 * rng.normal(size=(n, d)), rng.normal(size=(n, K))
    c = rng.uniform(0.001, 0.04, size=n)
    if rng.random() < 0.35:
        c = c + 0.5 * (2 * np.linalg.norm(Y, axis=1).max()) ** 2
    return X, Y, c


def _pairs(rise, least=0.0):
    """The largest rise(distance of targets, e_i, e_j) over the distance, over all pairs."""

    def answer(X, Y, c):
        i, j = np.triu_indices(len(X), 1)
        return max(least, (rise(pdist(Y), c[i], c[j]) / pdist(X)).max())

    return answer


def _distance_of(c):
    return np.sqrt(2 * c)


def _both(apart, a, b):
    return apart - _distance_of(a) - _distance_of(b)


def _neighbours(X, Y, c):
    e = _distance_of(c)
    apart = np.linalg.norm(np.diff(Y, axis=0), axis=1)
    between = np.linalg.norm(np.diff(X, axis=0), axis=1)
    return max(0.0, ((apart - e[1:] - e[:-1]) / between).max())


def _closest(X, Y, c):
    D = cdist(X, X) + np.diag(np.full(len(X), np.inf))
    i, j = np.unravel_index(D.argmin(), D.shape)
    return max(0.0, _both(np.linalg.norm(Y[i] - Y[j]), c[i], c[j]) / D[i, j])


slope_floor = Exercise(
    "slope_floor",
    _fitted,
    _pairs(_both),
    (
        Mistake(
            "negative",
            _pairs(_both, -np.inf),
            "Where nothing is forced the floor is 0: a norm is never negative. Right elsewhere.",
        ),
        Mistake(
            "perfect fit",
            _pairs(lambda apart, a, b: apart),
            "You have the outputs hit their targets. They miss them, by how much says the cost.",
        ),
        Mistake(
            "one of two",
            _pairs(lambda apart, a, b: apart - np.minimum(_distance_of(a), _distance_of(b))),
            "You subtract the miss of one sample. Both outputs may lie nearer to each other.",
        ),
        Mistake(
            "cost as distance",
            _pairs(lambda apart, a, b: apart - a - b),
            "You subtract costs. A cost is half a squared distance: which distance belongs to it?",
        ),
        Mistake(
            "half forgotten",
            _pairs(lambda apart, a, b: apart - np.sqrt(a) - np.sqrt(b)),
            "The distance is not the root of the cost: the cost has a factor of one half.",
        ),
        Mistake(
            "added",
            _pairs(lambda apart, a, b: apart + _distance_of(a) + _distance_of(b)),
            "You add the misses: that is the most that outputs can differ. Wanted is the least.",
        ),
        Mistake(
            "rows in order",
            _neighbours,
            "You compare each row with the next one. Any pair may set the floor.",
        ),
        Mistake(
            "closest pair",
            _closest,
            "You take the pair whose inputs are closest. Its targets may be equal: try all pairs.",
        ),
        Mistake(
            "squared distance",
            lambda X, Y, c: max(
                0.0,
                (
                    _both(pdist(Y), *(c[k] for k in np.triu_indices(len(X), 1)))
                    / pdist(X, "sqeuclidean")
                ).max(),
            ),
            "You divide by the squared distance of the inputs. A slope is rise over run.",
        ),
    ),
    takes="It takes X (n, d), Y (n, K), c (n,) and returns one number.",
)


def _terms(rng: np.random.Generator) -> tuple:
    """Terms of a bound; the steepest sample is not the one about which J varies most."""
    n = int(rng.integers(4, 9))
    phi, J, V = rng.uniform(0, 0.3, n), rng.uniform(1, 3, n), rng.uniform(0.1, 1, n)
    J[0], V[0], V[1] = 4.0, 0.2, 3.0
    order = rng.permutation(n)
    return (
        phi[order],
        J[order],
        V[order],
        float(rng.uniform(0.5, 2)),
        float(rng.uniform(1, 6)),
        float(rng.uniform(0.01, 0.2)),
    )


def _worst(phi, J, V, B, target_slope, r):
    """As the largest over all pairs of samples, one for the cost and one for the slope."""
    slope = 2 * B * np.add(J, V) * r
    return np.add.outer(phi, slope).max() + 2 * B * target_slope * r


def _g1(phi=np.max, slope=lambda J, V: np.max(J + V), factor=2.0, target=1.0):
    def answer(costs, J, V, B, target_slope, r):
        return phi(costs) + factor * B * (slope(J, V) + target * target_slope) * r

    return answer


bound = Exercise(
    "bound",
    _terms,
    _worst,
    (
        Mistake(
            "mean cost",
            _g1(phi=np.mean),
            "You start from the mean cost. A new point is near *some* sample, it may be the worst.",
        ),
        Mistake(
            "two maxima",
            _g1(slope=lambda J, V: J.max() + V.max()),
            "True, but not the best: the largest J and the largest V belong to two samples. Add "
            "them sample by sample, then take the largest.",
        ),
        Mistake(
            "sample by sample",
            lambda phi, J, V, B, target_slope, r: (phi + 2 * B * (J + V + target_slope) * r).max(),
            "That is true as well, and sharper: each sample with its own slope. Wanted is the "
            "simpler form, which bounds cost and slope apart.",
        ),
        Mistake(
            "no V",
            _g1(slope=lambda J, V: J.max()),
            "You take the steepest sample for the steepest place. Between samples J can be larger.",
        ),
        Mistake(
            "no target",
            _g1(target=0.0),
            "The cost also changes since the target does: its slope is missing.",
        ),
        Mistake(
            "factor",
            _g1(factor=1.0),
            "The cost's own Lipschitz constant: half a squared distance between two things of "
            "size up to B. How far apart can they be?",
        ),
        Mistake(
            "V times r",
            lambda phi, J, V, B, target_slope, r: _worst(phi, J, V * r, B, target_slope, r),
            "V is how much J changes within r already, not per unit of distance.",
        ),
        Mistake(
            "no radius",
            lambda phi, J, V, B, target_slope, r: (
                phi.max() + 2 * B * ((J + V).max() + target_slope)
            ),
            "A slope is per unit of distance. How far is the next sample, at most?",
        ),
        Mistake(
            "mean slope",
            _g1(slope=lambda J, V: np.mean(J + V)),
            "You average slopes over samples. A Lipschitz constant is the largest slope.",
        ),
    ),
    takes="It takes phi (n,), J (n,), V (n,), then numbers B, target_slope, r; returns a number.",
)


def _certified(rng: np.random.Generator) -> tuple:
    error = 0.0 if rng.random() < 0.25 else float(rng.uniform(0.01, 0.4))
    n = int(rng.integers(200, 3000))
    return error, float(rng.uniform(0.005, 0.15) * n), n, float(rng.uniform(0.01, 0.2))


def _coins(a, b):
    return float(rel_entr(a, b) + rel_entr(1 - a, 1 - b))


def _budget(KL, n, p):
    return (KL + np.log(2 * np.sqrt(n) / p)) / n


def _above(error, budget, kl=_coins):
    """By Brent's method of scipy: the student is asked to bisect."""
    top = 1 - 1e-15
    if kl(error, top) <= budget:
        return 1.0
    return brentq(lambda b: kl(error, b) - budget, error, top, xtol=1e-14)


def _below(error, budget):
    low = 1e-300
    if error == 0 or _coins(error, low) <= budget:
        return 0.0
    return brentq(lambda b: _coins(error, b) - budget, low, error, xtol=1e-14)


def _reversed(error, budget):
    if error == 0:
        return 0.0
    if _coins(1 - 1e-15, error) <= budget:
        return 1.0
    return brentq(lambda b: _coins(b, error) - budget, error, 1 - 1e-15, xtol=1e-14)


certificate = Exercise(
    "certificate",
    _certified,
    lambda error, KL, n, p: _above(error, _budget(KL, n, p)),
    (
        Mistake(
            "pinsker",
            lambda error, KL, n, p: error + np.sqrt(_budget(KL, n, p) / 2),
            "You use Pinsker's inequality. It is true, but looser: invert kl itself.",
        ),
        Mistake(
            "lower end",
            lambda error, KL, n, p: _below(error, _budget(KL, n, p)),
            "There are two solutions, one on each side of the error on the samples. A promise "
            "needs the upper one.",
        ),
        Mistake(
            "arguments swapped",
            lambda error, KL, n, p: _reversed(error, _budget(KL, n, p)),
            "kl is not symmetric: the error on the samples comes first.",
        ),
        Mistake(
            "no n",
            lambda error, KL, n, p: _above(error, n * _budget(KL, n, p)),
            "Your promise is next to 1 always. More samples must help: where does n divide?",
        ),
        Mistake(
            "only KL",
            lambda error, KL, n, p: _above(error, KL / n),
            "The confidence is not paid for: p is missing.",
        ),
        Mistake(
            "no root of n",
            lambda error, KL, n, p: _above(error, (KL + np.log(2 / p)) / n),
            "In the logarithm n is missing: look at the inequality once more.",
        ),
        Mistake(
            "whole n in the logarithm",
            lambda error, KL, n, p: _above(error, (KL + np.log(2 * n / p)) / n),
            "In the logarithm stands the root of n.",
        ),
        Mistake(
            "confidence for failure",
            lambda error, KL, n, p: _above(error, _budget(KL, n, 1 - p)),
            "p is the probability that the promise fails, not that it holds. A smaller p must make "
            "the promise weaker.",
        ),
        Mistake(
            "budget added",
            lambda error, KL, n, p: error + _budget(KL, n, p),
            "You add the budget to the error. It is a budget for kl, in nats, not for the error.",
        ),
    ),
    takes="It takes error, KL, n, p and returns one number.",
)

EXERCISES = {e.name: e for e in (covering_radius, lipschitz, rate, slope_floor, bound, certificate)}
