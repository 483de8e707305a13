"""Numbers and steps as a page writes them.

>>> short(4.9837), short(0.5), decades(0.1, 2)[:4]
('4.98', '0.500', (0.1, 0.12, 0.15, 0.2))
"""

from __future__ import annotations

import math

STEPS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)  # of a decade: halves and doubles stay exact


def short(value: float, digits: int = 3) -> str:
    """A number in three digits; "–" where there is none."""
    return f"{value:#.{digits}g}".removesuffix(".") if math.isfinite(value) else "–"


def decades(low: float, high: float) -> tuple[float, ...]:
    """The values of a logarithmic slider from low to high, ten a decade."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = (float(f"{m:g}e{e}") for e in exponents for m in STEPS)
    return tuple(v for v in values if low <= v <= high)
