"""Page 5: Theorem B's floor against the largest ||J|| on the segment that sets it, as it trains.

>>> scene = Forced()
>>> scene.do("gap", 0.1)
>>> scene.answer()  # what targets 2 apart, 0.1 from each other, ask of every fit
20.0
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from kit.forcing import EVERY, GRID, ForcedRun, digit_samples, line_samples
from kit.live.forced_pictures import SHOWN, Course, Fit, Losses, N, Slopes, said
from kit.live.question import Question
from kit.live.scene import Beat, Control, Scene
from kit.live.session import ready_process
from kit.live.text import short
from kit.models import mlp

TARGETS = (0.4, 0.2, -0.4, -1.0, 1.0, 0.5, 0.3, -0.4)
DIGITS, ASKED = 300, 0.2  # images; distance of the two points that the question is about
WHICH = tuple(range(1, N + 1))
HEIGHTS = tuple(round(0.1 * k, 1) for k in range(-15, 16))
GAPS = (0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3)
SCALES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
UNITS = {"tanh": "tanh", "ReLU": "relu"}
DATA = {"8 points on a line": "points", "300 images of digits": "digits"}
RATES = {"points": 0.3, "digits": 0.4}
OPENING, LONGEST = 60, 6000  # steps: before the answer, on the same data
PACE = 300  # steps a second
READ = 2 * PACE  # steps for which it is said what a change did, while training goes on
HUGE = 10_000  # times too low: an estimate that says next to nothing
ONE, ANEW = "The points on the line", "These start with fresh weights"
TRY = "Drag a target, or turn the label scale. Then press Run."
RESET, RUN, HALF = ("reset", None), ("run", None), ("scale", 0.5)


class Forced(Scene):
    """Samples, a network that is fitted to them, and what the samples force its slope to be.

    `run` is a `kit.forcing.ForcedRun`. A change of the data goes on from the present weights, and
    `marks` keeps its (step, control, words).
    """

    title = "Why must the Jacobian grow?"
    controls = (
        Control("run", "Run", "Run or pause", "Train by full-batch gradient descent"),
        Control("again", "Restart", "Back to fresh weights", "Step 0, with the data as they are"),
        Control("scale", "label scale", "label scale", "Multiplies all targets", SCALES, bar=True),
        Control(
            "gap",
            "distance 4–5",
            "distance of points 4 and 5",
            "They are the nearest",
            GAPS,
            group=ONE,
            shows="fit",
        ),
        Control(
            "which",
            "point",
            "which point to move",
            "The square in the picture",
            WHICH,
            group=ONE,
            shows="fit",
        ),
        Control(
            "target",
            "its target y",
            "target of that point",
            "Or drag it",
            HEIGHTS,
            group=ONE,
            shows="fit",
        ),
        Control(
            "units",
            "network",
            "activation of the network",
            "Fresh weights",
            options=UNITS,
            group=ANEW,
            shows="course",
        ),
        Control(
            "data",
            "data",
            "data",
            "Points on a line, or small images",
            options=DATA,
            group=ANEW,
            shows="fit",
        ),
    )
    pictures: ClassVar = {"fit": Fit, "course": Course, "loss": Losses, "pairs": Slopes}
    pointable = ("fit",)
    question = Question(
        "Two samples, 4 and 5, are 0.2 apart, and their targets are −1 and 1. The network starts "
        "flat. Once it fits them, how steep must it be somewhere between them, at least?",
        number=(0.0, 20.0),
        because="To rise by 2 over a distance of 0.2 it has to have slope 10 somewhere on the way, "
        "whatever the network. This fit is not yet perfect, so its floor is a little lower. And "
        "the fit is steeper than it must be.",
    )
    beats = (
        Beat("fresh weights: flat, and next to nothing is forced.", (RESET, ("again", None))),
        Beat("the loss falls; the floor rises, and ‖J‖ must.", (("pause", None), RUN)),
        Beat("half the distance: twice the floor.", (RESET, ("gap", 0.1), RUN)),
        Beat("half the labels: half the floor, not half the slope.", (RESET, HALF, RUN)),
        Beat("ReLU: steepest between the samples, not at them.", (RESET, ("units", "relu"), RUN)),
        Beat("digits: two images near each other set it.", (RESET, ("data", "digits"), RUN)),
    )

    def begin(self) -> None:
        ready_process()
        self.values = {"scale": 1.0, "gap": 0.2, "units": "tanh", "data": "points"}
        self.values |= {"which": 4, "target": TARGETS[3]}
        self.heights = list(TARGETS)
        self._restart(SHOWN if self.revealed else OPENING)
        self.status = TRY if self.revealed else "Training has begun."

    def _restart(self, steps: int, lr: float | None = None) -> None:
        """Fresh weights, on the data as the controls say, and so many steps."""
        self.running, self.marks, self._due = False, [], 0.0
        self._told, self._before = "", ""  # of the last change, and the floor where it began
        widths = (1, 30, 20, 1) if self.values["data"] == "points" else (64, 64, 64, 10)
        model = mlp(widths, activation=self.values["units"], seed=0)
        self.run = ForcedRun(model, self._data(), RATES[self.values["data"]] if lr is None else lr)
        self.run.advance(steps)

    def _data(self):
        if self.values["data"] == "digits":
            return digit_samples(DIGITS, self.values["scale"])
        targets = [self.values["scale"] * height for height in self.heights]
        return line_samples(self.values["gap"], targets)

    def wait(self) -> float:
        return self._due - time.perf_counter()

    def advance(self, seconds: float) -> None:
        if (wait := self.wait()) > 0:
            time.sleep(min(wait, seconds))
            return
        self._due = time.perf_counter() + EVERY / PACE
        self.run.advance(EVERY)
        if self.run.training.steps >= READ and self.status == self._told:
            self.status = "Running."
        if self.run.diverged is not None:
            what = f"The run broke at step {self.run.step} with η = {self.run.lr:g}"
            self.status = f"{what}: {self.run.diverged.reason}. Restart takes half of η."
        elif self.run.training.steps % LONGEST == 0:
            self.status = f"{LONGEST} steps on these data. Run goes on; or change them."
        else:
            return
        self.running = False

    # What the reader does.

    def changed(self, name: str) -> None:
        values, k = self.values, self.values["which"]
        if name in ("data", "units"):
            self._restart(OPENING)
            self.status = "Fresh weights. Press Run."
        elif name == "which":
            values["target"] = self.heights[k - 1]
            self.status = f"The next slider moves the target of point {k}."
        else:
            self.heights[k - 1] = values["target"]
            words = {"scale": f"labels × {values['scale']:g}", "target": f"y{k} moved"}
            if values["data"] == "points" or name == "scale":
                mark = f"target {k}" if name == "target" else name
                self._change(mark, words.get(name, f"4–5: {values['gap']:g} apart"))
            else:
                self.status = self.idle()[name]

    def idle(self) -> Mapping[str, str]:
        if self.values["data"] == "points":
            return {}
        why = "Distance, point and target are of the points on the line."
        return dict.fromkeys(("gap", "which", "target"), why)

    def _change(self, name: str, words: str) -> None:
        step = self.run.step
        if self.marks and self.marks[-1][1] == name and step - self.marks[-1][0] < 10 * EVERY:
            self.marks[-1] = (self.marks[-1][0], name, words)  # one drag is one mark
        else:
            self.marks.append((step, name, words))
            self._before = short(self.run.forced.value)
        self.run.change(self._data())
        before, after = self._before, short(self.run.forced.value)
        moved = f"is still {after}" if after == before else f"went from {before} to {after}"
        go = "" if self.running else " Press Run."
        self.status = self._told = f"{words}: the floor of a perfect fit {moved}.{go}"

    def point(self, picture: str, place: tuple[Any, float, float]) -> None:
        if self.values["data"] == "digits":
            return
        _, x, y = place
        k = int(np.abs(self.run.x[:, 0] - x).argmin())
        height = min(HEIGHTS, key=lambda h: abs(h - y / self.values["scale"]))
        self.values |= {"which": k + 1, "target": height}
        if height != self.heights[k]:
            self.changed("target")

    def pressed(self, name: str) -> None:
        broken = self.run.diverged
        if name == "again":
            self._restart(0, None if broken is None else self.run.lr / 2)
            self.status = f"Fresh weights, η = {self.run.lr:g}. Press Run."
        elif broken is None:
            self.running, self._due = not self.running, time.perf_counter()
            self.status = "Running." if self.running else "Paused."

    @property
    def untrained(self) -> bool:
        """The data were changed, and no step has been taken on them."""
        return bool(self.marks) and self.run.training.steps == 0

    @property
    def guessed(self) -> float | None:
        """The slope that the reader named, while the two points are as the question had them."""
        as_asked = self.values["data"] == "points" and self.values["scale"] == 1
        as_asked = as_asked and self.values["gap"] == ASKED and self.heights[3:5] == [-1.0, 1.0]
        return float(self.guess) if as_asked and self.guess is not None else None

    def answer(self) -> float:
        """The slope that a fit without error has somewhere between the two nearest samples."""
        return float(f"{self.run.forced.value:.6g}")

    def reveal(self) -> None:
        self.run.advance(SHOWN - self.run.step)
        self.status = TRY

    # What is said.

    def named(self, pair: Sequence[int]) -> str:
        """Points count from 1, as in the picture; digits from 0, as in the data."""
        i, j = (k + (self.run.data.n == N) for k in sorted(pair))
        return f"{i} and {j}"

    def phase(self) -> str:
        run = self.run
        if not self.revealed:
            return ""
        if self.untrained:
            pair = self.named((run.forced.i, run.forced.j))
            need = f"Samples {pair} will need slope {short(run.forced.value)}"
            return f"Not trained on these yet. {need} between them, once they are fitted."
        if run.floor.vacuous:
            return "The residuals are as large as what the targets differ by: nothing is forced."
        since = f"{run.training.steps} steps on these data: s" if self.marks else "S"
        forced = f"{since}amples {self.named(run.pair)} force slope {short(run.floor.value)}"
        times = short(run.segment / run.floor.value, 2)
        return f"{forced} between them; the network has {short(run.segment)}, {times} times that."

    def numbers(self) -> list[list[str]]:
        run, floor = self.run, self.run.floor
        below = "below the floor: steepest in between" if run.samples < floor.value else ""
        pair, nearest = self.named(run.pair), self.named((run.forced.i, run.forced.j))
        places = f"from {pair.replace(' and', ' to')}, at {GRID} places: at least this"
        rows = [
            ["step t", f"{run.step}", f"loss {short(run.loss)}"],
            ["max ‖J‖ on the segment", short(run.segment), places],
            ["max ‖J‖ at the samples", short(run.samples), below],
        ]
        if not self.revealed:
            return rows
        top, residual, least = run.curvature(100 if self.running else 1)
        terms = f"({short(floor.difference)} − {short(floor.e_i, 2)} − {short(floor.e_j, 2)})"
        terms = f"{terms} / {short(floor.distance)}, by samples {pair}"
        if self.untrained:
            terms = f"not trained on these yet; {terms}"
        remark = f"residual {short(residual, 2)}, 2/η = {2 / run.lr:.3g}"
        return [
            rows[0],
            ["floor on max ‖J‖", said(floor), terms],
            *rows[1:],
            ["floor of a perfect fit", short(run.forced.value), f"by samples {nearest}"],
            ["sharpness λ(G)", f"at least {short(top)}", remark],
            ["estimated floor on it", short(least), slack(top, residual, least, run.samples)],
        ]

    def columns(self) -> dict[str, Sequence[float]]:
        return self.run.rows

    def settings(self) -> dict[str, Any]:
        more = {"targets": list(self.heights), "eta": self.run.lr, "seed": 0}
        return {**self.values, **more, "changes": [list(mark) for mark in self.marks]}


def slack(top: float, residual: float, least: float, samples: float) -> str:
    """How far a measured lambda_max(G) is above its estimated floor, or that the estimate fails.

    >>> slack(6.5, 0.01, 0.00325, 12.0)
    '2000 times too low. It takes ‖J‖ to be at a sample what it is in between'
    >>> slack(2.0, 0.01, 2.5, 3.0)
    'above λ(G): the estimate fails here. At the samples ‖J‖ is at most 3.00, below its floor'
    >>> slack(5.0, 0.01, 3.6e-05, 0.1)
    'it says next to nothing: 140000 times too low'
    """
    if not least > 0:
        return "vacuous: it says nothing"
    if least > top + residual:
        at = f"At the samples ‖J‖ is at most {short(samples)}, below its floor"
        return f"above λ(G): the estimate fails here. {at}"
    times = float(f"{max(top / least, 1.0):.2g}")
    how = "as large as λ(G)" if times == 1 else f"{times:.10g} times too low"
    if times >= HUGE:
        return f"it says next to nothing: {how}"
    return f"{how}. It takes ‖J‖ to be at a sample what it is in between"
