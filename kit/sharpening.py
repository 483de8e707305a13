"""Why the Jacobian must grow: targets that vary over short distances force it (Theorem B, ours).

If ||f(x_i) - y_i|| <= e_i, then along the segment from x_i to x_j

    sup ||J|| >= (||y_i - y_j|| - e_i - e_j) / ||x_i - x_j||                        mse
    sup ||J|| >= (m_i + m_j) / (sqrt 2 ||x_i - x_j||),  m = -log(exp(c) - 1)        cross-entropy

with e_i = sqrt(2 c_i) from the cost c_i of each sample, and labels that differ; m is taken from the
outputs, f_y - logsumexp of the others, which is the same without the rounding of a small cost.
Whatever the path of training, a small loss leaves no other way. For mse a floor on lambda_max(G)
follows, far below what is measured; it is given with its factor of slack (theory.md, P1.6).

>>> from kit.models import mlp
>>> from kit.objective import Objective
>>> model = mlp((1, 1), bias=False)
>>> _ = torch.nn.init.constant_(model[0].weight, 2.0)
>>> objective = Objective(model, [[0.0], [1.0]], [[0.0], [2.0]], loss="mse")  # a perfect fit
>>> floor = jacobian_floor(objective)
>>> floor.value, floor.pair
(2.0, (0, 1))
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kit.checks import check_int, check_number
from kit.curvature import check_objective, eigenvalues
from kit.distance import distances
from kit.jacobian import jacobian_norms
from kit.objective import Objective
from kit.stack import architecture
from kit.statement import Statement

ROWS = 512  # samples whose distances to all others are held at a time


@dataclass(frozen=True)
class Floor(Statement):
    """A floor on sup ||J||, with the pair of samples that sets it; vacuous where it is not above 0.

    The supremum is over the segment between the two, where the data law has to live for the
    statement to be about it; `along_segment` measures it.
    """

    pair: tuple[int, int] = (0, 0)


def jacobian_floor(objective: Objective, *, V: float = 0.0) -> Floor:
    """Theorem B: the least that sup ||J|| can be, given how well each sample is fitted.

    >>> from kit.models import mlp
    >>> from kit.objective import Objective
    >>> model = mlp((2, 2), bias=False)
    >>> _ = torch.nn.init.zeros_(model[0].weight)
    >>> untrained = jacobian_floor(Objective(model, torch.eye(2), [0, 1]))
    >>> untrained.value, untrained.vacuous  # at a cost of log 2 nothing is forced
    (0.0, True)

    `V`: a local variation (`kit.lipschitz`), which turns the floor on the supremum into one on
    max_k ||J(x_k)|| over the samples. "mse", or "cross_entropy" with hard labels, where the floor
    is on the Jacobian of the logits and grows without limit as the cost falls to 0. NaN where an
    output is not finite. Raises ValueError for other losses, and where no two samples have
    different targets. Cost: n^2 distances, `ROWS` n at a time.
    Source: our version of the progressive sharpening bound of MacDonald, Valmadre and Lucey,
    arXiv 2305.14683; theory.md, P1.6.
    """
    check_objective(objective)
    V = check_number("V", V, low=0)
    if objective.loss not in ("mse", "cross_entropy"):
        raise ValueError(f"loss: got {objective.loss!r}; takes 'mse' or 'cross_entropy'")
    cross_entropy = objective.loss == "cross_entropy"
    if cross_entropy and (objective.label_smoothing or objective.y.is_floating_point()):
        raise ValueError("loss: takes hard labels, without smoothing, with 'cross_entropy'")
    X = objective.X.flatten(1).double()
    costs, y = objective.point().losses().double(), objective.y
    # e_i (mse) or m_i (cross-entropy).
    slack = _margins(objective.outputs().double(), y) if cross_entropy else (2 * costs).sqrt()
    targets = objective.targets.double()
    best, pair, differ = -math.inf, (0, 0), False
    for start in range(0, len(X), ROWS):
        rows = slice(start, start + ROWS)
        distance = distances(X[rows], X)
        if cross_entropy:
            rise = (slack[rows, None] + slack) / math.sqrt(2)
            apart = y[rows, None] != y
        else:
            difference = distances(targets[rows], targets)
            rise, apart = difference - slack[rows, None] - slack, difference > 0
        # Equal inputs have equal outputs, so they rise by nothing and say nothing.
        slope = torch.where(apart & (distance > 0), rise / distance, -math.inf)
        differ, top = differ or bool(apart.any()), int(slope.argmax())
        value = float(slope.flatten()[top])
        if value > best:
            best, pair = value, (start + top // len(X), top % len(X))
    if not differ:
        raise ValueError("objective: all its targets are equal; takes two that differ")
    if not torch.isfinite(slack).all():
        best = math.nan
    i, j = pair
    terms = {
        "sup J": best,
        "V": V,
        "distance": float((X[i] - X[j]).norm()),
        "cost i": float(costs[i]),
        "cost j": float(costs[j]),
    }
    where = "of the logits " if cross_entropy else ""
    assumptions = (f"the segment from sample {i} to sample {j} lies in the support",)
    what = f"a floor on the Jacobian {where}along that segment"
    if V:
        what = (
            f"a floor on the largest Jacobian {where}over the samples, where every point of the "
            "segment lies within the radius of V of one"
        )
    value = max(best - V, 0.0) if not math.isnan(best) else best
    return Floor(value, terms, (*assumptions, what), vacuous=not best - V > 0, pair=pair)


def _margins(f: Tensor, y: Tensor) -> Tensor:
    """m_i = f_y - logsumexp of the other outputs = -log(exp(c_i) - 1), (n,)."""
    own = torch.nn.functional.one_hot(y, f.shape[1]).bool()
    return f[own] - f.masked_fill(own, -math.inf).logsumexp(1)


def along_segment(model: nn.Module, a: Tensor, b: Tensor, *, points: int = 1001) -> float:
    """The largest ||J|| on a grid along the segment from a to b: at most its supremum.

    >>> from kit.models import mlp
    >>> model = mlp((2, 3), bias=False)
    >>> same = along_segment(model, torch.zeros(2), torch.ones(2))
    >>> abs(same - float(jacobian_norms(model, torch.zeros(1, 2)))) < 1e-6
    True
    """
    points = check_int("points", points, low=2)
    if not isinstance(a, Tensor) or not isinstance(b, Tensor) or a.shape != b.shape:
        raise ValueError("a, b: take two tensors of the same shape, one sample each")
    share = torch.linspace(0, 1, points, dtype=torch.float64).view(-1, *[1] * a.ndim)
    return float(jacobian_norms(model, a.double() + share * (b - a).double()).max())


def sharpness_floor(objective: Objective, *, V: float = 0.0) -> Statement:
    """A floor on lambda_max(G) that follows from Theorem B, for mse and perceptrons.

    >>> from kit.models import mlp
    >>> model = mlp((1, 1), bias=False)
    >>> _ = torch.nn.init.constant_(model[0].weight, 2.0)
    >>> objective = Objective(model, [[1.0], [3.0]], [[2.0], [6.0]], loss="mse")
    >>> floor = sharpness_floor(objective)
    >>> floor.value, floor.terms["lambda_max(G)"], floor.terms["slack"]
    (0.5, 5.0, 10.0)

    (1/n) min_i (||x_i||^2 + 1[bias]) (floor of Theorem B)^2 / ||W_1||_2^2, where the floor has to
    be one on the Jacobian at a sample. With the `V` of `jacobian_floor` it is; V = 0 assumes that
    the floor is reached at a sample, and the result is an estimate that says so. "slack": how many
    times smaller it is than the measured lambda_max(G). Growth of the Jacobian is forced; growth of
    sharpness is the paper's ansatz, and this number is the part of it that is proved. Raises
    ValueError for other losses and modules. Cost: n^2 distances, and one `eigenvalues`. Source:
    theory.md, (7) and P1.6.
    """
    floor = jacobian_floor(objective, V=V)
    net = architecture(objective.model)
    if objective.loss != "mse" or net is None:
        raise ValueError("objective: takes a multilayer perceptron with loss='mse'")
    W = next(objective.model.parameters()).detach().double()
    top = float(torch.linalg.matrix_norm(W, 2))
    inputs = float(objective.X.double().square().sum(1).min()) + float(net.bias)
    value = inputs * floor.value**2 / (objective.n * top**2) if top > 0 else 0.0
    measured = float(eigenvalues(objective, operator="gauss_newton").values[0])
    terms = {
        "floor on J": floor.value,
        "min |x|^2 + 1[bias]": inputs,
        "||W_1||": top,
        "lambda_max(G)": measured,
        "slack": measured / value if value else math.inf,
    }
    reached = "the floor on the Jacobian is reached at a sample (V = 0)"
    varies = f"around each sample the Jacobian varies by at most V = {V:g}"
    return Statement(
        value,
        terms,
        (*floor.assumptions[:1], varies if V else reached),
        vacuous=not value > 0,
        kind="bound" if V else "estimate",
    )
