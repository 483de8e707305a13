"""The six pictures of page 11: spectrum, rank, kept networks, Takeuchi, calibration, ridge."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from matplotlib.ticker import NullLocator
from torch import Tensor

from kit.calibration import Calibration
from kit.live.lettering import log_ticks
from kit.live.palette import GAP, INVARIANT, SHARPNESS, THRESHOLD
from kit.live.picture import INK, SOFT, Picture
from kit.live.text import decades, short
from kit.ridge import design, ridge_gap, simulated_gap

RANK = INVARIANT  # what is counted
DAMPINGS = decades(1e-5, 10.0)
FLOOR = 1e-6  # eigenvalues below are drawn there


class Spectrum(Picture):
    """The eigenvalues in order, the damping, and how much each of them counts."""

    def build(self, figure) -> None:
        self.ax = self.axes(
            figure,
            "k-th largest eigenvalue",
            "eigenvalue of G",
            "which directions count: a / (a + μ)",
        )
        self.ax.set_yscale("log")
        self.ax.set_ylim(FLOOR / 2, 60)
        (self.line,) = self.ax.plot([], [], "-", color=SHARPNESS, lw=2, animated=True)
        (self.damping,) = self.ax.plot([], [], "--", color=THRESHOLD, lw=1.2, animated=True)
        (self.count,) = self.ax.plot([], [], "-", color=RANK, lw=2, animated=True)
        self.words = [
            self.ax.text(0, 0, "μ", fontsize=10, color=THRESHOLD, animated=True, va="bottom"),
            self.ax.text(0, 0, "", fontsize=9.5, color=RANK, animated=True, va="bottom", ha="left"),
        ]
        self.moving = [self.line, self.damping, self.count, *self.words]

    def update(self, scene) -> int:
        values = np.maximum(scene.spectrum[::-1], FLOOR)
        size, mu = len(values), scene.values["damping"]
        self.ax.set_xlim(0, size)
        self.line.set_data(np.arange(1, size + 1), values)
        self.damping.set_data([0, size], [mu, mu])
        self.words[0].set_position((0.95 * size, mu * 1.1))
        rank = scene.rank()
        shown = scene.revealed
        self.count.set_data([rank, rank] if shown else [], [FLOOR / 2, 60] if shown else [])
        self.words[1].set_position((rank, 15))
        self.words[1].set_ha("left" if rank < 0.6 * size else "right")
        self.words[1].set_text(f"  soft rank {short(rank)}  " if shown else "")
        return size

    def compared(self):
        return (self.line,)

    def alt(self, scene) -> str:
        above = int((scene.spectrum > scene.values["damping"]).sum())
        return (
            f"The eigenvalues of G in order, on a log axis, and the damping. Now: {above} of "
            f"{scene.training.objective.parameters} are above μ = {scene.values['damping']:g}."
        )


class Ranks(Picture):
    """The soft rank over n against the damping, and the gap that it should be."""

    def build(self, figure) -> None:
        self.ax = self.axes(
            figure, "damping μ", "soft rank over n", "rank over n, and the gap of the loss"
        )
        self.ax.loglog()
        (self.line,) = self.ax.plot([], [], "-", color=RANK, lw=2, animated=True)
        (self.gap,) = self.ax.plot([], [], "-", color=GAP, lw=2.2, animated=True)
        (self.decay,) = self.ax.plot([], [], ":", color=THRESHOLD, lw=1.2, animated=True)
        (self.dot,) = self.ax.plot([], [], "o", color=RANK, ms=10, animated=True)
        self.words = [
            self.ax.text(0, 0, "gap", fontsize=9.5, color="#2c7fb0", animated=True, va="bottom"),
            self.ax.text(0, 0, " weight decay", fontsize=9, color=SOFT, animated=True),
        ]
        self.moving = [self.decay, self.line, self.gap, self.dot, *self.words]

    def update(self, scene):
        mus = np.geomspace(DAMPINGS[0], DAMPINGS[-1], 40)
        factor, shown = scene.factor() / scene.n, scene.revealed
        ranks = np.array([factor * scene.rank(mu) for mu in mus])
        low, high = ranks.min(), ranks.max()
        if scene.gap > 0:
            low, high = min(low, scene.gap), max(high, scene.gap)
        low = 10.0 ** math.floor(math.log10(max(low, 1e-5)))
        high = 10.0 ** math.ceil(math.log10(high * 1.2))
        self.ax.set_xlim(mus[0], mus[-1])
        self.ax.set_ylim(low, high)
        self.line.set_data(mus if shown else [], ranks if shown else [])
        ends = [mus[0], mus[-1]]
        there = shown and scene.gap > 0
        self.gap.set_data(ends if there else [], [scene.gap] * 2 if there else [])
        self.decay.set_data([scene.mu] * 2, [low, high])
        mu = scene.values["damping"]
        self.dot.set_data([mu] if shown else [], [factor * scene.rank(mu)] if shown else [])
        self.words[0].set_position((mus[0] * 1.4, scene.gap * 1.05 if there else low))
        self.words[0].set_visible(there)
        self.words[1].set_position((scene.mu, low * 1.25))
        self.words[1].set_ha("right" if scene.mu > 0.1 else "left")
        self.ax.set_ylabel(f"{scene.times}soft rank over n")
        return low, high, scene.times

    def compared(self):
        return (self.line,)

    def alt(self, scene) -> str:
        size = scene.factor() * scene.rank() / scene.n
        text = (
            f"{scene.times}rank over n {short(size)}, gap {short(scene.gap)}"
            if scene.revealed
            else "0 shown"
        )
        return f"The soft rank over n against the damping, both on log axes. Now: {text}."


class Cases(Picture):
    """Kept networks: rank over n against the gap, a point a width; the diagonal is equality."""

    def build(self, figure) -> None:
        self.ax = self.axes(
            figure, "soft rank over n", "gap of the loss", "kept networks, widths 4 to 32"
        )
        self.ax.loglog()
        self._artists: list = []

    def update(self, scene):
        for artist in self._artists:
            artist.remove()
        self._artists, here = [], scene.values["case"]
        self.ax.set_xlabel(f"{scene.times}soft rank over n")
        if not scene.revealed:
            self.ax.set_xlim(0.05, 2)
            self.ax.set_ylim(0.05, 2)
            self._artists += self.ax.plot([1e-4, 100], [1e-4, 100], "-", color="#bbbbbb", lw=1)
            return scene.seen()
        points = scene.points[here]
        for name, others in scene.points.items():
            if name != here:
                x, y = ([p[i][0] for p in others] for i in (1, 2))
                self._artists += self.ax.plot(x, y, "-", color="#d8d8d8", lw=1.2, zorder=1)
        x, y, ex, ey = (
            np.array([p[i][j] for p in points]) for i, j in ((1, 0), (2, 0), (1, 1), (2, 1))
        )
        self._artists.append(
            self.ax.errorbar(
                x,
                y,
                xerr=ex,
                yerr=np.minimum(ey, 0.9 * y),
                color=RANK,
                lw=1.6,
                marker="o",
                ms=6,
                capsize=2.5,
                zorder=3,
            )
        )
        for (w, _, _), a, b in zip(points, x, y, strict=True):
            self._artists.append(
                self.ax.annotate(str(w), (a, b), (6, -9), textcoords="offset points", fontsize=8)
            )
        rows = scene._table[scene._table["own"]]
        mine = rows[["estimate", "loss_gap"]].to_numpy(float)
        if len(mine):
            self._artists += self.ax.plot(
                mine[:, 0], mine[:, 1], "o", mfc="none", mec="black", ms=6.5, zorder=5
            )
        low, high = min(x.min(), y.min()) / 2, max(x.max(), y.max()) * 2
        self.ax.set_xlim(low, high)
        self.ax.set_ylim(low, high)
        for axis in (self.ax.xaxis, self.ax.yaxis):
            axis.set_ticks(log_ticks(low, high, 6))
            axis.set_major_formatter(lambda v, _: f"{v:g}")
            axis.set_minor_locator(NullLocator())
        self._artists += self.ax.plot(
            [low, high], [low, high], "-", color="#888888", lw=1, zorder=2
        )
        self._artists.append(
            self.ax.text(
                high / 1.2,
                high / 1.2,
                "equal ",
                fontsize=8.5,
                color="#666666",
                ha="right",
                va="bottom",
                rotation=45,
                rotation_mode="anchor",
                transform_rotates_text=True,
            )
        )
        return scene.seen()

    def alt(self, scene) -> str:
        if not scene.revealed:
            return "Kept networks, rank over n across and gap up. Now: 0 are shown."
        text = "; ".join(
            f"width {w}: {short(x[0])} and {short(y[0])}"
            for w, x, y in scene.points[scene.values["case"]]
        )
        return f"Kept networks, {scene.times}rank over n across and gap up. Now: {text}."


class Terms(Picture):
    """Takeuchi's estimate taken apart: the rank, what miscalibration adds, and their sum."""

    def build(self, figure) -> None:
        self.ax = self.axes(
            figure, "over n", "", "Takeuchi's estimate, taken apart", (0.27, 0.14, 0.69, 0.765)
        )
        self.ax.set_yticks(
            range(4), ["gap, measured", "Takeuchi", "+ miscalibration", "soft rank"], fontsize=9
        )
        self.ax.set_ylim(-0.6, 3.6)
        self.ax.axvline(0, color="#888888", lw=1)
        colours = (GAP, "#555555", SHARPNESS, RANK)
        self.bars = self.ax.barh(range(4), [0] * 4, color=colours, height=0.6)
        self.words = [self.ax.text(0, i, "", fontsize=9, va="center", color=INK) for i in range(4)]

    def update(self, scene):
        terms, n = scene.terms, scene.n
        values = [math.nan] * 4
        if scene.revealed:
            values[0] = scene.gap
            if terms is not None:
                parts = terms.takeuchi, terms.miscalibration, terms.soft_rank
                values[1:] = [part / n for part in parts]
        finite = [v for v in values if math.isfinite(v)] or [1.0]
        reach = max(map(abs, finite))
        low = min(*finite, 0.0)
        self.ax.set_xlim(low - (0.35 * reach if low < 0 else 0), max(*finite, 0.0) + 0.3 * reach)
        for bar, word, value, i in zip(self.bars, self.words, values, range(4), strict=True):
            known = math.isfinite(value)
            bar.set_width(value if known else 0)
            word.set_text(f" {short(value)} " if known else " not computed" if i else "")
            word.set_x(value if known else 0)
            word.set_ha("left" if not known or value >= 0 else "right")
        return scene.seen()

    def alt(self, scene) -> str:
        if scene.terms is None or not scene.revealed:
            return "Takeuchi's estimate taken apart. Now: 0 of its terms are computed."
        t, n = scene.terms, scene.n
        return (
            f"Takeuchi's estimate taken apart. Now: rank {short(t.soft_rank / n)}, miscalibration "
            f"{short(t.miscalibration / n)}, together {short(t.takeuchi / n)}, gap "
            f"{short(scene.gap)}."
        )


class Reliability(Picture):
    """How often it is right against how sure it is, on test data, before and after T."""

    def build(self, figure) -> None:
        self.ax = self.axes(
            figure, "confidence on test data", "share that is right", "is it as sure as it may be?"
        )
        self.ax.set_xlim(0, 1)
        self.ax.set_ylim(0, 1)
        self.ax.plot([0, 1], [0, 1], "-", color="#bbbbbb", lw=1)
        (self.before,) = self.ax.plot([], [], "o-", color=SHARPNESS, lw=1.6, ms=5)
        (self.after,) = self.ax.plot([], [], "s:", color=RANK, lw=1.3, ms=4)
        self.word = self.ax.text(0.03, 0.95, "", fontsize=9, va="top", color=INK)

    def update(self, scene):
        known = scene.calibration is not None and scene.revealed
        for line, calibration in ((self.before, scene.calibration), (self.after, None)):
            calibration = scene.cooled if known and line is self.after else calibration
            x, y = softmax_bins(calibration) if known else ([], [])
            line.set_data(x, y)
        text = "mse gives no probabilities" if scene.revealed else ""
        if known:
            text = f"orange: as it is\nblue: outputs over T = {short(scene.temperature)}"
        self.word.set_text(text)
        return scene.seen()

    def alt(self, scene) -> str:
        if scene.calibration is None or not scene.revealed:
            return "A reliability diagram. Now: 0 points, no probabilities."
        c = scene.calibration
        return (
            f"A reliability diagram. Now: mean confidence {short(c.confidence)}, accuracy "
            f"{short(c.accuracy)}, best temperature {short(scene.temperature)}."
        )


class Ridge(Picture):
    """The case where it is exact: ridge regression, formula and simulation."""

    def build(self, figure) -> None:
        self.mus, self.exact, mean, error = ridge_points()
        self.ax = self.axes(
            figure,
            "damping μ",
            "gap of the cost",
            "ridge regression, n = 50, d = 10: exact",
        )
        self.ax.loglog()
        self.ax.set_xlim(self.mus[0], self.mus[-1])
        self.ax.set_ylim(2e-3, 0.4)
        self.ax.plot(self.mus, self.exact, "-", color=RANK, lw=2)
        self.ax.errorbar(self.mus, mean, yerr=2 * error, fmt="o", color=GAP, ms=4, lw=1, capsize=2)
        self.ax.text(
            0.04, 0.12, "line: σ² rank / n", transform=self.ax.transAxes, fontsize=9, color=RANK
        )
        self.ax.text(
            0.04,
            0.04,
            "dots: measured, 2000 draws, ± 2 s.e.",
            transform=self.ax.transAxes,
            fontsize=9,
            color="#2c7fb0",
        )
        (self.dot,) = self.ax.plot([], [], "o", color=RANK, ms=10, animated=True)
        self.moving = [self.dot]

    def at(self, mu: float) -> float:
        return float(np.interp(math.log(mu), np.log(self.mus), self.exact))

    def update(self, scene) -> None:
        mu = scene.values["damping"]
        self.dot.set_data([mu], [self.at(mu)])

    def alt(self, scene) -> str:
        mu = scene.values["damping"]
        return (
            "Ridge regression: the exact gap against the penalty, and simulated gaps. Now: at "
            f"μ = {mu:g} the gap is {short(self.at(mu))}."
        )


@lru_cache(1)
def ridge_points() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Penalties, the exact gap at each, and simulated gaps with their standard errors."""
    X = design(50, 10)
    mus = np.geomspace(DAMPINGS[0], DAMPINGS[-1], 25)
    exact = np.array([ridge_gap(X, mu, noise=1.0) for mu in mus])
    drawn = [simulated_gap(X, mu, noise=1.0, draws=2000, seed=i) for i, mu in enumerate(mus)]
    return mus, exact, *map(np.array, zip(*drawn, strict=True))


def softmax_bins(calibration: Calibration) -> tuple[Tensor, Tensor]:
    """Mean confidence and accuracy of the bins that hold samples."""
    filled = calibration.bin_count > 0
    return calibration.bin_confidence[filled], calibration.bin_accuracy[filled]
