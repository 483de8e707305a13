"""What a theorem says of a network here and now: a number, and all that it rests on.

>>> Statement(2.0, {"max J": 1.5}, ("the inputs are uniform",), vacuous=False).kind
'bound'
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Statement:
    """value; terms, name -> number; assumptions, one sentence each; vacuous, says nothing new.

    kind: "bound" where every term is known, "estimate" where one was sampled.
    """

    value: float
    terms: dict[str, float]
    assumptions: tuple[str, ...]
    vacuous: bool
    kind: str = "bound"
