"""How the cost of measuring grows with parameters and samples: `python -m tests.bench.growth`.

Writes growth.png beside this file: one torch thread, medians of several calls.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from kit.jacobian import point_jacobian_norms
from kit.models import mlp
from kit.objective import Objective
from kit.tracking import EigenTracker
from tests.bench.figure import seconds

TARGET = Path(__file__).with_name("growth.png")
WIDTHS = (8, 16, 32, 64, 128, 256)
SAMPLES = (30, 100, 300, 1000, 3000)
MIDDLE = 64, 500  # width and samples of the other axis
COLOURS = {  # Okabe and Ito's
    "gradient": "#595959",
    "product H v": "#E69F00",
    "sharpness, followed": "#D55E00",
    "Jacobian norms": "#009E73",
}


def costs(width, n):
    """Milliseconds of each, on a 64-width-width-10 network and n samples."""
    generator = torch.Generator().manual_seed(0)
    X, y = torch.randn(n, 64, generator=generator), torch.arange(n) % 10
    model = mlp((64, width, width, 10))
    objective, tracker = Objective(model, X, y), EigenTracker()
    theta = objective.flat_parameters()
    v = torch.randn(len(theta), 1, generator=generator)
    for _ in range(2):
        tracker.measure(objective)
    point = objective.point()
    took = {
        "gradient": lambda: objective.at(theta).gradient(),
        "product H v": lambda: point.hvp(v),
        "sharpness, followed": lambda: tracker.measure(objective),
        "Jacobian norms": lambda: point_jacobian_norms(point),
    }
    return len(theta), {name: 1e3 * seconds(function, 7) for name, function in took.items()}


def main():
    torch.set_num_threads(1)
    by_width = [costs(width, MIDDLE[1]) for width in WIDTHS]
    by_samples = [costs(MIDDLE[0], n) for n in SAMPLES]
    axes_of = (
        ([P for P, _ in by_width], by_width, f"parameters P (n = {MIDDLE[1]})"),
        (SAMPLES, by_samples, f"samples n (P = {by_samples[0][0]:,})"),
    )
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for axis, (x, rows, label) in zip(axes, axes_of, strict=True):
        for name, colour in COLOURS.items():
            y = [row[name] for _, row in rows]
            axis.loglog(x, y, "o-", color=colour, markersize=4)
            if axis is axes[1]:
                axis.annotate(
                    name,
                    (x[-1], y[-1]),
                    (6, 0),
                    textcoords="offset points",
                    color=colour,
                    va="center",
                )
        axis.set_xlabel(label)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("time, ms")
    axes[1].margins(x=0.05)
    figure.suptitle("Cost of a measurement, 64-width-width-10 relu, one core")
    figure.savefig(TARGET, dpi=110)
    print(f"written: {TARGET.name}")


if __name__ == "__main__":
    main()
