"""Page 6: every control at its ends, and each claim of the page."""

import itertools
import json
import math
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from kit.covering import cube_covering_radius
from kit.live import ScenePage
from kit.live.panels import HEIGHT, WIDTH
from kit.live.steepness import (
    BATCH,
    CONFIDENCES,
    DIMENSIONS,
    FIT,
    FUNCTIONS,
    MOST,
    NS,
    ORDER,
    Steepness,
    largest_bound,
    largest_seen,
)
from kit.steepness import AdditiveFunction, draw, measured_slope
from tests.live.scenes import TIMES, check_page, check_skipping, check_words, steps

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "06_can_samples_tell.ipynb"


def shown(**values):
    """A scene after the question, set to these, at rest."""
    scene = Steepness()
    scene.show()
    scene.do("reset")
    for name, value in values.items():
        scene.do(name, value)
        assert not scene.status.startswith("Not done"), scene.status
    return scene


def rested(scene):
    for _ in range(TIMES):
        if not scene.running:
            return scene
        scene.work(0.05)
    raise AssertionError("it did not come to rest")


def row(scene, name):
    return next(row for row in scene.numbers() if row[0] == name)


@settings(max_examples=25)
@given(steps(Steepness()))
def test_whatever_a_reader_does_it_stays_sound(actions):
    scene = Steepness()
    scene.show()
    for name, value in actions:
        scene.do(name, value)
        assert not scene.status.startswith("Not done")
        if scene.running:
            scene.work(0.001)
        check_words(scene)
        true = scene.f.lipschitz
        assert scene.norms.max() <= true * (1 + 1e-12)
        assert len(scene.sample) == scene.values["n"]
        assert scene.sample.shape[1] == scene.values["d"]
        assert (scene.upper >= scene.largest_so_far).all()
        low, high = scene.own_radius
        assert 0 < low <= high < math.inf


@pytest.mark.parametrize("control", [c for c in Steepness.controls if c.values or c.options])
def test_every_control_at_its_ends_draws_every_picture(control):
    takes = list(control.values) or list(control.options.values())
    scene = shown()
    pictures = {key: kind() for key, kind in scene.pictures.items()}
    for value in (takes[0], takes[-1]):
        scene.do(control.name, value)
        assert scene.values[control.name] == value
        for picture in pictures.values():
            assert picture.encode(scene, still=True)[:4] == b"\x89PNG"
            assert (picture.figure.bbox.width, picture.figure.bbox.height) == (WIDTH, HEIGHT)
            assert "Now: " in picture.alt(scene)


def test_a_value_that_is_none_of_a_controls_changes_nothing():
    scene = shown()
    for name, value in (("n", 5), ("d", 9), ("function", "square"), ("confidence", 1.0)):
        before = dict(scene.values)
        scene.do(name, value)
        assert scene.status.startswith("Not done")
        assert scene.values == before


def test_it_opens_locked_reveals_downloads_and_lectures():
    page = check_page(Steepness)
    assert page.prediction.answer == "16 times"
    check_skipping(Steepness)


def test_before_the_answer_nothing_beyond_64_samples_is_shown():
    scene = Steepness()
    assert not scene.running
    assert max(scene.columns()["n"]) == 64
    assert scene.f.d == 1
    told = json.dumps([scene.numbers(), scene.phase(), scene.columns()])
    assert "slope" not in told
    assert "16 times" not in told
    pictures = [kind() for kind in scene.pictures.values()]
    assert all("slope of" not in picture.alt(scene) for picture in pictures)
    for picture in pictures:
        picture.encode(scene, still=True)
    rate = pictures[2]
    assert rate.mean.get_xdata().max() == 64  # and room on the right
    assert rate.ax.get_xlim()[1] > 2000
    assert len(rate.mean.get_xdata()) > 0
    scene.show()
    rate.encode(scene, still=True)
    assert rate.mean.get_xdata().max() == NS[-1]
    assert set(scene.columns()["n"]) == set(NS.tolist())


def test_the_answer_is_what_the_page_then_shows():
    scene = Steepness()
    answer = scene.answer()
    scene.show()
    factor = float(row(scene, "to halve the shortfall")[1].removeprefix("n × "))
    assert answer == "16 times"
    assert factor == pytest.approx(16, rel=0.15)


def test_resampling_goes_on_in_slices_and_can_be_paused():
    scene = shown(d=3)
    assert scene.running
    assert len(scene.table) == BATCH
    scene.work(0.001)
    assert scene.phase().endswith("Covering radius of draw 1 of 40.")
    scene.do("run")
    assert not scene.running
    done = len(scene.radius_rows)
    scene.do("n", 2048)
    assert not scene.running  # a pause lasts
    scene.do("run")
    rested(scene)
    assert done < len(scene.radius_rows) == BATCH
    assert scene.status.startswith("All 40 draws are done. Turn d, n or the function. Run makes")
    assert scene.idle() == {}
    while len(scene.radius_rows) < MOST:
        scene.do("run")
        rested(scene)
    assert len(scene.table) == MOST
    scene.do("run")
    assert not scene.running
    assert scene.status.startswith(f"All {MOST} draws are done")
    assert scene.status.endswith("Turn d, n or the function.")
    assert scene.idle() == {"run": scene.status}
    scene.do("d", 2)
    assert scene.idle() == {}


def test_more_resamples_shrink_the_error_of_the_slope():
    scene = shown(d=2)
    rested(scene)
    _, first = scene.slope
    for _ in range(4):
        scene.do("run")
        rested(scene)
    _, last = scene.slope
    assert last < 0.7 * first


def test_a_change_needs_no_time_to_show():
    scene = shown(d=2, n=16)
    before = row(scene, "largest ‖J‖ seen")[1]
    for name, value in (("n", 1024), ("d", 4), ("function", "network")):
        scene.do(name, value)
        now = row(scene, "largest ‖J‖ seen")[1]
        assert now != before
        before = now
    bound = scene.upper.copy()
    scene.do("confidence", 0.99)
    assert (scene.upper >= bound).all()
    scene.do("new")
    assert row(scene, "largest ‖J‖ seen")[1] != before


def test_what_is_said_of_a_draw_goes_with_it():
    scene = shown()
    scene.do("new")
    assert scene.status.startswith("Draw 1:")
    scene.do("n", 64)
    assert scene.status == "The first 64 samples of draw 1."
    scene.do("new")
    scene.do("d", 2)
    assert "Draw" not in scene.status
    scene.do("new")
    scene.do("n", 16)  # while it looks for radii
    assert "Draw" not in scene.status


@pytest.mark.parametrize("d", DIMENSIONS)
@pytest.mark.parametrize("n", [4, 64, 2048])
def test_it_is_said_from_where_to_where_the_confidence_moves_nothing(d, n):
    scene = shown(d=d, n=n)
    at = list(NS).index(n)
    told, radii = {}, {}
    for confidence in (*CONFIDENCES[1:], CONFIDENCES[0]):
        scene.do("confidence", confidence)
        told[confidence], radii[confidence] = scene.status, scene.promised[at]
        assert "moves in jumps" in scene.status
        top, bottom = re.search(r"is (\S+)/(\d+) = ", scene.status).groups()
        assert top == {1: "1", 2: "√2", 3: "√3", 4: "2"}[d]
        assert math.sqrt(d) / int(bottom) == pytest.approx(scene.promised[at])
    for a, b in itertools.combinations(CONFIDENCES, 2):
        assert (told[a] == told[b]) == (radii[a] == radii[b])
    if (d, n) == (4, 2048):
        assert "from 50% to 99%, all of the slider" in scene.status


# What the page claims.


@pytest.mark.parametrize("function", FUNCTIONS.values())
@pytest.mark.parametrize("d", DIMENSIONS)
def test_the_largest_is_never_above_and_the_promise_never_below(function, d):
    """Theorem A with the radius of Lemma 2 at 95%, on 40 draws of 4 to 2048 samples."""
    f = AdditiveFunction(function, d)
    for k in range(40):
        norms = f.norms(U := draw(2048, d, k))
        assert (np.diff(np.maximum.accumulate(norms)) >= 0).all()
        for n in NS:
            r = cube_covering_radius(int(n), d, 0.05)
            assert norms[:n].max() <= f.lipschitz * (1 + 1e-12)
            assert (norms[:n] + f.variation(U[:n], r)).max() >= f.lipschitz * (1 - 1e-12)


@pytest.mark.parametrize("function", ORDER)
@pytest.mark.parametrize("d", DIMENSIONS)
def test_the_shortfall_falls_with_the_slope_that_is_told(function, d):
    scene = rested(shown(function=function, d=d))
    slope, error = scene.slope
    told = -ORDER[function] / d
    assert slope == pytest.approx(told, rel=0.1)
    assert abs(slope - told) < 3 * error
    assert error < 0.1 * abs(told)
    halving = 2 ** (-1 / slope)
    assert halving == pytest.approx(2 ** (-1 / told), rel=0.25)


@pytest.mark.parametrize("d", DIMENSIONS)
def test_the_covering_radius_falls_more_slowly_than_without_a_logarithm(d):
    scene = rested(shown(function="rounded", d=d))
    radii = np.array(scene.radius_rows).mean(2)
    slope, error = measured_slope(NS[FIT], radii[:, FIT])
    assert -1 / d < slope - error
    assert slope < -0.8 / d
    promised = [cube_covering_radius(int(n), d, 0.05) for n in NS]
    assert (np.array(scene.radius_rows)[:, :, 1] <= promised).mean() > 0.95


@pytest.mark.parametrize("d", DIMENSIONS)
def test_a_network_is_found_exactly_or_a_fixed_part_is_missing(d):
    scene = shown(function="network", d=d)
    hits = (scene.table == 0).mean(0)
    expected = 1 - (1 - 0.1**d) ** NS
    assert np.abs(hits - expected).max() < 4 * math.sqrt(0.25 / BATCH)
    missed = scene.table[scene.table > 0]
    best_wrong = AdditiveFunction("network", d).scale * math.sqrt(d - 1 + 0.45**2)
    assert missed.min() == pytest.approx(2 - best_wrong, abs=1e-9)
    if d == 4:
        assert hits[-1] < 0.5  # most draws of 2048 miss it
    assert row(scene, "found exactly")[1] == f"{int((scene.table[:, -1] == 0).sum())} of 40"


def test_with_each_dimension_the_nearest_sample_is_further_away():
    distances = []
    for d in DIMENSIONS:
        scene = shown(d=d, n=256)
        peak = scene.f.steepest
        each = [np.linalg.norm(draw(256, d, k) - peak, axis=1).min() for k in range(40)]
        distances.append(np.mean(each))
    assert (np.diff(distances) > 0).all()


def test_the_promise_for_a_network_rises_where_new_samples_have_more():
    """Prose: 393 of 1440 doublings, and those that were there before never raise it."""
    rises, pairs = 0, list(pairwise(NS))
    for d in DIMENSIONS:
        f = AdditiveFunction("network", d)
        radii = [cube_covering_radius(int(n), d, 0.05) for n in NS]
        for k in range(40):
            norms = f.norms(U := draw(2048, d, k))
            sums = [norms + f.variation(U, r) for r in radii]  # of each sample, at each radius
            upper = [each[:n].max() for each, n in zip(sums, NS, strict=True)]
            assert upper[-1] > 2 * f.lipschitz
            for j, (n, _) in enumerate(pairs):
                assert sums[j + 1][:n].max() <= upper[j]
                rises += upper[j + 1] > upper[j] + 1e-12
    text = "".join(json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"][-1]["source"])
    assert f"in {rises} of\n  {len(DIMENSIONS) * 40 * len(pairs)} doublings" in text


def test_how_near_the_promise_is():
    near, far = shown(d=1, n=2048), shown(d=4, n=2048)
    assert near.upper[-1] < 1.05 * 2
    assert far.upper[-1] > 1.5 * 2
    for d in DIMENSIONS:
        network = shown(function="network", d=d, n=2048)
        assert (network.upper[-5:] > 2 * 2).all()


def test_a_samples_own_radius_promises_more_than_chance_does():
    for d in DIMENSIONS:
        scene = shown(d=d, n=256)
        at = list(NS).index(256)
        assert 2.0 <= largest_bound(scene) <= scene.upper[at]


def test_a_rounded_peak_misses_less_with_the_same_samples():
    for d in DIMENSIONS:
        pointed, rounded = shown(d=d), shown(function="rounded", d=d)
        assert (rounded.table.mean(0)[4:] < 0.8 * pointed.table.mean(0)[4:]).all()


def test_beats_set_an_absolute_state():
    page = ScenePage(Steepness())
    page.handle("lecture", None)
    there = []
    for _ in page.scene.beats[1:]:
        there.append(dict(page.scene.values))
        page.handle("next", None)
    there.append(dict(page.scene.values))
    assert 5 <= len(there) <= 7
    for values in there[-2::-1]:
        page.handle("back", None)
        assert page.scene.values == values


def test_the_lecture_says_what_is_so():
    scenes = [shown(d=d, n=256) for d in (1, 2, 4)]
    away = [np.linalg.norm(s.sample - s.f.steepest, axis=1).min() for s in scenes]
    assert away == sorted(away)
    assert away[-1] > 0.1
    assert shown(n=16).norms.max() < scenes[0].norms.max() <= 2


def test_settings_say_how_to_draw_the_same():
    scene = shown(function="rounded", d=2, n=8)
    scene.do("new")
    settings = scene.settings()
    U = np.random.default_rng([settings["draw"], settings["d"]]).random((2048, 2))
    f = AdditiveFunction(settings["function"], settings["d"], settings["true constant"])
    assert f.norms(U[: settings["n"]]).max() == scene.norms.max()


def test_the_notebook_is_short_and_has_its_sections():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert notebook["metadata"]["title"] == Steepness.title
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(code) == 1
    assert len(code[0]["source"]) <= 5
    opening, text = ("".join(notebook["cells"][k]["source"]) for k in (0, -1))
    assert re.findall(r"^## (.+)$", text, re.M) == [
        "How to read the pictures",
        "Three things to try",
        "What you should see",
        "Why",
        "What is proved, what is only seen here, what is open",
        "Symbols",
        "Sources",
    ]
    assert "our version of" in text
    assert "small functions" in text
    assert "called its\n*true constant*" in opening
    for term in ("True constant", "Shortfall", "Covering radius", "Theorem A"):  # before their use
        assert text.index(f"**{term}**") < text.index("## Three things")


def test_one_draw_is_said_to_be_one_beside_the_spread_of_all():
    scene = Steepness()
    at = list(NS).index(16)
    low, high = (f(largest_seen(scene)[:, at]) / 2 for f in (np.min, np.max))
    assert low < 0.75
    assert high > 0.98
    assert "In this draw the steepest of 16 samples has 95.3%" in scene.phase()
    assert f"in 40 draws {math.floor(1000 * low) / 10:g}% to 99" in scene.phase()
    for name in ("estimate", "rate", "cover"):
        picture = scene.pictures[name]()
        picture.encode(scene, still=True)
        assert "ring: this one draw of 16" in picture.notes.get_text()
        assert list(picture.own.get_xdata()) == [16]


def test_terms_are_said_in_plain_words_where_they_first_appear():
    scene = shown(d=1)
    pictures = {key: kind() for key, kind in scene.pictures.items()}
    for picture in pictures.values():
        picture.encode(scene, still=True)
    said = [text.get_text() for text in pictures["estimate"].labels]
    assert "true constant:\nlargest there is" in said
    assert "the true constant" in pictures["function"].true.get_text()
    assert pictures["cover"].ax.get_title("left").startswith("covering radius r: no place is furt")
    assert "largest ‖J‖ anywhere" in row(scene, "true constant")[2]
    assert "no place is steeper" in row(scene, "at most (Theorem A)")[2]
    assert "no place is further" in row(scene, "covering radius r")[2]


def test_four_pictures_leave_no_quarter_empty_and_nothing_is_cut_off():
    scene = rested(shown(d=4))
    assert len(scene.pictures) == 4
    for values in ({"n": 4}, {"n": 2048, "d": 1, "confidence": 0.5}, {"function": "network"}):
        for name, value in values.items():
            scene.do(name, value)
        for kind in list(scene.pictures.values())[1:]:
            picture = kind()
            picture.encode(scene, still=True)
            shown_texts = [t for t in picture.moving if hasattr(t, "get_text") and t.get_text()]
            for text in (*shown_texts, picture.ax.yaxis.label, picture.ax.title):
                box = text.get_window_extent(picture.canvas.get_renderer())
                assert box.x0 >= 0, text
                assert box.x1 <= WIDTH, text
                assert box.y1 <= HEIGHT, text
            boxes = [t.get_window_extent() for t in picture.labels if t in picture.moving]
            boxes.sort(key=lambda box: box.y0)
            assert all(a.y1 <= b.y0 + 1 for a, b in pairwise(boxes))
