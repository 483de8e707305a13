"""What of the bench needs no clock: its lines are whole, and it says what it lacks."""

import importlib.util
from itertools import pairwise

import pytest

from tests.bench import engine, figure, memory, peers
from tests.bench.__main__ import BARS


def test_every_line_has_a_name_of_its_own_and_something_to_measure():
    lines = (*BARS, *peers.FIGURES)
    assert len({line.name for line in lines}) == len(lines)
    assert all(callable(line.measure) for line in lines)


def test_the_bars_of_the_issue_are_there():
    bars = {line.name: line.bar for line in BARS if line.bar is not None}
    share = next(bar for name, bar in bars.items() if "share of plain SGD" in name)
    assert share(0.35)
    assert not share(0.34)
    stack = next(bar for name, bar in bars.items() if "stack of 32" in name)
    assert stack(100)
    assert not stack(99)
    assert all(line.bar(5) and not line.bar(4.9) for line in peers.FIGURES[:3])


def test_without_the_peers_it_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert peers.main() == 1
    assert "pyhessian, hessian_eigenthings, curvlinops; run `make bench`" in capsys.readouterr().out


def test_peak_memory_sees_what_a_call_takes_for_a_moment():
    size = 60 * 2**20

    def take():
        return bytearray(b"x") * size

    assert 50 < memory.peak_megabytes(take) < 120
    assert memory.peak_megabytes(lambda: None) < 20


def test_seconds_is_a_median():
    calls = []
    assert figure.seconds(lambda: calls.append(1), 3) >= 0
    assert len(calls) == 3


def test_a_class_has_a_limit():
    assert engine.CLASSES["live"] < engine.CLASSES["slow"] < engine.CLASSES["offline"]


@pytest.mark.parametrize("P", peers.RUNS)
def test_the_runs_have_the_parameters_that_they_say(P):
    widths = peers.RUNS[P][0]
    assert sum((a + 1) * b for a, b in pairwise(widths)) == P
