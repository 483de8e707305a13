"""The networks that are trained: multilayer perceptrons with a seed.

>>> model = mlp((2, 3, 1), activation="tanh", seed=0)
>>> sum(p.numel() for p in model.parameters())
13
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from kit.checks import check_bool, check_int, check_one_of, check_seed

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "linear": nn.Identity,
}


def mlp(
    widths: Sequence[int], *, activation: str = "relu", bias: bool = True, seed: int = 0
) -> nn.Sequential:
    """A multilayer perceptron f = W_L s(... s(W_1 x + b_1) ...) + b_L, linear at the end.

    >>> mlp((64, 32, 10))(torch.zeros(5, 64)).shape
    torch.Size([5, 10])

    `widths` is (d, hidden widths, K). Weights start at PyTorch's default, drawn with `seed`;
    torch's global random state is left as it was. Raises ValueError or TypeError for fewer than
    two widths, a width below 1, or an unknown activation.
    """
    if isinstance(widths, str) or not isinstance(widths, Sequence):
        raise TypeError(f"widths: got {widths!r}; takes a sequence of whole numbers, (64, 32, 10)")
    if len(widths) < 2:
        raise ValueError(f"widths: got {tuple(widths)}; takes at least (inputs, outputs)")
    widths = [check_int("widths", w, low=1) for w in widths]
    check_one_of("activation", activation, ACTIVATIONS)
    check_bool("bias", bias)
    seed = check_seed(seed)
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out, bias=bias), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])
