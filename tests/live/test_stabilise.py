"""Page 3: what it says of the toy and of the network, and that nothing a reader does breaks it."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings

from kit.live import ScenePage
from kit.live.stabilise import BRANCH, CHOICES, DRIFTS, Stabilise
from kit.presets import PRESETS
from kit.stabilisation import displacement
from tests.live.scenes import check_page, check_skipping, check_words, steps


def shown():
    scene = Stabilise()
    scene.show()
    return scene


def test_the_page_opens_locked_reveals_and_hands_over_its_files():
    check_page(Stabilise)
    check_skipping(Stabilise)


@settings(max_examples=15, deadline=None)
@given(steps(Stabilise()))
def test_no_order_of_actions_breaks_it(actions):
    scene = shown()
    for name, value in actions:
        scene.do(name, value)
        assert not scene.status.startswith("Not done")
        if scene.running:
            scene.work(0.001)
        check_words(scene)


def test_it_opens_where_x_has_begun_to_grow_and_the_answer_is_computed():
    scene = Stabilise()
    assert scene.y[-1] > 0
    assert abs(scene.x[-1]) > 3 * abs(scene.x).min()
    assert scene.answer() == CHOICES[1]
    scene.values["drift"] = 0.1
    assert scene.answer() in CHOICES


def test_the_slice_holds_the_present_point_and_the_next():
    scene = shown()
    s, loss, _, dots = scene.slice()
    for place, value in dots:
        assert np.interp(place, s, loss) == pytest.approx(value, rel=0.02, abs=1e-4)


@pytest.fixture(scope="module")
def network():
    scene = shown()
    scene.do("what", "network")
    for _ in range(560):
        scene._one()
    return scene


def test_the_network_swings_at_the_edge(network):
    """Prose: above the line, up to some 30%, and nearly every step goes back."""
    ratio = 1 + network.y[120:] / network.edge
    assert ratio.min() > 0.9
    assert np.mean(ratio > 1) > 0.95
    assert 1.15 < ratio.max() < 1.35
    assert np.mean(network.reversals[60:]) > 0.9


def test_the_network_goes_round_once_within_eighty_steps(network):
    """Prose: a fifth above, a burst of x, some 8% below, and up again."""
    ratio = 1 + network.y / network.edge
    crossed = int(np.argmax(ratio > 1))
    assert crossed < 60
    top = crossed + int(ratio[crossed:80].argmax())
    low = top + int(ratio[top : top + 10].argmin())
    burst = crossed + int(np.abs(network.x[crossed:80]).argmax())
    assert ratio[top] == pytest.approx(1.2, abs=0.06)
    assert ratio[low] == pytest.approx(0.92, abs=0.04)
    assert low <= 80
    assert abs(burst - top) < 6
    assert np.abs(network.x[burst]) > 20 * np.abs(network.x[crossed])
    assert ratio[low : low + 25].max() > 1.05


def test_the_loss_falls_over_longer_times(network):
    losses = np.array(network.losses)
    assert losses[-40:].mean() < losses[120:160].mean()


def test_several_eigenvalues_come_to_the_edge_and_the_page_says_so(network):
    assert network.at_edge > 1
    assert "two numbers no longer tell it" in network.phase()


def test_without_the_cubic_term_the_network_leaves(network):
    while network.y[-1] < 0.2:  # above the edge
        network._one()
    network.do("cut")
    assert len(network.branch) == BRANCH
    assert abs(network.branch[-1]) > 3 * abs(network.branch[0])
    assert network.branch[0] == pytest.approx(network.x[-1], rel=0.05)
    assert "multiplied by" in network.status


def test_the_numbers_are_those_of_a_run_by_hand(network):
    run = PRESETS["slow"].build(measures=("sharpness",), lr=0.4, every=1)
    run.run(20)
    v = run.probes["sharpness"].tracker.vector
    x = displacement(run.objective, v, run.history["sharpness"][-1])
    assert abs(network.x[20]) == pytest.approx(abs(x), rel=1e-3)
    assert network.y[20] + network.edge == pytest.approx(run.history["sharpness"][-1], rel=1e-4)


def test_a_run_that_breaks_says_so_and_can_be_restarted():
    scene = shown()
    scene.do("what", "network")
    scene.training.lr = 50.0
    scene.do("run")
    while scene.running:
        scene.work(0.01)
    assert "The run broke" in scene.status
    scene.do("again")
    assert scene.step == 0


def test_the_toy_needs_no_torch():
    code = "import sys; from kit.live.stabilise import Stabilise as S; S(); "
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_reveal_ends_where_sharpness_has_just_fallen():
    scene = shown()
    assert scene.y[-1] < 0 < scene.y[-2]
    assert "4 of 4" in scene.phase()
    assert "fallen below 2/η" in scene.status


def test_without_drift_nothing_is_called_sharpening():
    scene = shown()
    scene.do("drift", 0.0)
    assert "No drift: nothing drives sharpness up" in scene.phase()


@pytest.mark.parametrize("drift", DRIFTS)
def test_the_path_stays_clear_of_the_words_of_the_phases(drift):
    page = ScenePage(shown())
    page.handle("skip", None)
    page.handle("drift", drift)
    page.image("plane", still=True)
    plane = page._pictures["plane"]
    letters = [text.get_window_extent() for text in plane.words]
    path = plane.ax.transData.transform(plane.line.get_xydata())
    assert len(path) > 100
    assert not any(box.count_contains(path) for box in letters)


def test_frozen_below_the_line_says_where_to_freeze():
    scene = shown()
    scene.do("drift", 0.0)
    scene.do("cut")
    assert "multiplied by 0." in scene.status
    assert "Freeze it above" in scene.status
    assert all(name != "|x| that balances" for name, *_ in scene.numbers())


@pytest.mark.parametrize(("drift", "after"), [(0.02, 0), (0.02, 35), (0.05, 10)])
def test_frozen_means_that_the_curvature_stays(drift, after):
    """A step multiplies x by -(1 + eta y), with y as it is: the drift is frozen, too."""
    scene = shown()
    scene.do("drift", drift)
    for _ in range(after):
        scene.do("step")
    scene.do("cut")
    factor = -(1 + scene.eta * scene.y[-1])
    assert scene.branch == pytest.approx(scene.x[-1] * factor ** np.arange(BRANCH + 1))
    assert ("to see |x| grow" in scene.status) == (scene.y[-1] < 0)


def test_in_a_lecture_it_is_frozen_where_x_grows():
    page = ScenePage(Stabilise())
    page.handle("lecture", None)
    page.handle("next", None)
    assert "nothing stops it" in page.furniture.beat.value
    assert abs(page.scene.branch[-1]) > 40 * abs(page.scene.branch[0])


def test_the_largest_eigenvalue_of_the_toy_is_a_little_more_than_its_curvature_along_x():
    scene = shown()
    for x, y in zip(scene.x, scene.y, strict=True):
        along = 2 / scene.eta + y
        top = np.linalg.eigvalsh([[along, x], [x, 0.0]])[-1]
        assert top - along == pytest.approx(scene.eta * x * x / 2, rel=0.15, abs=1e-9)


def test_controls_of_the_other_one_are_idle():
    scene = shown()
    assert set(scene.idle()) == {"lr"}
    scene.do("what", "network")
    assert set(scene.idle()) == {"drift"}


def test_the_curvature_frozen_at_the_edge_lets_the_network_leave():
    scene = shown()
    scene.do("what", "network")
    for _ in range(62):
        scene._one()
    scene.do("cut")
    assert abs(scene.branch[-1]) > 100 * abs(scene.branch[0])
