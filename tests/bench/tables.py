"""The kept tables of the evidence pages, made again whole: how many numbers are as they were."""

import time

import numpy as np
import pandas as pd

from kit.studies import STUDIES, stored_table
from tests.bench.figure import Figure

COMPARED = ("train_loss", "loss_gap", "error_gap", "sharpness")
CLOSE = 0.02  # relative; or as far as the seeds of a setting are apart


def remade(name):
    """The share of numbers that come out as kept: close, or within the spread of their seeds."""

    def measure():
        start = time.perf_counter()
        fresh, kept = STUDIES[name].run(progress=False), stored_table(name)
        minutes = (time.perf_counter() - start) / 60
        fresh = fresh.set_index(["part", "run"]).loc[
            pd.MultiIndex.from_frame(kept[["part", "run"]])
        ]
        settings = ["part", *(c for c in kept if c in VARIED)]
        groups = kept.astype(dict.fromkeys(settings, str)).groupby(settings)
        alike = total = 0
        for column in COMPARED:
            spread = groups[column].transform(np.ptp).to_numpy()
            allowed = np.maximum(CLOSE * kept[column].abs().to_numpy(), spread)
            off = np.abs(fresh[column].to_numpy(float) - kept[column].to_numpy(float))
            alike += int((off <= allowed).sum())
            total += len(kept)
        share = alike / total
        return share, f"{share:.1%} of {total} numbers as kept; {minutes:.1f} minutes"

    return measure


VARIED = (
    "lr",
    "batch_size",
    "weight_decay",
    "label_smoothing",
    "sam_radius",
    "mixup",
    "widths",
)

FIGURES = tuple(
    Figure(f"table {name}, trained again", remade(name), lambda share: share >= 0.98)
    for name in STUDIES
)
