"""Page 1: a ball on a parabola, the same in two directions, and the map of what happens when."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from kit import quadratic
from kit.live.parabola_pictures import (
    CURVATURES,
    RATES,
    STEPS,
    Descent,
    Landscape,
    Map,
    Valley,
)
from kit.live.question import Question
from kit.live.scene import Beat, Control, Scene
from kit.live.text import short

TEMPO = 0.12  # seconds a step, in motion
PLACES = tuple(round(v, 1) for v in np.arange(-3, 3.01, 0.1))
METHODS = {"plain": "plain", "heavy ball": "heavy ball", "Nesterov": "nesterov"}
DOES = {
    "monotone": "comes down on its own side",
    "oscillating": "swings, and comes down",
    "diverging": "moves away",
}
SEEN = 6  # steps that are shown before the answer


class Parabola(Scene):
    """When is a step too big? One parabola, two directions, three regimes.

    `path` (steps + 1, 2) is the whole descent, of which `shown` steps are in the pictures.
    """

    title = "When is a step too big?"
    controls = (
        Control("run", "Run", "Run or pause", "Watch the ball, step by step"),
        Control("step", "Step", "One step", "A single step"),
        Control("again", "Restart", "Back to the start", "Back to step 0"),
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

    def wait(self) -> float:
        return self._due - time.perf_counter()

    def advance(self, seconds: float) -> None:
        if (wait := self.wait()) > 0:
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

    def left(self, sizes: np.ndarray, reach: float) -> str:
        """Since when what a picture shows lies outside of it; "" while it does not."""
        outside = np.abs(sizes[: self.shown + 1]) > reach
        if not outside[-1]:
            return ""
        inside = np.flatnonzero(~outside)
        return f"off the picture from step {inside[-1] + 1 if len(inside) else 0} on"

    def idle(self) -> dict[str, str]:
        if self.values["method"] == "plain":
            return {"beta": "β is for the two methods with momentum."}
        return {}

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
