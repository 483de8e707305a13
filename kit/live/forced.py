"""Page 5: Theorem B's floor against the largest ||J|| on the segment that sets it, as it trains.

>>> scene = Forced()
>>> scene.do("gap", 0.1)
>>> scene.answer()  # what targets 2 apart, 0.1 from each other, ask of every fit
20.0
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from kit.forcing import EVERY, GRID, ForcedRun, PairFloor, digit_samples, line_samples
from kit.live.panels import JACOBIAN, JACOBIAN_MEAN, LOSS, THRESHOLD
from kit.live.picture import INK, RULE, SOFT, Picture
from kit.live.question import Question
from kit.live.scene import Beat, Control, Scene
from kit.live.session import ready_process
from kit.live.text import short
from kit.models import mlp

TARGETS = (0.4, 0.2, -0.4, -1.0, 1.0, 0.5, 0.3, -0.4)
N, DIGITS = len(TARGETS), 300
WHICH = tuple(range(1, N + 1))
HEIGHTS = tuple(round(0.1 * k, 1) for k in range(-15, 16))
GAPS = (0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3)
SCALES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
UNITS = {"tanh": "tanh", "ReLU": "relu"}
DATA = {"8 points": "points", "digits (300)": "digits"}
RATES = {"points": 0.3, "digits": 0.4}
OPENING, SHOWN, LONGEST = 60, 1500, 6000  # steps: before the answer, after it, on the same data
PACE = 300  # steps a second
CURVE = np.linspace(-1.12, 1.12, 401)
MOST = 400  # pairs or rows drawn
GREEN_TEXT, LIGHT_TEXT = "#00694d", "#2b8265"  # of small letters, dark enough on white
BACK = {"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 1}
COURSES = ("samples", "segment", "floor", "forced")
TRY = "Drag a target, or turn the label scale. Then press Run."
RESET, RUN, HALF = ("reset", None), ("run", None), ("scale", 0.5)


class Fit(Picture):
    """The fit and the pair that sets the floor; for digits, the two images of the pair."""

    def build(self, figure) -> None:
        self.ax = self.axes(figure, "input x", "output f(x), target y", "the fit: drag a target")
        self.ax.set_xlim(CURVE[0], CURVE[-1])

        def line(*style, **more):
            return self.ax.plot([], [], *style, animated=True, **more)[0]

        self.chord = line("--", color=THRESHOLD, lw=1.4)
        self.curve = line(color=RULE, lw=1.6)
        self.part = line(color=JACOBIAN, lw=3)
        self.dots = line("o", color=INK, ms=6)
        self.pair = line("o", mfc="none", mec=INK, ms=13)
        self.chosen = line("s", mfc="none", mec=SOFT, ms=18)
        self.steepest = line("D", color=JACOBIAN, ms=6)
        small = {"fontsize": 8, "color": SOFT, "ha": "left", "va": "top", "animated": True}
        self.names = [self.ax.text(0, 0, f"  {k + 1}", **small) for k in range(N)]
        place = {"fontsize": 9, "transform": self.ax.transAxes, "va": "top", "animated": True}
        self.words = [self.ax.text(0.02, y, "", bbox=BACK, **place) for y in (0.99, 0.92)]
        self.words[0].set_color(GREEN_TEXT)
        self.moving = [self.chord, self.curve, self.part, self.dots, self.pair, self.chosen]
        self.moving += [self.steepest, *self.names, *self.words]
        bare = {"xticks": [], "yticks": [], "frame_on": False}
        self.images = [figure.add_axes((x, 0.22, 0.34, 0.5), **bare) for x in (0.1, 0.56)]
        style = {"cmap": "gray_r", "vmin": 0, "vmax": 16}
        self.pixels = [ax.imshow(np.zeros((8, 8)), **style) for ax in self.images]
        middle = {"ha": "center", "color": INK, "fontsize": 9.5}
        head = figure.text(0.5, 0.93, "the two samples that set the floor", **middle)
        self.foot = figure.text(0.5, 0.04, "", linespacing=1.6, **middle)
        self.still = [*self.images, head, self.foot]

    def update(self, scene):
        digits = scene.values["data"] == "digits"
        for artist in self.still:
            artist.set_visible(digits)
        for artist in (self.ax, *self.moving):
            artist.set_visible(not digits)
        return self._show_images(scene.run) if digits else self._show_fit(scene)

    def _show_fit(self, scene):
        run, revealed = scene.run, scene.revealed
        i, j = ends = list(run.pair if revealed else (run.forced.i, run.forced.j))
        x, y, chosen = run.x[:, 0], run.y[:, 0], scene.values["which"] - 1
        high = 2.2 * max(1.0, scene.values["scale"])
        self.ax.set_ylim(-high, high)
        self.curve.set_data(CURVE, run.outputs(CURVE))
        inside, steep = np.linspace(x[i], x[j], 60), x[[i]] + run.steepest * (x[[j]] - x[[i]])
        self.part.set_data(inside, run.outputs(inside))
        self.dots.set_data(x, y)
        self.pair.set_data(x[ends], y[ends])
        self.chord.set_data(x[ends], y[ends])
        self.chosen.set_data(x[[chosen]], y[[chosen]])
        for name, at, height in zip(self.names, x, y, strict=True):
            name.set_position((at, height - 0.04 * high))
        self.steepest.set_data(steep, run.outputs(steep))
        for artist in (self.part, self.steepest, self.words[0]):
            artist.set_visible(revealed)
        self.words[0].set_text(f"◆ steepest on the segment: slope {short(run.segment)}")
        setting = f"the pair that sets the floor: {said(run.floor)}"
        near = f"{scene.named(ends)} are the nearest, {abs(x[i] - x[j]):.3g} apart"
        self.words[1].set_text(f"○ - - ○ {setting if revealed else near}")
        return "points", high

    def _show_images(self, run):
        (i, j), classes = run.pair, run.y.argmax(1)
        images = run.data.transform.invert(run.data.X_train).reshape(-1, 8, 8).numpy()
        for ax, pixels, k in zip(self.images, self.pixels, (i, j), strict=True):
            pixels.set_data(images[k])
            title = f"sample {k}: a {classes[k]}\nresidual {run.residuals[k]:.2g}"
            ax.set_title(title, fontsize=9.5, color=INK)
        apart, differ = (np.linalg.norm(A[i] - A[j]) for A in (run.x, run.y))
        self.foot.set_text(
            f"distance {short(apart)}, targets differ by {short(differ)}\n"
            f"floor {said(run.floor)}, measured between them {short(run.segment)}"
        )
        return "digits", i, j, self.foot.get_text()

    def alt(self, scene) -> str:
        marked = scene.named(scene.run.pair)
        return (
            f"The fit. Now: between samples {marked} the slope is up to {short(scene.run.segment)}."
        )


class Steps(Picture):
    """Axes over steps, with a thin vertical mark where the reader changed the data."""

    marks: tuple = ()

    def span(self, scene, low: float, high: float):
        """Set the limits, which move in leaps, and the marks, if they are not yet so."""
        wanted = room(max(scene.run.step, SHOWN)), low, high, tuple(scene.marks)
        if wanted == self._drawn:
            return wanted
        self.ax.set_xlim(0, wanted[0])
        self.ax.set_ylim(low, high)
        for artist in self.marks:
            artist.remove()
        style = {"rotation": 90, "fontsize": 7.5, "color": SOFT, "ha": "right"}
        style |= {"va": "bottom", "transform": self.ax.get_xaxis_transform()}
        lines = [self.ax.axvline(t, color=RULE, lw=0.8, zorder=0) for t, _, _ in scene.marks]
        self.marks = *lines, *(self.ax.text(t, 0.03, w, **style) for t, _, w in scene.marks[-8:])
        return wanted


class Course(Steps):
    """max ||J|| on the segment and at the samples, and the floor."""

    def build(self, figure) -> None:
        self.ax = self.axes(figure, "step t", "‖J‖ (output per input)", "the slope and its floor")
        styles = ("-", JACOBIAN_MEAN, 1.2), ("-", JACOBIAN, 2)
        styles += ("--", THRESHOLD, 1.5), (":", THRESHOLD, 1.1)
        self.lines = {
            name: self.ax.plot([], [], dash, color=colour, lw=width, animated=True)[0]
            for name, (dash, colour, width) in zip(COURSES, styles, strict=True)
        }
        (self.ends,) = self.ax.plot([], [], "o", color=JACOBIAN, ms=6, animated=True)
        place = {"fontsize": 8.5, "transform": self.ax.transAxes, "va": "top", "animated": True}
        words = (
            (0.02, 0.99, "━ max ‖J‖ on the segment", GREEN_TEXT),
            (0.02, 0.92, "─ max ‖J‖ at the samples", LIGHT_TEXT),
            (0.54, 0.99, "", THRESHOLD),
            (0.54, 0.92, "··· floor of a perfect fit", THRESHOLD),
        )
        self.words = [self.ax.text(x, y, t, color=c, bbox=BACK, **place) for x, y, t, c in words]
        self.moving = [*self.lines.values(), self.ends, *self.words]

    def update(self, scene):
        rows = scene.run.table(MOST)
        for name, line in self.lines.items():
            line.set_data(rows["step"], rows[name])
        for artist in (self.lines["forced"], self.words[3]):
            artist.set_visible(scene.revealed)
        self.words[2].set_text(f"- - floor{': vacuous now' if scene.run.floor.vacuous else ''}")
        self.ends.set_data(rows["step"][-1:], rows["segment"][-1:])
        top = max(float(rows[name].max()) for name in COURSES[: 4 if scene.revealed else 3])
        return self.span(scene, 0, room(1.25 * top))

    def alt(self, scene) -> str:
        run = scene.run
        reached = f"{short(run.segment)} on the segment, {short(run.samples)} at the samples"
        return f"The largest slope over steps. Now: {reached}, floor {said(run.floor)}."


class Losses(Steps):
    """The training loss on a log axis."""

    def build(self, figure) -> None:
        self.ax = self.axes(figure, "step t", "loss: mean of e²/2", "the loss")
        self.ax.set_yscale("log")
        self.ax.grid(axis="y", color="#e6e6e6", linewidth=0.7)
        (self.line,) = self.ax.plot([], [], color=LOSS, lw=1.8, animated=True)
        (self.dot,) = self.ax.plot([], [], "o", color=LOSS, ms=6, animated=True)
        self.moving = [self.line, self.dot]

    def update(self, scene):
        rows = scene.run.table(MOST)
        loss = np.maximum(rows["loss"], 1e-9)
        self.line.set_data(rows["step"], loss)
        self.dot.set_data(rows["step"][-1:], loss[-1:])
        low, high = math.floor(math.log10(loss.min())), math.ceil(math.log10(1.1 * loss.max()))
        return self.span(scene, 10.0 ** min(low, -2), 10.0**high)

    def alt(self, scene) -> str:
        return f"The loss on a log axis. Now: {short(scene.run.loss)} at step {scene.run.step}."


class Slopes(Picture):
    """Each pair: the slope that a perfect fit needs, and what is left of it at these residuals."""

    def build(self, figure) -> None:
        title = "what each pair forces"
        self.ax = self.axes(figure, "distance ‖xᵢ − xⱼ‖", "slope (output per input)", title)
        (self.links,) = self.ax.plot([], [], color="#cfcfcf", lw=0.8, animated=True)
        (self.required,) = self.ax.plot([], [], "o", mfc="none", mec=RULE, ms=5, animated=True)
        (self.reduced,) = self.ax.plot([], [], "o", color=INK, ms=3.5, animated=True)
        (self.largest,) = self.ax.plot([], [], "o", mfc="none", mec=INK, ms=14, animated=True)
        place = {"transform": self.ax.transAxes, "va": "top", "ha": "right", "animated": True}
        words = ("○ at a perfect fit: ‖yᵢ − yⱼ‖ / distance",)
        words += ("• now, less the residuals: (‖yᵢ − yⱼ‖ − eᵢ − eⱼ) / distance", "")
        self.words = [
            self.ax.text(0.99, 0.99 - 0.07 * k, text, fontsize=8.5, color=INK, bbox=BACK, **place)
            for k, text in enumerate(words)
        ]
        self.moving = [self.links, self.required, self.reduced, self.largest, *self.words]

    def update(self, scene):
        run, revealed, some = scene.run, scene.revealed, scene.run.pairs.order[:MOST]
        at, required = run.pairs.distance[some], run.pairs.required()[some]
        reduced = np.maximum(run.pairs.reduced(run.residuals)[some], 0)
        self.required.set_data(at, required)
        self.reduced.set_data(at, reduced)
        three = np.full((2, len(at), 3), np.nan)  # ends of each link, and a break
        three[0, :, :2], three[1, :, 0], three[1, :, 1] = at[:, None], reduced, required
        self.links.set_data(three[0].ravel(), three[1].ravel())
        for artist in (self.required, self.links, self.words[0]):
            artist.set_visible(revealed)
        self.largest.set_data([run.floor.distance], [run.floor.value])
        self.words[2].set_text(f"◯ the largest, the floor: {said(run.floor)}")
        low = 0.0 if run.data.n == N else 0.95 * float(at.min())
        high = room(1.35 * max(float((required if revealed else reduced).max()), 0.01))
        wanted = low, 1.05 * float(at.max()), high
        if wanted != self._drawn:
            self.ax.set_xlim(*wanted[:2])
            self.ax.set_ylim(-0.03 * high, high)
        return wanted

    def alt(self, scene) -> str:
        largest = f"{said(scene.run.floor)}, at distance {short(scene.run.floor.distance)}"
        return f"The slope that each pair forces, by distance. Now: at most {largest}."


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
        Control("gap", "distance 4–5", "distance of points 4 and 5", "They are the nearest", GAPS),
        Control("which", "point", "which point to move", "The square in the picture", WHICH),
        Control("target", "its target y", "target of that point", "Or drag it", HEIGHTS),
        Control("units", "network", "activation of the network", "Fresh weights", options=UNITS),
        Control("data", "data", "data", "Points on a line, or small images", options=DATA),
    )
    pictures: ClassVar = {"fit": Fit, "course": Course, "loss": Losses, "pairs": Slopes}
    pointable = ("fit",)
    question = Question(
        "Two samples, 4 and 5, are 0.2 apart, and their targets are −1 and 1. The network starts "
        "flat. Once it fits them, how steep must it be somewhere between them, at least?",
        number=(0.0, 20.0),
        because="To rise by 2 over a distance of 0.2 it has to have slope 10 somewhere on the way, "
        "whatever the network. Fits are often steeper: it is a floor.",
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
        widths = (1, 30, 20, 1) if self.values["data"] == "points" else (64, 64, 64, 10)
        model = mlp(widths, activation=self.values["units"], seed=0)
        self.run = ForcedRun(model, self._data(), RATES[self.values["data"]] if lr is None else lr)
        self.run.advance(steps)

    def _data(self):
        if self.values["data"] == "digits":
            return digit_samples(DIGITS, self.values["scale"])
        targets = [self.values["scale"] * height for height in self.heights]
        return line_samples(self.values["gap"], targets)

    def advance(self, seconds: float) -> None:
        wait = self._due - time.perf_counter()
        if wait > 0:
            time.sleep(min(wait, seconds))
            return
        self._due = time.perf_counter() + EVERY / PACE
        self.run.advance(EVERY)
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
                self._change(name, words.get(name, f"4–5: {values['gap']:g} apart"))
            else:
                self.status = "This one is of the points on the line."

    def _change(self, name: str, words: str) -> None:
        step, before = self.run.step, short(self.run.forced.value)
        if self.marks and self.marks[-1][1] == name and step - self.marks[-1][0] < 10 * EVERY:
            self.marks[-1] = (self.marks[-1][0], name, words)  # one drag is one mark
        else:
            self.marks.append((step, name, words))
        self.run.change(self._data())
        after = short(self.run.forced.value)
        moved = f"is still {after}" if after == before else f"went from {before} to {after}"
        go = "" if self.running else " Press Run."
        self.status = f"{words}: the floor of a perfect fit {moved}.{go}"

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
        if run.floor.vacuous:
            return "The residuals are as large as what the targets differ by: nothing is forced."
        forced = f"Samples {self.named(run.pair)} force slope {short(run.floor.value)} between them"
        times = short(run.segment / run.floor.value, 2)
        return f"{forced}; the network has {short(run.segment)}, {times} times that."

    def numbers(self) -> list[list[str]]:
        run, floor = self.run, self.run.floor
        below = "below the floor: steepest in between" if run.samples < floor.value else ""
        rows = [
            ["step t", f"{run.step}", f"loss {short(run.loss)}"],
            ["max ‖J‖ on the segment", short(run.segment), f"of {GRID} places: at least this"],
            ["max ‖J‖ at the samples", short(run.samples), below],
        ]
        if not self.revealed:
            return rows
        top, residual, least = run.curvature(100 if self.running else 1)
        slack = f"{short(top / least, 2)} times too low" if least > 0 else "vacuous"
        terms = f"{short(floor.difference)} − {short(floor.e_i, 2)} − {short(floor.e_j, 2)}"
        remark = f"residual {short(residual, 2)}, 2/η = {2 / run.lr:.3g}"
        pair = self.named((run.forced.i, run.forced.j))
        return [
            rows[0],
            ["floor on max ‖J‖", said(floor), f"({terms}) / {short(floor.distance)}"],
            *rows[1:],
            ["floor of a perfect fit", short(run.forced.value), f"by samples {pair}"],
            ["sharpness λ(G)", f"at least {short(top)}", remark],
            ["floor on it", short(least), f"{slack}; estimate: takes ‖J‖ to be so at a sample"],
        ]

    def columns(self) -> dict[str, Sequence[float]]:
        return self.run.rows

    def settings(self) -> dict[str, Any]:
        more = {"targets": list(self.heights), "eta": self.run.lr, "seed": 0}
        return {**self.values, **more, "changes": [list(mark) for mark in self.marks]}


def said(floor: PairFloor) -> str:
    return "vacuous (≤ 0)" if floor.vacuous else short(floor.value)


def room(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 7, 10 ... above a value, so that axes move seldom."""
    decade = 10 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(m * decade for m in (1, 1.5, 2, 3, 4, 5, 7, 10, 15) if m * decade >= 1.1 * value)
