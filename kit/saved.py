"""Which saved state a training run can go on from: that of a run like it.

>>> check_state({"model": {}, "of": {"loss": "mse"}}, {"of": {"loss": "mse"}})
Traceback (most recent call last):
ValueError: state: lacks model; takes what state_dict() returns
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kit.load import ARRAYS, Dataset, checksum


def data_checksum(dataset: Dataset) -> str:
    """The sha256 over the four arrays of a data set."""
    return checksum({name: getattr(dataset, name).numpy() for name in ARRAYS})


def check_state(own: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """TypeError or ValueError where `state` is not of a run with the settings of `own`.

    Both as from `Training.state_dict()`. What must agree: data, loss and the other settings that
    cannot change between steps (under "of"), the shapes of the parameters, and the measures.
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"state: got {type(state).__name__}; takes what state_dict() returns")
    missing = sorted(set(own) - set(state))
    if missing:
        raise ValueError(f"state: lacks {', '.join(missing)}; takes what state_dict() returns")
    others = [name for name, value in own["of"].items() if state["of"].get(name) != value]
    if others:
        what = ", ".join(
            name if name == "data" else f"{name} = {state['of'].get(name)!r}" for name in others
        )
        raise ValueError(f"state: is of a run with other {what}")
    shapes = [{n: tuple(v.shape) for n, v in s["model"].items()} for s in (own, state)]
    alike = all(set(own[k]) == set(state[k]) for k in ("probes", "history", "optimizer"))
    if shapes[0] != shapes[1] or not alike:
        raise ValueError("state: is of a run with another model or other measures")
