"""Page 8: the same function at other parameters, its measures, and what training does there."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from kit.live.question import Question
from kit.live.rescale_pictures import (
    AT,
    FACTORS,
    LR,
    MEANS,
    NAMES,
    STEPS_AFTER,
    STEPS_BEFORE,
    STILL,
    After,
    Factor,
    Measures,
    Quotient,
    Slices,
    Smallest,
)
from kit.live.scene import Beat, Control, Scene
from kit.live.session import ready_process
from kit.live.text import greek, short
from kit.load import load_dataset
from kit.models import mlp
from kit.orbit import QUICK, Orbit
from kit.registry import Measure, measures
from kit.training import Training

SPREADS = tuple(round(0.1 * k, 1) for k in range(16))
DECAYS = (0.0, 0.001, 0.003, 0.01, 0.03)
FIRST = ("sharpness", "invariant_sharpness_layer")
ORDER = (*FIRST, *(name for name in QUICK if name not in FIRST))
CHOICES = (
    "it stays as it is",
    "it grows about tenfold, by α",
    "it grows more than twentyfold, but by less than α²",
    "it grows a hundredfold, by α²",
)
LIMITS = (3.0, 20.0, 90.0)  # between the choices
OUTCOMES = {
    "blow-up": "blew up",
    "collapse": "collapsed",
    None: "recovered",
}


class Rescale(Scene):
    """Is sharpness a property of the function? A trained network and its rescalings.

    Measures, slices and the curve come one at a time (`working`), the quickest first; Run trains
    the rescaled network for 300 steps.
    """

    title = "Is sharpness a property of the function?"
    controls = (
        Control(
            "run",
            "Train on",
            "Train on from the rescaled network, or pause",
            "300 steps",
            shows="after",
        ),
        Control("step", "Step", "One step", "A single training step", shows="after"),
        Control("undo", "Undo", "Undo the rescaling", "Back to the trained network"),
        Control(
            "alpha",
            "layers α",
            "rescaling factor alpha of the layers",
            "First layer times α, last layer divided by α",
            values=FACTORS,
            form="× {:.3g}",
            bar=True,
            shows="measures",
        ),
        Control(
            "spread",
            "unit factors",
            "spread of the factors of the hidden units",
            "Each hidden unit times a random factor, its outgoing weights divided by it. 0.3: "
            "factors of about 1.35 or its inverse",
            values=SPREADS,
            group="Hidden units (nodes)",
            shows="measures",
        ),
        Control(
            "decay",
            "weight decay μ",
            "weight decay mu",
            "Adds μ/2 ‖θ‖² to what is descended",
            values=DECAYS,
            group="What is descended",
            shows="after",
        ),
        Control(
            "measure",
            "measure",
            "measure to explain",
            "Its row has bold letters; the numbers say what it is, in words and as a formula",
            options={NAMES[name]: name for name in QUICK},
            group="What a measure is",
            shows="measures",
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
        because="Curvature within the divided layer grows by α² = 100. But the sharpest direction "
        "had parts in every layer, and so sharpness grows by less. Measures that rescale along, "
        "drawn in blue, do not move.",
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
        self.values = {"alpha": 1.0, "spread": 0.0, "decay": 0.0, "measure": "sharpness"}
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
        if name == "measure":
            self.status = self._explain()
            return
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

    def _explain(self) -> str:
        """The measure that is chosen, in words."""
        name = self.values["measure"]
        return f"{NAMES[name]}: {MEANS[name]}."

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
        return CHOICES[sum(factor >= limit for limit in LIMITS)]

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
            loss, before = (r.history["loss"][-1] for r in (self.run, self.base))
            back = "" if loss <= before else f", still above the {short(before)} of before"
            return f"It {name} from the burst: loss {short(loss)}{back}."
        return f"It {name} at step {self.trained}: {broken.reason}."

    def phase(self) -> str:
        if not self.revealed:
            return ""
        left = len(ORDER) - len(self.ratios)
        if left:
            return f"Measured {len(self.ratios)} of {len(ORDER)}."
        moved = sum(abs(r - 1) > STILL for r in self.ratios.values())
        if self.trained:
            had = f"{moved} of {len(ORDER)} measures had moved; the outputs had not"
            return f"Before training on, {had}."
        return f"{moved} of {len(ORDER)} measures have moved; the function has not."

    @property
    def earlier(self) -> str:
        """Said of what was measured before the training that is under way, or done."""
        return "before training on" if self.trained else ""

    def numbers(self) -> list[list[str]]:
        value = self.base.history["sharpness"][-1]
        ratio, layer = (self.ratios.get(n, math.nan) for n in FIRST)
        alpha = self.values["alpha"]
        limit = max(alpha, 1 / alpha) ** 2
        earlier = f"{self.earlier}; " if self.earlier else ""
        power = "α²" if alpha >= 1 else "1/α²"
        rows = [
            [
                "outputs changed by",
                f"{self.change:.0e}" if self.change else "0",
                f"{earlier}of the largest: rounding",
            ],
            [
                f"sharpness λ{', ' if earlier else ''}{self.earlier}",
                short(value * ratio),
                f"× {short(ratio)}; before the rescaling {short(value)}",
            ],
            ["λ(S), layer metric", f"× {short(layer)}", f"{earlier}after the rescaling / before"],
            [
                power,
                short(limit),
                "by α alone: the factor of curvature within the layer made smaller",
            ],
            ["threshold 2/η", short(2 / LR), f"η = {LR}"],
        ]
        if self.trained:
            rows[1:1] = self._now()
        if self.revealed:
            rows += self._explained(earlier)
        if self.values["spread"]:
            typical = short(math.exp(self.values["spread"]))
            remark = f"typical; e to the power {self.values['spread']:g}"
            rows.append(["factors of the units", f"{typical} or 1/{typical}", remark])
        if self.values["decay"]:
            pair = [self.orbit.penalised(m, self.values["decay"]) for m in self._both()]
            when = "before training on; " if self.trained else ""
            remark = f"{when}before the rescaling {short(pair[0])}: weight decay sees it"
            rows.append(["loss + μ/2 ‖θ‖²", short(pair[1]), remark])
        return rows

    def _explained(self, earlier: str) -> list[list[str]]:
        """The measure that is chosen: what became of it, what it is, what leaves it as it is."""
        name = self.values["measure"]
        entry = measures()[name]
        ratio = f"× {short(self.ratios[name])}" if name in self.ratios else "not yet"
        return [
            [f"measure: {NAMES[name]}", ratio, f"{earlier}{MEANS[name]}"],
            ["its formula", greek(entry.formula), unmoved(entry)],
        ]

    def _now(self) -> list[list[str]]:
        """What the training that goes on has come to."""
        last = {name: self.run.history[name][-1] for name in ("sharpness", "loss")}
        step, broken = f"{self.trained} steps on", self.run.diverged is not None
        return [
            ["sharpness λ, now", short(last["sharpness"]), f"{step}, broken" if broken else step],
            ["loss, now", short(last["loss"]), f"before {short(self.base.history['loss'][-1])}"],
        ]

    def _both(self):
        return self.base.model, self.model

    def columns(self) -> dict[str, Sequence[float]]:
        steps, loss, sharpness = self.after()
        return {"step": steps.tolist(), "loss": loss.tolist(), "sharpness": sharpness.tolist()}

    def settings(self) -> dict[str, Any]:
        network = {"data": "digits", "n_train": 300, "widths": [64, 32, 32, 10], "seed": 0}
        return {**self.values, **network, "eta": LR, "ratios": dict(self.ratios)}


def unmoved(entry: Measure) -> str:
    """Which rescalings leave a measure as it is.

    >>> unmoved(measures()["trace"]), unmoved(measures()["relative_flatness"])
    ('layers and units move it', 'units move it, layers do not')
    """
    layers, units = (kind in entry.invariances for kind in ("layer-wise", "node-wise"))
    if layers and not units:
        return "units move it, layers do not"
    return "neither layers nor units move it" if units else "layers and units move it"
