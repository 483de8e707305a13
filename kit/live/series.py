"""The questions and the lectures of the pages that train a network.

>>> QUESTIONS["sharpness"].number
(0.0, 20.0)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kit.live.question import Question
from kit.live.scene import Beat

Columns = Mapping[str, Sequence[float]]


def late_sharpness(columns: Columns) -> float:
    """Mean sharpness over the last third of a run."""
    values = columns["sharpness"]
    last = values[-len(values) // 3 :]
    return sum(last) / len(last)


PICTURES = ("sharpness", "loss", "jacobian", "gap", "samples")

QUESTIONS: Mapping[str, Question] = {
    "sharpness": Question(
        "In the first 30 steps, at learning rate 0.4, sharpness (the orange line) has dipped and "
        "begun to climb. Where will it be after 600 steps?",
        number=(0.0, 20.0),
        because="It stops climbing near 2/η, here 5, and hovers a little above it: larger "
        "curvature is not stable at this step. Grey: that run. “Gradient flow”: the same descent "
        "in steps too small to swing; it climbs on. “Smoothed”: a prediction of the path without "
        "its swings. Press Run to train one of your own.",
        answer=late_sharpness,
    ),
}

BEATS: Mapping[str, Sequence[Beat]] = {
    "sharpness": (
        Beat("a network at its start. Sharpness is below 2/η.", (("preset", "edge"),)),
        Beat("train. Sharpness climbs to 2/η and stays.", (("preset", "edge"), ("run", None))),
        Beat("half the learning rate: the threshold doubles. Sharpness follows.", (("lr", 0.2),)),
        Beat(
            "rescale by 10: another sharpness, the same function.",
            (("pause", None), ("lr", 0.4), ("rescale", 10.0)),
        ),
        Beat("and now train on from there.", (("run", None),)),
        Beat("a step far too big: a catapult.", (("preset", "catapult"), ("run", None))),
        Beat(
            "small batches: batch sharpness comes to the threshold, λ stays below.",
            (("preset", "batches"), ("run", None)),
        ),
        Beat(
            "Adam: its own sharpness comes to 38/η, while λ goes elsewhere.",
            (("preset", "adam"), ("run", None)),
        ),
    ),
}
