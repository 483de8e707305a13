"""The controls beside the picture: ipywidgets that put what they are set to into a mailbox.

A callback may run on another thread (JupyterLab's subshells), so it does one thing only: it
leaves the newest value. Everything else happens in the live loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets

from kit.live.session import WATCHING, Session
from kit.live.text import decades
from kit.load import dataset_names
from kit.models import ACTIVATIONS
from kit.presets import PRESETS

Put = Callable[[str, Any], None]


@dataclass(frozen=True)
class Text:
    """A control's label with its symbol, its full name for screen readers, and its tooltip."""

    label: str
    name: str
    tip: str


TEXTS: dict[str, Text] = {
    "preset": Text("start from", "Start from a preset", "A run that is known to show something"),
    "run": Text("Run", "Run or pause", "Train and measure, until you pause"),
    "step": Text("Step", "One step", "Take a single training step"),
    "reset": Text("Reset", "Reset", "Back to step 0, with the settings as they are now"),
    "fork": Text(
        "Fork", "Fork", "Keep the run so far as a faint line; go on from here, or Reset to compare"
    ),
    "repair": Text("Repair", "Repair the run", "Go back to before the change that broke the run"),
    "lr": Text("learning rate η", "learning rate eta", "Length of a step; the threshold is 2/η"),
    "batch_size": Text(
        "batch size b", "batch size b, in samples", "Samples a step; full: all, no noise"
    ),
    "momentum": Text("momentum β", "momentum beta", "Share of the last step that is kept"),
    "rescale": Text(
        "rescaling α",
        "rescaling factor alpha",
        "First layer times α, last layer times 1/α, now: the same function at other parameters",
    ),
    "dataset": Text("data", "data set", "What is learned; a new run begins"),
    "hidden": Text("widths", "hidden widths", "Units of the hidden layers, as in 64, 64"),
    "activation": Text("activation", "activation function", "s in h = s(Wx + b); a new run begins"),
    "seed": Text("seed", "random seed", "Draws the starting weights; a new run begins"),
    "loss": Text("loss", "loss function", "The cost of one sample; a new run begins"),
    "optimizer": Text("optimiser", "optimiser", "How a step follows from the gradient"),
    "weight_decay": Text("weight decay μ", "weight decay mu", "Adds μ/2 ‖θ‖² to what is descended"),
    "sam_radius": Text("SAM radius ρ", "SAM radius rho", "Takes the gradient at θ + ρ g/|g|"),
    "mixup": Text("mixup a", "mixup parameter a", "Trains on mixed pairs, weights from Beta(a, a)"),
    "every": Text(
        "measure every", "measure every so many steps", "Cadence of the measurements, in steps"
    ),
}
BAR = ("lr",)
MAIN = ("batch_size", "momentum", "rescale")
NETWORK = ("dataset", "hidden", "activation", "loss", "optimizer", "seed")
EXTRA = ("weight_decay", "sam_radius", "mixup", "every")
OPTIMIZERS = {
    "SGD": ("sgd", False),
    "SGD, Nesterov": ("sgd", True),
    "Adam": ("adam", False),
}
EVERY = (1, 3, 5, 9, 15, 25)
LEARNING_RATES = decades(1e-3, 10.0)
LARGER = (1.5, 2, 3, 4, 5, 7, 10, 20, 30, 50, 70, 100)
FACTORS = (*(1 / factor for factor in reversed(LARGER)), 1.0, *map(float, LARGER))


ECHO = 1.0  # seconds in which a page answers new options
PLACES = {"lr": LEARNING_RATES, "rescale": FACTORS, "every": EVERY}
FULL = 0  # the value that stands for the full batch


def place(name: str, value: float) -> str:
    """What a slider says at one of its places.

    >>> place("rescale", 100.0), place("rescale", 1 / 3), place("every", 3)
    ('× 100', '× 0.33', '3 steps')
    """
    if name == "rescale":
        return f"× {value:.3g}" if value >= 1 else f"× {value:.2g}"
    return f"{value:g} steps" if name == "every" else f"{value:g}"


def batch_options(n: int) -> list[tuple[str, int]]:
    """Powers of two up to the full batch, whose value is 0.

    >>> batch_options(5)
    [('1', 1), ('2', 2), ('4', 4), ('full', 0)]
    """
    powers = [2**k for k in range(n.bit_length()) if 2**k < n]
    return [*((str(b), b) for b in powers), ("full", FULL)]


class Controls:
    """The widgets, by name, in two boxes: a bar that a phone always shows, and a drawer."""

    def __init__(self, session: Session, put: Put, names: Sequence[str] | None = None) -> None:
        self._put = put
        self._quiet = False
        self._fixed: set[str] = set()
        self._clamped: dict[str, tuple[Any, float]] = {}  # what a slider was set to, and until when
        self.widgets: dict[str, widgets.Widget] = {}
        own = session.config is None
        wanted = [*BAR, *MAIN, "every"] if own else [*BAR, *MAIN, *NETWORK, *EXTRA]
        if session.watching and names:
            raise ValueError(f"controls: got {names!r}; takes none with a Recorder. {WATCHING}")
        if names is not None:
            unknown = sorted(set(names) - set(wanted))
            if unknown:
                raise ValueError(
                    f"controls: got {', '.join(map(repr, unknown))}; takes names from "
                    f"{', '.join(wanted)}"
                )
            wanted = [name for name in wanted if name in names]
        self.reason = widgets.HTML("").add_class("kit-reason")
        if session.watching:
            self.box = self._nothing(session)
            return
        buttons = self._buttons()
        made = {name: getattr(self, f"_{name}")(session) for name in wanted}
        self.widgets |= made
        for name, widget in made.items():
            widget.add_class(f"kit-c-{name}")
            widget.observe(self._observer(name), "value")
        bar = [buttons, *(made[name] for name in BAR if name in made)]
        drawer = [made[name] for name in MAIN if name in made]
        drawer.append(self.reason)
        rest = [made[name] for name in (*NETWORK, *EXTRA) if name in made]
        if not own and names is None:
            drawer.insert(0, self._preset(session))
        if rest:  # the page folds it away
            drawer.append(widgets.VBox(rest).add_class("kit-rest"))
        self.box = widgets.VBox(
            [
                widgets.VBox(bar).add_class("kit-bar"),
                widgets.VBox(drawer).add_class("kit-drawer"),
            ]
        ).add_class("kit-controls")
        self.sync(session)

    def _nothing(self, session: Session) -> widgets.Box:
        """For a run that somebody else's loop takes: why there is no control."""
        self.reason.value, self.every = WATCHING, session.training.every
        return widgets.VBox([self.reason]).add_class("kit-controls")

    def names(self) -> dict[str, dict[str, str]]:
        """Accessible name and tooltip of each control, for the page."""
        return {name: {"label": TEXTS[name].name, "tip": TEXTS[name].tip} for name in self.widgets}

    def keep_back(self, hide: Sequence[str], fix: Sequence[str], session: Session) -> list[str]:
        """Hide controls, and switch others off for good; the names that are not here."""
        for name in hide:
            if name in self.widgets:
                self.widgets[name].add_class("kit-hidden")
        self._fixed |= set(fix)
        self.sync(session)
        return [name for name in (*hide, *fix) if name not in self.widgets]

    def sync(self, session: Session, names: Collection[str] | None = None) -> None:
        """Set controls to what the session has, without an echo: those named, or all."""
        if session.watching:
            return
        training, config = session.training, session.config
        values = session.settings()
        values["batch_size"] = training.batch_size or FULL
        self.every = training.every
        if config is not None:
            values["hidden"] = ", ".join(map(str, config.hidden))
            kinds = {kind: title for title, kind in OPTIMIZERS.items()}
            values["optimizer"] = kinds[config.optimizer, config.nesterov]
        choices = {name: [(place(name, v), v) for v in takes] for name, takes in PLACES.items()}
        choices["batch_size"] = batch_options(training.objective.n)
        self._quiet = True
        try:
            for name, widget in self.widgets.items():
                if name not in values or (names is not None and name not in names):
                    continue
                if name in choices:
                    self._sync_choice(name, choices[name], values[name])
                elif widget.value != values[name]:
                    widget.value = values[name]
        finally:
            self._quiet = False
        fault = session.rescaling_fault
        reasons = []
        if "rescale" in self.widgets:
            self.widgets["rescale"].disabled = fault is not None
            if fault is not None:
                reasons.append(f"Rescaling is off: {fault}.")
        if "momentum" in self.widgets:
            self.widgets["momentum"].disabled = training.optimizer == "adam"
            if training.optimizer == "adam":
                reasons.append("Adam has its own momentum.")
        for name in self._fixed & self.widgets.keys():
            self.widgets[name].disabled = True
        text = " ".join(reasons)
        if self.reason.value != text:
            self.reason.value = text
        self.sync_buttons(session)

    def sync_buttons(self, session: Session) -> None:
        """Run or Pause, and Repair where something broke."""
        run, broken = self.widgets["run"], session.training.diverged is not None
        run.description = "Pause" if session.running else "Run"
        run.disabled = broken or "run" in self._fixed
        (run.add_class if session.running else run.remove_class)("kit-on")
        repair = self.widgets["repair"]
        repair.layout.display = None if broken else "none"
        if broken:
            repair.description = session.repair_label

    def _sync_choice(self, name: str, options: list[tuple[str, Any]], value: Any) -> None:
        """A slider over choices, with the present value among them, in order of size."""
        widget = self.widgets.get(name)
        if widget is None:
            return
        if value not in dict(options).values():
            full = [option for option in options if option[1] == FULL]
            rest = [option for option in options if option[1] != FULL]
            rest.append((place(name, value), value))
            options = sorted(rest, key=lambda option: option[1]) + full
        if [tuple(option) for option in widget.options] != options:
            widget.options = options
            self._clamped[name] = value, time.monotonic() + ECHO
        if widget.value != value:
            widget.value = value

    def _observer(self, name: str):
        def observe(change):
            if self._quiet:
                return
            # Given fewer options, a page clamps its slider and sends back the place that it had.
            value, until = self._clamped.get(name, (None, 0.0))
            widget = self.widgets[name]
            if time.monotonic() < until and change["new"] == widget.options[-1][1] != value:
                self._quiet = True
                widget.value = value
                self._quiet = False
            else:
                self._put(name, change["new"])

        return observe

    def _buttons(self) -> widgets.Widget:
        for name in ("run", "step", "reset", "fork", "repair"):
            text = TEXTS[name]
            button = widgets.Button(description=text.label, tooltip=text.tip)
            button.add_class(f"kit-c-{name}")
            button.on_click(self._clicker("toggle" if name == "run" else name))
            self.widgets[name] = button
        return widgets.Box(
            [self.widgets[name] for name in ("run", "repair", "step", "reset", "fork")]
        ).add_class("kit-buttons")

    def _clicker(self, name: str):
        return lambda _button: self._put(name, None)

    def _lr(self, session):
        return self._slider("lr", LEARNING_RATES, session.training.lr)

    def _batch_size(self, session):
        return widgets.SelectionSlider(
            options=batch_options(session.training.objective.n),
            value=FULL,
            description=TEXTS["batch_size"].label,
        )

    def _momentum(self, session):
        return widgets.FloatSlider(
            value=session.training.momentum,
            min=0,
            max=max(0.99, session.training.momentum),
            step=0.01,
            description=TEXTS["momentum"].label,
        )

    def _rescale(self, session):
        return self._slider("rescale", FACTORS, 1.0)

    def _every(self, session):
        return self._slider("every", EVERY, session.training.every)

    def _slider(self, name, values, value):
        """A slider over exact values: a browser would round those of a logarithmic one."""
        options = [(place(name, v), v) for v in sorted({*values, value})]
        return widgets.SelectionSlider(options=options, value=value, description=TEXTS[name].label)

    def _preset(self, session):
        start = next((k for k, p in PRESETS.items() if p.config == session.config), None)
        widget = widgets.Dropdown(
            options=[(p.title, k) for k, p in PRESETS.items()],
            value=start,
            description=TEXTS["preset"].label,
        )
        widget.add_class("kit-c-preset").add_class("kit-tall")
        widget.observe(self._observer("preset"), "value")
        self.widgets["preset"] = widget
        return widget

    def _dataset(self, session):
        return self._choice("dataset", dataset_names(), session)

    def _activation(self, session):
        return self._choice("activation", ACTIVATIONS, session)

    def _loss(self, session):
        return self._choice("loss", ("mse", "cross_entropy"), session)

    def _choice(self, name, options, session):
        return widgets.Dropdown(
            options=list(options),
            value=getattr(session.config, name),
            description=TEXTS[name].label,
        )

    def _optimizer(self, session):
        return widgets.Dropdown(options=list(OPTIMIZERS), description=TEXTS["optimizer"].label)

    def _hidden(self, session):
        return widgets.Text(
            value=", ".join(map(str, session.config.hidden)),
            continuous_update=False,
            description=TEXTS["hidden"].label,
        )

    def _seed(self, session):
        return widgets.BoundedIntText(
            value=session.config.seed, min=0, max=9999, description=TEXTS["seed"].label
        )

    def _weight_decay(self, session):
        return self._number("weight_decay", 0.1, 0.001, ".3f")

    def _sam_radius(self, session):
        return self._number("sam_radius", 0.5, 0.01, ".2f")

    def _mixup(self, session):
        return self._number("mixup", 2.0, 0.1, ".1f")

    def _number(self, name, high, step, form):
        return widgets.FloatSlider(
            value=0,
            min=0,
            max=high,
            step=step,
            readout_format=form,
            description=TEXTS[name].label,
        )
