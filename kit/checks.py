"""Clear errors for bad arguments: each names the argument, what it got and what it takes.

>>> check_number("lr", -1.0, above=0)
Traceback (most recent call last):
ValueError: lr: got -1.0; takes a number above 0
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real


def check_number(
    name: str,
    value: object,
    *,
    above: float | None = None,
    low: float | None = None,
    high: float | None = None,
    below: float | None = None,
) -> float:
    """A finite real number within the limits (`above`, `below`: excluded; `low`, `high`: included).

    >>> check_number("momentum", 0.9, low=0, below=1)
    0.9
    """
    limits = [
        f"{word} {limit:g}"
        for word, limit in (("above", above), ("from", low), ("up to", high), ("below", below))
        if limit is not None
    ]
    takes = " ".join(["a number", *limits])
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: got {value!r}; takes {takes}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    inside = (
        math.isfinite(number)
        and (above is None or number > above)
        and (low is None or number >= low)
        and (high is None or number <= high)
        and (below is None or number < below)
    )
    if not inside:
        raise ValueError(f"{name}: got {value!r}; takes {takes}")
    return number


def check_int(name: str, value: object, *, low: int | None = None, high: int | None = None) -> int:
    """A whole number from `low` to `high`.

    >>> check_int("steps", 3, low=1)
    3
    """
    limits = f"{'' if low is None else f' from {low}'}{'' if high is None else f' up to {high}'}"
    takes = f"a whole number{limits}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name}: got {value!r}; takes {takes}")
    number = int(value)
    if (low is not None and number < low) or (high is not None and number > high):
        raise ValueError(f"{name}: got {value!r}; takes {takes}")
    return number


def check_seed(seed: object) -> int:
    """A seed of torch's generators.

    >>> check_seed(0)
    0
    """
    return check_int("seed", seed, low=0, high=2**63 - 1)


def check_bool(name: str, value: object) -> bool:
    """True or False.

    >>> check_bool("bias", True)
    True
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name}: got {value!r}; takes True or False")
    return value


def check_one_of(name: str, value: object, choices: Iterable[str]) -> str:
    """One of the named choices.

    >>> check_one_of("norm", "spectral", ("spectral", "frobenius"))
    'spectral'
    """
    choices = tuple(choices)
    if not isinstance(value, str) or value not in choices:
        error = ValueError if isinstance(value, str) else TypeError
        raise error(f"{name}: got {value!r}; takes one of {', '.join(map(repr, choices))}")
    return value
