"""Panels: small figures that redraw fast enough to be watched.

A panel is one matplotlib Agg figure with one or two strips (axes that share the steps). Axes,
ticks and labels are drawn once and kept as a background; each frame restores it and draws the
lines alone. The axes are drawn again only when their limits change. A moving frame is encoded as
JPEG, a still one as PNG, a download as SVG.

>>> panel = Panel("loss")
>>> panel.encode({"step": [0.0, 1.0], "loss": [2.0, 1.0]}, still=True)[:4]
b'\\x89PNG'
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from kit.history import Intervention
from kit.live.strip_axes import Columns, StripAxes
from kit.live.strips import PANELS, Strip

WIDTH, HEIGHT, DPI = 720, 450, 160
FIRST_STEPS = 300  # room on the step axis at the start


class Panel:
    """One picture. `encode` turns columns of a history into image bytes."""

    def __init__(self, key: str, strips: Sequence[Strip] | None = None) -> None:
        self.key = key
        self.strips = tuple(PANELS[key] if strips is None else strips)
        self.figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI)
        self.canvas = FigureCanvasAgg(self.figure)
        heights = [strip.share for strip in self.strips]
        axes = self.figure.subplots(
            len(heights), sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
        )[:, 0]
        self.figure.subplots_adjust(
            left=0.125, right=0.8, top=0.915, bottom=0.135, hspace=0.34 if len(heights) > 1 else 0
        )
        first, last = self.strips[0], self.strips[-1]
        self._axes = [
            StripAxes(ax, strip, first=strip is first, last=strip is last)
            for ax, strip in zip(axes, self.strips, strict=True)
        ]
        self._steps = float(FIRST_STEPS)
        # By width, of frames and of stills: the axes; and with letters, what those were.
        self._backgrounds: dict[int, Any] = {}
        self._lettered: dict[int, tuple[list[tuple], Any]] = {}
        self._width = WIDTH

    def encode(
        self,
        history: Columns,
        *,
        ghosts: Sequence[Columns] = (),
        marks: Sequence[Intervention] = (),
        labels: Mapping[str, str] | None = None,
        since: int = 0,
        still: bool = False,
        kind: str | None = None,
        width: int = WIDTH,
        kept: Mapping[str, Columns] | None = None,
    ) -> bytes:
        """Image bytes: JPEG of a moving frame, PNG of a still one, or "svg", "png" by `kind`.

        `ghosts` are earlier runs, drawn faint; `marks` the reader's interventions; `labels`
        replaces the label of a column's line ("" hides the line). Rows before `since` are left out:
        a run that was forked there shares them with a ghost. `width` in pixels; the letters scale.
        `kept`: runs by their letters, of which the chief line is drawn faint, with the letter.
        """
        labels = labels or {}
        if width != self._width:
            self._width = width
            self.figure.set_dpi(DPI * width / WIDTH)
        if since:
            history = {name: column[since:] for name, column in history.items()}
        kept = kept or {}
        self._set_limits(history, [*ghosts, *kept.values()], labels)
        letters = [axes.prepare(history, ghosts, marks, labels, kept) for axes in self._axes]
        self._restore(letters)
        for axes in self._axes:
            axes.draw_lines()
        if kind == "svg":
            return self._svg()
        size = self.canvas.get_width_height()
        image = Image.frombuffer("RGBA", size, self.canvas.buffer_rgba())
        image = image.convert("RGB")
        buffer = io.BytesIO()
        if still or kind == "png":
            image.save(buffer, "PNG", compress_level=1)
        else:
            image.save(buffer, "JPEG", quality=85)
        return buffer.getvalue()

    def _restore(self, letters: list[tuple]) -> None:
        """The picture without its lines, drawn anew only where axes or letters have changed."""
        width, box = self._width, self.figure.bbox
        known, lettered = self._lettered.get(width, (None, None))
        if width not in self._backgrounds:
            self.canvas.draw()
            self._backgrounds[width] = self.canvas.copy_from_bbox(box)
        elif letters == known:
            self.canvas.restore_region(lettered)
            return
        else:
            self.canvas.restore_region(self._backgrounds[width])
        for axes in self._axes:
            axes.draw_letters()
        self._lettered[width] = letters, self.canvas.copy_from_bbox(box)

    def clear(self) -> None:
        """Forget the limits, as for a new run."""
        self._steps = float(FIRST_STEPS)
        self._forget()
        for axes in self._axes:
            axes.limits = None

    def _set_limits(self, history: Columns, ghosts: Sequence[Columns], labels) -> None:
        last = max(columns["step"][-1] for columns in (history, *ghosts))
        changed = False
        while last > self._steps:
            self._steps *= 4 / 3 if math.log2(self._steps / FIRST_STEPS) % 1 else 1.5
            changed = True
        for axes in self._axes:
            changed = axes.set_limits(history, ghosts, labels, self._steps) or changed
        if changed:
            self._forget()

    def _forget(self) -> None:
        self._backgrounds.clear()
        self._lettered.clear()

    def _svg(self) -> bytes:
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="svg")
        return buffer.getvalue()
