"""The axes of one strip of a panel, and what moves on them: lines, labels, marks, kept runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.ticker import (
    FixedLocator,
    LogFormatterMathtext,
    MaxNLocator,
    NullLocator,
    ScalarFormatter,
)
from matplotlib.transforms import ScaledTranslation

from kit.history import Intervention
from kit.live.lettering import HALO, log_ticks, mark_text, spread, text_colour
from kit.live.palette import KEPT
from kit.live.strips import Line, Strip

LABEL_SLACK = 0.035  # of the height that a label may be off its line
POINTS = 700  # of a line at most, in pairs of least and greatest
OUTLIER = 300  # times the median: beyond it, a run that breaks leaves the picture
MARKS_AT, MARK_LENGTH = (0.01, 0.99), 0.25  # below and above, of the height: the reader's changes

Columns = Mapping[str, Sequence[float]]


class StripAxes:
    """The axes of one strip, with the artists that move."""

    def __init__(self, ax, strip: Strip, *, first: bool, last: bool) -> None:
        self.ax, self.strip, self.first, self.last = ax, strip, first, last
        self.limits: tuple[float, float, str] | None = None
        # Places that are given need not be found at each drawing, which costs as much again.
        ax.set_title(strip.title, fontsize=9.5, loc="left", y=1.0, pad=4, color="#222222")
        ax.yaxis.set_label_coords(-0.1, 0.5)
        ax.tick_params(labelsize=8.5, length=3, colors="#444444", labelbottom=last)
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color("#888888")
        ax.grid(axis="y", color="#e6e6e6", linewidth=0.7)
        ax.set_axisbelow(True)
        if last:
            ax.set_xlabel("step t", fontsize=9, color="#444444")
            below = ScaledTranslation(0, -16 / 72, ax.figure.dpi_scale_trans)
            ax.xaxis.set_label_coords(0.5, 0, transform=ax.transAxes + below)
        self._ghosts: list = []  # lines, made when they are needed
        self._marks = ax.vlines(
            [],
            0,
            1,
            transform=ax.get_xaxis_transform(),
            animated=True,
            color="#777777",
            linewidth=0.8,
        )
        self._kept: list = []  # pairs of a line and its letter
        self._shown_labels: set[int] = set()
        self._letters: list = []
        self._ready: list = []
        beside = ScaledTranslation(2 / 72, 0, ax.figure.dpi_scale_trans)
        self._mark_texts = [
            ax.text(
                0,
                MARKS_AT[1],
                "",
                transform=ax.get_xaxis_transform() + beside,
                fontsize=8,
                color="#444444",
                ha="left",
                animated=True,
                rotation=90,
            )
            for _ in range(4)
        ]
        self._lines = {
            line.column: ax.plot(
                [],
                [],
                line.dash,
                color=line.colour,
                lw=line.width,
                animated=True,
                solid_joinstyle="round",
                drawstyle="steps-post" if line.weak else "default",
            )[0]
            for line in strip.lines
        }
        self._bands = {
            line.column: ax.add_collection(
                PolyCollection([], facecolor=line.colour, alpha=0.22, lw=0, animated=True)
            )
            for line in strip.lines
            if line.error
        }
        self._texts = {
            line.column: ax.text(
                1.015,
                0,
                line.label,
                transform=ax.transAxes,
                fontsize=9,
                color=text_colour(line.colour),
                va="center",
                animated=True,
            )
            for line in strip.lines
        }

    def set_limits(self, history: Columns, ghosts, labels, steps: float) -> bool:
        """Fit the limits to the data where it has left them, or shrunk; whether they changed."""
        changed = False
        if self.ax.get_xlim() != (0.0, steps):
            self.ax.set_xlim(0.0, steps)
            changed = True
        low, high = self._extent(history, ghosts, labels)
        if low is None:
            return changed
        log = self.strip.scale == "log" or (
            self.strip.scale == "auto" and low > 0 and high > 30 * low
        )
        log = log and low > 0
        old = self.limits
        if old is not None and old[2] == ("log" if log else "linear"):
            bottom, top = old[:2]
            if log:
                fits = bottom <= low and high <= top
                roomy = math.log(top / bottom) > 3 * math.log(high / low * 1.6)
            else:
                fits = bottom <= low and high <= top
                roomy = (top - bottom) > 3 * max(high - low, 0.05 * abs(high), 1e-9)
            if fits and not roomy:
                return changed
        if log:
            bottom, top = low / 1.5, high * (1.5 if old is None else 2.0)
        else:
            # Room for growth: drawing the axes anew costs as much as ten frames.
            room = 0.14 * (high - low) or 0.1 * abs(high) or 1.0
            bottom, top = low - room, high + (4 if old is not None else 1.6) * room
            if low >= 0:
                bottom = max(bottom, 0.0)
        self.limits = (bottom, top, "log" if log else "linear")
        self.ax.set_yscale(self.limits[2])
        self.ax.set_ylim(bottom, top)
        axis = self.ax.yaxis
        ticks = log_ticks(bottom, top, 6 if self.strip.share > 1 else 4) if log else []
        if len(ticks) > 1:
            axis.set_major_locator(FixedLocator(ticks))
            plain = top / bottom < 1e5 and top < 1e5
            axis.set_major_formatter(ScalarFormatter() if plain else LogFormatterMathtext())
        else:
            low = self.ax.get_position().height < 0.25  # of the picture: few letters fit
            axis.set_major_locator(MaxNLocator(3 if low else 5))
            axis.set_major_formatter(ScalarFormatter(useOffset=False))
        axis.set_minor_locator(NullLocator())
        return True

    def _extent(self, history: Columns, ghosts, labels) -> tuple[float | None, float | None]:
        lows, highs, weak = [], [], []
        for columns in (history, *ghosts):
            for line in self.strip.lines:
                if labels.get(line.column) == "" or line.column not in columns:
                    continue
                values = _finite(columns[line.column])
                if len(values) == 0:
                    continue
                if line.weak:
                    weak.append(float(values[-1]))
                    continue
                lows.append(float(values.min()))
                highs.append(float(values.max()))
                cap = OUTLIER * float(np.median(np.abs(values)))
                highs[-1] = min(highs[-1], cap) if cap > 0 else highs[-1]
                lows[-1] = max(lows[-1], -cap) if cap > 0 else lows[-1]
        if not lows:
            return (min(weak), max(weak)) if weak else (None, None)
        low, high = min(lows), max(highs)
        for value in weak:  # a threshold comes into view when the data are within reach of it
            if 0.2 * low <= value <= 4 * high:
                low, high = min(low, value), max(high, value)
        return low, high

    def prepare(self, history: Columns, ghosts, marks, labels, kept) -> tuple:
        """Give the lines their data and the letters their places; what the letters look like."""
        self._ready = []
        if marks:
            self._marks.set_segments([[(m.step, 0), (m.step, 1)] for m in marks])
            self._ready.append(self._marks)
        faint = [
            (columns["step"], columns[line.column])
            for columns in ghosts
            for line in self.strip.lines
            if not (line.weak or line.beside) and line.column in columns
        ]
        while len(self._ghosts) < len(faint):
            self._ghosts += self.ax.plot([], [], color="#bbbbbb", lw=1, animated=True)
        for artist, (steps, values) in zip(self._ghosts, faint, strict=False):
            artist.set_data(*points(steps, values))
            self._ready.append(artist)
        ends: list[tuple[float, Line]] = []
        for line in self.strip.lines:
            columns = _newest(ghosts, line.column) if line.beside else history
            if labels.get(line.column) == "" or line.column not in columns:
                continue
            x, y = points(columns["step"], columns[line.column])
            if len(x) == 0:
                continue
            if line.weak and not line.beside:  # a threshold holds for what comes, too
                x, y = np.append(x, self.ax.get_xlim()[1]), np.append(y, y[-1])
            if line.error and line.column in self._bands:
                self._band(line, history)
            artist = self._lines[line.column]
            artist.set_data(x, y)
            artist.set_marker("o" if len(x) == 1 else "")
            self._ready.append(artist)
            if labels.get(line.column, line.label):
                ends.append((float(y[-1]), line))
        return (
            *self._place_labels(ends, labels),
            *self._place_marks(marks if self.first else ()),
            *self._place_kept(kept),
        )

    def draw_letters(self) -> None:
        for text in self._letters:
            self.ax.draw_artist(text)

    def draw_lines(self) -> None:
        for artist in self._ready:
            self.ax.draw_artist(artist)

    def _place_marks(self, marks: Sequence[Intervention]) -> list[tuple]:
        """Words beside the latest marks; of marks too near to each other, beside the last."""
        room, end, readable = 0.05 * self.ax.get_xlim()[1], math.inf, []
        for mark in marks[::-1]:
            if mark.step <= end - room:
                readable.append(mark)
                end = mark.step
        places = []
        end = self.ax.get_xlim()[1]
        for text, mark in zip(self._mark_texts, readable, strict=False):
            late = mark.step > end - 1.5 * room  # beyond the line there would be labels
            text.set_text(mark_text(mark))
            text.set_ha("right" if late else "left")
            text.set_x(mark.step - 0.013 * end if late else mark.step)
            below, above = (self._crowd(mark.step, room, height) for height in MARKS_AT)
            low = above > below
            text.set_y(MARKS_AT[0] if low else MARKS_AT[1])
            text.set_va("bottom" if low else "top")
            self._letters.append(text)
            places.append((text.get_text(), mark.step, low))
        return places

    def _crowd(self, step: float, room: float, height: float) -> int:
        """How much of the lines is where letters of this height would stand, beside a step."""
        beside, count = step + room * np.linspace(-1, 1, 9), 0
        to_axes = self.ax.transData - self.ax.transAxes
        for line in self._ready:
            if line in self._lines.values():
                y = np.interp(beside, *line.get_data())
                heights = to_axes.transform(np.column_stack([beside, y]))[:, 1]
                count += int((np.abs(heights - height) < MARK_LENGTH).sum())
        return count

    def _place_kept(self, kept: Mapping[str, Columns]) -> list[tuple]:
        """The chief line of each kept run, under the others, and its letter at the end."""
        column, places = self.strip.lines[-1].column, []
        while len(self._kept) < len(kept):
            (line,) = self.ax.plot([], [], color=KEPT, lw=1.1, animated=True)
            text = self.ax.text(0, 0, "", fontsize=9, color=text_colour(KEPT), animated=True)
            text.set(va="center", ha="center", path_effects=HALO, fontweight="bold")
            self._kept.append((line, text))
        for (line, text), (letter, columns) in zip(self._kept, kept.items(), strict=False):
            x, y = points(columns["step"], columns[column]) if column in columns else ((), ())
            if len(x):
                line.set_data(x, y)
                self._ready.insert(0, line)
                text.set_text(letter)
                text.set_position((x[-1], y[-1]))
                self._letters.append(text)
                places.append((letter, x[-1], y[-1]))
        return places

    def _band(self, line: Line, history: Columns) -> None:
        x, y = points(history["step"], history[line.column], bins=60)
        _, error = points(history["step"], history[line.error], bins=60)
        if len(x) == len(error):
            outline = np.concatenate([y - 2 * error, (y + 2 * error)[::-1]])
            band = self._bands[line.column]
            band.set_verts([np.column_stack([np.concatenate([x, x[::-1]]), outline])])
            self._ready.append(band)

    def _place_labels(self, ends: list[tuple[float, Line]], labels) -> list[tuple]:
        """Labels at the ends of the lines, moved apart where they would overlap. They follow in
        small jumps, since letters are slow to draw."""
        to_axes = self.ax.transAxes.inverted()
        gap = 0.086 * self.ax.figure.bbox.height / self.ax.get_window_extent().height
        placed = []
        for value, line in ends:
            pixel = self.ax.transData.transform((0, value))
            y = float(to_axes.transform(pixel)[1])
            placed.append([min(max(y, 0.02), 0.98) if math.isfinite(y) else 0.98, line])
        placed.sort(key=lambda item: item[0])
        heights = spread([y for y, _ in placed], gap)
        texts = [self._texts[line.column] for _, line in placed]
        moved = [abs(y - t.get_position()[1]) for y, t in zip(heights, texts, strict=True)]
        same = {id(text) for text in texts} == self._shown_labels
        if not same or max(moved, default=0.0) > LABEL_SLACK:
            for y, text in zip(heights, texts, strict=True):
                text.set_y(y)
        for (_, line), text in zip(placed, texts, strict=True):
            text.set_text(labels.get(line.column, line.label))
        self._letters, self._shown_labels = texts, {id(text) for text in texts}
        return [(text.get_text(), text.get_position()[1]) for text in texts]


def _newest(ghosts: Sequence[Columns], column: str) -> Columns:
    """The latest earlier run that has a column."""
    return next((columns for columns in reversed(ghosts) if column in columns), {})


def _finite(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    return array[np.isfinite(array)]


def points(steps: Sequence[float], values: Sequence[float], bins: int = POINTS // 2):
    """Measured points of a column; where there are many, least and greatest of each bin."""
    x, y = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
    known = np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) <= 2 * bins:
        return x, y
    edges = np.linspace(0, len(x), bins + 1).astype(int)
    low, high = np.minimum.reduceat(y, edges[:-1]), np.maximum.reduceat(y, edges[:-1])
    first = x[edges[:-1]]
    return np.repeat(first, 2), np.column_stack([low, high]).ravel()
