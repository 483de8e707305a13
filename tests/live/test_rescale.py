"""Page 8: what it says of rescaling, and that nothing a reader does breaks it."""

import pytest
from hypothesis import given, settings

from kit.live.rescale import CHOICES, ORDER, STILL, Rescale
from kit.live.rescale_pictures import scalar_eigenvalues
from tests.live.scenes import check_page, check_skipping, check_words, steps


@pytest.fixture(scope="module")
def scene():
    scene = Rescale()
    scene.show()
    finish(scene)
    return scene


def finish(scene):
    while scene.running or scene.working:
        scene.work(0.05)


def moved(scene):
    return {name for name, ratio in scene.ratios.items() if abs(ratio - 1) > STILL}


def test_the_page_opens_locked_reveals_and_hands_over_its_files():
    check_page(Rescale)
    check_skipping(Rescale)


def test_no_order_of_actions_breaks_it(scene):
    @settings(max_examples=12, deadline=None)
    @given(steps(scene).filter(lambda actions: ("reset", None) not in actions))
    def check(actions):
        scene.do("undo")
        for name, value in actions:
            scene.do(name, value)
            assert not scene.status.startswith("Not done")
            scene.work(0.001)
            check_words(scene)

    check()


def test_it_opens_at_the_edge_with_nothing_moved():
    scene = Rescale()
    assert scene.base.history["sharpness"][-1] == pytest.approx(4.0, rel=0.03)
    assert moved(scene) == set()
    assert scene.curve == {}
    assert scene.answer() == CHOICES[1]


def test_layers_move_five_measures_and_nodes_nine(scene):
    scene.do("undo")
    scene.do("alpha", 10.0)
    finish(scene)
    assert moved(scene) == set(ORDER) & {
        "sharpness",
        "trace",
        "frobenius",
        "keskar",
        "critical_sharpness",
    }
    assert min(scene.ratios[n] for n in ("sharpness", "trace", "frobenius")) > 30
    assert scene.change < 1e-14
    scene.do("undo")
    scene.do("spread", 1.0)
    finish(scene)
    extra = moved(scene) - {"sharpness", "trace", "frobenius", "keskar", "critical_sharpness"}
    assert extra == {
        "invariant_sharpness_layer",
        "invariant_sharpness_riemannian",
        "relative_flatness",
        "minimum_sharpness",
    }


@pytest.mark.parametrize(
    ("alpha", "word"),
    [
        (0.1, "blew up"),
        (0.5, "recovered"),
        (2.0, "recovered"),
        (3.0, "recovered"),
        (10.0, "collapsed"),
    ],
)
def test_what_becomes_of_the_rescaled_network(scene, alpha, word):
    scene.do("undo")
    scene.do("alpha", alpha)
    scene.do("run")
    finish(scene)
    assert word in scene.outcome()
    assert scene.status == scene.outcome()
    _, loss, _ = scene.after()
    if word == "recovered":
        assert loss.max() > 3 * loss[0]
        assert loss[-1] < loss.max() / 10


def test_the_curve_lies_below_alpha_squared(scene):
    scene.do("undo")
    finish(scene)
    assert len(scene.curve) == 21
    for alpha, ratio in scene.curve.items():
        assert ratio <= 1.001 * max(alpha, 1 / alpha) ** 2


def test_weight_decay_adds_a_row_that_moves(scene):
    scene.do("undo")
    scene.do("decay", 0.01)
    scene.do("alpha", 10.0)
    row = scene.numbers()[-1]
    assert row[0] == "loss + μ/2 ‖θ‖²"
    assert float(row[1]) > 2 * float(row[2].split()[1].rstrip(":"))


@pytest.mark.parametrize("alpha", [0.05, 1.0, 20.0])
def test_the_smallest_case_is_the_closed_form(alpha):
    """theory.md, P2.7 and Part III, 11."""
    H, S = scalar_eigenvalues(alpha)
    assert pytest.approx(alpha**2 + alpha**-2, rel=1e-9) == H
    assert pytest.approx(2, rel=1e-9) == S
