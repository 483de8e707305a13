"""Pictures that keep their backgrounds show what fresh ones would."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.live.panels import Panel
from kit.live.parabola import Parabola
from kit.live.parabola_pictures import Map, Valley

WIDTHS = (360, 540, 720)


@pytest.mark.parametrize("kind", [Valley, Map])
@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(("sharp", "method")), st.booleans(), st.sampled_from(WIDTHS)),
        min_size=1,
        max_size=6,
    )
)
def test_whatever_came_before_a_picture_is_as_a_fresh_one(kind, changes):
    scene, picture = Parabola(), kind()
    scene.show()
    takes = {"sharp": (1.0, 4.0), "method": ("plain", "nesterov")}
    for name, which, width in changes:
        scene.do(name, takes[name][which])
        image = picture.encode(scene, still=True, width=width)
    assert image == kind().encode(scene, still=True, width=width)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 40), st.sampled_from(WIDTHS)), min_size=1, max_size=5))
def test_a_panel_is_the_same_at_every_width_it_comes_back_to(frames):
    """Between two looks only the lines and their labels move; the axes stay."""
    panel, steps = Panel("loss"), 0
    for more, width in frames:
        steps += more
        loss = [math.exp(-0.001 * t) for t in range(steps)]
        history = {"step": [float(t) for t in range(steps)], "loss": loss, "test_loss": loss}
        image = panel.encode(history, still=True, width=width)
    again = panel.encode(history, still=True, width=width)
    assert image == again
    panel._forget()
    assert panel.encode(history, still=True, width=width) == image


def test_coming_back_to_a_width_draws_no_axes_anew(monkeypatch):
    drawn = []
    panel, scene, picture = Panel("loss"), Parabola(), Valley()
    for thing in (panel, picture):
        draw = thing.canvas.draw
        monkeypatch.setattr(thing.canvas, "draw", lambda draw=draw: (drawn.append(1), draw()))
    history = {"step": [0.0, 1.0], "loss": [2.0, 1.0]}
    for width in (720, 450, 720, 450):
        panel.encode(history, width=width)
        picture.encode(scene, width=width)
    assert len(drawn) == 4
