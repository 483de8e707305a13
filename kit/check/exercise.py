"""An exercise that checks a student's function on fresh cases and says what is wrong with it.

An `Exercise` draws cases, has the right answer computed in another way than the student is asked
to, and knows what typical mistakes would answer. A wrong answer that equals a mistake's gets that
mistake's advice; any other says in which case it was wrong, and by how much. The right value is not
shown, since it may be the exercise.

>>> double = Exercise("double", lambda rng: (rng.normal(),), lambda x: 2 * x,
...                   (Mistake("square", lambda x: x * x, "You multiply x by itself."),))
>>> double(lambda x: x + x)
double: right in 20 fresh cases.
>>> double(lambda x: x * x)
Traceback (most recent call last):
kit.check.exercise.CheckFailed: double: You multiply x by itself.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import os
import traceback
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

CASES = 20
TRYING: list[str] = []  # the exercises whose student's function is running
TRY = "Try it on a case that you can do by hand."


class CheckFailed(AssertionError):
    """A student's function is wrong; the message says how, and what to try."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the message alone, without the lines of the check."""
        return [f"CheckFailed: {self}"]


@dataclass(frozen=True)
class Mistake:
    """A typical wrong answer and what is said to it."""

    name: str
    answer: Callable[..., Any]
    says: str


@dataclass(frozen=True)
class Exercise:
    """Callable: `exercise(function)` prints that it is right, or raises `CheckFailed`.

    case(rng): the arguments of one fresh case. answer(*arguments): what is right. mistakes: in the
    order in which they are tried. tolerance: relative to the size of the right answer; `takes`
    says what the function gets and gives, for who returns something else. Cases are those of the
    class and the student (`class_seed`); each `seed` draws others. A student's function cannot ask
    the exercise for the answer, and what it warns of is not shown: nbgrader takes it for an error.
    """

    name: str
    case: Callable[[np.random.Generator], tuple]
    answer: Callable[..., Any]
    mistakes: tuple[Mistake, ...] = ()
    tolerance: float = 1e-6
    takes: str = ""
    cases: int = CASES
    right: Callable[..., Any] = field(init=False, repr=False)  # the answer, for the check itself

    def __post_init__(self) -> None:
        object.__setattr__(self, "right", self.answer)
        object.__setattr__(self, "answer", guarded(self.answer))

    def __call__(self, function: Callable[..., Any], *, seed: int | None = None) -> None:
        if not callable(function):
            raise CheckFailed(f"{self.name}: got {type(function).__name__}; hand over the function")
        seed = class_seed(self.name if seed is None else f"{self.name}/{seed}")
        drawn = [self.case(np.random.default_rng([seed, i])) for i in range(self.cases)]
        right = [self.right(*arguments) for arguments in drawn]
        given = [
            self._run(function, arguments, want)
            for arguments, want in zip(drawn, right, strict=True)
        ]
        wrong = [i for i in range(self.cases) if not same(given[i], right[i], self.tolerance)]
        if not wrong:
            print(f"{self.name}: right in {self.cases} fresh cases.")
            return
        for mistake in self.mistakes:
            answers = [_attempt(mistake.answer, arguments) for arguments in drawn]
            told = [i for i in wrong if not same(answers[i], right[i], self.tolerance)]
            if told and all(same(given[i], answers[i], 10 * self.tolerance) for i in wrong):
                raise CheckFailed(f"{self.name}: {mistake.says}")
        share = f"in {len(wrong)} of {self.cases} cases"
        raise CheckFailed(f"{self.name}: wrong {share}, {distance(given, right, wrong)}. {TRY}")

    def _run(self, function: Callable[..., Any], arguments: tuple, want: Any) -> Any:
        """What the function gives, in a form that can be compared."""
        handed = copy.deepcopy(arguments)
        TRYING.append(self.name)
        try:
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore")
                value = function(*handed)
        except CheckFailed:
            raise
        except Exception as error:
            raise CheckFailed(f"{self.name}: {raised(error, self.name)} {self.takes}") from error
        finally:
            TRYING.pop()
        if value is None:
            raise CheckFailed(
                f"{self.name}: it returned None; does it end with return? {self.takes}"
            )
        if not all(same(a, b, 0.0) for a, b in zip(handed, arguments, strict=True)):
            raise CheckFailed(
                f"{self.name}: it changed what it was given, as v /= 2 or v[0] = 1 do to v; "
                "begin with a copy."
            )
        got, expected = shape(value), shape(want)
        if got not in (expected, expected.replace("a tuple", "a list")):
            raise CheckFailed(f"{self.name}: it returned {got}; wanted is {expected}. {self.takes}")
        if not np.isfinite(numbers(value)).all():
            raise CheckFailed(
                f"{self.name}: it returned NaN or infinity: a division by 0, "
                "an empty mean, or an exp that overflows?"
            )
        return value


def guarded(answer: Callable[..., Any]) -> Callable[..., Any]:
    """A right answer that no function can ask for while it is being checked."""

    @functools.wraps(answer)
    def ask(*arguments: Any) -> Any:
        if TRYING:
            raise CheckFailed(f"{TRYING[-1]}: it asks the check for the answer. Write it yourself.")
        return answer(*arguments)

    return ask


def raised(error: Exception, name: str) -> str:
    """What a student's function raised, and in which of its lines."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    if isinstance(error, NotImplementedError):
        still = "it is" if where.name in (name, "<lambda>") else f"{where.name}, which it calls, is"
        return f"{still} still as it was handed out. Write it, run its cell, then this check."
    said = f"it raised {type(error).__name__}: {error}"
    line = f", in `{where.line}`" if where.line and where.filename != __file__ else ""
    return f"{said}{line}."


def class_seed(name: str) -> int:
    """The seed of an exercise's cases, from KIT_CLASS and KIT_STUDENT where they are set.

    >>> class_seed("double") == class_seed("double")
    True
    """
    parts = os.environ.get("KIT_CLASS", ""), os.environ.get("KIT_STUDENT", ""), name
    return zlib.crc32("/".join(parts).encode())


def numbers(value: Any) -> np.ndarray:
    """Everything numeric in a value, flat, float64."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        parts = [numbers(part) for part in value]
        return np.concatenate(parts) if parts else np.zeros(0)
    if isinstance(value, (bool, str)) or value is None:
        return np.zeros(0)
    try:
        return np.asarray(value, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        return np.zeros(0)


def shape(value: Any) -> str:
    """What a value is, in words that a student reads.

    >>> shape(1.5), shape(np.zeros((2, 3))), shape((1.0, "a")), shape(True)
    ('a number', 'an array of shape (2, 3)', 'a tuple of 2', 'True or False')
    """
    if isinstance(value, (bool, np.bool_)):
        return "True or False"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, dict):
        return f"a dict with {', '.join(map(str, value))}"
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, (int, float, np.number)) or np.shape(value) == ():
        return "a number" if numbers(value).size else f"a {type(value).__name__}"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    return f"a {type(value).__name__}"


def same(a: Any, b: Any, tolerance: float) -> bool:
    """Whether two values agree, numbers up to the tolerance times the size of the second."""
    if isinstance(b, (bool, str, np.bool_)) or isinstance(a, (bool, str, np.bool_)):
        return type(a) is type(b) and a == b if isinstance(b, str) else bool(a) == bool(b)
    if isinstance(b, torch.nn.Module):
        return same(list(a.parameters()), list(b.parameters()), tolerance)
    x, y = numbers(a), numbers(b)
    if x.shape != y.shape:
        return False
    size = np.abs(y).max(initial=0.0) or 1.0
    return bool((np.abs(x - y) <= tolerance * size).all())


def distance(given: list, right: list, wrong: list[int]) -> str:
    """How far off the wrong ones are, without saying what is right."""
    ratios = []
    for i in wrong:
        x, y = numbers(given[i]), numbers(right[i])
        if x.shape == y.shape and y.size:
            ratios.append(float(np.linalg.norm(x - y) / (np.linalg.norm(y) or 1.0)))
    if not ratios:
        return "with another answer"
    least, most = percent(min(ratios)), percent(max(ratios))
    return f"off by {least}" if least == most else f"off by {least} to {most}"


def percent(ratio: float) -> str:
    """Two digits, as a student reads them.

    >>> percent(0.01234), percent(14.72), percent(3e-6), percent(2e7)
    ('1.2%', '1500%', '0.0003%', 'a factor of 20000000')
    """
    if ratio > 1000:
        return f"a factor of {float(f'{ratio:.2g}'):.0f}"
    shown = float(f"{100 * ratio:.2g}")
    return f"{shown:.0f}%" if shown >= 10 else f"{np.format_float_positional(shown, trim='-')}%"


def _attempt(function: Callable[..., Any], arguments: tuple) -> Any:
    """What a mistake answers; a text that equals nothing where it cannot."""
    try:
        return function(*copy.deepcopy(arguments))
    except Exception:
        return "no answer"
