"""Which layers of a network can be rescaled without a change of its function, and how.

Scaling a weight layer by a > 0 scales everything after it by a, through every module that is
positively homogeneous, s(c z) = c s(z), and through biases that are scaled along; a later layer
takes it back. In a chain, the factors of all layers multiply to 1. A residual block passes its
input on unchanged, so the layers inside it must balance among themselves, and those outside among
themselves (theory.md, P2.1).

>>> from kit.models import convnet
>>> find_symmetry(convnet((4, 4), (2, 3), 5, residual=True)).groups
((0, 3, 6), (1, 2), (4, 5))
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from kit.models import ResidualBlock, ToImage
from kit.seeding import seeded

Layer = nn.Linear | nn.Conv2d
RESHAPES = (nn.Flatten, nn.Unflatten, ToImage, nn.Dropout, nn.Dropout2d)
IMAGE, ROWS = (3, 4, 8, 8), (3, 16)  # shapes on which homogeneity is tried


@dataclass(frozen=True)
class Symmetry:
    """The layers of a network in order, and how positive factors on them leave its function.

    groups: indices of layers whose factors multiply to 1. carried: for each layer, the layers
    whose factors its bias takes. chains: runs of consecutive layers between which hidden units
    can be scaled one by one.
    """

    layers: tuple[Layer, ...]
    groups: tuple[tuple[int, ...], ...]
    carried: tuple[tuple[int, ...], ...]
    chains: tuple[tuple[int, ...], ...]

    @property
    def is_chain(self) -> bool:
        """Whether there is no path around a layer."""
        return len(self.groups) == 1

    def hidden(self) -> list[tuple[int, int]]:
        """Pairs (layer, next layer) between which hidden units can be scaled."""
        return [pair for chain in self.chains for pair in pairwise(chain)]


class NoSymmetry(ValueError):
    """A model whose function rescaling changes; says why."""


def find_symmetry(model: nn.Module) -> Symmetry:
    """The rescaling symmetry of a model; NoSymmetry with the reason where it has none.

    >>> from kit.models import mlp
    >>> [type(layer).__name__ for layer in find_symmetry(mlp((2, 3, 1))).layers]
    ['Linear', 'Linear']

    Takes `nn.Sequential` of linear layers, convolutions, the kit's residual blocks, and any module
    without parameters that is positively homogeneous, which is tried on numbers, not assumed:
    relu, leaky_relu, the identity, average and max pooling.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: got {type(model).__name__}; takes a torch.nn.Module")
    parts = _parts(model)
    layers: list[Layer] = []
    carried: list[tuple[int, ...]] = []
    outer: list[int] = []
    inner: list[tuple[int, ...]] = []
    for part in parts:
        if isinstance(part, ResidualBlock):
            inside: list[int] = []
            for module in _parts(part.inside):
                if isinstance(module, nn.Linear | nn.Conv2d):
                    inside.append(len(layers))
                    layers.append(module)
                    carried.append((*outer, *inside))
            inner.append(tuple(inside))
        elif isinstance(part, nn.Linear | nn.Conv2d):
            outer.append(len(layers))
            layers.append(part)
            carried.append(tuple(outer))
    if not layers:
        raise NoSymmetry(f"model: {type(model).__name__} has no linear layer or convolution")
    if len(outer) < 2 and not inner:
        raise NoSymmetry("model: a linear model has one layer, and its only factor is 1")
    shared = [p for layer in layers for p in layer.parameters(recurse=False)]
    if len({id(p) for p in shared}) < len(shared):
        raise NoSymmetry("model: layers share their weights, so one cannot be scaled alone")
    groups = (tuple(outer), *inner)
    chains = groups if not inner else tuple(inner)
    return Symmetry(tuple(layers), groups, tuple(carried), chains)


def _parts(model: nn.Module) -> list[nn.Module]:
    """The modules that a forward pass goes through, in order, each of a kind that is understood."""
    if type(model) is not nn.Sequential:
        raise NoSymmetry(
            f"model: {type(model).__name__} is not a plain chain of layers (nn.Sequential); "
            "rescaling of other modules is not supported"
        )
    parts: list[nn.Module] = []
    for module in model:
        if module._forward_hooks or module._forward_pre_hooks:
            raise NoSymmetry(f"model: {type(module).__name__} has hooks, which may do anything")
        if type(module) is nn.Sequential:
            parts += _parts(module)
            continue
        if type(module) is ResidualBlock:
            _parts(module.inside)
        elif type(module) not in (nn.Linear, nn.Conv2d):
            _require_homogeneous(module)
        parts.append(module)
    return parts


def _require_homogeneous(module: nn.Module) -> None:
    """Tries s(c z) = c s(z) on numbers, in float64."""
    name = type(module).__name__
    if next(module.parameters(), None) is not None:
        raise NoSymmetry(f"model: {name} has parameters of its own, which rescaling leaves out")
    if isinstance(module, RESHAPES):
        return
    z = torch.randn(IMAGE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    images = "2d" in name
    module = copy.deepcopy(module)  # it may count its calls
    z = 3 * (z if images else z.flatten(1)[:, : ROWS[1]])
    with torch.no_grad(), seeded():
        try:
            plain = module(z.clone())  # it may write into what it is given
            scaled = [module(c * z) - c * plain for c in (0.01, 0.5, 7.0)]
        except (RuntimeError, TypeError, ValueError) as error:
            raise NoSymmetry(f"model: {name} could not be tried: {error}") from error
    scale = float(plain.abs().max()) if isinstance(plain, Tensor) else math.nan
    if not all(float(difference.abs().max()) <= 1e-9 * scale for difference in scaled):
        raise NoSymmetry(
            f"model: {name} is not positively homogeneous: s(c z) = c s(z) fails for c > 0"
        )
