"""What the static pages play back: one tour a page, told by the controls that it turns.

>>> TOURS["01_step_too_big"][0].vary
'lr'
>>> sorted(TOURS)[-1]
'12_which_measure'
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.live.page import LivePage

INSTANT = 1e-5  # seconds: time for the least that a run can do


def settle(page: LivePage) -> None:
    """Let what is under way come to its end."""
    while page.running():
        page.work(0.05)


def to_the_end(page: LivePage) -> None:
    """Press Run, and wait."""
    page.handle("run", None)
    settle(page)


def presses(button: str, times: int) -> Callable[[LivePage], None]:
    def go(page: LivePage) -> None:
        for _ in range(times):
            page.handle(button, None)

    return go


def steps(n: int) -> Callable[[LivePage], None]:
    """So many steps of a network that trains on its page, then what is measured aside."""

    def go(page: LivePage) -> None:
        page.session.training.run(n)
        page.session.training.measure_aside()

    return go


def runs(n: int) -> Callable[[LivePage], None]:
    """The run of a scene, for so many steps of its network."""

    def go(page: LivePage) -> None:
        scene = page.scene
        if not scene.running:
            page.handle("run", None)
        end = scene.training.steps + n
        while scene.running and scene.training.steps < end:
            scene.work(INSTANT)

    return go


def step_now(page: LivePage) -> str:
    """The step that a page says it is at."""
    return next(f"step {value}" for name, value, _ in page.words()["numbers"] if name == "step t")


@dataclass(frozen=True)
class Leg:
    """A stretch of a tour: first what is done, in order; then a control that is turned, or a run.

    `vary`: a control, through its `stops` (default: all, or those `every` so many), each followed
    by `go`, if there is one. Without it `go` makes the run go on, for `frames` pictures, and
    `count` says how far it has come. `say`: what no control's name says.
    """

    do: Sequence[tuple[str, Any]] = ()
    vary: str = ""
    stops: Sequence[Any] = ()
    every: int = 1
    go: Callable[[LivePage], None] | None = None
    frames: int = 0
    count: Callable[[LivePage], str] = step_now
    say: str = ""


DATA = ("mnist1d", "digits")
MATCHED = ("updates", "loss", "epochs")
UNDO = ("undo", None)

TOURS: Mapping[str, Sequence[Leg]] = {
    "01_step_too_big": (
        Leg(vary="lr"),
        Leg(do=(("lr", 2.0), ("method", "heavy ball")), vary="beta", every=2),
    ),
    "02_sharpness_live": (
        Leg(go=steps(15), frames=38, say="learning rate η = 0.4"),
        Leg(do=(("lr", 0.2),), go=steps(20), frames=15, say="learning rate η = 0.2"),
    ),
    "03_why_two_over_eta": (
        Leg(go=presses("step", 6), frames=40),
        Leg(vary="drift"),
        Leg(do=(("what", "network"),), go=presses("step", 15), frames=10),
    ),
    "04_steep_function": (
        Leg(go=runs(100), frames=37),
        Leg(
            vary="case",
            stops=("edge", "smoothed", "linear", "inputs", "apart", "width"),
            go=to_the_end,
        ),
    ),
    "05_why_must_it_grow": (
        Leg(do=(("again", None),), go=lambda page: page.scene.run.advance(60), frames=25),
        Leg(vary="gap", go=lambda page: page.scene.run.advance(600)),
        Leg(do=(("reset", None),), vary="scale", go=lambda page: page.scene.run.advance(600)),
    ),
    "06_can_samples_tell": tuple(Leg(do=(("d", d),), vary="n") for d in (1, 2, 3, 4)),
    "07_worth_anything": (
        Leg(go=lambda page: page.scene.course.go(20), frames=25),
        Leg(vary="n"),
        Leg(do=(("bound", "pac"),), vary="sigma"),
        Leg(do=(("sigma", 0.1),), vary="alpha"),
    ),
    "08_property_of_the_function": (
        Leg(do=(UNDO,), vary="alpha"),
        Leg(do=(UNDO,), vary="spread"),
        Leg(
            do=(UNDO, ("alpha", 3.0)),
            go=presses("step", 15),
            frames=20,
            count=lambda page: f"step {page.scene.trained} after the rescaling",
        ),
    ),
    "09_batch_size": (
        *(
            Leg(do=(("data", data), ("match", match)), vary="lr")
            for data in DATA
            for match in MATCHED
        ),
        *(
            Leg(
                do=(("data", "mnist1d"), ("match", "updates"), ("lr", 0.05), ("gap", gap)),
                vary="measure",
            )
            for gap in ("loss_gap", "error_gap")
        ),
    ),
    "10_regularisers": (
        Leg(do=(("loss", "cross_entropy"),), vary="weight_decay"),
        Leg(do=(("loss", "mse"),), vary="weight_decay"),
        Leg(do=(("loss", "cross_entropy"),), vary="label_smoothing"),
        Leg(do=(("data", "digits"),), vary="sam_radius"),
        Leg(do=(("data", "mnist1d"),), vary="mixup"),
    ),
    "11_soft_rank": (
        Leg(vary="damping", every=2),
        # The others are its first and two that take half a minute each.
        Leg(vary="case", stops=("between", "interpolation", "digits", "mse", "mse_noise")),
    ),
    "12_which_measure": (
        Leg(vary="vary"),
        Leg(do=(("gap", "error_gap"),), vary="vary"),
        Leg(do=(("gap", "loss_gap"), ("vary", "mixed")), vary="measure"),
    ),
}
