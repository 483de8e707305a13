"""What a set of samples forces a function to do: Theorem B (our version), pair by pair.

>>> pairs = Pairs([[0.0], [1.0], [3.0]], [[0.0], [2.0], [1.0]])
>>> floor = pairs.floor([0.2, 0.4, 0.1])
>>> round(floor.value, 9), (floor.i, floor.j), floor.vacuous
(1.4, (0, 1), False)
>>> pairs.floor([0.0, 0.0, 0.0]).value  # a perfect fit
2.0

`kit.sharpening` states the theorem, with its assumptions, for an objective. Here the distances are
kept, so that a page can ask again at every step; `ForcedRun` does so while a network trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from kit.checks import check_int
from kit.divergence import Divergence
from kit.jacobian import jacobian_norms
from kit.load import Dataset, load_dataset
from kit.objective import Objective
from kit.stack import architecture
from kit.tracking import EigenTracker
from kit.training import Training

OUTER = (-1.0, -0.72, -0.45), (0.45, 0.72, 1.0)  # of the points on a line
EVERY = 10  # steps between two rows of a run
GRID = 201  # points on a segment
COLUMNS = ("step", "loss", "segment", "samples", "floor", "forced")


@dataclass(frozen=True)
class PairFloor:
    """(difference - e_i - e_j) / distance of the pair where it is largest; `raw` may be negative.

    `value` is max(0, raw): a floor on the largest ||J|| along the segment from x_i to x_j.
    """

    raw: float
    i: int
    j: int
    difference: float
    distance: float
    e_i: float
    e_j: float

    @property
    def value(self) -> float:
        return max(self.raw, 0.0)

    @property
    def vacuous(self) -> bool:
        return not self.raw > 0


class Pairs:
    """All pairs of samples X (n, d) with targets Y (n, K) that are not at the same place.

    >>> pairs = Pairs([[0.0], [0.5], [0.5]], [[0.0], [1.0], [3.0]])
    >>> pairs.i, pairs.j, pairs.required()
    (array([0, 0]), array([1, 2]), array([2., 6.]))

    `i < j`, `distance` and `difference` (of the targets) are equally long; `order` sorts them by
    the required slope, largest first. Raises ValueError where no two samples are apart. Cost: n^2
    distances, once.
    """

    def __init__(self, X, Y) -> None:
        X, Y = (torch.as_tensor(A, dtype=torch.float64).flatten(1) for A in (X, Y))
        if len(X) != len(Y):
            raise ValueError(f"Y: got {len(Y)} rows; takes one for each of the {len(X)} of X")
        i, j = np.triu_indices(len(X), 1)
        distance = (X[i] - X[j]).norm(dim=1).numpy()
        apart = distance > 0
        if not apart.any():
            raise ValueError("X: takes at least two samples that are not at the same place")
        self.i, self.j, self.distance = i[apart], j[apart], distance[apart]
        self.difference = (Y[self.i] - Y[self.j]).norm(dim=1).numpy()
        self.order = np.argsort(-self.required(), kind="stable")

    def required(self) -> np.ndarray:
        """|y_i - y_j| / |x_i - x_j|: the mean slope that a perfect fit has along each segment."""
        return self.difference / self.distance

    def reduced(self, residuals) -> np.ndarray:
        """(|y_i - y_j| - e_i - e_j) / |x_i - x_j| of each pair, or below 0."""
        e = np.asarray(residuals, dtype=np.float64)
        return (self.difference - e[self.i] - e[self.j]) / self.distance

    def floor(self, residuals) -> PairFloor:
        """The largest of `reduced`, with its terms."""
        e, slopes = np.asarray(residuals, dtype=np.float64), self.reduced(residuals)
        k = int(slopes.argmax())
        i, j = int(self.i[k]), int(self.j[k])
        terms = float(self.difference[k]), float(self.distance[k]), float(e[i]), float(e[j])
        return PairFloor(float(slopes[k]), i, j, *terms)


def segment_norms(model: nn.Module, a: Tensor, b: Tensor, points: int) -> np.ndarray:
    """||J|| at `points` places from a to b, ends included, evenly spaced.

    >>> from kit.models import mlp
    >>> segment_norms(mlp((2, 1)), torch.zeros(2), torch.ones(2), 5).shape
    (5,)
    """
    share = torch.linspace(0, 1, check_int("points", points, low=2), dtype=a.dtype)[:, None]
    return jacobian_norms(model, a + share * (b - a)).double().numpy()


def floor_on_sharpness(objective: Objective, floor: float) -> float:
    """(1/n) min_i (|x_i|^2 + 1[bias]) floor^2 / |W_1|^2: what a Jacobian of `floor` at a sample
    makes lambda_max(G) be at least, for mse and a perceptron.

    >>> from kit.models import mlp
    >>> model = mlp((1, 1), bias=False)
    >>> _ = torch.nn.init.constant_(model[0].weight, 2.0)
    >>> floor_on_sharpness(Objective(model, [[1.0], [3.0]], [[2.0], [6.0]], loss="mse"), 2.0)
    0.5

    An estimate where `floor` is one along a segment only, as Theorem B's is: the steepest place may
    lie between the samples. Source: theory.md, (7) and P1.6; `kit.sharpening.sharpness_floor`.
    """
    net = architecture(objective.model)
    if net is None or objective.loss != "mse":
        raise ValueError("objective: takes a multilayer perceptron with loss='mse'")
    W = next(objective.model.parameters()).detach().double()
    top = float(torch.linalg.matrix_norm(W, 2))
    inputs = float(objective.X.double().square().sum(1).min()) + float(net.bias)
    return inputs * floor**2 / (objective.n * top**2) if top > 0 else 0.0


def line_samples(gap: float, targets: Sequence[float]) -> Dataset:
    """Eight points on a line, of which the fourth and the fifth are `gap` apart.

    >>> line_samples(0.2, [0, 0, 0, -1, 1, 0, 0, 0]).X_train.flatten().tolist()[3:5]
    [-0.10000000149011612, 0.10000000149011612]
    """
    X = [[x] for x in (*OUTER[0], -gap / 2, gap / 2, *OUTER[1])]
    return Dataset.from_arrays(X, targets, X, targets, task="regression", name="points on a line")


def digit_samples(n: int, scale: float) -> Dataset:
    """The first n digits, with `scale` times the one-hot vector of its class as target of each.

    >>> digit_samples(50, 2.0).y_train.sum(1).unique()
    tensor([2.])
    """
    digits = load_dataset("digits", n_train=n)
    train, test = (scale * torch.eye(10)[y] for y in (digits.y_train, digits.y_test))
    return replace(digits, y_train=train, y_test=test, task="regression")


class ForcedRun:
    """Full-batch descent on mse, with the floor and what it is a floor on measured as it goes.

    >>> from kit.models import mlp
    >>> data = line_samples(0.2, [0.4, 0.2, -0.4, -1.0, 1.0, 0.5, 0.3, -0.4])
    >>> run = ForcedRun(mlp((1, 30, 20, 1), activation="tanh"), data, lr=0.3)
    >>> run.advance(1500)
    >>> run.floor.value > 9.5, run.segment > run.floor.value, round(run.forced.value, 3)
    (True, True, 10.0)

    Row k of `rows` holds step, loss, the largest ||J|| on the segment of the pair that sets the
    floor (a grid, so at most the true one) and at the samples, the floor, and `forced`, the floor
    of a fit without error. The pair is that of `forced` where the floor is vacuous. `change` goes
    on from the present weights with other data; a run that breaks says so in `diverged`.
    """

    def __init__(self, model: nn.Module, data: Dataset, lr: float) -> None:
        self.lr, self.first = lr, 0
        self.rows: dict[str, list[float]] = {name: [] for name in COLUMNS}
        self._tracker, self._changed = EigenTracker("gauss_newton"), -1
        self._begin(model, data)

    def _begin(self, model: nn.Module, data: Dataset) -> None:
        self.data, self._curved = data, None
        self.x, self.y = (A.double().numpy() for A in (data.X_train, data.y_train))
        self.pairs = Pairs(self.x, self.y)
        self.forced = self.pairs.floor(np.zeros(data.n))
        settings = {"loss": "mse", "lr": self.lr, "measures": (), "scores": False}
        self.training = Training(model, data, **settings)
        self._record()

    @property
    def step(self) -> int:
        return self.first + self.training.steps

    @property
    def diverged(self) -> Divergence | None:
        return self.training.diverged

    @property
    def pair(self) -> tuple[int, int]:
        """The pair that sets the floor, or will where nothing is forced yet."""
        floor = self.forced if self.floor.vacuous else self.floor
        return floor.i, floor.j

    def change(self, data: Dataset) -> None:
        """Other data from here on. Several changes at one step count as one."""
        if self._changed == self.step:
            for column in self.rows.values():
                column.pop()
        self.first = self._changed = self.step
        self._begin(self.training.model, data)

    def advance(self, steps: int) -> None:
        """Train, with a row every `EVERY` steps; stops where the run breaks."""
        for _ in range(steps // EVERY):
            self.training.step(EVERY)
            if self.diverged is not None:
                return
            self._record()

    def table(self, most: int) -> dict[str, np.ndarray]:
        """The rows, thinned evenly to at most so many, with the last."""
        stride = -(-len(self.rows["step"]) // most)
        return {name: np.array(column[::-1][::stride][::-1]) for name, column in self.rows.items()}

    def _record(self) -> None:
        objective, model = self.training.objective, self.training.model
        errors = objective.outputs().detach() - objective.targets
        self.residuals = errors.double().norm(dim=1).numpy()
        self.loss = 0.5 * float(np.square(self.residuals).mean())
        self.floor = self.pairs.floor(self.residuals)
        i, j = self.pair
        norms = segment_norms(model, objective.X[i], objective.X[j], GRID)
        self.segment, self.steepest = float(norms.max()), float(norms.argmax() / (GRID - 1))
        self.samples = float(jacobian_norms(model, objective.X).max())
        row = (self.step, self.loss, self.segment, self.samples)
        row += (self.floor.value, self.forced.value)
        for name, value in zip(COLUMNS, row, strict=True):
            self.rows[name].append(float(value))

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """The fit at places on the line."""
        with torch.no_grad():
            return self.training.model(torch.tensor(x).float()[:, None])[:, 0].double().numpy()

    def curvature(self, age: int = 1) -> tuple[float, float, float]:
        """lambda_max(G), its residual and the floor on it; not measured anew for `age` steps."""
        if self._curved is None or self.step - self._curved[0] >= age:
            found = self._tracker.measure(self.training.objective)
            least = floor_on_sharpness(self.training.objective, self.floor.value)
            self._curved = self.step, (found.value, found.residual, least)
        return self._curved[1]
