"""A trained network, and the other parameters of the same function: what moves along, what stays.

>>> from kit.load import load_dataset
>>> from kit.models import mlp
>>> from kit.training import Training
>>> run = Training(mlp((64, 8, 8, 10)).double(), load_dataset("digits", n_train=50), loss="mse",
...                lr=0.1, measures=(), scores=False)
>>> orbit = Orbit(run)
>>> there = orbit.at(alpha=10.0)
>>> orbit.output_change(there) < 1e-12, orbit.ratio("sharpness", there) > 5
(True, True)
>>> abs(orbit.ratio("invariant_sharpness_layer", there) - 1) < 1e-3
True
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kit.checks import check_number, check_one_of, check_seed
from kit.estimate import Estimate
from kit.objective import Objective
from kit.registry import measures
from kit.rescaling import rescale_layers, rescale_nodes
from kit.symmetry import find_symmetry
from kit.training import Training

# Measures of the registry that take well under a tenth of a second here.
QUICK = (
    "sharpness",
    "trace",
    "frobenius",
    "keskar",
    "critical_sharpness",
    "relative_flatness",
    "minimum_sharpness",
    "normalized_sharpness",
    "invariant_sharpness_layer",
    "invariant_sharpness_riemannian",
    "invariant_sharpness_elementwise",
    "invariant_sharpness_path",
    "average_adaptive_sharpness",
    "fisher_rao",
    "path_norm",
    "jacobian_max",
)


class Orbit:
    """The rescalings of one trained perceptron, on its own training data.

    `training` is left alone. `at(alpha, spread)`: the first layer times alpha, the last divided by
    it, and each hidden unit scaled by exp(spread z), z standard normal from `seed`. Raises
    ValueError for a network without the symmetry.
    """

    def __init__(self, training: Training) -> None:
        find_symmetry(training.model)
        self.training = training
        self.objective = self._objective(training.model)
        self._known: dict[str, float] = {}

    def at(self, alpha: float = 1.0, spread: float = 0.0, *, seed: int = 0) -> nn.Module:
        """The same function at other parameters."""
        alpha = check_number("alpha", alpha, above=0)
        spread = check_number("spread", spread, low=0, high=5)
        model = self.training.model
        layers = [module for module in model if isinstance(module, nn.Linear)]
        model = rescale_layers(model, (alpha, *(1.0,) * (len(layers) - 2), 1 / alpha))
        if spread:
            generator = torch.Generator().manual_seed(check_seed(seed))
            factors = [
                torch.exp(spread * torch.randn(layer.out_features, generator=generator))
                for layer in layers[:-1]
            ]
            model = rescale_nodes(model, factors)
        return model

    def output_change(self, model: nn.Module) -> float:
        """max |f - f_0| / max |f_0| over the training set: rounding, for the same function."""
        f, before = self._objective(model).outputs(), self.objective.outputs()
        return float((f - before).abs().max() / before.abs().max())

    def ratio(self, name: str, model: nn.Module) -> float:
        """A measure of `QUICK` there over the same here: 1 for the trained network itself."""
        check_one_of("name", name, QUICK)
        if model is self.training.model:
            return 1.0
        if name not in self._known:
            self._known[name] = _value(name, self.objective)
        return _value(name, self._objective(model)) / self._known[name]

    def penalised(self, model: nn.Module, weight_decay: float) -> float:
        """l + mu/2 ||theta||^2: what descent with weight decay lowers."""
        objective = self._objective(model)
        square = float(objective.flat_parameters().square().sum())
        return objective.value() + 0.5 * weight_decay * square

    def slice(self, model: nn.Module, at: Tensor, *, filters: bool, seed: int = 0) -> Tensor:
        """The loss at theta + s d for each s of `at` (m,), (m,), along one random direction d.

        d is Gaussian. With `filters` each row of a weight matrix, and each bias, gets the length of
        that of the network (Li et al. 2018, arXiv 1712.09913); else d has the length of all
        parameters before any rescaling. Cost: m forward passes.
        """
        objective = self._objective(model)
        generator = torch.Generator().manual_seed(check_seed(seed))
        parts = []
        for p in objective.blocks():
            d = torch.randn(p.shape, generator=generator, dtype=p.dtype)
            if filters and p.ndim > 1:
                d *= p.flatten(1).norm(dim=1).view(-1, 1) / d.flatten(1).norm(dim=1).view(-1, 1)
            elif filters:
                d *= p.abs() / d.abs()
            parts.append(d.flatten())
        theta, d = objective.flat_parameters(), torch.cat(parts)
        if not filters:
            d *= self.objective.flat_parameters().norm() / d.norm()
        return torch.tensor([objective.at(theta + float(s) * d).value() for s in at])

    def _objective(self, model: nn.Module) -> Objective:
        here = self.training.objective
        smoothing = here.label_smoothing
        return Objective(model, here.X, here.y, loss=self.training.loss, label_smoothing=smoothing)


def _value(name: str, objective: Objective) -> float:
    result = measures()[name].fn(objective)
    return result.value if isinstance(result, Estimate) else float(result)
