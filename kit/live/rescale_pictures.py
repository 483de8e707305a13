"""The six pictures of page 8: measures, factor, slices, training, and the smallest case."""

from __future__ import annotations

import math

import numpy as np
import torch

from kit.curvature import matrix
from kit.live.panels import INVARIANT, LOSS, SHARPNESS, THRESHOLD
from kit.live.picture import SOFT, Picture
from kit.live.text import short
from kit.models import mlp
from kit.objective import Objective
from kit.orbit import QUICK

LR, STEPS_BEFORE, STEPS_AFTER = 0.5, 150, 300
LARGER = (1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0, 30.0, 50.0, 100.0)
FACTORS = (*(1 / f for f in reversed(LARGER)), 1.0, *LARGER)
STILL = 1e-3  # relative change up to which a measure has not moved
AT = torch.linspace(-1, 1, 41)
NAMES = {
    "sharpness": "sharpness λ",
    "trace": "trace of H",
    "frobenius": "Frobenius norm of H",
    "keskar": "Keskar's ε-sharpness",
    "critical_sharpness": "critical sharpness",
    "relative_flatness": "relative flatness",
    "minimum_sharpness": "minimum sharpness",
    "normalized_sharpness": "normalized sharpness",
    "invariant_sharpness_layer": "λ(S), layer metric",
    "invariant_sharpness_riemannian": "λ(H_q), Riemannian",
    "invariant_sharpness_elementwise": "λ, elementwise",
    "invariant_sharpness_path": "λ, path metric",
    "average_adaptive_sharpness": "average adaptive sh.",
    "fisher_rao": "Fisher-Rao norm",
    "path_norm": "path norm",
    "jacobian_max": "max ‖J‖₂",
}


class Measures(Picture):
    """Every measure, after over before: what moved and what did not."""

    def build(self, figure) -> None:
        place = (0.315, 0.14, 0.645, 0.765)
        self.ax = self.axes(figure, "after the rescaling / before", "", "every measure", place)
        rows = np.arange(len(QUICK))[::-1]
        self.rows = dict(zip(QUICK, rows, strict=True))
        self.ax.set_yticks(rows, [NAMES[name] for name in QUICK], fontsize=7.6)
        self.ax.set_ylim(-0.7, len(QUICK) - 0.3)
        self.ax.set_xscale("log")
        self.ax.axvline(1, color=THRESHOLD, lw=1)
        self.ax.grid(axis="y", color="#eeeeee", linewidth=0.7)
        self.stems = self.ax.hlines([], 1, 1, color=SHARPNESS, lw=2, animated=True)
        (self.moved,) = self.ax.plot([], [], "o", color=SHARPNESS, ms=6.5, animated=True)
        (self.stayed,) = self.ax.plot([], [], "D", color=INVARIANT, ms=6, animated=True)
        self.moving = [self.stems, self.moved, self.stayed]

    def update(self, scene):
        known = {name: ratio for name, ratio in scene.ratios.items() if math.isfinite(ratio)}
        moved = {n: r for n, r in known.items() if abs(r - 1) > STILL}
        self.stems.set_segments([[(1, self.rows[n]), (r, self.rows[n])] for n, r in moved.items()])
        self.moved.set_data(list(moved.values()), [self.rows[n] for n in moved])
        stayed = [n for n in known if n not in moved]
        self.stayed.set_data([1.0] * len(stayed), [self.rows[n] for n in stayed])
        sizes = [max(r, 1 / r) for r in moved.values() if r > 0]
        reach = 10.0 ** math.ceil(math.log10(max(*sizes, 9.0, 1.0) * 1.2)) if sizes else 10.0
        self.ax.set_xlim(1 / reach, reach)
        return reach

    def alt(self, scene) -> str:
        moved = [NAMES[n] for n, r in scene.ratios.items() if abs(r - 1) > STILL]
        text = ", ".join(moved) or "none"
        return (
            f"A row for each measure. Now: {len(moved)} of {len(scene.ratios)} known ones have "
            f"moved: {text}."
        )


class Factor(Picture):
    """How sharpness goes with alpha, and the alpha^2 that it cannot pass."""

    def build(self, figure) -> None:
        self.ax = self.axes(
            figure, "rescaling factor α", "λ after / before", "sharpness along the orbit"
        )
        self.ax.loglog()
        self.ax.set_xlim(FACTORS[0], FACTORS[-1])
        self.ax.set_ylim(0.3, 2e4)
        alpha = np.array([FACTORS[0], 1, FACTORS[-1]])
        limit = np.maximum(alpha, 1 / alpha) ** 2
        (self.limit,) = self.ax.plot(alpha, limit, ":", color=THRESHOLD, lw=1.3, animated=True)
        (self.layer,) = self.ax.plot([], [], "-", color=INVARIANT, lw=1.8, animated=True)
        (self.curve,) = self.ax.plot([], [], ".-", color=SHARPNESS, lw=1.6, animated=True)
        (self.dot,) = self.ax.plot([], [], "o", color=SHARPNESS, ms=11, animated=True)
        place = {"fontsize": 9.5, "animated": True}
        self.words = [
            self.ax.text(0.016, 5000, "α⁻², α²", color=THRESHOLD, **place),
            self.ax.text(30, 0.5, "λ(S)", color=INVARIANT, **place),
            self.ax.text(28, 120, "λ", color=SHARPNESS, **place),
        ]
        self.moving = [self.limit, self.layer, self.curve, self.dot, *self.words]

    def update(self, scene) -> bool:
        curve = sorted(scene.curve.items()) if scene.revealed else []
        self.curve.set_data([a for a, _ in curve], [r for _, r in curve])
        self.layer.set_data(
            FACTORS if scene.revealed else [], [1.0] * len(FACTORS) * scene.revealed
        )
        self.limit.set_visible(scene.revealed)
        for text in self.words:
            text.set_visible(scene.revealed)
        known = scene.ratios.get("sharpness", math.nan)
        self.dot.set_data([scene.values["alpha"]], [known])
        return scene.revealed

    def alt(self, scene) -> str:
        return (
            "Sharpness against the rescaling factor, on log axes. Now: at α = "
            f"{short(scene.values['alpha'])} it is {short(scene.ratios.get('sharpness', math.nan))}"
            " times what it was."
        )


class Quotient(Picture):
    """The scalar network w2 relu(w1 x): orbits of one function, and the directions across."""

    def build(self, figure) -> None:
        self.ax = self.axes(
            figure, "w₁", "w₂", "the smallest case: f = w₂ relu(w₁x), one line a function"
        )
        self.ax.loglog()
        self.ax.set_xlim(0.04, 25)
        self.ax.set_ylim(0.04, 25)
        w = np.array([0.02, 50])
        for p, style in ((0.25, "-"), (0.5, "-"), (2, "-"), (4, "-")):
            self.ax.plot(w, p / w, style, color="#c9c9c9", lw=1)
        self.ax.plot(w, 1 / w, "-", color=LOSS, lw=2)
        self.ax.text(22, 18, "dark: w₁w₂ = 1, the least loss", fontsize=9, color=LOSS, ha="right")
        arrow = {"width": 0.006, "angles": "xy", "scale_units": "width", "scale": 1}
        self.along = self.ax.quiver([1], [1], [0], [0], color=SHARPNESS, animated=True, **arrow)
        self.across = self.ax.quiver([1], [1], [0], [0], color=INVARIANT, animated=True, **arrow)
        (self.dot,) = self.ax.plot([], [], "o", color=THRESHOLD, ms=10, animated=True)
        self.words = [
            self.ax.text(0, 0, text, fontsize=9, color=colour, animated=True)
            for text, colour in (("  vertical", SHARPNESS), ("  horizontal", INVARIANT))
        ]
        self.moving = [self.along, self.across, self.dot, *self.words]

    def update(self, scene) -> None:
        alpha = min(max(scene.values["alpha"], 0.1), 10.0)
        w1, w2 = alpha, 1 / alpha
        self.dot.set_data([w1], [w2])
        # On log axes the invariant metric is that of the paper, up to a factor.
        for arrow, word, (a, b) in (
            (self.along, self.words[0], (1.6, 1 / 1.6)),
            (self.across, self.words[1], (1.6, 1.6)),
        ):
            arrow.set_offsets([(w1, w2)])
            arrow.set_UVC([0.1], [0.1 if b > 1 else -0.1])
            word.set_position((w1 * a, w2 * (b * 1.5 if b > 1 else b / 1.8)))
            word.set_ha("right" if alpha > 2 else "left")

    def alt(self, scene) -> str:
        alpha = min(max(scene.values["alpha"], 0.1), 10.0)
        return (
            "Lines of the same function in the plane of two weights. Now: w₁ = "
            f"{short(alpha)}, w₂ = {short(1 / alpha)}, on the line of least loss."
        )


class Smallest(Picture):
    """The largest eigenvalues of H and of S for the scalar network, along its orbit."""

    def build(self, figure) -> None:
        self.ax = self.axes(
            figure, "rescaling factor α", "eigenvalue", "the smallest case, at its least loss"
        )
        self.ax.loglog()
        self.ax.set_xlim(FACTORS[0], FACTORS[-1])
        self.ax.set_ylim(0.5, 2e4)
        H, S = (np.array(column) for column in zip(*map(scalar_eigenvalues, FACTORS), strict=True))
        self.values = dict(zip(FACTORS, zip(H, S, strict=True), strict=True))
        self.ax.plot(FACTORS, H, "-", color=SHARPNESS, lw=1.6)
        self.ax.plot(FACTORS, S, "-", color=INVARIANT, lw=1.8)
        self.ax.text(1.0, 40, "λ(H) = w₁² + w₂²", color=SHARPNESS, fontsize=9.5, ha="center")
        self.ax.text(1.0, 1.2, "λ(S) = 2", color=INVARIANT, fontsize=9.5, ha="center", va="top")
        (self.H,) = self.ax.plot([], [], "o", color=SHARPNESS, ms=10, animated=True)
        (self.S,) = self.ax.plot([], [], "D", color=INVARIANT, ms=9, animated=True)
        self.moving = [self.H, self.S]

    def update(self, scene) -> None:
        alpha = scene.values["alpha"]
        H, S = self.values[alpha]
        self.H.set_data([alpha], [H])
        self.S.set_data([alpha], [S])

    def alt(self, scene) -> str:
        H, S = self.values[scene.values["alpha"]]
        return (
            "The largest eigenvalues for the network of two weights, against α. Now: "
            f"{short(H)} of H, {short(S)} of S."
        )


def scalar_eigenvalues(alpha: float) -> tuple[float, float]:
    """The largest eigenvalues of H and of S for w2 relu(w1 x) at (alpha, 1/alpha), x = y = 1.

    >>> [round(v, 6) for v in scalar_eigenvalues(20.0)]
    [400.0025, 2.0]
    """
    model = mlp((1, 1, 1), bias=False).double()
    with torch.no_grad():
        model[0].weight.fill_(alpha)
        model[2].weight.fill_(1 / alpha)
    one = torch.ones(1, 1, dtype=torch.float64)
    objective = Objective(model, one, one, loss="mse")
    H, S = (torch.linalg.eigvalsh(matrix(objective, name))[-1] for name in ("hessian", "layer"))
    return float(H), float(S)


class Slices(Picture):
    """The loss along one random direction, before and after, raw and filter-normalised."""

    def build(self, figure) -> None:
        self.ax = self.axes(
            figure, "s along a random direction d", "loss at θ + s d", "slices of the loss"
        )
        self.ax.set_yscale("log")
        self.ax.set_xlim(-1, 1)
        styles = (
            ("raw, before", SHARPNESS, "-", 2.6, 0.35),
            ("raw, after", SHARPNESS, "-", 1.4, 1.0),
            ("filters, before", INVARIANT, "-", 4.5, 0.3),
            ("filters, after", INVARIANT, "--", 1.4, 1.0),
        )
        self.lines = [
            self.ax.plot([], [], style, color=colour, lw=width, alpha=a, animated=True, label=name)[
                0
            ]
            for name, colour, style, width, a in styles
        ]
        self.ax.legend(
            handles=self.lines, loc="upper center", fontsize=8, frameon=False, ncols=2
        ).set_animated(True)
        self.moving = [*self.lines, self.ax.get_legend()]

    def update(self, scene):
        drawn = [scene.slices.get(key) for key in ("raw 0", "raw 1", "filters 0", "filters 1")]
        high = 1e-3
        for line, values in zip(self.lines, drawn, strict=True):
            line.set_data(AT if values is not None else [], values if values is not None else [])
            if values is not None:
                high = max(high, float(values.max()))
        low = 0.4 * scene.base.history["loss"][-1]
        top = 10.0 ** math.ceil(math.log10(10 * high))
        self.ax.set_ylim(low, top)
        return low, top

    def alt(self, scene) -> str:
        raw, filters = scene.slices.get("raw 1"), scene.slices.get("filters 1")
        if raw is None or filters is None:
            return "Slices of the loss, still to come. Now: 0 of 4 are there."
        return (
            "The loss along a random direction. Now: at the end of the raw slice it is "
            f"{short(float(raw[-1]))}, of the filter-normalised one {short(float(filters[-1]))}."
        )


class After(Picture):
    """What training does from there: loss, and sharpness against 2/eta."""

    def build(self, figure) -> None:
        upper, lower = (0.145, 0.58, 0.815, 0.325), (0.145, 0.14, 0.815, 0.325)
        self.above = self.axes(figure, "", "loss", "training on from there: loss", upper)
        self.below = self.axes(figure, "steps after the rescaling", "λ", "sharpness λ", lower)
        self.above.tick_params(labelbottom=False)
        for ax in (self.above, self.below):
            ax.set_xlim(-20, STEPS_AFTER)
            ax.set_yscale("log")
        self.above.set_ylim(1e-3, 1e4)
        self.below.set_ylim(0.5, 2e4)
        self.below.axhline(2 / LR, color=THRESHOLD, ls="--", lw=1.2)
        name = self.below.text(0.995, 2 / LR * 1.3, "2/η", ha="right", fontsize=9)
        name.set_transform(self.below.get_yaxis_transform())
        (self.loss,) = self.above.plot([], [], color=LOSS, lw=1.6, animated=True)
        (self.sharpness,) = self.below.plot([], [], color=SHARPNESS, lw=1.6, animated=True)
        self.word = self.above.text(
            0.98, 0.92, "", transform=self.above.transAxes, ha="right", va="top", animated=True
        )
        self.word.set_fontsize(10)
        self.word.set_color(SOFT)
        self.moving = [self.loss, self.sharpness, self.word]

    def update(self, scene) -> float:
        steps, loss, sharpness = scene.after()
        self.loss.set_data(steps, np.clip(loss, 1e-6, 1e9))
        self.sharpness.set_data(steps, np.clip(sharpness, 1e-6, 1e9))
        self.word.set_text(scene.outcome().split(":")[0])
        broken = scene.run is not None and scene.run.diverged is not None
        end = 20 * math.ceil((scene.trained + 5) / 20) if broken else STEPS_AFTER
        if end != self._drawn:
            for ax in (self.above, self.below):
                ax.set_xlim(-20, end)
        return end

    def alt(self, scene) -> str:
        steps, loss, sharpness = scene.after()
        return (
            f"Loss and sharpness while the rescaled network trains. Now: {steps[-1]:.0f} steps "
            f"after it, loss {short(loss[-1])}, sharpness {short(sharpness[-1])}. {scene.outcome()}"
        )
