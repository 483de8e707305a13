"""Runs that are kept, so that a page can open on the beginning of one before anything trains.

`python -m kit.stored` makes them again, in some minutes; tests/test_stored.py holds them to fresh
runs.

>>> columns = stored_run("edge")
>>> columns["step"][:3], len(columns["step"]) == len(columns["sharpness"])
([0.0, 3.0, 6.0], True)
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from kit.checks import check_one_of

FOLDER = Path(__file__).parent / "runs"
STEPS = {"edge": 600, "slow": 600}  # preset -> steps
COLUMNS = (
    "step",
    "loss",
    "test_loss",
    "threshold",
    "sharpness",
    "invariant_sharpness",
    "jacobian_max",
    "jacobian_mean",
    "loss_gap",
    "loss_gap_se",
    "error_gap",
    "error_gap_se",
    "flow_sharpness",
    "flow_loss",
    "smooth_sharpness",
    "smooth_loss",
)
MEASURES = ("sharpness", "invariant_sharpness", "jacobian_max", "jacobian_mean")
EVERY = 3


def stored_run(preset: str) -> dict[str, list[float]]:
    """The kept run of a preset as equally long columns, a row every third step, seed 0."""
    check_one_of("preset", preset, STEPS)
    columns = json.loads((FOLDER / f"{preset}.json").read_text(encoding="utf-8"))
    return {n: [math.nan if v is None else v for v in column] for n, column in columns.items()}


def make_run(
    preset: str, steps: int | None = None, *, beside: bool = True
) -> dict[str, list[float]]:
    """The same from scratch: `steps` of them, or as many as are kept.

    The columns flow_* are those of gradient flow at the time eta t, smooth_* those of the central
    flow, whose loss is the mean that it predicts; `beside=False` leaves both out.
    """
    from kit.presets import PRESETS

    run = PRESETS[preset].build(measures=MEASURES, seed=0, every=EVERY)
    steps = STEPS[preset] if steps is None else steps
    others = {**_flow(run, steps), **smoothed(run, steps)} if beside else {}
    run.run(steps)
    names = [name for name in COLUMNS if not name.startswith(("flow_", "smooth_"))]
    return {name: run.history[name][::EVERY] for name in names} | others


def _flow(run, steps: int) -> dict[str, list[float]]:
    from kit.flow import GradientFlow
    from kit.tracking import EigenTracker

    copy = run.fork()
    flow, tracker = GradientFlow(copy.objective), EigenTracker()
    columns: dict[str, list[float]] = {"flow_sharpness": [], "flow_loss": []}
    for row in range(steps // EVERY + 1):
        if row:
            known = 1.2 * columns["flow_sharpness"][-1]  # it may rise on the way
            flow.advance(EVERY * run.lr, sharpness=known)
            copy.objective.write(flow.theta)
        columns["flow_sharpness"].append(tracker.measure(copy.objective).value)
        columns["flow_loss"].append(copy.objective.value())
    return columns


def smoothed(run, steps: int) -> dict[str, list[float]]:
    """The columns smooth_*: the central flow from a run's present parameters."""
    from kit.central_flow import CentralFlow

    flow = CentralFlow(run.fork().objective, run.lr)
    columns: dict[str, list[float]] = {"smooth_sharpness": [], "smooth_loss": []}
    for row in range(steps // EVERY + 1):
        if row:
            flow.advance(EVERY)
        columns["smooth_sharpness"].append(flow.sharpness())
        columns["smooth_loss"].append(flow.loss())
    return columns


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for preset in STEPS:
        columns = {
            name: [float(f"{v:.5g}") if math.isfinite(v) else None for v in column]
            for name, column in make_run(preset).items()
        }
        text = json.dumps(columns, separators=(",", ":"))
        (FOLDER / f"{preset}.json").write_text(text + "\n", encoding="utf-8")
        print(f"{preset}: {len(columns['step'])} rows")


if __name__ == "__main__":
    main()
