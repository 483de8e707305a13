"""What the runs of a sweep have in common, and what each of them is.

>>> from kit.load import load_dataset
>>> runs = expand({"lr": [0.1, 0.2], "seed": [0, 1]}, (1, 4, 1), load_dataset("chebyshev"))
>>> [(run["lr"], run["seed"]) for run in runs]
[(0.1, 0), (0.1, 1), (0.2, 0), (0.2, 1)]
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from kit.checks import check_one_of
from kit.load import Dataset
from kit.models import mlp
from kit.registry import measures as registry
from kit.saved import data_checksum
from kit.seeding import RANDOM_STATE

DEFAULTS: dict[str, Any] = {
    "lr": 0.1,
    "batch_size": None,
    "momentum": 0.0,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "sam_radius": 0.0,
    "mixup": 0.0,
    "seed": 0,
}
MATCHES = ("updates", "epochs", "loss")


@dataclass(frozen=True)
class Plan:
    """What all runs of a sweep share."""

    dataset: Dataset
    model: Sequence[int] | Callable[[int], nn.Module] | None
    measures: dict[str, dict[str, Any]]
    match: str
    budget: float
    max_updates: int
    loss: str
    activation: str
    optimizer: str
    nesterov: bool

    def network(self, run: Mapping[str, Any]) -> nn.Module:
        """The untrained network of a run."""
        if callable(self.model):
            with RANDOM_STATE:  # it may seed torch, and a cluster's threads share that
                return self.model(run["seed"])
        widths = run["widths"] if self.model is None else self.model
        return mlp(widths, activation=self.activation, seed=run["seed"])

    def updates(self, run: Mapping[str, Any]) -> int:
        """How many steps a run takes, at most."""
        if self.match == "updates":
            return int(self.budget)
        if self.match == "loss":
            return self.max_updates
        n = len(self.dataset.X_train)
        return max(1, round(self.budget * n / (run["batch_size"] or n)))

    def signature(self) -> dict[str, str]:
        """What a table says of the sweep that it comes from."""
        model = "a function of the seed" if callable(self.model) else str(self.model)
        contents = data_checksum(self.dataset)[:8]
        data = f"{self.dataset.name}, n = {len(self.dataset.X_train)}, {contents}"
        options = {name: given for name, given in sorted(self.measures.items()) if given}
        short = float(f"{self.budget:g}") == self.budget
        budget = f"{self.budget:g}" if short else repr(self.budget)
        most = f", at most {self.max_updates} updates" if self.match == "loss" else ""
        return {
            "data": data,
            "model": f"{model}, {self.activation}",
            "trained": f"{self.loss}, {self.optimizer}{', nesterov' if self.nesterov else ''}",
            "matched": f"{self.match} {budget}{most}",
            "options": repr(options) if options else "none",
        }


def expand(
    grid: Mapping[str, Sequence],
    model: Sequence[int] | Callable[[int], nn.Module] | None,
    dataset: Dataset,
) -> list[dict[str, Any]]:
    """Every combination of the grid with the defaults filled in, the last name varying fastest.

    >>> from kit.load import load_dataset
    >>> runs = expand({"lr": [0.1], "seed": [0, 1]}, (1, 4, 1), load_dataset("chebyshev"))
    >>> [run["seed"] for run in runs], runs[0]["momentum"]
    ([0, 1], 0.0)
    """
    if not isinstance(grid, Mapping):
        raise TypeError(f"grid: got {type(grid).__name__}; takes a mapping of names to lists")
    names = [*DEFAULTS, "widths"]
    for name, values in grid.items():
        check_one_of("grid", name, names)
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise TypeError(f"grid: {name!r} has {values!r}; takes a list")
        if not list(values):
            raise ValueError(f"grid: {name!r} has no values; takes at least one")
    if (model is None) != ("widths" in grid):
        raise ValueError("model: takes widths or a function, or None with 'widths' in the grid")
    if model is not None and not callable(model) and not isinstance(model, Sequence):
        raise TypeError(f"model: got {type(model).__name__}; takes widths or a function of a seed")
    n = len(dataset.X_train)
    combinations = itertools.product(*(list(values) for values in grid.values()))
    runs = [DEFAULTS | dict(zip(grid, values, strict=True)) for values in combinations]
    for run in runs:
        if "widths" in run:
            run["widths"] = tuple(run["widths"])
        if run["batch_size"] == n:
            run["batch_size"] = None
    return runs


def check_measures(measures: object) -> dict[str, dict[str, Any]]:
    if isinstance(measures, str) or not isinstance(measures, Iterable):
        raise TypeError(f"measures: got {measures!r}; takes names, or a mapping to options")
    given = measures if isinstance(measures, Mapping) else {name: {} for name in measures}
    for name, options in given.items():
        check_one_of("measures", name, registry())
        if not isinstance(options, Mapping):
            raise TypeError(f"measures: {name!r} has {options!r}; takes a mapping of options")
        unknown = sorted(set(options) - set(registry()[name].options))
        if unknown:
            takes = ", ".join(registry()[name].options) or "none"
            raise ValueError(f"measures: {name!r} has no option {unknown[0]!r}; takes {takes}")
    return {name: dict(options) for name, options in given.items()}
