"""Page 3: what it says of the toy and of the network, and that nothing a reader does breaks it."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings

from kit.live.stabilise import BRANCH, CHOICES, Stabilise
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
    scene.values["alpha"] = 0.1
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
    """Prose: within about 10% above 2/eta, and nearly every step goes back."""
    late = slice(420, None)
    ratio = 1 + network.y[late] / network.edge
    assert ratio.min() > 0.97
    assert ratio.max() < 1.15
    assert 1.0 < ratio.mean() < 1.1
    assert np.mean(network.reversals[late]) > 0.9


def test_a_burst_of_x_pulls_sharpness_down(network):
    burst = 400 + int(np.abs(network.x[400:545]).argmax())
    assert network.y[burst + 10] < network.y[burst - 6] - 0.2


def test_the_loss_falls_over_longer_times(network):
    losses = np.array(network.losses)
    assert losses[-40:].mean() < losses[400:440].mean()


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
    run = PRESETS["slow"].build(measures=("sharpness",), every=1)
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
