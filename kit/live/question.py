"""Predict first: a question that a page asks before it shows, and what it says to the answer.

>>> question = Question("How many?", number=(0, 10), unit="steps")
>>> question.verdict(4.0, 8.0)
'You said 4 steps. It is 8 steps: yours is 2 times too low.'
>>> question.verdict(9.0, 6.0)
'You said 9 steps. It is 6 steps: yours is 50% too high.'
>>> choice = Question("Up or down?", choices=("up", "down"))
>>> choice.verdict("up", "down")
'You said "up". It is "down".'
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

NEAR = 0.1  # relative difference up to which a number counts as right


@dataclass(frozen=True)
class Question:
    """A prompt with choices, or with a number between two limits, and why the answer is so.

    What is right is never written down here: the page computes it, a scene from its own numbers
    (`Scene.answer`), a training page by `answer` from the columns of its stored run.
    """

    prompt: str
    choices: tuple[str, ...] = ()
    number: tuple[float, float] | None = None
    unit: str = ""
    because: str = ""
    answer: Callable[[Mapping[str, Sequence[float]]], str | float] | None = None

    def __post_init__(self) -> None:
        if bool(self.choices) == (self.number is not None):
            raise ValueError("question: takes either choices or the limits of a number")

    def text(self, guess: str | float) -> str:
        """A guess as a link writes it: a number, or the place of a choice, from 1."""
        return str(self.choices.index(guess) + 1) if self.choices else f"{guess:g}"

    def parse(self, text: str) -> str | float:
        """The guess that a link writes so; ValueError that says what there is.

        >>> Question("Up or down?", choices=("up", "down")).parse("2")
        'down'
        """
        if self.choices:
            if text not in (places := [str(i + 1) for i in range(len(self.choices))]):
                raise ValueError(f"guess: got {text!r}; takes one of {', '.join(places)}")
            return self.choices[int(text) - 1]
        low, high = self.number
        try:
            guess = float(text)
        except ValueError:
            guess = math.nan
        if not low <= guess <= high:
            raise ValueError(f"guess: got {text!r}; takes a number from {low:g} to {high:g}")
        return guess

    def verdict(self, guess: str | float, answer: str | float) -> str:
        """How near a guess was, in words."""
        if self.choices:
            if guess not in self.choices or answer not in self.choices:
                raise ValueError(f"guess: got {guess!r}; takes one of {', '.join(self.choices)}")
            if guess == answer:
                return f'You said "{guess}", and so it is.'
            return f'You said "{guess}". It is "{answer}".'
        unit = f" {self.unit}" if self.unit else ""
        said, real = f"{guess:.3g}{unit}", f"{answer:.3g}{unit}"
        if not math.isfinite(answer):
            return f"You said {said}. There is no such number here."
        if abs(guess - answer) <= NEAR * abs(answer):
            return f"You said {said}, and it is {real}: within a tenth."
        return f"You said {said}. It is {real}: yours is {off(guess, answer)}."


def off(guess: float, answer: float) -> str:
    """How far beside: in percent, or in times from twice on."""
    side = "too high" if guess > answer else "too low"
    if guess * answer <= 0:
        return side
    times = max(guess / answer, answer / guess)
    if times >= 2:
        return f"{times:.2g} times {side}"
    return f"{abs(guess / answer - 1):.0%} {side}"


@dataclass
class Prediction:
    """What a reader committed to, and what came out; kept with the run."""

    prompt: str
    guess: str | float | None = None
    skipped: bool = False
    answer: str | float | None = None
    verdict: str = ""
    reflection: str = ""

    @property
    def open(self) -> bool:
        """Whether the reader has neither guessed nor passed the question by."""
        return self.guess is None and not self.skipped

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
