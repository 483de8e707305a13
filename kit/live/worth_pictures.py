"""The pictures of page 7: bounds along a run, their parts, covering radii, a certificate."""

from __future__ import annotations

import math

import numpy as np

from kit.covering import regular_covering_radius
from kit.live.lettering import spread
from kit.live.palette import BOUND, GAP, LOSS, THRESHOLD
from kit.live.picture import INK, SOFT, Picture
from kit.live.text import short

STEPS = 1000  # of a run
TOP = 0.97  # of an axis: names of lines stand below
SIGMAS = (0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.14, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
DRAWS = 1000  # of the noise
SEEN_SIGMA = 0.03  # before the answer
FAILURE, CHANCE = 0.05, 0.9
NAMES = {"chebyshev": "a curve", "digits": "digits", "mnist1d": "MNIST-1D"}
DASHES = {"G1": ":", "G2": "--", "G3": "-"}
DIMENSIONS = {1: 2.0, 2: math.pi, 4: math.pi**2 / 2, 8: math.pi**4 / 24}  # volume of the unit ball
ORDERS = np.logspace(1, 8, 57)
SHADE = "#8c4a70"  # of BOUND, for letters


class Bounds(Picture):
    """Bounds, cost and gap, step by step."""

    def build(self, figure) -> None:
        place = (0.115, 0.14, 0.645, 0.765)
        self.ax = self.axes(figure, "step t", "cost", "", place)
        self.ax.set_yscale("log")
        self.ax.set_xlim(0, STEPS)
        self.ax.grid(axis="y", color="#e6e6e6", linewidth=0.7)
        self.lines, self.texts = {}, {}
        styles = {form: (BOUND, dash, 2.0) for form, dash in DASHES.items()}
        styles |= {"train_loss": (LOSS, "-", 1.6), "loss_gap": (GAP, "-", 1.6)}
        styles |= {"best constant": (THRESHOLD, "--", 1.2)}
        (self.past,) = self.ax.plot([], [], color="#c8c8c8", lw=1.4, animated=True)
        for name, (colour, dash, width) in styles.items():
            (self.lines[name],) = self.ax.plot(
                [], [], dash, color=colour, lw=width, animated=True, ms=4
            )
            ink = {BOUND: SHADE, GAP: "#2a6f97"}.get(colour, colour)
            self.texts[name] = self.ax.text(
                1.015, 0, "", transform=self.ax.transAxes, fontsize=8.5, color=ink, va="center"
            )
            self.texts[name].set_animated(True)
        self.moving = [self.past, *self.lines.values(), *self.texts.values()]

    def update(self, scene):
        course = scene.course
        words = {"train_loss": "training cost", "loss_gap": "|measured gap|"}
        words["best constant"] = "best constant\n(vacuous above)"
        words |= {form: f"{form} ({course.forms[form].kind})" for form in course.forms}
        kind = "bounds" if course.exact else "bound estimates"
        title = f"Jacobian {kind}: {NAMES[course.name]}, n = {course.n}{_before(scene)}"
        self.ax.set_title(title, fontsize=9.5, loc="left", pad=4)
        constant = course.calculator.best_constant
        low = constant / (30 if course.exact else 100)
        high = _above(1.2 * max(course.rows["G1"]))
        self.ax.set_ylim(low, high)
        ends = []
        for name, line in self.lines.items():
            values = np.abs(course.rows.get(name, []))
            steps = course.rows["step"][: len(values)]
            if name == "best constant":
                steps, values = [0, STEPS], values[-1:].repeat(2)
            line.set_data(steps, values)
            line.set_marker("o" if len(values) == 1 else "")
            self.texts[name].set_text(words.get(name, ""))
            if len(values):
                at = math.log(max(values[-1], low) / low) / math.log(high / low)
                ends.append((at, name))
        self.past.set_data(*scene.past)
        self._place(ends)
        return low, high, title

    def _place(self, ends) -> None:
        """The names at the ends of their lines, moved apart; one has two lines of letters."""
        lines = sorted([*ends, *((at, name) for at, name in ends if name == "best constant")])
        heights = spread([min(at, TOP) / TOP for at, _ in lines], 0.065)
        for name in {name for _, name in lines}:
            own = [TOP * h for h, (_, other) in zip(heights, lines, strict=True) if other == name]
            self.texts[name].set_y(sum(own) / len(own))

    def compared(self):
        return tuple(self.lines[form] for form in DASHES)

    def alt(self, scene) -> str:
        course = scene.course
        forms = ", ".join(f"{form} {short(b.value)}" for form, b in course.forms.items())
        start = short(course.rows["best"][0])
        return (
            f"Steps of a run on {NAMES[course.name]} across, cost up, on a log axis: bounds above, "
            f"training cost and gap below. The best bound began at {start}. Now: step "
            f"{course.step}, {forms}; training cost {short(course.last('train_loss'))}, measured "
            f"gap {short(course.last('loss_gap'))}, best constant predictor "
            f"{short(course.calculator.best_constant)}."
        )


class Shares(Picture):
    """The parts of the best bound."""

    def build(self, figure) -> None:
        place = (0.23, 0.14, 0.73, 0.765)
        self.ax = self.axes(figure, "share of the best bound, %", "", "", place)
        self.ax.set_xlim(0, 128)
        self.ax.set_xticks(range(0, 101, 20))
        self.ax.set_ylim(3.6, -0.6)
        self.bars = self.ax.barh(range(4), [0] * 4, height=0.62)
        for bar in self.bars:
            bar.set(animated=True, linewidth=0)
        self.texts = [
            self.ax.text(0, k, "", fontsize=9, color=INK, va="center", animated=True)
            for k in range(4)
        ]
        self.moving = [*self.bars, *self.texts]

    def update(self, scene):
        course = scene.course
        parts = course.shares()
        self.ax.set_yticks(range(4), [name for name, _, _ in parts])
        whole = f"{course.best.form} = {short(course.best.value)}"
        title = f"{NAMES[course.name]}: what {whole} is made of{_before(scene)}"
        self.ax.set_title(title, fontsize=9.5, loc="left", pad=4, x=-0.25)
        for k, (bar, text, (_, kind, value)) in enumerate(
            zip(self.bars, self.texts, parts, strict=True)
        ):
            share = 100 * value / course.best.value
            bar.set_width(share)
            bar.set_color(BOUND if k else LOSS)
            bar.set_alpha(1.0 if kind == "exact" else 0.55)
            text.set_text(f"{share:.0f}%, {kind}")
            text.set_x(share + 1.5)
        return title

    def alt(self, scene) -> str:
        parts = "; ".join(
            f"{name} {short(value)} ({kind})" for name, kind, value in scene.course.shares()
        )
        whole = f"{scene.course.best.form} = {short(scene.course.best.value)}"
        return f"Bars: the parts of the best bound, {whole}. Now: {parts}.".replace("\n", " ")


class Curse(Picture):
    """The covering radius that n samples have, in 1 to 8 dimensions."""

    def build(self, figure) -> None:
        place = (0.125, 0.14, 0.735, 0.765)
        self.ax = self.axes(
            figure, "samples n", "covering radius r, in sides of the cube", "the curse", place
        )
        self.ax.loglog()
        self.ax.set_xlim(ORDERS[0], ORDERS[-1])
        self.ax.set_ylim(2e-7, 5)
        self.ax.grid(axis="y", color="#e6e6e6", linewidth=0.7)
        self.lines = []
        for k, (d, volume) in enumerate(DIMENSIONS.items()):
            radii = [_radius(int(n), d, volume) for n in ORDERS]
            (line,) = self.ax.plot(ORDERS, radii, color=BOUND, lw=2.4 - 0.4 * k, alpha=1 - 0.12 * k)
            name = self.ax.text(1.25e8, radii[-1], f"d = {d}", fontsize=9, color=SHADE, va="center")
            self.lines.append((line, name))
        (self.need,) = self.ax.plot([], [], "--", color=THRESHOLD, lw=1.2, animated=True)
        white = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        self.word = self.ax.text(12, 1e-6, "", fontsize=8.5, animated=True, bbox=white)
        (self.here,) = self.ax.plot([], [], "o", color=THRESHOLD, ms=8, animated=True)
        self.name = self.ax.text(0, 0, "", fontsize=8.5, va="center", animated=True)
        self.moving = [self.need, self.word, self.here, self.name]

    def update(self, scene):
        for line, name in self.lines[1:]:
            line.set_visible(scene.revealed)
            name.set_visible(scene.revealed)
        course = scene.course
        side = 2.0  # the curve lives on [-1, 1]
        need = course.needed / side if course.exact else math.nan
        self.need.set_data(self.ax.get_xlim(), [need, need])
        shown = math.isfinite(need) and need > 1e-6
        self.word.set_text(
            "dashed: below this r, a bound\non the curve says something" if shown else ""
        )
        radius = course.best.terms["r"] / side
        self.here.set_data([course.n], [radius if course.exact else math.nan])
        self.name.set_text("our points" if course.exact else "")
        beside = ((1.5, 1.0), (1.0, 0.4), (1.0, 0.3), (1.0, 0.15), (1.0, 0.1))
        places = [{"x": x * course.n, "y": y * radius} for x, y in beside]
        lines = [line for line, _ in self.lines[: len(self.lines) if scene.revealed else 1]]
        _settle(self.name, places, [*lines, self.need], room=0.03)
        many = "in 1, 2, 4 and 8 dimensions" if scene.revealed else "in one dimension"
        self.ax.set_title(f"how far from a sample, {many} (95%)", fontsize=9.5, loc="left", pad=4)
        return scene.revealed

    def alt(self, scene) -> str:
        if not scene.revealed:
            radius = _radius(10**6, 1, 2.0)
            return (
                "Samples across, covering radius up, on log axes, in one dimension: it falls. Now: "
                f"{radius:.2g} of a side at a million samples."
            )
        at = ", ".join(f"{_radius(10**6, d, v):.2g} for d = {d}" for d, v in DIMENSIONS.items())
        return (
            "Samples across, covering radius up, on log axes: a line for each dimension, which "
            f"falls the less the more dimensions. Now: at a million samples {at}."
        )


class Noise(Picture):
    """Noisy error, KL and certificate at each size of the noise."""

    def build(self, figure) -> None:
        place = (0.105, 0.14, 0.655, 0.765)
        self.ax = self.axes(figure, "noise σ on every weight", "", "", place)
        self.ax.set_ylabel("share of errors; KL / n in nats", fontsize=9, color=SOFT)
        self.ax.yaxis.set_label_coords(-0.1, 0.5)
        self.ax.set_xscale("log")
        self.ax.set_xlim(SIGMAS[0], SIGMAS[-1])
        ticks = (0.01, 0.03, 0.1, 0.3, 1.0)
        self.ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
        self.ax.set_ylim(0, 1.12)
        self.ax.axhline(CHANCE, color=THRESHOLD, ls="--", lw=1.2)
        beside = {"transform": self.ax.get_yaxis_transform(), "fontsize": 8.5, "va": "center"}
        self.ax.text(1.015, CHANCE, "chance 0.9\n(vacuous above)", color=THRESHOLD, **beside)
        style = {"animated": True, "marker": "o", "ms": 3}
        (self.other,) = self.ax.plot([], [], color="#c8c8c8", lw=1.4, animated=True)
        (self.noisy,) = self.ax.plot([], [], color=LOSS, lw=1.6, **style)
        (self.kl,) = self.ax.plot([], [], ":", color=BOUND, lw=1.6, animated=True)
        (self.value,) = self.ax.plot([], [], color=BOUND, lw=2.2, **style)
        self.mark = self.ax.axvline(0.1, color=SOFT, lw=0.8, animated=True)
        (self.dot,) = self.ax.plot([], [], "o", color=BOUND, ms=10, animated=True)
        white = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        inside = {"fontsize": 8.5, "animated": True, "va": "center", "bbox": white}
        self.words = [
            self.ax.text(0, 0, text, color=colour, **inside)
            for text, colour in (
                ("noisy error,\nother half", LOSS),
                ("certificate (95%)", SHADE),
                ("KL / n", SHADE),
            )
        ]
        self.words[0].set_transform(self.ax.get_yaxis_transform())
        self.words[1].set_position((1.03 * SIGMAS[0], 1.065))
        place = {"fontsize": 8.5, "va": "center", "animated": True}
        self.wait = self.ax.text(1.03 * SIGMAS[0], 1.065, "", color=SHADE, **place)
        lines = [self.other, self.noisy, self.kl, self.value, self.mark, self.dot]
        self.parts = [*lines, *self.words]
        self.moving = [*self.parts, self.wait]

    def update(self, scene):
        """The curves; where they are still to come, how far that is."""
        if scene.preparing is not None:
            for artist in self.parts:
                artist.set_visible(False)
            done = f"{scene.preparing.progress:.0%}{scene.remaining}"
            self.wait.set_text(f"prior and posterior are being trained: {done}")
            title = f"PAC-Bayes, {NAMES[scene.values['data']]}: no certificate yet"
            self.ax.set_title(title, fontsize=9.5, loc="left", pad=4)
            return title
        certificate, name = scene.certificate, scene.certified
        sigma, shown = np.array(SIGMAS), scene.revealed
        done = shown and certificate.draws >= DRAWS
        self.noisy.set_visible(True)
        self.words[0].set_visible(True)
        drawn = f"no certificate yet: {certificate.draws} of {DRAWS} draws"
        act = scene.remaining if scene.pac else ": choose PAC-Bayes"
        self.wait.set_text("" if done or not shown else f"{drawn}{act}")
        seen = sigma <= (SIGMAS[-1] if shown else SEEN_SIGMA)
        self.noisy.set_data(sigma[seen], certificate.noisy[seen])
        share = certificate.kl / certificate.n
        small = share <= 1.02
        self.kl.set_data(sigma[small], share[small])
        self.value.set_data(sigma, certificate.values)
        here = scene.here
        self.mark.set_xdata([SIGMAS[here]] * 2)
        self.dot.set_data([SIGMAS[here]], certificate.values[here : here + 1])
        other = scene.plain
        self.other.set_data(sigma, np.full(len(sigma), np.nan) if other is None else other.values)
        self.words[0].set_position((1.015, min(float(certificate.noisy[-1]), 0.72)))
        for artist in (self.kl, self.other):
            artist.set_visible(shown)
        for artist in (self.value, self.mark, self.dot, *self.words[1:]):
            artist.set_visible(done)
        if not shown:
            self.words[0].set_transform(self.ax.transData)
            self.words[0].set_position((SEEN_SIGMA * 1.1, certificate.noisy[seen][-1] + 0.05))
        else:
            self.words[0].set_transform(self.ax.get_yaxis_transform())
        self._name_kl()
        alpha = scene.values["alpha"]
        grey = "" if other is None else " (grey: α = 1)"
        moved = f", rescaled by α = {alpha:g}{grey}" if shown and alpha != 1 else ""
        title = f"PAC-Bayes, {NAMES[name]}{moved}"
        self.ax.set_title(title, fontsize=9.5, loc="left", pad=4)
        tied = scene.values["noise"] == "tied"
        units = "in units of the size of each block of weights" if tied else "on every weight"
        self.ax.set_xlabel(f"noise σ, {units}")
        return title, tied, shown

    def _name_kl(self) -> None:
        """To the right of its line, or to the left, as high as no line goes through the name."""
        x, y = self.kl.get_data()
        if len(x):
            levels = np.linspace(min(0.75, y[0]), 0.05, 29)
            across = np.exp(np.interp(-levels, -y, np.log(x)))
            places = [
                {"x": at * away, "y": level + rise, "ha": ha}
                for ha, away, rise in (("left", 1.06, 0.02), ("right", 1 / 1.06, -0.02))
                for at, level in zip(across, levels, strict=True)
            ]
            _settle(self.words[2], places, (self.noisy, self.kl, self.value, self.other))

    def compared(self):
        return (self.value,)

    def alt(self, scene) -> str:
        here, certificate = scene.here, scene.certificate
        if not scene.revealed:
            low = short(certificate.noisy[0])
            return f"Noisy error for little noise. Now: {low} at σ = {SIGMAS[0]:g}."
        what = "Noise σ across, on a log axis; share of errors up. More noise, more errors"
        if scene.preparing is not None:
            return f"{what}. Now: prior and posterior are {scene.preparing.progress:.0%} trained."
        noisy = f"at σ = {SIGMAS[here]:g} the noisy error is {short(certificate.noisy[here])}"
        if certificate.draws < DRAWS:
            drawn = f"{certificate.draws} of {DRAWS} draws"
            return f"{what}. Now: {noisy}; the certificate is not computed yet: {drawn}."
        best = int(certificate.values.argmin())
        return (
            f"{what}. Above it the certificate; dotted KL / n, which falls. Now: "
            f"{NAMES[scene.certified]}, {noisy}, the certificate "
            f"{short(certificate.values[here])}, and least at σ = {SIGMAS[best]:g}, "
            f"{short(certificate.values[best])}. Chance is {CHANCE}."
        )


def _settle(text, places, lines, room: float = 0.015) -> None:
    """Put letters to the first of these places where no line comes as near; room: in inches."""
    paths = [line.get_path().transformed(line.get_transform()) for line in lines]
    for place in places:
        text.set(**place)
        box = text.get_window_extent().padded(room * text.figure.dpi)
        inside = text.axes.bbox.x0 < box.x0
        if inside and not any(path.intersects_bbox(box, filled=False) for path in paths):
            return


def _before(scene) -> str:
    """Said of the Jacobian bounds where the reader has gone on to other data."""
    return "" if scene.values["data"] == scene.course.name else " (the run before)"


def _radius(n: int, d: int, volume: float) -> float:
    """Lemma 1 in the unit cube of d dimensions, at most its diagonal."""
    return min(regular_covering_radius(n, d, volume / 2**d, FAILURE), math.sqrt(d))


def _above(value: float) -> float:
    """The next of 1, 2, 5, 10 ... above a value, so that axes move seldom."""
    decade = 10 ** math.floor(math.log10(value))
    return next(m * decade for m in (2, 5, 10) if m * decade >= value)
