"""Training that can be watched, changed while it runs, taken apart and replayed.

>>> from kit.load import load_dataset
>>> from kit.models import mlp
>>> run = Training(mlp((1, 30, 20, 1), activation="tanh"), load_dataset("chebyshev"),
...                loss="mse", lr=0.4)
>>> run.step(3)
3
>>> [round(loss, 3) for loss in run.history["loss"]] == sorted(
...     [round(loss, 3) for loss in run.history["loss"]], reverse=True)
True
>>> run.lr = 0.2  # from the next step on
>>> run.interventions
[Intervention(step=3, name='lr', old=0.4, new=0.2)]
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kit.checks import check_bool, check_int, check_number, check_one_of
from kit.curvature import stability_threshold
from kit.divergence import DivergenceWatch
from kit.history import History, Intervention
from kit.load import Dataset
from kit.losses import LOSSES
from kit.measuring import SCORES, MeasuredRun, check_measures
from kit.objective import Objective
from kit.optimizers import SGD, Adam
from kit.probes import PROBES
from kit.rescaling import block_factors, check_factors, scale_parameters
from kit.sampling import Sampler
from kit.saved import check_state, data_checksum
from kit.symmetry import find_symmetry
from kit.thresholds import adam_threshold, sgd_threshold

__all__ = ["SCORES", "Intervention", "Training"]


def _setting(name: str) -> property:
    return property(lambda self: self._settings[name], lambda self, v: self._set(name, v))


class Training(MeasuredRun):
    """Trains a copy of a model on a data set and measures it as it goes.

    >>> from kit.load import load_dataset
    >>> from kit.models import mlp
    >>> run = Training(mlp((64, 16, 10)), load_dataset("digits", n_train=50), lr=0.1, every=5)
    >>> run.run(10)
    >>> run.history["step"][-1], math.isnan(run.history["sharpness"][-2])
    (10.0, True)

    `optimizer`: "sgd" (momentum, Nesterov) or "adam", as torch's; `batch_size=None` is full batch;
    `sam_radius` takes the gradient at theta + rho g/|g|; `mixup` a > 0 mixes pairs of samples with
    weights from Beta(a, a). `measures` are names from `kit.probes`, measured every `every` steps.
    `scores`: whether a measured step also takes the losses and accuracies on both data sets.
    Row k of `.history` holds loss and measures at the parameters after k steps; `loss` is the
    training objective (with smoothing, without penalty), known at every step of a full-batch run
    and at measured steps of any other. Measuring never changes the path of the parameters. The
    same arguments, interventions and cadence give the same numbers, bit for bit, on one machine.

    `.lr`, `.batch_size`, `.momentum`, `.weight_decay` and `.every` can be set between steps;
    `.interventions` keeps what was changed. Once `.diverged` is set, steps do nothing. Raises
    ValueError or TypeError, naming the argument, for settings that do not fit together.
    """

    def __init__(
        self,
        model: nn.Module,
        dataset: Dataset,
        *,
        loss: str | Callable = "cross_entropy",
        optimizer: str = "sgd",
        lr: float = 0.1,
        batch_size: int | None = None,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        label_smoothing: float = 0.0,
        sam_radius: float = 0.0,
        mixup: float = 0.0,
        measures: Sequence[str] = ("sharpness", "jacobian_max", "jacobian_mean"),
        every: int = 1,
        scores: bool = True,
        seed: int = 0,
    ) -> None:
        if not isinstance(dataset, Dataset):
            raise TypeError(f"dataset: got {type(dataset).__name__}; takes a kit.Dataset")
        if not isinstance(model, nn.Module):
            raise TypeError(f"model: got {type(model).__name__}; takes a torch.nn.Module")
        if not callable(loss):
            check_one_of("loss", loss, LOSSES)
        check_one_of("optimizer", optimizer, ("sgd", "adam"))
        measures = check_measures(measures)
        self.loss, self.optimizer, self.dataset = loss, optimizer, dataset
        self.nesterov = check_bool("nesterov", nesterov)
        self.scores = check_bool("scores", scores)
        self.seed = check_int("seed", seed, low=0, high=2**63 - 1)
        self.label_smoothing = label_smoothing
        self.sam_radius = check_number("sam_radius", sam_radius, low=0)
        self.mixup = check_number("mixup", mixup, low=0)
        if self.mixup and callable(loss):
            raise ValueError("mixup: takes 0 with a loss of one's own: its targets cannot be mixed")
        self.model = copy.deepcopy(model)
        self.objective = Objective(
            self.model, dataset.X_train, dataset.y_train, loss=loss, label_smoothing=label_smoothing
        )
        self.objective.tie()
        self.test_objective = Objective(self.model, dataset.X_test, dataset.y_test, loss=loss)
        self._settings: dict[str, Any] = {
            "lr": check_number("lr", lr, above=0),
            "batch_size": self._check_batch_size(batch_size),
            "momentum": check_number("momentum", momentum, low=0, below=1),
            "weight_decay": check_number("weight_decay", weight_decay, low=0),
            "every": check_int("every", every, low=1),
        }
        if nesterov and not momentum:
            raise ValueError("nesterov: got True with momentum 0; takes a momentum above 0")
        if optimizer == "adam" and (momentum or nesterov):
            raise ValueError("momentum: got a value with optimizer='adam', which has its own betas")
        self._optimizer = Adam() if optimizer == "adam" else SGD(nesterov=nesterov)
        self._sampler = Sampler(self.objective.n, self.seed)
        self._drag: dict[str, Any] | None = None
        self._data_checksum: str | None = None
        self._begin(measures)
        self._parts: Iterator[None] | None = None  # of a step that is under way
        for _ in self._new_row():
            pass

    # Settings that can change between steps.

    lr, batch_size, momentum, weight_decay, every = map(
        _setting, ("lr", "batch_size", "momentum", "weight_decay", "every")
    )

    def _set(self, name: str, value: Any) -> None:
        if name == "lr":
            value = check_number(name, value, above=0)
        elif name == "batch_size":
            value = self._check_batch_size(value)
        elif name == "every":
            value = check_int(name, value, low=1)
        elif name == "momentum":
            value = check_number(name, value, low=0, below=1)
            if value and self.optimizer == "adam":
                raise ValueError("momentum: takes 0 with optimizer='adam', which has its own betas")
        else:
            value = check_number(name, value, low=0)
        if name in ("batch_size", "every"):
            self._complete_step()
        old = self._settings[name]
        if value == old:
            return
        self._settings[name] = value
        self._intervene(name, old, value)
        self.history.fill_last(self._settings_row())

    def _check_batch_size(self, batch_size: int | None) -> int | None:
        if batch_size is None:
            return None
        b = check_int("batch_size", batch_size, low=1, high=self.objective.n)
        return None if b == self.objective.n else b

    @property
    def data_name(self) -> str:
        """What a page and a saved run call the data."""
        return self.dataset.name

    # Stepping.

    def step(self, n: int = 1) -> int:
        """Take n steps; returns how many were taken before the run diverged, if it did."""
        n = check_int("n", n, low=0)
        self._complete_step()
        for taken in range(n):
            if self.diverged is not None:
                return taken
            while not self.step_part():
                pass
        return n

    def step_part(self) -> bool:
        """Take the next part of a step: the move, or one measurement; whether the step is complete.

        For a page that answers its reader in between. Whatever needs a complete step, such as
        another `step`, a rescaling or a fork, completes it first; `.lr`, `.momentum` and
        `.weight_decay` can be set at once.
        """
        if self._parts is None:
            self._parts = self._step_parts()
        try:
            next(self._parts)
            return False
        except StopIteration:
            self._parts = None
            return True
        except BaseException:
            self._parts = None
            raise

    @property
    def between_steps(self) -> bool:
        """Whether no step is under way."""
        return self._parts is None

    def _step_parts(self) -> Iterator[None]:
        if self.diverged is None:
            self._apply(self._gradient())
            yield from self._new_row()

    def _complete_step(self) -> None:
        while self._parts is not None:
            self.step_part()

    def run(self, steps: int, callback: Callable[[Training], object] | None = None) -> None:
        """Take `steps` steps; `callback(training)` after each may return True to stop."""
        if callback is not None and not callable(callback):
            raise TypeError(
                f"callback: got {callback!r}; takes a function of the training, or None"
            )
        for _ in range(check_int("steps", steps, low=0)):
            if self.step() == 0 or (callback is not None and callback(self) is True):
                return

    def _gradient(self) -> Tensor:
        """The gradient of this step's batch, at theta or, for SAM, at theta + rho g/|g|."""
        full = self.batch_size is None and not self.mixup
        if full and not self.sam_radius:
            return self._trained(self.objective.point().gradient())
        X, targets = (self.objective.X, self.objective.targets) if full else self._batch()
        g = self._trained(self.objective.batch_gradient(X, targets)[1])
        if self.sam_radius:
            norm = g.norm()
            if norm > 0:
                theta = self.objective.flat_parameters()
                self._write(theta + self.sam_radius * g / norm)
                g = self._trained(self.objective.batch_gradient(X, targets)[1])
                self._write(theta)
        return g

    def _trained(self, g: Tensor) -> Tensor:
        """The gradient without its entries for frozen parameters (`requires_grad` False)."""
        parameters = self.objective.tensors()
        if all(p.requires_grad for p in parameters):
            return g
        parts = g.split([p.numel() for p in parameters])
        kept = [part * p.requires_grad for part, p in zip(parts, parameters, strict=True)]
        return torch.cat(kept)

    def _batch(self) -> tuple[Tensor, Tensor]:
        """The next batch of a shuffled pass over the training set, mixed up if so asked."""
        objective, b = self.objective, self.batch_size or self.objective.n
        batch = self._sampler.draw(b, self.mixup)
        X, targets = objective.X[batch.indices], objective.targets[batch.indices]
        if batch.other is not None:
            X = batch.share * X + (1 - batch.share) * X[batch.other]
            targets = batch.share * targets + (1 - batch.share) * targets[batch.other]
        return X, targets

    def _apply(self, gradient: Tensor) -> None:
        settings = {name: self._settings[name] for name in ("lr", "momentum", "weight_decay")}
        self._write(self._optimizer(self.objective.flat_parameters(), gradient, **settings))

    def _write(self, theta: Tensor, *, frozen: bool = False) -> None:
        parameters = self.objective.tensors()
        if not frozen and not all(p.requires_grad for p in parameters):
            here = self.objective.flat_parameters()
            sizes = [p.numel() for p in parameters]
            pairs = zip(parameters, theta.split(sizes), here.split(sizes), strict=True)
            theta = torch.cat([new if p.requires_grad else old for p, new, old in pairs])
        self.objective.write(theta)

    # Measuring.

    def _loss_is_at_hand(self) -> bool:
        return self.batch_size is None

    def measure(self) -> None:
        """Measure everything at the present parameters, into the last row of the history."""
        self._complete_step()
        with self.objective.held():
            self.history.fill_last(self._scores_row() | self._settings_row())
        for _ in self._measuring():
            pass

    def measure_aside(self) -> None:
        """Measure the present step where the cadence passed over it, as when a reader pauses.

        What later measurements start from is put back, so that the rest of the run gives the same
        numbers as without.
        """
        self._complete_step()
        if self.diverged is not None or self._measured == self.steps:
            return
        count = self._measurements
        saved = {name: copy.deepcopy(probe.state_dict()) for name, probe in self.probes.items()}
        self.measure()
        self._measurements = count
        for name, probe in self.probes.items():
            last = getattr(probe, "last", None)
            probe.load_state_dict(saved[name])
            if last is not None:
                probe.last = last

    def preconditioner(self) -> Tensor | None:
        """Adam's, (P,); infinite for frozen parameters, whose directions no step takes."""
        Q = self._optimizer.preconditioner() if self.optimizer == "adam" else None
        return None if Q is None else Q.where(self._trained(torch.ones_like(Q)) > 0, torch.inf)

    def threshold(self) -> tuple[float, str]:
        if self.mixup:
            return math.nan, "mixup: no threshold is known, since each step sees other data"
        if self.optimizer == "adam":
            return adam_threshold(self.lr, weight_decay=self.weight_decay)
        settings = {"momentum": self.momentum, "weight_decay": self.weight_decay}
        if self.sam_radius:
            if self.momentum:
                return math.nan, "SAM with momentum: no threshold is known"
            norm = float(self.objective.point().gradient().norm())
            edge = stability_threshold(
                self.lr, sam_radius=self.sam_radius, gradient_norm=norm, **settings
            )
            return edge, "the edge of SAM, which depends on |g|"
        edge, name = sgd_threshold(self.lr, nesterov=self.nesterov, **settings)
        return edge, name if self.batch_size is None else f"full-batch threshold {name}"

    def _settings_row(self) -> dict[str, float]:
        return {
            "lr": self.lr,
            "batch_size": float(self.batch_size or self.objective.n),
            "threshold": self.threshold()[0],
        }

    # Jumps and copies.

    def rescale(self, factors: Sequence[float]) -> None:
        """Rescale the layers in place: another point of the same function (theory.md, P2.1).

        The velocity transforms as a gradient does, v -> A^{-1} v; Adam's moments are reset, and
        the intervention says so. The present row of the history is measured anew. Raises
        ValueError for a model without the symmetry or for factors whose product is not 1.
        """
        symmetry = find_symmetry(self.model)
        factors = check_factors(factors, symmetry)
        self._complete_step()
        name = "rescale" if self.optimizer == "sgd" else "rescale (Adam's moments reset)"
        # Several at one step, as from a slider, count as one from where the first began: so the
        # run replays from its interventions to the last bit.
        drag = self._drag
        if drag is None or drag["step"] != self.steps:
            drag = self._drag = self._snapshot() | {"factors": (1.0,) * len(factors)}
        else:
            self._go_back(drag)
        factors = tuple(a * b for a, b in zip(drag["factors"], factors, strict=True))
        drag["factors"] = factors
        here = (self.steps, name)
        self.interventions = [c for c in self.interventions if (c.step, c.name) != here]
        if all(abs(factor - 1) < 1e-9 for factor in factors):
            self.history.fill_last(drag["row"] | self._settings_row())
            return
        self.interventions.append(Intervention(*here, None, factors))
        scale_parameters(symmetry, factors)
        blocks = zip(self.objective.blocks(), block_factors(self.model, factors), strict=True)
        self._optimizer.rescale(torch.cat([torch.full_like(p.flatten(), a) for p, a in blocks]))
        for probe in self.probes.values():
            probe.restart()
        self.history.fill_last({"loss": self.objective.value()})
        self._measurements = 0
        self.measure()

    def _snapshot(self) -> dict[str, Any]:
        """What a rescale changes, as it is now."""
        return {
            "step": self.steps,
            "theta": self.objective.flat_parameters(),
            "optimizer": copy.deepcopy(vars(self._optimizer)),
            "probes": {n: copy.deepcopy(probe.state_dict()) for n, probe in self.probes.items()},
            "measurements": self._measurements,
            "row": {name: column[-1] for name, column in self.history.items()},
        }

    def _go_back(self, snapshot: dict[str, Any]) -> None:
        self._write(snapshot["theta"], frozen=True)
        vars(self._optimizer).update(copy.deepcopy(snapshot["optimizer"]))
        for name, probe in self.probes.items():
            probe.load_state_dict(copy.deepcopy(snapshot["probes"][name]))
        self._measurements = snapshot["measurements"]

    def fork(self) -> Training:
        """An independent copy that would go on exactly as this one does."""
        self._complete_step()
        other = copy.copy(self)
        other.model = copy.deepcopy(self.model)
        objective, test = self.objective, self.test_objective
        other.objective = Objective(
            other.model,
            objective.X,
            objective.y,
            loss=self.loss,
            label_smoothing=self.label_smoothing,
        )
        other.objective.tie()
        other.test_objective = Objective(other.model, test.X, test.y, loss=self.loss)
        other._settings = dict(self._settings)
        other._optimizer = copy.copy(self._optimizer)
        other._sampler = Sampler(objective.n, self.seed)
        other._once = None
        other._watch = DivergenceWatch(self._watch.best_constant)
        other.history = History(tuple(self.history))
        other.probes = {n: PROBES[n](other, n) for n in self.measures}
        other.load_state_dict(self.state_dict())
        return other

    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, and its history; a deep copy."""
        self._complete_step()
        return {"history": self.history.copy()} | copy.deepcopy(
            {
                "of": self._of(),
                "model": self.model.state_dict(),
                "optimizer": vars(self._optimizer),
                "settings": self._settings,
                "sampler": self._sampler.state_dict(),
                "probes": {name: probe.state_dict() for name, probe in self.probes.items()},
                "measurements": self._measurements,
                "measured": self._measured,
                "watch": vars(self._watch),
                "diverged": self.diverged,
                "interventions": self.interventions,
                "drag": self._drag,
            }
        )

    def _of(self) -> dict[str, Any]:
        """What a run with this state trains on and for, apart from what its state holds."""
        if self._data_checksum is None:
            self._data_checksum = data_checksum(self.dataset)
        loss = self.loss if isinstance(self.loss, str) else type(self.loss).__name__
        names = ("optimizer", "nesterov", "label_smoothing", "sam_radius", "mixup")
        return {
            "data": self._data_checksum,
            "loss": getattr(self.loss, "__qualname__", loss),
        } | {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state; ValueError where it is not one of a run like this."""
        check_state(self.state_dict(), state)
        history = {name: list(column) for name, column in state["history"].items()}
        state = copy.deepcopy({name: value for name, value in state.items() if name != "history"})
        self.model.load_state_dict(state["model"])
        self._settings = state["settings"]
        vars(self._optimizer).update(state["optimizer"])
        self._sampler.load_state_dict(state["sampler"])
        self._measurements, self._measured = state["measurements"], state["measured"]
        for name, probe in self.probes.items():
            probe.load_state_dict(state["probes"][name])
        vars(self._watch).update(state["watch"])
        self.diverged, self.interventions = state["diverged"], state["interventions"]
        self.history._columns, self._drag = history, state["drag"]
