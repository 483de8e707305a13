"""Links: they bring a page back as it was, run and all, and a bad one loses nothing."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.history import Intervention
from kit.live import Explorer, ScenePage
from kit.live.address import LONGEST, Link
from kit.live.explorer import ELSEWHERE
from kit.live.parabola import Parabola
from kit.live.replay import MOST, Change, Plan, here
from kit.live.series import BEATS, QUESTIONS
from kit.live.session import Session
from kit.live.stabilise import Stabilise
from kit.presets import PRESETS, RunConfig
from tests.live.scenes import steps

WORDS = st.text("abcxyz_", min_size=1, max_size=6).filter(lambda s: s not in ("hide", "fix"))
VALUES = st.text("abc019.,:*-+_", max_size=8)
SMALL = RunConfig("digits", n_train=60, hidden=(8, 8), lr=0.2, batch_size=16)


@given(st.dictionaries(WORDS, VALUES), st.none() | st.just("1.6"), st.lists(WORDS, max_size=3))
def test_a_link_is_read_as_it_was_written(chosen, guess, names):
    link = Link(chosen, guess, tuple(names), tuple(names[:1]))
    assert Link.read(link.query) == link


@given(st.text(max_size=60))
def test_any_query_is_read_without_an_error_and_only_plain_words_are_taken(query):
    link = Link.read(query)
    for name, value in link.settings.items():
        assert name.isidentifier()
        assert not set(value) & set("<>\"'&;/\\ ")


def test_a_link_that_is_too_long_sets_nothing():
    link = Link.read("lr=" + "1" * LONGEST)
    assert link.settings == {}
    assert "longer than" in link.faults[0]


CONFIGS = st.builds(
    replace,
    st.sampled_from([preset.config for preset in PRESETS.values()]),
    lr=st.floats(1e-3, 10),
    momentum=st.floats(0, 0.99),
    seed=st.integers(0, 9999),
    hidden=st.lists(st.integers(1, 512), max_size=4).map(tuple),
    batch_size=st.none() | st.integers(1, 60),
    nesterov=st.booleans(),
)
CHANGES = st.lists(
    st.builds(Change, st.integers(0, 99), st.just("lr"), st.floats(1e-3, 10))
    | st.builds(Change, st.integers(0, 99), st.just("batch_size"), st.none() | st.integers(1, 9))
    | st.builds(Change, st.integers(0, 99), st.just("rescale"), st.just((2.5, 1.0, 0.4))),
    max_size=5,
).map(lambda changes: tuple(sorted(changes, key=lambda c: c.step)))


@given(st.builds(Plan, CONFIGS, CHANGES, st.none() | st.integers(0, MOST)))
def test_a_plan_survives_a_link_to_the_last_bit(plan):
    again, faults = Plan.read(Link.read(Link(plan.write()).query).settings)
    assert faults == []
    assert again == plan


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"preset": "nothing"}, "takes one of edge"),
        ({"lr": "fast"}, "could not convert"),
        ({"steps": str(MOST + 1)}, f"takes 0 to {MOST}"),
        ({"changes": "5*seed*1"}, "takes step*name*value"),
        ({"hidden": "9999"}, "takes up to 6 numbers"),
        ({"colour": "red"}, "there is nothing called"),
    ],
)
def test_what_a_plan_cannot_take_keeps_its_default(parts, said):
    plan, faults = Plan.read(parts)
    assert plan == Plan(PRESETS["edge"].config)
    assert said in " ".join(faults)


def test_a_plan_starts_before_the_first_change():
    made = [Intervention(3, "lr", 0.4, 0.2), Intervention(9, "lr", 0.2, 0.1)]
    plan = Plan.of(replace(SMALL, lr=0.1), made, 12)
    assert plan.start.lr == 0.4
    assert [change.value for change in plan.changes] == [0.2, 0.1]


ACTIONS = st.lists(
    st.sampled_from(
        [("lr", 0.1), ("lr", 0.3), ("batch_size", 0), ("batch_size", 8), ("momentum", 0.5)]
        + [("rescale", 2.0), ("rescale", 1.0), ("every", 3), ("weight_decay", 0.01)]
        + [("step", None)] * 6
    ),
    max_size=14,
)


@settings(max_examples=25, deadline=None)
@given(ACTIONS)
def test_a_run_comes_back_to_the_last_bit(actions):
    session = Session(SMALL, auto_cadence=False)
    for name, value in actions:
        session.do(name, value)
        assert not session.status.startswith("Not done"), session.status
    run = session.training
    plan = Plan.of(session.config, run.interventions, run.steps)
    again, faults = Plan.read(Link.read(Link(plan.write()).query).settings)
    assert faults == []
    other = Session(SMALL)
    other.replay(again)
    while other.running:
        other.work(0.05)
    assert other.training.steps == run.steps
    theirs, ours = other.training.objective, run.objective
    assert torch.equal(theirs.flat_parameters(), ours.flat_parameters())
    assert other.training.history["loss"] == pytest.approx(run.history["loss"], nan_ok=True)
    assert other.settings() == session.settings()


def explorer(**more):
    page = {"question": QUESTIONS["sharpness"], "beats": BEATS["sharpness"]}
    return Explorer(preset="edge", panels=("sharpness",), **(page | more))


def finish(page):
    while page.running():
        page.work(0.05)
    page.still()


def test_a_page_needs_no_link_as_it_opens_and_has_one_after_that():
    page = explorer()
    assert page._stage.address == ""
    page.handle("guess", 8.0)
    page.still()
    assert page._stage.address == "guess=8"
    assert page.to_link() == "?"
    page.handle("lr", 0.2)
    page.handle("step", None)
    page.still()
    assert page.to_link() == f"?changes=30*lr*0.2&steps=31&on={here()}"
    assert page._stage.address == f"changes=30*lr*0.2&steps=31&on={here()}&guess=8"


def test_a_reload_brings_guess_run_and_numbers_back():
    page = explorer()
    page.handle("guess", 8.0)
    page.handle("lr", 0.2)
    for _ in range(9):
        page.handle("step", None)
    page.still()
    again = explorer()
    again.handle("address", page._stage.address)
    assert again.prediction.guess == 8.0
    assert "Training as in the link" in again.session.status
    finish(again)
    assert "As in the link: step 39" in again.session.status
    ours, theirs = page.training.objective, again.training.objective
    assert torch.equal(ours.flat_parameters(), theirs.flat_parameters())
    assert again._stage.address == page._stage.address
    assert again.session.ghosts  # what the guess is compared with


def test_a_link_waits_until_the_reader_has_guessed():
    page = explorer()
    page.handle("address", "lr=0.2&steps=40")
    assert page.prediction.open
    assert page.training.lr == 0.4
    assert page.link().query == "lr=0.2&steps=40"
    page.handle("guess", 5.0)
    assert page.session.running
    finish(page)
    assert (page.training.lr, page.training.steps) == (0.2, 40)


def test_who_changes_something_meanwhile_leaves_the_links_run():
    page = explorer()
    page.handle("skip", None)
    page.handle("address", "steps=500")
    page.work(0.02)
    page.handle("lr", 0.1)
    assert page.session.plan is None
    assert page.training.lr == 0.1
    before = page.training.steps
    while page.training.steps < before + 3:
        page.work(0.01)
    assert page.running()


def test_a_run_with_more_changes_than_a_link_holds_keeps_its_settings_and_says_what_is_lost():
    page = explorer()
    page.handle("skip", None)
    page.handle("address", "hide=seed&fix=activation")
    for k in range(410):
        page.training.step()
        page.handle("momentum", 0.31 + 0.01 * (k % 7))
    page.handle("keep", None)
    assert "again</a>" not in page.furniture.compared.value
    page.still()
    link = page._stage.address
    assert len(link) < LONGEST
    sent = []
    page._stage.send = lambda content, *_: sent.append(content)
    page.handle("share", None)
    assert "leaves out the 410 changes" in sent[-1]["lacks"]
    again = explorer()
    again.handle("address", link)
    while again.running():
        again.work(0.05)
    again.still()
    assert not again.prediction.open
    assert again.training.momentum == page.training.momentum
    assert again._controls.widgets["activation"].disabled
    assert "the 410 changes on the way, too many for a link" in again._stage.status


def test_what_is_fixed_stays_whatever_else_is_asked_for():
    page = ScenePage(Parabola())
    page.handle("address", "lr=1.5&sharp=2&fix=lr&guess=skip")
    for name, value in (("reset", None), ("lecture", None), ("next", None), ("next", None)):
        page.handle(name, value)
        assert page.scene.values["lr"] == 1.5, name
        page.still()
        assert "lr=1.5" in page._stage.address
    live = explorer()
    live.handle("address", "lr=0.1&changes=3*lr*0.2&steps=5&fix=lr,batch_size&guess=skip")
    while live.running():
        live.work(0.05)
    assert live.training.lr == 0.2
    for name, value in (("preset", "catapult"), ("optimizer", "Adam"), ("dataset", "digits")):
        live.handle(name, value)
        assert live.training.lr == 0.2, name
        assert live.session.config.lr == 0.2
        assert live.training.batch_size is None
    live.handle("lr", 0.3)  # the control is off; a page that sends it all the same is not heeded
    assert live.training.lr == 0.2


def test_a_pause_on_the_way_changes_nothing():
    plan = Plan(SMALL, (Change(3, "rescale", (2.0, 1.0, 0.5)), Change(5, "lr", 0.1)), 8)
    straight, halting = Session(SMALL), Session(SMALL)
    for session in (straight, halting):
        session.replay(plan)
    while straight.running:
        straight.work(0.01)
    for _ in range(1000):
        if halting.plan is None:
            break
        halting.do("pause")
        halting.do("run")
        halting._part()
    theirs, ours = straight.training, halting.training
    assert theirs.interventions == ours.interventions
    assert torch.equal(theirs.objective.flat_parameters(), ours.objective.flat_parameters())


def test_a_link_of_another_build_says_so():
    page = explorer()
    page.handle("skip", None)
    page.handle("address", "steps=33&on=00000000")
    finish(page)
    assert ELSEWHERE in page.session.status


def test_a_network_that_cannot_be_built_leaves_the_page_as_it_is():
    page = explorer()
    page.handle("skip", None)
    page.handle("address", "dataset=secrets&lr=0.3")
    finish(page)
    assert "not taken" in page.session.status
    assert page.training.lr == 0.4


def test_a_run_of_ones_own_has_no_link():
    page = Explorer(PRESETS["chebyshev"].build())
    page.handle("address", "lr=0.1")
    assert "takes no link" in page.session.status
    with pytest.raises(ValueError, match="has no link"):
        page.to_link()


@pytest.mark.parametrize("make", [Parabola, Stabilise])
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_a_scene_comes_back_with_its_numbers(make, data):
    page = ScenePage(make())
    page.handle("skip", None)
    takes = data.draw(steps(page.scene).map(lambda all: [a for a in all if a[1] is not None]))
    for name, value in takes:
        page.handle(name, value)
    page.still()
    again = ScenePage(make())
    again.handle("address", page._stage.address)
    again.still()
    assert again.scene.values == page.scene.values
    assert again.scene.phase() == page.scene.phase()
    assert again._stage.address == page._stage.address


def test_a_bad_link_gives_the_defaults_and_says_why():
    page = ScenePage(Parabola())
    page.handle("address", "lr=7&nothing=1&sharp=4&guess=up")
    assert page.prediction.open
    page.handle("skip", None)
    assert page.scene.values["sharp"] == 4.0
    assert page.scene.values["lr"] == 0.5
    said = page.scene.status
    for part in ("lr: got '7'", "no control “nothing”", "guess: got 'up'", "The rest is as it"):
        assert part in said


def test_a_teacher_hides_and_fixes_controls():
    page = ScenePage(Parabola())
    page.handle("address", "lr=2&fix=lr&hide=method,beta,oops&guess=1.6")
    widgets = page._knobs.widgets
    assert page.scene.values["lr"] == 2.0
    assert widgets["lr"].disabled
    assert "kit-hidden" in widgets["method"]._dom_classes
    assert "no control “oops”" in page.scene.status
    page.handle("sharp", 4.0)
    page.still()
    assert widgets["lr"].disabled
    assert "fix=lr" in page._stage.address
    assert "hide=method,beta" in page._stage.address
    live = explorer()
    live.handle("address", "fix=lr,run&hide=seed&guess=skip")
    assert live._controls.widgets["lr"].disabled
    assert live._controls.widgets["run"].disabled
    assert "kit-hidden" in live._controls.widgets["seed"]._dom_classes
