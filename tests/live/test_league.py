"""Page 12: the rankings that its kept networks show, and that nothing a reader does breaks it."""

import pytest
from hypothesis import given, settings

from kit.live import ScenePage
from kit.live.league import BASELINES, CHOICES, MEASURES, VARY, League
from kit.live.league_pictures import NAMES, TITLES, colour_of
from kit.ranking import granulated_tau, kendall_tau
from kit.registry import measures
from kit.studies import stored_table
from tests.live.scenes import check_page, check_skipping, check_words, steps

TABLE = stored_table("league")


def pooled(name, gap="loss_gap"):
    return kendall_tau(TABLE, name, gap)


def alone(name, gap="loss_gap"):
    return granulated_tau(TABLE, name, gap, vary=VARY)


def test_the_page_opens_locked_reveals_and_hands_over_its_files():
    check_page(League)
    check_skipping(League)


@pytest.fixture(scope="module")
def scene():
    scene = League()
    scene.show()
    while scene.working:
        scene.work(0.2)
    return scene


def test_no_order_of_actions_breaks_it(scene):
    @settings(max_examples=12, deadline=None)
    @given(steps(scene).filter(lambda actions: ("reset", None) not in actions))
    def check(actions):
        for name, value in actions:
            scene.do(name, value)
            assert not scene.status.startswith("Not done")
            if scene.running or scene.working:
                scene.work(0.001)
            check_words(scene)
        scene.running = False

    check()


def test_every_measure_of_the_study_and_every_baseline_has_a_row():
    assert set(NAMES) == {*MEASURES, *BASELINES}
    assert set(measures()) - set(MEASURES) == {
        "level_spacing",
        "interpolating_information_criterion",
    }
    for name in MEASURES:
        survives = "layer-wise" in measures()[name].invariances
        assert colour_of(name) == ("#0068a3" if survives else "#ad4c00"), TITLES[name]


def test_before_the_answer_fifteen_networks_are_shown_and_the_answer_is_computed():
    scene = League()
    assert len(scene.table()) == 15
    assert alone("sharpness")["batch_size"].low > 0
    cells = ScenePage(scene)._pictures["curvature"].cells
    assert [cell.get_text() for row in cells for cell in row if cell.get_text()] == ["+0.63"]
    assert scene.answer() == CHOICES[1]


def test_the_page_has_the_numbers_of_the_library(scene):
    scene.do("gap", "loss_gap")
    while scene.working:
        scene.work(0.2)
    known = scene.known()
    assert set(known) == set(NAMES)
    for name in ("sharpness", "jacobian_mean", "train_loss"):
        for column, tau in alone(name).items():
            assert known[name][column].tau == pytest.approx(tau.tau, nan_ok=True)
        assert known[name]["pooled"].tau == pytest.approx(pooled(name).tau)


# What the prose says under "What you should see".


def test_simpsons_paradox():
    columns = alone("sharpness")
    assert columns["batch_size"].tau == pytest.approx(0.63, abs=0.005)
    assert columns["batch_size"].low > 0
    assert columns["lr"].tau == pytest.approx(-1.0)
    assert pooled("sharpness").tau == pytest.approx(-0.61, abs=0.005)
    assert pooled("sharpness").high < 0


def test_the_free_ones_are_hard_to_beat():
    assert pooled("train_loss").tau == pytest.approx(-0.67, abs=0.005)
    lr = pooled("lr")
    assert lr.tau == pytest.approx(0.69, abs=0.005)
    taus = {name: pooled(name) for name in MEASURES}
    best = max(taus, key=lambda name: taus[name].tau)
    assert best == "jacobian_mean"
    assert taus[best].tau == pytest.approx(0.71, abs=0.005)
    assert taus[best].low < lr.high


def test_jacobian_norms_alone_rank_with_the_gap_in_four_columns_and_not_over_seeds():
    for name in MEASURES:
        columns = alone(name)
        least = min(columns[column].tau for column in VARY[:4])
        assert (least > 0.4) == name.startswith("jacobian"), name
    for name in ("jacobian_max", "jacobian_mean"):
        seed = alone(name)["seed"]
        assert seed.low <= 0 <= seed.high


def test_the_other_gap_and_the_invariant_one():
    assert pooled("jacobian_mean", "error_gap").tau == pytest.approx(0.40, abs=0.01)
    assert all(abs(pooled(n, "error_gap").tau) < 0.6 for n in MEASURES)
    for name in ("sharpness", "jacobian_mean", "jacobian_max"):
        assert abs(pooled(name, "error_gap").tau) < abs(pooled(name).tau)
    layer = pooled("invariant_sharpness_layer")
    assert layer.tau == pytest.approx(-0.39, abs=0.005)
    assert layer.high < 0


def test_over_seeds_hardly_any_measure_has_an_order():
    ordered = [n for n in MEASURES if not alone(n)["seed"].low <= 0 <= alone(n)["seed"].high]
    print("over seeds:", ordered)
    assert len(ordered) <= 4


@pytest.mark.slow
def test_a_seed_of_ones_own_is_trained_and_measured_in_parts(scene):
    scene.do("reset")
    scene.show()
    while scene.working:
        scene.work(0.2)
    scene.do("run")
    for _ in range(40):
        scene.work(0.1)
        check_words(scene)
    assert scene.growing.share > 0
    assert "trained" in scene.phase()
    scene.do("run")
    assert not scene.running
