"""The four pictures of page 4: path, course, shares and spectrum."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator, ScalarFormatter

from kit.live.lettering import log_ticks
from kit.live.palette import JACOBIAN, LOSS, SHARPNESS, THRESHOLD
from kit.live.picture import SOFT, Picture
from kit.live.text import short

GAUSS_NEWTON = "#F0E442"  # G, drawn with a dark edge
TOP = 12  # eigenvalues of the spectrum
ROOM = 1.5  # above the largest, for its mark


class Plane(Picture):
    """Sharpness against the largest Jacobian norm, as a path."""

    def build(self, figure) -> None:
        title, place = "one path, from the open dot on", (0.145, 0.14, 0.765, 0.765)
        self.ax = self.axes(figure, "max ‖J‖₂ (output per input)", "sharpness λ", title, place)
        self.ax.loglog()
        for axis in (self.ax.xaxis, self.ax.yaxis):
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(ScalarFormatter())
        (self.path,) = self.ax.plot([], [], "-", color=SHARPNESS, lw=1.4, animated=True)
        (self.start,) = self.ax.plot([], [], "o", mfc="w", mec=SHARPNESS, ms=9, animated=True)
        (self.dot,) = self.ax.plot([], [], "o", color=SHARPNESS, ms=11, animated=True)
        (self.edge,) = self.ax.plot([], [], "--", color=THRESHOLD, lw=1.2, animated=True)
        self.name = _edge_name(self.ax)
        self.moving = [self.edge, self.name, self.path, self.start, self.dot]

    def update(self, scene):
        J, lam = np.array(scene.jacobian), np.array(scene.sharpness)
        self.path.set_data(J, lam)
        self.start.set_data(J[:1], lam[:1])
        self.dot.set_data(J[-1:], lam[-1:])
        box = (_below(J.min()), _above(J.max()), _below(lam.min()), _above(lam.max()))
        self.edge.set_data(box[:2], [scene.threshold] * 2)
        _place(self.name, scene.threshold, *box[2:])
        if box != self._drawn:
            self.ax.set_xlim(*box[:2])
            self.ax.set_ylim(*box[2:])
            self.ax.xaxis.set_major_locator(FixedLocator(log_ticks(*box[:2], 7)))
            self.ax.yaxis.set_major_locator(FixedLocator(log_ticks(*box[2:], 7)))
        return box

    def compared(self):
        return (self.path,)

    def alt(self, scene) -> str:
        return (
            "A path in a plane, on log axes: across, the largest Jacobian norm; up, sharpness. "
            "Where the two go together it leads up and to the right. Now: from "
            f"({short(scene.jacobian[0])}, {short(scene.sharpness[0])}) to "
            f"({short(scene.jacobian[-1])}, {short(scene.sharpness[-1])})."
        )


class Course(Picture):
    """H, G and J, step by step."""

    def build(self, figure) -> None:
        upper, lower = (0.145, 0.58, 0.765, 0.325), (0.145, 0.14, 0.765, 0.325)
        title = "sharpness λ(H); yellow: λ(G), without the errors' part R"
        self.above = self.axes(figure, "", "λ", title, upper)
        self.below = self.axes(figure, "step t", "‖J‖₂", "largest Jacobian norm", lower)
        self.above.tick_params(labelbottom=False)
        (self.edge,) = self.above.plot([], [], "--", color=THRESHOLD, lw=1.2, animated=True)
        self.name = _edge_name(self.above)
        (self.G,) = self.above.plot(
            [], [], "o", mfc=GAUSS_NEWTON, mec="#555555", mew=0.7, ms=4, animated=True
        )
        (self.H,) = self.above.plot([], [], color=SHARPNESS, lw=1.6, animated=True)
        (self.J,) = self.below.plot([], [], color=JACOBIAN, lw=1.6, animated=True)
        self.moving = [self.edge, self.name, self.H, self.G, self.J]

    def update(self, scene):
        self.H.set_data(scene.steps, scene.sharpness)
        self.J.set_data(scene.steps, scene.jacobian)
        self.G.set_data(scene.looked, scene.gauss_newton)
        self.edge.set_data([0, scene.case.steps], [scene.threshold] * 2)
        high = _above(max(max(scene.sharpness), max(scene.gauss_newton)))
        _place(self.name, scene.threshold, 0, high)
        wanted = (scene.case.steps, high, _above(max(scene.jacobian)))
        if wanted != self._drawn:
            for ax, top in zip((self.above, self.below), wanted[1:], strict=True):
                ax.set_xlim(0, wanted[0])
                ax.set_ylim(0, top)
        return wanted

    def compared(self):
        return (self.H, self.J)

    def alt(self, scene) -> str:
        return (
            f"Sharpness and Jacobian norm over the steps. Now: at step {scene.steps[-1]} "
            f"λ(H) = {short(scene.sharpness[-1])}, λ(G) = {short(scene.gauss_newton[-1])}, "
            f"‖J‖ = {short(scene.jacobian[-1])}."
        )


class Shares(Picture):
    """What each layer contributes to the largest eigenvalue of G."""

    def build(self, figure) -> None:
        title = "which layers the sharpness comes from"
        self.ax = self.axes(figure, "share of λ(G)", "", title)
        self.ax.set_xlim(0, 1)
        self.ax.set_xticks(np.arange(0, 1.01, 0.2))
        self.bars = self.ax.barh([0], [0], color=LOSS, height=0.6, animated=True)
        self.words: list[Any] = []
        self.moving = []

    def update(self, scene):
        shares = list(scene.shares.values())
        layers = len(shares)
        if layers != self._drawn:
            self.bars.remove()
            self.bars = self.ax.barh(range(layers), shares, color=LOSS, height=0.6, animated=True)
            for word in self.words:
                word.remove()
            self.words = [
                self.ax.text(0, k, "", va="center", fontsize=9, color=SOFT, animated=True)
                for k in range(layers)
            ]
            self.ax.set_yticks(range(layers), [f"layer {k + 1}" for k in range(layers)])
            self.ax.set_ylim(layers - 0.4, -0.6)
            self.moving = [*self.bars, *self.words]
        for bar, word, share in zip(self.bars, self.words, shares, strict=True):
            bar.set_width(share)
            word.set_text(f" {share:.0%} ")
            inside = share > 0.85  # else beside the bar
            word.set_x(share)
            word.set_ha("right" if inside else "left")
            word.set_color("w" if inside else SOFT)
        return layers

    def alt(self, scene) -> str:
        parts = ", ".join(f"layer {k + 1} {s:.0%}" for k, s in enumerate(scene.shares.values()))
        return f"Each layer's share of the largest eigenvalue of G. Now: {parts}."


class Spectrum(Picture):
    """The largest eigenvalues of H and of G."""

    def build(self, figure) -> None:
        title = f"the {TOP} largest curvatures: how many stand out?"
        self.ax = self.axes(figure, "rank of the eigenvalue", "eigenvalue", title)
        self.ax.set_xlim(0.3, TOP + 0.7)
        self.ax.set_yscale("log")
        self.ax.set_xticks(range(1, TOP + 1))
        self.ax.yaxis.set_minor_formatter(NullFormatter())
        self.ax.yaxis.set_major_formatter("{x:g}")
        (self.H,) = self.ax.plot([], [], "o", color=SHARPNESS, ms=7, animated=True, label="H")
        (self.G,) = self.ax.plot(
            [], [], "s", mfc="none", mec="#555555", mew=1.3, ms=9, animated=True, label="G = H − R"
        )
        legend = self.ax.legend(handles=[self.H, self.G], fontsize=9, frameon=False)
        legend.set_animated(True)
        self.moving = [self.G, self.H, legend]

    def update(self, scene):
        H, G = scene.spectrum
        ranks = np.arange(1, len(H) + 1)
        both = np.concatenate([H, G])
        top = float(both.max())
        box = (_below(float(both[both > 1e-4 * top].min())), _above(ROOM * top))
        self.H.set_data(ranks, np.where(box[0] < H, H, np.nan))
        self.G.set_data(np.arange(1, len(G) + 1), np.where(box[0] < G, G, np.nan))
        if box != self._drawn:
            self.ax.set_ylim(*box)
            self.ax.yaxis.set_major_locator(FixedLocator(log_ticks(*box, 7)))
        return box

    def alt(self, scene) -> str:
        H, G = scene.spectrum
        return (
            "The largest eigenvalues by rank. Now: of H "
            f"{', '.join(short(v) for v in H[:3])}; of G {', '.join(short(v) for v in G[:3])}."
        )


def _edge_name(ax):
    """The name of the dashed line, at its right end."""
    style = {"fontsize": 9, "color": THRESHOLD, "va": "center", "animated": True}
    return ax.text(1.0, 1.0, " 2/η", transform=ax.get_yaxis_transform(), **style)


def _place(name, threshold: float, low: float, high: float) -> None:
    name.set_position((1.0, threshold))
    name.set_visible(low <= threshold <= high)


def _above(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 5, 7 ... above, so that axes move seldom."""
    decade = 10 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(m * decade for m in (1.5, 2, 3, 5, 7, 10, 15) if m * decade >= 1.15 * value)


def _below(value: float) -> float:
    decade = 10 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(m * decade for m in (7, 5, 3, 2, 1.5, 1, 0.7) if m * decade <= value / 1.15)
