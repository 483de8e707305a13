"""A page's tour as pictures in files, with the words and numbers of each: what a reader scrubs.

>>> label(Control("lr", "rate η", "rate", values=(0.1, 0.2)), 0.1)
'rate η = 0.1'
>>> label(Control("loss", "cost", "cost", options={"squared": "mse"}), "mse")
'cost: squared'
"""

from __future__ import annotations

import ast
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import nbformat
from PIL import Image

from kit.live.page import LivePage
from kit.live.question import Question
from kit.live.scene import Control
from kit.live.site.tours import Leg, settle

STOPS = 100  # of the slider of a guess, as on the live page
COLOURS = 64  # of a picture: its letters stay sharp, and it is half as large


@dataclass(frozen=True)
class Film:
    """What a static page shows: `opening` before the guess, `frames` after it.

    A frame holds label, phase, numbers, the query that sets the live page so, and for each picture
    its file and its words. `parts`: name and first frame of each stretch. `guesses`: each guess
    that can be made, as text and as a link writes it, with what is said to it.
    """

    title: str
    question: Question
    opening: Mapping[str, Any]
    guesses: Sequence[tuple[str, str, str]]
    frames: Sequence[Mapping[str, Any]]
    parts: Sequence[tuple[str, int]]
    first: int  # pictures that a wide screen shows at once
    runs: bool  # whether the tour begins with a run


def page_of(notebook: nbformat.NotebookNode) -> LivePage:
    """What the last line of a notebook's one cell of code shows."""
    (cell,) = (c for c in notebook.cells if c.cell_type == "code")
    body = ast.parse(cell.source).body
    names: dict[str, Any] = {}
    exec(compile(ast.Module(body[:-1], []), "<notebook>", "exec"), names)
    return eval(compile(ast.Expression(body[-1].value), "<notebook>", "eval"), names)


def film(page: LivePage, tour: Sequence[Leg], folder: Path) -> Film:
    """Play the tour on the page, and keep its pictures in the folder."""
    camera, question, answer = Camera(page, folder), page.question, page.answer()
    guesses = [
        (said(question, guess), question.text(guess), question.verdict(guess, answer))
        for guess in guesses_of(question)
    ]
    opening = camera.shoot(page.words()["status"])
    page.handle("skip", None)
    frames, parts = [], []
    for leg in tour:
        parts.append((camera.part(leg), len(frames)))
        frames += camera.shots(leg, first=not frames)
    folded = page._stage.folded
    return Film(
        page._stage.title,
        question,
        opening,
        guesses,
        frames,
        parts,
        len(page._keys) - len(folded),
        not tour[0].vary,
    )


class Camera:
    """Takes a page from picture to picture."""

    def __init__(self, page: LivePage, folder: Path) -> None:
        self.page, self.folder = page, folder
        scene = getattr(page, "scene", None)
        self.controls = {c.name: c for c in scene.controls} if scene else {}

    def part(self, leg: Leg) -> str:
        """What a leg is called."""
        turned = self.controls[leg.vary].label if leg.vary else "the run"
        return ", ".join([*self._settings(leg), turned])

    def shots(self, leg: Leg, *, first: bool) -> Iterator[dict[str, Any]]:
        """The frames of a leg; the first of all is what the page shows as its answer."""
        page = self.page
        if leg.vary or leg.do:
            settle(page)
        else:
            page.handle("pause", None)
        if first:
            yield self.shoot("the answer" if leg.vary or leg.do else self._place(leg))
        for name, value in leg.do:
            self._do(name, value)
        if leg.vary:
            for stop in leg.stops or stops_of(self.controls[leg.vary])[:: leg.every]:
                self._do(leg.vary, stop)
                if leg.go:
                    leg.go(page)
                turned = label(self.controls[leg.vary], stop)
                yield self.shoot(", ".join([*self._settings(leg), turned]))
        else:
            for _ in range(leg.frames):
                before = leg.count(page)
                leg.go(page)
                if leg.count(page) == before:  # its end
                    break
                yield self.shoot(self._place(leg))
            page.handle("pause", None)

    def _place(self, leg: Leg) -> str:
        return ", ".join([*self._settings(leg), leg.count(self.page)])

    def _do(self, name: str, value: Any) -> None:
        self.page.handle(name, value)
        status = self.page.words()["status"]
        if status.startswith("Not done"):
            raise ValueError(f"tour: {name} to {value!r}: {status}")
        settle(self.page)

    def _settings(self, leg: Leg) -> list[str]:
        set_before = [
            label(self.controls[n], v) for n, v in leg.do if v is not None and n in self.controls
        ]
        return [leg.say] * bool(leg.say) + set_before

    def shoot(self, what: str) -> dict[str, Any]:
        """The page as it is: its words, its numbers, and its pictures, which go into files."""
        page = self.page
        words = page.words()
        link = page.link().without_guess()
        query = [(n, v) for n, v in parse_qsl(link.query) if n != "on"]  # whose run it was
        return {
            "label": what,
            "phase": words["phase"],
            "numbers": words["numbers"],
            "query": urlencode(query, safe=",:*"),
            "pictures": {key: [self._keep(key), page.alt(key)] for key in page._keys},
        }

    def _keep(self, key: str) -> str:
        """The name of the file with a picture as it is now; equal pictures share one."""
        image = Image.open(io.BytesIO(self.page.image(key, still=True))).convert("RGB")
        buffer = io.BytesIO()
        image.quantize(COLOURS, Image.Quantize.MAXCOVERAGE).convert("RGB").save(
            buffer, "WEBP", lossless=True, method=2
        )
        name = f"{key}-{hashlib.sha256(buffer.getvalue()).hexdigest()[:10]}.webp"
        (self.folder / name).write_bytes(buffer.getvalue())
        return name


def stops_of(control: Control) -> Sequence[Any]:
    """All that a control can be set to."""
    return control.values or tuple((control.options or {}).values())


def label(control: Control, value: Any) -> str:
    """What a control is set to, in words."""
    if control.options is not None:
        return f"{control.label}: {next(k for k, v in control.options.items() if v == value)}"
    text = control.form.format(value)
    return f"{control.label} {text}" if text.startswith("×") else f"{control.label} = {text}"


def said(question: Question, guess: str | float) -> str:
    """A guess in words."""
    if question.choices:
        return str(guess)
    return f"{guess:.3g} {question.unit}".strip()


def guesses_of(question: Question) -> Sequence[str | float]:
    """All guesses that the static page takes: choices, or the stops of a slider.

    >>> guesses_of(Question("How many?", number=(0, 10)))[:3]
    [0.0, 0.1, 0.2]
    """
    if question.choices:
        return question.choices
    low, high = question.number
    return [float(f"{low + (high - low) * k / STOPS:.12g}") for k in range(STOPS + 1)]
