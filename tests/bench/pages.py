"""How soon the numbers of each page answer a control, without a browser: one process.

Page 4 is left out: its slider begins a new network.
"""

import time
from importlib import import_module

import numpy as np

from tests.bench.figure import Figure

SCENES = {
    "1": ("parabola", "Parabola"),
    "3": ("stabilise", "Stabilise"),
    "5": ("forced", "Forced"),
    "6": ("steepness", "Steepness"),
    "7": ("worth", "Worth"),
    "8": ("rescale", "Rescale"),
    "9": ("batches", "Batches"),
    "10": ("regularisers", "Regularisers"),
    "11": ("constrained", "Constrained"),
    "12": ("league", "League"),
}
TRAINS = {"11": ("width",)}  # sliders that begin a new network
TURNS = 60
LIMIT = 0.15  # seconds, 95 of 100 changes


def answers(module: str, name: str, besides: tuple[str, ...] = ()) -> float:
    """Seconds from a change of a slider to its numbers, the 95th percentile over random changes."""
    scene = getattr(import_module(f"kit.live.{module}"), name)()
    scene.show()
    sliders = [c for c in scene.controls if c.values and c.name not in besides]
    rng, took = np.random.default_rng(0), []
    for _ in range(TURNS):
        control = sliders[rng.integers(len(sliders))]
        value = control.values[rng.integers(len(control.values))]
        start = time.perf_counter()
        scene.do(control.name, value)
        scene.numbers()
        took.append(time.perf_counter() - start)
    return float(np.quantile(took, 0.95))


def slowest():
    times = {page: answers(*where, TRAINS.get(page, ())) for page, where in SCENES.items()}
    text = ", ".join(f"{page}: {1e3 * took:.0f}" for page, took in times.items())
    return max(times.values()), f"ms, by page: {text}"


FIGURES = (Figure("a control of a page to its numbers, p95", slowest, lambda v: v <= LIMIT),)
