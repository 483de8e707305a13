"""A training run in a link: what it starts from, what was changed when, and for how many steps.

>>> from kit.presets import PRESETS
>>> start = dataclasses.replace(PRESETS["edge"].config, lr=0.2, seed=3)
>>> plan = Plan(start, (Change(120, "lr", 0.1), Change(120, "rescale", (10.0, 1.0, 0.1))), 300)
>>> plan.write()["changes"]
'120*lr*0.1,120*rescale*10:1:0.1'
>>> plan.write()["lr"], plan.write()["steps"]
('0.2', '300')
>>> Plan.read(plan.write()) == (plan, [])
True

On the machine and build that wrote it, a plan gives the same parameters to the last bit. Elsewhere
paths part at the edge of stability, where they are chaotic: `here` names the build.
"""

from __future__ import annotations

import dataclasses
import hashlib
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from kit.history import Intervention
from kit.live.text import parse_widths
from kit.presets import PRESETS, RunConfig

DEFAULT = "edge"
MOST = 20_000  # steps that a link may ask for
LIVE = ("lr", "batch_size", "momentum", "weight_decay", "every")


@dataclass(frozen=True)
class Change:
    """From this step on, `name` is `value`; "rescale": the layers' factors."""

    step: int
    name: str
    value: Any


@dataclass(frozen=True)
class Plan:
    """A run: its configuration at the start, the changes in their order, and its steps.

    `steps` None: as many as a page opens with.
    """

    start: RunConfig
    changes: tuple[Change, ...] = ()
    steps: int | None = None

    @classmethod
    def of(cls, config: RunConfig, interventions: Sequence[Intervention], steps: int) -> Plan:
        """The plan of a run that has come to `config` by these interventions."""
        before: dict[str, Any] = {}
        for change in interventions:
            if change.name in LIVE:
                before.setdefault(change.name, change.old)
        start = dataclasses.replace(config, **before)
        changes = [
            Change(c.step, "rescale" if c.name.startswith("rescale") else c.name, c.new)
            for c in interventions
        ]
        return cls(start, tuple(changes), steps)

    def write(self) -> dict[str, str]:
        """The plan as parts of a link: the nearest preset, and what differs from it."""
        ours = _fields(self.start)
        preset = min(PRESETS, key=lambda name: len(_differing(ours, _fields(PRESETS[name].config))))
        parts = {} if preset == DEFAULT else {"preset": preset}
        parts |= _differing(ours, _fields(PRESETS[preset].config))
        if self.changes:
            parts["changes"] = ",".join(f"{c.step}*{c.name}*{_text(c.value)}" for c in self.changes)
        if self.steps is not None:
            parts["steps"] = str(self.steps)
        return parts

    @classmethod
    def read(cls, parts: Mapping[str, str]) -> tuple[Plan, list[str]]:
        """The plan of a link, and what of it was not taken."""
        faults: list[str] = []
        parts = dict(parts)
        preset = parts.pop("preset", DEFAULT)
        if preset not in PRESETS:
            faults.append(f"preset: got {preset!r}; takes one of {', '.join(PRESETS)}")
            preset = DEFAULT
        start, changes, steps = PRESETS[preset].config, [], None
        for name, text in parts.items():
            try:
                if name == "steps":
                    steps = _steps(text)
                elif name == "changes":
                    changes = [_change(item) for item in text.split(",")]
                elif name in READ:
                    start = dataclasses.replace(start, **{name: READ[name](text)})
                else:
                    faults.append(f"there is nothing called “{name}” here")
            except ValueError as error:
                faults.append(f"{name}: {error}")
        return cls(start, tuple(sorted(changes, key=lambda c: c.step)), steps), faults


def here() -> str:
    """Eight letters that stand for this machine's kind and build of torch."""
    parts = (torch.__version__, platform.machine(), torch.backends.cpu.get_cpu_capability())
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:8]


def _text(value: Any) -> str:
    if value is None:
        return "full"
    if isinstance(value, tuple):
        return ":".join(_text(item) for item in value)
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _fields(config: RunConfig) -> dict[str, str]:
    return {name: _text(getattr(config, name)) for name in READ}


def _differing(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in ours.items() if theirs[name] != text}


def _steps(text: str) -> int:
    steps = int(text)
    if not 0 <= steps <= MOST:
        raise ValueError(f"got {steps}; takes 0 to {MOST}")
    return steps


def _count(text: str) -> int | None:
    return None if text == "full" else int(text)


def _true(text: str) -> bool:
    if text not in ("True", "False"):
        raise ValueError(f"got {text!r}; takes True or False")
    return text == "True"


def _widths(text: str) -> tuple[int, ...]:
    return parse_widths(text.replace(":", " "))


READ: dict[str, Callable[[str], Any]] = {
    "dataset": str,
    "n_train": _count,
    "hidden": _widths,
    "activation": str,
    "loss": str,
    "optimizer": str,
    "lr": float,
    "batch_size": _count,
    "momentum": float,
    "nesterov": _true,
    "weight_decay": float,
    "label_smoothing": float,
    "sam_radius": float,
    "mixup": float,
    "seed": int,
    "every": int,
}


def _change(text: str) -> Change:
    parts = text.split("*")
    if len(parts) != 3 or (parts[1] not in LIVE and parts[1] != "rescale"):
        raise ValueError(f"got {text!r}; takes step*name*value, of {', '.join(LIVE)} or rescale")
    step, name, value = parts
    if name == "rescale":
        return Change(_steps(step), name, tuple(float(v) for v in value.split(":")))
    return Change(_steps(step), name, READ[name](value))
