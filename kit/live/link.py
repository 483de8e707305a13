"""Page 4: sharpness against the Jacobian norm as a path, and what breaks the link between them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from kit.curvature import eigenvalues
from kit.jacobian import jacobian_norms
from kit.live.panels import JACOBIAN, LOSS, SHARPNESS, THRESHOLD, log_ticks
from kit.live.picture import SOFT, Picture
from kit.live.question import Question
from kit.live.scene import Beat, Control, Scene
from kit.live.session import ready_process
from kit.live.text import short
from kit.load import Dataset, load_dataset
from kit.models import mlp
from kit.tangent import layer_shares
from kit.training import Training

GAUSS_NEWTON = "#F0E442"  # G, drawn with a dark edge
WIDTHS = (16, 32, 64, 128, 256, 512, 1024)
LOOK_EVERY = 100  # steps between two looks at spectrum and shares
TOP = 12  # eigenvalues of the spectrum
SCALE = 10.0  # of the inputs, in the case about them
SEEN = 120  # steps that are shown before the answer
MOVED = 0.03  # relative change that counts as one


@dataclass(frozen=True)
class Case:
    """One training run, and what it is there to show."""

    why: str
    data: str
    widths: tuple[int, ...]
    steps: int
    activation: str = "relu"
    loss: str = "mse"
    lr: float = 0.2
    smoothing: float = 0.0
    n_train: int | None = None
    every: int = 10
    options: tuple[tuple[str, Any], ...] = ()  # of the data


CASES: dict[str, Case] = {
    "edge": Case(
        "Both climb. Then sharpness stops at 2/η, and the Jacobian does not.",
        "chebyshev",
        (1, 30, 20, 1),
        5000,
        activation="tanh",
        every=20,
        options=(("degree", 4),),
    ),
    "confident": Case(
        "Cross-entropy: as the network becomes confident, diag p − pp' goes to 0, and sharpness "
        "with it.",
        "spirals",
        (2, 32, 32, 3),
        4000,
        loss="cross_entropy",
    ),
    "smoothed": Case(
        "Label smoothing keeps the network from being certain: the link is back.",
        "spirals",
        (2, 32, 32, 3),
        4000,
        loss="cross_entropy",
        smoothing=0.1,
    ),
    "linear": Case(
        "A linear model: H = mean xx' does not depend on the weights. Only J grows.",
        "digits",
        (64, 10),
        400,
        lr=0.02,
        n_train=300,
    ),
    "inputs": Case(
        "Inputs times 10, first weights divided by 10: the same function, another sharpness.",
        "spirals",
        (2, 32, 32, 3),
        1500,
        loss="cross_entropy",
        lr=0.1,
    ),
    "width": Case(
        "Only the first layer is trained. The wider it is, the less sharpness follows.",
        "digits",
        (64, 64, 10),
        400,
        loss="cross_entropy",
        lr=0.05,
        n_train=300,
    ),
}
TITLES = {
    "mse, to the edge": "edge",
    "cross-entropy, confident": "confident",
    "cross-entropy, label smoothing": "smoothed",
    "a linear model": "linear",
    "inputs times 10": "inputs",
    "first layer only": "width",
}
CHOICES = ("both go on rising", "‖J‖ rises, sharpness falls", "‖J‖ falls, sharpness rises")


class Plane(Picture):
    """Sharpness against the largest Jacobian norm, as a path."""

    def build(self, figure) -> None:
        self.ax = self.axes(
            figure, "max ‖J‖₂ (output per input)", "sharpness λ", "one path, from the open dot on"
        )
        self.ax.loglog()
        for axis in (self.ax.xaxis, self.ax.yaxis):
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(ScalarFormatter())
        (self.path,) = self.ax.plot([], [], "-", color=SHARPNESS, lw=1.4, animated=True)
        (self.start,) = self.ax.plot([], [], "o", mfc="w", mec=SHARPNESS, ms=9, animated=True)
        (self.dot,) = self.ax.plot([], [], "o", color=SHARPNESS, ms=11, animated=True)
        (self.edge,) = self.ax.plot([], [], "--", color=THRESHOLD, lw=1.2, animated=True)
        self.moving = [self.edge, self.path, self.start, self.dot]

    def update(self, scene):
        J, lam = np.array(scene.jacobian), np.array(scene.sharpness)
        self.path.set_data(J, lam)
        self.start.set_data(J[:1], lam[:1])
        self.dot.set_data(J[-1:], lam[-1:])
        box = (_below(J.min()), _above(J.max()), _below(lam.min()), _above(lam.max()))
        self.edge.set_data(box[:2], [scene.threshold] * 2)
        if box != self._drawn:
            self.ax.set_xlim(*box[:2])
            self.ax.set_ylim(*box[2:])
            self.ax.xaxis.set_major_locator(FixedLocator(log_ticks(*box[:2], 7)))
            self.ax.yaxis.set_major_locator(FixedLocator(log_ticks(*box[2:], 7)))
        return box

    def alt(self, scene) -> str:
        return (
            "Sharpness against the largest Jacobian norm, on log axes. Now: from "
            f"({short(scene.jacobian[0])}, {short(scene.sharpness[0])}) to "
            f"({short(scene.jacobian[-1])}, {short(scene.sharpness[-1])})."
        )


class Course(Picture):
    """H, G and J, step by step."""

    def build(self, figure) -> None:
        upper, lower = (0.145, 0.58, 0.815, 0.325), (0.145, 0.14, 0.815, 0.325)
        self.above = self.axes(figure, "", "λ", "sharpness λ(H), and λ(G) without R", upper)
        self.below = self.axes(figure, "step t", "‖J‖₂", "largest Jacobian norm", lower)
        self.above.tick_params(labelbottom=False)
        (self.edge,) = self.above.plot([], [], "--", color=THRESHOLD, lw=1.2, animated=True)
        (self.G,) = self.above.plot(
            [], [], "o", mfc=GAUSS_NEWTON, mec="#555555", mew=0.7, ms=4, animated=True
        )
        (self.H,) = self.above.plot([], [], color=SHARPNESS, lw=1.6, animated=True)
        (self.J,) = self.below.plot([], [], color=JACOBIAN, lw=1.6, animated=True)
        self.moving = [self.edge, self.H, self.G, self.J]

    def update(self, scene):
        self.H.set_data(scene.steps, scene.sharpness)
        self.J.set_data(scene.steps, scene.jacobian)
        self.G.set_data(scene.looked, scene.gauss_newton)
        self.edge.set_data([0, scene.case.steps], [scene.threshold] * 2)
        high = _above(max(max(scene.sharpness), max(scene.gauss_newton)))
        wanted = (scene.case.steps, high, _above(max(scene.jacobian)))
        if wanted != self._drawn:
            for ax, top in zip((self.above, self.below), wanted[1:], strict=True):
                ax.set_xlim(0, wanted[0])
                ax.set_ylim(0, top)
        return wanted

    def alt(self, scene) -> str:
        return (
            f"Sharpness and Jacobian norm over the steps. Now: at step {scene.steps[-1]} "
            f"λ(H) = {short(scene.sharpness[-1])}, λ(G) = {short(scene.gauss_newton[-1])}, "
            f"‖J‖ = {short(scene.jacobian[-1])}."
        )


class Shares(Picture):
    """What each layer contributes to the largest eigenvalue of G."""

    def build(self, figure) -> None:
        self.ax = self.axes(figure, "share of λ(G)", "", "each layer's share, at the last look")
        self.ax.set_xlim(0, 1)
        self.bars = self.ax.barh([0], [0], color=LOSS, height=0.6, animated=True)
        self.words: list[Any] = []
        self.moving = []

    def update(self, scene):
        shares = list(scene.shares.values())
        layers = len(shares)
        if layers != self._drawn:
            self.bars.remove()
            self.bars = self.ax.barh(range(layers), shares, color=LOSS, height=0.6, animated=True)
            for word in self.words:
                word.remove()
            self.words = [
                self.ax.text(0, k, "", va="center", fontsize=9, color=SOFT, animated=True)
                for k in range(layers)
            ]
            self.ax.set_yticks(range(layers), [f"layer {k + 1}" for k in range(layers)])
            self.ax.set_ylim(layers - 0.4, -0.6)
            self.moving = [*self.bars, *self.words]
        for bar, word, share in zip(self.bars, self.words, shares, strict=True):
            bar.set_width(share)
            word.set_text(f" {share:.0%}")
            word.set_x(min(share, 0.9))
            word.set_color("w" if share > 0.9 else SOFT)
        return layers

    def alt(self, scene) -> str:
        parts = ", ".join(f"layer {k + 1} {s:.0%}" for k, s in enumerate(scene.shares.values()))
        return f"Each layer's share of the largest eigenvalue of G. Now: {parts}."


class Spectrum(Picture):
    """The largest eigenvalues of H and of G."""

    def build(self, figure) -> None:
        self.ax = self.axes(
            figure, "rank of the eigenvalue", "eigenvalue", f"the {TOP} largest, at the last look"
        )
        self.ax.set_xlim(0.3, TOP + 0.7)
        self.ax.set_yscale("log")
        (self.H,) = self.ax.plot([], [], "o", color=SHARPNESS, ms=7, animated=True, label="H")
        (self.G,) = self.ax.plot(
            [], [], "s", mfc="none", mec="#555555", mew=1.3, ms=9, animated=True, label="G = H − R"
        )
        legend = self.ax.legend(handles=[self.H, self.G], fontsize=9, frameon=False)
        legend.set_animated(True)
        self.moving = [self.G, self.H, legend]

    def update(self, scene):
        H, G = scene.spectrum
        ranks = np.arange(1, len(H) + 1)
        self.H.set_data(ranks, np.where(H > 0, H, np.nan))
        self.G.set_data(np.arange(1, len(G) + 1), np.where(G > 0, G, np.nan))
        both = np.concatenate([H, G])
        top = float(both.max())
        box = (_below(float(both[both > 1e-4 * top].min())), _above(top))
        if box != self._drawn:
            self.ax.set_ylim(*box)
        return box

    def alt(self, scene) -> str:
        H, G = scene.spectrum
        return (
            "The largest eigenvalues by rank. Now: of H "
            f"{', '.join(short(v) for v in H[:3])}; of G {', '.join(short(v) for v in G[:3])}."
        )


class Link(Scene):
    """Does a sharp loss mean a steep function? Six runs, and what ties or parts the two.

    `steps`, `sharpness`, `jacobian`: the measured steps. `looked`, `gauss_newton`: those at which
    spectrum and shares were looked at as well.
    """

    title = "Does a sharp loss mean a steep function?"
    controls = (
        Control("run", "Run", "Run or pause", "Train, and measure as it goes"),
        Control("step", "Step", "Ten steps", "To the next measurement"),
        Control("again", "Restart", "Back to the start", "Back to step 0"),
        Control("case", "case", "case", "What is trained, and how", options=TITLES),
        Control(
            "width",
            "width",
            "width of the hidden layer, for the case of the first layer",
            "Of the hidden layer, where only the first layer is trained",
            values=WIDTHS,
            bar=True,
        ),
    )
    pictures: ClassVar = {"plane": Plane, "course": Course, "shares": Shares, "spectrum": Spectrum}
    question = Question(
        "A classifier trains with cross-entropy on three spirals. So far sharpness and the "
        "Jacobian norm have risen together. It will learn all of its points. How do the two go on?",
        choices=CHOICES,
        because="A confident network has p near 0 or 1, and the cost is flat there: diag p − pp' "
        "goes to 0. Label smoothing, the next case, keeps p away from it.",
    )
    beats = (
        Beat("both rise; at 2/η they part.", (("case", "edge"), ("again", None), ("run", None))),
        Beat("confidence parts them.", (("case", "confident"), ("again", None), ("run", None))),
        Beat("smoothing ties them again.", (("case", "smoothed"), ("again", None), ("run", None))),
        Beat("a linear model: J alone.", (("case", "linear"), ("again", None), ("run", None))),
        Beat("the same function, inputs times 10.", (("case", "inputs"), ("again", None))),
        Beat(
            "the first layer of a wide network.",
            (("case", "width"), ("width", 1024), ("again", None), ("run", None)),
        ),
    )

    def begin(self) -> None:
        ready_process()
        self.values = {"case": "confident", "width": 64}
        self._restart()
        if not self.revealed:
            self._go(SEEN)
            self._look()
        self.status = self.case.why if self.revealed else "The beginning of a run."

    @property
    def case(self) -> Case:
        return CASES[self.values["case"]]

    def _restart(self) -> None:
        self.running = False
        self.training, self.raw = self._build()
        self.threshold = 2 / self.case.lr
        self.steps: list[int] = []
        self.sharpness: list[float] = []
        self.jacobian: list[float] = []
        self.looked: list[int] = []
        self.gauss_newton: list[float] = []
        self._take()
        self.plain = self._plain_sharpness() if self.values["case"] == "inputs" else math.nan
        self._look()

    def _build(self) -> tuple[Training, float]:
        """The run, and what its Jacobian is multiplied by to be one of the raw inputs."""
        case, raw = self.case, 1.0
        widths = case.widths
        if self.values["case"] == "width":
            widths = (widths[0], self.values["width"], widths[2])
        options = dict(case.options)
        if case.n_train is not None:
            options["n_train"] = case.n_train
        data = load_dataset(case.data, **options)
        model = mlp(widths, activation=case.activation, seed=0)
        with torch.no_grad():
            if self.values["case"] == "linear":  # from near 0, so that J has room to grow
                for p in model.parameters():
                    p.mul_(0.1)
            if self.values["case"] == "inputs":
                data, raw = _scaled(data, SCALE), SCALE
                model[0].weight.div_(SCALE)
        if self.values["case"] == "width":
            for p in list(model.parameters())[2:]:
                p.requires_grad_(False)
        training = Training(
            model,
            data,
            loss=case.loss,
            lr=case.lr,
            label_smoothing=case.smoothing,
            measures=("sharpness", "jacobian_max"),
            every=case.every,
            scores=False,
        )
        return training, raw

    def _plain_sharpness(self) -> float:
        """Sharpness of the same function with its inputs as they are."""
        case = self.case
        run = Training(
            mlp(case.widths, activation=case.activation, seed=0),
            load_dataset(case.data),
            loss=case.loss,
            lr=case.lr,
            measures=("sharpness",),
            scores=False,
        )
        return run.history["sharpness"][0]

    def _take(self) -> None:
        history = self.training.history
        self.steps.append(self.training.steps)
        self.sharpness.append(history["sharpness"][-1])
        self.jacobian.append(self.raw * history["jacobian_max"][-1])

    def _look(self) -> None:
        """The spectrum's top, and the layers' shares, at the present parameters."""
        objective, k = self.training.objective, min(TOP, self.training.objective.parameters)
        G = eigenvalues(objective, k, operator="gauss_newton", tol=1e-2)
        H = eigenvalues(objective, k, tol=1e-2)
        self.spectrum = H.values.numpy(), G.values.numpy()
        self.shares = layer_shares(objective, tol=1e-2)
        if not self.looked or self.looked[-1] != self.training.steps:
            self.looked.append(self.training.steps)
            self.gauss_newton.append(float(G.values[0]))

    def _go(self, steps: int) -> None:
        """So many steps, to measured ones."""
        for _ in range(max(1, steps // self.case.every)):
            if self.training.step(self.case.every) < self.case.every:
                self.running = False
                self.status = f"The run broke: {self.training.diverged.reason}."
                return
            self._take()
            if self.training.steps % LOOK_EVERY == 0:
                self._look()
            if self.training.steps >= self.case.steps:
                self.running = False
                self._look()
                self.status = f"{self.training.steps} steps. {self.case.why}"
                return

    def changed(self, name: str) -> None:
        if name == "width" and self.values["case"] != "width":
            self.status = 'The width is of the case "first layer only".'
            return
        self._restart()
        self.status = self.case.why

    def pressed(self, name: str) -> None:
        if name == "again" or self.training.steps >= self.case.steps:
            self._restart()
            self.status = "At the start."
        if name == "run":
            self.running = not self.running
            self.status = self.case.why if self.running else "Paused."
            if not self.running:
                self._look()
        elif name == "step":
            self.running = False
            self._go(self.case.every)
            self._look()
            self.status = f"Step {self.training.steps}."

    def advance(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while self.running and time.perf_counter() < end:
            self._go(self.case.every)

    def answer(self) -> str:
        """What the run on this page does from where it is cut to its end."""
        run = self.training.fork()
        run.measures, run.probes = (), {}
        before = self.sharpness[-1], self.jacobian[-1]
        run.run(self.case.steps - run.steps)
        late = float(eigenvalues(run.objective).values[0])
        steep = float(jacobian_norms(run.model, run.objective.X).max())
        rises = late > before[0], steep > before[1]
        return CHOICES[{(True, True): 0, (False, True): 1}.get(rises, 2)]

    def reveal(self) -> None:
        self._go(self.case.steps)
        self._look()
        self.status = "Choose another case, and press Run."

    # What is said.

    def phase(self) -> str:
        if not self.revealed or len(self.steps) < 5:
            return ""
        back = max(len(self.steps) // 4, 2)
        changes = []
        for name, values in (("sharpness", self.sharpness), ("‖J‖", self.jacobian)):
            ratio = values[-1] / values[-1 - back]
            word = "rises" if ratio > 1 + MOVED else "falls" if ratio < 1 - MOVED else "stays"
            changes.append(f"{name} {word} (× {short(ratio)})")
        return f"Over the last {back * self.case.every} steps {' and '.join(changes)}."

    def numbers(self) -> list[list[str]]:
        last = self.training.probes["sharpness"].last
        residual = "" if last is None else f"residual {short(last.residual, 2)}; "
        rows = [
            ["step t", f"{self.steps[-1]}", f"of {self.case.steps}"],
            [
                "sharpness λ(H)",
                f"at least {short(self.sharpness[-1])}",
                f"{residual}2/η = {short(self.threshold)}",
            ],
            [
                "λ(G)",
                short(self.gauss_newton[-1]),
                f"at step {self.looked[-1]}; what R adds is the rest",
            ],
            ["max ‖J‖₂", short(self.jacobian[-1]), f"at the start {short(self.jacobian[0])}"],
            ["loss", short(self.training.history["loss"][-1]), self.case.loss.replace("_", "-")],
        ]
        if len(self.steps) > 9:
            moves = [np.sign(np.diff(np.log(v))) for v in (self.sharpness, self.jacobian)]
            share = f"{np.mean(moves[0] == moves[1]):.0%}"
            rows.append(["moved the same way", share, "λ and ‖J‖, of all measured steps"])
        if self.values["case"] == "inputs":
            factor = self.sharpness[0] / self.plain
            rows.append(["λ, inputs × 10", f"× {short(factor)}", "at the start, the same function"])
        return rows

    def columns(self) -> dict[str, Sequence[float]]:
        return {
            "step": [float(s) for s in self.steps],
            "sharpness": list(self.sharpness),
            "jacobian_max": list(self.jacobian),
        }

    def settings(self) -> dict[str, Any]:
        case = self.case
        return {
            **self.values,
            "data": case.data,
            "widths": list(case.widths),
            "activation": case.activation,
            "loss": case.loss,
            "lr": case.lr,
            "label_smoothing": case.smoothing,
            "seed": 0,
        }


def _scaled(data: Dataset, factor: float) -> Dataset:
    return Dataset.from_arrays(
        factor * data.X_train,
        data.y_train,
        factor * data.X_test,
        data.y_test,
        task=data.task,
        name=f"{data.name}, times {factor:g}",
    )


def _above(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 5, 7 ... above, so that axes move seldom."""
    decade = 10 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(m * decade for m in (1.5, 2, 3, 5, 7, 10, 15) if m * decade >= 1.15 * value)


def _below(value: float) -> float:
    decade = 10 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(m * decade for m in (7, 5, 3, 2, 1.5, 1, 0.7) if m * decade <= value / 1.15)
