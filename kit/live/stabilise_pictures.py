"""The four pictures of page 3: plane, course, slice and loss."""

from __future__ import annotations

import math

import numpy as np

from kit.live.palette import LOSS, SHARPNESS, THRESHOLD
from kit.live.picture import SOFT, Picture
from kit.live.text import short

SHOWN = 250  # steps in the pictures
RECENT = 50  # steps of a network whose path is drawn strong
BRANCH = 60  # steps without the cubic term
MARGIN = 1.3  # of the plane, above and below the path: for words
DISPLACED = "#56B4E9"  # x, everywhere on this page


class Plane(Picture):
    """Displacement along the top eigenvector against sharpness minus 2/eta."""

    def build(self, figure) -> None:
        self.ax = _axes(
            figure,
            "distance |x| from the bottom of the valley",
            "sharpness − 2/η",
            "the two numbers",
        )
        self.ax.axhline(0, color=THRESHOLD, ls="--", lw=1.2)
        place = {"fontsize": 9, "color": SOFT, "transform": self.ax.transAxes}
        self.words = [
            self.ax.text(x, y, text, ha=ha, va=va, **place)
            for x, y, ha, va, text in (
                (0.02, 0.03, "left", "bottom", "1 sharpening ↑"),
                (0.02, 0.97, "left", "top", "2 blowing up →"),
                (0.98, 0.97, "right", "top", "3 self-stabilising ↓"),
                (0.98, 0.03, "right", "bottom", "4 returning ←"),
            )
        ]
        (self.past,) = self.ax.plot([], [], "-", color="#dddddd", lw=0.9, animated=True)
        (self.line,) = self.ax.plot([], [], "-", color=SHARPNESS, lw=1.4, animated=True)
        (self.branch,) = self.ax.plot([], [], ":", color="#000000", lw=1.6, animated=True)
        (self.dot,) = self.ax.plot([], [], "o", color=SHARPNESS, ms=10, animated=True)
        self.moving = [self.past, self.line, self.branch, self.dot]
        self.limits: tuple[float, float] = (0, 0)

    def update(self, scene):
        x, y = np.abs(scene.x[-SHOWN:]), scene.y[-SHOWN:]
        if scene.training is not None and len(x) > 1:  # its two sides of the valley differ
            x, y = (x[1:] + x[:-1]) / 2, (y[1:] + y[:-1]) / 2
        recent = slice(-RECENT if scene.training is not None else None, None)
        self.past.set_data(x, y)
        self.line.set_data(x[recent], y[recent])
        self.dot.set_data(x[-1:], y[-1:])
        branch = np.abs(scene.branch)
        self.branch.set_data(branch, np.full(len(branch), scene.branch_height))
        wide = _room(np.nanmax(x, initial=1e-3))
        high = _room(np.nanmax(np.abs(y), initial=1e-3))
        for text in self.words:
            text.set_visible(scene.revealed)
        if (wide, high) != self.limits:
            self.limits = wide, high
            self.ax.set_xlim(0, wide)
            self.ax.set_ylim(-MARGIN * high, MARGIN * high)
        return wide, high, scene.revealed

    def compared(self):
        return (self.line,)

    def alt(self, scene) -> str:
        return (
            "A plane: across, the distance from the bottom of the valley; up, sharpness minus the "
            "threshold. The path goes round: up on the left, right above the line, down, and back "
            f"below it. Now: |x| = {short(abs(scene.x[-1]))}, sharpness minus 2/η = "
            f"{short(scene.y[-1])}."
        )


class Course(Picture):
    """Sharpness and displacement, step by step."""

    def build(self, figure) -> None:
        upper = (0.17, 0.58, 0.79, 0.325)
        lower = (0.17, 0.14, 0.79, 0.325)
        self.above = _axes(figure, "", "λ", "sharpness λ and 2/η (dashed)", upper)
        self.below = _axes(figure, "step t", "x", "place x: the side changes at each step", lower)
        self.above.tick_params(labelbottom=False)
        (self.edge,) = self.above.plot([], [], "--", color=THRESHOLD, lw=1.2, animated=True)
        (self.sharpness,) = self.above.plot([], [], color=SHARPNESS, lw=1.6, animated=True)
        (self.x,) = self.below.plot([], [], color=DISPLACED, lw=1.0, animated=True)
        (self.branch,) = self.below.plot([], [], ":", color="#000000", lw=1.4, animated=True)
        self.moving = [self.edge, self.sharpness, self.x, self.branch]

    def update(self, scene):
        steps = np.arange(len(scene.x))[-SHOWN:] + scene.first
        y, x = scene.y[-SHOWN:] + scene.edge, scene.x[-SHOWN:]
        self.sharpness.set_data(steps, y)
        self.x.set_data(steps, x)
        span = (float(steps[0]), float(max(steps[0] + SHOWN, steps[-1] + BRANCH)))
        self.edge.set_data(span, [scene.edge, scene.edge])
        self.branch.set_data(scene.branch_step + np.arange(len(scene.branch)), scene.branch)
        high = _room(np.nanmax(np.abs(x), initial=1e-3))
        reach = _room(np.nanmax(np.abs(y - scene.edge), initial=0.01))
        # Axes move in leaps: to draw them anew takes as long as ten frames.
        start = 50 * (span[0] // 50)
        wanted = (start, start + SHOWN + BRANCH + 50, high, reach, scene.edge)
        if wanted != self._drawn:
            self.above.set_xlim(*wanted[:2])
            self.below.set_xlim(*wanted[:2])
            self.below.set_ylim(-high, high)
            self.above.set_ylim(scene.edge - reach, scene.edge + reach)
        return wanted

    def compared(self):
        return (self.sharpness, self.x)

    def alt(self, scene) -> str:
        return (
            f"Sharpness, and the place x, over the last steps. Now: at step {scene.step} sharpness "
            f"is {short(scene.y[-1] + scene.edge)}, the threshold {short(scene.edge)}, x is "
            f"{short(scene.x[-1])}."
        )


class Slice(Picture):
    """The loss along the top eigenvector, with the present point and the next."""

    def build(self, figure) -> None:
        self.ax = _axes(
            figure,
            "place along v, the most curved direction",
            "loss − its least here",
            "the valley: the loss along v, and its parabola (dotted)",
        )
        (self.parabola,) = self.ax.plot([], [], ":", color="#000000", lw=1.4, animated=True)
        (self.loss,) = self.ax.plot([], [], color=LOSS, lw=1.8, animated=True)
        (self.hop,) = self.ax.plot([], [], "-", color=DISPLACED, lw=1.2, animated=True)
        (self.dot,) = self.ax.plot([], [], "o", color=DISPLACED, ms=10, animated=True)
        self.moving = [self.parabola, self.loss, self.hop, self.dot]

    def update(self, scene):
        s, loss, parabola, dots = scene.slice()
        low = loss.min()
        self.loss.set_data(s, loss - low)
        self.parabola.set_data(s, parabola - low)
        self.hop.set_data(dots[:, 0], dots[:, 1] - low)
        self.dot.set_data(dots[:1, 0], dots[:1, 1] - low)
        wide, high = _room(np.abs(s).max() / 1.3), _room(float((loss - low).max()))
        self.ax.set_xlim(-1.1 * wide, 1.1 * wide)
        self.ax.set_ylim(-0.05 * high, high)
        return wide, high

    def compared(self):
        return (self.loss,)

    def alt(self, scene) -> str:
        return (
            "The loss along the top eigenvector, and the parabola with its curvature. Now: the "
            f"parameters are {short(scene.x[-1])} from the lowest point of the parabola."
        )


class Losses(Picture):
    """The loss, which swings from step to step, and falls all the same."""

    def build(self, figure) -> None:
        self.ax = _axes(figure, "step t", "loss", "the loss (grey), and its mean over two steps")
        (self.loss,) = self.ax.plot([], [], color="#b0b0b0", lw=1.0, animated=True)
        (self.mean,) = self.ax.plot([], [], color=LOSS, lw=1.8, animated=True)
        self.moving = [self.loss, self.mean]

    def update(self, scene):
        loss = np.array(scene.losses[-SHOWN:])
        steps = np.arange(len(scene.losses))[-SHOWN:] + scene.first
        self.loss.set_data(steps, loss)
        self.mean.set_data(steps[1:], (loss[1:] + loss[:-1]) / 2)
        start = 50 * (steps[0] // 50)
        low, high = float(np.nanmin(loss)), float(np.nanmax(loss))
        room = _room(max(high - low, 1e-3))
        middle = round((low + high) / 2 / (room / 4)) * (room / 4)
        wanted = (start, start + SHOWN + BRANCH + 50, middle, room)
        if wanted != self._drawn:
            self.ax.set_xlim(*wanted[:2])
            self.ax.set_ylim(middle - 0.8 * room, middle + 0.8 * room)
        return wanted

    def compared(self):
        return (self.mean,)

    def alt(self, scene) -> str:
        return f"The loss over the last steps. Now: {short(scene.losses[-1])} at step {scene.step}."


def _axes(figure, xlabel, ylabel, title, place=(0.17, 0.14, 0.79, 0.765)):
    """Axes with room for numbers of six letters."""
    ax = Picture.axes(figure, xlabel, ylabel, title, place)
    ax.yaxis.set_label_coords(-0.17, 0.5)
    ax.yaxis.set_major_formatter("{x:.6g}")
    return ax


def _room(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 5, 7, 10 ... above a value, so that axes move seldom."""
    if not math.isfinite(value) or value <= 0:
        return 1.0
    decade = 10 ** math.floor(math.log10(value))
    return next(m * decade for m in (1.5, 2, 3, 5, 7, 10, 15) if m * decade >= 1.1 * value)
