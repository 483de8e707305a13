"""Gradient flow, d theta / dt = -grad l: descent in steps too small to matter.

Fourth-order Runge-Kutta steps of length at most 1 / sharpness, so that the flow is followed where
descent with the learning rate itself would swing. One step of descent is a time of eta.

>>> from kit.models import mlp
>>> model = mlp((1, 1), bias=False)
>>> _ = torch.nn.init.constant_(model[0].weight, 1.0)
>>> flow = GradientFlow(Objective(model.double(), [[1.0]], [[0.0]], loss="mse"))  # theta exp(-t)
>>> flow.advance(1.0, sharpness=1.0)
>>> round(float(flow.theta), 3)
0.368
"""

from __future__ import annotations

import math

import torch

from kit.checks import check_number
from kit.objective import Objective
from kit.points import Point

SHARE = 0.5  # of 1 / sharpness, one Runge-Kutta step; stable up to 2.78


class GradientFlow:
    """The flow from an objective's present parameters; the model itself is left alone.

    `theta` (P,) moves with `advance`. Cost: four gradients a Runge-Kutta step, and 2 lambda t such
    steps for a time t. Source: Cohen et al. 2021 (arXiv 2103.00065) for the length of the steps.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective, self.theta = objective, objective.flat_parameters()

    def point(self) -> Point:
        """The objective at the flow's present parameters: value, gradient, H v."""
        return self.objective.at(self.theta)

    def advance(self, time: float, *, sharpness: float) -> None:
        """Follow the flow for a time, given the largest eigenvalue that H has on the way."""
        time = check_number("time", time, low=0)
        sharpness = check_number("sharpness", sharpness, above=0)
        steps = max(1, math.ceil(time * sharpness / SHARE))
        h = time / steps
        for _ in range(steps):
            a = self._slope(self.theta)
            b = self._slope(self.theta + 0.5 * h * a)
            c = self._slope(self.theta + 0.5 * h * b)
            d = self._slope(self.theta + h * c)
            self.theta = self.theta + h / 6 * (a + 2 * b + 2 * c + d)

    def _slope(self, theta: torch.Tensor) -> torch.Tensor:
        return -self.objective.at(theta).gradient()
