"""Page 4: sharpness against the Jacobian norm as a path, and what breaks the link between them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from kit.curvature import eigenvalues
from kit.jacobian import jacobian_norms
from kit.live.link_pictures import TOP, Course, Plane, Shares, Spectrum
from kit.live.question import Question
from kit.live.scene import Beat, Control, Scene
from kit.live.session import ready_process
from kit.live.text import short
from kit.load import Dataset, load_dataset
from kit.models import mlp
from kit.objective import Objective
from kit.tangent import dual_gauss_newton, layer_shares
from kit.training import Training

WIDTHS = (16, 32, 64, 128, 256, 512, 1024)
LOOK_EVERY = 100  # steps between two looks at spectrum and shares
SCALE = 10.0  # of the inputs, in the case about them
SEEN = 120  # steps that are shown before the answer
APART = "40 inputs at right angles, labels by chance"
ROUNDING = 1e-5  # relative change from one measurement to the next that says nothing
MOVED = 0.03  # relative change that counts as one


@dataclass(frozen=True)
class Case:
    """One training run, and what it is there to show."""

    why: str
    data: str
    widths: tuple[int, ...]
    steps: int
    activation: str = "relu"
    loss: str = "mse"
    lr: float = 0.2
    smoothing: float = 0.0
    n_train: int | None = None
    bias: bool = True
    every: int = 10
    options: tuple[tuple[str, Any], ...] = ()  # of the data


CASES: dict[str, Case] = {
    "edge": Case(
        "Both climb. Then sharpness stops at 2/η, and the Jacobian does not.",
        "chebyshev",
        (1, 30, 20, 1),
        5000,
        activation="tanh",
        every=20,
        options=(("degree", 4),),
    ),
    "confident": Case(
        "Cross-entropy: where the network is certain, the cost hardly changes with its outputs. "
        "So sharpness falls, and the Jacobian does not.",
        "spirals",
        (2, 32, 32, 3),
        4000,
        loss="cross_entropy",
    ),
    "smoothed": Case(
        "Label smoothing keeps the network from being certain: the link is back.",
        "spirals",
        (2, 32, 32, 3),
        4000,
        loss="cross_entropy",
        smoothing=0.1,
    ),
    "linear": Case(
        "A linear model: its curvature depends on the inputs alone, not on the weights. Only the "
        "Jacobian grows.",
        "digits",
        (64, 10),
        400,
        lr=0.02,
        n_train=300,
    ),
    "inputs": Case(
        "Inputs times 10, first weights divided by 10: the same function, another sharpness.",
        "spirals",
        (2, 32, 32, 3),
        1500,
        loss="cross_entropy",
        lr=0.1,
    ),
    "apart": Case(
        "Inputs at right angles, no biases: in the first layer samples share nothing, so their "
        "curvatures hardly add up. The Jacobian climbs, sharpness hardly.",
        APART,
        (40, 64, 1),
        600,
        activation="tanh",
        lr=0.05,
        bias=False,
    ),
    "width": Case(
        "Only the first layer is trained. The wider it is, the less sharpness follows.",
        "digits",
        (64, 64, 10),
        400,
        loss="cross_entropy",
        lr=0.05,
        n_train=300,
    ),
}
TITLES = {
    "mse, to the edge": "edge",
    "cross-entropy, confident": "confident",
    "cross-entropy, label smoothing": "smoothed",
    "a linear model": "linear",
    "inputs times 10": "inputs",
    "inputs at right angles": "apart",
    "first layer only": "width",
}
CHOICES = ("both go on rising", "‖J‖ rises, sharpness falls", "‖J‖ falls, sharpness rises")


class Link(Scene):
    """Does a sharp loss mean a steep function? Seven runs, and what ties or parts the two.

    `steps`, `sharpness`, `jacobian`: the measured steps. `looked`, `gauss_newton`: those at which
    spectrum and shares were looked at as well.
    """

    title = "Does a sharp loss mean a steep function?"
    controls = (
        Control("run", "Run", "Run or pause", "Train, and measure as it goes"),
        Control("step", "Step", "Ten steps", "To the next measurement"),
        Control("again", "Restart", "Back to the start", "Back to step 0"),
        Control("case", "case", "case", "What is trained, and how", options=TITLES, bar=True),
        Control(
            "width",
            "width",
            "width of the hidden layer, for the case of the first layer",
            "Of the hidden layer, where only the first layer is trained",
            values=WIDTHS,
        ),
    )
    pictures: ClassVar = {"plane": Plane, "course": Course, "shares": Shares, "spectrum": Spectrum}
    question = Question(
        "A classifier trains with cross-entropy on three spirals. So far sharpness and the "
        "Jacobian norm have risen together. It will learn all of its points. How do the two go on?",
        choices=CHOICES,
        because="Once the network is certain of a point, the cost there hardly changes when the "
        "outputs do: the loss is flat. So sharpness falls, while the function goes on getting "
        "steeper. Label smoothing, the next case, keeps the network from being certain.",
    )
    beats = (
        Beat("both rise; at 2/η they part.", (("case", "edge"), ("again", None), ("run", None))),
        Beat("confidence parts them.", (("case", "confident"), ("again", None), ("run", None))),
        Beat("smoothing ties them again.", (("case", "smoothed"), ("again", None), ("run", None))),
        Beat("a linear model: J alone.", (("case", "linear"), ("again", None), ("run", None))),
        Beat("the same function, inputs times 10.", (("case", "inputs"), ("again", None))),
        Beat(
            "inputs at right angles: J alone.",
            (("case", "apart"), ("again", None), ("run", None)),
        ),
        Beat(
            "the first layer of a wide network.",
            (("case", "width"), ("width", 1024), ("again", None), ("run", None)),
        ),
    )

    def begin(self) -> None:
        ready_process()
        self.values = {"case": "confident", "width": 64}
        self._restart()
        if not self.revealed:
            self._go(SEEN)
            self._look()
        self.status = self.case.why if self.revealed else "The beginning of a run."

    @property
    def case(self) -> Case:
        return CASES[self.values["case"]]

    def _restart(self) -> None:
        self.running = False
        self.training, self.raw = self._build()
        self.threshold = 2 / self.case.lr
        self.steps: list[int] = []
        self.sharpness: list[float] = []
        self.jacobian: list[float] = []
        self.looked: list[int] = []
        self.gauss_newton: list[float] = []
        self._take()
        self.plain = self._plain_sharpness() if self.values["case"] == "inputs" else math.nan
        self._look()

    def _build(self) -> tuple[Training, float]:
        """The run, and what its Jacobian is multiplied by to be one of the raw inputs."""
        case, raw = self.case, 1.0
        widths = case.widths
        if self.values["case"] == "width":
            widths = (widths[0], self.values["width"], widths[2])
        options = dict(case.options)
        if case.n_train is not None:
            options["n_train"] = case.n_train
        data = _apart() if case.data == APART else load_dataset(case.data, **options)
        model = mlp(widths, activation=case.activation, bias=case.bias, seed=0)
        with torch.no_grad():
            if self.values["case"] == "linear":  # from near 0, so that J has room to grow
                for p in model.parameters():
                    p.mul_(0.1)
            if self.values["case"] == "inputs":
                data, raw = _scaled(data, SCALE), SCALE
                model[0].weight.div_(SCALE)
        if self.values["case"] == "width":
            for p in list(model.parameters())[2:]:
                p.requires_grad_(False)
        training = Training(
            model,
            data,
            loss=case.loss,
            lr=case.lr,
            label_smoothing=case.smoothing,
            measures=("sharpness", "jacobian_max"),
            every=case.every,
            scores=False,
        )
        return training, raw

    def _plain_sharpness(self) -> float:
        """Sharpness of the same function with its inputs as they are."""
        case = self.case
        run = Training(
            mlp(case.widths, activation=case.activation, seed=0),
            load_dataset(case.data),
            loss=case.loss,
            lr=case.lr,
            measures=("sharpness",),
            scores=False,
        )
        return run.history["sharpness"][0]

    def _take(self) -> None:
        history = self.training.history
        self.steps.append(self.training.steps)
        self.sharpness.append(history["sharpness"][-1])
        self.jacobian.append(self.raw * history["jacobian_max"][-1])

    def _look(self) -> None:
        """The spectrum's top, and the layers' shares, at the present parameters."""
        objective, k = self.training.objective, min(TOP, self.training.objective.parameters)
        G = eigenvalues(objective, k, operator="gauss_newton", tol=1e-2)
        H = eigenvalues(objective, k, tol=1e-2)
        self.spectrum = H.values.numpy(), G.values.numpy()
        self.shares = layer_shares(objective, tol=1e-2)
        if not self.looked or self.looked[-1] != self.training.steps:
            self.looked.append(self.training.steps)
            self.gauss_newton.append(float(G.values[0]))

    def _go(self, steps: int) -> None:
        """So many steps, to measured ones."""
        for _ in range(max(1, steps // self.case.every)):
            if self.training.step(self.case.every) < self.case.every:
                self.running = False
                self.status = f"The run broke: {self.training.diverged.reason}."
                return
            self._take()
            if self.training.steps % LOOK_EVERY == 0:
                self._look()
            if self.training.steps >= self.case.steps:
                self.running = False
                self._look()
                self.status = f"{self.training.steps} steps. {self.case.why}"
                return

    def changed(self, name: str) -> None:
        if name in self.idle():
            return
        self._restart()
        self.status = self.case.why

    def idle(self) -> dict[str, str]:
        if self.values["case"] == "width":
            return {}
        return {"width": 'The width is of the case "first layer only".'}

    def pressed(self, name: str) -> None:
        if name == "again" or self.training.steps >= self.case.steps:
            self._restart()
            self.status = "At the start."
        if name == "run":
            self.running = not self.running
            self.status = self.case.why if self.running else "Paused."
            if not self.running:
                self._look()
        elif name == "step":
            self.running = False
            self._go(self.case.every)
            self._look()
            self.status = f"Step {self.training.steps}."

    def advance(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while self.running and time.perf_counter() < end:
            self._go(self.case.every)

    def answer(self) -> str:
        """What the run on this page does from where it is cut to its end."""
        run = self.training.fork()
        run.measures, run.probes = (), {}
        before = self.sharpness[-1], self.jacobian[-1]
        run.run(self.case.steps - run.steps)
        late = float(eigenvalues(run.objective).values[0])
        steep = float(jacobian_norms(run.model, run.objective.X).max())
        rises = late > before[0], steep > before[1]
        return CHOICES[{(True, True): 0, (False, True): 1}.get(rises, 2)]

    def reveal(self) -> None:
        self._go(2 * LOOK_EVERY)
        self.running = self.training.diverged is None
        self.status = self.case.why

    # What is said.

    def phase(self) -> str:
        if not self.revealed or len(self.steps) < 5:
            return ""
        back = max(len(self.steps) // 4, 2)
        changes = []
        for name, values in (("sharpness", self.sharpness), ("‖J‖", self.jacobian)):
            ratio = values[-1] / values[-1 - back]
            word = "rises" if ratio > 1 + MOVED else "falls" if ratio < 1 - MOVED else "stays"
            changes.append(f"{name} {word} (× {short(ratio)})")
        return f"Over the last {back * self.case.every} steps {' and '.join(changes)}."

    def numbers(self) -> list[list[str]]:
        last = self.training.probes["sharpness"].last
        residual = "" if last is None else f"residual {short(last.residual, 2)}; "
        rows = [
            ["step t", f"{self.steps[-1]}", f"of {self.case.steps}"],
            [
                "sharpness λ(H)",
                f"at least {short(self.sharpness[-1])}",
                f"{residual}2/η = {short(self.threshold)}",
            ],
            [
                "λ(G)",
                short(self.gauss_newton[-1]),
                f"at step {self.looked[-1]}; λ(H) has the part R of the errors, too",
            ],
            ["max ‖J‖₂", short(self.jacobian[-1]), f"at the start {short(self.jacobian[0])}"],
            ["loss", short(self.training.history["loss"][-1]), self.case.loss.replace("_", "-")],
        ]
        if len(self.steps) > 9:
            moves = np.array([np.diff(np.log(v)) for v in (self.sharpness, self.jacobian)])
            moved = (np.abs(moves) > ROUNDING).all(0)
            same = np.sign(moves[0, moved]) == np.sign(moves[1, moved])
            said = f"{same.mean():.0%}" if moved.any() else "–"
            remark = f"λ and ‖J‖, in {moved.sum()} of {len(moved)} measured steps both moved"
            rows.append(["moved the same way", said, remark])
        if self.values["case"] == "inputs":
            factor = self.sharpness[0] / self.plain
            rows.append(["λ, inputs × 10", f"× {short(factor)}", "at the start, the same function"])
        if self.values["case"] == "apart":
            n = self.training.objective.n
            remark = f"λ(G) over its mean of one sample; {short(1 / n)} to 1"
            rows.append(["alignment", short(alignment(self.training.objective)), remark])
        return rows

    def columns(self) -> dict[str, Sequence[float]]:
        return {
            "step": [float(s) for s in self.steps],
            "sharpness": list(self.sharpness),
            "jacobian_max": list(self.jacobian),
        }

    def settings(self) -> dict[str, Any]:
        case = self.case
        return {
            **self.values,
            "data": case.data,
            "widths": list(case.widths),
            "activation": case.activation,
            "loss": case.loss,
            "lr": case.lr,
            "label_smoothing": case.smoothing,
            "seed": 0,
        }


def alignment(objective: Objective) -> float:
    """lambda_max(G) over the mean of n lambda_max(G_i), G_i one sample's part of G: 1/n to 1.

    1 where all samples curve the loss in one direction, 1/n where none shares a direction with
    another and all curve alike. Source: theory.md, (6).
    """
    dual, n = dual_gauss_newton(objective), objective.n
    K = len(dual) // n
    blocks = dual.view(n, K, n, K).diagonal(dim1=0, dim2=2).permute(2, 0, 1)
    each = n * torch.linalg.eigvalsh(blocks)[:, -1]
    return float(torch.linalg.eigvalsh(dual)[-1] / each.mean())


def _apart() -> Dataset:
    X = torch.eye(40)
    y = torch.randn(40, 1, generator=torch.Generator().manual_seed(0)).sign()
    return Dataset.from_arrays(X, y, X, y, task="regression", name=APART)


def _scaled(data: Dataset, factor: float) -> Dataset:
    return Dataset.from_arrays(
        factor * data.X_train,
        data.y_train,
        factor * data.X_test,
        data.y_test,
        task=data.task,
        name=f"{data.name}, times {factor:g}",
    )
