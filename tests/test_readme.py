"""README says what is so: its example runs, and the modules that it names are there."""

import importlib
import re
from pathlib import Path

from kit import measures

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_example_runs():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {}
    exec(code, names)
    assert names["top"].converged
    assert names["gap"] > 0
    assert len(names["runs"]) == 4
    assert set(names["runs"]["status"]) == {"done"}
    assert len(names["table"]) == len(measures()) >= 24


def test_the_modules_that_it_names_are_there():
    section = README.split("| topic | module |")[1].split("##")[0]
    modules = re.findall(r"`(\w+)`", section)
    assert len(modules) > 15
    for name in modules:
        importlib.import_module(f"kit.{name}")
