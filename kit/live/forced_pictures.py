"""The four pictures of page 5: the fit, the slope and its floor, the loss, all pairs."""

from __future__ import annotations

import math

import numpy as np

from kit.forcing import PairFloor
from kit.live.lettering import HALO, spread
from kit.live.palette import JACOBIAN, JACOBIAN_MEAN, LOSS, THRESHOLD
from kit.live.picture import INK, RULE, SOFT, Picture
from kit.live.text import short

N = 8  # points on the line
SHOWN = 1500  # steps, after the answer
CURVE = np.linspace(-1.12, 1.12, 401)
NEAR = 0.2  # input: the name of a point would stand in the ring of the next one
MOST = 400  # pairs or rows drawn
GREEN_TEXT, LIGHT_TEXT = "#00694d", "#2b8265"  # of small letters, dark enough on white
GUESS = "#222222"
LAST = 1e7  # steps: beyond the right end of every axis
BACK = {"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 1}
COURSES = ("samples", "segment", "floor", "forced")


class Fit(Picture):
    """The fit and the pair that sets the floor; for digits, the two images of the pair."""

    def build(self, figure) -> None:
        self.ax = self.axes(figure, "input x", "output f(x), target y", "")
        self.ax.set_xlim(CURVE[0], CURVE[-1])

        def line(*style, **more):
            return self.ax.plot([], [], *style, animated=True, **more)[0]

        self.chord = line("--", color=THRESHOLD, lw=1.4)
        self.curve = line(color=RULE, lw=1.6)
        self.part = line(color=JACOBIAN, lw=3)
        self.dots = line("o", color=INK, ms=6)
        self.pair = line("o", mfc="none", mec=INK, ms=13)
        self.chosen = line("s", mfc="none", mec=SOFT, ms=18)
        self.steepest = line("D", color=JACOBIAN, ms=6)
        self.guess = line(":", color=GUESS, lw=1.2)
        small = {"fontsize": 8.5, "color": SOFT, "va": "center", "textcoords": "offset points"}
        self.names = [
            self.ax.annotate(f"{k + 1}", (0, 0), xytext=(0, 0), animated=True, **small)
            for k in range(N)
        ]
        place = {"fontsize": 9, "transform": self.ax.transAxes, "va": "top", "animated": True}
        self.words = [self.ax.text(0.02, y, "", bbox=BACK, **place) for y in (0.99, 0.92, 0.85)]
        self.words[1].set_color(GREEN_TEXT)
        self.moving = [self.chord, self.guess, self.curve, self.part, self.dots, self.pair]
        self.moving += [self.chosen]
        self.moving += [self.steepest, *self.names, *self.words]
        bare = {"xticks": [], "yticks": [], "frame_on": False}
        self.images = [figure.add_axes((x, 0.22, 0.34, 0.5), **bare) for x in (0.1, 0.56)]
        style = {"cmap": "gray_r", "vmin": 0, "vmax": 16}
        self.pixels = [ax.imshow(np.zeros((8, 8)), **style) for ax in self.images]
        middle = {"ha": "center", "color": INK, "fontsize": 9.5}
        head = figure.text(0.5, 0.93, "the two samples that set the floor", **middle)
        self.foot = figure.text(0.5, 0.04, "", linespacing=1.6, **middle)
        self.still = [*self.images, head, self.foot]

    def update(self, scene):
        digits = scene.values["data"] == "digits"
        for artist in self.still:
            artist.set_visible(digits)
        for artist in (self.ax, *self.moving):
            artist.set_visible(not digits)
        return self._show_images(scene.run) if digits else self._show_fit(scene)

    def _show_fit(self, scene):
        run, revealed = scene.run, scene.revealed
        settled = revealed and not scene.untrained
        i, j = ends = list(run.pair if settled else (run.forced.i, run.forced.j))
        x, y, chosen = run.x[:, 0], run.y[:, 0], scene.values["which"] - 1
        high = 2.2 * max(1.0, scene.values["scale"])
        if (high, revealed) != self._drawn:
            self.ax.set_ylim(-high, 1.3 * high)
            title = "the fit of a network: drag a target" if revealed else "the fit of a network"
            self.ax.set_title(title, fontsize=9.5, loc="left", pad=4, color=INK)
        self.curve.set_data(CURVE, run.outputs(CURVE))
        inside, steep = np.linspace(x[i], x[j], 60), x[[i]] + run.steepest * (x[[j]] - x[[i]])
        self.part.set_data(inside, run.outputs(inside))
        self.dots.set_data(x, y)
        self.pair.set_data(x[ends], y[ends])
        self.chord.set_data(x[ends], y[ends])
        self.chosen.set_data(x[[chosen]], y[[chosen]])
        side = sides(x)
        above = run.outputs(x + 0.05 * side) > y
        for k, name in enumerate(self.names):  # beside the curve
            away = 12 if k == chosen else 9 if k in (i, j) else 5
            name.xy = x[k], y[k]
            name.set_position((side[k] * away, -away if above[k] else away))
            name.set_ha("left" if side[k] > 0 else "right")
        self.steepest.set_data(steep, run.outputs(steep))
        for artist in (self.part, self.steepest, self.words[1]):
            artist.set_visible(settled)
        self.words[1].set_text(f"◆ steepest on the segment: slope {short(run.segment)}")
        self.words[0].set_text(f"○ - - ○ {self._pair_words(scene, ends)}")
        guess = scene.guessed
        self.guess.set_data([], [])
        if guess is not None:
            rise = 0.5 * guess * abs(x[j] - x[i]) * np.array([-1.0, 1.0])
            self.guess.set_data(sorted(x[ends]), y[ends].mean() + rise)
        self.words[2].set_text("" if guess is None else f"··· your guess: slope {guess:.3g}")
        return high, revealed

    @staticmethod
    def _pair_words(scene, ends) -> str:
        i, j = ends
        named = scene.named(ends)
        if not scene.revealed:
            apart = abs(scene.run.x[i, 0] - scene.run.x[j, 0])
            return f"{named} are the nearest, {apart:.3g} apart"
        if scene.untrained:
            return f"{named} will need slope {short(scene.run.forced.value)}: not trained yet"
        return f"the pair that sets the floor: {said(scene.run.floor)}"

    def _show_images(self, run):
        (i, j), classes = run.pair, run.y.argmax(1)
        images = run.data.transform.invert(run.data.X_train).reshape(-1, 8, 8).numpy()
        for ax, pixels, k in zip(self.images, self.pixels, (i, j), strict=True):
            pixels.set_data(images[k])
            title = f"sample {k}: a {classes[k]}\nresidual {run.residuals[k]:.2g}"
            ax.set_title(title, fontsize=9.5, color=INK)
        apart, differ = (np.linalg.norm(A[i] - A[j]) for A in (run.x, run.y))
        self.foot.set_text(
            f"distance {short(apart)}, targets differ by {short(differ)}\n"
            f"floor {said(run.floor)}, measured between them {short(run.segment)}"
        )
        return "digits", i, j, self.foot.get_text()

    def compared(self):
        return (self.curve,)

    def alt(self, scene) -> str:
        run = scene.run
        if scene.values["data"] == "digits":
            what = "Two images of digits: the pair that sets the floor"
        else:
            what = "Input x across, output up: eight samples as dots, the network's fit as a curve"
        if scene.untrained:
            pair = scene.named((run.forced.i, run.forced.j))
            need = f"samples {pair} will need slope {short(run.forced.value)}"
            return f"{what}. Now: not trained on these data yet; {need}."
        slope = f"between samples {scene.named(run.pair)} the slope is up to {short(run.segment)}"
        return f"{what}. Now: {slope}; their floor is {said(run.floor)}."


class Steps(Picture):
    """Axes over steps, with a thin vertical mark where the reader changed the data."""

    lines: tuple = ()
    below = 0.97  # where the words of the marks begin, downwards
    words_of_marks: tuple = ()

    def word_marks(self, curves) -> None:
        """The words of each mark as high as they find a place that no curve goes through."""
        box, ends = self.ax.bbox, []
        for curve in curves:
            at = self.ax.transData.transform(curve.get_xydata())
            ends.append(np.stack([at[:-1], at[1:]]))
        low, high = (f(np.concatenate(ends, 1), 0) for f in (np.min, np.max))  # of each segment
        for text in self.words_of_marks:
            own = text.get_window_extent()
            beside = (low[:, 0] < own.x1 + 3) & (high[:, 0] > own.x0 - 3)
            least = (own.height + 6) / box.height
            places = np.linspace(self.below, max(least, 0.0), 25)
            top = box.y0 + places[:, None] * box.height
            met = (low[beside, 1] < top + 3) & (high[beside, 1] > top - own.height - 3)
            text.set_y(places[met.sum(1).argmin()])

    def span(self, scene, low: float, high: float):
        """Set the limits, which move in leaps, and the marks, if they are not yet so."""
        wanted = room(max(scene.run.step, SHOWN)), low, high, tuple(scene.marks)
        if wanted == self._drawn:
            return wanted
        self.ax.set_xlim(0, wanted[0])
        self.ax.set_ylim(low, high)
        for artist in (*self.lines, *self.words_of_marks):
            artist.remove()
        changes = changes_of(scene.marks)
        self.lines = tuple(self.ax.axvline(t, color=RULE, lw=0.8, zorder=0) for t in changes)
        style = {"rotation": 90, "fontsize": 8, "color": SOFT, "va": "top", "path_effects": HALO}
        style |= {"ha": "right", "transform": self.ax.transAxes, "animated": True}
        told = list(changes.items())[-4:]
        wide = 0.045 * max((words.count("\n") + 1 for _, words in told), default=1)
        places = spread([t / wanted[0] for t, _ in told], wide)
        self.words_of_marks = tuple(
            self.ax.text(max(at - 0.005, wide), self.below, words, **style)
            for at, (_, words) in zip(places, told, strict=True)
        )
        return wanted


class Course(Steps):
    """max ||J|| on the segment and at the samples, the floor, and what the reader guessed."""

    below = 0.84

    def build(self, figure) -> None:
        title = "the steepest slope ‖J‖, and the floor under it"
        self.ax = self.axes(figure, "step t", "‖J‖ (output per input)", title)
        styles = ("-", JACOBIAN_MEAN, 1.2), ("-", JACOBIAN, 2)
        styles += ("--", THRESHOLD, 1.5), ("-.", THRESHOLD, 1.1)
        self.curves = {
            name: self.ax.plot([], [], dash, color=colour, lw=width, animated=True)[0]
            for name, (dash, colour, width) in zip(COURSES, styles, strict=True)
        }
        (self.guess,) = self.ax.plot([], [], ":", color=GUESS, lw=1.2, animated=True)
        style = {"fontsize": 8.5, "color": GUESS, "ha": "right", "va": "bottom"}
        style |= {"transform": self.ax.get_yaxis_transform(), "animated": True}
        self.said = self.ax.text(0.99, 0, "", **style)
        (self.ends,) = self.ax.plot([], [], "o", color=JACOBIAN, ms=6, animated=True)
        place = {"fontsize": 8.5, "transform": self.ax.transAxes, "va": "top", "animated": True}
        words = (
            (0.02, 0.99, "━ max ‖J‖ on the segment", GREEN_TEXT),
            (0.02, 0.92, "─ max ‖J‖ at the samples", LIGHT_TEXT),
            (0.54, 0.99, "", THRESHOLD),
            (0.54, 0.92, "- · floor of a perfect fit", THRESHOLD),
        )
        self.words = [self.ax.text(x, y, t, color=c, bbox=BACK, **place) for x, y, t, c in words]

    def update(self, scene):
        rows = scene.run.table(MOST)
        steps = rows["step"][:-1] if scene.untrained else rows["step"]
        cuts = np.searchsorted(steps, list(changes_of(scene.marks))) + 1
        cuts = cuts[cuts < len(steps)]  # the pair that sets the floor may be another from here on
        for name, line in self.curves.items():
            values = rows[name][: len(steps)]
            line.set_data(np.insert(steps, cuts, np.nan), np.insert(values, cuts, np.nan))
        self.curves["forced"].set_data(rows["step"], rows["forced"])
        for artist in (self.curves["forced"], self.words[3]):
            artist.set_visible(scene.revealed)
        vacuous = scene.run.floor.vacuous and not scene.untrained
        self.words[2].set_text(f"- - floor{': vacuous now' if vacuous else ''}")
        self.ends.set_data(steps[-1:], rows["segment"][len(steps) - 1 : len(steps)])
        guess = scene.guessed
        known = [] if guess is None else [guess]
        self.guess.set_data([[0, LAST], known * 2] if known else [[], []])
        self.said.set_text("your guess" if known else "")
        self.said.set_y(known[0] if known else 0)
        top = max(float(rows[name].max()) for name in COURSES[: 4 if scene.revealed else 3])
        drawn = self.span(scene, 0, room(1.25 * max(top, *known, 0.0)))
        self.word_marks(self.curves.values())
        self.moving = [*self.curves.values(), self.guess, self.ends, self.said]
        self.moving += [*self.words_of_marks, *self.words]
        return drawn

    def compared(self):
        return (self.curves["segment"],)

    def alt(self, scene) -> str:
        run = scene.run
        what = "Steps across, slope up: the steepest on the segment, at the samples, and the floor"
        if scene.untrained:
            need = f"a perfect fit needs {short(run.forced.value)}"
            return f"{what}. Now: not trained on these data yet; {need}."
        reached = f"{short(run.segment)} on the segment, {short(run.samples)} at the samples"
        guess = "" if scene.guessed is None else f"; your guess was {scene.guessed:.3g}"
        return f"{what}. Now: {reached}, floor {said(run.floor)}{guess}."


class Losses(Steps):
    """The training loss on a log axis."""

    def build(self, figure) -> None:
        self.ax = self.axes(figure, "step t", "loss: mean of e²/2", "the loss, on a log axis")
        self.ax.set_yscale("log")
        self.ax.grid(axis="y", color="#e6e6e6", linewidth=0.7)
        (self.line,) = self.ax.plot([], [], color=LOSS, lw=1.8, animated=True)
        (self.dot,) = self.ax.plot([], [], "o", color=LOSS, ms=6, animated=True)

    def update(self, scene):
        rows = scene.run.table(MOST)
        loss = np.maximum(rows["loss"], 1e-9)
        self.line.set_data(rows["step"], loss)
        self.dot.set_data(rows["step"][-1:], loss[-1:])
        low, high = math.floor(math.log10(loss.min())), math.ceil(math.log10(1.1 * loss.max()))
        high += bool(scene.marks)  # room for their words
        drawn = self.span(scene, 10.0 ** min(low, -2), 10.0**high)
        self.word_marks([self.line])
        self.moving = [self.line, self.dot, *self.words_of_marks]
        return drawn

    def compared(self):
        return (self.line,)

    def alt(self, scene) -> str:
        run, first = scene.run, scene.run.rows["loss"][0]
        what = f"Steps across, the loss up, on a log axis. It began at {short(first)}"
        return f"{what}. Now: {short(run.loss)} at step {run.step}."


class Slopes(Picture):
    """Each pair: the slope that a perfect fit needs, and what is left of it at these residuals."""

    def build(self, figure) -> None:
        title = "what each pair forces"
        self.ax = self.axes(figure, "distance ‖xᵢ − xⱼ‖", "slope (output per input)", title)
        (self.links,) = self.ax.plot([], [], color="#cfcfcf", lw=0.8, animated=True)
        (self.required,) = self.ax.plot([], [], "o", mfc="none", mec=RULE, ms=5, animated=True)
        (self.reduced,) = self.ax.plot([], [], "o", color=INK, ms=3.5, animated=True)
        (self.largest,) = self.ax.plot([], [], "o", mfc="none", mec=INK, ms=14, animated=True)
        place = {"transform": self.ax.transAxes, "va": "top", "ha": "right", "animated": True}
        words = ("○ at a perfect fit: ‖yᵢ − yⱼ‖ / distance",)
        words += ("• now, less the residuals: (‖yᵢ − yⱼ‖ − eᵢ − eⱼ) / distance", "")
        self.words = [
            self.ax.text(0.99, 0.99 - 0.07 * k, text, fontsize=8.5, color=INK, bbox=BACK, **place)
            for k, text in enumerate(words)
        ]
        self.moving = [self.links, self.required, self.reduced, self.largest, *self.words]

    def update(self, scene):
        run, revealed, some = scene.run, scene.revealed, scene.run.pairs.order[:MOST]
        at, required = run.pairs.distance[some], run.pairs.required()[some]
        reduced = np.maximum(run.pairs.reduced(run.residuals)[some], 0)
        self.required.set_data(at, required)
        self.reduced.set_data(at, reduced)
        three = np.full((2, len(at), 3), np.nan)  # ends of each link, and a break
        three[0, :, :2], three[1, :, 0], three[1, :, 1] = at[:, None], reduced, required
        self.links.set_data(three[0].ravel(), three[1].ravel())
        for artist in (self.required, self.links, self.words[0]):
            artist.set_visible(revealed)
        self.largest.set_data([run.floor.distance], [run.floor.value])
        self.largest.set_visible(not scene.untrained)
        largest = f"◯ the largest, the floor: {said(run.floor)}"
        self.words[2].set_text("not trained on these yet" if scene.untrained else largest)
        low = 0.0 if run.data.n == N else 0.95 * float(at.min())
        high = room(1.35 * max(float((required if revealed else reduced).max()), 0.01))
        wanted = low, 1.05 * float(at.max()), high
        if wanted != self._drawn:
            self.ax.set_xlim(*wanted[:2])
            self.ax.set_ylim(-0.03 * high, high)
        return wanted

    def alt(self, scene) -> str:
        floor, forced = scene.run.floor, scene.run.forced
        what = "A dot for each pair of samples: distance across, the slope that it forces up"
        now = f"at most {said(floor)}, at distance {short(floor.distance)}"
        if scene.untrained:
            now = "not trained on these data yet"
        if scene.revealed:
            now += f"; a perfect fit needs up to {short(forced.value)}"
        return f"{what}. Now: {now}."


def changes_of(marks) -> dict[int, str]:
    """What was changed at each step: the last two things, if there were more.

    >>> changes_of([(30, "scale", "labels × 2"), (30, "gap", "4–5: 0.1 apart")])
    {30: 'labels × 2\\n4–5: 0.1 apart'}
    """
    words: dict[int, list[str]] = {}
    for step, _, text in marks:
        words.setdefault(step, []).append(text)
    return {step: "\n".join(texts[-2:]) for step, texts in words.items()}


def sides(x: np.ndarray) -> np.ndarray:
    """Where the name of each point stands: 1, right of it; -1, left, if its next one is near.

    >>> sides(np.array([-1.0, -0.05, 0.05, 1.0])).tolist()
    [1, -1, 1, 1]
    """
    after = np.array([min((other - here for other in x if other > here), default=9) for here in x])
    return np.where(after < NEAR, -1, 1)


def said(floor: PairFloor) -> str:
    return "vacuous (≤ 0)" if floor.vacuous else short(floor.value)


def room(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 7, 10 ... above a value, so that axes move seldom."""
    decade = 10 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(m * decade for m in (1, 1.5, 2, 3, 4, 5, 7, 10, 15) if m * decade >= 1.1 * value)
