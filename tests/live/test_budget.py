import pytest

from kit.live import budget as module
from kit.live.budget import LEAST, Budget, kernels, least_share


def shared(sessions, rounds, cores=2.0, cpu=0.015):
    """Sessions on a machine that serves all who work at once alike: their shares at the end."""
    budgets = [Budget(lambda: LEAST) for _ in range(sessions)]
    for _ in range(rounds):
        demand = sum(budget.share for budget in budgets)
        slowed = max(demand / cores, 1.0)
        for budget in budgets:
            budget.spent(wall=cpu * slowed, cpu=cpu)
    return [budget.share for budget in budgets]


@pytest.mark.parametrize("sessions", [1, 2])
def test_who_has_a_core_of_its_own_never_rests(sessions):
    assert shared(sessions, 500) == [1.0] * sessions


@pytest.mark.parametrize("sessions", [5, 20, 50])
def test_many_sessions_do_not_make_each_other_wait_long_and_none_starves(sessions):
    shares = shared(sessions, 2000)
    assert 0.7 * 2 < sum(shares) < 1.8 * 2
    assert min(shares) > 0.7 * 2 / sessions / 1.5


def test_a_greedy_session_comes_down_to_the_share_of_the_others():
    budgets = [Budget(lambda: LEAST) for _ in range(8)]
    for budget in budgets[1:]:
        budget.share = 0.05
    for _ in range(6000):
        slowed = max(sum(budget.share for budget in budgets) / 2, 1.0)
        for budget in budgets:
            budget.spent(wall=0.015 * slowed, cpu=0.015)
    shares = [budget.share for budget in budgets]
    assert max(shares) < 1.2 * min(shares)


def test_under_load_pictures_take_no_more_than_the_training():
    budget = Budget(lambda: LEAST)
    budget.share = 0.1
    budget.spent(wall=0.1, cpu=0.02, drawing=True)
    assert not budget.may_draw()
    budget.spent(wall=0.1, cpu=0.03)
    assert budget.may_draw()


def worked_beside_others(budget):
    """The share after seconds in which others had nine tenths of the processor."""
    for _ in range(500):
        budget.spent(wall=0.15, cpu=0.015)
    return budget.share


@pytest.mark.parametrize(
    ("count", "cores", "share"), [(1, 1, 1.0), (2, 2, 1.0), (3, 2, LEAST), (None, 8, LEAST)]
)
def test_programs_that_are_no_readers_do_not_take_a_lone_ones_share(
    monkeypatch, count, cores, share
):
    monkeypatch.setattr(module, "kernels", lambda: count)
    monkeypatch.setattr(module, "cores", lambda: cores)
    assert worked_beside_others(Budget()) == share


def test_a_share_comes_back_once_the_other_readers_have_left(monkeypatch):
    count = 20
    monkeypatch.setattr(module, "cores", lambda: 2)
    monkeypatch.setattr(module, "kernels", lambda: count)
    budget = Budget()
    assert worked_beside_others(budget) == LEAST
    count = 1
    assert worked_beside_others(budget) == 1.0


def test_without_the_systems_list_a_session_takes_care_of_others(monkeypatch):
    monkeypatch.setattr(module.os, "getppid", lambda: 0)
    assert kernels() is None
    assert least_share() == LEAST
