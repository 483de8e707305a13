"""Page 8: what it says of rescaling, and that nothing a reader does breaks it."""

import io
import math
import re

import pytest
from hypothesis import given, settings
from PIL import Image

from kit.live.panels import HEIGHT, WIDTH
from kit.live.rescale import CHOICES, LIMITS, ORDER, STILL, Rescale, unmoved
from kit.live.rescale_pictures import MEANS, After, Measures, scalar_eigenvalues
from kit.live.text import greek, short
from kit.registry import measures
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
    assert not any("move it" in " ".join(r) for r in scene.numbers())  # no answer before a guess
    assert scene.answer() == CHOICES[2]


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
    before = re.search(r"before the rescaling ([\d.]+):", row[2])
    assert float(row[1]) > 2 * float(before[1])


@pytest.mark.parametrize("alpha", [0.05, 1.0, 20.0])
def test_the_smallest_case_is_the_closed_form(alpha):
    """theory.md, P2.7 and Part III, 11."""
    H, S = scalar_eigenvalues(alpha)
    assert pytest.approx(alpha**2 + alpha**-2, rel=1e-9) == H
    assert pytest.approx(2, rel=1e-9) == S


def row(scene, name):
    return next(row for row in scene.numbers() if row[0] == name)


def titles(scene):
    """What stands above the pictures of what was measured."""
    for key in ("measures", "factor", "slices"):
        picture = scene.pictures[key]()
        picture.encode(scene, still=True)
        yield picture.ax.get_title("left")


def test_the_choices_can_be_reasoned_about_and_the_truth_is_what_the_page_shows(scene):
    words = ("stays", "by α", "less than α²", "by α²")
    assert all(word in text for word, text in zip(words, CHOICES, strict=True))
    assert "thirty" not in " ".join(CHOICES)
    scene.do("undo")
    scene.do("alpha", 10.0)
    factor = scene.ratios["sharpness"]
    assert LIMITS[1] < factor < LIMITS[2]
    assert scene.answer() == "it grows more than twentyfold, but by less than α²"
    assert scene.answer() == CHOICES[sum(factor >= limit for limit in LIMITS)]
    because = Rescale.question.because
    assert "by α² = 100" in because  # of the divided layer, in `numbers`
    assert row(scene, "α²")[1] == "100"
    assert "Measures that rescale along, drawn in blue, do not move" in because
    finish(scene)
    assert len(moved(scene)) < len(ORDER) / 2


@pytest.mark.parametrize(("alpha", "name"), [(0.01, "1/α²"), (100.0, "α²")])
def test_the_limit_is_called_what_it_is(scene, alpha, name):
    scene.do("undo")
    scene.do("alpha", alpha)
    assert row(scene, name)[1] == "10000"
    assert float(row(scene, name)[1]) == pytest.approx(alpha**2 if name == "α²" else alpha**-2)
    picture = scene.pictures["factor"]()
    assert picture.words[0].get_text() == "α² or 1/α², whichever is larger"


def test_numbers_of_before_training_on_say_so(scene):
    scene.do("undo")
    scene.do("alpha", 10.0)
    finish(scene)
    assert not any("before training on" in " ".join(r) for r in scene.numbers())
    assert not any("before training on" in title for title in titles(scene))
    before = row(scene, "sharpness λ")[1]
    scene.do("run")
    finish(scene)
    assert "collapsed" in scene.outcome()
    assert row(scene, "sharpness λ, before training on")[1] == before
    now = scene.run.history["sharpness"][-1]
    assert float(row(scene, "sharpness λ, now")[1]) == pytest.approx(now, rel=0.01)
    assert scene.phase().startswith("Before training on, 5 of 16")
    for name in ("outputs changed by", "λ(S), layer metric"):
        assert "before training on" in row(scene, name)[2]
    assert all("before training on" in title for title in titles(scene))
    scene.do("undo")
    assert not any("before training on" in " ".join(r) for r in scene.numbers())


def test_the_names_of_measures_can_be_read_on_a_phone(scene):
    """A picture is 366 pixels wide there: the letters are then 9 pixels high, and do not touch."""
    picture = Measures()
    picture.encode(scene, still=True)
    share = 366 / WIDTH
    labels = picture.ax.get_yticklabels()
    assert len(labels) == len(ORDER) == 16
    pixels = [label.get_fontsize() / 72 * picture.figure.dpi * share for label in labels]
    assert min(pixels) >= 9
    boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.y0)
    assert min(box.x0 for box in boxes) >= 0
    pitch = boxes[-1].y0 - boxes[0].y0
    assert pitch / 15 > 1.05 * max(box.height for box in boxes)


@pytest.mark.parametrize("alpha", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("spread", [0.0, 1.5])
def test_nothing_leaves_the_pictures_at_the_ends_of_the_sliders(scene, alpha, spread):
    scene.do("undo")
    scene.do("alpha", alpha)
    scene.do("spread", spread)
    finish(scene)
    for key, kind in scene.pictures.items():
        picture = kind()
        image = Image.open(io.BytesIO(picture.encode(scene, still=True)))
        assert image.size == (WIDTH, HEIGHT)
        for ax in picture.figure.axes:
            for text in (*ax.texts, ax.xaxis.label, ax.yaxis.label, ax.title, ax._left_title):
                if text.get_text() and text.get_visible():
                    box = text.get_window_extent(picture.canvas.get_renderer())
                    assert box.x0 >= 0, (key, text)
                    assert box.y0 >= 0, (key, text)
                    assert box.x1 <= WIDTH, (key, text)
                    assert box.y1 <= HEIGHT, (key, text)
    factor = scene.pictures["factor"]()
    factor.encode(scene, still=True)
    low, high = factor.ax.get_ylim()
    assert low < scene.ratios["sharpness"] < high


def test_each_measure_is_explained_on_the_page(scene):
    scene.do("undo")
    scene.do("alpha", 10.0)
    finish(scene)
    control = next(control for control in scene.controls if control.name == "measure")
    assert set(control.options.values()) == set(ORDER) == set(MEANS)
    for name, measure in control.options.items():
        scene.do("measure", measure)
        entry = measures()[measure]
        assert row(scene, "its formula")[1:] == [greek(entry.formula), unmoved(entry)]
        told = row(scene, f"measure: {name}")
        assert told[1] == f"× {short(scene.ratios[measure])}"
        assert told[2] == MEANS[measure]
        assert (measure in moved(scene)) == unmoved(entry).startswith("layers and")
        picture = Measures()
        picture.encode(scene, still=True)
        labels = picture.ax.get_yticklabels()
        bold = [label.get_text() for label in labels if label.get_fontweight() == "bold"]
        assert len(bold) == 1
        assert bold[0].replace("$", "") == name
        assert min(label.get_window_extent().x0 for label in labels) >= 0
    scene.do("measure", "trace")
    assert scene.status == "trace of H: the sum of all eigenvalues of H."
    scene.do("measure", "sharpness")


def test_the_name_of_the_threshold_stands_beside_its_line(scene):
    picture = After()
    picture.encode(scene, still=True)
    box = picture.edge.get_window_extent()
    assert picture.below.bbox.x1 < box.x0
    assert box.x1 < WIDTH


def test_words_of_the_pictures_are_explained_where_they_stand(scene):
    slices = scene.pictures["slices"]()
    slices.encode(scene, still=True)
    assert "filter" in slices.note.get_text()
    assert "that unit's weights" in slices.note.get_text()
    scene.do("undo")
    scene.do("spread", 0.3)
    assert row(scene, "factors of the units")[1] == f"{math.exp(0.3):.2f} or 1/{math.exp(0.3):.2f}"
    spread = next(control for control in scene.controls if control.name == "spread")
    assert f"{math.exp(0.3):.2f}" in spread.tip
    scene.do("undo")
