"""Page 3: the toy with one cubic term, then the same two numbers of a network that trains."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from kit import stabilisation
from kit.live.question import Question
from kit.live.scene import Beat, Control, Scene
from kit.live.stabilise_pictures import BRANCH, SHOWN, Course, Losses, Plane, Slice
from kit.live.text import short

ETA = 0.2  # of the toy
NETWORK_ETA = 0.4  # of the network at the start: at the edge within 60 steps
STEPS = 500  # of the toy
A_SECOND = {"toy": 60, "network": 25}  # steps: slow enough for an eye to follow the dot
DRIFTS = (0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1)
START = 0.05, -0.3  # x and y of the toy
RATES = (0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
AT_EDGE = 0.97  # of the threshold, from where an eigenvalue counts as sitting there
COUNT_EVERY = 20  # steps
CHOICES = (
    "nothing: the run blows up",
    "the curvature: where x is large the loss is less curved",
    "the learning rate: it gets smaller",
)


def growing(drift: float) -> int:
    """Steps of the toy up to where x has grown to a third of what bends sharpness down."""
    x, _ = stabilisation.toy_path(*START, eta=ETA, drift=drift, steps=STEPS)
    return int(np.argmax(np.abs(x) > math.sqrt(2 * drift) / 3))


class Stabilise(Scene):
    """Why does it stop at 2/eta? Two numbers, of a toy or of a network.

    `x` and `y` are the displacement along the top eigenvector and sharpness minus 2/eta at each
    step from `first` on; `branch` is x on the way without the cubic term, if it was asked for.
    """

    title = "Why does it stop at 2/η?"
    controls = (
        Control("run", "Run", "Run or pause", "Descend, and measure at every step"),
        Control("step", "Step", "One step", "A single step"),
        Control("again", "Restart", "Back to the start", "Back to step 0"),
        Control(
            "cut",
            "Freeze the curvature",
            "Go on with the curvature as it is here",
            "Sixty steps on the loss without its cubic term: the dotted line",
        ),
        Control(
            "what",
            "descend on",
            "what descends",
            "A toy with two numbers, or a network with 7,434",
            options={"the toy": "toy", "a network": "network"},
        ),
        Control(
            "drift",
            "drift γ",
            "drift gamma of the toy",
            "How fast the toy's sharpness grows by itself",
            values=DRIFTS,
            bar=True,
        ),
        Control(
            "lr",
            "learning rate η",
            "learning rate eta of the network",
            "Of the network; the toy has η = 0.2",
            values=RATES,
            bar=True,
        ),
    )
    pictures: ClassVar = {"plane": Plane, "course": Course, "slice": Slice, "losses": Losses}
    question = Question(
        "A ball swings from one side of a valley to the other; x is how far from the bottom it is. "
        "The valley's curvature, the sharpness, has just passed 2/η: so x changes sign at every "
        "step, and grows. What ends it?",
        choices=CHOICES,
        because="Far from the bottom the slope also leads to where the valley is less curved, and "
        "the more so the larger x is. So sharpness falls below 2/η, x shrinks, and all begins "
        "again. Press Run.",
    )
    beats = (
        Beat(
            "sharpness drifts up, towards 2/η.",
            (("reset", None), ("what", "toy"), ("drift", 0.02), ("run", None)),
        ),
        Beat(
            "with the curvature frozen nothing stops it.",
            (
                ("what", "toy"),
                ("drift", 0.02),
                ("again", None),
                *growing(0.02) * (("step", None),),
                ("cut", None),
            ),
        ),
        Beat("no drift: it comes to rest below 2/η.", (("drift", 0.0), ("run", None))),
        Beat("a stronger drift: wider and faster loops.", (("drift", 0.05), ("run", None))),
        Beat("a network of 7,434 numbers.", (("what", "network"), ("run", None))),
    )

    def begin(self) -> None:
        self.values = {"what": "toy", "drift": 0.02, "lr": NETWORK_ETA}
        self._restart()
        if not self.revealed:
            self._toy_steps(growing(self.values["drift"]))
            self.status = "The toy has passed 2/η."
        else:
            self._toy_steps(SHOWN)

    def _restart(self) -> None:
        self.running = False
        self.first, self.training = 0, None
        self.branch, self.branch_step, self.branch_height = np.zeros(0), 0, 0.0
        self._due = 0.0
        self._sliced: tuple[int, Any] | None = None
        self.at_edge: int | None = None
        self.reversals: list[bool] = []  # whether a step went back along v, after the one before
        if self.values["what"] == "toy":
            self.eta = ETA
            self.x, self.y = np.array(START[:1]), np.array(START[1:])
            self.losses = [self._toy_loss()]
        else:
            self._build_network()
        self.status = "At the start. Press Run."

    @property
    def edge(self) -> float:
        """2 / eta."""
        return 2 / self.eta

    @property
    def step(self) -> int:
        return self.first + len(self.x) - 1

    # The toy.

    def _toy_loss(self) -> float:
        x, y = self.x[-1], self.y[-1]
        return float(0.5 * (self.edge + y) * x * x - self.values["drift"] * y)

    def _toy_steps(self, n: int) -> None:
        for _ in range(n):
            x, y = stabilisation.toy_path(
                float(self.x[-1]),
                float(self.y[-1]),
                eta=self.eta,
                drift=self.values["drift"],
                steps=1,
            )
            self.x, self.y = np.append(self.x, x[1]), np.append(self.y, y[1])
            self.losses.append(self._toy_loss())
            moves = np.diff(self.x[-3:])
            self.reversals.append(len(moves) == 2 and bool(moves[0] * moves[1] < 0))

    # The network.

    def _build_network(self) -> None:
        from kit.live.session import ready_process
        from kit.presets import PRESETS

        ready_process()
        self.eta = self.values["lr"]
        self.training = PRESETS["slow"].build(measures=("sharpness",), lr=self.eta, every=1)
        self._v, self._older, self._moves = None, None, []
        self.x, self.y, self.losses = np.zeros(0), np.zeros(0), []
        self._look()

    def _look(self) -> None:
        """The two numbers at the network's present parameters."""
        training = self.training
        value = training.history["sharpness"][-1]
        v = training.probes["sharpness"].tracker.vector
        # An eigenvector has two signs; where two take turns at the top, the older one tells.
        known = [u for u in (self._v, self._older) if u is not None]
        nearest = max(known, key=lambda u: abs(float(u @ v)), default=v)
        v = v if float(v @ nearest) >= 0 else -v
        self._v, self._older = v, self._v
        self.x = np.append(self.x, stabilisation.displacement(training.objective, v, value))
        self.y = np.append(self.y, value - self.edge)
        self.losses.append(training.history["loss"][-1])
        if training.steps % COUNT_EVERY == 0:
            self._count()

    def _count(self) -> None:
        """How many eigenvalues sit at the edge."""
        from kit.curvature import eigenvalues

        top = eigenvalues(self.training.objective, 4, tol=1e-2, start=self._v[:, None]).values
        self.at_edge = int((top > AT_EDGE * self.edge).sum())

    def _network_step(self) -> None:
        before = self.training.objective.flat_parameters()
        if self.training.step() == 0 or self.training.diverged is not None:
            self.running = False
            self.status = f"The run broke: {self.training.diverged.reason}. Restart it."
            return
        self._look()
        self._moves = [*self._moves[-1:], self.training.objective.flat_parameters() - before]
        along = [float(move @ self._v) for move in self._moves]
        self.reversals.append(len(along) == 2 and along[0] * along[1] < 0)

    # What the reader does.

    def changed(self, name: str) -> None:
        if name in self.idle():
            return
        self._restart()
        if name == "drift":
            self._toy_steps(SHOWN)
            drift = self.values["drift"]
            self.status = f"The toy with γ = {drift:g}: its first {SHOWN} steps, from the start."

    def idle(self) -> dict[str, str]:
        if self.training is None:
            return {"lr": "η here is of the network; the toy has 0.2."}
        return {"drift": "The drift γ is of the toy; the network's is its own."}

    def pressed(self, name: str) -> None:
        if name == "run":
            self.running = not self.running
            self._due = time.perf_counter()
            self.status = "Running." if self.running else "Paused."
        elif name == "step":
            self.running = False
            self._one()
            self.status = f"One step, to step {self.step}."
        elif name == "again":
            self._restart()
        else:
            self._cut()

    def _one(self) -> None:
        if self.training is None:
            self._toy_steps(1)
        else:
            self._network_step()

    def _cut(self) -> None:
        """The way on with the curvature as it is: no cubic term, and no drift."""
        if self.training is None:
            self.branch, _ = stabilisation.toy_path(
                float(self.x[-1]),
                float(self.y[-1]),
                eta=self.eta,
                drift=0.0,
                steps=BRANCH,
                cubic=False,
            )
        else:
            self.branch = np.array(
                list(
                    stabilisation.quadratic_descent(
                        self.training.objective, self._v, self.eta, BRANCH
                    )
                )
            )
        self.branch_step, self.branch_height = self.step, float(self.y[-1])
        grew = abs(self.branch[-1]) / max(abs(self.branch[0]), 1e-12)
        self.status = (
            f"With the curvature frozen at step {self.step} (dotted): |x| is multiplied by "
            f"{short(grew)} in {BRANCH} steps."
        )
        if grew < 1:
            self.status += " Freeze it above the dashed line of 2/η to see |x| grow."

    def wait(self) -> float:
        return self._due - time.perf_counter()

    def advance(self, seconds: float) -> None:
        if (wait := self.wait()) > 0:
            time.sleep(min(wait, seconds))
            return
        self._due = time.perf_counter() + 1 / A_SECOND[self.values["what"]]
        self._one()

    def answer(self) -> str:
        """Whether the toy, gone on with, stays near or leaves."""
        x, y = stabilisation.toy_path(*START, eta=ETA, drift=self.values["drift"], steps=STEPS)
        comes_back = bool((y[np.argmax(y > 0) :] < 0).any()) and np.abs(x).max() < 10
        return CHOICES[1] if comes_back else CHOICES[0]

    def reveal(self) -> None:
        passed = len(self.y)
        while self.y[-1] >= 0 and len(self.y) < passed + SHOWN:
            self._toy_steps(1)
        self.status = "Sharpness has just fallen below 2/η. Press Run to go on."

    # What is shown.

    def slice(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """s, the loss there, the parabola, and the points of this step and of the next."""
        if self._sliced is None or self._sliced[0] != (self.step, self.values["what"]):
            self._sliced = (self.step, self.values["what"]), self._slice()
        return self._sliced[1]

    def _slice(self):
        x, value = float(self.x[-1]), float(self.y[-1]) + self.edge
        reach = 1.3 * max(np.abs(self.x[-40:]).max(), 1e-3)
        s = np.linspace(-reach, reach, 41)
        if self.training is None:
            loss = 0.5 * value * s * s - self.values["drift"] * self.y[-1]
            parabola, here = loss, self._toy_loss()
            after = 0.5 * value * (-(1 + self.eta * self.y[-1]) * x) ** 2
            after -= self.values["drift"] * self.y[-1]
        else:
            objective = self.training.objective
            loss = stabilisation.slice_along(objective, self._v, s - x)
            here = self.losses[-1]
            parabola = here + 0.5 * value * (s * s - x * x)
            after = here + 0.5 * value * (((1 - self.eta * value) * x) ** 2 - x * x)
        dots = np.array([[x, here], [(1 - self.eta * value) * x, after]])
        return s, loss, parabola, dots

    def phase(self) -> str:
        if not self.revealed or len(self.y) < 3:
            return ""
        what = stabilisation.phase(self.y[-1], self.y[-1] - self.y[-3])
        if self.training is None and not self.values["drift"] and self.y[-1] < 0:
            return f"No drift: nothing drives sharpness up from {self.ratio:.0%} of 2/η."
        number = stabilisation.PHASES.index(what) + 1
        text = f"Phase {number} of 4, {what}: sharpness is at {self.ratio:.0%} of 2/η."
        if self.at_edge is not None and self.at_edge > 1:
            text += f" {self.at_edge} eigenvalues sit at the edge: two numbers no longer tell it."
        return text

    @property
    def ratio(self) -> float:
        return 1 + self.y[-1] / self.edge

    def numbers(self) -> list[list[str]]:
        x, late = self.x, self.reversals[-30:]
        share = f"{np.mean(late):.0%} of the last {len(late)} steps went back" if late else ""
        rows = [["step t", f"{self.step}", ""]]
        remark = f"threshold 2/η = {short(self.edge)}"
        value = short(self.y[-1] + self.edge)
        if self.training is not None:
            last = self.training.probes["sharpness"].last
            remark += f"; residual {short(last.residual, 2)}"
            value = f"at least {value}"
        rows += [
            ["sharpness λ", value, remark],
            ["displacement |x|", short(abs(x[-1])), share],
            ["loss", short(self.losses[-1]), ""],
        ]
        if self.training is None and self.values["drift"]:
            balance = math.sqrt(2 * self.values["drift"])
            rows.append(["|x| that balances", short(balance), "√(2γ): larger, and sharpness falls"])
        elif self.at_edge is not None:
            rows.append(["eigenvalues at the edge", f"{self.at_edge}", "above 97% of 2/η, of four"])
        return rows

    def columns(self) -> dict[str, Sequence[float]]:
        steps = [float(self.first + k) for k in range(len(self.x))]
        return {
            "step": steps,
            "displacement": self.x.tolist(),
            "sharpness": (self.y + self.edge).tolist(),
            "loss": [float(v) for v in self.losses],
        }

    def settings(self) -> dict[str, Any]:
        network = {} if self.training is None else {"preset": "slow", "seed": 0}
        return {**self.values, "eta": self.eta, **network}
