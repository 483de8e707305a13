"""Page 1: what it says, and that nothing a reader does breaks it."""

import subprocess
import sys
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings

from kit import quadratic
from kit.live import ScenePage
from kit.live.parabola import CURVATURES, RATES, STEPS, Parabola
from tests.live.scenes import check_page, check_skipping, check_words, steps


def shown():
    scene = Parabola()
    scene.show()
    return scene


def test_the_page_opens_locked_reveals_and_hands_over_its_files():
    check_page(Parabola)
    check_skipping(Parabola)


@settings(max_examples=40, deadline=None)
@given(steps(Parabola()))
def test_no_order_of_actions_breaks_it(actions):
    scene = shown()
    for name, value in actions:
        scene.do(name, value)
        assert not scene.status.startswith("Not done")
        check_words(scene)
        assert 0 <= scene.shown <= STEPS


def test_the_answer_is_two_over_the_curvature():
    assert Parabola().answer() == pytest.approx(2 / 1.25, rel=2e-3)


@pytest.mark.parametrize(
    ("lr", "what"),
    [(0.6, "comes down on its own side"), (1.2, "swings, and comes down"), (2.0, "moves away")],
)
def test_the_three_regimes_of_the_prose(lr, what):
    scene = shown()
    scene.do("flat", 1.25)
    scene.do("lr", lr)
    assert what in scene.phase()
    ends_lower = scene.losses[-1] < scene.losses[0]
    assert ends_lower == (what != "moves away")
    changes_side = scene.path[1, 0] * scene.path[0, 0] < 0
    assert changes_side == (what != "comes down on its own side")


def test_the_flat_direction_keeps_96_percent_a_step():
    scene = shown()
    for name, value in (("sharp", 4.0), ("flat", 0.1), ("lr", 0.4)):
        scene.do(name, value)
    assert scene.path[11, 1] / scene.path[10, 1] == pytest.approx(0.96)
    assert "stable" in " ".join(scene.numbers()[-1])


def test_momentum_moves_the_threshold_up_and_nesterov_down():
    scene = shown()
    scene.do("lr", 1.0)
    edges = {}
    for method in ("plain", "heavy ball", "nesterov"):
        scene.do("method", method)
        edges[method] = float(scene.numbers()[-1][1])
    assert edges == {"plain": 2.0, "heavy ball": 3.0, "nesterov": 1.5}


def test_running_comes_to_its_end_by_itself(monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr("kit.live.parabola.time.perf_counter", lambda: next(clock))
    scene = shown()
    scene.do("run")
    assert scene.running
    assert scene.shown == 0
    while scene.running:
        scene.work(0.01)
    assert scene.shown == STEPS
    assert scene.status == f"{STEPS} steps."


def test_pointing_moves_the_start_to_the_nearest_place():
    scene = shown()
    scene.point("landscape", (None, 1.04, -99.0))
    assert (scene.values["x"], scene.values["y"]) == (1.0, -3.0)
    assert scene.path[0].tolist() == [1.0, -3.0]


def test_a_value_that_no_slider_has_is_refused_and_loses_nothing():
    scene = shown()
    scene.do("lr", 17.0)
    assert scene.status.startswith("Not done: lr: got 17.0; takes one of 0.05")
    assert scene.values["lr"] == 0.5
    scene.do("nothing", 1)
    assert scene.status.startswith("Not done: nothing")


def test_the_page_needs_no_torch():
    code = "import sys; from kit.live.parabola import Parabola; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_change_while_the_page_comes_to_rest_is_in_its_pictures():
    page = ScenePage(Parabola())
    page.handle("skip", None)
    resting = page.rest()
    next(resting)
    slider = next(c for c in page.scene.controls if c.values)
    page.scene.do(slider.name, slider.values[-1])
    for _ in resting:
        pass
    for key, image in page._stage.stills.items():
        assert image == page.image(key, still=True)
    assert list(page.rest()) == []


def test_nothing_is_capped_in_silence_and_a_ball_that_leaves_is_named():
    scene = shown()
    scene.do("flat", 0.25)
    scene.do("sharp", 2.0)
    scene.do("lr", 4.0)  # the distance times 7 a step
    assert scene.losses[60] == pytest.approx(2.6**2 * 7.0**120, rel=1e-6)
    page = ScenePage(scene)
    assert page._pictures["valley"].gone.get_text() == "off the picture from step 1 on"
    assert page._pictures["descent"].gone.get_text() == "off the picture from step 2 on"
    page.handle("lr", 0.5)
    page.still()
    assert page._pictures["valley"].gone.get_text() == ""


def test_the_answer_is_a_place_of_the_slider():
    scene = shown()
    scene.do("lr", 1.6)
    assert "swings for ever" in scene.phase()


def test_near_the_answer_the_slider_is_as_fine_as_the_guess():
    low, high = Parabola.question.number
    step = (high - low) / 100
    near = [rate for rate in RATES if 1.5 <= rate <= 1.7]
    assert max(b - a for a, b in pairwise(near)) < step
    scene = shown()
    told = []
    for lr in (1.58, 1.6, 1.62):
        scene.do("lr", lr)
        told.append(scene.phase())
    assert ["comes down" in t.split("along θ₂")[0] for t in told] == [True, False, False]


def test_momentum_is_off_where_it_does_nothing():
    scene = shown()
    assert "beta" in scene.idle()
    scene.do("method", "nesterov")
    assert scene.idle() == {}


def test_the_map_shows_the_guess_and_names_only_regions_that_hold_a_name():
    page = ScenePage(Parabola())
    page.handle("guess", 1.2)
    page.still()
    drawn = page._pictures["map"]
    assert drawn.guess.get_xdata() == [1.2, 1.2]
    assert [word.get_visible() for word in drawn.words] == [True, True, True]
    page.handle("method", "nesterov")
    page.handle("beta", 0.95)
    page.still()
    assert [word.get_visible() for word in drawn.words] == [False, True, True]
    for word in drawn.words[1:]:
        product = word.get_position()[0] * word.get_position()[1]
        eta = word.get_position()[0]
        assert quadratic.regime(product, 0.95, True) == word.get_text()
        assert drawn.eta[0] < eta < drawn.eta[1]


@pytest.mark.parametrize(("method", "guess"), [("plain", None), ("plain", 1.2), ("nesterov", 0.5)])
def test_names_of_regions_lie_where_the_readers_points_do_not(method, guess):
    scene = Parabola()
    scene.show(guess)
    scene.do("method", method)
    drawn, named = scene.pictures["map"](), []
    for lr, sharp, flat in product(RATES[::4], CURVATURES[::4], CURVATURES[::6]):
        for name, value in (("lr", lr), ("sharp", sharp), ("flat", flat)):
            scene.do(name, value)
        drawn.update(scene)
        marks = [mark.get_window_extent() for mark in (drawn.sharp, drawn.flat, *drawn.labels)]
        if guess is not None:
            marks.append(drawn.guess.get_window_extent())
        first, second = (label.get_window_extent() for label in drawn.labels)
        assert not first.padded(-1).overlaps(second)
        for word in drawn.words:
            named.append(word.get_visible())
            if not word.get_visible():
                continue
            outline, box = drawn.outline(word), word.get_window_extent()
            assert outline.get_extents().extents == pytest.approx(box.extents, abs=2)
            met = [mark for mark in marks if outline.intersects_bbox(mark)]
            assert not met, (word.get_text(), lr, sharp, flat)
            assert drawn.ax.bbox.x0 < box.x0 + 1
            assert box.x1 - 1 < drawn.ax.bbox.x1
            eta, curvature = word.get_position()
            beta, nesterov = scene.momentum
            assert quadratic.regime(eta * curvature, beta, nesterov) == word.get_text()
    assert np.mean(named) > 0.98  # there is nearly always a place


def test_restart_keeps_what_was_turned():
    page = ScenePage(Parabola())
    page.handle("skip", None)
    page.handle("sharp", 4.0)
    page.handle("again", None)
    assert page.scene.values["sharp"] == 4.0
    assert page.scene.shown == 0
    assert page.furniture.beat.value == ""
