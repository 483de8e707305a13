"""Lines of kept runs, faint, in a picture of a scene: each with the letter of its run.

>>> from matplotlib.figure import Figure
>>> figure = Figure()
>>> ax = figure.add_subplot(xlabel="step t", ylabel="loss")
>>> (line,) = ax.plot([0, 1, 2], [4.0, 2.0, 1.0])
>>> faint = Faint(figure)
>>> faint.show({"A": [Course(**as_course(line))]})
>>> [text.get_text() for text in faint.artists()[1::2]]
['A']
>>> _ = ax.set_ylabel("sharpness λ")  # where the line would mean something else
>>> faint.artists()
[]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kit.live.lettering import HALO, text_colour
from kit.live.palette import KEPT


@dataclass(frozen=True, eq=False)  # the same course is the same object
class Course:
    """A line of a picture: the place of its axes in the figure, what they show, its points."""

    axes: int
    shows: str
    x: Sequence[float]
    y: Sequence[float]


def as_course(line: Line2D) -> dict[str, Any]:
    """A line as it is now, for a file."""
    x, y = (np.ma.filled(values, np.nan) for values in line.get_data())
    axes = line.axes.figure.axes.index(line.axes)
    return {"axes": axes, "shows": _shows(line.axes), "x": x.tolist(), "y": y.tolist()}


class Faint:
    """Draws courses on the axes that show now what they showed then."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self._kept: dict[str, Sequence[Course]] = {}
        self._places: list[tuple] = []
        self._artists: list[Artist] = []

    def show(self, kept: Mapping[str, Sequence[Course]]) -> None:
        """From now on these, by the letters of their runs."""
        self._kept = dict(kept)

    def artists(self) -> list[Artist]:
        """A line and a letter for each course that has a place; made anew where axes moved."""
        places = [
            (letter, course, ax, (*ax.get_xlim(), *ax.get_ylim()))
            for letter, courses in self._kept.items()
            for course in courses
            for ax in self.figure.axes[course.axes : course.axes + 1]
            if ax.get_visible() and _shows(ax) == course.shows
        ]
        if places != self._places:
            for artist in self._artists:
                artist.remove()
            self._artists = [artist for place in places for artist in _drawn(*place)]
            self._places = places
        return self._artists


def _shows(ax) -> str:
    return f"{ax.get_xlabel()} | {ax.get_ylabel()} | {ax.get_xscale()} | {ax.get_yscale()}"


def _drawn(letter: str, course: Course, ax, limits) -> tuple[Artist, Artist]:
    """The line, and its letter where it ends or leaves the picture."""
    x, y = np.array(course.x), np.array(course.y)
    style = {"color": KEPT, "lw": 1.1, "zorder": 1, "animated": True}
    (line,) = ax.plot(x, y, scalex=False, scaley=False, **style)
    left, right, low, high = *sorted(limits[:2]), *sorted(limits[2:])
    inside = np.flatnonzero((x >= left) & (x <= right) & (y >= low) & (y <= high))
    end = inside[-1] if len(inside) else 0
    name = ax.text(x[end], y[end], letter if len(inside) else "", fontsize=9, fontweight="bold")
    name.set(color=text_colour(KEPT), ha="center", va="center", path_effects=HALO, animated=True)
    return line, name
