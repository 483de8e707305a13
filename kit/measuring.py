"""What a watched run has in common, whoever takes its steps: rows, measures and the check on them.

`kit.training.Training` takes the steps itself; `kit.recorder.Recorder` looks at somebody's own
loop. Both keep the same history, and row k of it is always taken at the parameters after k steps.

>>> MeasuredRun.columns(())[:2], len(SCORES)
(('step', 'loss'), 8)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from kit.checks import check_one_of
from kit.divergence import Divergence, DivergenceWatch, active_units
from kit.evaluation import evaluate_outputs
from kit.history import History, Intervention
from kit.objective import Objective
from kit.points import Point
from kit.probes import PROBES, Probe

SCORES = (
    "train_loss",
    "test_loss",
    "loss_gap",
    "loss_gap_se",
    "train_accuracy",
    "test_accuracy",
    "error_gap",
    "error_gap_se",
)


def check_measures(measures: Sequence[str]) -> tuple[str, ...]:
    """Names of probes, as a tuple; TypeError or ValueError naming `measures` for others."""
    if isinstance(measures, str) or not isinstance(measures, Sequence):
        raise TypeError(f"measures: got {measures!r}; takes a sequence of names")
    for name in measures:
        check_one_of("measures", name, PROBES)
    return tuple(measures)


class MeasuredRun:
    """A model along its training, with a row of the history for each step.

    A subclass sets the attributes below, then calls `_begin`; it says what the settings of the
    next step are (`threshold`, `_settings_row`) and calls `_new_row` after each step.
    """

    objective: Objective
    test_objective: Objective | None
    loss: str | Callable
    label_smoothing: float
    scores: bool
    every: int
    batch_size: int | None

    def _begin(self, measures: tuple[str, ...]) -> None:
        """An empty history and fresh probes."""
        named = self.objective.named_loss
        self._watch = DivergenceWatch(None if named is None else named.best_constant())
        self.diverged: Divergence | None = None
        self.interventions: list[Intervention] = []
        self.measures = measures
        self.probes: dict[str, Probe] = {n: PROBES[n](self, n) for n in measures}
        self.history = History(self.columns(self.probes.values()))
        self._once: tuple[Point, dict[str, Any]] | None = None
        self._measurements = 0
        self._measured = -1  # the step last measured
        self._active: list[int] | None = None  # units a hidden layer, there

    @staticmethod
    def columns(probes: Sequence[Probe]) -> tuple[str, ...]:
        """The columns of a history with these probes."""
        settings = ("lr", "batch_size", "threshold")
        measured = [column for probe in probes for column in probe.columns]
        return ("step", "loss", *SCORES, "active_units", *settings, *measured)

    @property
    def steps(self) -> int:
        """Steps taken so far."""
        return self.history.rows - 1

    # What the settings of the next step are.

    def threshold(self) -> tuple[float, str]:
        """The stability threshold of the present settings, and what it is; NaN with the reason."""
        raise NotImplementedError

    def preconditioner(self) -> Tensor | None:
        """Adam's P = (1 - beta_1^t) (sqrt(v / (1 - beta_2^t)) + eps), (P,); None without one."""
        raise NotImplementedError

    def _settings_row(self) -> dict[str, float]:
        raise NotImplementedError

    def _loss_is_at_hand(self) -> bool:
        """Whether every row has its loss, since each step computes it anyway."""
        raise NotImplementedError

    def _intervene(self, name: str, old: Any, new: Any) -> None:
        """Changes of one setting at one step count as one, from the first value to the last."""
        for index, change in enumerate(self.interventions):
            if change.step == self.steps and change.name == name:
                old = change.old
                del self.interventions[index]
                break
        if old != new:
            self.interventions.append(Intervention(self.steps, name, old, new))

    # Measuring.

    def _new_row(self) -> Iterator[None]:
        """The row of the present parameters, and after it one measurement at a time."""
        step = self.history.rows
        row: dict[str, float] = {"step": float(step), **self._settings_row()}
        due = step % self.every == 0
        if due or self._loss_is_at_hand():
            with self.objective.held():
                row["loss"] = self.objective.value()
                if due and math.isfinite(row["loss"]):
                    row |= self._scores_row()
        elif not bool(torch.isfinite(self.objective.flat_parameters()).all()):
            row["loss"] = math.nan
        self.history.append(row)
        if due and math.isfinite(row["loss"]):
            yield from self._measuring()
        if "loss" in row:
            self._check_divergence(row["loss"])

    def _scores_row(self) -> dict[str, float]:
        row = self.evaluate() if self.scores else {}
        self._active = self.active_units()
        row["active_units"] = math.nan if self._active is None else float(sum(self._active))
        return row

    def _measuring(self) -> Iterator[None]:
        self._measured = self.steps
        for probe in self.probes.values():
            if self._measurements % probe.stride == 0:
                yield
                with self.objective.held():
                    self.history.fill_last(probe.measure(self))
        self._measurements += 1

    def once(self, name: str, function: Callable[[Point], Any]) -> Any:
        """function(point), computed once for the present parameters."""
        point = self.objective.point()
        if self._once is None or self._once[0] is not point:
            self._once = (point, {})
        if name not in self._once[1]:
            self._once[1][name] = function(point)
        return self._once[1][name]

    def evaluate(self) -> dict[str, float]:
        """Hard-label losses, accuracies, and the gaps of both with standard errors.

        Keys: train_loss, test_loss, loss_gap, loss_gap_se, train_accuracy, test_accuracy,
        error_gap, error_gap_se (`kit.evaluation`). All NaN where there is no test data.
        """
        if self.test_objective is None:
            return dict.fromkeys(SCORES, math.nan)
        return self.once("scores", self._scores).copy()

    def _scores(self, point: Point) -> dict[str, float]:
        # Without smoothing the hard-label costs are those of the objective, already known.
        known = None if self.label_smoothing else point.losses()
        return evaluate_outputs(
            point.outputs,
            self.objective.y,
            self.test_objective.outputs_only(),
            self.test_objective.y,
            self.loss,
            train_costs=known,
        )

    def active_units(self) -> list[int] | None:
        """Hidden units a layer that some training sample activates; None where not defined."""
        return active_units(self.objective.point())

    def _check_divergence(self, loss: float) -> None:
        active = self._active if self._measured == self.steps else None
        kind = self._watch.check(self.steps, loss, active)
        if kind is None:
            return
        known = [v for v in self.history.get("sharpness", []) if math.isfinite(v)]
        self.diverged = Divergence(
            kind,
            self.steps,
            loss,
            known[-1] if known else math.nan,
            self.history["threshold"][-1],
            self._watch.reason,
        )
