"""Page 11: the soft rank of a network that trains, and of kept ones, against their gaps."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch

from kit.calibration import Calibration, reliability, temperature_scaling
from kit.contrast import means
from kit.curvature import matrix
from kit.live.constrained_pictures import (
    DAMPINGS,
    Cases,
    Ranks,
    Reliability,
    Ridge,
    Spectrum,
    Terms,
)
from kit.live.evidence import RUN, Evidence
from kit.live.question import Question
from kit.live.scene import Beat, Control
from kit.live.text import short
from kit.models import mlp
from kit.ranking import Tau, kendall_tau
from kit.softrank import TakeuchiTerms, all_eigenvalues, gradient_covariance
from kit.studies import SOFT_RANK, WIDTHS
from kit.training import Training

STEPS = 4000
LOOK_EVERY = 100
LIVE_WIDTHS = (4, 8, 16)
SMALL = 1200  # parameters up to which Takeuchi's terms are computed


@dataclass(frozen=True)
class Case:
    """One part of the study, and what it is there to show."""

    part: str
    why: str
    noise: bool = False  # rank times the variance of the noise: what mse takes


CASES = {
    "works": Case("works", "Rank over n and gap agree in size, and in order."),
    "between": Case("between", "Weight decay 0.003: the gap is at least twice the rank over n."),
    "interpolation": Case(
        "interpolation",
        "Weight decay 0.0001: the rank over n is far below the gap. From width 16 on the network "
        "interpolates.",
    ),
    "digits": Case("digits", "Digits: wider networks have a larger rank and a smaller gap."),
    "mse": Case("mse", "mse: the rank alone is some fifteen times too large."),
    "mse_noise": Case(
        "mse", "mse, times the variance of the noise: the size is right.", noise=True
    ),
    "mnist": Case("mnist", "MNIST, 200 samples: the order is the wrong way round."),
    "fashion": Case("fashion", "Fashion-MNIST, 200 samples: the wrong way round, too."),
}
TITLES = {
    "MNIST-1D, μ = 0.03": "works",
    "MNIST-1D, μ = 0.003": "between",
    "interpolation, μ = 0.0001": "interpolation",
    "digits, μ = 0.03": "digits",
    "mse": "mse",
    "mse, times noise variance": "mse_noise",
    "MNIST, μ = 0.03": "mnist",
    "Fashion-MNIST, μ = 0.03": "fashion",
}
DECAYS = ("works", "between", "interpolation")  # parts that differ in the weight decay
CHOICES = ("about as large", "ten times larger", "ten times smaller")


class Constrained(Evidence):
    """How many directions does the loss constrain? A spectrum, a damping, and kept networks.

    `training` is the network that is trained here, `spectrum` the eigenvalues of its G, ascending.
    """

    title = "How many directions does the loss constrain?"
    study = SOFT_RANK
    shown = ("soft_rank", "takeuchi", "trace", "sharpness")
    controls = (
        Control("run", "Run", "Run or pause", "Train this network, and take its spectrum"),
        Control("grow", *(RUN.label, RUN.full, RUN.tip)),
        Control(
            "damping",
            "damping μ",
            "damping mu",
            "What an eigenvalue has to exceed to count; the weight decay stays as it is",
            values=DAMPINGS,
            bar=True,
        ),
        Control(
            "width",
            "width",
            "width of the two hidden layers",
            "Of the network that is trained here: a new one",
            values=LIVE_WIDTHS,
        ),
        Control(
            "case",
            "case",
            "case: data, cost and weight decay",
            "Where it works, and where it fails",
            options=TITLES,
        ),
    )
    pictures: ClassVar = {
        "spectrum": Spectrum,
        "ranks": Ranks,
        "cases": Cases,
        "terms": Terms,
        "reliability": Reliability,
        "ridge": Ridge,
    }
    question = Question(
        "A network has 490 parameters and 500 samples of MNIST-1D. You see the spectrum of G, the "
        "Gauss-Newton part of its loss's Hessian. An eigenvalue a counts as a / (a + μ), with μ "
        "the weight decay; the sum is the soft rank. How large is it, over n, beside the gap of "
        "the loss?",
        choices=CHOICES,
        because="So the paper claims, for a model that is as sure as it may be. Here weight decay "
        "keeps it from being too sure. Then try the cases where it fails.",
    )
    beats = (
        Beat("the spectrum, the damping, and how much counts.", (("reset", None),)),
        Beat("turn the damping: the rank follows, the gap does not.", (("damping", 0.001),)),
        Beat("interpolation: the gap is many times the rank.", (("case", "interpolation"),)),
        Beat("digits: the order turns round.", (("case", "digits"),)),
        Beat("mse needs the variance of the noise.", (("case", "mse"),)),
        Beat("with it, the size is right.", (("case", "mse_noise"),)),
    )

    def start(self) -> None:
        self.values = {"damping": 0.03, "width": 8, "case": "works"}
        self.status = CASES["works"].why if self.revealed else "A network, trained to its end."
        self._network()
        self.training.run(STEPS)
        self._take()
        self._explain()

    def part_name(self) -> str:
        return CASES[self.values["case"]].part

    def _network(self) -> None:
        """The network that is trained here, at its start."""
        part = self.part
        d = part.dataset.d
        w = self.values["width"]
        (mu,), (lr,) = part.grid["weight_decay"], part.grid["lr"]
        self.mu = mu
        model = mlp((d, w, w, 10), seed=0)
        self.training = Training(
            model,
            part.dataset,
            loss=part.loss,
            lr=lr,
            weight_decay=mu,
            measures=(),
            scores=False,
            every=10**9,
        )
        self._noise: tuple[np.ndarray, np.ndarray] | None = None
        self.trained = False

    def _take(self) -> None:
        """Spectrum, gap and calibration of the network as it is now."""
        training = self.training
        self.spectrum = all_eigenvalues(training.objective).numpy()
        scores = training.evaluate()
        self.gap, self.gap_se = scores["loss_gap"], scores["loss_gap_se"]
        self.train_loss = scores["train_loss"]
        self.calibration: Calibration | None = None
        self.temperature = math.nan
        if training.loss == "cross_entropy":
            outputs, y = training.test_objective.outputs(), training.test_objective.y
            self.calibration = reliability(outputs, y, bins=10)
            self.temperature = temperature_scaling(outputs, y)
            self.cooled = reliability(outputs / self.temperature, y, bins=10)
        self._noise = None

    def _explain(self) -> None:
        """Σ_g in the eigenvectors of G, of the finished network: the terms at any damping."""
        self.trained = self.training.steps >= STEPS
        objective = self.training.objective
        if objective.parameters <= SMALL:
            values, vectors = torch.linalg.eigh(matrix(objective, "gauss_newton").double())
            noise = (vectors * (gradient_covariance(objective) @ vectors)).sum(0)
            self._noise = values.clamp(min=0).numpy(), noise.numpy()

    @property
    def terms(self) -> TakeuchiTerms | None:
        """Takeuchi's estimate taken apart at the damping that is set; None where too large."""
        if self._noise is None:
            return None
        (a, noise), mu = self._noise, self.values["damping"]
        takeuchi, rank = float((noise / (a + mu)).sum()), float((a / (a + mu)).sum())
        return TakeuchiTerms(takeuchi, rank, takeuchi - rank, 0.0)

    def rank(self, mu: float | None = None) -> float:
        """rank_mu(G) of this network; at the damping that is set by default."""
        mu = self.values["damping"] if mu is None else mu
        return float((self.spectrum / (self.spectrum + mu)).sum())

    def factor(self) -> float:
        """What the rank is multiplied by: 1, or the variance of the noise."""
        case = CASES[self.values["case"]]
        return 2 * self.train_loss / 10 if case.noise else 1.0

    @property
    def n(self) -> int:
        return self.training.objective.n

    @property
    def times(self) -> str:
        """What stands before the rank over n in this case."""
        return "σ² × " if CASES[self.values["case"]].noise else ""

    def look(self) -> None:
        """Per case: width -> means of rank over n and of the gap, with two standard errors."""
        self.points: dict[str, list[tuple[int, tuple, tuple]]] = {}
        for name, case in CASES.items():
            rows = self.rows_of(case.part)
            rows = rows[rows["status"] == "done"].copy()
            rows["width"] = rows["widths"].str.extract(r", (\d+),")[0].astype(float)
            n = len(self.study.parts[case.part].dataset.X_train)
            factor = 2 * rows["train_loss"] / 10 if case.noise else 1.0
            rows["estimate"] = factor * rows["soft_rank"] / n
            kept = rows[~rows["own"]]
            x, y = means(kept, "estimate", "width"), means(kept, "loss_gap", "width")
            self.points[name] = [(int(w), a, b) for (w, *a), (_, *b) in zip(x, y, strict=True)]
            if name == self.values["case"]:
                self._table = rows
        self.tau: dict[str, Tau] = {
            name: kendall_tau(self._table, name, draws=400) for name in ("estimate", "trace")
        }
        decays = pd.concat([self.rows_of(part) for part in DECAYS], ignore_index=True)
        decays["damping alone"] = -decays["weight_decay"]
        for name in ("soft_rank", "damping alone"):
            self.tau[name] = kendall_tau(decays, name, draws=400)

    def changed(self, name: str) -> None:
        if name == "damping":
            return
        if name == "case":
            self.look()
            (mu,) = self.part.grid["weight_decay"]
            self.values["damping"] = min(DAMPINGS, key=lambda v: abs(v - mu))
            self.status = CASES[self.values["case"]].why
        self.running = False
        self._network()
        self._take()
        self.working = True  # trained to its end, in view

    def pressed(self, name: str) -> None:
        if name == "grow":
            self.working = False
            super().pressed(name)
            self._growing = self.running
            return
        if self.running:
            self.running = False
            self.status = "Paused."
            return
        self._growing = False
        if self.training.steps >= STEPS:
            self._network()
        self.working, self.running = False, True
        self.status = f"Training to step {STEPS}."

    def advance(self, seconds: float) -> None:
        if self.running and self._growing:
            super().advance(seconds)
            return
        end = time.perf_counter() + seconds
        while time.perf_counter() < end and (self.running or self.working):
            if self.training.steps >= STEPS or self.training.diverged is not None:
                self._explain()
                self.running = self.working = False
                self.status = CASES[self.values["case"]].why
            else:
                self.training.step()
                if self.training.steps % LOOK_EVERY == 0:
                    self._take()
                    break

    _growing = False

    def reveal(self) -> None:
        self.status = CASES[self.values["case"]].why

    # What is said.

    def answer(self) -> str:
        """The soft rank over n of the network in view, at its weight decay, over its gap."""
        ratio = self.rank(self.mu) / self.n / self.gap
        return CHOICES[0] if 1 / 3 < ratio < 3 else CHOICES[1 if ratio > 3 else 2]

    def seen(self):
        return (
            self.revealed,
            self.training.steps,
            len(self._table),
            self._noise is not None,
            tuple(self.values.items()),
        )

    def phase(self) -> str:
        if not self.revealed:
            return (
                f"The spectrum of a network with {self.training.objective.parameters} parameters."
            )
        where = "" if self.training.steps >= STEPS else f" at step {self.training.steps}"
        size = self.factor() * self.rank() / self.n
        growing = self.progress() if self.growing is not None else ""
        tempered = (
            ""
            if math.isclose(self.values["damping"], self.mu)
            else (" The damping is not the weight decay: no theorem speaks of it.")
        )
        noise = f", times the noise variance {short(self.factor())}," if self.times else ""
        gap = f"{short(self.gap)} ± {short(self.gap_se, 2)}"
        return (
            f"Of {self.training.objective.parameters} directions {short(self.rank())} "
            f"count{where}; over n{noise} that is {short(size)}, beside a gap of {gap}."
            f"{tempered}{growing}"
        )

    def numbers(self) -> list[list[str]]:
        objective = self.training.objective
        mu = self.values["damping"]
        rows = [
            ["step t", f"{self.training.steps}", f"of {STEPS}, weight decay {self.mu:g}"],
            ["parameters P", f"{objective.parameters}", f"n = {self.n} samples, 10 outputs"],
        ]
        if not self.revealed:
            return rows
        size = self.factor() * self.rank() / self.n
        note = "exact, from the whole spectrum of G"
        if self.times:
            note += f"; noise variance σ² = {short(self.factor())}"
        rows += [
            [f"soft rank, μ = {mu:g}", short(self.rank()), "the effective dimension"],
            [f"{self.times}rank over n", short(size), note],
            ["gap of the loss", short(self.gap), f"± {short(self.gap_se, 2)}, of the test mean"],
        ]
        if self.terms is not None:
            index = self.terms.takeuchi / self.terms.soft_rank - 1
            beside = f"{index:+.0%}".replace("-", "−")
            remark = f"Σ_g of the training data; {beside} beside the rank"
            rows.append(["Takeuchi over n", short(self.terms.takeuchi / self.n), remark])
        if self.calibration is not None:
            c = self.calibration
            rows.append(
                [
                    "over-confidence",
                    f"{c.over_confidence:+.3f}".replace("-", "−"),
                    f"± {short(c.over_confidence_se, 2)}: test confidence less accuracy",
                ]
            )
            rows.append(
                [
                    "temperature T",
                    short(self.temperature),
                    "best on test data; 1 is calibrated",
                ]
            )
        tau, trace = self.tau["estimate"], self.tau["trace"]
        rows.append(
            [
                "τ over widths",
                short(tau.tau, 2),
                f"95%: {short(tau.low, 2)} to {short(tau.high, 2)}; "
                f"trace of H {short(trace.tau, 2)}",
            ]
        )
        both = self.tau["soft_rank"], self.tau["damping alone"]
        low, high = (short(value, 2) for value in (both[0].low, both[0].high))
        remark = f"95%: {low} to {high}; a smaller damping alone {short(both[1].tau, 2)}"
        rows.append(["τ over three weight decays", short(both[0].tau, 2), f"MNIST-1D, {remark}"])
        rows.append(self.source())
        return rows

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"seed": 0, "steps": STEPS, "widths kept": list(WIDTHS)}
