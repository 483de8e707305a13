"""Functions whose steepest place is known, and what samples find of it.

    f(x) = s sum_k phi(u_k),  u = Q' x in [0, 1]^d,  Q (D, d) with orthonormal columns
    ||J(x)|| = s (sum_k phi'(u_k)^2)^{1/2},  largest where each |phi'(u_k)| is: Lip = s sqrt(d)

max |phi'| = 1, so s = Lip / sqrt(d). The data fill a d-dimensional face, turned, of a cube of D
inputs; f does not change across it, so norms and distances are those of u.

>>> f = AdditiveFunction("pointed", 2)
>>> f.lipschitz, round(float(f.norms(f.steepest[None])[0]), 12)
(2.0, 2.0)
>>> U = draw(64, 2, 0)
>>> largest, at_most = bracket(f, U, covering_radius(U)[1])
>>> largest < f.lipschitz < at_most
True
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from kit.checks import check_int, check_number, check_one_of, check_seed
from kit.covering import interval_sample_radius
from kit.models import mlp

SHAPES = ("pointed", "rounded", "network")
STEEPEST, REACH = 0.6, 0.4  # phi' of the smooth shapes peaks here, and falls to 0 so far away
KINKS = np.array([0.12, 0.3, 0.5, 0.6, 0.78, 0.9])  # of the network, and its slopes between them
SLOPES = np.array([0.35, -0.45, 0.3, 1.0, -0.4, 0.45, -0.3])
BLOCK = 128  # points whose nearest samples are looked up at once


@dataclass(frozen=True)
class AdditiveFunction:
    """f on the unit cube of d inputs, by the shape of phi'; Lip(f) = `lipschitz`, attained.

        pointed     phi'(t) = 1 - |t - c| / w           J is Lipschitz, |phi'| has a corner at c
        rounded     phi'(t) = cos(pi (t - c) / (2 w))   J is smooth, |phi'| is flat at c
        network     phi' piecewise constant             a ReLU network; J jumps

    >>> [round(AdditiveFunction(shape, 1).smoothness, 3) for shape in SHAPES]
    [5.0, 7.854, inf]
    """

    shape: str
    d: int
    lipschitz: float = 2.0

    def __post_init__(self) -> None:
        check_one_of("shape", self.shape, SHAPES)
        check_int("d", self.d, low=1)
        check_number("lipschitz", self.lipschitz, above=0)

    @property
    def scale(self) -> float:
        """s: what each input's part counts."""
        return self.lipschitz / math.sqrt(self.d)

    @property
    def smoothness(self) -> float:
        """M, the Lipschitz constant of J: s max |phi''|."""
        bend = {"pointed": 1 / REACH, "rounded": math.pi / (2 * REACH), "network": math.inf}
        return self.scale * bend[self.shape]

    @property
    def steepest(self) -> np.ndarray:
        """A point (d,) where ||J|| is largest."""
        place = 0.5 * (KINKS[2] + KINKS[3]) if self.shape == "network" else STEEPEST
        return np.full(self.d, place)

    def values(self, U: np.ndarray) -> np.ndarray:
        """f at each row of U (n, d)."""
        t = U - STEEPEST
        if self.shape == "pointed":
            phi = t - t * np.abs(t) / (2 * REACH)
        elif self.shape == "rounded":
            phi = np.sin(math.pi * t / (2 * REACH)) * 2 * REACH / math.pi
        else:
            jumps = np.maximum(U[..., None] - KINKS, 0) @ np.diff(SLOPES)
            phi = SLOPES[0] * U + jumps
        return self.scale * phi.sum(-1)

    def gradients(self, U: np.ndarray) -> np.ndarray:
        """The gradient of f in u at each row of U (n, d)."""
        t = U - STEEPEST
        if self.shape == "pointed":
            slopes = 1 - np.abs(t) / REACH
        elif self.shape == "rounded":
            slopes = np.cos(math.pi * t / (2 * REACH))
        else:
            slopes = SLOPES[np.searchsorted(KINKS, U)]
        return self.scale * slopes

    def norms(self, U: np.ndarray) -> np.ndarray:
        """||J|| at each row of U (n, d)."""
        return np.linalg.norm(self.gradients(U), axis=-1)

    def variation(self, U: np.ndarray, r: float) -> np.ndarray:
        """No less than V_i = sup ||J(x) - J(x_i)|| over ||x - x_i|| <= r, for each row of U.

        M r where J is Lipschitz; else the largest jumps of each input's part in a box of half
        side r, which holds the ball: exact for d = 1.
        """
        r = check_number("r", r, low=0)
        if math.isfinite(self.smoothness):
            return np.full(len(U), self.smoothness * r)
        ends = np.concatenate([[0.0], KINKS, [1.0]])
        meets = (ends[:-1] < U[..., None] + r) & (ends[1:] > U[..., None] - r)
        jumps = np.abs(SLOPES - SLOPES[np.searchsorted(KINKS, U)][..., None])
        return self.scale * np.linalg.norm(np.where(meets, jumps, 0.0).max(-1), axis=-1)

    def network(self) -> nn.Sequential:
        """The network of this shape as one: d inputs, 7 d ReLU units, float64.

        >>> from kit.lipschitz import lipschitz_constant_1d
        >>> round(lipschitz_constant_1d(AdditiveFunction("network", 1).network(), 0.0, 1.0), 12)
        2.0
        """
        if self.shape != "network":
            raise ValueError(f"shape: {self.shape!r} is no network")
        hinges = np.concatenate([[0.0], KINKS])  # relu(u) = u on the cube
        jumps = np.concatenate([SLOPES[:1], np.diff(SLOPES)])
        model = mlp((self.d, len(hinges) * self.d, 1)).double()
        first = np.kron(np.eye(self.d), np.ones((len(hinges), 1)))
        parts = (first, np.tile(-hinges, self.d), self.scale * np.tile(jumps, self.d)[None], [0.0])
        with torch.no_grad():
            for p, value in zip(model.parameters(), parts, strict=True):
                p.copy_(torch.as_tensor(np.asarray(value)))
        return model


def draw(n: int, d: int, seed: int) -> np.ndarray:
    """n uniform points of the unit cube, (n, d); the first of a longer draw are those of a shorter.

    >>> bool((draw(8, 2, 3)[:4] == draw(4, 2, 3)).all())
    True
    """
    return np.random.default_rng([check_seed(seed), d]).random((n, d))


def embedding(d: int, D: int = 8) -> np.ndarray:
    """Q (D, d) with orthonormal columns: x = Q u turns the cube of d inputs into a face in R^D."""
    Q, _ = np.linalg.qr(np.random.default_rng([d, D]).standard_normal((D, d)))
    return Q


def bracket(f: AdditiveFunction, U: np.ndarray, r: float) -> tuple[float, float]:
    """Theorem A, our version: Lip(f) lies between these two where U covers the cube within r.

    max_i ||J(x_i)|| and max_i (||J(x_i)|| + V_i). Source: theory.md, P1.5.
    """
    norms = f.norms(U)
    return float(norms.max()), float((norms + f.variation(U, r)).max())


def covering_radius(U: np.ndarray, *, tolerance: float = 0.05) -> tuple[float, float]:
    """The covering radius of U (n, d) on the unit cube lies between these two; exact for d = 1.

    >>> low, high = covering_radius(np.array([[0.5, 0.5]]))  # to a corner
    >>> low <= 0.5**0.5 <= high <= 1.05 * low
    True

    d > 1 to single precision. Cost: some n squared distances.
    """
    *_, last = covering_search(U, tolerance=tolerance)
    return last


def covering_search(U: np.ndarray, *, tolerance: float = 0.05) -> Iterator[tuple[float, float]]:
    """`covering_radius` in small portions of work: ever closer (low, high), the last near enough.

    The distance to the nearest sample changes by no more than one moves. So in a cell of the cube
    it is at most that at the centre and half the diagonal more; cells that cannot hold the largest
    are dropped, the rest divided (branch and bound).
    """
    tolerance = check_number("tolerance", tolerance, above=0)
    n, d = U.shape
    if d == 1:
        r = interval_sample_radius(torch.from_numpy(U[:, 0]), 0.0, 1.0)
        yield r, r
        return
    cells = max(1, int((n / 4) ** (1 / d)))
    ticks = (np.arange(cells) + 0.5) / cells
    centres = np.stack(np.meshgrid(*[ticks] * d, indexing="ij"), -1).reshape(-1, d)
    corners = np.array(list(itertools.product((-1.0, 1.0), repeat=d)))
    half, low, high, dropped = 0.5 / cells, 0.0, math.inf, 0.0
    while len(centres):
        parts = []
        for start in range(0, len(centres), BLOCK):
            parts.append(nearest(centres[start : start + BLOCK], U))
            yield low, high
        distance = np.concatenate(parts)
        reach = distance + half * math.sqrt(d)
        best = centres[np.argsort(-distance, kind="stable")[:16]]
        around = nearest((best[:, None] + half * corners).reshape(-1, d), U)
        low = max(low, float(distance.max()), float(around.max()))
        high = max(low, dropped, float(reach.max()))
        keep = reach > (1 + tolerance) * low
        dropped = max(dropped, float(reach[~keep].max(initial=0.0)))
        centres = (centres[keep][:, None] + half / 2 * corners).reshape(-1, d)
        half /= 2
    yield low, high


def nearest(points: np.ndarray, U: np.ndarray) -> np.ndarray:
    """The distance of each point to the nearest row of U, to single precision."""
    # Differences, one input at a time: a matrix product cancels, and takes all cores.
    points, U = points.astype(np.float32), U.astype(np.float32)
    squares = np.subtract.outer(points[:, 0], U[:, 0])
    squares *= squares
    for k in range(1, U.shape[1]):
        step = np.subtract.outer(points[:, k], U[:, k])
        step *= step
        squares += step
    return np.sqrt(squares.min(1)).astype(float)


def shortfalls(f: AdditiveFunction, U: np.ndarray, ns: np.ndarray) -> np.ndarray:
    """Lip(f) - max ||J|| over the first n rows of U, for each n; 0 up to rounding is 0.

    >>> f = AdditiveFunction("rounded", 1)
    >>> float(shortfalls(f, f.steepest[None], np.array([1]))[0])
    0.0
    """
    largest = np.maximum.accumulate(f.norms(U))[np.asarray(ns) - 1]
    missing = f.lipschitz - largest
    return np.where(missing < 1e-12 * f.lipschitz, 0.0, missing)


def measured_slope(ns: np.ndarray, table: np.ndarray) -> tuple[float, float]:
    """The slope of log mean over log n, and its standard error over the resamples (jackknife).

    >>> ns = np.array([1, 2, 4])
    >>> slope, error = measured_slope(ns, np.array([1 / ns, 3 / ns]))
    >>> round(slope, 12), round(error, 12)
    (-1.0, 0.0)

    table (resamples, n). NaN where a mean is 0 or less than two resamples are there.
    """
    m = len(table)
    x = np.log(ns) - np.log(ns).mean()
    total = table.sum(0)
    if m == 0 or not (total > 0).all():
        return math.nan, math.nan
    slope = float(x @ np.log(total) / (x @ x))
    rest = total - table
    if m < 2 or not (rest > 0).all():
        return slope, math.nan
    left_out = np.log(rest) @ x / (x @ x)
    return slope, float(math.sqrt((m - 1) / m * ((left_out - left_out.mean()) ** 2).sum()))
