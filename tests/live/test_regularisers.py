"""Page 10: the signs that its kept networks show, that a new seed joins, that nothing breaks it."""

import math

import pytest
from hypothesis import given, settings

from kit.contrast import NOT_SEEN, contrast, means
from kit.live.regularisers import CHOICES, NAMES, Regularisers
from kit.studies import STRENGTHS, stored_table
from tests.live.scenes import check_page, check_skipping, check_words, steps

TABLE = stored_table("regularisers")
RATIO = ("sharpness", "jacobian_max")
STRONG = {name: values[-1] for name, values in STRENGTHS.items()}


def change(data, loss, name, column, strength=None):
    rows = TABLE[TABLE["part"] == f"{data}, {loss}, {name}"]
    strength = STRONG[name] if strength is None else strength
    return contrast(rows, column, name, 0.0, strength, relative=column in RATIO)


def at_each_strength(data, loss, name, column):
    """The verdicts that the slider goes through."""
    return [change(data, loss, name, column, s).word for s in STRENGTHS[name][1:]]


def test_the_page_opens_locked_reveals_and_hands_over_its_files():
    check_page(Regularisers)
    check_skipping(Regularisers)


@pytest.fixture(scope="module")
def scene():
    scene = Regularisers()
    scene.show()
    return scene


def test_no_order_of_actions_breaks_it(scene):
    @settings(max_examples=15, deadline=None)
    @given(steps(scene).filter(lambda actions: ("reset", None) not in actions))
    def check(actions):
        for name, value in actions:
            scene.do(name, value)
            assert not scene.status.startswith("Not done")
            assert scene.part_name() in scene.study.parts
            if scene.running:
                scene.work(0.001)
            check_words(scene)
        scene.running = False

    check()


def test_before_the_answer_nothing_with_decay_is_shown_and_the_answer_is_computed():
    scene = Regularisers()
    assert set(scene.table()["weight_decay"]) == {0.0}
    assert [row[0] for row in scene.numbers()] == ["networks"]
    assert scene.answer() == CHOICES[0]


# What the prose says under "What you should see".


@pytest.mark.parametrize(("data", "least"), [("mnist1d", 3.0), ("digits", 7.0)])
def test_weight_decay_under_cross_entropy_raises_sharpness_while_the_loss_gap_falls(data, least):
    change_of = change(data, "cross_entropy", "weight_decay", "sharpness")
    assert change_of.word == "rises"
    assert math.exp(change_of.mean) > least
    for column in ("jacobian_max", "loss_gap"):
        assert change(data, "cross_entropy", "weight_decay", column).word == "falls"


@pytest.mark.parametrize("data", ["mnist1d", "digits"])
def test_weight_decay_under_mse_lowers_all_three(data):
    for column in ("sharpness", "jacobian_max", "loss_gap"):
        assert change(data, "mse", "weight_decay", column).word == "falls"


def test_label_smoothing_and_the_two_gaps():
    for data in ("mnist1d", "digits"):
        assert change(data, "cross_entropy", "label_smoothing", "sharpness").word == "rises"
        assert change(data, "cross_entropy", "label_smoothing", "jacobian_max").word == "falls"
    rows = TABLE[TABLE["part"] == "mnist1d, cross_entropy, label_smoothing"]
    gaps = [gap for _, gap, _ in means(rows, "loss_gap", "label_smoothing")]
    assert gaps[-1] < gaps[0] / 3
    words = {
        (data, column): at_each_strength(data, "cross_entropy", "label_smoothing", column)
        for data in ("mnist1d", "digits")
        for column in ("loss_gap", "error_gap")
    }
    assert words == {
        ("mnist1d", "loss_gap"): ["falls"] * 4,
        ("mnist1d", "error_gap"): [NOT_SEEN] * 4,
        ("digits", "loss_gap"): ["falls", "falls", NOT_SEEN, NOT_SEEN],
        ("digits", "error_gap"): ["falls"] * 4,
    }
    for strength in STRENGTHS["label_smoothing"][1:]:  # raising it was not seen, at any strength
        for data in ("mnist1d", "digits"):
            found = change(data, "cross_entropy", "label_smoothing", "error_gap", strength)
            assert found.word != "rises"


def test_sam_is_not_monotone_under_cross_entropy_and_is_under_mse():
    rows = TABLE[TABLE["part"] == "mnist1d, cross_entropy, sam_radius"]
    sharp = {x: y for x, y, _ in means(rows, "sharpness", "sam_radius")}
    assert sharp[0.1] < 0.5 * sharp[0.0]
    assert sharp[0.1] <= min(sharp[0.2], sharp[0.5])
    rows = TABLE[TABLE["part"] == "mnist1d, mse, sam_radius"]
    sharp = [y for _, y, _ in means(rows, "sharpness", "sam_radius")]
    assert sharp == sorted(sharp, reverse=True)
    rows = TABLE[TABLE["part"] == "digits, cross_entropy, sam_radius"]
    sharp = {x: y for x, y, _ in means(rows, "sharpness", "sam_radius")}
    assert min(sharp, key=sharp.get) == 0.2
    higher = contrast(rows, "sharpness", "sam_radius", 0.2, 0.5, relative=True)
    assert higher.low > math.log(3)
    gaps = {x: y for x, y, _ in means(rows, "loss_gap", "sam_radius")}
    assert sharp[0.2] < 0.1 * sharp[0.0]
    assert 0.9 * gaps[0.0] < gaps[0.2] < gaps[0.0]


def test_mixup():
    assert at_each_strength("mnist1d", "cross_entropy", "mixup", "sharpness") == ["rises"] * 3
    assert at_each_strength("mnist1d", "mse", "mixup", "sharpness") == ["falls"] * 3
    for loss in ("cross_entropy", "mse"):
        assert at_each_strength("mnist1d", loss, "mixup", "loss_gap") == ["falls"] * 3
    errors = at_each_strength("mnist1d", "cross_entropy", "mixup", "error_gap")
    assert errors == [NOT_SEEN, NOT_SEEN, "falls"]
    assert at_each_strength("mnist1d", "mse", "mixup", "error_gap") == ["falls"] * 3


@pytest.mark.parametrize("name", NAMES)
def test_a_strong_regulariser_leaves_the_training_loss_high(name):
    rows = TABLE[TABLE["part"] == f"mnist1d, cross_entropy, {name}"]
    reached = {x: y for x, y, _ in means(rows, "train_loss", name)}
    assert reached[STRONG[name]] > 10 * reached[0.0]


def test_label_smoothing_and_mse_do_not_go_together_and_the_page_says_so(scene):
    scene.do("loss", "cross_entropy")
    scene.do("label_smoothing", 0.0)
    scene.do("label_smoothing", 0.3)
    scene.do("loss", "mse")
    assert scene.values["chosen"] == "weight_decay"
    assert "is for cross-entropy" in scene.status
    scene.do("label_smoothing", 0.2)
    assert scene.values["loss"] == "cross_entropy"
    assert scene.values["chosen"] == "label_smoothing"


def test_a_seed_of_ones_own_joins_and_is_told_apart():
    scene = Regularisers()
    scene.show()
    scene.do("data", "digits")
    scene.do("mixup", 1.0)
    scene.do("run")
    while scene.running:
        scene.work(0.2)
    mine = scene.rows[scene.rows["own"]]
    assert sorted(mine["mixup"]) == list(STRENGTHS["mixup"])
    assert set(mine["seed"]) == {5}
    assert scene.changes["mixup"]["sharpness"].count == 6
