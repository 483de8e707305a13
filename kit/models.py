"""The networks that are trained: multilayer perceptrons and convolutional networks with a seed.

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
from kit.seeding import seeded

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
    with seeded(seed):
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out, bias=bias), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


POOLS: dict[str, type[nn.Module] | None] = {
    "avg": nn.AvgPool2d,
    "max": nn.MaxPool2d,
    "none": None,
}


class ToImage(nn.Module):
    """Flat features (n, c h w), or images already, as images (n, c, h, w)."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(len(x), *self.shape)


class ResidualBlock(nn.Module):
    """x + V s(W x + b) + c, with convolutions W and V that keep the shape of x."""

    def __init__(self, channels: int, kernel: int, activation: str) -> None:
        super().__init__()
        self.inside = nn.Sequential(
            nn.Conv2d(channels, channels, kernel, padding="same"),
            ACTIVATIONS[activation](),
            nn.Conv2d(channels, channels, kernel, padding="same"),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inside(x)


def convnet(
    image_shape: Sequence[int],
    channels: Sequence[int],
    classes: int,
    *,
    kernel: int = 3,
    pool: str = "avg",
    residual: bool = False,
    activation: str = "relu",
    seed: int = 0,
) -> nn.Sequential:
    """A convolutional network: for each entry of `channels` a convolution, s, and a pool by 2.

    >>> model = convnet((8, 8), (4, 8), 10, residual=True)
    >>> model(torch.zeros(5, 64)).shape, model(torch.zeros(5, 1, 8, 8)).shape
    (torch.Size([5, 10]), torch.Size([5, 10]))

    `image_shape`: (h, w) or (c, h, w); flat features (n, c h w) are taken as well as images.
    Convolutions keep the size of the image, pools halve it while it has at least 2 pixels a side;
    a linear layer gives the `classes` outputs. `pool`: "avg", "max" or "none". `residual` adds,
    after each activation, a block x + V s(W x + b) + c. No normalisation layers. Weights start at
    PyTorch's default, drawn with `seed`; the global random state is left as it was. Raises
    ValueError or TypeError that names the argument.
    """
    shape = _whole_numbers("image_shape", image_shape, "(1, 28, 28)")
    if len(shape) not in (2, 3):
        raise ValueError(f"image_shape: got {shape}; takes (h, w) or (c, h, w)")
    shape = shape if len(shape) == 3 else (1, *shape)
    channels = _whole_numbers("channels", channels, "(8, 16)")
    if not channels:
        raise ValueError("channels: got none; takes at least one convolution")
    classes, kernel = check_int("classes", classes, low=1), check_int("kernel", kernel, low=1)
    if kernel % 2 == 0:
        raise ValueError(f"kernel: got {kernel}; takes an odd number")
    check_one_of("pool", pool, POOLS)
    check_one_of("activation", activation, ACTIVATIONS)
    check_bool("residual", residual)
    fan_in, *side = shape
    layers: list[nn.Module] = [ToImage(shape)]
    with seeded(check_seed(seed)):
        for fan_out in channels:
            layers.append(nn.Conv2d(fan_in, fan_out, kernel, padding="same"))
            layers.append(ACTIVATIONS[activation]())
            if residual:
                layers.append(ResidualBlock(fan_out, kernel, activation))
            if POOLS[pool] is not None and min(side) >= 2:
                layers.append(POOLS[pool](2))
                side = [size // 2 for size in side]
            fan_in = fan_out
        layers += [nn.Flatten(), nn.Linear(fan_in * side[0] * side[1], classes)]
    return nn.Sequential(*layers)


def _whole_numbers(name: str, values: object, example: str) -> tuple[int, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(f"{name}: got {values!r}; takes a sequence of whole numbers, {example}")
    return tuple(check_int(name, value, low=1) for value in values)
