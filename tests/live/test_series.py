"""What page 2 says beside its presets: the next eigenvalues, and the samples that swing."""

import numpy as np
import pytest

from kit.live import Explorer
from kit.live.series import BEATS, PICTURES, QUESTIONS, late_sharpness
from kit.presets import PRESETS
from kit.stored import stored_run


@pytest.fixture(scope="module")
def run():
    run = PRESETS["edge"].build(measures=("sharpness", "eigenvalue_2", "swing_max"), every=3)
    run.run(600)
    return run


def test_the_next_eigenvalues_come_to_the_threshold_as_well(run):
    edge = 2 / run.lr
    for k in (2, 3, 4):
        values = np.array(run.history[f"eigenvalue_{k}"])
        values = values[np.isfinite(values)]
        assert values[0] < 0.7 * edge
        assert values[-8:].mean() > 0.85 * edge


def test_some_samples_swing_more_than_twice_as_much_as_a_typical_one(run):
    each = run.probes["swing_max"].each
    assert float(each.max()) > 2 * float(each.median())


def test_gradient_flow_goes_on_past_the_threshold():
    columns = stored_run("edge")
    assert columns["flow_sharpness"][-1] > 3 * columns["sharpness"][-1]
    assert columns["flow_loss"][-1] < columns["loss"][-1]
    assert columns["flow_loss"] == sorted(columns["flow_loss"], reverse=True)


def test_the_question_is_answered_from_the_stored_run():
    answer = QUESTIONS["sharpness"].answer(stored_run("edge"))
    assert answer == late_sharpness(stored_run("edge"))
    low, high = QUESTIONS["sharpness"].number
    assert low < answer < high
    assert "samples" in PICTURES
    assert len(BEATS["sharpness"]) >= 5


def test_before_the_guess_no_words_tell_the_threshold():
    page = Explorer(preset="edge", question=QUESTIONS["sharpness"], panels=PICTURES)
    told = [page.summary(), *(page.alt(key) for key in PICTURES)]
    assert not any("threshold" in text for text in told)
    page.handle("skip", None)
    assert "threshold" in page.summary()
    assert "threshold" in page.alt("sharpness")
