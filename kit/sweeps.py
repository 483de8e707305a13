"""Many training runs over a grid of settings: one row of a table each.

>>> from kit.load import load_dataset
>>> table = sweep({"lr": [0.1, 0.3], "seed": [0, 1]}, load_dataset("digits", n_train=50),
...               model=(64, 8, 10), budget=5, progress=False)
>>> len(table), sorted(table["status"].unique())
(4, ['done'])
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from kit.checks import check_int, check_number, check_one_of
from kit.load import Dataset
from kit.losses import LOSSES
from kit.sweep_engines import ENGINES
from kit.sweep_plan import MATCHES, Plan, check_measures, expand
from kit.sweep_table import Book, Cancelled, Progress, resumed


def sweep(
    grid: Mapping[str, Sequence],
    dataset: Dataset,
    *,
    model: Sequence[int] | Callable[[int], nn.Module],
    measures: Sequence[str] | Mapping[str, Mapping[str, Any]] = (),
    match: str = "updates",
    budget: float,
    max_updates: int = 20_000,
    loss: str | None = None,
    activation: str = "relu",
    optimizer: str = "sgd",
    nesterov: bool = False,
    engine: str = "batched",
    workers: int | None = None,
    client: Any = None,
    progress: bool | Callable[[Progress], object] = True,
    resume: pd.DataFrame | str | os.PathLike | None = None,
    save: str | os.PathLike | None = None,
) -> pd.DataFrame:
    """Train a network for every combination of the grid; a row a run.

    >>> from kit.load import load_dataset
    >>> table = sweep({"lr": [0.1, 0.2]}, load_dataset("chebyshev"), model=(1, 8, 1), budget=20,
    ...               measures=["sharpness", "jacobian_max"], progress=False)
    >>> list(table["lr"]), bool((table["sharpness"] > 0).all())
    ([0.1, 0.2], True)

    `grid`: lists for lr, batch_size (None: full batch), momentum, weight_decay, label_smoothing,
    sam_radius, mixup, seed, and widths where `model` is None. `model`: widths, or a function of
    the seed. `measures`: names from `kit.measures()`, or a mapping from names to options; taken at
    the end, of the training objective without penalty.

    `match` says what the runs have in common: "updates", `budget` steps each; "epochs", `budget`
    passes over the data, so that small batches take more steps; "loss", the hard-label training
    cost falls to `budget`, looked at every 10 steps and given up after `max_updates`.

    `engine`: "batched" trains perceptrons of one shape as one tensor program and other modules one
    by one; "loop" one by one; "joblib" in `workers` processes; "dask" on the workers of a
    `dask.distributed` client (`client`, or the present one). All give the same numbers up to
    rounding; at the edge of stability rounding grows, and single runs differ.

    `progress`: True prints a line; a function gets a `Progress` after every part, and ends the
    sweep early by returning True; so does an interrupt. The table then holds what is finished;
    `resume` takes it, or the file of `save`, and runs only what is missing or failed. A run that
    diverges or fails is a row whose status says why. Raises ValueError or TypeError for a grid,
    measure or budget that no run could use, and for a `resume` of another sweep.
    """
    if not isinstance(dataset, Dataset):
        raise TypeError(f"dataset: got {type(dataset).__name__}; takes a kit.Dataset")
    check_one_of("match", match, MATCHES)
    check_one_of("engine", engine, ENGINES)
    budget = check_number("budget", budget, above=0)
    if match == "updates":
        budget = check_int("budget", int(budget) if budget.is_integer() else budget, low=1)
    default = "mse" if dataset.task == "regression" else "cross_entropy"
    plan = Plan(
        dataset=dataset,
        model=model,
        measures=check_measures(measures),
        match=match,
        budget=budget,
        max_updates=check_int("max_updates", max_updates, low=1),
        loss=check_one_of("loss", default if loss is None else loss, LOSSES),
        activation=activation,
        optimizer=check_one_of("optimizer", optimizer, ("sgd", "adam")),
        nesterov=nesterov,
    )
    runs = expand(grid, model, dataset)
    rows = resumed(resume, plan, runs)
    todo = [index for index in range(len(runs)) if index not in rows]
    book = Book(plan, runs, rows, progress, None if save is None else Path(save))
    try:
        ENGINES[engine](plan, runs, todo, book, workers=workers, client=client)
    except (KeyboardInterrupt, Cancelled):
        book.say(f"stopped: {len(book.rows)} of {len(runs)} runs are in the table")
    return book.table()
