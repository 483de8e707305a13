"""Shares of the processor: of many readers, of a lone one, and what Linux tells of the others."""

import os
import subprocess
import sys
import time

import pytest

from kit.live.budget import LEAST, LOOK, Budget, Neighbours

CORES = 2


def shared(sessions, rounds, cpu=0.015):
    """Sessions on a machine that serves all who work at once alike: their shares at the end."""
    budgets = [Budget(lambda: CORES / sessions) for _ in range(sessions)]
    for _ in range(rounds):
        demand = sum(budget.share for budget in budgets)
        slowed = max(demand / CORES, 1.0)
        for budget in budgets:
            budget.spent(wall=cpu * slowed, cpu=cpu)
    return [budget.share for budget in budgets]


@pytest.mark.parametrize("sessions", [1, 2])
def test_who_has_a_core_of_its_own_never_rests(sessions):
    assert shared(sessions, 500) == [1.0] * sessions


@pytest.mark.parametrize("sessions", [3, 5, 20, 50])
def test_many_sessions_do_not_make_each_other_wait_long_and_none_starves(sessions):
    shares = shared(sessions, 2000)
    assert 0.7 * CORES < sum(shares) <= CORES * 1.0001
    assert min(shares) > 0.7 * CORES / sessions / 1.5


@pytest.mark.parametrize("lucky", [1, 2])
def test_who_happens_to_have_a_core_alone_leaves_the_rest_to_the_others(lucky):
    """Three on two cores: the system kept one on its own core, and two waited for each other."""
    budgets = [Budget(lambda: CORES / 3) for _ in range(3)]
    for _ in range(2000):
        for budget in budgets[:lucky]:
            budget.spent(wall=0.015, cpu=0.015)
        for budget in budgets[lucky:]:
            budget.spent(wall=0.06, cpu=0.015)
    assert [budget.share for budget in budgets[:lucky]] == [CORES / 3] * lucky
    assert [budget.share for budget in budgets[lucky:]] == [LEAST] * (3 - lucky)


def test_a_greedy_session_comes_down_to_the_share_of_the_others():
    budgets = [Budget(lambda: None) for _ in range(8)]
    for budget in budgets[1:]:
        budget.share = 0.05
    for _ in range(6000):
        slowed = max(sum(budget.share for budget in budgets) / CORES, 1.0)
        for budget in budgets:
            budget.spent(wall=0.015 * slowed, cpu=0.015)
    shares = [budget.share for budget in budgets]
    assert max(shares) < 1.2 * min(shares)


def test_under_load_pictures_take_no_more_than_the_training():
    budget = Budget(lambda: 0.1)
    budget.spent(wall=0.1, cpu=0.02, drawing=True)
    assert not budget.may_draw()
    budget.spent(wall=0.1, cpu=0.03)
    assert budget.may_draw()


def worked_beside_others(budget):
    """The share after work in which others had nine tenths of the processor."""
    for _ in range(500):
        budget.spent(wall=0.15, cpu=0.015)
    return budget.share


@pytest.mark.parametrize(("even", "share"), [(2.0, 1.0), (1.0, 1.0), (0.5, LEAST), (None, LEAST)])
def test_programs_that_are_no_readers_do_not_take_a_lone_ones_share(even, share):
    assert worked_beside_others(Budget(lambda: even)) == share


def test_a_share_comes_back_once_the_other_readers_rest():
    now, others = 0.0, 19
    budget = Budget(lambda: CORES / (others + 1), clock=lambda: now)
    assert worked_beside_others(budget) == LEAST
    others, now = 0, LOOK
    assert worked_beside_others(budget) == 1.0


def test_on_windows_nothing_is_known(monkeypatch):
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert Neighbours().even() is None


WORKS = "import sys, time; sys.stdout.write('.'); sys.stdout.flush()\nwhile True: pass"
RESTS = WORKS.replace("while True: pass", "time.sleep(600)")


@pytest.mark.skipif(sys.platform != "linux", reason="this system does not tell")
def test_who_is_at_work_is_counted(monkeypatch):
    """Children of this process in place of those of a server."""
    me, parent = os.getpid(), os.getppid()
    alone = Neighbours()
    monkeypatch.setattr(os, "getppid", lambda: me)
    assert alone.at_work() is None  # not among the children: this is no kernel of theirs
    children = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        for code in (WORKS, RESTS, WORKS)
    ]
    try:
        for child in children:
            child.stdout.read(1)
        monkeypatch.setattr(os, "getpid", lambda: children[1].pid)
        seen = Neighbours()
        assert seen.at_work() is None  # nothing is known yet
        before = seen.computed()
        deadline = time.monotonic() + 60
        while any(seen.computed()[str(c.pid)] - before[str(c.pid)] < 0.2 for c in children[::2]):
            assert time.monotonic() < deadline
        assert seen.at_work() == 3
        seen._at -= 100 * LOOK
        assert seen.at_work() is None  # too long ago
    finally:
        for child in children:
            child.kill()
            child.communicate()
    monkeypatch.setattr(os, "getppid", lambda: parent)
