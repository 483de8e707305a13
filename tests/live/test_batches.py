"""Page 9: what its kept networks show, that a new seed joins them, and that nothing breaks it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings

from kit.contrast import NOT_SEEN, contrast
from kit.live.batches import CHOICES, MEASURES, RATES, Batches
from kit.studies import stored_table
from tests.live.scenes import check_page, check_skipping, check_words, steps

TABLE = stored_table("batch_size")


def change(part, column, *, lr=None, relative=True):
    rows = TABLE[TABLE["part"] == part]
    if lr is not None:
        rows = rows[rows["lr"] == lr]
    return contrast(rows, column, "batch_size", 8, 512, pairs=("seed", "lr"), relative=relative)


def test_the_page_opens_locked_reveals_and_hands_over_its_files():
    check_page(Batches)
    check_skipping(Batches)


@pytest.fixture(scope="module")
def scene():
    scene = Batches()
    scene.show()
    return scene


def test_no_order_of_actions_breaks_it(scene):
    @settings(max_examples=12, deadline=None)
    @given(steps(scene).filter(lambda actions: ("reset", None) not in actions))
    def check(actions):
        for name, value in actions:
            scene.do(name, value)
            assert not scene.status.startswith("Not done")
            if scene.running:
                scene.work(0.001)
            check_words(scene)
        scene.running = False

    check()


# What the prose says under "What you should see".


def test_before_the_answer_only_the_smallest_batch_is_shown_and_the_answer_is_computed():
    scene = Batches()
    assert set(scene.table()["batch_size"]) == {8}
    assert [row[0] for row in scene.numbers()] == ["networks"]
    assert scene.answer() == CHOICES[0]


@pytest.mark.parametrize("lr", RATES)
def test_mnist1d_at_equal_steps_both_gaps_and_the_jacobian_grow_at_every_rate(lr):
    for name in ("loss_gap", "error_gap"):
        assert change("mnist1d, updates", name, lr=lr, relative=False).word == "rises"
    assert change("mnist1d, updates", "jacobian_max", lr=lr).word == "rises"


def test_mnist1d_at_equal_steps_sharpness_grows_at_one_rate_and_falls_at_another():
    assert change("mnist1d, updates", "sharpness", lr=0.05).word == "rises"
    assert change("mnist1d, updates", "sharpness", lr=0.2).word == "falls"
    rows = TABLE[(TABLE["part"] == "mnist1d, updates")]
    reached = rows.groupby("batch_size")["train_loss"].mean()
    assert reached[8] > 3 * reached[512]


def test_mnist1d_at_equal_training_loss():
    for name in ("sharpness", "invariant_sharpness_layer"):
        assert change("mnist1d, loss", name).low > math.log(2)
    assert change("mnist1d, loss", "loss_gap", relative=False).word == "rises"
    assert change("mnist1d, loss", "error_gap", relative=False).word == NOT_SEEN
    rows = TABLE[TABLE["part"] == "mnist1d, loss"]
    unfinished = rows[rows["status"] != "done"]
    assert set(zip(unfinished["lr"], unfinished["batch_size"], strict=True)) == {(0.2, 8)}


def test_digits_sharpness_grows_at_every_rate_and_of_six_gaps_one_differs():
    for lr in RATES:
        assert change("digits, updates", "sharpness", lr=lr).word == "rises"
    found = {
        (name, lr): change("digits, updates", name, lr=lr, relative=False)
        for name in ("loss_gap", "error_gap")
        for lr in RATES
    }
    assert [key for key, gap in found.items() if gap.word != NOT_SEEN] == [("error_gap", 0.1)]
    assert found["error_gap", 0.1].mean == pytest.approx(0.0015, abs=0.0001)
    by_chance = 1 - 0.95**6  # that an interval of six misses
    assert by_chance == pytest.approx(1 / 4, abs=0.02)


@pytest.mark.parametrize("data", ["mnist1d", "digits"])
def test_equal_passes_compare_trained_with_untrained(data):
    rows = TABLE[TABLE["part"] == f"{data}, epochs"]
    reached = rows.groupby("batch_size")["train_loss"].mean()
    gaps = rows.groupby("batch_size")["loss_gap"].mean()
    assert reached[512] > 5 * reached[8]
    assert gaps.idxmin() == 512
    assert np.all(np.diff(gaps) < 0)


def test_pooled_tau_can_have_the_other_sign(scene):
    scene.do("data", "mnist1d")
    scene.do("match", "updates")
    scene.do("measure", "invariant_sharpness_layer")
    scene.do("gap", "error_gap")
    within, pooled = scene.tau()
    assert pooled.high < 0 < within.tau


def test_where_no_pair_finished_it_says_so(scene):
    scene.do("data", "mnist1d")
    scene.do("match", "loss")
    scene.do("lr", 0.2)
    assert "nothing to compare" in scene.phase()
    assert "5 left out" in scene.numbers()[-1][2]
    scene.do("match", "updates")
    scene.do("lr", 0.05)


def test_a_seed_of_ones_own_joins_and_is_told_apart():
    scene = Batches()
    scene.show()
    scene.do("data", "digits")
    scene.do("match", "epochs")  # the quickest part
    scene.do("run")
    shares = []
    while scene.running:
        scene.work(0.2)
        shares.append(scene.growing.share if scene.growing else 1.0)
        check_words(scene)
        if len(shares) == 2:  # pausing and going on loses nothing
            scene.do("run")
            assert "Paused" in scene.status
            scene.do("run")
    assert shares == sorted(shares)
    mine = scene.rows[scene.rows["own"]]
    assert set(mine["seed"]) == {5}
    assert len(mine) == 12
    assert np.isfinite(mine[[*MEASURES, "loss_gap", "error_gap"]].to_numpy(float)).all()
    assert "12 networks" in scene.status
    assert "6 seeds; 12 of your own" in scene.numbers()[-1][2]
    columns = scene.columns()
    assert sum(columns["own"]) == 12
