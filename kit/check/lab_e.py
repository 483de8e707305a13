"""Checks of lab (e): ranks, intervals and paired changes, and the targets of label smoothing."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from kit.check.exercise import Exercise, Mistake


def _two(rng: np.random.Generator) -> tuple:
    n = int(rng.integers(5, 12))
    x = rng.permutation(n) + rng.uniform(0, 0.5, n)
    return x, x * rng.choice([-1, 1]) + rng.normal(scale=0.6 * n, size=n)


def _pairs(x, y):
    n = len(x)
    i, j = np.triu_indices(n, 1)
    return np.sign(x[i] - x[j]) * np.sign(y[i] - y[j])


def _tau(x, y):
    return float(stats.kendalltau(x, y).statistic)


kendall_tau = Exercise(
    "kendall_tau",
    _two,
    _tau,
    (
        Mistake(
            "agreeing only",
            lambda x, y: float((_pairs(x, y) > 0).mean()),
            "You count the pairs that agree. Take off those that do not: 0 has to mean no order.",
        ),
        Mistake(
            "wrong number of pairs",
            lambda x, y: float(_pairs(x, y).sum() / len(x) ** 2),
            "How many pairs are there? Each two rows once, and no row with itself.",
        ),
        Mistake(
            "each pair twice",
            lambda x, y: 2 * _tau(x, y),
            "Twice too large: you count each pair in both orders, and divide as if it were one.",
        ),
        Mistake(
            "not divided",
            lambda x, y: float(_pairs(x, y).sum()),
            "That is how many pairs more agree than disagree. Divide by the number of pairs.",
        ),
        Mistake(
            "spearman",
            lambda x, y: float(stats.spearmanr(x, y).statistic),
            "That is Spearman's coefficient, of the ranks. Kendall's counts pairs.",
        ),
        Mistake(
            "pearson",
            lambda x, y: float(np.corrcoef(x, y)[0, 1]),
            "That is the linear correlation. Only the order may count: take signs of differences.",
        ),
        Mistake(
            "neighbours only",
            lambda x, y: float(np.mean(np.sign(np.diff(x)) * np.sign(np.diff(y)))),
            "You compare neighbours in the table only. Take every two rows.",
        ),
    ),
    takes="It takes x (n,) and y (n,), without ties, and returns one number.",
)


def _grouped(rng: np.random.Generator) -> tuple:
    """Groups in which y rises with x while the groups' means fall, so that pooling misleads."""
    count = int(rng.integers(3, 6))
    sizes = rng.integers(3, 7, count)
    groups = np.repeat(np.arange(count), sizes)
    x = 10 * groups + rng.permutation(len(groups)) / len(groups)
    y = -10.0 * groups + 3 * (x - 10 * groups) + rng.normal(scale=1.0, size=len(groups))
    return groups, x, y


def _within(groups, x, y):
    return [_tau(x[groups == g], y[groups == g]) for g in np.unique(groups)]


def _of_means(groups, x, y):
    means = [[v[groups == g].mean() for g in np.unique(groups)] for v in (x, y)]
    return _tau(*map(np.array, means))


granulated_tau = Exercise(
    "granulated_tau",
    _grouped,
    lambda groups, x, y: float(np.mean(_within(groups, x, y))),
    (
        Mistake(
            "pooled",
            lambda groups, x, y: _tau(x, y),
            "You ranked all rows together. Rank within each group, then take the mean.",
        ),
        Mistake(
            "of the groups' means",
            _of_means,
            "You ranked the means of the groups. What varies within a group is what counts.",
        ),
        Mistake(
            "sum",
            lambda groups, x, y: float(np.sum(_within(groups, x, y))),
            "That is the sum over groups. Take their mean, so that it stays between -1 and 1.",
        ),
        Mistake(
            "absolute",
            lambda groups, x, y: float(np.mean(np.abs(_within(groups, x, y)))),
            "The signs are gone: a group that ranks against the gap has to count as negative.",
        ),
        Mistake(
            "weighted",
            lambda groups, x, y: float(
                np.average(_within(groups, x, y), weights=np.unique(groups, return_counts=True)[1])
            ),
            "You weight the groups by their size. Here each group counts alike.",
        ),
    ),
    takes="It takes groups (n,), x (n,) and y (n,), and returns one number.",
)


def _sample(rng: np.random.Generator) -> tuple:
    return (rng.normal(loc=rng.uniform(-1, 1), scale=0.5, size=int(rng.integers(4, 9))),)


def _interval(values, factor=None, ddof=1, root=True):
    n = len(values)
    factor = stats.t.ppf(0.975, n - 1) if factor is None else factor
    half = factor * np.std(values, ddof=ddof) / (math.sqrt(n) if root else 1.0)
    return float(values.mean() - half), float(values.mean() + half)


interval = Exercise(
    "interval",
    _sample,
    _interval,
    (
        Mistake(
            "normal",
            lambda values: _interval(values, stats.norm.ppf(0.975)),
            "1.96 is for many values. With five or so Student's quantile is larger: "
            "scipy.stats.t.ppf(0.975, n - 1).",
        ),
        Mistake(
            "1.96 by hand",
            lambda values: _interval(values, 1.96),
            "1.96 holds for many seeds. For few, take Student's quantile with n - 1 degrees.",
        ),
        Mistake(
            "standard deviation",
            lambda values: _interval(values, root=False),
            "That is where single values lie. The mean is known better, by the root of n.",
        ),
        Mistake(
            "divided by n",
            lambda values: _interval(values, ddof=0),
            "The variance is divided by n - 1, since the mean was taken from the same values.",
        ),
        Mistake(
            "one-sided",
            lambda values: _interval(values, stats.t.ppf(0.95, len(values) - 1)),
            "Two sides: 2.5% may lie beyond each end, so the quantile is that of 0.975.",
        ),
        Mistake(
            "wrong degrees",
            lambda values: _interval(values, stats.t.ppf(0.975, len(values))),
            "Degrees of freedom: one is used up by the mean.",
        ),
    ),
    takes="It takes values (n,), one a seed, and returns (low, high).",
)


def _paired(rng: np.random.Generator) -> tuple:
    m = int(rng.integers(4, 8))
    before = np.exp(rng.normal(size=m))
    return before, before * np.exp(rng.normal(loc=0.5, scale=0.3, size=m))


mean_ratio = Exercise(
    "mean_ratio",
    _paired,
    lambda before, after: float(stats.gmean(after / before)),
    (
        Mistake(
            "ratio of means",
            lambda before, after: float(after.mean() / before.mean()),
            "Networks with the same seed belong together. Take the ratio of each pair first.",
        ),
        Mistake(
            "mean of ratios",
            lambda before, after: float((after / before).mean()),
            "A doubling and a halving should cancel. Take the mean of the logarithms.",
        ),
        Mistake(
            "upside down",
            lambda before, after: float(stats.gmean(before / after)),
            "Upside down: after over before.",
        ),
        Mistake(
            "logarithm kept",
            lambda before, after: float(np.log(after / before).mean()),
            "That is the mean logarithm. Take it back with exp, to get a factor.",
        ),
        Mistake(
            "product divided",
            lambda before, after: float(np.prod(after / before) / len(before)),
            "You divide the product of the ratios by m. ** binds more tightly than /: brackets?",
        ),
        Mistake(
            "difference",
            lambda before, after: float((after - before).mean()),
            "That is a mean difference. Sharpness spans decades: ask for the factor.",
        ),
    ),
    takes="It takes before (m,) and after (m,), pairs with the same seed, and returns one factor.",
)


def _labels(rng: np.random.Generator) -> tuple:
    K = int(rng.integers(3, 7))
    return rng.integers(K, size=5), K, float(rng.uniform(0.05, 0.5))


def _targets(labels, K, s):
    return (1 - s) * np.eye(K)[labels] + s / K


smooth_labels = Exercise(
    "smooth_labels",
    _labels,
    _targets,
    (
        Mistake(
            "to the others only",
            lambda labels, K, s: np.where(np.eye(K)[labels] > 0, 1 - s, s / (K - 1)),
            "You spread s over the other classes. In the usual form it goes to all K, the right "
            "one among them.",
        ),
        Mistake(
            "right class without its share",
            lambda labels, K, s: np.where(np.eye(K)[labels] > 0, 1 - s, s / K),
            "Your rows add up to less than one: the right class gets its share s/K as well.",
        ),
        Mistake(
            "every row",
            lambda labels, K, s: np.tile(
                np.where(np.isin(np.arange(K), labels), 1 - s, s / K), (len(labels), 1)
            ),
            "Your rows are all alike: T[:, labels] means these columns in every row. Each row has "
            "one right class.",
        ),
        Mistake(
            "does not add up",
            lambda labels, K, s: np.where(np.eye(K)[labels] > 0, 1.0, s / K),
            "Your rows do not add up to one: take s away from the right class first.",
        ),
        Mistake(
            "wrong way round",
            lambda labels, K, s: s * np.eye(K)[labels] + (1 - s) / K,
            "s and 1 - s have changed places: at s = 0 the labels have to be hard.",
        ),
        Mistake(
            "s to each",
            lambda labels, K, s: (1 - s) * np.eye(K)[labels] + s,
            "Each class gets s divided by K, not the whole of s.",
        ),
        Mistake(
            "hard labels",
            lambda labels, K, s: np.eye(K)[labels],
            "Those are the hard labels: nothing is smoothed.",
        ),
    ),
    takes="It takes labels (n,) of integers, K and s, and returns targets (n, K).",
)

EXERCISES = {e.name: e for e in (kendall_tau, granulated_tau, interval, mean_ratio, smooth_labels)}
