"""Page 10: four regularisers, what each moves, and in which direction."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pandas as pd

from kit.contrast import NOT_SEEN, Contrast, contrast
from kit.live.curves import Axis, Curves
from kit.live.evidence import RUN, Evidence, change_row
from kit.live.palette import GAP, JACOBIAN, LOSS, SHARPNESS
from kit.live.picture import Picture
from kit.live.question import Question
from kit.live.scene import Beat, Control
from kit.live.text import short
from kit.studies import REGULARISERS, STRENGTHS

NAMES = {
    "weight_decay": "weight decay μ",
    "label_smoothing": "label smoothing s",
    "sam_radius": "SAM radius ρ",
    "mixup": "mixup a",
}
COLUMNS = {
    "sharpness": "sharpness λ",
    "jacobian_max": "max ‖J‖₂",
    "loss_gap": "gap of the loss",
    "error_gap": "gap of the 0-1 error",
}
COLOURS = {
    "sharpness": SHARPNESS,
    "jacobian_max": JACOBIAN,
    "loss_gap": GAP,
    "error_gap": GAP,
}
RATIO = ("sharpness", "jacobian_max")
CHOICES = ("it rises", "it falls", "no difference is seen")


class Steep(Curves):
    title = "Sharpness and Jacobian norm"
    axes_of = (
        Axis("sharpness", "sharpness λ", SHARPNESS, log=True),
        Axis("jacobian_max", "max ‖J‖₂", JACOBIAN, log=True),
    )


class Gaps(Curves):
    title = "Both gaps"
    axes_of = (
        Axis("loss_gap", "gap of the loss", GAP),
        Axis("error_gap", "gap of the 0-1 error", GAP),
    )


class Reached(Curves):
    title = "What was reached"
    axes_of = (Axis("train_loss", "training loss reached, without penalty", LOSS, log=True),)


class Signs(Picture):
    """From none to the chosen strength: the change of four columns for each regulariser."""

    def build(self, figure) -> None:
        figure.text(
            0.012,
            0.962,
            "from none to the strength that is set: change and 95% interval",
            fontsize=9,
            va="center",
            color="#222222",
        )
        self.axs = {}
        for k, (name, title) in enumerate(COLUMNS.items()):
            place = (0.205 + 0.2 * k, 0.15, 0.178, 0.68)
            title = title.replace("gap of the ", "gap, ").replace("0-1 ", "")
            ax = self.axes(figure, "ratio" if name in RATIO else "difference", "", title, place)
            ax.title.set_fontsize(8)
            ax.xaxis.label.set_fontsize(7.6)
            ax.set_ylim(3.6, -0.6)
            ax.set_yticks(range(4), [t.rsplit(" ", 1)[0] for t in NAMES.values()] if k == 0 else [])
            ax.tick_params(axis="y", length=0, labelsize=7.8)
            ax.tick_params(axis="x", labelsize=7)
            ax.axvline(1 if name in RATIO else 0, color="#888888", lw=1)
            self.axs[name] = ax
        self._artists: list = []

    def update(self, scene):
        for artist in self._artists:
            artist.remove()
        self._artists = []
        for name, ax in self.axs.items():
            reach = 0.0
            for row, setting in enumerate(NAMES):
                change = scene.changes[setting].get(name) if scene.revealed else None
                strong = setting == scene.values["chosen"]
                if change is None or not math.isfinite(change.low):
                    text = "not for mse" if setting not in scene.settings_in_view() else "none set"
                    middle = ax.transAxes.inverted().transform(ax.transData.transform((0, row)))[1]
                    self._artists.append(
                        ax.text(
                            0.5,
                            middle,
                            text if scene.revealed else "?",
                            ha="center",
                            va="center",
                            fontsize=6.8,
                            color="#777777",
                            transform=ax.transAxes,
                        )
                    )
                    continue
                ends = np.array([change.low, change.mean, change.high])
                reach = max(reach, np.abs(ends).max())
                ends = np.exp(ends) if name in RATIO else ends
                look = {"color": COLOURS[name], "alpha": 1.0 if change.word != NOT_SEEN else 0.45}
                self._artists += ax.plot(ends[[0, 2]], [row, row], "-", lw=2, **look)
                self._artists += ax.plot(
                    ends[1:2],
                    [row],
                    "o",
                    ms=8 if strong else 5,
                    mec="black",
                    mew=1.1 if strong else 0,
                    **look,
                )
            reach = 1.15 * reach or 0.1
            if name in RATIO:
                ax.set_xscale("log")
                ax.set_xlim(math.exp(-reach), math.exp(reach))
                tick = max(
                    t for t in (1.05, 1.1, 1.2, 1.5, 2, 3, 5, 10, 20, 50) if t < math.exp(reach)
                )
                ax.set_xticks([1 / tick, 1, tick], [f"×{1 / tick:.2g}", "1", f"×{tick:g}"])
                ax.minorticks_off()
            else:
                ax.set_xlim(-reach, reach)
                ax.locator_params(axis="x", nbins=3)
        return scene.seen()

    def alt(self, scene) -> str:
        if not scene.revealed:
            return "Four regularisers against four numbers. Now: 0 of 16 changes are shown."
        parts = []
        for setting, changes in scene.changes.items():
            words = [f"{COLUMNS[n]} {c.word}" for n, c in changes.items()]
            if words:
                parts.append(f"{NAMES[setting]} {scene.values[setting]:g}: {', '.join(words)}")
        return f"From none to what is set. Now: {'; '.join(parts) or 'all 0, nothing is set'}."


class Regularisers(Evidence):
    """What do regularisers change? One slider each; the last one moved is drawn in full."""

    title = "What do regularisers change?"
    study = REGULARISERS
    shown = ("sharpness", "invariant_sharpness_layer", "jacobian_max")
    controls = (
        RUN,
        *(
            Control(
                name,
                title.removeprefix("label "),
                title,
                tip,
                values=STRENGTHS[name],
                bar=name == "weight_decay",
            )
            for (name, title), tip in zip(
                NAMES.items(),
                (
                    "Adds μ/2 ‖θ‖² to what is descended",
                    "Targets between one and the mean of all: cross-entropy only",
                    "Takes the gradient at θ + ρ g/|g|",
                    "Trains on mixed pairs, weights from Beta(a, a)",
                ),
                strict=True,
            )
        ),
        Control(
            "loss",
            "cost",
            "cost",
            "What is descended: one click switches the sign of some effects",
            options={"cross-entropy": "cross_entropy", "mse": "mse"},
        ),
        Control(
            "data",
            "data",
            "data",
            "Signals, or images of digits",
            options={"MNIST-1D": "mnist1d", "digits": "digits"},
        ),
    )
    pictures: ClassVar = {"signs": Signs, "steep": Steep, "gaps": Gaps, "reached": Reached}
    question = Question(
        "Networks learned MNIST-1D with cross-entropy. Weight decay pulls all weights towards 0. "
        "From none to μ = 0.01: what does the sharpness of the loss do?",
        choices=CHOICES,
        because="Without decay the network becomes certain, and where p̂ is near 0 or 1 the cost is "
        "flat. Decay keeps it from that: the loss is sharper, the function less steep, the gap "
        "smaller. Flatness is a false friend here. Now switch the cost to mse.",
    )
    beats = (
        Beat("weight decay under cross-entropy: sharper, and a smaller gap.", (("reset", None),)),
        Beat("the same under mse: flatter, and a smaller gap.", (("loss", "mse"),)),
        Beat("label smoothing.", (("loss", "cross_entropy"), ("label_smoothing", 0.3))),
        Beat("digits, SAM: the flattest at 0.2.", (("data", "digits"), ("sam_radius", 0.2))),
        Beat("and at 0.5 sharper again: not monotone.", (("sam_radius", 0.5),)),
    )

    def start(self) -> None:
        self.values = {"weight_decay": 0.01, "label_smoothing": 0.1, "sam_radius": 0.1}
        self.values |= {"mixup": 0.3, "loss": "cross_entropy", "data": "mnist1d"}
        self.values["chosen"] = "weight_decay"
        self._tables: dict[str, pd.DataFrame] = {}
        self.status = "Kept networks." if self.revealed else "Kept networks without weight decay."

    def part_name(self) -> str:
        return self._part_of(self.values["chosen"])

    def _part_of(self, setting: str) -> str:
        return f"{self.values['data']}, {self.values['loss']}, {setting}"

    def settings_in_view(self) -> list[str]:
        """The regularisers that go with the chosen cost."""
        return [name for name in NAMES if self._part_of(name) in self.study.parts]

    def changed(self, name: str) -> None:
        if name in NAMES:
            self.values["chosen"] = name
        if self.values["chosen"] not in self.settings_in_view():
            if name == "label_smoothing":
                self.values["loss"] = "cross_entropy"
                self.status = "Label smoothing goes with cross-entropy: the cost was switched."
            else:
                self.values["chosen"] = "weight_decay"
                self.status = "Label smoothing is for cross-entropy; weight decay is shown."
        self.look()

    def look(self) -> None:
        self._table = self.rows
        self.changes: dict[str, dict[str, Contrast]] = {name: {} for name in NAMES}
        for setting in self.settings_in_view():
            strength = self.values[setting]
            if strength:
                rows = self.rows_of(self._part_of(setting))
                self.changes[setting] = {
                    name: contrast(rows, name, setting, 0.0, strength, relative=name in RATIO)
                    for name in COLUMNS
                }

    # What the pictures ask for.

    def table(self) -> pd.DataFrame:
        rows = self._table
        return rows if self.revealed else rows[rows[self.values["chosen"]] == 0]

    def settings_of(self, column: str):
        return STRENGTHS[column]

    def varied(self) -> tuple[str, str, bool]:
        return self.values["chosen"], NAMES[self.values["chosen"]], True

    def marked(self) -> float:
        return self.values[self.values["chosen"]]

    def lines(self):
        rows = self.table()
        return [("", pd.Series(data=True, index=rows.index))]

    def seen(self):
        return len(self._table), self.revealed, tuple(self.values.items())

    # What is said.

    def answer(self) -> str:
        """From the kept rows: sharpness under cross-entropy, from no weight decay to 0.01."""
        rows = self.rows_of("mnist1d, cross_entropy, weight_decay")
        change = contrast(rows, "sharpness", "weight_decay", 0.0, 0.01, relative=True)
        return CHOICES[{"rises": 0, "falls": 1}.get(change.word, 2)]

    def phase(self) -> str:
        if not self.revealed:
            return "Kept networks without weight decay. What does it do?"
        chosen = self.values["chosen"]
        changes = self.changes[chosen]
        if not changes:
            return f"No {NAMES[chosen]} is set: turn its slider up.{self.progress()}"
        said = ", ".join(f"{COLUMNS[name]}: {change.word}" for name, change in changes.items())
        return f"{NAMES[chosen]} from 0 to {self.marked():g}: {said}.{self.progress()}"

    def numbers(self) -> list[list[str]]:
        if not self.revealed:
            return [self.source()]
        chosen = self.values["chosen"]
        ends = f"{NAMES[chosen]} from 0 to {self.marked():g}"
        rows = [
            change_row(COLUMNS[name], change, ends, ratio=name in RATIO)
            for name, change in self.changes[chosen].items()
        ]
        at = self._table[(self._table[chosen] == self.marked())]
        reached = at[at["status"] == "done"]["train_loss"]
        remark = f"at {self.marked():g}, mean of {len(reached)}; cost of clean, hard labels"
        rows.append(["training loss", short(float(reached.mean())), remark])
        rows.append(self.source())
        return rows

    def reveal(self) -> None:
        self.status = "Kept networks. Turn a slider; switch the cost."
