"""What a reader can do to a run, without a page: a state machine that a page shows.

>>> from kit.presets import PRESETS
>>> session = Session(PRESETS["chebyshev"].config)
>>> session.do("step")
>>> session.do("lr", 0.2)
>>> session.training.steps, session.training.interventions[0].new
(1, 0.2)

Nothing here imports a widget. The live loop calls `do` with what the controls were set to, and
`work` while the run goes on; a page reads `training`, `ghosts`, `status` and `words`.
"""

from __future__ import annotations

import gc
import math
import time
from dataclasses import replace
from typing import Any

import torch

from kit.curvature import eigenvalues
from kit.divergence import Divergence
from kit.live.allocator import keep
from kit.live.replay import MOST, Change, Plan
from kit.presets import RunConfig
from kit.recorder import Recorder
from kit.rescaling import symmetry_fault
from kit.symmetry import find_symmetry
from kit.training import Intervention, Training

MEASURES = (
    "sharpness",
    "invariant_sharpness",
    "jacobian_max",
    "jacobian_mean",
    "batch_sharpness",
    "bound",
    "eigenvalue_2",
    "swing_max",
)
IN_A_ROW = 30  # steps between two changes that Repair takes back together
GHOSTS = 3  # earlier runs that stay in the picture
STEP_SECONDS = 1 / 30  # with measuring, a step should not take longer
LIVE_SETTINGS = ("lr", "batch_size", "momentum", "weight_decay", "every")
NAMES = {
    "lr": "the learning rate",
    "batch_size": "the batch size",
    "momentum": "the momentum",
    "weight_decay": "the weight decay",
    "every": "the cadence",
}
WATCHING = "Your own loop trains this network; this page only watches."
COMMANDS = ("run", "pause", "step", "reset", "fork", "repair")


class Session:
    """One run and what its reader did to it.

    >>> from kit.presets import PRESETS
    >>> session = Session(PRESETS["chebyshev"].config.__class__("digits", n_train=100))
    >>> session.do("rescale", 10.0)
    >>> session.rescaled["sharpness factor"] > 10, session.rescaled["output change"] < 1e-5
    (True, True)

    Made from a `RunConfig`, every part of which the reader can change, or from a `Training` of
    one's own, whose data and network stay, or from a `Recorder`, which nothing here can change:
    `watching` is then True. `auto_cadence`: measure less often where measuring would slow the steps
    below 30 a second; the choice is recorded as an intervention.
    """

    def __init__(self, source: RunConfig | Training | Recorder, *, auto_cadence: bool = True):
        if not isinstance(source, (RunConfig, Training, Recorder)):
            got = type(source).__name__
            raise TypeError(f"training: got {got}; takes a kit.Training or a kit.Recorder")
        self.config = source if isinstance(source, RunConfig) else None
        self._own = None if self.config is not None else source
        self.watching = isinstance(source, Recorder)
        self._own_start = source.state_dict() if isinstance(source, Training) else None
        self.auto_cadence = auto_cadence
        self.running = False
        self.version = 0  # grows with every change that a picture must show
        self.ghosts: list[dict[str, list[float]]] = []
        self.note = ""  # on the link that the run was made from
        self._begin()

    def _begin(self) -> None:
        """A fresh run at step 0 with the present settings."""
        if self.config is not None:
            measures = MEASURES
            if self.config.optimizer == "adam":
                measures += ("preconditioned_sharpness",)
            self.training = self.config.build(measures=measures)
        else:
            self.training = self._own
        self.forked_at = 0
        self.alpha = 1.0
        self.rescaled: dict[str, float] | None = None
        self._unscaled: tuple | None = None  # as it was before the rescaling at this step
        self.status = WATCHING if self.watching else "Ready. Press Run."
        self._safe: tuple[dict, float, str] | None = None
        self._changed = 0  # step of the latest change
        self._seen = self.training.steps
        self.plan: Plan | None = None  # of a link, while it is followed
        self._due: list[Change] = []  # what of it is still to be changed
        self._until = MOST  # the step where a run that nobody stops is paused
        self._cost = self._cost_step = self._cost_measure = 0.0
        self.epoch = getattr(self, "epoch", 0) + 1  # a new run: pictures start afresh
        gc.collect()  # the run before is a knot of references that would stay for long

    # What the reader does.

    def do(self, name: str, value: Any = None) -> None:
        """Carry out one command or setting; a bad value becomes the status, nothing is lost."""
        self.version += 1
        if name not in ("run", "pause"):
            self.plan = None
        try:
            if self.watching and name != "pause":
                raise ValueError(f"{name}: {WATCHING}")
            if name in COMMANDS:
                getattr(self, f"_{name}")(value)
            elif name in LIVE_SETTINGS:
                self._set(name, value)
            elif name == "rescale":
                self._rescale(value)
            elif self.config is not None and name == "config":
                self._replace(value)
            elif self.config is not None and hasattr(self.config, name):
                if getattr(self.config, name) != value:
                    self._replace(self._fitted(name, value))
            else:
                raise ValueError(f"{name}: is not something that this run can change")
        except (ValueError, TypeError) as error:
            self.status = f"Not done: {error}"

    def look(self) -> None:
        """Notice the steps that somebody else's loop has taken, and whether it broke."""
        if self.training.steps != self._seen:
            self._seen = self.training.steps
            self.version += 1
            self.status = f"{self._seen} steps of your own loop recorded."
            self._notice_divergence()

    def marks(self) -> list[Intervention]:
        """The reader's changes as the picture marks them: a drag over several steps is one."""
        marks: list[Intervention] = []
        for change in self.training.interventions:
            if change.name == "every":
                continue
            before = marks[-1] if marks else None
            in_a_row = before is not None and change.step - before.step <= IN_A_ROW
            if in_a_row and before.name == change.name:
                new = change.new
                if change.name.startswith("rescale"):
                    new = tuple(a * b for a, b in zip(before.new, new, strict=True))
                marks[-1] = replace(before, new=new)
            else:
                marks.append(change)
        return marks

    def settings(self) -> dict[str, Any]:
        """Everything that a control can set, as it is now."""
        values = {name: getattr(self.training, name) for name in LIVE_SETTINGS}
        return ({} if self.config is None else vars(self.config)) | values | {"rescale": self.alpha}

    def _fitted(self, name: str, value: Any) -> RunConfig:
        """The configuration with one part changed, and what does not go with it put right."""
        config = replace(self.config, **{name: value})
        if name == "dataset":
            config = replace(config, options={}, n_train=1000 if value in BIG else None)
            config = replace(config, loss="mse", batch_size=None)
        if config.optimizer == "adam":
            config = replace(config, momentum=0.0, nesterov=False)
        if config.momentum == 0:
            config = replace(config, nesterov=False)
        if config.loss != "cross_entropy":
            config = replace(config, label_smoothing=0.0)
        return config

    def _replace(self, config: RunConfig) -> None:
        """Another configuration and its fresh run; the old ones stay if it cannot be built."""
        before, self.config = self.config, config
        try:
            self._begin()
        except (ValueError, TypeError):
            self.config = before
            raise
        self.ghosts = []
        self.running = False
        self.status = "A new run. Press Run."

    def replay(self, plan: Plan) -> None:
        """Begin the run of a link, and go on to where that had come; a ValueError loses nothing."""
        self._replace(plan.start)
        self.version += 1
        self.plan, self._due, self.running = plan, list(plan.changes), True
        self.status = f"Training as in the link, to step {plan.steps}."
        self._follow_plan(plan)

    def _follow_plan(self, plan: Plan) -> None:
        """Between two steps: what the plan changes here, and whether this is its end."""
        try:
            while self._due and self._due[0].step <= self.training.steps:
                change = self._due.pop(0)
                self._change(change.name, change.value)
        except (ValueError, TypeError) as error:
            self.running, self.plan = False, None
            self.status = f"The link asks for what cannot be done: {error}"
        if self.plan is not None and self.training.steps >= plan.steps:
            self.running, self.plan = False, None
            self.training.measure_aside()
            self.status = (
                f"As in the link: step {plan.steps}. Press Run to go on. {self.note}".strip()
            )

    def _change(self, name: str, value: Any) -> None:
        if name == "rescale":
            self.training.rescale(value)
            self.alpha *= value[0]
        else:
            setattr(self.training, name, value)
            self.config = replace(self.config, **{name: getattr(self.training, name)})

    def _run(self, _: Any) -> None:
        if self.training.diverged is None:
            self.running = True
            self.status = "Running."
            self._until = (self.training.steps // MOST + 1) * MOST

    def _pause(self, reason: Any) -> None:
        if self.running:
            self.running = False
            self.training.measure_aside()
            self.status = reason if isinstance(reason, str) else "Paused."

    def _step(self, _: Any) -> None:
        self.running = False
        if self.training.diverged is None:
            self.training.step()
            self.training.measure_aside()
            self.status = f"One step, to step {self.training.steps}."
        self._notice_divergence()

    def _reset(self, _: Any) -> None:
        self.running = False
        if self.config is None:
            settings = {name: getattr(self.training, name) for name in LIVE_SETTINGS}
            self._own.load_state_dict(self._own_start)
            self._begin()
            for name, value in settings.items():
                setattr(self.training, name, value)
        else:
            self._begin()
        self.status = "Back at step 0, with the present settings."

    def _fork(self, _: Any) -> None:
        """Keep the run so far as a faint line, and go on from here."""
        self.ghosts = [*self.ghosts, self.training.history.copy()][-GHOSTS:]
        self.training = self.training.fork()
        self.forked_at = self.training.steps
        self.alpha = 1.0
        self._safe = self._unscaled = None
        self.status = (
            f"Forked at step {self.training.steps}: the run so far stays as a faint line. "
            "Change something and go on, or Reset to compare from the start."
        )

    def _set(self, name: str, value: Any) -> None:
        if name == "batch_size" and value == 0:  # a slider's word for the full batch
            value = None
        if value == getattr(self.training, name):
            return
        self._remember(f"{NAMES[name]} was changed")
        setattr(self.training, name, value)
        if self.config is not None:
            self.config = replace(self.config, **{name: getattr(self.training, name)})

    def _remember(self, change: str) -> None:
        """Keep the state before a change, for Repair; of changes in a row, before the first."""
        if self.training.diverged is not None:
            return
        if self._safe is None or self.training.steps - self._changed > IN_A_ROW:
            state = self.training.state_dict() | {"step": self.training.steps}
            self._safe = (state, self.alpha, change)
        elif self._safe[2] != change:
            self._safe = (*self._safe[:2], "the last changes")
        self._changed = self.training.steps

    @property
    def rescaling_fault(self) -> str | None:
        """Why the rescaling slider is off, or None."""
        return symmetry_fault(self.training.model)

    def _rescale(self, alpha: float) -> None:
        """First layer times alpha, last times 1/alpha, relative to the last Reset or Fork."""
        fault = self.rescaling_fault
        if fault is not None:
            raise ValueError(f"rescaling: {fault}")
        if self.training.diverged is not None or alpha == self.alpha:
            return
        training, factor = self.training, alpha / self.alpha
        self._remember("the layers were rescaled")
        if self._unscaled is None or self._unscaled[0] != training.steps:
            training.measure_aside()
            self._unscaled = training.steps, self.alpha, *self._function_and_sharpness()
        _, start, f, before, invariant = self._unscaled
        layers = len(find_symmetry(training.model).layers)
        training.rescale((factor, *(1.0,) * (layers - 2), 1 / factor))
        outputs, after, again = self._function_and_sharpness()
        change = (outputs - f).abs().max() / f.abs().max().clamp(min=1e-30)
        self.alpha = alpha
        self.rescaled = {
            "alpha": alpha,
            "output change": float(change),
            "sharpness factor": after / before if before else math.nan,
            "invariant change": abs(again / invariant - 1) if invariant else math.nan,
        }
        self.status = (
            f"Rescaled from α = {start:.3g} to {alpha:.3g}: sharpness times "
            f"{self.rescaled['sharpness factor']:.3g}, outputs changed by {float(change):.0e} "
            "(rounding)."
        )

    def _function_and_sharpness(self) -> tuple[Any, float, float]:
        """Outputs, sharpness and invariant sharpness at the present parameters."""
        objective = self.training.objective
        invariant = float(eigenvalues(objective, operator="layer", tol=1e-4).values[0])
        return objective.outputs().clone(), self._last("sharpness"), invariant

    def _repair(self, _: Any) -> None:
        """Back to before the change that broke the run; without one, start with a smaller step."""
        if self.training.diverged is None:
            return
        if self._safe is not None:
            state, self.alpha, _change = self._safe
            self._unscaled = None
            self.training.load_state_dict(state)
            if self.config is not None:
                live = {name: getattr(self.training, name) for name in LIVE_SETTINGS}
                self.config = replace(self.config, **live)
            self._safe = None
            self.rescaled = None
            self.status = f"Repaired: back at step {self.training.steps}, before the change."
            return
        start = next(v for v in self.training.history["sharpness"] if math.isfinite(v))
        lr = float(f"{1 / max(start, 1e-6):.1g}")
        if self.config is not None:
            self.config = replace(self.config, lr=lr)
        self._reset(None)
        if self.config is None:
            self.training.lr = lr
        self.status = f"Repaired: back at step 0 with η = {lr:g}, below 2/λ."

    # Running.

    def work(self, seconds: float) -> None:
        """Train and measure for about this long, at least a part of a step."""
        end = time.perf_counter() + seconds
        self.version += 1
        while self.running:
            self._part()
            if time.perf_counter() > end:
                break

    def _part(self) -> None:
        """A part of a step: a live page looks at its mail more often than between two steps."""
        start = time.perf_counter()
        if self.plan is not None and self.training.between_steps:
            self._follow_plan(self.plan)
            if not self.running:
                return
        complete = self.training.step_part()
        self._cost += time.perf_counter() - start
        if complete:
            self._note_cost(self._cost, self.training.steps % self.training.every == 0)
            self._cost = 0.0
            self._notice_divergence()
            if self.running and self.plan is None:
                self._mind()

    def _mind(self) -> None:
        """Pause a run that nobody stops, where a link ends; measure a slow one less often."""
        if self.training.steps >= self._until:
            at = f"Paused at step {self._until}"
            self._pause(f"{at}: a link holds a run of {MOST} steps at most. Press Run to go on.")
        elif self.auto_cadence:
            self._adapt_cadence()

    def _note_cost(self, seconds: float, measured: bool) -> None:
        if measured:
            extra = max(seconds - self._cost_step, 0.0)
            self._cost_measure += 0.2 * (extra - self._cost_measure)
        else:
            self._cost_step += 0.2 * (seconds - self._cost_step)

    def _adapt_cadence(self) -> None:
        """Measure every k-th step, k odd: at the edge an even k would see one phase only."""
        if self.training.steps < 30 or self.training.steps % 30:
            return
        room = max(STEP_SECONDS - self._cost_step, 0.2 * STEP_SECONDS)
        wanted = 2 * round((self._cost_measure / room - 1) / 2) + 1
        k = min(wanted, 2 * self.training.every + 1, 25)
        if wanted > 1.5 * self.training.every:
            self.training.every = k
            if self.config is not None:
                self.config = replace(self.config, every=k)

    def _notice_divergence(self) -> None:
        broken = self.training.diverged
        if broken is not None:
            self.running = False
            self.status = explain(broken, self)

    def _last(self, column: str) -> float:
        values = self.training.history.get(column, [])
        return next((v for v in reversed(values) if math.isfinite(v)), math.nan)

    @property
    def repair_label(self) -> str:
        """What Repair would do now."""
        if self._safe is None:
            return "Repair: start again with a smaller η"
        state, _, change = self._safe
        return f"Repair: back to step {state['step']}, before {change}"


BIG = ("mnist1d", "mnist5k", "fashion")


def explain(broken: Divergence, session: Session) -> str:
    """What happened, where, and the threshold that was crossed."""
    training = session.training
    what = {"blow-up": "Blow-up", "collapse": "Collapse"}[broken.kind]
    sentence = f"{what} at step {broken.step}: {broken.reason}."
    since = training.interventions[-1].step if training.interventions else 0
    edge = broken.threshold
    measured = [
        (v, t)
        for t, v in enumerate(training.history.get("sharpness", []))
        if t >= since and math.isfinite(v)
    ]
    above = next(((v, t) for v, t in measured if v > edge), None)
    if above is not None:
        sentence += (
            f" Sharpness was λ = {above[0]:.3g} at step {above[1]}, "
            f"above the threshold {edge:.3g} at η = {training.lr:.3g}."
        )
    elif measured:
        lam, when = max(measured)
        sentence += f" Sharpness was at most λ = {lam:.3g}, at step {when}; η = {training.lr:.3g}."
    if broken.kind == "collapse":
        sentence += " The network ignores its input now, and no gradient will bring it back."
    return sentence


def ready_process() -> None:
    """Set this process up for a live page: one core, and the memory that it works in is kept."""
    # With two threads, kernel and browser fight over the cores.
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)
    keep()
