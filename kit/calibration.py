"""Calibration: does a classifier that says 80% turn out right 80% of the time?

>>> outputs = torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
>>> result = reliability(outputs, torch.tensor([0, 0, 1, 1]))
>>> round(result.confidence, 3), result.accuracy  # sure to 88%, right in 75%
(0.881, 0.75)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kit.checks import check_int

TEMPERATURES = (1e-3, 1e3)


@dataclass(frozen=True)
class Calibration:
    """How confidence, the largest probability, compares with accuracy.

    error: the expected calibration error, sum over bins of (share of samples) x |accuracy -
    confidence|. over_confidence: mean confidence less accuracy, above 0 where the model is too
    sure, with its standard error. bin_confidence, bin_accuracy, bin_count (bins,): the reliability
    diagram; NaN in an empty bin.
    """

    error: float
    over_confidence: float
    over_confidence_se: float
    confidence: float
    accuracy: float
    bin_confidence: Tensor
    bin_accuracy: Tensor
    bin_count: Tensor


def reliability(outputs: Tensor, labels: Tensor, *, bins: int = 15) -> Calibration:
    """The calibration of logits (n, K) against labels (n,), with bins of equal width.

    >>> sure = torch.tensor([[50.0, 0.0], [0.0, 50.0]])
    >>> reliability(sure, torch.tensor([0, 1])).error, reliability(sure, torch.tensor([1, 0])).error
    (0.0, 1.0)

    The error is a plug-in estimate: with few samples a bin it is too large even for a calibrated
    model, by about sqrt(bins / n) / 2. Raises ValueError for shapes that do not fit. Source: Guo,
    Pleiss, Sun and Weinberger, arXiv 1706.04599.
    """
    outputs, labels = _check(outputs, labels)
    bins = check_int("bins", bins, low=1)
    sure, guess = torch.softmax(outputs.double(), 1).max(1)
    right = (guess == labels).double()
    place = (sure * bins).ceil().long().clamp(1, bins) - 1
    count = torch.bincount(place, minlength=bins)
    confidence = torch.bincount(place, sure, bins) / count
    accuracy = torch.bincount(place, right, bins) / count
    gap = torch.where(count > 0, (accuracy - confidence).abs(), 0.0)
    excess = sure - right
    return Calibration(
        error=float((count * gap).sum()) / len(sure),
        over_confidence=float(excess.mean()),
        over_confidence_se=float(excess.std()) / math.sqrt(len(sure))
        if len(sure) > 1
        else math.nan,
        confidence=float(sure.mean()),
        accuracy=float(right.mean()),
        bin_confidence=confidence,
        bin_accuracy=accuracy,
        bin_count=count,
    )


def temperature_scaling(outputs: Tensor, labels: Tensor) -> float:
    """The T > 0 for which softmax(outputs / T) has the least cross-entropy on these labels.

    >>> generator = torch.Generator().manual_seed(0)
    >>> logits = torch.randn(20_000, 3, generator=generator)
    >>> labels = torch.multinomial(torch.softmax(logits, 1), 1, generator=generator)[:, 0]
    >>> round(temperature_scaling(4 * logits, labels), 1)  # drawn at T = 1, handed over 4 times
    4.0

    Fit it on held-out data: on its own training data a network that interpolates asks for T near
    0. The cost is convex in 1/T; T is limited to 0.001 to 1000, and the limit is returned where
    the minimum lies beyond (labels that are all right, or no better than chance). Source: as
    `reliability`.
    """
    outputs, labels = _check(outputs, labels)
    f = outputs.double()
    f = f - f.gather(1, labels[:, None])  # the cost at 1/T = b is log sum exp(b f)
    low, high = (1 / t for t in reversed(TEMPERATURES))

    def slope(b: float) -> float:
        return float((torch.softmax(b * f, 1) * f).sum(1).mean())

    if slope(low) >= 0:
        return 1 / low
    if slope(high) <= 0:
        return 1 / high
    a, b = math.log(low), math.log(high)
    for _ in range(60):  # the slope rises with b: bisect its sign on a log scale
        middle = 0.5 * (a + b)
        a, b = (middle, b) if slope(math.exp(middle)) < 0 else (a, middle)
    return math.exp(-0.5 * (a + b))


def _check(outputs: object, labels: object) -> tuple[Tensor, Tensor]:
    for name, value in (("outputs", outputs), ("labels", labels)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name}: got {type(value).__name__}; takes a tensor")
    if outputs.ndim != 2 or len(outputs) == 0 or not torch.isfinite(outputs).all():
        raise ValueError(f"outputs: got shape {tuple(outputs.shape)}; takes finite logits (n, K)")
    n, K = outputs.shape
    if labels.shape != (n,) or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(
            f"labels: got {labels.dtype} of shape {tuple(labels.shape)}; takes integers ({n},)"
        )
    if int(labels.min()) < 0 or int(labels.max()) >= K:
        raise ValueError(
            f"labels: got {int(labels.min())} to {int(labels.max())}; takes 0 to {K - 1}"
        )
    return outputs.detach(), labels.long()
