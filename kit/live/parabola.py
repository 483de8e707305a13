"""Page 1: a ball on a parabola, the same in two directions, and the map of what happens when."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from kit import quadratic
from kit.live.panels import INVARIANT, LOSS, SHARPNESS, THRESHOLD
from kit.live.picture import SOFT, Picture
from kit.live.question import Question
from kit.live.scene import Beat, Control, Scene
from kit.live.text import decades, short

STEPS = 60  # of a path
TEMPO = 0.12  # seconds a step, in motion
REACH = 3.2  # of the pictures, to either side
RATES = decades(0.05, 4)
CURVATURES = tuple(sorted({*decades(0.05, 8), 1.25}))
PLACES = tuple(round(v, 1) for v in np.arange(-3, 3.01, 0.1))
METHODS = {"plain": "plain", "heavy ball": "heavy ball", "Nesterov": "nesterov"}
CALM, SWINGING, GONE = "#e3f1ea", "#fdf0dc", "#f7ddd0"  # of the three regimes, with words in them
DOES = {
    "monotone": "comes down on its own side",
    "oscillating": "swings, and comes down",
    "diverging": "moves away",
}
SEEN = 6  # steps that are shown before the answer


class Valley(Picture):
    """The parabola along the sharpest direction, with the ball and where it was."""

    def build(self, figure) -> None:
        self.ax = self.axes(
            figure, "distance from the minimum θ₁", "loss", "along the sharpest direction"
        )
        self.ax.set_xlim(-REACH, REACH)
        self.x = np.linspace(-REACH, REACH, 201)
        (self.curve,) = self.ax.plot(self.x, self.x, color=LOSS, lw=1.8)
        (self.path,) = self.ax.plot([], [], "-", color=SHARPNESS, lw=1, alpha=0.75, animated=True)
        (self.past,) = self.ax.plot([], [], "o", color=SHARPNESS, ms=3.5, alpha=0.6, animated=True)
        (self.ball,) = self.ax.plot([], [], "o", color=SHARPNESS, ms=12, animated=True)
        self.moving = [self.path, self.past, self.ball]

    def update(self, scene):
        h = scene.values["sharp"]
        self.curve.set_ydata(0.5 * h * self.x**2)
        top = 0.5 * h * REACH**2
        self.ax.set_ylim(-0.06 * top, 1.05 * top)
        x = np.clip(scene.path[: scene.shown + 1, 0], -2 * REACH, 2 * REACH)
        y = 0.5 * h * x**2
        self.path.set_data(x, y)
        self.past.set_data(x[:-1], y[:-1])
        self.ball.set_data(x[-1:], y[-1:])
        return h

    def alt(self, scene) -> str:
        x = scene.path[scene.shown, 0]
        return (
            f"A parabola of curvature {short(scene.values['sharp'])} with a ball. Now: after "
            f"{scene.shown} steps the ball is at θ₁ = {short(x)}."
        )


class Landscape(Picture):
    """Both directions from above; the start can be dragged."""

    def build(self, figure) -> None:
        self.ax = self.axes(
            figure, "sharp direction θ₁", "flat direction θ₂", "from above: drag the start"
        )
        self.ax.set_xlim(-REACH, REACH)
        self.ax.set_ylim(-REACH, REACH)
        (self.path,) = self.ax.plot([], [], "-", color=SHARPNESS, lw=1.2, animated=True)
        (self.past,) = self.ax.plot([], [], "o", color=SHARPNESS, ms=3.5, alpha=0.7, animated=True)
        (self.start,) = self.ax.plot([], [], "o", mfc="none", mec="#000000", ms=14, animated=True)
        (self.ball,) = self.ax.plot([], [], "o", color=SHARPNESS, ms=10, animated=True)
        self.moving = [self.path, self.past, self.start, self.ball]
        grid = np.linspace(-REACH, REACH, 81)
        self.grid = np.meshgrid(grid, grid)
        self.rings: Any = None

    def update(self, scene):
        curvatures = scene.curvatures
        if curvatures != self._drawn:
            if self.rings is not None:
                self.rings.remove()
            x, y = self.grid
            z = 0.5 * (curvatures[0] * x**2 + curvatures[1] * y**2)
            levels = 0.5 * max(curvatures) * (np.arange(1, 9) / 8 * REACH) ** 2
            self.rings = self.ax.contour(x, y, z, levels, colors="#b5b5b5", linewidths=0.8)
        path = np.clip(scene.path[: scene.shown + 1], -2 * REACH, 2 * REACH)
        self.path.set_data(path[:, 0], path[:, 1])
        self.past.set_data(path[:-1, 0], path[:-1, 1])
        self.start.set_data(path[:1, 0], path[:1, 1])
        self.ball.set_data(path[-1:, 0], path[-1:, 1])
        return curvatures

    def alt(self, scene) -> str:
        x, y = scene.path[scene.shown]
        first, second = scene.curvatures
        return (
            f"Contour lines of a valley with curvatures {short(first)} and {short(second)}. Now: "
            f"from ({short(scene.path[0, 0])}, {short(scene.path[0, 1])}) the ball came in "
            f"{scene.shown} steps to ({short(x)}, {short(y)})."
        )


class Map(Picture):
    """What happens at each learning rate and curvature, and where the reader is."""

    def build(self, figure) -> None:
        self.ax = self.axes(figure, "learning rate η", "curvature λ", "what happens where")
        self.ax.loglog()
        self.ax.set_xlim(RATES[0], RATES[-1])
        self.ax.set_ylim(CURVATURES[0], CURVATURES[-1])
        self.eta = np.array([RATES[0], RATES[-1]])
        self.fills: list[Any] = []
        (self.calm,) = self.ax.plot([], [], color="#777777", lw=1)
        (self.edge,) = self.ax.plot([], [], "--", color=THRESHOLD, lw=1.6)
        place = {"fontsize": 9.5, "color": SOFT, "ha": "center", "va": "center"}
        self.words = [
            self.ax.text(*at, text, transform=self.ax.transAxes, **place)
            for at, text in (
                ((0.24, 0.2), "monotone: comes down\non its own side"),
                ((0.5, 0.5), "oscillating"),
                ((0.82, 0.85), "diverging"),
            )
        ]
        self.name = self.ax.text(0, 0, "", fontsize=9.5, color=THRESHOLD, ha="right", va="bottom")
        (self.flat,) = self.ax.plot([], [], "s", color=INVARIANT, ms=9, animated=True)
        (self.sharp,) = self.ax.plot([], [], "o", color=SHARPNESS, ms=11, animated=True)
        self.labels = [
            self.ax.text(0, 0, name, fontsize=10, animated=True, va="center", ha="right")
            for name in ("λ₁  ", "λ₂  ")
        ]
        self.moving = [self.flat, self.sharp, *self.labels]

    def update(self, scene):
        momentum, nesterov = scene.momentum
        depends = (momentum, nesterov, scene.revealed)
        if depends != self._drawn:
            self._draw_regions(scene.revealed, *quadratic.boundaries(momentum, nesterov))
        eta = scene.values["lr"]
        points = zip((self.sharp, self.flat), self.labels, scene.curvatures, strict=True)
        for dot, label, h in points:
            dot.set_data([eta], [h])
            label.set_position((eta, h))
        return depends

    def _draw_regions(self, revealed: bool, calm: float, edge: float) -> None:
        for fill in self.fills:
            fill.remove()
        self.fills = []
        low, high = self.ax.get_ylim()
        lines = [np.full(2, low), calm / self.eta, edge / self.eta, np.full(2, max(high, 1e3))]
        for text in self.words:
            text.set_visible(revealed)
        self.calm.set_data(self.eta, lines[1] if revealed else [np.nan, np.nan])
        self.edge.set_data(self.eta, lines[2] if revealed else [np.nan, np.nan])
        self.name.set_text(f"{edge:.3g}/η" if revealed else "")
        at = edge / (0.97 * high)
        self.name.set_position((at, 0.97 * high))
        self.name.set_va("top")
        if revealed:
            for colour, (below, above) in zip((CALM, SWINGING, GONE), pairwise(lines), strict=True):
                self.fills.append(
                    self.ax.fill_between(self.eta, below, above, color=colour, lw=0, zorder=0)
                )
            middle = np.sqrt(calm * edge)  # between the lines, on log axes
            eta = 0.55
            self.words[1].set_transform(self.ax.transData)
            self.words[1].set_position((eta, np.clip(middle / eta, 2 * low, high / 2)))

    def alt(self, scene) -> str:
        if not scene.revealed:
            return f"An empty map. Now: the reader is at η = {short(scene.values['lr'])}."
        return (
            "A map of learning rate and curvature with three regions. Now: at η = "
            f"{short(scene.values['lr'])} the sharp direction is {scene.regimes[0]}, the flat one "
            f"{scene.regimes[1]}."
        )


class Descent(Picture):
    """The loss after each step."""

    def build(self, figure) -> None:
        self.ax = self.axes(figure, "step t", "loss", "the loss, step by step")
        self.ax.set_xlim(0, STEPS)
        self.ax.set_yscale("log")
        self.ax.set_ylim(1e-6, 1e4)
        self.ax.grid(axis="y", color="#e6e6e6", linewidth=0.7)
        (self.line,) = self.ax.plot([], [], "-", color=LOSS, lw=1.8, animated=True)
        (self.dot,) = self.ax.plot([], [], "o", color=LOSS, ms=6, animated=True)
        self.moving = [self.line, self.dot]

    def update(self, scene) -> None:
        y = np.clip(scene.losses[: scene.shown + 1], 1e-9, 1e9)
        x = np.arange(len(y))
        self.line.set_data(x, y)
        self.dot.set_data(x[-1:], y[-1:])

    def alt(self, scene) -> str:
        return (
            f"The loss on a log axis. Now: it went from {short(scene.losses[0])} to "
            f"{short(scene.losses[scene.shown])} in {scene.shown} steps."
        )


class Parabola(Scene):
    """When is a step too big? One parabola, two directions, three regimes.

    `path` (steps + 1, 2) is the whole descent, of which `shown` steps are in the pictures.
    """

    title = "When is a step too big?"
    controls = (
        Control("run", "Run", "Run or pause", "Watch the ball, step by step"),
        Control("step", "Step", "One step", "A single step"),
        Control("back", "Restart", "Back to the start", "Back to step 0"),
        Control(
            "lr",
            "learning rate η",
            "learning rate eta",
            "Length of a step, in units of the slope",
            values=RATES,
            bar=True,
        ),
        Control(
            "sharp",
            "curvature λ₁",
            "curvature lambda one, of the sharp direction",
            "Of the sharpest direction",
            values=CURVATURES,
        ),
        Control(
            "flat",
            "curvature λ₂",
            "curvature lambda two, of the flat direction",
            "Of the other direction",
            values=CURVATURES,
        ),
        Control("method", "method", "method", "How a step follows from the slope", options=METHODS),
        Control(
            "beta",
            "momentum β",
            "momentum beta",
            "Share of the last step that is kept; for the two methods with momentum",
            values=tuple(round(0.05 * k, 2) for k in range(20)),
        ),
        Control("x", "start θ₁", "start, theta one", "Where the ball begins", values=PLACES),
        Control("y", "start θ₂", "start, theta two", "Where the ball begins", values=PLACES),
    )
    pictures: ClassVar = {
        "valley": Valley,
        "map": Map,
        "landscape": Landscape,
        "descent": Descent,
    }
    pointable = ("landscape",)
    question = Question(
        "The ball goes down a parabola of curvature 1.25, in steps of η times the slope. At "
        "η = 0.5 it comes down. From which η on does it no longer?",
        number=(0.0, 4.0),
        because="A step takes the distance from θ to (1 − ηλ)θ. It shrinks while ηλ is below 2.",
    )
    beats = (
        Beat("a small step: the ball comes down on its side.", (("reset", None), ("lr", 0.5))),
        Beat("a larger one: it jumps across, and still comes down.", (("lr", 1.2),)),
        Beat("at 2/λ it swings for ever.", (("reset", None), ("sharp", 1.0), ("lr", 2.0))),
        Beat("beyond, each jump is longer than the last.", (("lr", 2.5), ("run", None))),
        Beat(
            "two directions, one step size: the sharp one sets the limit, the flat one the time.",
            (("reset", None), ("sharp", 4.0), ("flat", 0.1), ("lr", 0.4), ("run", None)),
        ),
        Beat(
            "momentum moves the limit to (2 + 2β)/η.",
            (("reset", None), ("method", "heavy ball"), ("beta", 0.5), ("lr", 2.0)),
        ),
        Beat("Nesterov's pulls it in again.", (("method", "nesterov"),)),
    )

    def begin(self) -> None:
        self.values = {
            "lr": 0.5,
            "sharp": 1.25,
            "flat": 0.25,
            "method": "plain",
            "beta": 0.5,
            "x": -2.6,
            "y": 2.0,
        }
        self.running = False
        self._descend()
        self.shown = STEPS if self.revealed else SEEN
        self.status = "Turn the learning rate." if self.revealed else "The ball has begun."

    def changed(self, name: str) -> None:
        self._descend()
        if not self.running:
            self.shown = STEPS
            self.status = "A new path."

    def pressed(self, name: str) -> None:
        if name == "run":
            self.running = not self.running
            if self.running and self.shown >= STEPS:
                self.shown = 0
            self.status = "Running." if self.running else "Paused."
            self._due = time.perf_counter()
        elif name == "step":
            self.running = False
            self.shown = self.shown + 1 if self.shown < STEPS else 1
            self.status = f"Step {self.shown} of {STEPS}."
        else:
            self.running, self.shown = False, 0
            self.status = "At the start."

    def point(self, picture: str, place: tuple[Any, float, float]) -> None:
        _, x, y = place
        near = [min(PLACES, key=lambda p, v=v: abs(p - v)) for v in (x, y)]
        self.values["x"], self.values["y"] = near
        self.changed("x")

    def advance(self, seconds: float) -> None:
        wait = self._due - time.perf_counter()
        if wait > 0:
            time.sleep(min(wait, seconds))
            return
        self._due = time.perf_counter() + TEMPO
        self.shown += 1
        if self.shown >= STEPS:
            self.running, self.shown = False, STEPS
            self.status = f"{STEPS} steps."

    def reveal(self) -> None:
        self.shown = STEPS
        self.status = "Turn the learning rate, and find the three regimes."

    def answer(self) -> float:
        """The learning rate from which on 400 steps do not shrink the distance, by bisection."""
        low, high = 0.0, 4.0
        for _ in range(20):
            middle = (low + high) / 2
            last = quadratic.descend([1.0], [1.25], middle, 400)[-1, 0]
            low, high = (low, middle) if abs(last) >= 1 else (middle, high)
        return high

    @property
    def momentum(self) -> tuple[float, bool]:
        """beta, and whether it is Nesterov's."""
        method = self.values["method"]
        beta = 0.0 if method == "plain" else self.values["beta"]
        return beta, method == "nesterov" and beta > 0

    @property
    def curvatures(self) -> tuple[float, float]:
        return self.values["sharp"], self.values["flat"]

    @property
    def regimes(self) -> list[str]:
        return [quadratic.regime(self.values["lr"] * h, *self.momentum) for h in self.curvatures]

    def _descend(self) -> None:
        momentum, nesterov = self.momentum
        self.path = quadratic.descend(
            (self.values["x"], self.values["y"]),
            self.curvatures,
            self.values["lr"],
            STEPS,
            momentum=momentum,
            nesterov=nesterov,
        )
        self.losses = quadratic.loss(self.path, self.curvatures)

    def phase(self) -> str:
        if not self.revealed:
            return ""
        momentum, nesterov = self.momentum
        does = []
        for h, what in zip(self.curvatures, self.regimes, strict=True):
            stays = abs(quadratic.rate(self.values["lr"] * h, momentum, nesterov) - 1) < 1e-9
            does.append("swings for ever" if stays else DOES[what])
        product = f"ηλ = {short(self.values['lr'] * max(self.curvatures))}"
        if does[0] == does[1]:
            return f"{product} at the sharpest: the ball {does[0]}, in both directions."
        return f"{product} at the sharpest: along θ₁ the ball {does[0]}; along θ₂ it {does[1]}."

    def numbers(self) -> list[list[str]]:
        lr, (momentum, nesterov) = self.values["lr"], self.momentum
        edge = quadratic.boundaries(momentum, nesterov)[1] / lr
        rows = [
            ["step t", f"{self.shown}", f"of {STEPS}"],
            ["loss", short(self.losses[self.shown]), f"at the start {short(self.losses[0])}"],
        ]
        for name, h, what in zip("₁₂", self.curvatures, self.regimes, strict=True):
            factor = quadratic.rate(lr * h, momentum, nesterov)
            rows.append([f"ηλ{name}", short(lr * h), f"{what}; × {short(factor)} a step at last"])
        if self.revealed:
            rows.append(["threshold", short(edge), "the largest λ that is stable at this η"])
        return rows

    def columns(self) -> dict[str, Sequence[float]]:
        return {
            "step": [float(t) for t in range(STEPS + 1)],
            "theta_1": self.path[:, 0].tolist(),
            "theta_2": self.path[:, 1].tolist(),
            "loss": self.losses.tolist(),
        }
