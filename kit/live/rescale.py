"""Page 8: the same function at other parameters, its measures, and what training does there."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from kit.curvature import matrix
from kit.live.panels import INVARIANT, LOSS, SHARPNESS, THRESHOLD
from kit.live.picture import SOFT, Picture
from kit.live.question import Question
from kit.live.scene import Beat, Control, Scene
from kit.live.session import ready_process
from kit.live.text import short
from kit.load import load_dataset
from kit.models import mlp
from kit.objective import Objective
from kit.orbit import QUICK, Orbit
from kit.training import Training

LR, STEPS_BEFORE, STEPS_AFTER = 0.5, 150, 300
LARGER = (1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0, 30.0, 50.0, 100.0)
FACTORS = (*(1 / f for f in reversed(LARGER)), 1.0, *LARGER)
SPREADS = tuple(round(0.1 * k, 1) for k in range(16))
DECAYS = (0.0, 0.001, 0.003, 0.01, 0.03)
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
    "invariant_sharpness_riemannian": "λ(B), Riemannian",
    "invariant_sharpness_elementwise": "λ, elementwise",
    "invariant_sharpness_path": "λ, path metric",
    "average_adaptive_sharpness": "average adaptive sh.",
    "fisher_rao": "Fisher-Rao norm",
    "path_norm": "path norm",
    "jacobian_max": "max ‖J‖₂",
}
FIRST = ("sharpness", "invariant_sharpness_layer")
ORDER = (*FIRST, *(name for name in QUICK if name not in FIRST))
CHOICES = ("it stays as it is", "it grows about thirtyfold", "it grows a hundredfold, by α²")
OUTCOMES = {
    "blow-up": "blew up",
    "collapse": "collapsed",
    None: "recovered",
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


class Rescale(Scene):
    """Is sharpness a property of the function? A trained network and its rescalings.

    Measures, slices and the curve come one at a time (`working`), the quickest first; Run trains
    the rescaled network for 300 steps.
    """

    title = "Is sharpness a property of the function?"
    controls = (
        Control("run", "Train on", "Train on from the rescaled network, or pause", "300 steps"),
        Control("step", "Step", "One step", "A single training step"),
        Control("undo", "Undo", "Undo the rescaling", "Back to the trained network"),
        Control(
            "alpha",
            "layers α",
            "rescaling factor alpha of the layers",
            "First layer times α, last layer divided by α",
            values=FACTORS,
            form="× {:.3g}",
            bar=True,
        ),
        Control(
            "spread",
            "nodes",
            "spread of the factors of the nodes",
            "Each hidden unit times a random factor, its outgoing weights divided by it",
            values=SPREADS,
        ),
        Control(
            "decay",
            "weight decay μ",
            "weight decay mu",
            "Adds μ/2 ‖θ‖² to what is descended",
            values=DECAYS,
        ),
    )
    pictures: ClassVar = {
        "measures": Measures,
        "factor": Factor,
        "slices": Slices,
        "after": After,
        "quotient": Quotient,
        "smallest": Smallest,
    }
    question = Question(
        "The first layer is multiplied by α = 10, the last one divided by 10. The outputs are the "
        "same, to rounding. What does sharpness do?",
        choices=CHOICES,
        because="Only the blocks of the divided layer grow by α²; the directions that mix layers "
        "grow less. What is measured in a metric that rescales along does not move.",
    )
    beats = (
        Beat("a trained network, at 2/η.", (("undo", None),)),
        Beat("layers times 10: another sharpness, the same function.", (("alpha", 10.0),)),
        Beat("train on: it collapses.", (("run", None),)),
        Beat("by a tenth: it blows up.", (("undo", None), ("alpha", 0.1), ("run", None))),
        Beat("by 3: it recovers.", (("undo", None), ("alpha", 3.0), ("run", None))),
        Beat(
            "node by node: now the layer metric moves too.",
            (("undo", None), ("spread", 1.0)),
        ),
        Beat(
            "with weight decay the objective itself changes.",
            (("undo", None), ("decay", 0.01), ("alpha", 10.0)),
        ),
    )

    def begin(self) -> None:
        ready_process()
        self.values = {"alpha": 1.0, "spread": 0.0, "decay": 0.0}
        data = load_dataset("digits", n_train=300)
        model = mlp((data.d, 32, 32, data.K), seed=0).double()
        self.base = Training(model, data, loss="mse", lr=LR, measures=("sharpness",), scores=False)
        self.base.run(STEPS_BEFORE)
        self.orbit = Orbit(self.base)
        self.curve: dict[float, float] = {}
        self.slices: dict[str, torch.Tensor] = {}
        self._move()
        while not self.revealed and self.working:
            self._next()
        self.status = "A network, trained for 150 steps."

    def _move(self) -> None:
        """Other parameters: what is known of them is known anew."""
        self.running = False
        alpha, spread = self.values["alpha"], self.values["spread"]
        moved = alpha != 1 or spread != 0
        self.model = self.orbit.at(alpha, spread) if moved else self.base.model
        self.ratios: dict[str, float] = {}
        self.change = self.orbit.output_change(self.model)
        self.slices = {k: v for k, v in self.slices.items() if k.endswith("0")}
        self.run: Training | None = None
        self.working = True
        self._next()

    def _next(self) -> None:
        """One more measure, slice, or point of the curve."""
        left = [name for name in ORDER if name not in self.ratios]
        if left:
            self.ratios[left[0]] = self.orbit.ratio(left[0], self.model)
            return
        for key in ("raw 1", "filters 1", "raw 0", "filters 0"):
            if key not in self.slices:
                model = self.model if key.endswith("1") else self.base.model
                filters = key.startswith("filters")
                self.slices[key] = self.orbit.slice(model, AT, filters=filters)
                return
        for alpha in FACTORS if self.revealed else ():
            if alpha not in self.curve:
                self.curve[alpha] = self.orbit.ratio("sharpness", self.orbit.at(alpha))
                return
        self.working = False

    def changed(self, name: str) -> None:
        if name == "decay":
            self.run = None
            self.running = False
        else:
            self._move()
        self.status = self._say()

    def _say(self) -> str:
        return (
            f"Rescaled: outputs changed by {self.change:.0e} (rounding), sharpness times "
            f"{short(self.ratios['sharpness'])}."
        )

    def pressed(self, name: str) -> None:
        if name == "undo":
            self.values |= {"alpha": 1.0, "spread": 0.0, "decay": 0.0}
            self._move()
            self.status = "Back at the trained network."
            return
        if self.run is None or self.run.diverged or self.trained >= STEPS_AFTER:
            self._start()
        if name == "run":
            self.running = not self.running
            self.status = "Training." if self.running else "Paused."
        else:
            self.running = False
            self._train()
            self.status = f"Step {self.trained} after the rescaling."

    def _start(self) -> None:
        """A training run that begins at the rescaled parameters."""
        self.run = Training(
            self.model,
            self.base.dataset,
            loss="mse",
            lr=LR,
            weight_decay=self.values["decay"],
            measures=("sharpness",),
            scores=False,
        )

    @property
    def trained(self) -> int:
        """Steps since the rescaling."""
        return 0 if self.run is None else self.run.steps

    def _train(self) -> None:
        self.run.step()
        if self.run.diverged is not None or self.trained >= STEPS_AFTER:
            self.running = False
            self.status = self.outcome()

    def advance(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end and (self.running or self.working):
            if self.working:
                self._next()
            else:
                self._train()

    def answer(self) -> str:
        factor = self.orbit.ratio("sharpness", self.orbit.at(10.0))
        sizes = dict(zip(CHOICES, (1.0, 30.0, 100.0), strict=True))
        return min(CHOICES, key=lambda choice: abs(math.log(factor / sizes[choice])))

    def reveal(self) -> None:
        self.values["alpha"] = 10.0
        self._move()
        self.status = self._say() + " Now train on."

    # What is shown.

    def after(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Steps, loss and sharpness: the last 20 before the rescaling, and those after it."""
        before = {name: self.base.history[name][-20:] for name in ("loss", "sharpness")}
        if self.run is None:
            now = {"loss": [], "sharpness": []}
        else:
            now = {name: self.run.history[name] for name in before}
        steps = np.concatenate([np.arange(-20, 0), np.arange(len(now["loss"]))])
        loss, sharpness = (np.array([*before[n], *now[n]], dtype=float) for n in before)
        return steps, loss, sharpness

    def outcome(self) -> str:
        """What became of the run, once that is known."""
        if self.run is None:
            return ""
        broken = self.run.diverged
        if broken is None and self.trained < STEPS_AFTER:
            return f"step {self.trained} of {STEPS_AFTER}"
        name = OUTCOMES[None if broken is None else broken.kind]
        if broken is None:
            return f"It {name}: loss {short(self.run.history['loss'][-1])}."
        return f"It {name} at step {self.trained}: {broken.reason}."

    def phase(self) -> str:
        if not self.revealed:
            return ""
        left = len(ORDER) - len(self.ratios)
        if left:
            return f"Measured {len(self.ratios)} of {len(ORDER)}."
        moved = sum(abs(r - 1) > STILL for r in self.ratios.values())
        return f"{moved} of {len(ORDER)} measures have moved; the function has not."

    def numbers(self) -> list[list[str]]:
        value = self.base.history["sharpness"][-1]
        ratio, layer = (self.ratios.get(n, math.nan) for n in FIRST)
        alpha = self.values["alpha"]
        limit = max(alpha, 1 / alpha) ** 2
        rows = [
            ["outputs changed by", f"{self.change:.0e}", "of the largest: rounding"],
            ["sharpness λ", short(value * ratio), f"× {short(ratio)}; before {short(value)}"],
            ["λ(S), layer metric", f"× {short(layer)}", "after over before"],
            ["α²", short(limit), "the factor of the blocks of the divided layer"],
            ["threshold 2/η", short(2 / LR), f"η = {LR}"],
        ]
        if self.values["decay"]:
            pair = [self.orbit.penalised(m, self.values["decay"]) for m in self._both()]
            remark = f"before {short(pair[0])}: with weight decay it is not invariant"
            rows.append(["loss + μ/2 ‖θ‖²", short(pair[1]), remark])
        return rows

    def _both(self):
        return self.base.model, self.model

    def columns(self) -> dict[str, Sequence[float]]:
        steps, loss, sharpness = self.after()
        return {"step": steps.tolist(), "loss": loss.tolist(), "sharpness": sharpness.tolist()}

    def settings(self) -> dict[str, Any]:
        network = {"data": "digits", "n_train": 300, "widths": [64, 32, 32, 10], "seed": 0}
        return {**self.values, **network, "eta": LR, "ratios": dict(self.ratios)}
