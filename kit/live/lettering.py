"""Letters of a picture: where labels go, which ticks an axis has, how dark small letters are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patheffects import withStroke

from kit.history import Intervention

HALO = [withStroke(linewidth=2.5, foreground="white")]


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Heights in order, moved apart by as little as can be, within 0 and 1 where they fit.

    >>> spread([0.5, 0.5, 0.9], 0.1), spread([0.0, 0.02], 0.1)
    ([0.45, 0.55, 0.9], [0.0, 0.1])
    """
    groups: list[list[float]] = []  # of each: the lowest place, and how many stand on it
    for height in heights:
        groups.append([height, 1])
        while len(groups) > 1 and groups[-2][0] + gap * groups[-2][1] > groups[-1][0]:
            (low, n), (above, m) = groups[-2:]
            middle = (n * low + m * (above - gap * n)) / (n + m)
            groups[-2:] = [[max(middle, 0.0), n + m]]
    places = [low + gap * i for low, n in groups for i in range(int(n))]
    for i in reversed(range(len(places))):
        places[i] = min(places[i], 1.0 - gap * (len(places) - 1 - i))
    return places


def log_ticks(bottom: float, top: float, most: int) -> list[float]:
    """1, 2, 5 of each decade between the limits, or whole decades where those are too many.

    >>> log_ticks(0.3, 30, 6), log_ticks(1, 1e8, 4)
    ([0.5, 1.0, 2.0, 5.0, 10.0, 20.0], [1.0, 1000.0, 1000000.0])
    """
    decades = range(math.floor(math.log10(bottom)), math.ceil(math.log10(top)) + 1)
    ticks = [float(f"{m}e{k}") for k in decades for m in (1, 2, 5)]
    ticks = [tick for tick in ticks if bottom <= tick <= top]
    if len(ticks) <= most:
        return ticks
    whole = [float(f"1e{k}") for k in decades if bottom <= float(f"1e{k}") <= top]
    return whole[:: math.ceil(len(whole) / most)]


def text_colour(colour: str) -> tuple[float, ...]:
    """A darker shade for small text, with a contrast of at least 4.5 on white."""
    rgb = np.array(to_rgb(colour))
    weights = np.array([0.2126, 0.7152, 0.0722])
    while (
        1.05 / (weights @ np.where(rgb <= 0.04, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) + 0.05)
        < 4.5
    ):
        rgb = 0.95 * rgb
    return tuple(rgb)


def mark_text(mark: Intervention) -> str:
    symbols = {"lr": "η", "batch_size": "b", "momentum": "β", "weight_decay": "μ", "every": "every"}
    if mark.name.startswith("rescale"):
        return f"α ×{mark.new[0]:.3g}"
    new = "full" if mark.new is None else f"{mark.new:.3g}"
    return f"{symbols.get(mark.name, mark.name)} {new}"
