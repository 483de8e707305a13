"""Labels keep their order, do not overlap, and stay where they belong if they can."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kit.history import Intervention
from kit.live.lettering import spread
from kit.live.panels import Panel

GAP = 0.1
HEIGHTS = st.lists(st.floats(0, 1), min_size=1, max_size=9).map(sorted)


@given(HEIGHTS)
def test_labels_are_apart_and_inside(heights):
    places = spread(heights, GAP)
    assert len(places) == len(heights)
    assert min(places) >= 0
    assert max(places) <= 1 + 1e-12
    assert all(np.diff(places) >= GAP - 1e-9)


@given(HEIGHTS)
def test_labels_that_have_room_do_not_move(heights):
    apart = [0.05 + 0.9 * round(h * 8) / 8 for h in heights]
    apart = sorted(set(apart))
    assert np.allclose(spread(apart, GAP), apart)


def test_labels_of_one_place_stand_about_it():
    places = spread([0.5, 0.5, 0.5], GAP)
    assert np.allclose(places, [0.4, 0.5, 0.6])


@given(st.sampled_from([0.4, 0.8]), st.integers(20, 260), st.floats(-1, 1))
def test_what_a_reader_changed_is_written_where_no_line_is(rate, step, slope):
    """Where the lines are near the top of the picture there, it stands at the bottom."""
    steps = np.arange(301.0)
    sharp = 5 + 4 * slope * (steps / 150 - 1)
    history = {"step": steps, "sharpness": sharp, "threshold": np.full(301, 2 / rate)}
    panel = Panel("sharpness")
    panel.encode(history, marks=[Intervention(step, "lr", 0.1, rate)], still=True)
    axes = panel._axes[0]
    (text,) = (text for text in axes._mark_texts if text.get_text())
    heights = axes.ax.transAxes.inverted().transform(
        axes.ax.transData.transform([(step, sharp[step]), (step, 2 / rate)])
    )[:, 1]
    above, below = (heights > 0.75).any(), (heights < 0.25).any()
    if above != below:
        assert text.get_va() == ("bottom" if above else "top")
