"""Speed of measuring while training, and of drawing: one process, one torch thread."""

import statistics
from functools import cache

import torch

from kit.live.panels import Panel
from kit.live.session import MEASURES
from kit.live.strips import PANELS
from kit.load import load_dataset
from kit.models import mlp
from kit.presets import PRESETS
from kit.training import Training
from tests.bench.figure import Figure, seconds
from tests.bench.peer import peer_rate

SMALL, LARGE = (1, 30, 20, 1), (1, 200, 200, 1)
LR = {SMALL: 0.2, LARGE: 0.02}  # below 2/lambda throughout the measured steps


def plain(widths):
    """torch.optim.SGD on the same network and data, nothing measured: a function of steps."""
    data, model = load_dataset("chebyshev"), mlp(widths, activation="tanh")
    optimizer = torch.optim.SGD(model.parameters(), lr=LR[widths])

    def run(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            loss = 0.5 * (model(data.X_train) - data.y_train).square().sum(1).mean()
            loss.backward()
            optimizer.step()

    return run


def measured(widths):
    """The kit, sharpness at every step."""
    training = Training(
        mlp(widths, activation="tanh"),
        load_dataset("chebyshev"),
        loss="mse",
        lr=LR[widths],
        measures=("sharpness",),
        scores=False,
    )

    def run(steps):
        assert training.step(steps) == steps, "the run diverged: it would count as fast"

    return run


def rate(program, steps):
    """Steps a second, median of five runs after a warm-up."""
    program(max(steps // 5, 2))
    return steps / seconds(lambda: program(steps))


def against_plain():
    torch.set_num_threads(1)
    ours, theirs = rate(measured(SMALL), 300), rate(plain(SMALL), 1000)
    return ours / theirs, f"{ours / theirs:.2f} of {theirs:.0f} steps/s without measuring"


@cache
def peer(widths):
    """The explainer's way: steps a second with a cold measurement at every step."""
    return peer_rate(widths, LR[widths], 40 if widths == SMALL else 3)


def against_browser(widths, ours_steps):
    """Against cold Lanczos on finite differences in JavaScript (`peer.js`), run just before."""

    def measure():
        torch.set_num_threads(1)
        theirs, gradients = peer(widths)
        ours = rate(measured(widths), ours_steps)
        text = f"{ours / theirs:.0f} times as fast ({ours:.0f} and {theirs:.2f} steps/s, "
        return ours / theirs, text + f"the peer {gradients:.0f} gradients a measurement)"

    return measure


def matvecs():
    torch.set_num_threads(1)
    medians = []
    for seed in range(3):
        training = Training(
            mlp(SMALL, activation="tanh", seed=seed),
            load_dataset("chebyshev"),
            loss="mse",
            lr=0.4,
            measures=("sharpness",),
        )
        training.run(1500)
        medians.append(statistics.median(training.history["sharpness_matvecs"]))
    value = statistics.median(medians)
    return value, f"{value:.0f} products (three seeds: {', '.join(f'{m:.0f}' for m in medians)})"


def frame(keys):
    def measure():
        torch.set_num_threads(1)
        training = PRESETS["edge"].build(measures=MEASURES)
        training.run(200)
        panels = [Panel(key) for key in keys]

        def draw():
            return [panel.encode(training.history) for panel in panels]

        draw()
        milliseconds = 1e3 * seconds(draw, 30)
        return milliseconds, f"{milliseconds:.1f} ms"

    return measure


FIGURES = (
    Figure(
        "sharpness at every step, 701 parameters, share of plain SGD's steps a second",
        against_plain,
        lambda v: v >= 0.35,
    ),
    Figure(
        "the same against a browser explainer's way, 701 parameters",
        against_browser(SMALL, 300),
        lambda v: v >= 10,
    ),
    Figure(
        "the same, 40,801 parameters",
        against_browser(LARGE, 100),
        lambda v: v >= 100,
    ),
    Figure("Hessian products a measurement, median", matvecs, lambda v: v <= 3),
    Figure("one moving frame, one panel of 720x450", frame(["loss"]), lambda v: v <= 12),
    Figure("one moving frame, four panels", frame(list(PANELS)), lambda v: v <= 30),
)
