"""Page 6: the steepest of n samples against the steepest place there is, in one to four dimensions.

>>> scene = Steepness()
>>> scene.show()
>>> scene.values["d"], scene.answer()
(4, '16 times')
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any, ClassVar

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from kit.covering import cube_covering_radius
from kit.live.panels import BOUND, JACOBIAN, JACOBIAN_MEAN, LOSS, TEST_LOSS, THRESHOLD
from kit.live.picture import INK, SOFT, Picture
from kit.live.question import Question
from kit.live.scene import Beat, Control, Scene
from kit.live.text import short
from kit.steepness import (
    AdditiveFunction,
    covering_search,
    draw,
    embedding,
    measured_slope,
    shortfalls,
)

NS = 2 ** np.arange(2, 12)
OPENING = 64  # samples that the pictures go up to before the answer
FIT = NS >= 64  # where a slope is measured
BATCH, MOST = 40, 200  # resamples of a run, and of all
AT_ONCE = 40  # portions of work on the radius of the reader's own sample
RADII = 3  # resamples whose radii are there when the answer is
FUNCTIONS = {"pointed peak": "pointed", "rounded peak": "rounded", "ReLU network": "network"}
DIMENSIONS = (1, 2, 3, 4)
CONFIDENCES = (0.5, 0.8, 0.9, 0.95, 0.99)
ORDER = {"pointed": 1, "rounded": 2}  # of the shortfall in the distance from the steepest place
FACTORS = {2: "2 times", 4: "4 times", 8: "8 times", 16: "16 times"}
GREEN_TEXT, PURPLE_TEXT = "#00694d", "#96457a"  # of small letters, dark enough on white
FAINT = "#9a9a9a"
SEEN = 24  # tangents drawn


class Function(Picture):
    """The function and its samples: a curve, a map, or steepness by distance."""

    def build(self, figure) -> None:
        self._build_curve(figure)
        self._build_map(figure)
        self._build_distance(figure)
        self.groups = {
            1: ([self.top, self.bottom], [self.tangents, self.on_curve, self.on_slope, self.best]),
            2: ([self.plane, self.bar], [self.on_plane, self.best_plane]),
            3: ([self.far], [self.gap, self.on_far, self.best_far, self.gap_words]),
        }

    def _build_curve(self, figure) -> None:
        self.top = self.axes(figure, "", "f(u)", "f, and its slope at each sample")
        self.top.set_position((0.13, 0.57, 0.83, 0.345))
        self.top.yaxis.set_major_locator(MaxNLocator(3))
        self.top.tick_params(labelbottom=False)
        self.bottom = self.axes(figure, "input u (side of the cube: 1)", "‖J(u)‖ = |f′(u)|")
        self.bottom.set_position((0.13, 0.14, 0.83, 0.37))
        for ax in (self.top, self.bottom):
            ax.yaxis.set_label_coords(-0.1, 0.5)
        self.t = np.linspace(0, 1, 1001)
        (self.curve,) = self.top.plot([], [], color=TEST_LOSS, lw=1.2)
        (self.slope,) = self.bottom.plot([], [], color=JACOBIAN_MEAN, lw=1.5)
        self.bottom.axhline(2.0, ls="--", color=THRESHOLD, lw=1.3)
        self.true = self.bottom.text(
            0.99, 2.07, "", fontsize=8.5, color=THRESHOLD, va="bottom", ha="right"
        )
        self.top.set_xlim(0, 1)
        self.bottom.set_xlim(0, 1)
        self.bottom.set_ylim(0, 2.55)
        (self.tangents,) = self.top.plot([], [], color=JACOBIAN, lw=1.6, animated=True)
        (self.on_curve,) = self.top.plot([], [], "o", color=JACOBIAN, ms=3.5, animated=True)
        (self.on_slope,) = self.bottom.plot([], [], "o", color=JACOBIAN, ms=3.5, animated=True)
        (self.best,) = self._ring(self.bottom)

    def _build_map(self, figure) -> None:
        self.plane = self.axes(figure, "input u₁", "input u₂", "‖J(u)‖ over the square")
        self.plane.set_position((0.115, 0.14, 0.478, 0.765))
        self.plane.yaxis.set_label_coords(-0.15, 0.5)
        self.plane.set_xlim(0, 1)
        self.plane.set_ylim(0, 1)
        ticks = (np.arange(160) + 0.5) / 160
        self.grid = np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2)
        self.image = self.plane.imshow(
            np.zeros((160, 160)), origin="lower", extent=(0, 1, 0, 1), cmap="Greens", vmin=0, vmax=2
        )
        self.plane.set_aspect("auto")
        (self.peak,) = self.plane.plot([], [], "x", color=THRESHOLD, ms=9, mew=2)
        (self.on_plane,) = self.plane.plot(
            [], [], "o", color="#ffffff", mec="#222222", mew=0.6, ms=4, animated=True
        )
        (self.best_plane,) = self._ring(self.plane)
        self.bar = figure.add_axes((0.62, 0.14, 0.022, 0.765))
        bar = figure.colorbar(self.image, cax=self.bar)
        bar.outline.set_visible(False)
        self.bar.tick_params(labelsize=8.5, length=3, colors=SOFT)
        bar.set_ticks([0, 0.5, 1, 1.5, 2])
        words = (
            ("×  steepest place:\n    ‖J‖ = 2.00, the\n    true constant", 0.86, INK),
            ("○  steepest sample", 0.58, INK),
            ("•  samples", 0.44, INK),
            ("colour: ‖J‖\n(output per input)", 0.26, SOFT),
        )
        for text, y, colour in words:
            self.bar.text(
                4.4, y, text, transform=self.bar.transAxes, fontsize=8.5, color=colour, va="center"
            )

    def _build_distance(self, figure) -> None:
        self.far = self.axes(
            figure,
            "distance from the steepest place (sides of the cube)",
            "‖J‖ at a sample (output per input)",
            "every sample, by how far it is from the steepest place",
        )
        self.far.yaxis.set_label_coords(-0.09, 0.5)
        self.far.set_xlim(0, 1.2)
        self.far.set_ylim(0, 2.3)
        self.far.axhline(2.0, ls="--", color=THRESHOLD, lw=1.3)
        self.far.text(
            1.19, 2.04, "true constant 2.00", fontsize=8.5, color=THRESHOLD, ha="right", va="bottom"
        )
        (self.on_far,) = self.far.plot([], [], "o", color=JACOBIAN, ms=4, alpha=0.6, animated=True)
        (self.gap,) = self.far.plot([], [], ":", color=INK, lw=1.3, animated=True)
        self.gap_words = self.far.text(0, 0.05, "", fontsize=8.5, color=INK, animated=True)
        (self.best_far,) = self._ring(self.far)

    @staticmethod
    def _ring(ax):
        return ax.plot([], [], "o", mfc="none", mec="#000000", mew=1.8, ms=11, animated=True)

    def update(self, scene):
        f, U, norms = scene.f, scene.sample, scene.norms
        shown = min(f.d, 3)
        for kind, (axes, artists) in self.groups.items():
            for artist in (*axes, *artists):
                artist.set_visible(kind == shown)
        self.moving = self.groups[shown][1]
        top = int(norms.argmax())
        depends = f.shape, f.d
        if shown == 1:
            self._update_curve(f, U[:, 0], norms, top, depends != self._drawn)
        elif shown == 2:
            if depends != self._drawn:
                self.image.set_data(f.norms(self.grid).reshape(160, 160))
                self.peak.set_data(*f.steepest[:, None])
            self.on_plane.set_data(U[:, 0], U[:, 1])
            self.on_plane.set_markersize(4 if len(U) <= 256 else 2.4)
            self.best_plane.set_data(U[[top], 0], U[[top], 1])
        else:
            distance = np.linalg.norm(U - f.steepest, axis=1)
            self.on_far.set_data(distance, norms)
            self.best_far.set_data(distance[[top]], norms[[top]])
            close = float(distance.min())
            self.gap.set_data([close, close], [0, norms[distance.argmin()]])
            self.gap_words.set_text(f"nearest: {close:.2f}")
            left = close > 0.6
            self.gap_words.set_ha("right" if left else "left")
            self.gap_words.set_x(close + (-0.015 if left else 0.015))
        return depends

    def _update_curve(self, f, u, norms, top, anew: bool) -> None:
        if anew:
            y = f.values(self.t[:, None])
            self.curve.set_data(self.t, y)
            self.slope.set_data(self.t, f.norms(self.t[:, None]))
            room = 0.12 * (y.max() - y.min())
            self.top.set_ylim(y.min() - room, y.max() + room)
            self.true.set_text("true constant 2.00")
        y = f.values(u[:, None])
        self.on_curve.set_data(u, y)
        self.on_slope.set_data(u, norms)
        for dots in (self.on_curve, self.on_slope):
            dots.set_markersize(4.5 if len(u) <= 64 else 2)
        self.best.set_data(u[[top]], norms[[top]])
        which = np.union1d(np.arange(min(len(u), SEEN)), [top])
        slope = f.gradients(u[which, None])[:, 0]
        half = 0.05 / np.sqrt(1 + slope**2)
        gap = np.full(len(which), np.nan)
        self.tangents.set_data(
            np.column_stack([u[which] - half, u[which] + half, gap]).ravel(),
            np.column_stack([y[which] - half * slope, y[which] + half * slope, gap]).ravel(),
        )

    def alt(self, scene) -> str:
        what = {1: "A curve with its slopes", 2: "A map of ‖J‖ over a square with samples"}.get(
            scene.f.d, "Steepness of each sample against its distance from the steepest place"
        )
        distance = np.linalg.norm(scene.sample - scene.f.steepest, axis=1).min()
        return (
            f"{what}. Now: the steepest of {len(scene.sample)} samples has ‖J‖ = "
            f"{short(scene.norms.max())}; the true constant is {short(scene.f.lipschitz)}. The "
            f"sample nearest to the steepest place is {short(distance)} away."
        )


class OverN(Picture):
    """Axes over the number of samples, with room for labels at the right."""

    def over_n(self, figure, ylabel: str, title: str):
        ax = self.axes(figure, "number of samples n", ylabel, title, (0.115, 0.14, 0.65, 0.765))
        ax.loglog()
        ax.yaxis.set_label_coords(-0.135, 0.5)  # beside the widest tick label
        ax.set_xlim(3.4, 1.2 * NS[-1])
        ax.xaxis.set_major_locator(FixedLocator(NS[::2].tolist()))
        ax.xaxis.set_minor_locator(FixedLocator(NS[1::2].tolist()))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0f}"))
        ax.xaxis.set_minor_formatter(FuncFormatter(lambda x, _: ""))
        ax.grid(axis="y", color="#ececec", lw=0.7)
        self.labels = [
            ax.text(1.02, 0, "", transform=ax.transAxes, fontsize=8, va="center", animated=True)
            for _ in range(5)
        ]
        return ax

    def place_labels(self, entries, after: float = NS[-1]) -> list:
        """Labels (y, text, colour) right of n = after, moved apart; those that are shown."""
        ax = self.ax
        left, right = np.log(ax.get_xlim())
        across = 1.02 - (math.log(NS[-1]) - math.log(after)) / (right - left)
        low, high = np.log(ax.get_ylim())
        height = 0.06
        placed = sorted(
            [[(math.log(y) - low) / (high - low), text, colour] for y, text, colour in entries]
        )
        bottom = -0.02
        for entry in placed:
            tall = height * (entry[1].count("\n") + 1)
            entry[0] = max(entry[0], bottom + tall / 2)
            bottom = entry[0] + tall / 2
        over = max(0.0, bottom - 1.02)
        for artist, (y, text, colour) in zip(self.labels, placed, strict=False):
            artist.set_text(text)
            artist.set_position((across, y - over))
            artist.set_color(colour)
        return self.labels[: len(placed)]


class Estimate(OverN):
    """max ||J|| of each resample against n, the true constant, and what Theorem A says of it."""

    def build(self, figure) -> None:
        self.ax = self.over_n(
            figure, "‖J‖ (output per input)", "the steepest of n samples, and the true constant"
        )
        self.ax.set_ylim(0.5, 13)
        self.ax.yaxis.set_major_locator(FixedLocator([0.5, 1, 2, 5, 10]))
        self.ax.yaxis.set_minor_locator(NullLocator())
        self.ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        self.ax.axhline(2.0, ls="--", color=THRESHOLD, lw=1.3)
        (self.dots,) = self.ax.plot([], [], "o", color=JACOBIAN, ms=3, alpha=0.3, animated=True)
        (self.mean,) = self.ax.plot([], [], "-", color=JACOBIAN, lw=1.8, animated=True)
        (self.bound,) = self.ax.plot([], [], "-", color=BOUND, lw=1.8, animated=True)
        (self.span,) = self.ax.plot([], [], "-", color=BOUND, lw=4, alpha=0.45, animated=True)
        (self.own,) = self.ax.plot([], [], "o", color=JACOBIAN, mec="#000000", ms=8, animated=True)

    def update(self, scene):
        ns, table = NS[: scene.seen], scene.table
        largest = scene.f.lipschitz - table
        self.dots.set_data(np.tile(ns, len(table)), largest.ravel())
        self.mean.set_data(ns, largest.mean(0))
        n, own = scene.values["n"], scene.norms.max()
        self.own.set_data([n], [own])
        labels = [
            (scene.f.lipschitz, "true constant", THRESHOLD),
            (largest.mean(0)[-1] * 0.9, f"mean of {len(table)}\nresamples", GREEN_TEXT),
        ]
        if scene.revealed:
            self.bound.set_data(ns, scene.upper)
            self.span.set_data([n, n], [own, scene.upper[list(NS).index(n)]])
            labels.append((scene.upper[-1], "at most\n(Theorem A)", PURPLE_TEXT))
        else:
            self.bound.set_data([], [])
            self.span.set_data([], [])
        self.moving = [self.dots, self.mean, self.bound, self.span, self.own]
        self.moving += self.place_labels(labels)

    def alt(self, scene) -> str:
        largest = scene.f.lipschitz - scene.table
        n = int(NS[scene.seen - 1])
        text = (
            "The largest ‖J‖ of n samples against n, many resamples. Now: at n = "
            f"{n} the mean is {short(largest[:, -1].mean())}, the true constant "
            f"{short(scene.f.lipschitz)}"
        )
        if not scene.revealed:
            return text + "; larger n come later."
        return text + f", and Theorem A says at most {short(scene.upper[-1])}."


class Rate(OverN):
    """Shortfall and covering radius against n on log-log axes, with their slopes."""

    def build(self, figure) -> None:
        self.ax = self.over_n(
            figure, "shortfall (output per input), r (sides)", "what is still missing, on log axes"
        )
        self.ax.yaxis.set_minor_locator(NullLocator())
        (self.ghost,) = self.ax.plot([], [], "-", color="#c4c4c4", lw=1.4, animated=True)
        (self.guide,) = self.ax.plot([], [], ":", color=INK, lw=1.5, animated=True)
        self.notes = self.ax.text(
            0.99, 0.99, "", transform=self.ax.transAxes, fontsize=8, color=INK, va="top", ha="right"
        )
        (self.dots,) = self.ax.plot([], [], "o", color=JACOBIAN, ms=3, alpha=0.3, animated=True)
        (self.mean,) = self.ax.plot([], [], "-", color=JACOBIAN, lw=2, animated=True)
        (self.radius,) = self.ax.plot([], [], "-s", color=LOSS, lw=1.3, ms=3.5, animated=True)
        (self.bound,) = self.ax.plot([], [], "-", color=BOUND, lw=1.8, animated=True)
        (self.own,) = self.ax.plot([], [], "o", color=JACOBIAN, mec="#000000", ms=8, animated=True)

    def update(self, scene):
        ns, table = NS[: scene.seen], scene.table
        mean = table.mean(0)
        low, high = scene.floor, 40.0
        if self.ax.get_ylim() != (low, high):
            self.ax.set_ylim(low, high)
            self.ax.yaxis.set_major_locator(LogLocator(10, numticks=9))
        found = 1.35 * low  # where a shortfall of 0 is drawn
        self.dots.set_data(np.tile(ns, len(table)), np.where(table > 0, table, found).ravel())
        self.mean.set_data(ns, np.where(mean > low, mean, np.nan))
        self.own.set_data([scene.values["n"]], [max(scene.shortfall, found)])
        self.moving = [self.dots, self.mean, self.own]
        labels, notes = [], []
        shown = mean[mean > low]
        if len(shown):
            slope, _ = scene.slope
            text = "true − largest"
            if scene.revealed and math.isfinite(slope) and scene.f.shape in ORDER:
                text += f"\nslope {signed(slope)}"
            labels.append((shown[-1], text, GREEN_TEXT))
        if (table == 0).any():
            labels.append((found, "found exactly", GREEN_TEXT))
        radii = scene.radii_shown
        if len(radii):
            middle = radii.mean((0, 2))
            self.radius.set_data(ns, middle)
            labels.append((middle[-1], "covering\nradius r", SOFT))
            self.moving.append(self.radius)
        if scene.revealed:
            self.bound.set_data(ns, scene.upper - scene.largest_so_far)
            labels.append((self.bound.get_ydata()[-1], "at most\n(Theorem A)", PURPLE_TEXT))
            self.moving.append(self.bound)
            if scene.f.shape in ORDER:
                d = scene.f.d
                guide = 0.55 * mean[4] * (ns[4:] / ns[4]) ** (-1 / d)
                self.guide.set_data(ns[4:], guide)
                self.moving.append(self.guide)
                notes.append(f"dotted: slope −1/d = {signed(-1 / d)}")
            if scene.ghost is not None:
                self.ghost.set_data(NS, scene.ghost[1])
                self.moving.insert(0, self.ghost)
                notes.append(f"grey: before ({scene.ghost[0]})")
        self.moving += self.place_labels(labels, ns[-1])
        self.notes.set_text("\n".join(notes))
        return low, *notes

    def alt(self, scene) -> str:
        n, missing = int(NS[scene.seen - 1]), scene.table.mean(0)
        text = (
            "Shortfall, true constant minus largest sample, against n on log-log axes. Now: it "
            f"falls from {short(missing[0])} at n = 4 to {short(missing[-1])} at n = {n}"
        )
        slope, error = scene.slope
        if not scene.revealed or scene.f.shape not in ORDER:
            return text + "."
        told = f" ± {short(error, 2)}" if math.isfinite(error) else ""
        return f"{text}: a slope of {signed(slope)}{told}, beside −1/d = {signed(-1 / scene.f.d)}."


class Steepness(Scene):
    """Can samples tell how steep a function is? The largest ||J|| of n samples, many times over.

    `shortfall_rows` and `radius_rows` hold what each resample gave for every n of `NS`. A resample
    is one draw of NS[-1] samples, of which the first n are taken.
    """

    title = "Can samples tell how steep a function is?"
    controls = (
        Control("run", "Run", "Run or pause", "Draw more, with their covering radii"),
        Control("new", "Redraw", "Redraw the samples", "Other samples, for the first picture"),
        Control("reset", "Reset", "Reset", "Back to one dimension and 16 samples"),
        Control(
            "n",
            "samples n",
            "number of samples n",
            "How many places are looked at",
            values=tuple(int(n) for n in NS),
            bar=True,
        ),
        Control(
            "d",
            "dimension d",
            "intrinsic dimension d",
            "Of the 8 inputs so many directions vary in the data",
            values=DIMENSIONS,
            bar=True,
        ),
        Control(
            "function",
            "function",
            "function",
            "Shape of its steepness around the steepest place",
            options=FUNCTIONS,
        ),
        Control(
            "confidence",
            "confidence",
            "confidence, one minus p",
            "With this probability the samples cover as densely as promised",
            values=CONFIDENCES,
            form="{:.0%}",
        ),
    )
    pictures: ClassVar = {"function": Function, "estimate": Estimate, "rate": Rate}
    question = Question(
        "With one input, twice as many samples halve what is missing (third picture). Now four "
        "inputs vary. How many times as many samples does it take to halve it?",
        choices=tuple(FACTORS.values()),
        because="To have the nearest sample half as far from the steepest place takes twice as "
        "many in each of the four directions: 2 × 2 × 2 × 2.",
    )
    beats = (
        Beat(
            "sixteen slopes of one curve. The largest is at most the true one.",
            (("reset", None), ("n", 16)),
        ),
        Beat("more samples: the largest comes nearer, from below.", (("reset", None), ("n", 256))),
        Beat(
            "two inputs: the same number of samples, further from the peak.",
            (("reset", None), ("d", 2), ("n", 256)),
        ),
        Beat(
            "four inputs: even the nearest of 256 samples is far away.",
            (("reset", None), ("d", 4), ("n", 256)),
        ),
        Beat(
            "a rounded peak is forgiving: twice the slope.",
            (("reset", None), ("function", "rounded"), ("d", 2), ("n", 256)),
        ),
        Beat(
            "a ReLU network: all or nothing. A narrow steep piece is hit, or it is missed.",
            (("reset", None), ("function", "network"), ("d", 2), ("n", 64)),
        ),
        Beat(
            "what can be promised: the upper end of Theorem A, with 99% confidence.",
            (("reset", None), ("d", 2), ("n", 1024), ("confidence", 0.99)),
        ),
    )

    def begin(self) -> None:
        self.values = {"function": "pointed", "d": 1, "n": 16, "confidence": 0.95}
        self.draw = 0
        self._anew(complete=BATCH)
        self.running, self.ghost = False, None
        self.status = "Turn the dimension d." if self.revealed else ""

    def changed(self, name: str) -> None:
        if name in ("function", "d"):
            self._anew()
            self.running = True
            self.status = "Covering radii on the way. Turn anything meanwhile."
        else:
            self._sample()

    def pressed(self, name: str) -> None:
        if name == "new":
            self.draw += 1
            self._sample()
            self.status = f"Draw {self.draw}: other samples of the same law."
        elif self.running:
            self.running, self.status = False, "Paused."
        elif self.target >= MOST and len(self.radius_rows) >= MOST:
            self.status = f"{MOST} resamples: more would not change the picture."
        else:
            if len(self.radius_rows) >= self.target:
                self.target = min(self.target + BATCH, MOST)
                self._work = self._resampling()
            self.running, self.status = True, "Covering radii on the way. Turn anything meanwhile."

    def advance(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while self.running and time.perf_counter() < end:
            if next(self._work, "done") == "done":
                self.running = False
                self.status = f"{self.target} resamples. Press Run for more."

    def reveal(self) -> None:
        self.do("d", 4)
        while len(self.radius_rows) < RADII:
            next(self._work)
        self.running = False
        self.status = "Now d = 4; the grey line is d = 1. Turn d, and n; Run adds covering radii."

    def answer(self) -> str:
        """The factor in n that halves the shortfall for d = 4, from the slope over resamples."""
        f = AdditiveFunction("pointed", 4)
        rows = [shortfalls(f, draw(NS[-1], 4, k), NS) for k in range(BATCH)]
        slope, _ = measured_slope(NS[FIT], np.array(rows)[:, FIT])
        nearest = min(FACTORS, key=lambda factor: abs(math.log2(factor) + 1 / slope))
        return FACTORS[nearest]

    # What follows from the controls.

    def _anew(self, complete: int = 0) -> None:
        """Another function: resampling begins again, and the last mean stays as a ghost."""
        if self.revealed and getattr(self, "shortfall_rows", None):
            name = next(k for k, v in FUNCTIONS.items() if v == self.f.shape)
            self.ghost = f"{name}, d = {self.f.d}", np.array(self.shortfall_rows).mean(0)
        self.f = AdditiveFunction(self.values["function"], self.values["d"])
        self.shortfall_rows: list[np.ndarray] = []
        self.radius_rows: list[list[tuple[float, float]]] = []
        for k in range(BATCH):
            self._add_shortfalls(k)
        self.target = complete
        for _ in self._resampling():
            pass
        self.target = BATCH
        self._work = self._resampling()
        self._sample()

    def _add_shortfalls(self, k: int) -> None:
        if len(self.shortfall_rows) == k:
            self.shortfall_rows.append(shortfalls(self.f, draw(NS[-1], self.f.d, k), NS))

    def _resampling(self) -> Iterator[None]:
        """One resample after the other, in portions of some milliseconds."""
        while (k := len(self.radius_rows)) < self.target:
            self._add_shortfalls(k)
            U, row = draw(NS[-1], self.f.d, k), []
            for n in NS:
                row.append((0.0, math.inf))
                for closer in covering_search(U[:n]):
                    row[-1] = closer
                    yield
            self.radius_rows.append(row)

    def _sample(self) -> None:
        """The sample of the first picture, and Theorem A for the first n of its draw."""
        d, n = self.f.d, self.values["n"]
        U = draw(NS[-1], d, self.draw)
        self.sample = U[:n]
        norms = self.f.norms(U)
        self.norms = norms[:n]
        self.shortfall = float(shortfalls(self.f, self.sample, [n])[0])
        self.largest_so_far = np.maximum.accumulate(norms)[NS - 1]
        failure = 1 - self.values["confidence"]
        self.promised = np.array([cube_covering_radius(int(m), d, failure) for m in NS])
        self.upper = np.array(
            [
                float((norms[:m] + self.f.variation(U[:m], r)).max())
                for m, r in zip(NS, self.promised, strict=True)
            ]
        )
        *_, self.own_radius = islice(covering_search(self.sample), AT_ONCE)

    # What is seen.

    @property
    def seen(self) -> int:
        """How many of NS the pictures show."""
        return len(NS) if self.revealed else int((NS <= OPENING).sum())

    @property
    def table(self) -> np.ndarray:
        """Shortfalls (resamples, n)."""
        return np.array(self.shortfall_rows)[:, : self.seen]

    @property
    def radii_shown(self) -> np.ndarray:
        """Radii (resamples, n, 2), from and to."""
        return np.array(self.radius_rows)[:, : self.seen] if self.radius_rows else np.empty(0)

    @property
    def slope(self) -> tuple[float, float]:
        """Of the mean shortfall from n = 64 on, and its standard error."""
        return measured_slope(NS[FIT], np.array(self.shortfall_rows)[:, FIT])

    @property
    def floor(self) -> float:
        """The lower end of the log axis of shortfalls and radii."""
        known = [self.table.mean(0)]
        if len(self.radii_shown):
            known.append(self.radii_shown.mean((0, 2)))
        values = np.concatenate(known)
        least = float(values[values > 0].min())
        if self.ghost is not None:
            before = self.ghost[1]
            least = min(least, max(float(before[before > 0].min()), 2e-3))
        return 10.0 ** min(math.floor(math.log10(0.6 * least)), -2)

    def phase(self) -> str:
        n, true = self.values["n"], self.f.lipschitz
        largest = float(self.norms.max())
        if self.shortfall == 0:
            said = f"One of {n} samples lies on the steepest piece: the true constant, exactly."
        else:
            share = math.floor(1000 * largest / true) / 10  # never rounded up to all of it
            said = f"The steepest of {n} samples has {share:g}% of the true constant."
        if self.running:
            k = min(len(self.radius_rows) + 1, self.target)
            said += f" Covering: resample {k} of {self.target}."
        return said

    def numbers(self) -> list[list[str]]:
        d, n = self.f.d, self.values["n"]
        largest = float(self.norms.max())
        at = list(NS).index(n)
        missing = np.array(self.shortfall_rows)[:, at]
        error = missing.std(ddof=1) / math.sqrt(len(missing))
        rows = [
            ["samples n", f"{n}", f"draw {self.draw}; {d} of {len(embedding(d))} inputs vary"],
            ["largest ‖J‖ seen", short(largest, 4), "the true constant is at least this"],
            ["true constant", short(self.f.lipschitz), "exact, for this function"],
            [
                "shortfall",
                "0" if self.shortfall == 0 else short(self.shortfall),
                f"over {len(missing)} resamples {short(missing.mean())} ± {short(error, 2)}",
            ],
        ]
        if not self.revealed:
            return rows
        own = largest_bound(self)
        rows.append(
            [
                "at most (Theorem A)",
                short(self.upper[at]),
                f"with {self.values['confidence']:.0%} confidence; by this sample's own radius "
                f"{short(own)}",
            ]
        )
        low, high = self.own_radius
        about = short(high) if low == high else f"{short(low)} to {short(high)}"
        rows.append(["covering\nradius r", about, f"promised: at most {short(self.promised[at])}"])
        rows += self._rates(d)
        k = len(self.radius_rows)
        rows.append(["covering radii", f"{k} of {self.target}", "resamples of up to 2048 samples"])
        return rows

    def _rates(self, d: int) -> list[list[str]]:
        slope, error = self.slope
        if self.f.shape not in ORDER:
            hits = [int((np.array(self.shortfall_rows)[:, j] == 0).sum()) for j in (4, -1)]
            m = len(self.shortfall_rows)
            return [["found exactly", f"{hits[1]} of {m}", f"at n = 2048; {hits[0]} at n = 64"]]
        order = ORDER[self.f.shape]
        told = f" ± {error:.2f}" if error >= 0.005 else ""
        beside = f"from n = 64 on; beside −1/d = {signed(-1 / d)}"
        power = "2^d" if order == 1 else "2^(d/2)"
        if order == 2:
            beside += f" and −2/d = {signed(-2 / d)}"
        return [
            ["measured slope", f"{signed(slope)}{told}", beside],
            [
                "to halve the shortfall",
                f"n × {2 ** (-1 / slope):.3g}",
                f"{power} in the limit",
            ],
        ]

    def summary(self) -> str:
        words = [self.phase()]
        if self.revealed and self.f.shape in ORDER:
            slope, _ = self.slope
            words.append(
                f"On log axes the shortfall falls with a slope of {signed(slope)}; −1/d is "
                f"{signed(-1 / self.f.d)}."
            )
        return " ".join(words)

    def columns(self) -> dict[str, list[float]]:
        """A row for each resample and n; radii are empty until they are found."""
        names = ("resample", "n", "largest", "shortfall", "radius from", "radius to")
        columns: dict[str, list[float]] = {name: [] for name in names}
        for k, row in enumerate(self.table):
            radii = self.radius_rows[k] if k < len(self.radius_rows) else []
            for j, missing in enumerate(row):
                low, high = radii[j] if radii else (math.nan, math.nan)
                values = (k, int(NS[j]), self.f.lipschitz - missing, missing, low, high)
                for name, value in zip(names, values, strict=True):
                    columns[name].append(value if isinstance(value, int) else float(value))
        return columns

    def settings(self) -> dict[str, Any]:
        return self.values | {
            "draw": self.draw,
            "resamples": len(self.shortfall_rows),
            "seeds": "resample and draw k: numpy default_rng([k, d])",
            "true constant": self.f.lipschitz,
        }


def largest_bound(scene: Steepness) -> float:
    """Theorem A's upper end with the covering radius of the very sample, which needs no luck."""
    V = scene.f.variation(scene.sample, scene.own_radius[1])
    return float((scene.norms + V).max())


def signed(value: float) -> str:
    """Two decimals, with a minus sign as the axes have it.

    >>> signed(-0.25)
    '−0.25'
    """
    return f"{value:.2f}".replace("-", "−")
