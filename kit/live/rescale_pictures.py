"""The six pictures of page 8: measures, factor, slices, training, and the smallest case."""

from __future__ import annotations

import math

import numpy as np
import torch

from kit.curvature import matrix
from kit.live.palette import INVARIANT, LOSS, SHARPNESS, THRESHOLD
from kit.live.panels import HEIGHT, WIDTH
from kit.live.picture import INK, SOFT, Picture
from kit.live.text import short
from kit.models import mlp
from kit.objective import Objective
from kit.orbit import QUICK

LR, STEPS_BEFORE, STEPS_AFTER = 0.5, 150, 300
LARGER = (1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0, 30.0, 50.0, 100.0)
FACTORS = (*(1 / f for f in reversed(LARGER)), 1.0, *LARGER)
STILL = 1e-3  # relative change up to which a measure has not moved
ENDS = FACTORS[0] / 1.4, 1.4 * FACTORS[-1]  # of axes: the dots at the ends fit in
NAME_SIZE = 8.1  # points: over 9 pixels where a phone shows the picture
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
MEANS = {
    "sharpness": "the largest eigenvalue of the Hessian H: the curvature in the sharpest direction",
    "trace": "the sum of all eigenvalues of H",
    "frobenius": "the root of the sum of all squared eigenvalues of H",
    "keskar": "how much the loss can rise, in percent, within a small box around the weights",
    "critical_sharpness": "2 over the smallest step down the gradient after which the loss is no "
    "lower than before",
    "relative_flatness": "traces of blocks of H in the last layer, each times a product of its "
    "weights",
    "minimum_sharpness": "the least trace of H that scaling whole layers can give",
    "normalized_sharpness": "for each layer the least sum of curvatures and squared weights that "
    "scaling its rows and columns can give",
    "invariant_sharpness_layer": "the largest eigenvalue of H where a move of a block of weights "
    "counts relative to the length of that block",
    "invariant_sharpness_riemannian": "the largest eigenvalue of the Hessian where networks that "
    "differ by a rescaling of layers count as one",
    "invariant_sharpness_elementwise": "the largest eigenvalue of H where a move of a weight "
    "counts relative to its size",
    "invariant_sharpness_path": "the largest eigenvalue of H where a move of a weight counts "
    "relative to the paths from the inputs: those into the unit where it ends, over those into the "
    "unit where it starts",
    "average_adaptive_sharpness": "how much the loss rises on average when each weight gets noise "
    "in proportion to its size",
    "fisher_rao": "the squared length of the weights, measured with the Gauss-Newton matrix G",
    "path_norm": "the root of the sum, over all paths to an output, of the squared product of the "
    "weights on the path",
    "jacobian_max": "the largest Jacobian norm over the training samples",
}
LAYERWISE = "λ(S): stays, if whole layers are scaled"


class Measures(Picture):
    """Every measure, after over before: what moved and what did not."""

    def build(self, figure) -> None:
        place = (0.36, 0.14, 0.6, 0.785)
        self.ax = self.axes(figure, "after the rescaling / before", "", "", place)
        rows = np.arange(len(QUICK))[::-1]
        self.rows = dict(zip(QUICK, rows, strict=True))
        names = [NAMES[name].replace("H_q", "$H_q$") for name in QUICK]
        self.ax.set_yticks(rows, names, fontsize=NAME_SIZE, color=INK)
        self.ax.set_ylim(-0.6, len(QUICK) - 0.4)
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
        chosen = scene.values["measure"]
        depends = reach, scene.earlier, chosen
        if depends != self._drawn:
            for name, label in zip(QUICK, self.ax.get_yticklabels(), strict=True):
                label.set_fontweight("bold" if name == chosen else "normal")
            self.ax.set_xlim(1 / reach, reach)
            _title(self.ax, "sixteen measures: ● moved, ◆ stayed", scene, x=-0.57)
        return depends

    def alt(self, scene) -> str:
        moved = [NAMES[n] for n, r in scene.ratios.items() if abs(r - 1) > STILL]
        text = ", ".join(moved) or "none"
        largest = max(scene.ratios, key=lambda n: abs(math.log(max(scene.ratios[n], 1e-12))))
        most = f"; most of all {NAMES[largest]}, times {short(scene.ratios[largest])}"
        return (
            "A row for each measure: across, on a log axis, its value after the rescaling over "
            f"that before. Those in the middle stayed. Now: {len(moved)} of {len(scene.ratios)} "
            f"known ones have moved: {text}{most if moved else ''}."
        )


class Factor(Picture):
    """How sharpness goes with alpha, and the alpha^2 that it cannot pass."""

    def build(self, figure) -> None:
        self.ax = self.axes(figure, "rescaling factor α", "λ after the rescaling / before", "")
        self.ax.loglog()
        self.ax.set_xlim(*ENDS)
        self.ax.set_ylim(0.3, 2e4)
        alpha = np.array([FACTORS[0], 1, FACTORS[-1]])
        limit = np.maximum(alpha, 1 / alpha) ** 2
        (self.limit,) = self.ax.plot(alpha, limit, ":", color=THRESHOLD, lw=1.3, animated=True)
        (self.layer,) = self.ax.plot([], [], "-", color=INVARIANT, lw=1.8, animated=True)
        (self.curve,) = self.ax.plot([], [], ".-", color=SHARPNESS, lw=1.6, animated=True)
        (self.dot,) = self.ax.plot([], [], "o", color=SHARPNESS, ms=11, animated=True)
        place = {"fontsize": 9.5, "animated": True}
        right = place | {"ha": "right"}
        self.words = [
            self.ax.text(1.0, 5000, "α² or 1/α², whichever is larger", ha="center", **place),
            self.ax.text(
                90,
                0.8,
                LAYERWISE,
                color=INVARIANT,
                va="top",
                **right,
            ),
            self.ax.text(0.0085, 7, "sharpness λ", color=SHARPNESS, **place),
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
        spread = scene.values["spread"]
        high = 2e4 if not known > 1e4 else 10.0 ** math.ceil(math.log10(3 * known))
        depends = scene.revealed, scene.earlier, bool(spread), high
        if depends != self._drawn:
            self.ax.set_ylim(0.3, high)
            line = " (line: unit factors 0)" if spread else ""
            _title(self.ax, f"sharpness of one function{line}", scene)
        return depends

    def compared(self):
        return (self.curve,)

    def alt(self, scene) -> str:
        return (
            "Rescaling factor α across, sharpness after over before up, on log axes: a valley with "
            "its floor at α = 1, below a dotted one, α² or 1/α². λ(S) is flat. Now: at α = "
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
        self.ax.set_xlim(3e-4, 3e3)
        self.ax.set_ylim(3e-4, 3e3)
        w = np.array([1e-4, 1e4])
        for p, style in ((0.25, "-"), (0.5, "-"), (2, "-"), (4, "-")):
            self.ax.plot(w, p / w, style, color="#c9c9c9", lw=1)
        self.ax.plot(w, 1 / w, "-", color=LOSS, lw=2)
        self.ax.text(
            2500, 1200, "thick: w₁w₂ = 1, the least loss", fontsize=9, color=LOSS, ha="right"
        )
        # Along a line w1 w2 = constant, and across it: equal shares of both log axes.
        box = self.ax.get_position()
        turn = math.degrees(math.atan2(box.height * HEIGHT, box.width * WIDTH))
        arrow = {"width": 0.006, "scale_units": "width", "scale": 1, "animated": True}
        self.along, self.across = (
            self.ax.quiver([1], [1], [0.12], [0], angles=np.array([by]), color=colour, **arrow)
            for by, colour in ((-turn, SHARPNESS), (turn, INVARIANT))
        )
        (self.dot,) = self.ax.plot([], [], "o", color=THRESHOLD, ms=10, animated=True)
        inside = {"transform": self.ax.transAxes, "fontsize": 9, "va": "bottom"}
        self.ax.text(0.02, 0.09, "orange, vertical: the same f", color=SHARPNESS, **inside)
        self.ax.text(0.02, 0.02, "blue, horizontal: another f", color=INVARIANT, **inside)
        self.moving = [self.along, self.across, self.dot]

    def update(self, scene) -> None:
        alpha = scene.values["alpha"]
        w1, w2 = alpha, 1 / alpha
        self.dot.set_data([w1], [w2])
        # On log axes the invariant metric is that of the paper, up to a factor.
        for arrow in (self.along, self.across):
            arrow.set_offsets([(w1, w2)])

    def alt(self, scene) -> str:
        alpha = scene.values["alpha"]
        return (
            "Weight w₁ across, w₂ up, on log axes: each line is one function. An arrow along the "
            "line, another one across. Now: w₁ = "
            f"{short(alpha)}, w₂ = {short(1 / alpha)}, on the line of least loss."
        )


class Smallest(Picture):
    """The largest eigenvalues of H and of S for the scalar network, along its orbit."""

    def build(self, figure) -> None:
        self.ax = self.axes(
            figure, "rescaling factor α", "eigenvalue", "the smallest case, at its least loss"
        )
        self.ax.loglog()
        self.ax.set_xlim(*ENDS)
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
            "Rescaling factor α across, largest eigenvalues of the network of two weights up, on "
            "log axes: that of H is a valley, that of S is flat. Now: "
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
        self.ax = self.axes(figure, "how far along a random direction", "loss there", "")
        self.ax.set_yscale("log")
        self.ax.set_xlim(-1, 1)
        styles = (
            ("raw, before", SHARPNESS, "-", 2.6, 0.35),
            ("raw, after", SHARPNESS, "-", 1.4, 1.0),
            ("scaled*, before", INVARIANT, "-", 4.5, 0.3),
            ("scaled*, after", INVARIANT, "--", 1.4, 1.0),
        )
        self.lines = [
            self.ax.plot([], [], style, color=colour, lw=width, alpha=a, animated=True, label=name)[
                0
            ]
            for name, colour, style, width, a in styles
        ]
        where = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.94)}
        legend = self.ax.legend(handles=self.lines, fontsize=8.5, frameon=False, ncols=2, **where)
        legend.set_animated(True)
        note = "*each unit's part as long as that unit's weights (“filter”)"
        place = {"transform": self.ax.transAxes, "ha": "center", "va": "top", "animated": True}
        self.note = self.ax.text(0.5, 0.99, note, fontsize=8.5, color=INVARIANT, **place)
        self.moving = [*self.lines, legend, self.note]

    def update(self, scene):
        drawn = [scene.slices.get(key) for key in ("raw 0", "raw 1", "filters 0", "filters 1")]
        high = 1e-3
        for line, values in zip(self.lines, drawn, strict=True):
            line.set_data(AT if values is not None else [], values if values is not None else [])
            if values is not None:
                high = max(high, float(values.max()))
        low = 0.4 * scene.base.history["loss"][-1]
        top = 10.0 ** math.ceil(math.log10(30 * high))
        depends = low, top, scene.earlier
        if depends != self._drawn:
            self.ax.set_ylim(low, top)
            _title(self.ax, "the loss along a random direction", scene)
        return depends

    def alt(self, scene) -> str:
        raw, filters = scene.slices.get("raw 1"), scene.slices.get("filters 1")
        if raw is None or filters is None:
            return "Slices of the loss, still to come. Now: 0 of 4 are there."
        return (
            "Steps along a random direction across, the loss up, on a log axis: valleys, before "
            "and after the rescaling. Now: at the end of the raw slice it is "
            f"{short(float(raw[-1]))}, of the one scaled unit by unit {short(float(filters[-1]))}."
        )


class After(Picture):
    """What training does from there: loss, and sharpness against 2/eta."""

    def build(self, figure) -> None:
        upper, lower = (0.145, 0.58, 0.775, 0.325), (0.145, 0.14, 0.775, 0.325)
        self.above = self.axes(figure, "", "loss", "training on from there: loss", upper)
        self.below = self.axes(figure, "steps after the rescaling", "λ", "sharpness λ", lower)
        self.above.tick_params(labelbottom=False)
        for ax in (self.above, self.below):
            ax.set_xlim(-20, STEPS_AFTER)
            ax.set_yscale("log")
        self.above.set_ylim(1e-3, 1e9)
        self.below.set_ylim(0.5, 1e6)
        self.below.axhline(2 / LR, color=THRESHOLD, ls="--", lw=1.2)
        beside = {"transform": self.below.get_yaxis_transform(), "va": "center", "fontsize": 9}
        self.edge = self.below.text(1.01, 2 / LR, "2/η", **beside)
        (self.loss,) = self.above.plot([], [], color=LOSS, lw=1.6, animated=True)
        (self.sharpness,) = self.below.plot([], [], color=SHARPNESS, lw=1.6, animated=True)
        self.word = self.above.text(
            0.98, 0.97, "", transform=self.above.transAxes, ha="right", va="top", animated=True
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

    def compared(self):
        return (self.loss, self.sharpness)

    def alt(self, scene) -> str:
        steps, loss, sharpness = scene.after()
        return (
            "Steps after the rescaling across; the loss above, sharpness below, on log axes. Now: "
            f"{max(steps[-1], 0):.0f} steps after it, loss {short(loss[-1])}, sharpness "
            f"{short(sharpness[-1])}. {scene.outcome()}"
        )


def _title(ax, text: str, scene, x: float = 0.0) -> None:
    """A title, which says of what was measured before training went on that it was."""
    earlier = f", {scene.earlier}" if scene.earlier else ""
    ax.set_title(f"{text}{earlier}", fontsize=9.5, loc="left", pad=4, color=INK, x=x)
