"""Many small networks trained as one tensor program, each with settings and a seed of its own.

The forward pass, the gradient and the Hessian products of all of them are the batched matrix
products of `kit.stack`, so that a step of 32 networks costs little more than one of a single one.
At the same parameters a network of the fleet has the same numbers as alone, to rounding.

>>> from kit.load import load_dataset
>>> fleet = Fleet((1, 8, 1), load_dataset("chebyshev"), loss="mse", activation="tanh",
...               lr=[0.1, 0.2, 0.2], seed=[0, 0, 1])
>>> fleet.step(5)
>>> fleet.losses().shape, bool((fleet.losses() > 0).all())
(torch.Size([3]), True)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kit.checks import check_bool, check_int, check_number, check_one_of, check_seed
from kit.divergence import Divergence, DivergenceWatch
from kit.jacobian import stack_jacobian_norms
from kit.load import Dataset
from kit.losses import LOSSES, NamedLoss
from kit.models import mlp
from kit.objective import Objective
from kit.sampling import Sampler
from kit.stack import Architecture, StackPoint, architecture
from kit.stack_tracking import StackTracker


class Fleet:
    """S networks of one shape, trained side by side on one data set.

    >>> from kit.load import load_dataset
    >>> fleet = Fleet((64, 8, 10), load_dataset("digits", n_train=50), batch_size=10,
    ...               lr=[0.1, 0.3], weight_decay=0.01)
    >>> fleet.step(3)
    >>> fleet.sharpness().shape
    torch.Size([2])

    `model`: widths, from which `kit.mlp` makes a network for each seed, or a list of S perceptrons
    of the same shape. `lr`, `weight_decay`, `label_smoothing`, `sam_radius`, `mixup`, `momentum`
    and `seed`: one number for all, or one a network. `batch_size` is common; None is full batch.
    Each network sees the batches that a `kit.Training` with its seed would. A network that blows
    up stays where it is (`.diverged`); the others go on. Raises ValueError or TypeError, naming the
    argument, for settings that do not fit. Cost of a step: as of one network with S times the
    samples, without autograd.
    """

    def __init__(
        self,
        model: Sequence[int] | Sequence[nn.Module],
        dataset: Dataset,
        *,
        loss: str = "cross_entropy",
        activation: str = "relu",
        lr: float | Sequence[float] = 0.1,
        batch_size: int | None = None,
        momentum: float | Sequence[float] = 0.0,
        nesterov: bool = False,
        weight_decay: float | Sequence[float] = 0.0,
        label_smoothing: float | Sequence[float] = 0.0,
        sam_radius: float | Sequence[float] = 0.0,
        mixup: float | Sequence[float] = 0.0,
        seed: int | Sequence[int] = 0,
    ) -> None:
        if not isinstance(dataset, Dataset):
            raise TypeError(f"dataset: got {type(dataset).__name__}; takes a kit.Dataset")
        check_one_of("loss", loss, LOSSES)
        check_bool("nesterov", nesterov)
        models = _models(model)
        columns = _columns(
            None if models is None else len(models),
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            label_smoothing=label_smoothing,
            sam_radius=sam_radius,
            mixup=mixup,
            seed=seed,
        )
        seeds = [check_seed(s) for s in columns.pop("seed")]
        _check_settings(columns, nesterov, loss)
        if models is None:
            made = {s: mlp(model, activation=activation, seed=s) for s in set(seeds)}
            models = [made[s] for s in seeds]
        self.net = _common_shape(models)
        self._template = models[0]
        # One network's own objective checks data, targets and loss.
        first = Objective(models[0], dataset.X_train, dataset.y_train, loss=loss)
        self.size, self.n, self.K = len(models), first.n, first.K
        self.loss, self.nesterov, self.X, self._hard = loss, nesterov, first.X, first.targets
        self.batch_size = None
        if batch_size is not None:
            b = check_int("batch_size", batch_size, low=1, high=self.n)
            self.batch_size = None if b == self.n else b
        self.theta = torch.stack([_flat(m) for m in models])
        self._settings = {k: self.theta.new_tensor(v)[:, None] for k, v in columns.items()}
        self._used = {name for name, column in columns.items() if any(column)}
        self.targets = self._hard.unsqueeze(0)
        if "label_smoothing" in self._used:
            s = self._settings["label_smoothing"].unsqueeze(2)
            self.targets = (1 - s) * self._hard + s / self.K
        own = self.targets.expand(self.size, *self._hard.shape)
        self._watches = [DivergenceWatch(NamedLoss(loss, t).best_constant()) for t in own]
        # Networks with the same seed see the same batches: drawn once for all of them.
        self._draws = list(zip(seeds, columns["mixup"], strict=True))
        self._samplers = {key: Sampler(self.n, key[0]) for key in self._draws}
        self._velocity: Tensor | None = None
        self.tracker = StackTracker(seed=seeds[0])
        self._point: StackPoint | None = None
        self.diverged: list[Divergence | None] = [None] * self.size
        self._stays = [False] * self.size
        self.steps = 0
        self._check()

    def stop(self, index: int) -> None:
        """Leave one network where it is; the others go on."""
        self._stays[check_int("index", index, low=0, high=self.size - 1)] = True

    def step(self, n: int = 1) -> None:
        """Take n steps with every network that has not diverged and was not stopped."""
        for _ in range(check_int("steps", n, low=0)):
            self._move(self._gradient())
            self.steps += 1
            self._check()

    def _check(self) -> None:
        """The rules of `kit.divergence`, as far as they are known without measuring."""
        if self.batch_size is None:
            losses = self.losses().tolist()
        elif math.isfinite(float(self.theta.sum())):
            return
        else:
            finite = torch.isfinite(self.theta).all(1)
            losses = torch.where(finite, 0.0, torch.nan).tolist()
        for i, loss in enumerate(losses):
            if self._stays[i] or (self.batch_size is not None and loss == 0):
                continue
            kind = self._watches[i].check(self.steps, loss, None)
            if kind is not None:
                reason = self._watches[i].reason
                self.diverged[i] = Divergence(kind, self.steps, loss, math.nan, math.nan, reason)
                self._stays[i] = True

    # One step.

    def point(self) -> StackPoint:
        """All networks on the whole training set, at the present parameters."""
        if self._point is None:
            self._point = StackPoint(
                self.net, NamedLoss(self.loss, self.targets), self.theta, self.X
            )
        return self._point

    def _gradient(self) -> Tensor:
        if self.batch_size is None and "mixup" not in self._used:
            X, targets = self.X, self.targets
            g = self.point().gradient()
        else:
            X, targets = self._batch()
            g = self._at(self.theta, X, targets)
        if "sam_radius" in self._used:
            norm = g.norm(dim=1, keepdim=True)
            ascent = torch.where(norm > 0, self._settings["sam_radius"] * g / norm, 0.0)
            g = self._at(self.theta + ascent, X, targets)
        return g

    def _at(self, theta: Tensor, X: Tensor, targets: Tensor) -> Tensor:
        return StackPoint(self.net, NamedLoss(self.loss, targets), theta, X).gradient()

    def _batch(self) -> tuple[Tensor, Tensor]:
        b = self.batch_size or self.n
        drawn = {key: sampler.draw(b, key[1]) for key, sampler in self._samplers.items()}
        batches = [drawn[key] for key in self._draws]
        indices = torch.stack([batch.indices for batch in batches])
        X = self.X[indices]
        if len(self.targets) == 1:
            targets = self._hard[indices]
        else:
            targets = self.targets.gather(1, indices.unsqueeze(2).expand(-1, -1, self.K))
        if "mixup" in self._used:
            share = X.new_tensor([1.0 if x.share is None else x.share for x in batches])
            share = share.view(-1, 1, 1)
            own = torch.arange(b)
            other = torch.stack([own if x.other is None else x.other for x in batches])
            rows = torch.arange(self.size).unsqueeze(1)
            X = share * X + (1 - share) * X[rows, other]
            targets = share * targets + (1 - share) * targets[rows, other]
        return X, targets

    def _move(self, g: Tensor) -> None:
        settings = self._settings
        if "weight_decay" in self._used:
            g = g + settings["weight_decay"] * self.theta
        if "momentum" in self._used:
            v = g if self._velocity is None else settings["momentum"] * self._velocity + g
            self._velocity = v
            g = g + settings["momentum"] * v if self.nesterov else v
        theta = self.theta - settings["lr"] * g
        if any(self._stays):
            theta = torch.where(torch.tensor(self._stays).unsqueeze(1), self.theta, theta)
        self.theta, self._point = theta, None

    # What is measured while they train, (S,) each.

    def losses(self) -> Tensor:
        """The training objective, with smoothing, without penalty."""
        return self.point().losses().mean(1)

    def hard_losses(self) -> Tensor:
        """The hard-label training cost."""
        return NamedLoss(self.loss, self._hard).value(self.point().outputs).mean(1)

    def sharpness(self) -> Tensor:
        """lambda_max(H) of each, followed from one call to the next; see `sharpness_residual`."""
        value, self._residual = self.tracker.measure(self.point())
        return value

    def sharpness_residual(self) -> Tensor:
        """||H v - lambda v|| of the last `sharpness`."""
        return self._residual

    def jacobian_max(self) -> Tensor:
        """The largest spectral norm of the input-output Jacobian over the training samples."""
        return stack_jacobian_norms(self.point(), norm="spectral", output="logits").amax(1)

    def model(self, index: int) -> nn.Module:
        """One of the networks as a module of its own."""
        model = copy.deepcopy(self._template)
        self.write(index, model)
        return model

    def write(self, index: int, model: nn.Module) -> None:
        """Set the parameters of a module of the same shape to those of one network."""
        theta = self.theta[check_int("index", index, low=0, high=self.size - 1)].clone()
        nn.utils.vector_to_parameters(theta, model.parameters())


def _models(model: object) -> list[nn.Module] | None:
    """The networks, or None for widths."""
    if isinstance(model, Sequence) and model and isinstance(model[0], nn.Module):
        return list(model)
    return None


def _columns(size: int | None, **settings: object) -> dict[str, list]:
    """One value a network for each setting; a single number stands for all."""
    lists = {
        name: value if isinstance(value, str) or not isinstance(value, Sequence) else list(value)
        for name, value in settings.items()
    }
    lengths = {name: len(v) for name, v in lists.items() if isinstance(v, list)}
    if size is not None:
        lengths["model"] = size
    size = max(lengths.values(), default=1)
    wrong = {name: length for name, length in lengths.items() if length != size}
    if wrong or size == 0:
        name, length = next(iter((wrong or lengths).items()))
        raise ValueError(f"{name}: got {length} values; takes one number, or {size or 'more'}")
    return {name: v if isinstance(v, list) else [v] * size for name, v in lists.items()}


def _check_settings(columns: dict[str, list], nesterov: bool, loss: str) -> None:
    for name, column in columns.items():
        below = 1 if name in ("momentum", "label_smoothing") else None
        limits = {"above": 0} if name == "lr" else {"low": 0, "below": below}
        for value in column:
            check_number(name, value, **limits)
    if nesterov and not all(columns["momentum"]):
        raise ValueError("nesterov: got True with momentum 0; takes a momentum above 0")
    if any(columns["label_smoothing"]) and loss != "cross_entropy":
        raise ValueError(f"label_smoothing: takes 0 with loss={loss!r}")


def _common_shape(models: list[nn.Module]) -> Architecture:
    nets = [architecture(m) for m in models]
    if None in nets:
        raise ValueError("model: takes multilayer perceptrons; use kit.Training for others")
    if len({(net.widths, net.activation, net.bias) for net in nets}) > 1:
        raise ValueError("model: takes networks of one shape and activation")
    return nets[0]


def _flat(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])
