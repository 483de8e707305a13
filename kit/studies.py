"""The trained networks that the evidence pages rest on: designs, and their kept tables.

A study is one or more sweeps, its parts. What is varied, on which data, with which seeds, is fixed
here and held by tests/test_studies.py, which was written before anything was run. The rows are in
data/tables/, remade by `python data/remake.py`.

>>> table = stored_table("batch_size")
>>> sorted(table["part"].unique())[:2]
['digits, epochs', 'digits, loss']
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from kit.bundled import FOLDERS, DataFileError
from kit.checks import check_one_of
from kit.load import Dataset, load_dataset
from kit.sweep_plan import Plan, check_measures, expand
from kit.sweeps import sweep

SEEDS = (0, 1, 2, 3, 4)


@dataclass(frozen=True)
class Part:
    """One sweep of a study: everything that `kit.sweep` is given."""

    data: str
    n_train: int
    model: tuple[int, ...] | None
    grid: Mapping[str, Sequence]
    measures: Mapping[str, Mapping[str, Any]]
    budget: float
    match: str = "updates"
    loss: str = "cross_entropy"
    max_updates: int = 20_000

    @cached_property
    def dataset(self) -> Dataset:
        return load_dataset(self.data, n_train=self.n_train)

    def sweep(self, **options: Any) -> pd.DataFrame:
        """Train and measure all of it, or what a `grid` of one's own says."""
        settings = {
            "model": self.model,
            "measures": self.measures,
            "budget": self.budget,
            "match": self.match,
            "loss": self.loss,
            "max_updates": self.max_updates,
        }
        return sweep(options.pop("grid", self.grid), self.dataset, **(settings | options))

    def plan(self) -> Plan:
        """What its runs share, for those who train them one by one."""
        return Plan(
            dataset=self.dataset,
            model=self.model,
            measures=check_measures(self.measures),
            match=self.match,
            budget=self.budget,
            max_updates=self.max_updates,
            loss=self.loss,
            activation="relu",
            optimizer="sgd",
            nesterov=False,
        )

    def runs(self, **changes: Sequence) -> list[dict[str, Any]]:
        """The settings of each run, with some lists of the grid replaced."""
        return expand({**self.grid, **changes}, self.model, self.dataset)


@dataclass(frozen=True)
class Study:
    """Sweeps whose rows stand in one table, told apart by its column "part"."""

    name: str
    question: str
    parts: Mapping[str, Part] = field(repr=False)

    def run(self, part: str | None = None, **options: Any) -> pd.DataFrame:
        """Train and measure it all, or one part. Cost: minutes; see the table's meta.json."""
        names = [part] if part is not None else list(self.parts)
        tables = []
        for name in names:
            check_one_of("part", name, self.parts)
            tables.append(self.parts[name].sweep(**options).assign(part=name))
        return pd.concat(tables, ignore_index=True)


def stored_table(name: str, folder: Path | None = None) -> pd.DataFrame:
    """The kept rows of a study: a row a network, with settings, scores and measures.

    Raises `DataFileError` for a file that is missing or is not such a table.
    """
    check_one_of("name", name, STUDIES)
    path = table_folder(folder) / f"{name}.csv"
    remake = f"remake it with `python data/remake.py {name}` in a checkout"
    try:
        table = pd.read_csv(io.StringIO(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise DataFileError(f"{path} is missing: {remake}") from error
    except (ValueError, OSError) as error:
        raise DataFileError(f"{path} cannot be read: {remake}") from error
    wanted = {"part", "run", "seed", "status", "train_loss", "loss_gap", "error_gap"}
    if not wanted <= set(table) or set(table["part"]) != set(STUDIES[name].parts):
        raise DataFileError(f"{path} is not the table of this study: {remake}")
    return table


def stored_meta(name: str) -> dict[str, Any]:
    """How a kept table was made: script, seeds, wall time in seconds, machine's cores, versions."""
    check_one_of("name", name, STUDIES)
    return json.loads((table_folder() / f"{name}.meta.json").read_text(encoding="utf-8"))


def table_folder(folder: Path | None = None) -> Path:
    """Where the kept tables are: in a wheel, or in a checkout."""
    if folder is not None:
        return folder
    return next((f / "tables" for f in FOLDERS if (f / "tables").is_dir()), FOLDERS[-1] / "tables")


# Page 9.

BATCHES = {"batch_size": (8, 32, 128, 512), "lr": (0.05, 0.1, 0.2), "seed": SEEDS}
SHAPES = {"mnist1d": (40, 64, 64, 10), "digits": (64, 64, 64, 10)}
CURVATURE = {"sharpness": {}, "invariant_sharpness_layer": {}, "jacobian_max": {}}
MATCHED = {"updates": 3000, "loss": 0.05, "epochs": 60}

BATCH_SIZE = Study(
    "batch_size",
    "Does batch size change what is found?",
    {
        f"{data}, {match}": Part(
            data, 1000, SHAPES[data], BATCHES, CURVATURE, budget=budget, match=match
        )
        for data in SHAPES
        for match, budget in MATCHED.items()
    },
)

# Page 10.

STRENGTHS = {
    "weight_decay": (0.0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
    "label_smoothing": (0.0, 0.05, 0.1, 0.2, 0.3),
    "sam_radius": (0.0, 0.02, 0.05, 0.1, 0.2, 0.5),
    "mixup": (0.0, 0.1, 0.3, 1.0),
}

REGULARISERS = Study(
    "regularisers",
    "What do regularisers change?",
    {
        f"{data}, {loss}, {name}": Part(
            data,
            1000,
            SHAPES[data],
            {name: values, "batch_size": (64,), "lr": (0.1,), "seed": SEEDS},
            CURVATURE,
            budget=3000,
            loss=loss,
        )
        for data in SHAPES
        for loss in ("cross_entropy", "mse")
        for name, values in STRENGTHS.items()
        if not (loss == "mse" and name == "label_smoothing")
    },
)

# Page 11. Damping = weight decay, full batches: the theory is about a minimum.

WIDTHS = (4, 8, 16, 32)


def _shapes(d: int, widths: Sequence[int] = WIDTHS) -> tuple[tuple[int, ...], ...]:
    return tuple((d, w, w, 10) for w in widths)


def _ranks(mu: float) -> dict[str, dict[str, Any]]:
    """Soft rank, Takeuchi's estimate, trace and sharpness, with damping mu."""
    damped = {"soft_rank": {"damping": mu}, "takeuchi": {"damping": mu}}
    return damped | {"trace": {}, "sharpness": {}}


def _soft_rank(data: str, mu: float, n: int = 500, loss: str = "cross_entropy") -> Part:
    d = {"mnist1d": 40, "digits": 64, "mnist5k": 784, "fashion": 784}[data]
    grid = {"widths": _shapes(d), "weight_decay": (mu,), "lr": (0.2,), "seed": SEEDS}
    return Part(data, n, None, grid, _ranks(mu), budget=4000, loss=loss)


SOFT_RANK = Study(
    "soft_rank",
    "How many directions does the loss constrain?",
    {
        "works": _soft_rank("mnist1d", 0.03),
        "interpolation": _soft_rank("mnist1d", 1e-4),
        "between": _soft_rank("mnist1d", 0.003),
        "digits": _soft_rank("digits", 0.03),
        "mse": _soft_rank("mnist1d", 0.03, loss="mse"),
        "mnist": _soft_rank("mnist5k", 0.03, n=200),
        "fashion": _soft_rank("fashion", 0.03, n=200),
    },
)

# Page 12. Every measure of the registry but two: level spacing and the interpolating criterion
# take more parameters than outputs, or a dense matrix a network.

LEAGUE_MEASURES = (
    "sharpness",
    "trace",
    "frobenius",
    "keskar",
    "relative_flatness",
    "minimum_sharpness",
    "normalized_sharpness",
    "adaptive_sharpness",
    "average_adaptive_sharpness",
    "fisher_rao",
    "takeuchi",
    "batch_sharpness",
    "critical_sharpness",
    "invariant_sharpness_layer",
    "invariant_sharpness_riemannian",
    "invariant_sharpness_elementwise",
    "invariant_sharpness_path",
    "pac_bayes",
    "path_norm",
    "soft_rank",
    "jacobian_max",
    "jacobian_mean",
)
LEAGUE = Study(
    "league",
    "Which measure predicts?",
    {
        "mnist1d": Part(
            "mnist1d",
            500,
            None,
            {
                "batch_size": (16, 64, 256),
                "lr": (0.05, 0.2),
                "weight_decay": (0.0, 1e-3),
                "widths": _shapes(40, (16, 32)),
                "seed": SEEDS,
            },
            {name: {} for name in LEAGUE_MEASURES},
            budget=3000,
        )
    },
)

STUDIES: Mapping[str, Study] = {s.name: s for s in (BATCH_SIZE, REGULARISERS, SOFT_RANK, LEAGUE)}
