"""The four pictures of page 1: the valley, the map, the valley from above, and the loss."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.path import Path
from matplotlib.ticker import FixedLocator, NullLocator

from kit import quadratic
from kit.live.palette import INVARIANT, LOSS, SHARPNESS, THRESHOLD
from kit.live.picture import INK, RULE, SOFT, Picture
from kit.live.text import decades, short

STEPS = 60  # of a path
REACH = 3.2  # of the pictures, to either side
ROOM = 1.35  # beyond the ends of the sliders, on the map
CLOSE = 1.7  # times apart: two curvatures whose names need the same place
THICK = 1.6  # times that a region is wide, to hold its name
ALONG = (1.0, *(1.08**s for k in range(1, 20) for s in (k, -k)))  # times η: places for a name
FINE = (1.1, 1.3, 1.4, 1.6, 1.7, 1.8, 1.9, 2.1, 2.2, 2.3, 2.4, 2.6, 2.8)
FINE += (1.52, 1.54, 1.56, 1.58, 1.62, 1.64, 1.66, 1.68)  # about the answer to the question
RATES = tuple(sorted({*decades(0.05, 4), *FINE}))
CURVATURES = tuple(sorted({*decades(0.05, 8), 1.25}))
CALM, SWINGING, GONE = "#e3f1ea", "#fdf0dc", "#f7ddd0"  # of the three regimes, with words in them


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
        self.gone = gone(self.ax)
        self.moving = [self.path, self.past, self.ball, self.gone]

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
        self.gone.set_text(scene.left(scene.path[:, 0], REACH))
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
        self.gone = gone(self.ax)
        self.moving = [self.path, self.past, self.start, self.ball, self.gone]
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
        self.gone.set_text(scene.left(np.abs(scene.path).max(1), REACH))
        return curvatures

    def compared(self):
        return (self.path,)

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
        place = (0.145, 0.14, 0.755, 0.765)
        self.ax = self.axes(figure, "learning rate η", "curvature λ", "what happens where", place)
        self.ax.loglog()
        self.ax.set_xlim(RATES[0] / ROOM, RATES[-1] * ROOM)
        self.ax.set_ylim(CURVATURES[0] / ROOM, CURVATURES[-1] * ROOM)
        for axis in (self.ax.xaxis, self.ax.yaxis):
            axis.set_major_locator(FixedLocator((0.1, 0.2, 0.5, 1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())
        self.eta = np.array(self.ax.get_xlim())
        self.fills: list[Any] = []
        (self.calm,) = self.ax.plot([], [], color="#777777", lw=1)
        (self.edge,) = self.ax.plot([], [], "--", color=THRESHOLD, lw=1.6)
        first, second = self.ax.transData.transform([(1, 1), (2, 0.5)])
        along = np.degrees(np.arctan2(*(second - first)[::-1]))  # of a line of equal ηλ
        style = {"fontsize": 9.5, "color": SOFT, "ha": "center", "va": "center", "animated": True}
        self.words = [
            self.ax.text(1, 1, text, rotation=along, rotation_mode="anchor", **style)
            for text in ("monotone", "oscillating", "diverging")
        ]
        (self.guess,) = self.ax.plot([], [], ":", color="#222222", lw=1.2)
        self.said = self.ax.text(1, 1, "", fontsize=9, color="#222222", va="bottom", ha="center")
        self.name = self.ax.text(1, 1, "", fontsize=9.5, color=THRESHOLD, va="center")
        (self.flat,) = self.ax.plot([], [], "s", color=INVARIANT, ms=9, animated=True)
        (self.sharp,) = self.ax.plot([], [], "o", color=SHARPNESS, ms=11, animated=True)
        self.labels = [
            self.ax.text(0, 0, name, fontsize=10, animated=True, va="center", ha="right")
            for name in ("  λ₁  ", "  λ₂  ")
        ]
        self.moving = [*self.words, self.flat, self.sharp, *self.labels]
        self.sizes = {word: self._size(word) for word in self.words}
        self.named = False  # whether the regions have names
        self.ends = [(1.0, 1.0)] * len(self.words)  # of η λ, of each region

    def update(self, scene):
        momentum, nesterov = scene.momentum
        depends = (momentum, nesterov, scene.revealed, scene.guess)
        if depends != self._drawn:
            self._draw_regions(scene.revealed, *quadratic.boundaries(momentum, nesterov))
            self._draw_guess(scene.guess)
        eta = scene.values["lr"]
        points = zip((self.sharp, self.flat), self.labels, scene.curvatures, strict=True)
        for dot, label, h in points:
            dot.set_data([eta], [h])
            label.set_position((eta, h))
            label.set_ha("left" if eta < 2 * RATES[0] else "right")
        first, second = scene.curvatures
        close = max(first, second) < CLOSE * min(first, second)
        sides = ("bottom", "top") if first >= second else ("top", "bottom")
        for label, side in zip(self.labels, sides, strict=True):
            label.set_va(side if close else "center")
        self._place_words()
        return depends

    def _place_words(self) -> None:
        """Each name in the middle of its region, or near that where the reader's points are not.

        A region that is too thin for its name, or has no such place, goes without.
        """
        marks = [self.flat, self.sharp, *self.labels]
        marks += [self.guess] if len(self.guess.get_xdata()) else []
        taken = [mark.get_window_extent().padded(2) for mark in marks]
        for word, ends in zip(self.words, self.ends, strict=True):
            word.set_visible(False)
            for place in self._places(*ends) if self.named and ends[1] > THICK * ends[0] else ():
                word.set_position(place)
                outline = self.outline(word)
                inside = all(self.ax.bbox.contains(*corner) for corner in outline.vertices)
                if inside and not any(outline.intersects_bbox(other) for other in taken):
                    word.set_visible(True)
                    break

    def _size(self, word) -> np.ndarray:
        """Width and height of the letters as they would lie level, in inches."""
        slant = word.get_rotation()
        word.set_rotation(0)
        size = np.array(word.get_window_extent().size) / self.figure.dpi
        word.set_rotation(slant)
        return size

    def outline(self, word) -> Path:
        """The slanted box of the name of a region, in pixels."""
        width, height = self.sizes[word] * self.figure.dpi
        turn = np.radians(word.get_rotation())
        along, up = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]]) / 2
        middle = self.ax.transData.transform(word.get_position())
        return Path(middle + corners * (width, height) @ np.array([along, up]))

    def _places(self, least: float, most: float) -> Iterator[tuple[float, float]]:
        """Places in a region, by η λ from its middle outwards, and along lines of equal η λ."""
        (low, high), middle = self.ax.get_ylim(), np.sqrt(least * most)
        aspect = np.sqrt(self.eta[0] * self.eta[1] / (low * high))
        for across in (1.0, 0.7, 1.4, 0.5, 2.0, 0.25, 4.0):
            if across == 1 or least < 0.6 * across * middle < 0.36 * most:
                for along in ALONG:
                    eta = np.sqrt(across * middle * aspect) * along
                    yield eta, across * middle / eta

    def _draw_regions(self, revealed: bool, calm: float, edge: float) -> None:
        for fill in self.fills:
            fill.remove()
        self.fills = []
        low, high = self.ax.get_ylim()
        lines = [np.full(2, low / 10), calm / self.eta, edge / self.eta, np.full(2, 1e3)]
        ends = [low * self.eta[0], calm, edge, high * self.eta[1]]
        self.named, self.ends = revealed, list(pairwise(ends))
        self.calm.set_data(self.eta, lines[1] if revealed else [np.nan, np.nan])
        self.edge.set_data(self.eta, lines[2] if revealed else [np.nan, np.nan])
        self.name.set_text(f" {edge:.3g}/η" if revealed else "")
        self.name.set_position((self.eta[1], edge / self.eta[1]))
        if revealed:
            for colour, (below, above) in zip((CALM, SWINGING, GONE), pairwise(lines), strict=True):
                self.fills.append(
                    self.ax.fill_between(self.eta, below, above, color=colour, lw=0, zorder=0)
                )

    def _draw_guess(self, guess: float | None) -> None:
        """The learning rate that the reader named."""
        known = guess is not None and self.eta[0] <= guess <= self.eta[1]
        low, high = self.ax.get_ylim()
        self.guess.set_data([guess, guess] if known else [], [low, high] if known else [])
        self.said.set_text(" your guess " if known else "")
        if known:
            self.said.set_position((guess, low * (high / low) ** 0.02))
            self.said.set_ha("left" if guess**2 < self.eta[0] * self.eta[1] else "right")
            self.said.set_va("bottom")

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
        self.gone = gone(self.ax)
        self.moving = [self.line, self.dot, self.gone]

    def update(self, scene) -> None:
        y = np.clip(scene.losses[: scene.shown + 1], 1e-9, 1e9)
        x = np.arange(len(y))
        self.line.set_data(x, y)
        self.dot.set_data(x[-1:], y[-1:])
        self.gone.set_text(scene.left(scene.losses, self.ax.get_ylim()[1]))

    def compared(self):
        return (self.line,)

    def alt(self, scene) -> str:
        return (
            f"The loss on a log axis. Now: it went from {short(scene.losses[0])} to "
            f"{short(scene.losses[scene.shown])} in {scene.shown} steps."
        )


def gone(ax):
    """Words in the middle of a picture that the ball has left."""
    return ax.text(
        0.5, 0.9, "", transform=ax.transAxes, ha="center", fontsize=9, color=INK, animated=True,
        bbox={"facecolor": "white", "edgecolor": RULE, "alpha": 0.9, "pad": 3},
    )  # fmt: skip
