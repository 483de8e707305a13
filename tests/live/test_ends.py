"""Every page with its controls at their ends, two at a time: nothing breaks, no number is NaN."""

import itertools
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.divergence import Divergence
from kit.live import ScenePage, Session, words
from kit.live.controls import EVERY, FACTORS, LEARNING_RATES
from kit.live.panels import Panel
from kit.live.strips import PANELS
from kit.presets import RunConfig
from tests.live.scenes import SCENES, check_words


def ends(control):
    """A control's least and greatest value, or all that can be chosen."""
    if control.options is not None:
        return list(control.options.values())
    return [control.values[0], control.values[-1]] if control.values else []


@pytest.fixture(scope="module")
def pages():
    """One page a scene; a reset brings it back."""
    made = {}

    def page(scene):
        if scene not in made:
            made[scene] = ScenePage(scene())
            made[scene].handle("skip", None)
        made[scene].handle("reset", None)
        return made[scene]

    return page


def pairs_of(scene):
    turned = [control for control in scene.controls if ends(control)]
    return [
        ((a.name, x), (b.name, y))
        for a, b in itertools.combinations(turned, 2)
        for x in ends(a)
        for y in ends(b)
    ]


@pytest.mark.parametrize("kind", SCENES)
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_two_controls_of_a_scene_at_their_ends(pages, kind, data):
    (one, two) = data.draw(st.sampled_from(pairs_of(kind)))
    buttons = [c.name for c in kind.controls if not ends(c) and c.name != "reset"]
    then = data.draw(st.lists(st.sampled_from(buttons), max_size=2)) if buttons else []
    page = pages(kind)
    for name, value in (one, two, *((button, None) for button in then)):
        page.handle(name, value)
        assert not page.scene.status.startswith("Not done"), page.scene.status
        if page.running():
            page.work(0.0)
    page.handle("pause", None)
    check_words(page.scene)
    assert page.scene.values[two[0]] == two[1]
    key = data.draw(st.sampled_from(page._keys))
    assert page.image(key, still=True)[:4] == b"\x89PNG"
    assert "nan" not in page.alt(key)


SMALL = RunConfig("digits", n_train=60, hidden=(8,))
RUN_ENDS = {
    "lr": (LEARNING_RATES[0], LEARNING_RATES[-1]),
    "batch_size": (1, 0),
    "momentum": (0.0, 0.99),
    "rescale": (FACTORS[0], FACTORS[-1]),
    "every": (EVERY[0], EVERY[-1]),
    "weight_decay": (0.0, 0.1),
    "sam_radius": (0.0, 0.5),
    "mixup": (0.0, 2.0),
    "loss": ("mse", "cross_entropy"),
    "activation": ("relu", "tanh", "identity"),
    "hidden": ((1,), (64,) * 4, ()),
    "seed": (0, 9999),
}
RUN_PAIRS = [
    ((a, x), (b, y))
    for a, b in itertools.combinations(RUN_ENDS, 2)
    for x in RUN_ENDS[a]
    for y in RUN_ENDS[b]
]


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(RUN_PAIRS), st.booleans(), st.integers(1, 6))
def test_two_controls_of_a_run_at_their_ends(pair, running, steps):
    session = Session(SMALL)
    if running:
        session.do("run")
        session.work(0.0)
    for name, value in pair:
        session.do(name, value)
        refused = session.status.startswith("Not done")
        assert not refused or "rescaling" in session.status or "takes" in session.status
    for _ in range(steps):
        if session.training.diverged is None:
            session.do("step")
    broken = session.training.diverged
    assert broken is None or (isinstance(broken, Divergence) and "step" in session.status)
    for name, value, remark in words.numbers(session):
        assert name
        assert value != "nan", (name, remark)
    edge, _ = session.training.threshold()
    assert math.isnan(edge) or edge > 0
    for key in PANELS:
        history, labels = session.training.history, words.line_labels(session)
        assert Panel(key).encode(history, marks=session.marks(), labels=labels, still=True)
