"""The pictures of page 12: tau of each measure in each column, and one column with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from kit.live.palette import INVARIANT, SHARPNESS
from kit.live.picture import INK, SOFT, Picture
from kit.registry import measures

TITLES = {
    "sharpness": "sharpness λ",
    "trace": "trace of H",
    "frobenius": "Frobenius norm of H",
    "keskar": "Keskar's ε-sharpness",
    "critical_sharpness": "critical sharpness",
    "batch_sharpness": "batch sharpness",
    "relative_flatness": "relative flatness",
    "minimum_sharpness": "minimum sharpness",
    "normalized_sharpness": "normalized sharpness",
    "adaptive_sharpness": "adaptive sharpness",
    "average_adaptive_sharpness": "average adaptive sh.",
    "invariant_sharpness_layer": "λ(S), layer metric",
    "invariant_sharpness_riemannian": "λ(H_q), Riemannian",
    "invariant_sharpness_elementwise": "λ, elementwise",
    "invariant_sharpness_path": "λ, path metric",
    "fisher_rao": "Fisher-Rao norm",
    "takeuchi": "Takeuchi's estimate",
    "soft_rank": "soft rank",
    "pac_bayes": "PAC-Bayes bound",
    "path_norm": "path norm",
    "jacobian_max": "max ‖J‖",
    "jacobian_mean": "mean ‖J‖",
    "train_loss": "training loss",
    "weight_decay": "weight decay μ",
    "lr": "learning rate η",
    "parameters": "parameters P",
}
BASELINES = ("train_loss", "weight_decay", "lr", "parameters")
NAMES = tuple(TITLES)
ROWS = (NAMES[:13], NAMES[13:])
HEADS = ("b", "η", "μ", "P", "seed", "mean", "all\nmixed")
COLUMNS = ("batch_size", "lr", "weight_decay", "parameters", "seed", "mean", "pooled")
SCALE = LinearSegmentedColormap.from_list("tau", [INVARIANT, "#ffffff", SHARPNESS])


class Heat(Picture):
    """Rows of measures, columns of what varies: tau in colour and number."""

    rows_of: ClassVar[Sequence[str]] = ROWS[0]
    title = "τ with the gap: rows measures, columns what varies alone …"

    def build(self, figure) -> None:
        place = (0.285, 0.02, 0.7, 0.81)
        self.ax = self.axes(figure, "", "", "", place)
        figure.text(0.012, 0.965, self.title, fontsize=9, color=INK, va="center")
        m = len(self.rows_of)
        self.ax.set_xlim(-0.5, len(COLUMNS) - 0.5)
        self.ax.set_ylim(m - 0.5, -0.5)
        self.ax.set_yticks(range(m), [TITLES[name] for name in self.rows_of], fontsize=7.6)
        for tick, name in zip(self.ax.get_yticklabels(), self.rows_of, strict=True):
            tick.set_color(colour_of(name))
        self.ax.xaxis.tick_top()
        self.ax.set_xticks(range(len(COLUMNS)), HEADS, fontsize=8.2)
        self.ax.tick_params(length=0)
        self.ax.spines[:].set_visible(False)
        self.ax.axvline(4.5, color="#888888", lw=0.8)
        self.ax.axvline(5.5, color="#222222", lw=1.4)
        self.image = self.ax.imshow(
            np.full((m, len(COLUMNS)), np.nan), cmap=SCALE, vmin=-1, vmax=1, aspect="auto"
        )
        self.cells = [
            [self.ax.text(j, i, "", ha="center", va="center", fontsize=7.4) for j in range(7)]
            for i in range(m)
        ]
        self.mark = self.ax.axhspan(-0.5, 0.5, fc="none", ec="#000000", lw=1.2)

    def update(self, scene):
        known = scene.known()  # before the answer one cell of it: sharpness, only b varied
        values = np.full((len(self.rows_of), len(COLUMNS)), np.nan)
        for i, name in enumerate(self.rows_of):
            for j, column in enumerate(COLUMNS):
                asked = scene.revealed or (name, column) == ("sharpness", "batch_size")
                tau = known[name][column] if name in known and asked else None
                text = ""
                if tau is not None and math.isfinite(tau.tau):
                    values[i, j] = tau.tau
                    sure = tau.low > 0 or tau.high < 0
                    text = f"{tau.tau:+.2f}" if sure else f"({tau.tau:+.2f})"
                elif tau is not None:
                    text = "·"
                self.cells[i][j].set_text(text.replace("-", "−"))
                dark = abs(values[i, j]) > 0.62
                self.cells[i][j].set_color("#ffffff" if dark else INK)
        self.image.set_data(values)
        here = scene.values["measure"] in self.rows_of
        self.mark.set_visible(here)
        if here:
            self.mark.set_y(self.rows_of.index(scene.values["measure"]) - 0.5)
        return scene.seen()

    def alt(self, scene) -> str:
        known = scene.known() if scene.revealed else {}
        parts = [
            f"{TITLES[name]} {taus['mean'].tau:+.2f} on the mean, {taus['pooled'].tau:+.2f} mixed"
            for name, taus in known.items()
            if name in self.rows_of
        ]
        text = "; ".join(parts) or f"nothing, before the answer; {len(self.rows_of)} rows wait"
        return f"Kendall's tau of each measure with the gap. Now: {text}."


class Intervals(Picture):
    """One column, sorted, with its intervals; baselines grey, invariant measures blue."""

    def build(self, figure) -> None:
        self.ax = self.axes(figure, "τ with the gap", "", "", (0.285, 0.13, 0.695, 0.775))
        self.ax.set_xlim(-1.03, 1.03)
        self.ax.axvline(0, color="#888888", lw=1)
        self._artists: list = []

    def update(self, scene):
        for artist in self._artists:
            artist.remove()
        self._artists = []
        column = scene.column
        known = scene.known() if scene.revealed else {}
        found = [
            (name, taus[column]) for name, taus in known.items() if math.isfinite(taus[column].tau)
        ]
        found.sort(key=lambda item: item[1].tau)
        for i, (name, tau) in enumerate(found):
            colour = colour_of(name)
            self._artists += self.ax.plot([tau.low, tau.high], [i, i], "-", color=colour, lw=1.3)
            marker = "s" if name in BASELINES else "o"
            self._artists += self.ax.plot([tau.tau], [i], marker, color=colour, ms=4)
        chosen = scene.values["measure"]
        labels = [TITLES[name] for name, _ in found]
        self.ax.set_ylim(-0.8, max(len(found), 1) - 0.2)
        self.ax.set_yticks(range(len(found)), labels, fontsize=6.1)
        for tick, (name, _) in zip(self.ax.get_yticklabels(), found, strict=True):
            tick.set_color(colour_of(name))
            tick.set_fontweight("bold" if name == chosen else "normal")
        what = HEADS[COLUMNS.index(column)].replace("\n", " ")
        only = what if column in ("mean", "pooled") else f"only {what} varies"
        self.ax.set_title(
            f"{only}; blue: survives rescaling, grey: free",
            fontsize=8.6,
            loc="left",
            pad=4,
            color=SOFT,
        )
        return scene.seen()

    def alt(self, scene) -> str:
        column = scene.column
        known = scene.known() if scene.revealed else {}
        found = [(taus[column].tau, name) for name, taus in known.items()]
        found = sorted(item for item in found if math.isfinite(item[0]))
        if not found:
            return "One column with its intervals. Now: 0 measures are ranked."
        (low, worst), (high, best) = found[0], found[-1]
        return (
            f"One column with its intervals. Now: {TITLES[best]} {high:+.2f} is highest, "
            f"{TITLES[worst]} {low:+.2f} lowest, of {len(found)}."
        )


def colour_of(name: str) -> str:
    """Blue: survives layer-wise rescaling; vermilion: does not; grey: a baseline."""
    if name in BASELINES:
        return "#555555"
    return "#0068a3" if "layer-wise" in measures()[name].invariances else "#ad4c00"
