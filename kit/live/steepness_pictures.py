"""The pictures of page 6: the function, the steepest of n samples, what is missing, coverage."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from kit.live.palette import BOUND, JACOBIAN, JACOBIAN_MEAN, LOSS, TEST_LOSS, THRESHOLD
from kit.live.picture import INK, SOFT, Picture
from kit.live.text import short

NS = 2 ** np.arange(2, 12)
ORDER = {"pointed": 1, "rounded": 2}  # of the shortfall in the distance from the steepest place
GREEN_TEXT, PURPLE_TEXT = "#00694d", "#96457a"  # of small letters, dark enough on white
LARGEST = "the largest ‖J‖ there is, the true constant: 2.00"
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
        self.top = self.axes(figure, "", "f(u)", "a function f, and its slope at each sample")
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
            0.99, 2.2, "", fontsize=8.5, color=THRESHOLD, va="bottom", ha="right"
        )
        self.top.set_xlim(0, 1)
        self.bottom.set_xlim(0, 1)
        self.bottom.set_ylim(0, 2.75)
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
            (
                "×  steepest place:\n    the largest ‖J‖ is\n    2.00, the true\n    constant",
                0.84,
                INK,
            ),
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
        self.far.text(1.19, 2.04, LARGEST, fontsize=8.5, color=THRESHOLD, ha="right", va="bottom")
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
            self.true.set_text(LARGEST)
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
        what = {
            1: "Input across: a curve with its slope at each sample, and below how steep it is",
            2: "A map of ‖J‖ over a square, with the samples and the steepest place",
        }.get(scene.f.d, "A dot for each sample: distance from the steepest place, and ‖J‖ up")
        distance = np.linalg.norm(scene.sample - scene.f.steepest, axis=1).min()
        return (
            f"{what}. Now: the steepest of {len(scene.sample)} samples has ‖J‖ = "
            f"{short(scene.norms.max())}; the largest there is, the true constant, is "
            f"{short(scene.f.lipschitz)}. The sample nearest to the steepest place is "
            f"{short(distance)} away."
        )


class OverN(Picture):
    """Axes over the number of samples, with room for labels at the right."""

    def over_n(self, figure, ylabel: str, title: str):
        ax = self.axes(figure, "number of samples n", ylabel, title, (0.13, 0.14, 0.64, 0.765))
        ax.loglog()
        ax.yaxis.set_label_coords(-0.13, 0.5)  # beside the widest tick label
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
        white = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.8}
        place = {"transform": ax.transAxes, "fontsize": 8, "color": INK, "va": "top", "bbox": white}
        self.notes = ax.text(0.99, 0.99, "", ha="right", linespacing=1.35, animated=True, **place)
        style = {"mfc": "none", "mec": "#000000", "mew": 1.8, "ms": 10, "animated": True}
        (self.own,) = ax.plot([], [], "o", **style)
        return ax

    def place_labels(self, entries, after: float = NS[-1]) -> list:
        """Labels (y, text, colour) right of n = after, moved apart; those that are shown."""
        ax = self.ax
        left, right = np.log(ax.get_xlim())
        across = 1.02 - (math.log(NS[-1]) - math.log(after)) / (right - left)
        low, high = np.log(ax.get_ylim())
        height = 0.064
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
            figure, "‖J‖ (output per input)", "the steepest of n samples, and the largest there is"
        )
        self.ax.set_ylim(0.5, 20)
        self.ax.yaxis.set_major_locator(FixedLocator([0.5, 1, 2, 5, 10, 20]))
        self.ax.yaxis.set_minor_locator(NullLocator())
        self.ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        self.ax.axhline(2.0, ls="--", color=THRESHOLD, lw=1.3)
        (self.dots,) = self.ax.plot([], [], "o", color=JACOBIAN, ms=3, alpha=0.3, animated=True)
        (self.mean,) = self.ax.plot([], [], "-", color=JACOBIAN, lw=1.8, animated=True)
        (self.bound,) = self.ax.plot([], [], "-", color=BOUND, lw=1.8, animated=True)
        (self.span,) = self.ax.plot([], [], "-", color=BOUND, lw=4, alpha=0.45, animated=True)

    def update(self, scene):
        ns, table = NS[: scene.seen], scene.table
        largest = largest_seen(scene)[:, : scene.seen]
        self.dots.set_data(np.tile(ns, len(table)), largest.ravel())
        self.mean.set_data(ns, largest.mean(0))
        n, own = scene.values["n"], scene.norms.max()
        self.own.set_data([n], [own])
        labels = [
            (scene.f.lipschitz, "true constant:\nlargest there is", THRESHOLD),
            (largest.mean(0)[-1] * 0.9, f"mean of {len(table)}\ndraws", GREEN_TEXT),
        ]
        if scene.revealed:
            self.bound.set_data(ns, scene.upper)
            self.span.set_data([n, n], [own, scene.upper[list(NS).index(n)]])
            labels.append((scene.upper[-1], "promised limit\n(Theorem A)", PURPLE_TEXT))
        else:
            self.bound.set_data([], [])
            self.span.set_data([], [])
        self.moving = [self.dots, self.mean, self.bound, self.span, self.own]
        self.notes.set_text(f"ring: this one draw of {n}\ndots: {len(table)} draws")
        self.moving += [self.notes, *self.place_labels(labels)]

    def compared(self):
        return (self.mean,)

    def alt(self, scene) -> str:
        largest, n = largest_seen(scene)[:, : scene.seen], int(NS[scene.seen - 1])
        low, high = short(largest[:, -1].min()), short(largest[:, -1].max())
        text = (
            "Samples across, ‖J‖ up, on log axes. The largest ‖J‖ of n samples rises with n and "
            f"stays below a dashed line, the largest there is. Now: at n = {n}, over "
            f"{len(largest)} draws, from {low} to {high}, mean {short(largest[:, -1].mean())}; "
            f"there is {short(scene.f.lipschitz)}"
        )
        if not scene.revealed:
            return text + "; larger n come later."
        confident = f"with {scene.values['confidence']:.0%} confidence"
        return text + f". Theorem A promises, {confident}, at most {short(scene.upper[-1])}."


class Rate(OverN):
    """Shortfall and covering radius against n on log-log axes, with their slopes."""

    def build(self, figure) -> None:
        self.ax = self.over_n(
            figure, "shortfall (output per input)", "shortfall: what the steepest sample misses"
        )
        self.ax.yaxis.set_minor_locator(NullLocator())
        (self.ghost,) = self.ax.plot([], [], "-", color="#c4c4c4", lw=1.4, animated=True)
        (self.guide,) = self.ax.plot([], [], ":", color=INK, lw=1.5, animated=True)
        (self.dots,) = self.ax.plot([], [], "o", color=JACOBIAN, ms=3, alpha=0.3, animated=True)
        (self.mean,) = self.ax.plot([], [], "-", color=JACOBIAN, lw=2, animated=True)
        (self.bound,) = self.ax.plot([], [], "-", color=BOUND, lw=1.8, animated=True)

    def update(self, scene):
        ns, table = NS[: scene.seen], scene.table
        mean = table.mean(0)
        low, high = scene.floor, 300.0
        if self.ax.get_ylim() != (low, high):
            self.ax.set_ylim(low, high)
            self.ax.yaxis.set_major_locator(LogLocator(10, numticks=9))
        found = 1.35 * low  # where a shortfall of 0 is drawn
        self.dots.set_data(np.tile(ns, len(table)), np.where(table > 0, table, found).ravel())
        self.mean.set_data(ns, np.where(mean > low, mean, np.nan))
        self.own.set_data([scene.values["n"]], [max(scene.shortfall, found)])
        self.moving = [self.dots, self.mean, self.own]
        labels, notes = (
            [],
            [f"ring: this one draw of {scene.values['n']}; dots: {len(table)} draws"],
        )
        shown = mean[mean > low]
        if len(shown):
            slope, _ = scene.slope
            text = "shortfall, mean"
            if scene.revealed and math.isfinite(slope) and scene.f.shape in ORDER:
                text += f"\nslope {signed(slope)}"
            labels.append((shown[-1], text, GREEN_TEXT))
        if (table == 0).any():
            labels.append((found, "found exactly", GREEN_TEXT))
        if scene.revealed:
            self.bound.set_data(ns, scene.upper - scene.largest_so_far)
            labels.append((self.bound.get_ydata()[-1], "promised limit\n(Theorem A)", PURPLE_TEXT))
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
        self.notes.set_text("\n".join(notes))
        self.moving += [self.notes, *self.place_labels(labels, ns[-1])]
        return low

    def compared(self):
        return (self.mean,)

    def alt(self, scene) -> str:
        n, missing = int(NS[scene.seen - 1]), scene.table.mean(0)
        text = (
            "Samples across, shortfall up, on log axes: what the steepest sample misses of the "
            "largest ‖J‖. A line that falls. Now: the mean falls "
            f"from {short(missing[0])} at n = 4 to {short(missing[-1])} at n = {n}"
        )
        slope, error = scene.slope
        if not scene.revealed or scene.f.shape not in ORDER:
            return text + "."
        told = f" ± {short(error, 2)}" if math.isfinite(error) else ""
        return f"{text}: a slope of {signed(slope)}{told}, beside −1/d = {signed(-1 / scene.f.d)}."


class Covering(OverN):
    """The covering radius of samples against n: found, and promised."""

    def build(self, figure) -> None:
        title = "covering radius r: no place is further from a sample"
        self.ax = self.over_n(figure, "r (sides of the cube)", title)
        self.ax.yaxis.set_minor_locator(NullLocator())
        self.ax.set_ylim(1e-3, 30)
        self.ax.yaxis.set_major_locator(LogLocator(10, numticks=9))
        (self.promise,) = self.ax.plot([], [], "-", color=BOUND, lw=1.8, animated=True)
        (self.guide,) = self.ax.plot([], [], ":", color=INK, lw=1.5, animated=True)
        (self.radius,) = self.ax.plot([], [], "-s", color=LOSS, lw=1.3, ms=3.5, animated=True)

    def update(self, scene) -> bool:
        ns, radii, d = NS[: scene.seen], scene.radii_shown, scene.f.d
        low, high = scene.own_radius
        self.own.set_data([scene.values["n"]], [math.sqrt(low * high)])
        self.moving, labels = [self.own], []
        notes = [f"ring: this one draw of {scene.values['n']}"]
        if len(radii):
            middle = radii.mean((0, 2))
            self.radius.set_data(ns, middle)
            labels.append((middle[-1], f"mean of\n{len(radii)} of {scene.target} draws", SOFT))
            self.moving.append(self.radius)
            if scene.revealed:
                self.guide.set_data(ns, 0.5 * middle[0] * (ns / ns[0]) ** (-1 / d))
                self.moving.append(self.guide)
                notes.append(f"dotted: slope −1/d = {signed(-1 / d)}")
        if scene.revealed:
            self.promise.set_data(ns, scene.promised)
            told = f"promised limit,\n{scene.values['confidence']:.0%} confident"
            labels.append((scene.promised[-1], told, PURPLE_TEXT))
            self.moving.append(self.promise)
        self.notes.set_text("\n".join(notes))
        self.moving += [self.notes, *self.place_labels(labels, ns[-1])]
        return scene.revealed

    def compared(self):
        return (self.radius,)

    def alt(self, scene) -> str:
        low, high = scene.own_radius
        about = short(high) if low == high else f"{short(low)} to {short(high)}"
        text = (
            "Samples across, covering radius r up, on log axes: no place is further than r from a "
            f"sample. It falls as n grows. Now: for this draw of {scene.values['n']} r is {about}"
        )
        if not scene.revealed:
            return text + "."
        promised = short(scene.promised[list(NS).index(scene.values["n"])])
        return f"{text}; at most {promised} is promised."


def largest_seen(scene: Any) -> np.ndarray:
    """The largest ||J|| of the first n samples of each draw (draws, n)."""
    return scene.f.lipschitz - np.array(scene.shortfall_rows)


def largest_bound(scene: Any) -> float:
    """Theorem A's upper end with the covering radius of the very sample, which needs no luck."""
    V = scene.f.variation(scene.sample, scene.own_radius[1])
    return float((scene.norms + V).max())


def signed(value: float) -> str:
    """Two decimals, with a minus sign as the axes have it.

    >>> signed(-0.25)
    '−0.25'
    """
    return f"{value:.2f}".replace("-", "−")
