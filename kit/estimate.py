"""A number that was estimated by sampling, with its standard error.

>>> Estimate(2.0, 0.1, matvecs=64)
Estimate(value=2.0, standard_error=0.1, matvecs=64)
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A stochastic result: value, standard error of the value, operator products spent."""

    value: float
    standard_error: float
    matvecs: int = 0
