"""Page 4: what each of its seven runs shows, and that nothing a reader does breaks it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from kit import Objective, eigenvalues, jacobian_norms, mlp
from kit.live.link import CASES, CHOICES, SEEN, Link, alignment
from tests.live.scenes import check_page, check_skipping, check_words, steps


def test_the_page_opens_locked_reveals_and_hands_over_its_files():
    check_page(Link)
    check_skipping(Link)


def finish(scene):
    while scene.running:
        scene.work(1.0)


@pytest.fixture(scope="module")
def scene():
    scene = Link()
    scene.show()
    finish(scene)
    return scene


def ran(scene, case, width=64):
    """The case from its start to its end."""
    scene.do("case", case)
    scene.do("width", width)
    scene.do("again")
    scene.do("run")
    while scene.running:
        scene.work(0.5)
    assert scene.steps[-1] == CASES[case].steps
    assert CASES[case].why in scene.status
    check_words(scene)
    return np.array(scene.sharpness), np.array(scene.jacobian)


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


def test_it_opens_while_both_rise_and_the_answer_is_computed():
    scene = Link()
    assert scene.steps[-1] == SEEN
    assert scene.sharpness[-1] > 2 * scene.sharpness[0]
    assert scene.jacobian[-1] > 2 * scene.jacobian[0]
    assert scene.answer() == CHOICES[1]
    assert scene.steps[-1] == SEEN  # the answer took a copy


def test_at_the_edge_sharpness_stops_and_the_jacobian_does_not(scene):
    sharpness, jacobian = ran(scene, "edge")
    assert sharpness[:5].max() < 7
    assert sharpness[125:].mean() == pytest.approx(10.0, rel=0.03)
    assert jacobian[-1] > 12
    assert jacobian[-1] > 1.2 * jacobian[100]


def test_confidence_parts_them_and_label_smoothing_does_not(scene):
    sharpness, jacobian = ran(scene, "confident")
    assert sharpness[-1] < sharpness.max() / 5
    assert jacobian[-1] > 2 * jacobian[sharpness.argmax()]
    smoothed, steep = ran(scene, "smoothed")
    assert smoothed[-1] > 0.8 * smoothed.max()
    assert steep[-1] > 2 * steep[20]


def test_samples_at_right_angles_part_them(scene):
    sharpness, jacobian = ran(scene, "apart")
    assert jacobian[-1] > 10 * jacobian[0]
    assert sharpness[-1] < 3 * sharpness[0]
    assert 1 / 40 < alignment(scene.training.objective) < 3 / 40
    (row,) = (row for row in scene.numbers() if row[0] == "alignment")
    assert float(row[1]) == pytest.approx(alignment(scene.training.objective), rel=0.01)


def test_alignment_is_one_where_all_samples_are_the_same_and_bounds_hold():
    X = torch.randn(1, 3, generator=torch.Generator().manual_seed(0)).expand(5, 3).double()
    same = Objective(mlp((3, 4, 2), seed=0).double(), X, torch.ones(5, 2), loss="mse")
    assert alignment(same) == pytest.approx(1.0)
    other = Objective(
        mlp((3, 2), bias=False, seed=0).double(), torch.eye(3), torch.ones(3, 2), loss="mse"
    )
    assert alignment(other) == pytest.approx(1 / 3)


def test_a_linear_model_keeps_its_sharpness(scene):
    sharpness, jacobian = ran(scene, "linear")
    assert sharpness == pytest.approx(sharpness[0], rel=2e-3)
    assert jacobian[-1] > 3 * jacobian[0]


def test_inputs_times_ten_are_the_same_function_and_another_sharpness(scene):
    scene.do("case", "inputs")
    scene.do("again")
    assert scene.sharpness[0] > 2 * scene.plain
    plain, steep = scene.plain, scene.jacobian[0]
    scene.do("case", "confident")
    scene.do("again")
    assert scene.jacobian[0] == pytest.approx(steep, rel=1e-3)
    assert scene.sharpness[0] == pytest.approx(plain, rel=1e-3)


def test_the_wider_the_first_layer_the_less_sharpness_follows(scene):
    growth, steeper = {}, {}
    for width in (64, 1024):
        sharpness, jacobian = ran(scene, "width", width)
        growth[width] = sharpness[-1] / sharpness[0]
        steeper[width] = jacobian[-1] / jacobian[0]
    assert steeper[64] == pytest.approx(3, abs=0.3)
    assert 2 < steeper[1024] < 2.6
    assert growth[64] > 4
    assert 1 < growth[1024] < 1.5


def test_the_residual_part_is_large_early_and_small_late(scene):
    ran(scene, "confident")
    H = [scene.sharpness[scene.steps.index(t)] for t in scene.looked]
    apart = np.abs(np.array(H) / np.array(scene.gauss_newton) - 1)
    assert apart[0] > 0.02
    assert apart[-1] < 0.02


def test_numbers_are_those_of_the_package(scene):
    scene.do("case", "smoothed")
    scene.do("again")
    scene.do("step")
    objective = scene.training.objective
    assert scene.sharpness[-1] == pytest.approx(float(eigenvalues(objective).values[0]), rel=1e-2)
    largest = float(jacobian_norms(objective.model, objective.X).max())
    assert scene.jacobian[-1] == pytest.approx(largest, rel=1e-4)
    assert sum(scene.shares.values()) == pytest.approx(1)
    assert scene.spectrum[0][0] == pytest.approx(scene.sharpness[-1], rel=1e-2)


def test_after_the_guess_the_run_goes_on_before_the_readers_eyes():
    scene = Link()
    before = len(scene.steps)
    scene.show(scene.answer())
    assert scene.running
    assert before < len(scene.steps) < scene.case.steps // scene.case.every
    finish(scene)
    assert scene.steps[-1] == scene.case.steps
    assert scene.case.why in scene.status


def test_the_width_is_idle_but_in_its_own_case():
    scene = Link()
    assert set(scene.idle()) == {"width"}
    scene.do("case", "width")
    assert scene.idle() == {}
