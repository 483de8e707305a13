"""Page 7: bounds from the Jacobian while a network learns, and a PAC-Bayes certificate."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from kit.certificate import Certificate, HalfPrior, Pair, hold_out_bound
from kit.live.question import Question
from kit.live.scene import Beat, Control, Scene
from kit.live.session import ready_process
from kit.live.text import short
from kit.live.worth_course import DEGREE, EVERY, LR, Course
from kit.live.worth_pictures import (
    CHANCE,
    DRAWS,
    FAILURE,
    SIGMAS,
    STEPS,
    Bounds,
    Curse,
    Noise,
    Shares,
)

SEEN = 60  # steps before the answer
SIZES = (20, 50, 100, 200, 500, 1000)
ALPHAS = (0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0)
WHAT = {"digits": "digits", "mnist1d": "signals"}
FIRST, MORE = 4, 20  # draws of the noise at once, and in one go
WELL, NEARLY = 0.5, 0.8  # certified errors: well below chance; barely below it
PAUSED = 3.0  # seconds without work that do not count
DONE = f"All {DRAWS} draws are done. Turn σ or α."
NEXT = "Turn n, or choose PAC-Bayes."
OF_SLOPES = "n and Restart are of the Jacobian bounds."
OF_NOISE = "σ and α are of PAC-Bayes: choose it under “bound”."
CHOICES = ("it falls as well", "it stays within 5%", "it rises")


class Worth(Scene):
    """Can a bound be worth anything? G1 to G3 along a run; a certificate at each noise.

    `course` is the run of the Jacobian bounds; `certificate` that of the pair `certified`. Run
    trains the one, or refines the other, whichever the control `bound` says.
    """

    title = "Can a bound be worth anything?"
    controls = (
        Control("run", "Run", "Run or pause", "Train, or draw more noise"),
        Control("again", "Restart", "Back to the start of the run", "Back to step 0"),
        Control(
            "bound",
            "bound",
            "which bound",
            "From the slopes of network and target, or from noise on the weights",
            options={"Jacobian bounds": "jacobian", "PAC-Bayes": "pac"},
            bar=True,
        ),
        Control(
            "n",
            "samples n",
            "samples n, of the Jacobian bounds",
            "Of the Jacobian bounds: a new run",
            values=SIZES,
            bar=True,
            shows="bounds",
        ),
        Control(
            "sigma",
            "noise σ",
            "noise sigma, of PAC-Bayes",
            "Of PAC-Bayes: standard deviation of the noise on each weight",
            values=SIGMAS,
            bar=True,
            shows="noise",
        ),
        Control(
            "data",
            "data",
            "data",
            "A curve, where every term is known; images of digits; signals",
            options={
                "a curve (Chebyshev polynomial)": "chebyshev",
                "images of digits": "digits",
                "signals (MNIST-1D)": "mnist1d",
            },
            group="Of both bounds",
        ),
        Control(
            "alpha",
            "rescaling α",
            "rescaling alpha, of PAC-Bayes",
            "First layer times α, last divided by it: the same function",
            values=ALPHAS,
            form="×{:g}",
            group="Of PAC-Bayes, with σ",
            shows="noise",
        ),
        Control(
            "noise",
            "σ is",
            "what the noise is tied to",
            "The same for every weight, or in units of the size of the prior's block",
            options={"the same for all weights": "same", "tied to the size of weights": "tied"},
            group="Of PAC-Bayes, with σ",
            shows="noise",
        ),
    )
    pictures: ClassVar = {"bounds": Bounds, "shares": Shares, "curse": Curse, "noise": Noise}
    question = Question(
        "A network learns a curve from 20 points, and its training cost goes to zero. Every term "
        "of a bound on its expected cost is known. What does the best such bound do meanwhile?",
        choices=CHOICES,
        because="To fit the curve the network must become steep, and the bound pays for its slope. "
        "Then turn n.",
    )
    beats = (
        Beat("the cost falls, and the bound on it rises.", (("reset", None), ("run", None))),
        Beat("ten times as many samples: the same theorem says something.", (("n", 200),)),
        Beat("64 dimensions: an estimate only, and it says nothing.", (("data", "digits"),)),
        Beat("another bound, the same digits: well below chance.", (("bound", "pac"),)),
        Beat("with little noise, KL takes it all.", (("sigma", 0.03),)),
        Beat("the same function, rescaled: another bound.", (("sigma", 0.1), ("alpha", 2.0))),
        Beat("MNIST-1D: barely below chance.", (("alpha", 1.0), ("data", "mnist1d"))),
    )

    def begin(self) -> None:
        ready_process()
        self.values = {"bound": "jacobian", "data": "chebyshev", "n": SIZES[0]}
        self.values |= {"sigma": 0.1, "alpha": 1.0, "noise": "same"}
        self.running = self.working = False
        self.past: tuple[Sequence[float], Sequence[float]] = ((), ())
        self.preparing: HalfPrior | None = None
        self.certified, self._pairs = "digits", {"digits": _digits()}
        self._certificates: dict[tuple, Certificate] = {}
        self._certify()
        self._pace = Pace()
        self._measured: tuple[Any, tuple[float, float]] | None = None
        self._start()
        self.course.go(SEEN)
        self.status = "The run has begun."

    def _start(self) -> None:
        before = getattr(self, "course", None)
        name, n = self.values["data"], self.values["n"]
        same = before is not None and (before.name == name) and before.n != n
        self.past = (before.rows["step"], before.rows["best"]) if same else ((), ())
        self.course = Course(name, n)

    def _certify(self) -> None:
        """The certificate of the present data, rescaling and noise; its first draws at once."""
        self.certificate = self._certificate(self.values["alpha"])

    def _certificate(self, alpha: float) -> Certificate:
        key = (self.certified, alpha, self.values["noise"])
        if key not in self._certificates:
            self._certificates[key] = Certificate(
                self._pairs[self.certified],
                SIGMAS,
                alpha=alpha,
                tied=self.values["noise"] == "tied",
                settings=2 * len(ALPHAS),
                failure=FAILURE,
            )
            self._certificates[key].draw(FIRST)
        return self._certificates[key]

    @property
    def pair(self) -> Pair:
        return self._pairs[self.certified]

    @property
    def plain(self) -> Certificate | None:
        """The certificate of the network that is not rescaled, beside that of one that is."""
        found = self._certificates.get((self.certified, 1.0, self.values["noise"]))
        moved = self.values["alpha"] != 1 and found is not None
        return found if moved and finished(found) else None

    @property
    def here(self) -> int:
        return SIGMAS.index(self.values["sigma"])

    @property
    def pac(self) -> bool:
        return self.values["bound"] == "pac"

    def changed(self, name: str) -> None:
        values, turned = self.values, self.pac and self.values["data"] == "chebyshev"
        turned = turned and name == "data"
        if name == "n" or (name == "data" and values["data"] == "chebyshev"):
            values["bound"] = "jacobian"
        elif name in ("sigma", "alpha", "noise"):
            values["bound"] = "pac"
        if not self.pac:
            self.preparing = None
            if (self.course.name, self.course.n) != (values["data"], values["n"]):
                self._start()
                self.course.go(EVERY)
            self.running, self.working = not self.course.ended, False
            self.status = "A run of the Jacobian bounds."
            if turned:
                self.status += " PAC-Bayes takes labels, and a curve has none."
            return
        if values["data"] == "chebyshev":
            values["data"] = "digits"  # the certificate takes labels
        if values["data"] in self._pairs:
            self.certified, self.preparing = values["data"], None
            self._certify()
            self.status = "PAC-Bayes: drawing noise." if self._left() else DONE
        elif self.preparing is None:
            self.preparing = HalfPrior(values["data"])
            self.status = "The prior is being trained, on half of the samples."
        self.running = self.working = self._left()

    def _left(self) -> bool:
        """Whether the certificate can still be refined."""
        return self.preparing is not None or not finished(self.certificate)

    def answers(self, name: str) -> str:
        if name == "bound":
            return "noise" if self.values["bound"] == "pac" else "bounds"
        return super().answers(name)

    def idle(self) -> Mapping[str, str]:
        if not self.pac:
            return dict.fromkeys(("sigma", "alpha", "noise"), OF_NOISE)
        done = {} if self._left() else {"run": DONE}
        return done | dict.fromkeys(("n", "again"), OF_SLOPES)

    def pressed(self, name: str) -> None:
        if name == "again":
            if self.pac:
                self.status = OF_SLOPES
                return
            self._start()
            self.running = False
            self.status = "At step 0. Press Run."
        elif self.pac:
            self.running = self.working = self._left() and not self.running
            self.status = ("Drawing." if self.running else "Paused.") if self._left() else DONE
        else:
            if self.course.ended and not self.running:
                self._start()
            self.running, self.working = not self.running, False
            self.status = "Running." if self.running else "Paused."

    def advance(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end and (self.running or self.working):
            if self.pac and not self.running:  # paused by the page
                self.working = False
                continue
            self._pace.note(*self._job(), time.perf_counter())
            if self.working:
                self._refine()
            else:
                self.course.go(EVERY)
                if self.course.ended:
                    self._arrive()

    def _job(self) -> tuple[Any, float]:
        """What is being worked on, and the share of it that is done."""
        if not self.working:
            return self.course, self.course.step / STEPS
        if self.preparing is not None:
            return self.preparing, self.preparing.progress
        return self.certificate, self.certificate.draws / DRAWS

    @property
    def remaining(self) -> str:
        """How long what is being worked on will take: ", about 20 s to go"."""
        job, share = self._job()
        if not (self.running or self.working) or share >= 1:
            return ""
        return self._pace.words(job, share)

    def _arrive(self) -> None:
        """The end of the run; then the certificate has its turn."""
        self.running, self.working = False, self._left()
        broken = self.course.training.diverged
        self.status = (
            f"{self.course.step} steps. {NEXT}" if broken is None else f"It broke: {broken.reason}."
        )

    def _refine(self) -> None:
        if self.preparing is not None:
            self.preparing.part(5)
            if not self.preparing.done:
                return
            self.certified = self.values["data"]
            self._pairs[self.certified] = self.preparing.pair
            self.preparing = None
            self._certify()
        else:
            draws = min(DRAWS - self.certificate.draws, MORE)
            self.certificate.draw(draws)
        if not self._left():
            self.working = False
            if self.pac:
                self.running, self.status = False, DONE

    def answer(self) -> str:
        """The best bound at the end of the run, against its value at the start."""
        course = Course("chebyshev", SIZES[0])
        start = course.best.value
        course.training.run(STEPS)
        ratio = course.calculator(course.training.model).value / start
        return CHOICES[1] if abs(ratio - 1) <= 0.05 else CHOICES[2 if ratio > 1 else 0]

    def reveal(self) -> None:
        self.running = True
        self.status = "Running. Then turn n, or choose PAC-Bayes."

    # What is shown.

    def phase(self) -> str:
        if not self.revealed:
            return ""
        if self.pac:
            if self.preparing is not None:
                done = f"{self.preparing.progress:.0%}{self.remaining}"
                return f"Prior and posterior are being trained: {done}."
            if not finished(self.certificate):
                drawn = f"{self.certificate.draws} of {DRAWS}{self.remaining}"
                return f"Noise is being drawn: {drawn}. The certificate comes with the last draw."
            value = self.certificate.values[self.here]
            return (
                f"With 95% confidence a network with noise σ = {self.values['sigma']:g} errs on at "
                f"most {at_most(value)} of new {WHAT[self.certified]}: {worth_of(value)}."
            )
        best = self.course.best
        says = "it says nothing (vacuous)" if best.vacuous else "it says something"
        what = "bound" if self.course.exact else "bound estimate"
        step = f"Step {self.course.step}{'' if self.working else self.remaining}"
        return (
            f"{step}: the best {what}, {best.form}, is {short(best.value)}, that "
            f"is {best.value / best.best_constant:.2g} times the cost of the best constant: {says}."
        )

    def numbers(self) -> list[list[str]]:
        return self._certificate_rows() if self.pac else self._course_rows()

    def _course_rows(self) -> list[list[str]]:
        course = self.course
        best, gap = course.best, f"{course.last('loss_gap'):.2g} ± {course.last('loss_gap_se'):.1g}"
        gap = f"−{gap[1:]}" if gap[0] == "-" else gap
        constant = course.calculator.best_constant
        rows = [
            ["step t", f"{course.step}", f"of {STEPS}; n = {course.n}"],
            ["training cost", short(course.last("train_loss")), f"best constant {short(constant)}"],
            ["measured gap", gap, "test less training cost, one standard error"],
        ]
        for form, bound in course.forms.items():
            says = "vacuous" if bound.vacuous else "not vacuous"
            rows.append([form, short(bound.value), f"{bound.kind}, {says}"])
        name, how = ("W", "exact") if best.form == "G3" else ("r", "95% quantile, held out")
        rows += [
            ["Lipschitz constant", short(best.terms["Lhat"]), "Λ_φ, of the cost in the input"],
            [f"distance {name}", short(course.distance), how],
            [f"{name} needed", short(course.needed), "for the bound to say something"],
        ]
        return rows

    def _certificate_rows(self) -> list[list[str]]:
        certificate, here = self.certificate, self.here
        if self.preparing is not None:
            trained = f"{self.preparing.progress:.0%}", f"of their training{self.remaining}"
            return [["prior and posterior", *trained]]
        tied = self.values["noise"] == "tied"
        draws = certificate.draws
        noisy = f"{certificate.noisy[here]:.3f} ± {certificate.error[here]:.1g}"
        promised = [["certificate", "not yet", f"it takes {DRAWS} draws; {draws} are done"]]
        if finished(certificate):
            best = int(certificate.values.argmin())
            value, least = certificate.values[here], certificate.values[best]
            at = f"at σ = {SIGMAS[best]:g}"
            promised = [
                ["certificate", f"{value:.3f}", f"{vacuity(value)}; 95%, all settings at once"],
                ["its smallest", f"{least:.3f}", f"{at}, {vacuity(least)}"],
            ]
        new, error = self._on_new_data()
        rows = [
            [
                "noise σ",
                f"{SIGMAS[here]:g}",
                "times each block's size" if tied else "on each weight",
            ],
            ["noisy error", noisy, f"on the other {certificate.n} samples, {draws} draws"],
            [
                "KL",
                short(certificate.kl[here]),
                f"nats; KL / n = {short(certificate.kl[here] / certificate.n)}",
            ],
            *promised,
            ["measured", f"{new:.3f} ± {error:.1g}", "noisy error on test data"],
            ["hold-out bound", f"{hold_out_bound(self.pair):.3f}", "the prior's network, no noise"],
        ]
        if self.plain is not None:
            rows.append(["at α = 1", f"{self.plain.values[here]:.3f}", "the same function"])
        return rows

    def _on_new_data(self) -> tuple[float, float]:
        key = (self.certified, *(self.values[name] for name in ("sigma", "alpha", "noise")))
        if self._measured is None or self._measured[0] != key:
            self._measured = key, self.certificate.on_new_data(self.values["sigma"])
        return self._measured[1]

    def columns(self) -> dict[str, Sequence[float]]:
        if not self.pac:
            return self.course.rows
        certificate = self.certificate
        columns = {"noisy_error": certificate.noisy, "standard_error": certificate.error}
        columns = {name: c.tolist() for name, c in (columns | {"kl": certificate.kl}).items()}
        values = certificate.values.tolist() if finished(certificate) else [math.nan] * len(SIGMAS)
        return {"sigma": list(SIGMAS)} | columns | {"certificate": values}

    def settings(self) -> dict[str, Any]:
        return {**self.values, "lr": LR, "degree": DEGREE, "seed": 0, "failure": FAILURE}


class Pace:
    """How long a job will still take at the pace so far; pauses do not count.

    >>> pace = Pace()
    >>> for share, now in ((0.0, 7.0), (0.1, 8.0), (0.2, 9.0), (0.2, 60.0), (0.3, 61.0)):
    ...     pace.note("a job", share, now)
    >>> pace.words("a job", 0.3), pace.words("another", 0.0)
    (', about 7 s to go', '')
    """

    def __init__(self) -> None:
        self._job: Any = None
        self._from = self._last = self._spent = 0.0

    def note(self, job: Any, share: float, now: float) -> None:
        """So much of it is done now; called while it is worked on."""
        if job != self._job:
            self._job, self._from, self._last, self._spent = job, share, now, 0.0
        if now - self._last < PAUSED:
            self._spent += now - self._last
        self._last = now

    def words(self, job: Any, share: float) -> str:
        """In seconds; "" until a second's work is done."""
        if job != self._job or self._spent < 1 or share <= self._from:
            return ""
        seconds = self._spent * (1 - share) / (share - self._from)
        step = 1 if seconds < 10 else 5
        return f", about {step * math.ceil(seconds / step - 1e-9)} s to go"


def at_most(value: float) -> str:
    """A limit in whole percent, rounded up: it has to hold.

    >>> at_most(0.262), at_most(0.25), at_most(1.0)
    ('27%', '25%', '100%')
    """
    return f"{math.ceil(100 * value - 1e-9)}%"


def worth_of(value: float) -> str:
    """What a certified error says, beside chance.

    >>> worth_of(0.26), worth_of(0.97)
    ('well below chance, 90%', 'above chance, 90%. That says nothing: it is vacuous')
    """
    if value >= CHANCE:
        return f"above chance, {CHANCE:.0%}. That says nothing: it is vacuous"
    if value >= NEARLY:
        return f"barely below chance, {CHANCE:.0%}. That says nearly nothing"
    return f"{'well ' if value < WELL else ''}below chance, {CHANCE:.0%}"


def vacuity(value: float) -> str:
    nearly = "nearly vacuous" if value >= NEARLY else "not vacuous"
    return "vacuous" if value >= CHANCE else nearly


def finished(certificate: Certificate) -> bool:
    """Whether all draws are done: the number of draws belongs to what is certified."""
    return certificate.draws >= DRAWS


@functools.cache
def _digits() -> Pair:
    """The pair that the page opens with: a fifth of a second's training."""
    training = HalfPrior("digits")
    while not training.done:
        training.part(100)
    return training.pair
