"""What a scene showed, kept with a letter: settings and numbers in a table, its lines drawn faint.

>>> content = {"format": FORMAT, "page": "Valleys", "settings": {"lr": 0.5}}
>>> content |= {"link": {"lr": "0.5"}, "numbers": [["loss", "0.25", "exact"]], "lines": {}}
>>> kept = KeptScene.read("A", json.dumps(content), "Valleys")
>>> kept.settings(), kept.numbers, kept.query
('lr 0.5', {'loss': ('0.25', 'exact')}, 'lr=0.5&guess=skip')
>>> KeptScene.read("A", json.dumps(content), "Hills")
Traceback (most recent call last):
    ...
ValueError: this was saved on the page “Valleys”; open it there
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from kit.live.faint import Course
from kit.live.kept import again, sound

FORMAT = "sharpness-kit scene 1"
LONGEST = 100_000  # points of a line


@dataclass(frozen=True)
class KeptScene:
    """A scene with its letter, as `run.json` holds it."""

    letter: str
    content: Mapping[str, Any]

    @classmethod
    def read(cls, letter: str, text: str | bytes, page: str) -> KeptScene:
        """What a file of this page holds; ValueError that says what is wrong with it."""
        try:
            content = json.loads(text)
            saved_on = content["page"] if content["format"] == FORMAT else None
        except (ValueError, KeyError, TypeError, RecursionError):
            saved_on = None
        if not isinstance(saved_on, str):
            raise ValueError("this is no run.json of a download")
        if saved_on != page:
            raise ValueError(f"this was saved on the page “{saved_on}”; open it there")
        return sound(cls(letter, content))

    def _check(self) -> None:
        if not isinstance(self.content["settings"], dict):
            raise TypeError("settings that have no names")
        table([self]).encode()
        for courses in self.courses.values():
            for course in courses:
                if not isinstance(course.axes, int) or not isinstance(course.shows, str):
                    raise TypeError("a line without axes")
                if not 1 <= len(course.x) == len(course.y) <= LONGEST:
                    raise ValueError(f"a line takes as many x as y, 1 to {LONGEST}")

    @property
    def link(self) -> dict[str, str]:
        """The settings as a link names them: what is not named is as at the start."""
        return dict(self.content.get("link", {}))

    @property
    def numbers(self) -> dict[str, tuple[str, str]]:
        """By name: the value, and its error or unit."""
        rows = self.content.get("numbers", ())
        return {name: (value, remark) for name, value, remark in rows}

    @cached_property
    def courses(self) -> dict[str, list[Course]]:
        """The lines, by picture; what was not computed is NaN."""
        return {
            key: [
                Course(max(line["axes"], 0), line["shows"], *(_floats(line[n]) for n in "xy"))
                for line in lines
            ]
            for key, lines in self.content.get("lines", {}).items()
        }

    @property
    def query(self) -> str:
        """The link that sets the page to these settings."""
        return urlencode(self.link | {"guess": "skip"}, safe=",:*")

    def settings(self) -> str:
        """What was set otherwise than at the start."""
        named = self.content.get("labels", {})
        parts = (f"{named.get(name, name)} {value}" for name, value in self.link.items())
        return ", ".join(parts) or "as at first"


def _floats(values: Sequence[float | None]) -> list[float]:
    return [math.nan if v is None else v + 0.0 for v in values]


def table(kept: Sequence[KeptScene]) -> str:
    """A column for each, a row for each number, in HTML; "" where nothing is kept."""
    if not kept:
        return ""
    names = list(dict.fromkeys(name for scene in kept for name in scene.numbers))
    rows = [("settings", [(scene.settings(), "") for scene in kept])]
    rows += [(name, [scene.numbers.get(name, ("", "")) for scene in kept]) for name in names]
    head = "".join(f'<th scope="col">{scene.letter}</th>' for scene in kept)
    body = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th>'
        + "".join(f"<td>{html.escape(v)}<small>{html.escape(r)}</small></td>" for v, r in values)
        + "</tr>"
        for name, values in rows
    )
    links = "".join(f"<td>{again(s.query, f'set the page to {s.letter}')}</td>" for s in kept)
    return (
        '<table class="kit-kept"><caption>What is kept</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}<tr><td></td>{links}</tr></tbody>"
        "</table>"
    )
