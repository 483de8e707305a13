"""Labels keep their order, do not overlap, and stay where they belong if they can."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kit.live.lettering import spread

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
