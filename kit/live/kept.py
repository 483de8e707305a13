"""Runs that stay while others are made: read from a file, told in a table, drawn with a letter.

>>> text = '{"format": "sharpness-kit run 1", "config": null, "data": "own", "interventions": [],'
>>> text += '"diverged": null, "history": {"step": [0, 1], "loss": [2.0, null]}}'
>>> run = KeptRun.read("A", text)
>>> run.columns["loss"], run.row()[:3]
([2.0, nan], ['A', 'own', '1'])
>>> KeptRun.read("A", "{}")
Traceback (most recent call last):
    ...
ValueError: this is no saved run: it does not say “sharpness-kit run 1”; take the run.json of a ...
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from kit.history import Intervention
from kit.live.address import LONGEST
from kit.live.lettering import mark_text
from kit.live.replay import LIVE, MOST, Plan, here
from kit.live.text import short
from kit.presets import RunConfig

FORMAT = "sharpness-kit run 1"
SYMBOLS = {"lr": "η", "batch_size": "b", "momentum": "β", "weight_decay": "μ", "sam_radius": "ρ"}
SYMBOLS |= {"n_train": "n", "hidden": "widths", "loss": "loss", "mixup": "a"}
HEAD = ("run", "settings", "step t", "loss", "sharpness λ", "max ‖J‖₂", "gap of the loss")


@dataclass(frozen=True)
class KeptRun:
    """A run with its letter, as `run.json` holds it: settings, changes, history."""

    letter: str
    content: Mapping[str, Any]

    @classmethod
    def read(cls, letter: str, text: str | bytes) -> KeptRun:
        """The run of a file; ValueError that says what is wrong with it, and what to take."""
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"this is no saved run: it is not JSON ({error})") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(
                f"this is no saved run: it does not say “{FORMAT}”; take the run.json of a download"
            )
        return sound(cls(letter, content))

    def _check(self) -> None:
        columns = self.columns
        rows = {len(column) for column in columns.values()}
        if len(rows) != 1 or not 1 <= rows.pop() <= MOST + 1:
            raise ValueError(f"its columns are not as long as each other, of 1 to {MOST + 1} rows")
        if columns["step"] != [float(k) for k in range(len(columns["step"]))]:
            raise ValueError("its steps do not count from 0")
        missing = {"loss"} - set(columns) or {"data", "diverged"} - set(self.content)
        if missing:
            raise KeyError(missing.pop())
        table([self]).encode()  # whatever else it needs

    @cached_property
    def columns(self) -> dict[str, list[float]]:
        """The history; what was not measured is NaN."""
        history = self.content["history"]
        return {
            name: [math.nan if v is None else v + 0.0 for v in column]
            for name, column in history.items()
        }

    @property
    def config(self) -> RunConfig | None:
        """The settings at its end; None for a network of somebody's own."""
        config = self.content["config"]
        if config is None:
            return None
        known = {field.name for field in fields(RunConfig)}
        return RunConfig(**{k: _fixed(v) for k, v in config.items() if k in known})

    @property
    def changes(self) -> list[Intervention]:
        return [
            Intervention(c["step"], c["name"], _fixed(c["old"]), _fixed(c["new"]))
            for c in self.content["interventions"]
        ]

    @property
    def steps(self) -> int:
        return len(self.columns["step"]) - 1

    @property
    def query(self) -> str | None:
        """The link that makes this run again; None for one's own network, or too many changes."""
        if self.config is None:
            return None
        parts = Plan.of(self.config, self.changes, self.steps).write()
        query = urlencode(parts | {"on": here(), "guess": "skip"}, safe=",:*")
        return query if len(query) <= LONGEST else None

    def settings(self) -> str:
        """How it began, where that differs from the defaults, and what was changed when."""
        if self.config is None:
            return str(self.content["data"])
        start, default = Plan.of(self.config, self.changes, self.steps).start, RunConfig()
        at_once = {c.name: c.new for c in self.changes if c.step == 0 and c.name in LIVE}
        start = replace(start, **at_once)
        parts = [f"η {start.lr:g}"]
        for field in fields(RunConfig):
            value = getattr(start, field.name)
            if value != getattr(default, field.name) and field.name not in ("lr", "every"):
                name = SYMBOLS.get(field.name, field.name)
                shown = ":".join(map(str, value)) if isinstance(value, tuple) else value
                parts.append(f"{name} {shown}" if name != "dataset" else str(shown))
        told = [c for c in self.changes if c.name != "every" and (c.step or c.name not in LIVE)]
        parts += [f"{mark_text(change)} from step {change.step}" for change in told[-3:]]
        return ", ".join(parts)

    def row(self) -> list[str]:
        """Its row of the table, under `HEAD`: the newest value of each."""
        error = self._last("loss_gap_se")
        gap = short(self._last("loss_gap"))
        broken = self.content["diverged"]
        end = f"{self.steps}" if broken is None else f"{self.steps}: {broken['kind']}"
        return [
            self.letter,
            self.settings(),
            end,
            *(short(self._last(name)) for name in ("loss", "sharpness", "jacobian_max")),
            f"{gap} ± {short(error, 2)}" if math.isfinite(error) else gap,
        ]

    def _last(self, name: str) -> float:
        values = self.columns.get(name, ())
        return next((float(v) for v in reversed(values) if math.isfinite(v)), math.nan)


def sound(kept: Any) -> Any:
    """What was read, once its own check has gone through; ValueError that says what is wrong."""
    try:
        kept._check()
    except Exception as error:  # whatever a damaged file may lead to
        what = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise ValueError(f"this saved run is damaged ({what[:120]}); download it anew") from None
    return kept


def _fixed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def again(query: str, name: str) -> str:
    """A link, in HTML, that opens the page anew."""
    return f'<a class="kit-again" href="{html.escape(f"?{query}")}">{name}</a>'


def table(runs: Sequence[KeptRun]) -> str:
    """The runs as a table in HTML, each with a link that makes it again; "" where there is none."""
    if not runs:
        return ""
    head = "".join(f'<th scope="col">{name}</th>' for name in HEAD)
    body = ""
    for run in runs:
        letter, *cells = map(html.escape, run.row())
        link = "" if run.query is None else again(run.query, f"make run {letter} again")
        cells = "".join(f"<td>{cell}</td>" for cell in cells)
        body += f'<tr><th scope="row">{letter}</th>{cells}<td>{link}</td></tr>'
    return (
        '<table class="kit-kept"><caption>Runs that are kept, at their ends</caption>'
        f"<thead><tr>{head}<td></td></tr></thead><tbody>{body}</tbody></table>"
    )
