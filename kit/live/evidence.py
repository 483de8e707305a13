"""What the evidence pages have in common: kept rows of a study, and rows of the reader's own.

A subclass says which part of its study the controls choose. `rows` are those of that part, the
kept ones first; Run trains the same grid with a seed that nobody has used yet, and its rows stand
beside them as they come, marked as the reader's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pandas as pd

from kit.contrast import Contrast
from kit.growing import GrowingSweep
from kit.live.scene import Control, Scene
from kit.live.session import ready_process
from kit.live.text import short
from kit.studies import SEEDS, Part, Study, stored_meta, stored_table

RUN = Control(
    "run",
    "Train one more seed",
    "Train one more seed, or pause",
    "The same grid with new starting weights; the rows come as they are done",
)
SETTINGS = ("batch_size", "lr", "weight_decay", "label_smoothing", "sam_radius", "mixup", "widths")
SCORES = ("train_loss", "loss_gap", "loss_gap_se", "error_gap", "error_gap_se")


class Evidence(Scene):
    """A page on a study. `stored`: all kept rows; `rows`: those of the part in view, with own."""

    study: ClassVar[Study]
    shown: ClassVar[Sequence[str]]  # columns that go into a download, besides settings and scores

    def begin(self) -> None:
        ready_process()
        self.stored = stored_table(self.study.name)
        self.meta = stored_meta(self.study.name)
        self.own: dict[str, pd.DataFrame] = {}
        self.growing: GrowingSweep | None = None
        self.growing_part = ""
        self.running = self.working = False
        self.start()
        self.look()

    # What a subclass says.

    def start(self) -> None:
        """Set `self.values`."""
        raise NotImplementedError

    def part_name(self) -> str:
        """The part of the study that the controls choose."""
        raise NotImplementedError

    def grid(self) -> dict[str, Sequence]:
        """Lists of the part's grid to replace when a new seed is trained."""
        return {}

    def look(self) -> None:
        """The rows in view have changed: compute what is shown of them."""
        raise NotImplementedError

    def marked(self) -> float | None:
        """A value of what is varied that the pictures point out."""
        return None

    # What all have.

    @property
    def part(self) -> Part:
        return self.study.parts[self.part_name()]

    @property
    def rows(self) -> pd.DataFrame:
        return self.rows_of(self.part_name())

    def rows_of(self, part: str) -> pd.DataFrame:
        """Kept rows of a part, and the reader's; `own` tells them apart."""
        kept = self.stored[self.stored["part"] == part].assign(own=False)
        mine = self.own.get(part)
        if mine is None or mine.empty:
            return kept
        return pd.concat([kept, mine.assign(own=True, part=part)], ignore_index=True)

    def changed(self, name: str) -> None:
        self.look()

    def pressed(self, name: str) -> None:
        if self.running:
            self.running = False
            self.status = "Paused. What is finished stays; press again to go on."
            return
        if self.growing is None or self.growing_part != self.part_name():
            part = self.part_name()
            seeds = self.rows_of(part)["seed"]
            self._seed = int(max(*SEEDS, *seeds)) + 1
            self.growing = GrowingSweep(self.part, seed=[self._seed], **self.grid())
            self.growing_part, self._before = part, self.own.get(part)
        self.running = True
        self.status = f"Training the grid with seed {self._seed}."

    def advance(self, seconds: float) -> None:
        if self.growing is None:
            self.running = False
            return
        self.growing.advance(seconds)
        fresh, part = self.growing.table(), self.growing_part
        known = self.own.get(part, pd.DataFrame())
        before = 0 if self._before is None else len(self._before)
        if len(fresh) + before > len(known):
            together = [t for t in (self._before, fresh) if t is not None]
            self.own[part] = pd.concat(together, ignore_index=True)
            self.look()
        if self.growing.done:
            failed = int((fresh["status"] != "done").sum())
            note = f" {failed} did not finish: they are left out." if failed else ""
            self.status = f"Seed {self._seed}: {len(fresh)} networks are in the picture.{note}"
            self.growing, self.running = None, False

    def progress(self) -> str:
        """One sentence on what is being trained."""
        if self.growing is None:
            return ""
        return f" Seed {self._seed}: {self.growing.share:.0%} trained."

    def source(self) -> list[str]:
        """A row for the numbers: what they rest on."""
        rows = self.rows
        done = rows["status"] == "done"
        mine = int((done & rows["own"]).sum())
        left = int((~done).sum())
        remark = f"{rows['seed'].nunique()} seeds; {mine} of your own"
        return ["networks", str(int(done.sum())), remark + (f"; {left} left out" if left else "")]

    def columns(self) -> dict[str, Sequence[float]]:
        rows = self.rows
        names = ["seed", *SETTINGS, "steps", *SCORES, *self.shown, "own", "status"]
        return {n: rows[n].tolist() for n in names if n in rows}

    def settings(self) -> dict[str, Any]:
        return {**self.values, "study": self.study.name, "part": self.part_name(), **self.meta}


def change_row(title: str, change: Contrast, ends: str, *, ratio: bool = False) -> list[str]:
    """A row of the numbers: how a column changes, with its interval and what that says.

    >>> change_row("loss gap", Contrast(0.2, 0.1, 0.3, 5), "b = 8 to 512")
    ['loss gap', 'rises', 'b = 8 to 512: by 0.200, 95%: 0.100 to 0.300, 5 seeds']
    """
    if change.count == 0:
        return [title, "–", f"{ends}: no finished pair"]
    values = [change.mean, change.low, change.high]
    if ratio:
        import math

        mean, low, high = (short(math.exp(v)) for v in values)
        text = f"× {mean}, 95%: {low} to {high}"
    else:
        mean, low, high = map(short, values)
        text = f"by {mean}, 95%: {low} to {high}"
    return [title, change.word, f"{ends}: {text}, {change.count} seeds"]
