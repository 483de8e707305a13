"""Page 6: the steepest of n samples against the steepest place there is, in one to four dimensions.

>>> scene = Steepness()
>>> scene.show()
>>> scene.values["d"], scene.answer()
(4, '16 times')
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, ClassVar

import numpy as np

from kit.covering import cube_covering_radius
from kit.live.question import Question
from kit.live.scene import Beat, Control, Scene
from kit.live.steepness_pictures import (
    NS,
    ORDER,
    Covering,
    Estimate,
    Function,
    Rate,
    largest_bound,
    largest_seen,
    signed,
)
from kit.live.text import short
from kit.steepness import (
    AdditiveFunction,
    covering_search,
    draw,
    embedding,
    measured_slope,
    shortfalls,
)

OPENING = 64  # samples that the pictures go up to before the answer
FIT = NS >= 64  # where a slope is measured
BATCH, MOST = 40, 200  # draws of a run, and of all
AT_ONCE = 40  # portions of work on the radius of the reader's own sample
RADII = 3  # draws whose radii are there when the answer is
FUNCTIONS = {"pointed peak": "pointed", "rounded peak": "rounded", "ReLU network": "network"}
DIMENSIONS = (1, 2, 3, 4)
LOOKING = "Looking for the covering radius of each draw. Turn anything meanwhile."
NEXT = "Turn d, n or the function"
CONFIDENCES = (0.5, 0.8, 0.9, 0.95, 0.99)
FACTORS = {2: "2 times", 4: "4 times", 8: "8 times", 16: "16 times"}


class Steepness(Scene):
    """Can samples tell how steep a function is? The largest ||J|| of n samples, many times over.

    `shortfall_rows` and `radius_rows` hold what each draw gave for every n of `NS`. A draw is
    one of NS[-1] samples, of which the first n are taken.
    """

    title = "Can samples tell how steep a function is?"
    controls = (
        Control("run", "Run", "Run or pause", "Find covering radii, then draw more"),
        Control("new", "Redraw", "Redraw the samples", "Other samples, for the first picture"),
        Control("reset", "Reset", "Reset", "Back to one dimension and 16 samples"),
        Control(
            "n",
            "samples n",
            "number of samples n",
            "How many places are looked at",
            values=tuple(int(n) for n in NS),
            bar=True,
            shows="estimate",
        ),
        Control(
            "d",
            "dimension d",
            "intrinsic dimension d",
            "Of the 8 inputs so many directions vary in the data",
            values=DIMENSIONS,
            bar=True,
            shows="rate",
        ),
        Control(
            "function",
            "function",
            "function",
            "Shape of its steepness around the steepest place",
            options=FUNCTIONS,
            shows="function",
        ),
        Control(
            "confidence",
            "confidence",
            "confidence, one minus p",
            "With this probability the promise of Theorem A holds",
            values=CONFIDENCES,
            form="{:.0%}",
            shows="estimate",
        ),
    )
    pictures: ClassVar = {"function": Function, "estimate": Estimate, "rate": Rate}
    pictures |= {"cover": Covering}
    question = Question(
        "With one input, twice as many samples halve what the steepest of them misses of the "
        "largest slope (third picture). Now four inputs vary. How many times as many samples does "
        "it take to halve it?",
        choices=tuple(FACTORS.values()),
        because="To have the nearest sample half as far from the steepest place takes twice as "
        "many in each of the four directions: 2 × 2 × 2 × 2.",
    )
    beats = (
        Beat(
            "sixteen slopes of one curve. None is above the largest there is.",
            (("reset", None), ("n", 16)),
        ),
        Beat("more samples: the largest comes nearer, from below.", (("reset", None), ("n", 256))),
        Beat(
            "two inputs: the same number of samples, further from the peak.",
            (("reset", None), ("d", 2), ("n", 256)),
        ),
        Beat(
            "four inputs: even the nearest of 256 samples is far away.",
            (("reset", None), ("d", 4), ("n", 256)),
        ),
        Beat(
            "a rounded peak is forgiving: twice the slope.",
            (("reset", None), ("function", "rounded"), ("d", 2), ("n", 256)),
        ),
        Beat(
            "a ReLU network: all or nothing. A narrow steep piece is hit, or it is missed.",
            (("reset", None), ("function", "network"), ("d", 2), ("n", 64)),
        ),
        Beat(
            "what can be promised of a function one does not know: Theorem A, at 99%.",
            (("reset", None), ("d", 2), ("n", 1024), ("confidence", 0.99)),
        ),
    )

    def begin(self) -> None:
        self.values = {"function": "pointed", "d": 1, "n": 16, "confidence": 0.95}
        self.draw = 0
        self._anew(complete=BATCH)
        self.running, self.ghost = False, None
        self.status = "Turn the dimension d." if self.revealed else ""

    def changed(self, name: str) -> None:
        if name in ("function", "d"):
            self._anew()
            self.running = True
            self.status = LOOKING
            return
        self._sample()
        if name == "confidence":
            self.status = self._jumps()
        elif self.running:
            self.status = LOOKING
        else:
            self.status = f"The first {self.values['n']} samples of draw {self.draw}."

    def _jumps(self) -> str:
        """Where on its slider the confidence moves the promised radius, which it does in jumps."""
        n, d = self.values["n"], self.f.d
        radii = [cube_covering_radius(n, d, 1 - c) for c in CONFIDENCES]
        now = radii[CONFIDENCES.index(self.values["confidence"])]
        same = [c for c, r in zip(CONFIDENCES, radii, strict=True) if r == now]
        root = "1" if d == 1 else "2" if d == 4 else f"√{d}"
        formula = f"{root}/{round(math.sqrt(d) / now)} = {short(now)}"
        reach = f"from {same[0]:.0%} to {same[-1]:.0%}" if len(same) > 1 else f"at {same[0]:.0%}"
        everywhere = ", all of the slider" if len(same) == len(CONFIDENCES) else ""
        whole = "√d over a whole number, so it moves in jumps"
        return f"The promised radius for n = {n} is {formula} {reach}{everywhere}: {whole}."

    def pressed(self, name: str) -> None:
        if name == "new":
            self.draw += 1
            self._sample()
            self.status = f"Draw {self.draw}: other samples of the same law."
        elif self.running:
            self.running, self.status = False, "Paused."
        elif self.complete:
            self.status = self.idle()["run"]
        else:
            if len(self.radius_rows) >= self.target:
                self.target = min(self.target + BATCH, MOST)
                self._work = self._resampling()
            self.running, self.status = True, LOOKING

    @property
    def complete(self) -> bool:
        return len(self.radius_rows) >= MOST

    def idle(self) -> Mapping[str, str]:
        if not self.complete:
            return {}
        return {"run": f"All {MOST} draws are done: more would change little. {NEXT}."}

    def advance(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while self.running and time.perf_counter() < end:
            if next(self._work, "done") == "done":
                self.running = False
                more = f"{NEXT}. Run makes {BATCH} draws more."
                done = f"All {self.target} draws are done"
                self.status = self.idle().get("run") or f"{done}. {more}"

    def reveal(self) -> None:
        self.do("d", 4)
        while len(self.radius_rows) < RADII:
            next(self._work)
        self.running = False
        self.status = "Now d = 4; the grey line is d = 1. Turn d, then n."

    def answer(self) -> str:
        """The factor in n that halves the shortfall for d = 4, from the slope over draws."""
        f = AdditiveFunction("pointed", 4)
        rows = [shortfalls(f, draw(NS[-1], 4, k), NS) for k in range(BATCH)]
        slope, _ = measured_slope(NS[FIT], np.array(rows)[:, FIT])
        nearest = min(FACTORS, key=lambda factor: abs(math.log2(factor) + 1 / slope))
        return FACTORS[nearest]

    # What follows from the controls.

    def _anew(self, complete: int = 0) -> None:
        """Another function: drawing begins again, and the last mean stays as a ghost."""
        if self.revealed and getattr(self, "shortfall_rows", None):
            name = next(k for k, v in FUNCTIONS.items() if v == self.f.shape)
            self.ghost = f"{name}, d = {self.f.d}", np.array(self.shortfall_rows).mean(0)
        self.f = AdditiveFunction(self.values["function"], self.values["d"])
        self.shortfall_rows: list[np.ndarray] = []
        self.radius_rows: list[list[tuple[float, float]]] = []
        for k in range(BATCH):
            self._add_shortfalls(k)
        self.target = complete
        for _ in self._resampling():
            pass
        self.target = BATCH
        self._work = self._resampling()
        self._sample()

    def _add_shortfalls(self, k: int) -> None:
        if len(self.shortfall_rows) == k:
            self.shortfall_rows.append(shortfalls(self.f, draw(NS[-1], self.f.d, k), NS))

    def _resampling(self) -> Iterator[None]:
        """One draw after the other, in portions of some milliseconds."""
        while (k := len(self.radius_rows)) < self.target:
            self._add_shortfalls(k)
            U, row = draw(NS[-1], self.f.d, k), []
            for n in NS:
                row.append((0.0, math.inf))
                for closer in covering_search(U[:n]):
                    row[-1] = closer
                    yield
            self.radius_rows.append(row)

    def _sample(self) -> None:
        """The sample of the first picture, and Theorem A for the first n of its draw."""
        d, n = self.f.d, self.values["n"]
        U = draw(NS[-1], d, self.draw)
        self.sample = U[:n]
        norms = self.f.norms(U)
        self.norms = norms[:n]
        self.shortfall = float(shortfalls(self.f, self.sample, [n])[0])
        self.largest_so_far = np.maximum.accumulate(norms)[NS - 1]
        failure = 1 - self.values["confidence"]
        self.promised = np.array([cube_covering_radius(int(m), d, failure) for m in NS])
        self.upper = np.array(
            [
                float((norms[:m] + self.f.variation(U[:m], r)).max())
                for m, r in zip(NS, self.promised, strict=True)
            ]
        )
        *_, self.own_radius = islice(covering_search(self.sample), AT_ONCE)

    # What is seen.

    @property
    def seen(self) -> int:
        """How many of NS the pictures show."""
        return len(NS) if self.revealed else int((NS <= OPENING).sum())

    @property
    def table(self) -> np.ndarray:
        """Shortfalls (draws, n)."""
        return np.array(self.shortfall_rows)[:, : self.seen]

    @property
    def radii_shown(self) -> np.ndarray:
        """Radii (draws, n, 2), from and to."""
        return np.array(self.radius_rows)[:, : self.seen] if self.radius_rows else np.empty(0)

    @property
    def slope(self) -> tuple[float, float]:
        """Of the mean shortfall from n = 64 on, and its standard error."""
        return measured_slope(NS[FIT], np.array(self.shortfall_rows)[:, FIT])

    @property
    def floor(self) -> float:
        """The lower end of the log axis of shortfalls."""
        values = self.table.mean(0)
        least = float(values[values > 0].min())
        if self.ghost is not None:
            before = self.ghost[1]
            least = min(least, max(float(before[before > 0].min()), 2e-3))
        return 10.0 ** min(math.floor(math.log10(0.6 * least)), -2)

    def phase(self) -> str:
        n, true = self.values["n"], self.f.lipschitz
        largest = float(self.norms.max())
        at = list(NS).index(n)
        if self.shortfall == 0:
            said = f"In this draw one of {n} samples lies on the steepest piece: nothing is missing"
        else:
            share = math.floor(1000 * largest / true) / 10  # never rounded up to all of it
            said = f"In this draw the steepest of {n} samples has {share:g}% of the largest ‖J‖"
        shares = np.floor(1000 * largest_seen(self)[:, at] / true) / 10
        draws = len(self.shortfall_rows)
        said += f"; in {draws} draws {shares.min():g}% to {shares.max():g}%."
        if self.running:
            k = min(len(self.radius_rows) + 1, self.target)
            said += f" Covering radius of draw {k} of {self.target}."
        return said

    def numbers(self) -> list[list[str]]:
        d, n = self.f.d, self.values["n"]
        largest = float(self.norms.max())
        at = list(NS).index(n)
        missing = np.array(self.shortfall_rows)[:, at]
        error = missing.std(ddof=1) / math.sqrt(len(missing))
        rows = [
            ["samples n", f"{n}", f"draw {self.draw}; {d} of {len(embedding(d))} inputs vary"],
            ["largest ‖J‖ seen", short(largest, 4), "of these samples"],
            ["true constant", short(self.f.lipschitz), "the largest ‖J‖ anywhere; exact here"],
            [
                "shortfall",
                "0" if self.shortfall == 0 else short(self.shortfall),
                f"what is missing; over {len(missing)} draws {short(missing.mean())} ± "
                f"{short(error, 2)}",
            ],
        ]
        if not self.revealed:
            return rows
        own = largest_bound(self)
        rows.append(
            [
                "at most (Theorem A)",
                short(self.upper[at]),
                f"no place is steeper, with {self.values['confidence']:.0%} confidence; by these "
                f"samples' own radius {short(own)}",
            ]
        )
        low, high = self.own_radius
        about = short(high) if low == high else f"{short(low)} to {short(high)}"
        promise = f"no place is further from a sample; promised: {short(self.promised[at])}"
        rows.append(["covering radius r", about, promise])
        rows += self._rates(d)
        k = len(self.radius_rows)
        rows.append(["covering radii", f"{k} of {self.target}", "draws of up to 2048 samples"])
        return rows

    def _rates(self, d: int) -> list[list[str]]:
        slope, error = self.slope
        if self.f.shape not in ORDER:
            hits = [int((np.array(self.shortfall_rows)[:, j] == 0).sum()) for j in (4, -1)]
            m = len(self.shortfall_rows)
            return [["found exactly", f"{hits[1]} of {m}", f"at n = 2048; {hits[0]} at n = 64"]]
        order = ORDER[self.f.shape]
        told = f" ± {error:.2f}" if error >= 0.005 else ""
        beside = f"from n = 64 on; beside −1/d = {signed(-1 / d)}"
        power = "2^d" if order == 1 else "2^(d/2)"
        if order == 2:
            beside += f" and −2/d = {signed(-2 / d)}"
        return [
            ["measured slope", f"{signed(slope)}{told}", beside],
            [
                "to halve the shortfall",
                f"n × {2 ** (-1 / slope):.3g}",
                f"{power} in the limit",
            ],
        ]

    def columns(self) -> dict[str, list[float]]:
        """A row for each draw and n; radii are empty until they are found."""
        names = ("draw", "n", "largest", "shortfall", "radius from", "radius to")
        columns: dict[str, list[float]] = {name: [] for name in names}
        for k, row in enumerate(self.table):
            radii = self.radius_rows[k] if k < len(self.radius_rows) else []
            for j, missing in enumerate(row):
                low, high = radii[j] if radii else (math.nan, math.nan)
                values = (k, int(NS[j]), self.f.lipschitz - missing, missing, low, high)
                for name, value in zip(names, values, strict=True):
                    columns[name].append(value if isinstance(value, int) else float(value))
        return columns

    def settings(self) -> dict[str, Any]:
        return self.values | {
            "draw": self.draw,
            "draws": len(self.shortfall_rows),
            "seeds": "draw k: numpy default_rng([k, d])",
            "true constant": self.f.lipschitz,
        }
