"""Measure a training loop of one's own: one call a step, and the loop stays as it is.

>>> import torch
>>> from kit.load import load_dataset
>>> from kit.models import mlp
>>> data, model = load_dataset("chebyshev"), mlp((1, 20, 1), activation="tanh")
>>> optimizer = torch.optim.SGD(model.parameters(), lr=0.4)
>>> recorder = Recorder(model, "mse", data.X_train, data.y_train)
>>> for _ in range(5):
...     optimizer.zero_grad()
...     (0.5 * (model(data.X_train) - data.y_train).square().sum(1).mean()).backward()
...     optimizer.step()
...     broken = recorder.record(optimizer)
>>> recorder.steps, recorder.history["threshold"][-1], broken
(5, 5.0, None)
>>> sharpness = recorder.history["sharpness"]  # six of them: one of the start, one a step
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from kit.checks import check_int, check_seed
from kit.divergence import Divergence
from kit.load import Dataset
from kit.measuring import MeasuredRun, check_measures
from kit.objective import Objective
from kit.thresholds import adam_threshold, sgd_threshold

KINDS = {SGD: "sgd", Adam: "adam", AdamW: "adam"}  # by exact type: a subclass may step otherwise
ABSENT = {
    "lr": math.nan,
    "momentum": 0.0,
    "dampening": 0.0,
    "nesterov": False,
    "weight_decay": 0.0,
    "betas": None,
}  # the settings that are watched, and what stands for them where an optimiser has none
FLAGS = {"maximize": False, "decoupled_weight_decay": False}  # they decide about the threshold


class Recorder(MeasuredRun):
    """Watches a model that a loop of one's own trains, with the history of a `Training`.

    >>> import torch
    >>> model = nn.Linear(2, 3)
    >>> recorder = Recorder(model, "cross_entropy", torch.eye(2), torch.tensor([0, 2]))
    >>> recorder.history["step"], recorder.threshold()
    ([0.0], (nan, 'no optimiser has been recorded yet'))

    model: watched as it is, not copied; `record` never changes it, its mode, its gradients or
    torch's random state. loss, X (n, ...), y, `label_smoothing`: as `kit.Objective` takes them, and
    what the loop minimises on the whole training set (without penalty). `measures`: names from
    `kit.probes`, measured every `every` records, as are the loss and, where `X_test` and `y_test`
    are given, the scores; all else is NaN. "bound" needs test data; "batch_sharpness" needs
    `batch_size`, the batch size of the loop, which is otherwise unknown (NaN in the history).
    `seed`: of the random vectors that eigenvalues start from.

    Row 0 of `.history` is taken here, row k by the k-th `record(optimizer)`, all of a row at the
    same parameters. Call it right after `optimizer.step()`, before a scheduler's step: what then
    stands in `optimizer.param_groups` is what this step was taken with. As in a `Training`, the
    settings of a row are those of the step that leaves it, and a change between two records is in
    `.interventions` with the step from which on it held. A setting in which param_groups differ is
    NaN in the history, and a tuple with one value a group in `.interventions`.

    `.threshold()` knows torch's SGD and Adam (with the measure "preconditioned_sharpness") and
    says why where it is NaN. `.diverged` is as in a `Training`; after it nothing more is recorded.
    `kit.live.Explorer(recorder)` shows it. Raises ValueError or TypeError that names the argument.
    Cost: a forward pass a record that is due, and its measures: about 5 gradients for sharpness.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: str | Callable,
        X: Tensor,
        y: Tensor,
        *,
        measures: Sequence[str] = ("sharpness", "jacobian_max"),
        every: int = 1,
        seed: int = 0,
        X_test: Tensor | None = None,
        y_test: Tensor | None = None,
        batch_size: int | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        measures = check_measures(measures)
        self.every = check_int("every", every, low=1)
        self.seed = check_seed(seed)
        self.objective = Objective(model, X, y, loss=loss, label_smoothing=label_smoothing)
        self.model, self.loss, self.label_smoothing = model, loss, self.objective.label_smoothing
        self.test_objective = self._with_test_data(X_test, y_test)
        self.scores = self.test_objective is not None
        if batch_size is not None:
            batch_size = check_int("batch_size", batch_size, low=1, high=self.objective.n)
        elif "batch_sharpness" in measures:
            raise ValueError(
                "batch_size: got None; takes the batch size of the loop, since 'batch_sharpness' "
                "is among the measures"
            )
        self._batch_size = math.nan if batch_size is None else float(batch_size)
        # As in a Training: None, too, for the full batch.
        self.batch_size = None if batch_size == self.objective.n else batch_size
        self.dataset = self._dataset() if "bound" in measures else None
        self.optimizer = "unknown"
        self._optimizer: Optimizer | None = None
        self._settings: dict[str, Any] = dict(ABSENT)
        self._flags: dict[str, Any] = dict(FLAGS)
        self._listener: Callable[[], object] = lambda: None
        self._begin(measures)
        self._measure_row()

    def record(self, optimizer: Optimizer) -> Divergence | None:
        """A row for the step that `optimizer` has just taken; returns `.diverged`.

        Raises TypeError for anything but a torch optimiser, ValueError for one of other
        parameters, and for a model that has become random (dropout in training mode); nothing is
        recorded then.
        """
        if self.diverged is not None:
            return self.diverged
        self._check_optimizer(optimizer)
        first, self._optimizer = self._optimizer is None, optimizer
        self._read_settings(first)
        self._measure_row()
        self._listener()
        return self.diverged

    def follow(self, listener: Callable[[], object] | None) -> None:
        """Call `listener()` after each row, in place of an earlier listener; None: nobody."""
        if listener is not None and not callable(listener):
            raise TypeError(f"listener: got {listener!r}; takes a function without arguments")
        self._listener = listener or (lambda: None)

    @property
    def data_name(self) -> str:
        """What a page and a saved run call the data."""
        return "own data"

    @property
    def lr(self) -> float:
        """The learning rate of the last record; NaN before the first, or where groups differ."""
        return self._number("lr")

    @property
    def momentum(self) -> float:
        """The momentum of the last record, 0 for an optimiser without; NaN where groups differ."""
        return self._number("momentum")

    @property
    def weight_decay(self) -> float:
        """The weight decay of the last record; NaN where groups differ."""
        return self._number("weight_decay")

    def threshold(self) -> tuple[float, str]:
        """The stability threshold of the last record's settings, and what it is; NaN with why."""
        if self._optimizer is None:
            return math.nan, "no optimiser has been recorded yet"
        kind = type(self._optimizer).__name__
        if self.optimizer not in KINDS.values():
            return math.nan, f"no threshold is known for {kind}"
        both = self._settings | self._flags
        differ = [name for name in both if _differ(both[name])]
        if differ:
            return math.nan, f"no single threshold: param_groups differ in {', '.join(differ)}"
        if both["maximize"]:
            return math.nan, "no threshold is known with maximize=True"
        if both["decoupled_weight_decay"] and self.weight_decay:
            return math.nan, f"no threshold is known for the decoupled weight decay of {kind}"
        try:
            if self.optimizer == "adam":
                return adam_threshold(self.lr, weight_decay=self.weight_decay, betas=both["betas"])
            names = ("momentum", "dampening", "nesterov", "weight_decay")
            edge, name = sgd_threshold(self.lr, **{name: both[name] for name in names})
        except ValueError as error:
            return math.nan, f"no threshold: {error}"
        return edge, name if self.batch_size is None else f"full-batch threshold {name}"

    def preconditioner(self) -> Tensor | None:
        """Adam's P = (1 - beta_1^t) (sqrt(s / (1 - beta_2^t)) + eps), (P,), from its own state.

        Infinite for parameters that it has not moved: their directions do not count. None for
        other optimisers, and where weight decay is decoupled or differs between groups.
        """
        decay, decoupled = self._settings["weight_decay"], self._flags["decoupled_weight_decay"]
        if self.optimizer != "adam" or _differ(decay) or (decoupled and decay):
            return None
        groups = {p: group for group in self._optimizer.param_groups for p in group["params"]}
        blocks = [
            self._preconditioner_of(p, groups[p]) if self._optimizer.state.get(p) else None
            for p in self.objective.tensors()
        ]
        if all(block is None for block in blocks):
            return None
        still = [torch.full_like(p.detach(), math.inf) for p in self.objective.tensors()]
        pairs = zip(blocks, still, strict=True)
        return torch.cat([(b if a is None else a).flatten() for a, b in pairs])

    def _preconditioner_of(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        state = self._optimizer.state[p]
        (b1, b2), t = map(float, group["betas"]), float(state["step"])
        square = state["max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"].detach()
        return (1 - b1**t) * ((square / (1 - b2**t)).sqrt() + group["eps"])

    # Settings.

    def _read_settings(self, first: bool) -> None:
        """Those of this step, which left the row before: into it, and what changed is noted."""
        groups = self._optimizer.param_groups
        kind = KINDS.get(type(self._optimizer), type(self._optimizer).__name__)
        self._flags = {name: _common(groups, name, value) for name, value in FLAGS.items()}
        found = {name: _common(groups, name, value) for name, value in ABSENT.items()}
        old, new = {"optimizer": self.optimizer} | self._settings, {"optimizer": kind} | found
        self.optimizer, self._settings = kind, found
        if not first:
            for name in new:
                self._intervene(name, _or_none(old[name]), _or_none(new[name]))
        self.history.fill_last(self._settings_row())

    def _number(self, name: str) -> float:
        value = self._settings[name]
        return math.nan if _differ(value) else value

    def _settings_row(self) -> dict[str, float]:
        return {"lr": self.lr, "batch_size": self._batch_size, "threshold": self.threshold()[0]}

    def _check_optimizer(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"optimizer: got {type(optimizer).__name__}; takes the torch.optim.Optimizer "
                "that has just taken a step"
            )
        own = {id(p) for p in self.objective.tensors()}
        theirs = [p for group in optimizer.param_groups for p in group["params"]]
        foreign = sum(id(p) not in own for p in theirs)
        if foreign:
            raise ValueError(
                f"optimizer: {foreign} of its {len(theirs)} parameters are not the model's; takes "
                "one made from model.parameters() of the model that is recorded"
            )

    # Measuring.

    def _measure_row(self) -> None:
        for _ in self._new_row():
            pass

    def _loss_is_at_hand(self) -> bool:
        return False  # the loop computes its own, on its batch and before its step

    def _with_test_data(self, X_test: object, y_test: object) -> Objective | None:
        if X_test is None and y_test is None:
            return None
        for name, value in (("X_test", X_test), ("y_test", y_test)):
            if value is None:
                raise ValueError(f"{name}: got None; takes both X_test and y_test, or neither")
        try:
            test = Objective(self.model, X_test, y_test, loss=self.loss)
        except (TypeError, ValueError) as error:
            raise type(error)(f"X_test, y_test: {error}") from error
        train, test_y = self.objective.y, test.y
        if (test_y.is_floating_point(), test_y.ndim) != (train.is_floating_point(), train.ndim):
            raise ValueError(
                f"y_test: got {test_y.dtype} of shape {tuple(test_y.shape)}; takes targets like y, "
                f"{train.dtype} of shape {tuple(train.shape)}"
            )
        return test

    def _dataset(self) -> Dataset:
        """The data as a `Dataset`, which bounds are computed from."""
        if self.test_objective is None:
            raise ValueError("X_test: got None; takes test data, since 'bound' is a measure")
        train, test = self.objective, self.test_objective
        task = "regression" if train.y.is_floating_point() else "classification"
        try:
            return Dataset.from_arrays(
                train.X, train.y, test.X, test.y, task=task, name=self.data_name
            )
        except (TypeError, ValueError) as error:
            raise type(error)(f"measures: 'bound' needs data as a kit.Dataset: {error}") from error


class Groups(tuple):
    """One value a param_group, where they differ."""


def _common(groups: list[dict[str, Any]], name: str, absent: Any) -> Any:
    """The setting that all groups share, in plain numbers; else `Groups`."""
    values = [_plain(group.get(name, absent)) for group in groups]
    return values[0] if all(value == values[0] for value in values) else Groups(values)


def _differ(value: Any) -> bool:
    return isinstance(value, Groups)


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return tuple(_plain(item) for item in value)
    return value if isinstance(value, bool) or value is None else float(value)


def _or_none(value: Any) -> Any:
    """NaN, for an optimiser without that setting, as None: NaN differs from itself."""
    return None if isinstance(value, float) and math.isnan(value) else value
