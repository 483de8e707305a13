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
) -> dict[str, float]:
    """Hard-label costs, accuracies, and the two gaps, test minus training.

    `loss_gap` is of the hard-label cost without penalty or smoothing, `error_gap` of the 0-1
    error (NaN for regression). The standard errors are those of the test means: given the
    network, the training means are exact. Outputs (n, K), targets (n,) or (n, K).
    """
    train, test = costs(train_outputs, y_train, loss), costs(test_outputs, y_test, loss)
    scores = {
        "train_loss": float(train.mean()),
        "test_loss": float(test.mean()),
        "loss_gap": float(test.mean() - train.mean()),
        "loss_gap_se": _standard_error(test),
    }
    if y_test.is_floating_point():
        missing = ("train_accuracy", "test_accuracy", "error_gap", "error_gap_se")
        return scores | dict.fromkeys(missing, math.nan)
    right_train = (train_outputs.argmax(1) == y_train).double()
    right_test = (test_outputs.argmax(1) == y_test).double()
    return scores | {
        "train_accuracy": float(right_train.mean()),
        "test_accuracy": float(right_test.mean()),
        "error_gap": float(right_train.mean() - right_test.mean()),
        "error_gap_se": _standard_error(right_test),
    }


def costs(outputs: Tensor, y: Tensor, loss: Cost) -> Tensor:
    """Hard-label cost of each sample, (n,)."""
    if callable(loss):
        return loss(outputs, y)
    targets = y if y.is_floating_point() else one_hot(y, outputs.shape[1], dtype=outputs.dtype)
    return NamedLoss(loss, targets).value(outputs)


def _standard_error(values: Tensor) -> float:
    return float(values.double().std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan
