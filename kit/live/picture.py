"""A picture of a scene that redraws fast: a background that is kept, and artists that move.

A page's own pictures are subclasses: `build` makes axes and artists once, `update` gives the moving
ones their data and says what the background depends on. A moving frame is encoded as JPEG, a still
one as PNG, a download as SVG or PNG.

>>> class Dot(Picture):
...     def build(self, figure):
...         (self.dot,) = self.axes(figure, "x", "y").plot([], [], "o", animated=True)
...         self.moving = [self.dot]
...     def update(self, scene):
...         self.dot.set_data([scene], [scene])
>>> Dot().encode(0.5, still=True)[:4]
b'\\x89PNG'
"""

from __future__ import annotations

import io
from collections.abc import Hashable, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from PIL import Image, PngImagePlugin

from kit.live.faint import Faint, as_course
from kit.live.panels import DPI, HEIGHT, WIDTH

INK, SOFT, RULE = "#222222", "#444444", "#888888"


class Picture:
    """One picture. `alt(scene)` says in words what it shows now."""

    def __init__(self) -> None:
        self.figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI)
        self.canvas = FigureCanvasAgg(self.figure)
        self.moving: list[Artist] = []
        self._backgrounds: dict[int, tuple[Hashable, Any]] = {}  # by width: frames, stills
        self._drawn: Hashable = None
        self.faint = Faint(self.figure)  # lines of kept runs
        self._width = WIDTH
        self.build(self.figure)

    def build(self, figure: Figure) -> None:
        """Make axes and artists; those in `self.moving`, made with animated=True, are redrawn."""
        raise NotImplementedError

    def update(self, scene: Any) -> Hashable:
        """Set the artists; the background is drawn anew whenever the returned value changes."""
        raise NotImplementedError

    def compared(self) -> Sequence[Line2D]:
        """The lines that are worth comparing with those of a kept run."""
        return ()

    def alt(self, scene: Any) -> str:
        """What the picture shows now, in words and numbers."""
        raise NotImplementedError

    @staticmethod
    def axes(figure: Figure, xlabel: str, ylabel: str, title: str = "", place=None):
        """Axes in the kit's style; `place` is (left, bottom, width, height) of the figure."""
        ax = figure.add_axes((0.145, 0.14, 0.815, 0.765) if place is None else place)
        ax.set_title(title, fontsize=9.5, loc="left", y=1.0, pad=4, color=INK)
        ax.set_xlabel(xlabel, fontsize=9, color=SOFT, labelpad=2)
        ax.set_ylabel(ylabel, fontsize=9, color=SOFT)
        ax.yaxis.set_label_coords(-0.125, 0.5)
        ax.xaxis.set_major_locator(MaxNLocator(6))
        ax.tick_params(labelsize=8.5, length=3, colors=SOFT)
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(RULE)
        ax.set_axisbelow(True)
        return ax

    def encode(
        self,
        scene: Any,
        *,
        still: bool = False,
        kind: str | None = None,
        width: int = WIDTH,
        notes: Mapping[str, str] | None = None,
    ) -> bytes:
        """Image bytes: JPEG of a moving frame, PNG of a still one, or "svg", "png" by `kind`.

        `notes` go into the file: the settings and the seed of a download.
        """
        if width != self._width:
            self._width = width
            self.figure.set_dpi(DPI * width / WIDTH)
        depends = self.update(scene)
        if kind == "svg":
            self.faint.artists()
            return noted(svg(self.figure), kind, notes or {})
        kept = self._backgrounds.get(width)
        if kept is None or kept[0] != depends:
            self.canvas.draw()
            self._backgrounds[width] = depends, self.canvas.copy_from_bbox(self.figure.bbox)
        else:
            self.canvas.restore_region(kept[1])
        self._drawn = depends
        for artist in (*self.faint.artists(), *self.moving):
            artist.axes.draw_artist(artist)
        content = encoded(self.canvas, still=still or kind == "png")
        return content if kind is None else noted(content, kind, notes or {})

    def courses(self, scene: Any) -> list[dict[str, Any]]:
        """The lines to compare, as they are now, for a file."""
        self.update(scene)
        return [
            as_course(line)
            for line in self.compared()
            if line.get_visible() and len(line.get_xdata())
            if line in self.moving or not line.get_animated()
        ]

    def point(self, across: float, down: float) -> tuple[Any, float, float] | None:
        """The axes under a point of the picture, and its place in their units; None beside them.

        `across` and `down` are shares of the width and of the height, from the upper left.
        """
        pixel = across * self.figure.bbox.width, (1 - down) * self.figure.bbox.height
        for ax in self.figure.axes:
            if ax.bbox.contains(*pixel):
                x, y = ax.transData.inverted().transform(pixel)
                return ax, float(x), float(y)
        return None


def encoded(canvas: FigureCanvasAgg, *, still: bool) -> bytes:
    """What is on the canvas, as PNG or as JPEG."""
    image = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba())
    image, buffer = image.convert("RGB"), io.BytesIO()
    if still:
        image.save(buffer, "PNG", compress_level=1)
    else:
        image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def noted(content: bytes, kind: str, notes: Mapping[str, str]) -> bytes:
    """A PNG, or an SVG, with notes in it."""
    if kind == "svg":
        words = escape("; ".join(f"{name}: {text}" for name, text in notes.items()))
        text = content.decode()
        end = text.index(">", text.index("<svg")) + 1
        return f"{text[:end]}<desc>{words}</desc>{text[end:]}".encode()
    info, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    for name, text in notes.items():
        info.add_itxt(name, text)
    Image.open(io.BytesIO(content)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """The figure as SVG; what moves is in it, since matplotlib draws all when it saves."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    return buffer.getvalue()
