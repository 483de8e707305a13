"""Pictures of a table of networks: a column against a setting, and one column against another.

A point is a mean over seeds with two standard errors of it; the reader's own networks are open
circles, each its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from kit.contrast import means
from kit.live.lettering import HALO, log_ticks, spread
from kit.live.picture import INK, SOFT, Picture
from kit.live.text import short

ABOVE, APART = 0.025, 0.07  # of the height of the axes: a label over its line, and over the next


@dataclass(frozen=True)
class Axis:
    """A column on the vertical axis: label with its symbol, colour, whether its scale is log."""

    column: str
    label: str
    colour: str
    log: bool = False


class End(NamedTuple):
    """Of a line: its last place and two standard errors there, its label, whether it is strong."""

    x: float
    y: float
    error: float
    label: str
    strong: bool


class Curves(Picture):
    """One to three columns against what is varied, each on axes of its own.

    The scene has `table()`, the rows to show; `varied()`, the column on the horizontal axis with
    its label, and whether it is on a log scale; and `lines()`: pairs of a label and a mask of the
    table, the first drawn strong, the others faint; `marked()` is a value of what is varied to
    point out, or None. `seen()` changes when any of them does.
    """

    axes_of: ClassVar[Sequence[Axis]]
    title = ""

    def build(self, figure) -> None:
        count = len(self.axes_of)
        room, gap = 0.845 if count == 1 else 0.875, 0.11
        width = (room - gap * (count - 1)) / count
        left = 0.125 if count == 1 else 0.1
        self.axs = []
        for i, axis in enumerate(self.axes_of):
            place = (left + i * (width + gap), 0.15, width, 0.73)
            ax = self.axes(figure, "", "", axis.label, place)
            ax.title.set_fontsize(9.5 if count == 1 else 8.6)
            self.axs.append(ax)
        self._artists: list = []
        self._strong: list = []

    def compared(self):
        return self._strong

    def update(self, scene):
        for artist in self._artists:
            artist.remove()
        self._artists, self._strong = [], []
        column, label, log = scene.varied()
        for ax, axis in zip(self.axs, self.axes_of, strict=True):
            ax.set_xlabel(label, fontsize=8.8, color=SOFT)
            self._draw(ax, axis, scene, column, log)
        return scene.seen()

    def _draw(self, ax, axis: Axis, scene, column: str, log: bool) -> None:
        table, lows, highs = scene.table(), [], []
        places = positions(sorted(scene.settings_of(column)), log)
        ends: list[End] = []
        for k, (label, mask) in list(enumerate(scene.lines()))[::-1]:
            rows = table[mask]
            kept = means(rows[~rows["own"]], axis.column, column)
            kept = [(x, y, e) for x, y, e in kept if not axis.log or y > 0]
            if kept:
                x, y, e = (np.array(v) for v in zip(*kept, strict=True))
                at = np.array([places[v] for v in x])
                style = {"color": axis.colour, "lw": 2.0 if k == 0 else 1.1}
                bar = ax.errorbar(
                    at,
                    y,
                    yerr=np.minimum(e, 0.9 * abs(y)) if axis.log else e,
                    alpha=1.0 if k == 0 else 0.35,
                    capsize=2.5,
                    marker="o",
                    ms=5 if k == 0 else 3,
                    **style,
                )
                self._artists.append(bar)
                if k == 0:
                    self._strong.append(bar.lines[0])
                lows.append((y - e).min())
                highs.append((y + e).max())
                if axis.log:
                    lows[-1] = y.min() / 1.3
                ends.append(End(float(at[-1]), float(y[-1]), float(e[-1]), label, k == 0))
            mine = rows[rows["own"] & (rows["status"] == "done")]
            if k == 0 and len(mine):
                at = [places[v] for v in mine[column].astype(float)]
                y = mine[axis.column].astype(float).to_numpy()
                self._artists += ax.plot(
                    at, y, "o", mfc="none", mec="black", ms=6.5, mew=1.1, zorder=5
                )
                lows.append(np.nanmin(y))
                highs.append(np.nanmax(y))
        self._limit(ax, axis, list(places.values()), lows, highs)
        if scene.marked() in places:
            at = places[scene.marked()]
            self._artists.append(ax.axvline(at, color="#b9c4d0", lw=7, alpha=0.5, zorder=0))
        ax.xaxis.set_major_locator(FixedLocator(list(places.values())))
        ax.set_xticklabels([compact(v) for v in places])
        ax.tick_params(axis="x", labelsize=8 if len(places) < 6 else 6.8)
        self._name(ax, [end for end in ends if end.label], min(places.values()))

    def _name(self, ax, ends: list[End], first: float) -> None:
        """A label above the bar at the end of each line, below that of the lowest."""
        ends = sorted(ends, key=lambda end: end[1])
        to_axes = ax.transData - ax.transAxes
        heights = [float(to_axes.transform((x, y + e))[1]) + ABOVE for x, y, e, _, _ in ends]
        if len(ends) > 1:
            x, y, e, _, _ = ends[0]
            below = float(to_axes.transform((x, y - e))[1]) - APART
            heights[0] = below if below > 0 else heights[0]
        for (x, _, _, label, strong), height in zip(ends, spread(heights, APART), strict=True):
            self._artists.append(
                ax.text(
                    x,
                    height,
                    label,
                    transform=ax.get_xaxis_transform(),
                    ha="left" if x == first else "right",
                    fontsize=8 if strong else 7,
                    color=INK if strong else "#666666",
                    path_effects=HALO,
                )
            )

    @staticmethod
    def _limit(ax, axis: Axis, places, lows, highs) -> None:
        room = 0.06 * (max(places) - min(places)) or 0.5
        ax.set_xlim(min(places) - room, max(places) + room)
        ax.set_yscale("log" if axis.log else "linear")
        lows = [v for v in lows if math.isfinite(v)]
        highs = [v for v in highs if math.isfinite(v)]
        if not lows:
            return
        low, high = min(lows), max(highs)
        ax.grid(axis="y", color="#ececec", linewidth=0.7)
        if axis.log:
            ax.set_ylim(low / 1.5, high * 1.8)
            ticks = log_ticks(low / 1.5, high * 1.8, 7)
            ax.yaxis.set_major_locator(FixedLocator(ticks))
            ax.yaxis.set_minor_locator(NullLocator())
            ax.yaxis.set_major_formatter(lambda v, _: f"{v:g}")
        else:
            pad = 0.12 * (high - low) or 0.1 * abs(high) or 1.0
            bottom = min(low - pad, 0.0) if low >= 0 and low < 0.5 * high else low - pad
            ax.set_ylim(max(bottom, 0.0) if low >= 0 else bottom, high + 1.6 * pad)

    def alt(self, scene) -> str:
        column, label, _ = scene.varied()
        _, mask = scene.lines()[0]
        parts = []
        for axis in self.axes_of:
            found = means(scene.table()[mask], axis.column, column)
            if found:
                (x0, y0, _), (x1, y1, _) = found[0], found[-1]
                parts.append(f"{axis.label} {short(y0)} at {x0:g} and {short(y1)} at {x1:g}")
        return f"{self.title} against {label}. Now: {'; '.join(parts) or 'nothing is finished: 0'}."


def positions(values: Sequence[float], log: bool) -> dict[float, float]:
    """Where each value of a setting stands: evenly on a log scale, with 0 one place before.

    >>> positions([0.0, 0.01, 0.1], True), positions([0.0, 2.0], False)
    ({0.0: 0.0, 0.01: 1.0, 0.1: 2.0}, {0.0: 0.0, 2.0: 2.0})
    """
    if log:
        return {value: float(i) for i, value in enumerate(values)}
    return {value: float(value) for value in values}


def compact(value: float) -> str:
    """A setting in few letters.

    >>> compact(0.0003), compact(0.003), compact(512)
    ('3e-4', '0.003', '512')
    """
    return f"{value:.0e}".replace("e-0", "e-") if 0 < value < 1e-3 else f"{value:g}"


class Scatter(Picture):
    """A measure against a gap, a point a network, coloured by what is varied.

    The scene has `table()`, `varied()`, `seen()`, `measure` and `gap`, columns with their labels,
    and `verdict()`, the line above.
    """

    def build(self, figure) -> None:
        self.ax = self.axes(figure, "", "", "", (0.155, 0.15, 0.625, 0.74))
        self.ax.yaxis.set_label_coords(-0.155, 0.5)
        self._artists: list = []

    def update(self, scene):
        for artist in self._artists:
            artist.remove()
        (measure, x_label), (gap, y_label) = scene.measure(), scene.gap()
        column, label, _ = scene.varied()
        rows = scene.table()
        rows = rows[rows["status"] == "done"]
        x, y = rows[measure].astype(float), rows[gap].astype(float)
        usable = (x > 0) & y.notna()
        rows, x, y = rows[usable], x[usable], y[usable]
        values = sorted(rows[column].unique())
        self._artists = []
        for i, value in enumerate(values):
            colour = shade(i, len(values))
            for own in (False, True):
                mask = (rows[column] == value) & (rows["own"] == own)
                face = {"mfc": "none", "mec": "black"} if own else {"mfc": colour, "mec": colour}
                self._artists += self.ax.plot(x[mask], y[mask], "o", ms=5, alpha=0.85, **face)
            self._artists.append(
                self.ax.text(
                    1.03,
                    0.97 - 0.085 * (i + 1),
                    f"● {value:g}",
                    transform=self.ax.transAxes,
                    color=colour,
                    fontsize=8.5,
                )
            )
        self._artists.append(
            self.ax.text(
                1.03,
                0.97,
                label.split(",")[0],
                transform=self.ax.transAxes,
                fontsize=8.2,
                color=SOFT,
            )
        )
        self.ax.set_xscale("log")
        self.ax.xaxis.set_minor_formatter(NullFormatter())
        if len(x):
            self.ax.set_xlim(x.min() / 1.3, x.max() * 1.3)
            decades = math.log10(x.max() / x.min() * 1.69)
            ticks = [
                m * 10.0**e for e in range(-8, 9) for m in ((1,) if decades > 2 else (1, 2, 5))
            ]
            self.ax.xaxis.set_major_locator(FixedLocator(ticks))
            self.ax.xaxis.set_minor_locator(NullLocator())
            self.ax.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
            pad = 0.1 * (y.max() - y.min()) or 0.1
            self.ax.set_ylim(y.min() - pad, y.max() + pad)
        self.ax.set_xlabel(x_label, fontsize=9, color=SOFT)
        self.ax.set_ylabel(y_label, fontsize=9, color=SOFT)
        self.ax.set_title(scene.verdict(), fontsize=9.2, loc="left", pad=4)
        return scene.seen()

    def alt(self, scene) -> str:
        (_, x_label), (_, y_label) = scene.measure(), scene.gap()
        count = int((scene.table()["status"] == "done").sum())
        return (
            f"A point for each of the networks, {x_label} across and {y_label} up. "
            f"Now: {count} networks, {scene.verdict()}."
        )


def shade(i: int, count: int) -> str:
    """The i-th of a few colours in order, told apart by the colour-blind: dark to light.

    >>> shade(0, 3), shade(2, 3)
    ('#440154', '#7ad151')
    """
    scale = ("#440154", "#414487", "#2a788e", "#22a884", "#7ad151")
    return scale[round(i * (len(scale) - 1) / max(count - 1, 1))]
