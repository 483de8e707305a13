"""How well a network does on data it was trained on, and on data it was not.

>>> import torch
>>> scores = evaluate_outputs(torch.eye(3), torch.arange(3), torch.eye(3), torch.tensor([0, 2, 1]))
>>> scores["train_accuracy"], round(scores["error_gap"], 3)
(1.0, 0.667)
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from kit.losses import NamedLoss, one_hot

Cost = str | Callable[[Tensor, Tensor], Tensor]


def evaluate_outputs(
    train_outputs: Tensor,
    y_train: Tensor,
    test_outputs: Tensor,
    y_test: Tensor,
    loss: Cost = "cross_entropy",
    *,
    train_costs: Tensor | None = None,
) -> dict[str, float]:
    """Hard-label costs, accuracies, and the two gaps, test minus training.

    `loss_gap` is of the hard-label cost without penalty or smoothing, `error_gap` of the 0-1
    error (NaN for regression). The standard errors are those of the test means: given the
    network, the training means are exact. Outputs (n, K), targets (n,) or (n, K); `train_costs`
    (n,) where they are known already.
    """
    if train_costs is None:
        train_costs = costs(train_outputs, y_train, loss)
    train = float(train_costs.mean())
    test, test_error = _mean(costs(test_outputs, y_test, loss))
    scores = {
        "train_loss": train,
        "test_loss": test,
        "loss_gap": test - train,
        "loss_gap_se": test_error,
    }
    if y_test.is_floating_point():
        missing = ("train_accuracy", "test_accuracy", "error_gap", "error_gap_se")
        return scores | dict.fromkeys(missing, math.nan)
    right_train, _ = _mean(train_outputs.argmax(1) == y_train)
    right_test, right_error = _mean(test_outputs.argmax(1) == y_test)
    return scores | {
        "train_accuracy": right_train,
        "test_accuracy": right_test,
        "error_gap": right_train - right_test,
        "error_gap_se": right_error,
    }


def costs(outputs: Tensor, y: Tensor, loss: Cost) -> Tensor:
    """Hard-label cost of each sample, (n,)."""
    if callable(loss):
        return loss(outputs, y)
    targets = y if y.is_floating_point() else one_hot(y, outputs.shape[1], dtype=outputs.dtype)
    return NamedLoss(loss, targets).value(outputs)


def _mean(values: Tensor) -> tuple[float, float]:
    """The mean and its standard error; equal shares of right answers give equal means."""
    n, values = len(values), values.double()
    mean = float(values.sum()) / n
    return mean, math.sqrt(float(values.var()) / n) if n > 1 else math.nan
