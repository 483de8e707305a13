"""Our version of the generalisation bound in terms of the empirical Jacobian (theory.md, P1.7).

Let phi(x) = c(f(x), f*(x)), with c Lipschitz in its two arguments (Lambda_1, Lambda_2), and f*
Lipschitz with constant Lambda_* on the support S. Then phi is Lipschitz with

    Lambda_phi = Lambda_1 sup_S ||J|| + Lambda_2 Lambda_*,
    sup_S ||J|| <= max_i (||J(x_i)|| + V_i),

and, where every point of S is within r of a training sample,

    G1   E phi <= max_i phi(x_i) + Lambda_phi r
    G2   E phi <= sum_i P(cell_i) phi(x_i) + Lambda_phi r     (Voronoi cells of the samples)
    G3   E phi <= mean_i phi(x_i) + Lambda_phi W         (Wasserstein distance from the law)

Where the data law is known (`Dataset.population`), each term is computed and the result is a
bound. Elsewhere Lambda_*, r, V and the ranges come from samples: a bound *estimate*.

>>> from kit.load import load_dataset
>>> from kit.models import mlp
>>> bound = generalisation_bound(mlp((1, 8, 1), seed=0), load_dataset("chebyshev", n=20))
>>> bound.kind, bound.form, bound.vacuous
('bound', 'G3', True)
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from kit.checks import check_number, check_one_of
from kit.covering import (
    cube_covering_radius,
    held_out_radius,
    interval_covering_probability,
    interval_covering_radius,
    interval_sample_radius,
    regular_covering_radius,
    uniform_w1,
)
from kit.distance import distances
from kit.evaluation import costs
from kit.jacobian import gram_norms, input_output_jacobian, jacobian_norms
from kit.lipschitz import (
    breakpoints,
    jacobian_bracket,
    layer_norm_product,
    lipschitz_constant_1d,
    local_variation,
    second_derivative_bound,
)
from kit.load import Dataset
from kit.losses import LOSSES, NamedLoss, one_hot
from kit.pac_bayes import pac_bayes_bound
from kit.sharpening import jacobian_floor, sharpness_floor
from kit.stack import architecture
from kit.statement import Statement

# Every bound of the kit can be had from here.
__all__ = [
    "Bound",
    "BoundCalculator",
    "Statement",
    "breakpoints",
    "cube_covering_radius",
    "generalisation_bound",
    "generalisation_bounds",
    "held_out_radius",
    "interval_covering_probability",
    "interval_covering_radius",
    "interval_sample_radius",
    "jacobian_bracket",
    "jacobian_floor",
    "layer_norm_product",
    "lipschitz_constant_1d",
    "local_variation",
    "pac_bayes_bound",
    "regular_covering_radius",
    "second_derivative_bound",
    "sharpness_floor",
    "uniform_w1",
]

GRID = 2001  # points on which a smooth 1-D network is examined
PAIRS = 200  # held-out neighbours from which V is sampled


@dataclass(frozen=True)
class Bound:
    """A bound on E phi, the expected cost, with every term that it is made of.

    kind: "bound" or "estimate"; form: "G1", "G2" or "G3"; terms: name -> number; assumptions: one
    sentence each; vacuous: not below `best_constant`, the cost of the best constant predictor;
    gap: the bound less the training cost, to set beside a measured gap.
    """

    value: float
    gap: float
    kind: str
    form: str
    terms: dict[str, float]
    assumptions: tuple[str, ...]
    best_constant: float
    vacuous: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "vacuous", not self.value < self.best_constant)


def generalisation_bound(
    model: nn.Module, dataset: Dataset, *, loss: str | None = None, failure: float = 0.05
) -> Bound:
    """The bound where the data law is known, else the bound estimate.

    >>> from kit.load import load_dataset
    >>> from kit.models import mlp
    >>> generalisation_bound(mlp((64, 8, 10), seed=0), load_dataset("digits", n_train=100)).kind
    'estimate'

    `loss`: "mse" or "cross_entropy"; by default that of the task. `failure`: the probability p
    that the covering of Lemma 2 fails (cube of dimension 2 or more only). Raises ValueError for
    other losses. Source: theory.md, P1.5 to P1.7; ours in constants, in the spirit of MacDonald,
    Valmadre and Lucey, arXiv 2305.14683. Cost: a Jacobian at each sample; to prepare, all
    pairwise distances. For many models on one data set use `BoundCalculator`.
    """
    return BoundCalculator(dataset, loss=loss, failure=failure)(model)


def generalisation_bounds(
    model: nn.Module, dataset: Dataset, *, loss: str | None = None, failure: float = 0.05
) -> dict[str, Bound]:
    """Every form that can be computed: G1 to G3 on an interval, G1 on a cube, else G1 and G2.

    >>> from kit.load import load_dataset
    >>> from kit.models import mlp
    >>> list(generalisation_bounds(mlp((1, 8, 1), seed=0), load_dataset("chebyshev")))
    ['G1', 'G2', 'G3']

    W is exact in one dimension; in more it is not computed. Arguments, source and cost as
    `generalisation_bound`.
    """
    return BoundCalculator(dataset, loss=loss, failure=failure).forms(model)


class BoundCalculator:
    """Bounds for many models on one data set: what depends on the data alone is computed once."""

    def __init__(self, dataset: Dataset, *, loss: str | None = None, failure: float = 0.05) -> None:
        if not isinstance(dataset, Dataset):
            raise TypeError(f"dataset: got {type(dataset).__name__}; takes a kit.Dataset")
        default = "mse" if dataset.task == "regression" else "cross_entropy"
        self.loss = check_one_of("loss", default if loss is None else loss, LOSSES)
        if dataset.task == "regression" and self.loss != "mse":
            raise ValueError(f"loss: got {loss!r}; takes 'mse' for a regression")
        self.failure = check_number("failure", failure, above=0, below=1)
        self.dataset = dataset
        y = dataset.y_train
        self.targets = y if y.is_floating_point() else one_hot(y, dataset.K)
        self.best_constant = NamedLoss(self.loss, self.targets).best_constant()
        if dataset.population is None:
            self._prepare_estimate()
        elif dataset.population.d == 1:
            self._prepare_interval()

    def __call__(self, model: nn.Module) -> Bound:
        """The smallest of the forms; an estimate is of the form G1."""
        forms = self.forms(model)
        if self.dataset.population is None:
            return forms["G1"]
        return min(forms.values(), key=lambda bound: bound.value)

    def forms(self, model: nn.Module) -> dict[str, Bound]:
        """Each form that can be computed, by name."""
        self._check_outputs(model)
        if self.dataset.population is None:
            return self._estimate(model)
        if self.dataset.population.d == 1:
            return self._on_interval(model)
        return self._on_cube(model)

    def _check_outputs(self, model: nn.Module) -> None:
        got = input_output_jacobian(model, self.dataset.X_train[:1]).shape[1]
        takes = self.dataset.K
        if got < takes or (got > takes and self.dataset.task == "regression"):
            raise ValueError(f"model: got {got} outputs; takes {takes}, as the targets have")

    # The law is uniform on [low, high]: radius, cells and W are exact.

    def _prepare_interval(self) -> None:
        low, high = self.dataset.population.low, self.dataset.population.high
        x = self.dataset.X_train[:, 0].double().sort()
        u = (x.values - low) / (high - low)
        self._order = x.indices
        middle = 0.5 * (u[1:] + u[:-1])
        edges = torch.cat([u.new_zeros(1), middle, u.new_ones(1)])
        self.cells = edges.diff()
        self.radius = interval_sample_radius(x.values, low, high)
        self.w1 = uniform_w1(u) * (high - low)

    def _on_interval(self, model: nn.Module) -> dict[str, Bound]:
        population = self.dataset.population
        J = jacobian_norms(model, self.dataset.X_train)
        steepest, largest, how = _examine_interval(model, population.low, population.high)
        phi = self._costs(model)
        Lhat, terms = self._lipschitz(float(J.max()), steepest, largest, population)
        terms |= {"r": self.radius, "W_1": self.w1}
        forms = {
            "G1": float(phi.max()) + Lhat * self.radius,
            "G2": float((self.cells * phi[self._order].double()).sum()) + Lhat * self.radius,
            "G3": float(phi.mean()) + Lhat * self.w1,
        }
        law = "the inputs are uniform on a known interval"
        return {
            form: self._bound(value, phi, "bound", form, terms | forms, (law, how))
            for form, value in forms.items()
        }

    # The law is uniform on a cube: Lemma 2 gives the radius, with probability 1 - p.

    def _on_cube(self, model: nn.Module) -> dict[str, Bound]:
        population, n = self.dataset.population, self.dataset.n
        side = population.high - population.low
        radius = side * cube_covering_radius(n, population.d, self.failure)
        J = jacobian_norms(model, self.dataset.X_train)
        steepest, how = _lipschitz_upper(model, float(J.max()), radius)
        with torch.no_grad():
            f = model(self.dataset.X_train.to(next(model.parameters()).dtype))
        largest = float(f.norm(dim=1).max()) + steepest * radius
        phi = self._costs(model)
        Lhat, terms = self._lipschitz(float(J.max()), steepest, largest, population)
        terms |= {"r": radius, "p": self.failure}
        sure = f"{1 - self.failure:g}"
        law = f"samples drawn uniformly from a known cube; holds with probability {sure}"
        value = float(phi.max()) + Lhat * radius
        return {"G1": self._bound(value, phi, "bound", "G1", terms, (law, how))}

    def _lipschitz(self, J: float, steepest: float, largest: float, population):
        B = max(largest, population.bound)
        Lhat = 2 * B * (steepest + population.lipschitz)
        terms = {
            "max J": J,
            "V": max(steepest - J, 0.0),
            "sup J": steepest,
            "Lambda": population.lipschitz,
            "B": B,
            "Lhat": Lhat,
        }
        return Lhat, terms

    # The law is not known: every term from samples.

    def _prepare_estimate(self) -> None:
        X, X_test = self.dataset.X_train.double(), self.dataset.X_test.double()
        D = distances(X, X)
        targets = self.targets.double()
        apart = distances(targets, targets)
        slopes = torch.where(D > 0, apart / D.clamp(min=1e-300), 0.0)
        self.target_slope = float(slopes.max())
        nearest = distances(X_test, X).min(dim=1)
        self.radius = float(nearest.values.quantile(0.95))
        counts = torch.bincount(nearest.indices, minlength=len(X))
        self.cells = counts.double() / len(X_test)
        inside = (nearest.values <= self.radius).nonzero()[:PAIRS, 0]
        self._near_test, self._near_train = inside, nearest.indices[inside]

    def _estimate(self, model: nn.Module) -> dict[str, Bound]:
        dataset = self.dataset
        J = jacobian_norms(model, dataset.X_train)
        V = self._local_variation(model)
        with torch.no_grad():
            f = model(dataset.X_train.to(next(model.parameters()).dtype))
        if self.loss == "mse":
            B = max(float(f.norm(dim=1).max()), float(self.targets.norm(dim=1).max()))
            L1 = L2 = 2 * B
        else:
            B = float((f - f.mean(1, keepdim=True)).norm(dim=1).max())
            L1, L2 = math.sqrt(2), B
        steepest = float(J.max()) + V
        Lhat = L1 * steepest + L2 * self.target_slope
        phi = self._costs(model)
        terms = {
            "max J": float(J.max()),
            "V": V,
            "sup J": steepest,
            "Lambda": self.target_slope,
            "B": B,
            "Lhat": Lhat,
            "r": self.radius,
        }
        assumptions = (
            "Lambda_* from training pairs: a lower estimate",
            "r is the 95% quantile of the distance from a held-out point to its nearest "
            "training sample",
            f"V sampled on {len(self._near_test)} held-out neighbours: a lower estimate",
            "B from the training data",
        )
        cells = float((self.cells * phi.double()).sum())
        of_cells = "cell probabilities from the nearest samples of held-out points"
        first, second = (float(phi.max()) + Lhat * self.radius, cells + Lhat * self.radius)
        return {
            "G1": self._bound(first, phi, "estimate", "G1", terms, assumptions),
            "G2": self._bound(second, phi, "estimate", "G2", terms, (*assumptions, of_cells)),
        }

    def _local_variation(self, model: nn.Module) -> float:
        """max ||J(x) - J(x_i)||_2 over held-out x within r of their nearest sample x_i."""
        here = input_output_jacobian(model, self.dataset.X_train[self._near_train])
        there = input_output_jacobian(model, self.dataset.X_test[self._near_test])
        change = there - here
        return float(gram_norms(change @ change.mT, "spectral").max())

    def _costs(self, model: nn.Module) -> Tensor:
        with torch.no_grad():
            f = model(self.dataset.X_train.to(next(model.parameters()).dtype))
        return costs(f, self.dataset.y_train, self.loss)

    def _bound(self, value, phi, kind, form, terms, assumptions) -> Bound:
        gap = value - float(phi.mean())
        return Bound(value, gap, kind, form, terms, assumptions, self.best_constant)


def _examine_interval(model: nn.Module, low: float, high: float) -> tuple[float, float, str]:
    """Upper bounds on |f'| and |f| over [low, high], and how they were found."""
    net = architecture(model)
    if net is None:
        raise ValueError("model: a bound on an interval needs a plain multilayer perceptron")
    model = copy.deepcopy(model).double()  # linear pieces can be narrower than float32 tells apart
    if net.curve[2] is None:
        x = breakpoints(model, low, high)
        middle = 0.5 * (x[1:] + x[:-1])
        steepest = float(jacobian_norms(model, middle.unsqueeze(1)).max())
        with torch.no_grad():
            largest = float(model(x.unsqueeze(1)).norm(dim=1).max())
        return steepest, largest, f"sup J exact: {len(x) - 1} linear pieces"
    x = torch.linspace(low, high, GRID, dtype=torch.float64).unsqueeze(1)
    half = 0.5 * (high - low) / (GRID - 1)
    bend = second_derivative_bound(model)
    steepest = float(jacobian_norms(model, x).max()) + bend * half
    with torch.no_grad():
        largest = float(model(x).norm(dim=1).max()) + steepest * half
    return steepest, largest, f"sup J on {GRID} points, plus at most {bend * half:.2g} between them"


def _lipschitz_upper(model: nn.Module, J: float, radius: float) -> tuple[float, str]:
    """An upper bound on sup_S ||J|| from the samples' largest J, or from the layers alone."""
    net = architecture(model)
    if net is None:
        raise ValueError("model: a bound on a cube needs a plain multilayer perceptron")
    product = layer_norm_product(model)
    if net.curve[2] is not None:
        local = J + second_derivative_bound(model) * radius
        if local < product:
            return local, "sup J from the samples: V at most (Lipschitz constant of J) r"
    return product, "sup J at most the product of the layers' spectral norms"
