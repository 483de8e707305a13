"""Page 9: networks trained with small and large batches, matched in three ways."""

from __future__ import annotations

from typing import ClassVar

import pandas as pd

from kit.contrast import NOT_SEEN, contrast
from kit.live.curves import Axis, Curves, Scatter
from kit.live.evidence import RUN, Evidence, change_row
from kit.live.palette import GAP, INVARIANT, JACOBIAN, LOSS, SHARPNESS
from kit.live.question import Question
from kit.live.scene import Beat, Control
from kit.live.text import short
from kit.ranking import Tau, granulated_tau, kendall_tau
from kit.studies import BATCH_SIZE, BATCHES

SIZES, RATES = BATCHES["batch_size"], BATCHES["lr"]
ASKED = 8  # the largest batch that is shown before the answer
MEASURES = {
    "sharpness": "sharpness λ",
    "invariant_sharpness_layer": "invariant sharpness λ(S)",
    "jacobian_max": "max ‖J‖₂",
}
GAPS = {"loss_gap": "gap of the loss", "error_gap": "gap of the 0-1 error"}
CHOICES = ("a larger gap", "a smaller gap", "no difference is seen")
MATCH = {
    "updates": "after as many steps",
    "loss": "at the same training loss",
    "epochs": "after as many passes over the data",
}


class Sharp(Curves):
    title = "Sharpness, raw and invariant"
    axes_of = (
        Axis("sharpness", "sharpness λ", SHARPNESS, log=True),
        Axis("invariant_sharpness_layer", "invariant λ(S)", INVARIANT, log=True),
    )


class Gaps(Curves):
    title = "Both gaps"
    axes_of = (
        Axis("loss_gap", "gap of the loss", GAP),
        Axis("error_gap", "gap of the 0-1 error", GAP),
    )


class Steep(Curves):
    title = "The Jacobian, and what was reached"
    axes_of = (
        Axis("jacobian_max", "max ‖J‖₂", JACOBIAN, log=True),
        Axis("train_loss", "training loss reached", LOSS, log=True),
    )


class Batches(Evidence):
    """Does batch size change what is found? 60 networks a part, by what they have in common."""

    title = "Does batch size change what is found?"
    study = BATCH_SIZE
    shown = tuple(MEASURES)
    controls = (
        RUN,
        Control(
            "lr",
            "learning rate η",
            "learning rate eta of the strong line",
            "Which learning rate is drawn strong, and counted in the numbers",
            values=RATES,
            bar=True,
        ),
        Control(
            "data",
            "data",
            "data",
            "Signals, or images of digits",
            options={"MNIST-1D": "mnist1d", "digits": "digits"},
        ),
        Control(
            "match",
            "compared",
            "what the networks have in common",
            "When their training stops: a comparison at equal passes is a trap",
            options={
                "at equal steps": "updates",
                "at equal training loss": "loss",
                "at equal passes (a trap)": "epochs",
            },
        ),
        Control(
            "measure",
            "measure",
            "measure of the last picture",
            "Across, in the last picture",
            options={title: name for name, title in MEASURES.items()},
        ),
        Control(
            "gap",
            "gap",
            "gap of the last picture",
            "Upwards, in the last picture",
            options={title: name for name, title in GAPS.items()},
        ),
    )
    pictures: ClassVar = {"sharp": Sharp, "gaps": Gaps, "steep": Steep, "scatter": Scatter}
    question = Question(
        "60 networks learned MNIST-1D, each in 3000 steps, with batches of 8, 32, 128 or 512 "
        "samples. You see those with 8. The gap is test minus training, of the 0-1 error. What do "
        "larger batches find?",
        choices=CHOICES,
        because="Both gaps grow with the batch here. Sharpness does at η = 0.05, not at 0.2. Look "
        "at the training loss that they reached, then compare at equal training loss.",
    )
    beats = (
        Beat("MNIST-1D, after as many steps.", (("reset", None),)),
        Beat("a larger learning rate: sharpness no longer rises.", (("lr", 0.2),)),
        Beat("digits: the same comparison.", (("lr", 0.05), ("data", "digits"))),
        Beat("at the same training loss.", (("data", "mnist1d"), ("match", "loss"))),
        Beat("at equal passes: look at the training loss first.", (("match", "epochs"),)),
        Beat("train one more seed.", (("match", "updates"), ("run", None))),
    )

    def start(self) -> None:
        self.values = {"lr": 0.05, "data": "mnist1d", "match": "updates"}
        self.values |= {"measure": "invariant_sharpness_layer", "gap": "error_gap"}
        self.status = (
            "Kept networks." if self.revealed else "Kept networks with the smallest batch."
        )

    def part_name(self) -> str:
        return f"{self.values['data']}, {self.values['match']}"

    def look(self) -> None:
        self._table = self.rows
        low, high = SIZES[0], SIZES[-1]
        at = self._table[self._table["lr"] == self.values["lr"]]
        self.changes = {
            name: contrast(at, name, "batch_size", low, high, relative=name in MEASURES)
            for name in (*MEASURES, *GAPS)
        }
        self.taus: dict[tuple[str, str], tuple[Tau, Tau]] = {}

    def tau(self) -> tuple[Tau, Tau]:
        """Of the chosen measure and gap: within a rate and a seed, and over all networks."""
        key = self.values["measure"], self.values["gap"]
        if key not in self.taus:
            vary = ("batch_size", "lr", "seed")
            within = granulated_tau(self._table, *key, vary=vary)["batch_size"]
            self.taus[key] = within, kendall_tau(self._table, *key)
        return self.taus[key]

    # What the pictures ask for.

    def table(self) -> pd.DataFrame:
        rows = self._table
        return rows if self.revealed else rows[rows["batch_size"] <= ASKED]

    def settings_of(self, column: str):
        return SIZES

    def varied(self) -> tuple[str, str, bool]:
        return "batch_size", "batch size b, samples", True

    def lines(self):
        rows, chosen = self.table(), self.values["lr"]
        order = (chosen, *(lr for lr in RATES if lr != chosen))
        return [(f"η = {lr:g}" if lr == chosen else f"{lr:g}", rows["lr"] == lr) for lr in order]

    def seen(self):
        return len(self._table), self.revealed, tuple(self.values.items())

    def measure(self) -> tuple[str, str]:
        return self.values["measure"], MEASURES[self.values["measure"]]

    def gap(self) -> tuple[str, str]:
        return self.values["gap"], GAPS[self.values["gap"]]

    def verdict(self) -> str:
        if not self.revealed:
            return "b = 8 only"
        within, pooled = self.tau()
        return (
            f"τ over b {short(within.tau, 2)} ({short(within.low, 2)} to {short(within.high, 2)}), "
            f"over all {short(pooled.tau, 2)}"
        )

    # What is said.

    def answer(self) -> str:
        """From the kept rows on MNIST-1D at equal steps, over all learning rates."""
        rows = self.rows_of("mnist1d, updates")
        change = contrast(
            rows, "error_gap", "batch_size", SIZES[0], SIZES[-1], pairs=("seed", "lr")
        )
        return CHOICES[{"rises": 0, "falls": 1}.get(change.word, 2)]

    def phase(self) -> str:
        if not self.revealed:
            return "Kept networks with batches of 8. What do larger ones find?"
        if not any(change.count for change in self.changes.values()):
            return (
                f"At η = {self.values['lr']:g} there is nothing to compare: with b = {SIZES[0]} no "
                f"network came to that training loss.{self.progress()}"
            )
        words = {name: change.word for name, change in self.changes.items()}
        seen = [
            f"{title} {words[name]}"
            for name, title in {**MEASURES, **GAPS}.items()
            if words[name] != NOT_SEEN
        ]
        said = ", ".join(seen) if seen else "no difference is seen"
        matched = MATCH[self.values["match"]]
        trap = " Mind the training loss." if self.values["match"] == "epochs" else ""
        return f"From b = {SIZES[0]} to {SIZES[-1]}, {matched}: {said}.{trap}{self.progress()}"

    def numbers(self) -> list[list[str]]:
        if not self.revealed:
            return [self.source()]
        ends = f"b = {SIZES[0]} to {SIZES[-1]}, η = {self.values['lr']:g}"
        rows = [
            change_row(title, self.changes[name], ends, ratio=name in MEASURES)
            for name, title in {**MEASURES, **GAPS}.items()
        ]
        within, pooled = self.tau()
        remark = f"95%: {short(within.low, 2)} to {short(within.high, 2)}; {within.count} groups"
        rows.append(["τ, only b varied", short(within.tau, 2), remark])
        remark = f"95%: {short(pooled.low, 2)} to {short(pooled.high, 2)}; what varies is mixed"
        rows.append(["τ over all", short(pooled.tau, 2), remark])
        rows.append(self.source())
        return rows

    def reveal(self) -> None:
        self.status = "Kept networks. Turn the learning rate; choose digits."
