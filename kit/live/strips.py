"""What the panels of a training run show: strips, and the lines on each.

>>> [line.label for strip in PANELS["gap"] for line in strip.lines]
['0-1 error', 'loss', 'bound']
"""

from __future__ import annotations

from dataclasses import dataclass

from kit.live.palette import (
    BATCH,
    BOUND,
    GAP,
    INVARIANT,
    JACOBIAN,
    JACOBIAN_MEAN,
    LOSS,
    NEXT,
    SHARPNESS,
    TEST_LOSS,
    THRESHOLD,
)


@dataclass(frozen=True)
class Line:
    """A column of the history and how it is drawn; `error` names a column for a band of +-2.

    `beside`: a prediction for an earlier run, which holds the column.
    """

    column: str
    label: str
    colour: str
    dash: str = "-"
    width: float = 1.6
    error: str | None = None
    weak: bool = False  # does not stretch the axis
    beside: bool = False


@dataclass(frozen=True)
class Strip:
    """Axes of a panel: what is drawn on one scale. scale: "linear", "log" or "auto"."""

    title: str
    lines: tuple[Line, ...]
    scale: str = "auto"
    share: float = 1.0


PANELS: dict[str, tuple[Strip, ...]] = {
    "loss": (
        Strip(
            "loss (training objective, test cost)",
            (
                Line("flow_loss", "gradient flow", LOSS, ":", 1.2, beside=True),
                Line("smooth_loss", "smoothed", LOSS, "--", 1.2, beside=True),
                Line("test_loss", "test", TEST_LOSS, width=1.4),
                Line("loss", "train", LOSS),
            ),
            "log",
        ),
    ),
    "sharpness": (
        Strip(
            "sharpness λ (largest Hessian eigenvalue)",
            (
                Line("threshold", "threshold", THRESHOLD, "--", 1.2, weak=True),
                Line("guess", "your guess", "#222222", ":", 1.2, weak=True, beside=True),
                Line("batch_sharpness", "batch", BATCH, error="batch_sharpness_se"),
                Line("flow_sharpness", "gradient flow", SHARPNESS, ":", 1.2, beside=True),
                Line("smooth_sharpness", "smoothed", SHARPNESS, "--", 1.2, beside=True),
                Line("eigenvalue_4", "", NEXT, width=0.9),
                Line("eigenvalue_3", "", NEXT, width=0.9),
                Line("eigenvalue_2", "λ₂ … λ₄", NEXT, width=0.9),
                Line("preconditioned_sharpness", "λ(Q⁻¹H)", BATCH),
                Line("sharpness", "λ", SHARPNESS),
            ),
            share=3.0,
        ),
        Strip(
            "invariant sharpness λ(S)",
            (Line("invariant_sharpness", "λ(S)", INVARIANT),),
        ),
    ),
    "jacobian": (
        Strip(
            "input-output Jacobian ‖J‖₂ (output per input)",
            (
                Line("jacobian_mean", "mean", JACOBIAN_MEAN, width=1.4),
                Line("jacobian_max", "max", JACOBIAN),
            ),
        ),
    ),
    "gap": (
        Strip(
            "gaps: test minus train",
            (
                Line("error_gap", "0-1 error", GAP, "--", error="error_gap_se"),
                Line("loss_gap", "loss", GAP, error="loss_gap_se"),
            ),
            "linear",
            2.0,
        ),
        Strip("bound on the loss gap", (Line("bound", "bound", BOUND),), "log"),
    ),
}
