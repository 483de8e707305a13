"""Page 5: what it says of the floor, and that nothing a reader does breaks it."""

import time

import numpy as np
import pytest
from hypothesis import given, settings

from kit.forcing import EVERY
from kit.live.forced import DIGITS, READ, SHOWN, Forced, slack
from kit.live.forced_pictures import Course, Fit, Losses, changes_of, room
from kit.sharpening import along_segment, jacobian_floor, sharpness_floor
from tests.live.scenes import check_page, check_skipping, check_words, steps


def shown(*actions):
    """A scene after its answer and what a reader does, then as many steps as the page shows."""
    scene = Forced()
    scene.show()
    for name, value in actions:
        scene.do(name, value)
    if actions:
        scene.run.advance(SHOWN)
    return scene


@pytest.fixture(scope="module")
def tanh():
    return shown()


@pytest.fixture(scope="module")
def relu():
    return shown(("units", "relu"))


@pytest.fixture(scope="module")
def digits():
    return shown(("data", "digits"))


def test_the_page_opens_locked_reveals_and_hands_over_its_files():
    check_page(Forced)
    check_skipping(Forced)


@settings(max_examples=10, deadline=None)
@given(steps(Forced()))
def test_no_order_of_actions_breaks_it(actions):
    scene = Forced()
    scene.show()
    for name, value in actions:
        scene.do(name, value)
        assert not scene.status.startswith("Not done")
        if scene.running:
            scene.work(0.001)
        check_words(scene)


def test_it_opens_on_the_beginning_and_the_answer_is_the_theorems():
    scene = Forced()
    assert scene.run.step < 100
    assert scene.run.segment < 0.1
    assert not any("perfect" in row[0] for row in scene.numbers())
    assert scene.answer() == 10.0
    scene.do("gap", 0.1)
    assert scene.answer() == 20.0


@pytest.mark.parametrize("name", ["tanh", "relu", "digits"])
def test_the_slope_stays_above_its_floor_at_every_step(name, request):
    rows = request.getfixturevalue(name).run.rows
    segment, floor, forced = (np.array(rows[name]) for name in ("segment", "floor", "forced"))
    assert (segment >= 0.9999 * floor).all()
    assert (forced + 1e-9 >= floor).all()


@pytest.mark.parametrize("name", ["tanh", "digits"])
def test_the_numbers_are_those_of_kit_sharpening(name, request):
    run = request.getfixturevalue(name).run
    objective = run.training.objective
    floor, bound = jacobian_floor(objective), sharpness_floor(objective)
    assert run.floor.value == pytest.approx(floor.value, rel=1e-4)
    assert set(run.pair) == set(floor.pair)
    a, b = (objective.X[k] for k in run.pair)
    measured = along_segment(run.training.model, a, b, points=201)
    assert run.segment == pytest.approx(measured, rel=1e-4)
    top, residual, least = run.curvature()
    assert least == pytest.approx(bound.value, rel=1e-3)
    assert top == pytest.approx(bound.terms["lambda_max(G)"], abs=3 * residual + 1e-2)


def test_with_fresh_weights_little_is_forced_and_then_almost_ten(tanh):
    rows = tanh.run.rows
    assert rows["floor"][0] < 0.2
    assert tanh.run.floor.value == pytest.approx(9.8, abs=0.1)
    assert tanh.run.segment == pytest.approx(16, abs=1)
    assert tanh.run.segment / tanh.run.floor.value == pytest.approx(1.6, abs=0.1)
    assert tanh.run.rows["loss"][-1] < 0.02 * tanh.run.rows["loss"][0]


def test_half_the_distance_doubles_the_floor():
    run = shown(("gap", 0.1)).run
    assert run.forced.value == pytest.approx(20, rel=1e-6)
    assert run.floor.value > 18.5
    assert run.segment > run.floor.value


def test_half_the_labels_halve_the_floor_and_the_slope_stays_above():
    scene = shown()
    scene.do("scale", 0.5)
    assert scene.run.floor.value < 1
    scene.run.advance(SHOWN)
    assert scene.run.floor.value == pytest.approx(4.9, abs=0.1)
    assert scene.run.segment == pytest.approx(11, abs=1)


def test_the_samples_miss_the_steep_place_of_a_relu_network(relu):
    assert relu.run.segment == pytest.approx(10.4, abs=0.4)
    assert relu.run.samples < 3
    assert relu.run.segment / relu.run.floor.value == pytest.approx(1.1, abs=0.05)
    assert any("below the floor" in row[2] for row in relu.numbers())


def test_sharpness_is_hardly_forced(tanh, digits):
    scene = shown()
    scene.do("again")
    assert tanh.run.segment > 50 * scene.run.segment
    before, after = scene.run.curvature()[0], tanh.run.curvature()
    assert before == pytest.approx(5.0, abs=0.2)
    assert after[0] == pytest.approx(6.4, abs=0.2)
    assert after[0] / after[2] == pytest.approx(10, abs=2)
    top, _, least = digits.run.curvature()
    assert 1000 < top / least < 3000


def test_two_digits_of_different_classes_set_the_floor(digits):
    i, j = digits.run.pair
    assert digits.run.data.n == DIGITS
    assert digits.run.y[i].argmax() != digits.run.y[j].argmax()
    assert 2 < digits.run.segment / digits.run.floor.value < 3
    assert digits.named((i, j)) in digits.phase()


def test_a_floor_that_says_nothing_is_called_vacuous():
    scene = shown()
    scene.do("units", "relu")
    scene.do("data", "digits")
    scene.do("again")
    assert scene.run.floor.vacuous
    assert "nothing is forced" in scene.phase()
    assert scene.numbers()[1][:2] == ["floor on max ‖J‖", "vacuous (≤ 0)"]
    check_words(scene)


def test_dragging_moves_the_nearest_target_and_leaves_one_mark():
    scene = shown()
    loss = scene.run.loss
    for height in (0.5, 0.9, 1.24):
        scene.point("fit", (None, -0.7, height))
    assert scene.values["which"] == 2
    assert scene.values["target"] == 1.2
    assert float(scene.run.y[1, 0]) == pytest.approx(1.2)
    assert [mark[2] for mark in scene.marks] == ["y2 moved"]
    assert scene.run.loss > loss
    assert scene.run.rows["step"][-2:] == [SHOWN, SHOWN]  # before and after, at the same weights
    scene.do("which", 7)
    assert scene.values["target"] == 0.3
    scene.do("data", "digits")
    scene.point("fit", (None, 0.0, 0.0))
    assert scene.marks == []
    scene.do("target", -0.5)
    assert "points on the line" in scene.status
    scene.do("data", "points")
    assert float(scene.run.y[6, 0]) == pytest.approx(-0.5)


def test_targets_that_are_all_equal_force_nothing():
    scene = shown()
    for k in range(8):
        scene.do("which", k + 1)
        scene.do("target", 0.0)
    assert scene.run.forced.value == 0
    check_words(scene)
    for picture in scene.pictures.values():
        assert picture().encode(scene, still=True)[:4] == b"\x89PNG"


def test_a_change_shows_in_the_numbers_at_once():
    scene, times = shown(), []
    for value in (1.25, 1.5, 1.0, 0.5, 1.0) * 4:
        start = time.perf_counter()
        scene.do("scale", value)
        scene.numbers()
        times.append(time.perf_counter() - start)
    assert np.median(times) < 0.05


def test_running_stops_after_long_and_a_run_that_breaks_says_so():
    scene = shown()
    scene.do("run")
    assert scene.running
    scene.run.lr = 50.0
    scene.do("scale", 2.0)
    for _ in range(100):
        scene._due = 0.0
        scene.work(0.001)
        if not scene.running:
            break
    assert "The run broke" in scene.status
    scene.do("run")
    assert not scene.running
    scene.do("again")
    assert scene.run.lr == 25.0
    assert scene.run.step == 0


def test_axes_have_room():
    assert room(0) == 1.0
    assert room(9.2) == 15.0
    assert all(room(v) >= 1.1 * v for v in np.geomspace(1e-6, 1e6, 200))


def drawn(kind, scene):
    picture = kind()
    picture.encode(scene, still=True)
    return picture


def test_the_guess_is_drawn_where_the_answer_is_read_while_the_question_stands():
    scene = Forced()
    assert len(drawn(Course, scene).guess.get_xdata()) == 0
    scene.show(7.5)
    course, fit = drawn(Course, scene), drawn(Fit, scene)
    assert list(course.guess.get_ydata()) == [7.5, 7.5]
    assert (course.guess.get_color(), course.guess.get_linestyle()) == ("#222222", ":")
    assert course.said.get_text() == "your guess"
    assert course.ax.get_ylim()[1] > 7.5
    x, y = fit.guess.get_data()
    assert (y[1] - y[0]) / (x[1] - x[0]) == pytest.approx(7.5)
    assert "your guess: slope 7.5" in fit.words[2].get_text()
    assert "your guess was 7.5" in course.alt(scene)
    scene.do("gap", 0.1)  # another question
    assert drawn(Course, scene).said.get_text() == ""
    assert drawn(Fit, scene).words[2].get_text() == ""


def test_what_is_said_to_the_guess_is_what_the_page_shows(tanh):
    because = Forced.question.because
    assert "slope 10" in because
    assert tanh.answer() == 10.0
    assert "its floor is a little lower" in because
    assert 9 < tanh.run.floor.value < 10
    assert "steeper than it must be" in because
    assert tanh.run.segment > 1.2 * tanh.answer()


def test_after_a_change_it_says_not_trained_on_these_yet_until_it_was():
    scene = shown()
    scene.do("scale", 0.5)
    assert scene.untrained
    assert scene.phase().startswith("Not trained on these yet. Samples 4 and 5 will need slope 5")
    assert "not trained on these yet" in scene.numbers()[1][2]
    fit, course = drawn(Fit, scene), drawn(Course, scene)
    assert "4 and 5 will need slope 5.00: not trained yet" in fit.words[0].get_text()
    assert not fit.steepest.get_visible()
    assert course.ends.get_ydata()[0] > 15  # of the last fit, not of another pair
    assert all("not trained" in kind().alt(scene) for kind in (Fit, Course))
    scene.run.advance(10)
    assert not scene.untrained
    assert scene.phase().startswith("10 steps on these data: samples ")
    assert np.isnan(drawn(Course, scene).curves["segment"].get_ydata()).sum() == 1
    scene.do("again")
    assert not scene.untrained
    assert scene.phase().startswith("Samples ")


def test_an_estimate_above_what_is_measured_is_said_to_fail():
    scene = shown(("gap", 0.05), ("scale", 2.0))
    top, residual, least = scene.run.curvature()
    assert least > top + residual
    assert scene.run.samples < scene.run.floor.value
    remark = scene.numbers()[-1][2]
    assert "the estimate fails here" in remark
    assert "times" not in remark
    for times in (1.5, 10, 2000):
        said = slack(times, 0.0, 1.0, 5.0)
        assert said.startswith(f"{times:.10g} times too low")
    assert slack(1.0, 0.1, 1.05, 5.0).startswith("as large as")
    assert "vacuous" in slack(1.0, 0.1, 0.0, 5.0)


def test_the_words_of_changes_do_not_overprint_each_other():
    scene = shown()
    for k, name in enumerate(("scale", "gap", "target", "scale", "gap", "target")):
        control = next(c for c in scene.controls if c.name == name)
        scene.do(name, control.values[k])
        if k % 3 != 1:
            scene.run.advance(10)
    picture = drawn(Course, scene)
    boxes = [text.get_window_extent() for text in picture.words_of_marks]
    assert len(boxes) == len(changes_of(scene.marks)) == 4
    assert [a.overlaps(b) for a in boxes for b in boxes if a is not b] == [False] * 12
    assert all(picture.ax.bbox.x0 - 1 < box.x0 for box in boxes)


def test_the_words_of_changes_lie_where_no_curve_is():
    scene = shown()
    for name, value in (("scale", 0.5), ("gap", 0.1), ("target", 0.4), ("scale", 2.0)):
        scene.do(name, value)
        scene.run.advance(300)
        for kind in (Course, Losses):
            picture = drawn(kind, scene)
            for text in picture.words_of_marks:
                box = text.get_window_extent()
                assert picture.ax.bbox.y0 < box.y0
                for curve in picture.curves.values() if kind is Course else [picture.line]:
                    path = curve.get_path().transformed(curve.get_transform())
                    assert not path.intersects_bbox(box, filled=False), text


def test_a_drag_is_told_as_a_whole_and_for_as_long_as_it_is_so():
    scene = shown()
    for scale in (1.25, 1.5, 2.0):
        scene.do("scale", scale)
    told = "labels × 2: the floor of a perfect fit went from 10.0 to 20.0."
    assert scene.status == f"{told} Press Run."
    scene.do("scale", 1.0)
    assert scene.status == "labels × 1: the floor of a perfect fit is still 10.0. Press Run."
    scene.do("scale", 2.0)
    scene.do("gap", 0.1)  # another change, from where this one began
    assert "went from 20.0 to 40.0" in scene.status
    scene.do("again")
    assert "went from" not in scene.status
    scene.do("run")
    scene.do("scale", 1.0)
    assert scene.status == "labels × 1: the floor of a perfect fit went from 40.0 to 20.0."
    for _ in range(READ // EVERY):
        assert "went from" in scene.status
        scene._due = 0.0
        scene.work(0.001)
    assert scene.status == "Running."
    scene.do("pause")
    scene.do("target", 0.5)
    scene.do("which", 2)
    scene.do("target", 1.5)
    assert [mark[2] for mark in scene.marks[-2:]] == ["y4 moved", "y2 moved"]


def test_a_number_without_use_is_said_in_words():
    scene = Forced()
    scene.show()
    scene.do("again")
    scene.run.advance(60)
    top, _, least = scene.run.curvature()
    assert top / least > 1e4
    remark = scene.numbers()[-1][2]
    assert remark == f"it says next to nothing: {float(f'{top / least:.2g}'):.10g} times too low"


def test_controls_of_the_line_are_idle_on_digits():
    scene = shown()
    assert scene.idle() == {}
    scene.do("data", "digits")
    assert set(scene.idle()) == {"gap", "which", "target"}
