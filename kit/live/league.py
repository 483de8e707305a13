"""Page 12: every measure against the gap, one hyper-parameter at a time, and all together."""

from __future__ import annotations

import math
import time
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from kit.live.curves import Scatter
from kit.live.evidence import RUN, Evidence
from kit.live.league_pictures import ROWS, TITLES, Heat, Intervals
from kit.live.question import Question
from kit.live.scene import Beat, Control
from kit.live.text import greek
from kit.ranking import Tau, granulated_tau, kendall_tau
from kit.registry import measures
from kit.studies import LEAGUE

VARY = ("batch_size", "lr", "weight_decay", "parameters", "seed")
COLUMNS = (*VARY, "mean", "pooled")
COLUMN_TITLES = {
    "batch_size": "batch size b",
    "lr": "learning rate η",
    "weight_decay": "weight decay μ",
    "parameters": "parameters P",
    "seed": "seed",
    "mean": "mean of these",
    "pooled": "all mixed",
}
SYMBOLS = dict(zip(("b", "η", "μ", "P", "seed", "mean", "mixed"), COLUMNS, strict=True))
BASELINES = ("train_loss", "weight_decay", "lr", "parameters")
MEASURES = tuple(LEAGUE.parts["mnist1d"].measures)
GAPS = {"loss_gap": "gap of the loss", "error_gap": "gap of the 0-1 error"}
DRAWS = 400
CHOICES = (
    "the sharper ones have the larger gap",
    "the sharper ones have the smaller gap",
    "no order is seen",
)


class Others(Heat):
    rows_of = ROWS[1]
    title = "… the rest, and four baselines"


class League(Evidence):
    """Which measure predicts? Granulated tau of 22 measures and four baselines.

    `taus[gap, name]`: column -> `Tau`; they come one measure at a time (`working`), that which is
    chosen first.
    """

    title = "Which measure predicts?"
    study = LEAGUE
    shown = MEASURES
    controls = (
        RUN,
        Control(
            "vary",
            "varied alone",
            "which hyper-parameter varies alone",
            "Only this differs within a group; then the mean of all these, then all mixed",
            values=tuple(SYMBOLS),
            form="{}",
            bar=True,
        ),
        Control(
            "measure",
            "measure",
            "measure in the last pictures and in the numbers",
            "A measure of the network, or something that is known without measuring",
            options={TITLES[name]: name for name in (*MEASURES, *BASELINES)},
        ),
        Control(
            "gap",
            "gap",
            "which gap",
            "Test minus training",
            options={title: name for name, title in GAPS.items()},
        ),
    )
    pictures: ClassVar = {
        "curvature": Heat,
        "others": Others,
        "intervals": Intervals,
        "scatter": Scatter,
    }
    question = Question(
        "120 networks, 24 settings with five seeds each. Where nothing but the batch size varies, "
        "the sharper ones have the larger gap: τ is above 0. And if all 120 are ranked together?",
        choices=CHOICES,
        because="A learning rate or a weight decay moves sharpness one way and the gap another: "
        "Simpson's paradox. Read the columns, then the last one.",
    )
    beats = (
        Beat("one column a hyper-parameter, all mixed last.", (("reset", None),)),
        Beat("the training loss, which needs no measuring.", (("measure", "train_loss"),)),
        Beat("the other gap: another ranking.", (("gap", "error_gap"),)),
        Beat("only the weight decay varies.", (("gap", "loss_gap"), ("vary", "μ"))),
        Beat("only the seed varies.", (("vary", "seed"),)),
    )

    def start(self) -> None:
        self.values = {"measure": "sharpness", "gap": "loss_gap", "vary": "mixed"}
        self.taus: dict[tuple[str, str], dict[str, Tau]] = {}
        self.status = "Kept networks."

    def part_name(self) -> str:
        return "mnist1d"

    def look(self) -> None:
        rows = self.rows
        if len(rows) != getattr(self, "_count", None) or rows is None:
            self.taus, self._count = {}, len(rows)
        self._table = rows
        self.tau(self.values["measure"])
        self.working = self.revealed and bool(self._left())

    @property
    def column(self) -> str:
        """Which tau is in view: of one hyper-parameter, "mean" or "pooled"."""
        return SYMBOLS[self.values["vary"]]

    def tau(self, name: str) -> dict[str, Tau]:
        """Of one measure or baseline with the chosen gap: a tau for each column."""
        key = self.values["gap"], name
        if key not in self.taus:
            table, column = self._table, name
            if name in VARY:  # a copy, since what varies is what is ranked by
                table, column = table.assign(_itself=table[name]), "_itself"
            rows = granulated_tau(table, column, key[0], vary=VARY, draws=DRAWS)
            pooled = kendall_tau(table, column, key[0], draws=DRAWS)
            self.taus[key] = rows | {"pooled": pooled}
        return self.taus[key]

    def _left(self) -> list[str]:
        gap = self.values["gap"]
        return [name for name in (*MEASURES, *BASELINES) if (gap, name) not in self.taus]

    def known(self) -> dict[str, dict[str, Tau]]:
        """Name -> taus of what has been computed for the chosen gap."""
        gap = self.values["gap"]
        return {n: self.taus[gap, n] for n in (*MEASURES, *BASELINES) if (gap, n) in self.taus}

    def advance(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        left = self._left() if self.revealed else []
        while left and time.perf_counter() < end:
            self.tau(left.pop(0))
        self.working = bool(left)
        if self.running and not left:
            super().advance(max(end - time.perf_counter(), 0.001))

    def reveal(self) -> None:
        self.working = bool(self._left())
        self.status = "Choose what varies, and which gap."

    # What the pictures ask for.

    def table(self) -> pd.DataFrame:
        rows = self._table
        if self.revealed:
            return rows
        alike = (rows["lr"] == 0.2) & (rows["weight_decay"] == 0)
        return rows[alike & (rows["parameters"] == rows["parameters"].max())]

    def varied(self) -> tuple[str, str, bool]:
        name = self.column
        name = name if name in VARY else "batch_size"
        return name, COLUMN_TITLES[name], True

    def seen(self):
        return self._count, self.revealed, len(self.known()), tuple(self.values.items())

    def measure(self) -> tuple[str, str]:
        return self.values["measure"], TITLES[self.values["measure"]]

    def gap(self) -> tuple[str, str]:
        return self.values["gap"], GAPS[self.values["gap"]]

    def verdict(self) -> str:
        if not self.revealed:
            return f"{len(self.table())} of {self._count} networks"
        found = self.tau(self.values["measure"])
        mean, pooled = found["mean"], found["pooled"]
        return f"τ one at a time {signed(mean.tau)} (mean), all mixed {signed(pooled.tau)}"

    # What is said.

    def answer(self) -> str:
        """Sharpness and the gap of the loss over all kept networks."""
        rows = self.stored.assign(own=False)
        tau = kendall_tau(rows, "sharpness", "loss_gap")
        return CHOICES[0] if tau.low > 0 else CHOICES[1] if tau.high < 0 else CHOICES[2]

    def phase(self) -> str:
        if not self.revealed:
            return "Kept networks, 15 of 120. Do the sharper ones have the larger gap?"
        name, column = self.values["measure"], self.column
        tau = self.tau(name)[column]
        where = {"pooled": "over all networks together", "mean": "on the mean of the columns"}.get(
            column, f"where only the {COLUMN_TITLES[column]} varies"
        )
        if math.isnan(tau.tau):
            said = "says nothing: it does not vary there"
        elif tau.low > 0:
            said = "ranks as the gap does"
        elif tau.high < 0:
            said = "ranks against the gap"
        else:
            said = "no ranking is seen"
        left = f" {len(self._left())} measures are still being ranked." if self.working else ""
        return f"{TITLES[name]}, {where}: {said}.{left}{self.progress()}"

    def numbers(self) -> list[list[str]]:
        if not self.revealed:
            return [self.source()]
        name, column = self.values["measure"], self.column
        rows = []
        for title, what in ((TITLES[name], name), ("baseline: training loss", "train_loss")):
            tau, of = self.tau(what)[column], "networks" if column == "pooled" else "groups"
            rows.append(
                [f"τ, {title}", signed(tau.tau), f"{COLUMN_TITLES[column]}: {said(tau, of)}"]
            )
        pooled = self.tau(name)["pooled"]
        rows.append(["τ, all mixed", signed(pooled.tau), said(pooled, "networks")])
        if name in MEASURES:
            entry = measures()[name]
            rows.append(["formula", greek(entry.formula), entry.source])
            keeps = ", ".join(sorted(entry.invariances & {"layer-wise", "node-wise"}))
            survives = "survives rescaling" if keeps else "moves under rescaling"
            rows.append(["rescaling", survives, keeps or "another number for the same function"])
            rows.append(["cost", entry.cost, COSTS[entry.cost]])
        else:
            rows.append(["baseline", TITLES[name], "known without measuring the network"])
        rows.append(self.source())
        return rows

    def columns(self) -> dict[str, Any]:
        columns = super().columns()
        return columns | {"parameters": self.rows["parameters"].tolist()}


COSTS = {
    "live": "under 50 ms for 2,410 parameters and 200 samples, one core",
    "slow": "under 2 s for 2,410 parameters and 200 samples, one core",
    "offline": "more than 2 s for 2,410 parameters and 200 samples, one core",
}


def signed(value: float) -> str:
    """A tau with its sign; "–" where there is none."""
    return f"{value:+.2f}".replace("-", "−") if np.isfinite(value) else "–"


def said(tau: Tau, of: str = "groups") -> str:
    """What a tau rests on, so many groups or networks.

    >>> said(Tau(0.5, 0.25, 0.75, 24))
    '95%: +0.25 to +0.75, 24 groups'
    """
    if tau.count == 0:
        return "it does not vary there"
    return f"95%: {signed(tau.low)} to {signed(tau.high)}, {tau.count} {of}"
