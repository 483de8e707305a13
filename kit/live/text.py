"""Numbers and steps as a page writes them.

>>> short(4.9837), short(0.5), decades(0.1, 2)[:4]
('4.98', '0.500', (0.1, 0.12, 0.15, 0.2))
"""

from __future__ import annotations

import math
import re

STEPS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)  # of a decade: halves and doubles stay exact


def short(value: float, digits: int = 3) -> str:
    """A number in three digits; "–" where there is none.

    >>> short(0.0), short(21234.5), short(-1.49e7)
    ('0', '21200', '−1.49e+07')
    """
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    text = f"{value:#.{digits}g}".removesuffix(".")
    if "e+" in text and abs(value) < 1e6:
        text = f"{float(text):.0f}"
    return text.replace("-", "−", 1) if value < 0 else text


GREEK = {"lambda": "λ", "theta": "θ", "epsilon": "ε", "sigma": "σ", "Sigma": "Σ", "rho": "ρ"}
GREEK |= {"eta": "η", "mu": "μ", "pi": "π"}


def greek(text: str) -> str:
    """A formula of a docstring with the letters that a page writes.

    >>> greek("lambda_max(|theta| H |theta|), a theatre")
    'λ_max(|θ| H |θ|), a theatre'
    """
    return re.sub(rf"(?<![A-Za-z])({'|'.join(GREEK)})(?![A-Za-z])", lambda m: GREEK[m[1]], text)


def decades(low: float, high: float) -> tuple[float, ...]:
    """The values of a logarithmic slider from low to high, ten a decade."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = (float(f"{m:g}e{e}") for e in exponents for m in STEPS)
    return tuple(v for v in values if low <= v <= high)


def parse_widths(text: str) -> tuple[int, ...]:
    """Hidden widths from text: "64, 64" -> (64, 64); none for a linear model.

    >>> parse_widths("64, 32"), parse_widths("")
    ((64, 32), ())
    """
    parts = [part for part in text.replace(",", " ").split() if part]
    try:
        hidden = tuple(int(part) for part in parts)
    except ValueError:
        hidden = (0,)
    if any(width < 1 or width > 512 for width in hidden) or len(hidden) > 6:
        raise ValueError(f"widths: got {text!r}; takes up to 6 numbers from 1 to 512, as in 64, 64")
    return hidden
