"""The controls of a scene, and what a page says to a guess, without a browser."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kit.live import ScenePage
from kit.live.picture import Picture
from kit.live.question import Question, off
from kit.live.scene import Control, Scene

WHY = "The tail has no say while the head is up."


class Dot(Picture):
    def build(self, figure):
        (self.dot,) = self.axes(figure, "x", "y").plot([], [], "o", animated=True)
        self.moving = [self.dot]

    def update(self, scene):
        self.dot.set_data([0.5], [0.5])

    def alt(self, scene):
        return f"A dot. Now: the head is {scene.values['head']}."


class Coin(Scene):
    title = "A coin"
    controls = (
        Control("head", "head", "head", values=(0, 1), bar=True, shows="two"),
        Control("tail", "tail", "tail", values=(0, 1), group="Below"),
        Control("long", "long", "long", options={"a choice with a long name": 0, "b": 1}),
    )
    pictures = {"one": Dot, "two": Dot}  # noqa: RUF012
    question = Question("How many?", number=(0, 10))

    def begin(self):
        self.values = {"head": 0, "tail": 0, "long": 0}

    def idle(self):
        return {"tail": WHY} if self.values["head"] else {}

    def answer(self):
        return 4.0


@pytest.fixture
def page():
    return ScenePage(Coin())


def test_a_slider_at_its_first_place_is_no_guess_yet(page):
    commit = next(
        w
        for w in page.children[1].children[0].children[0].children[1].children
        if "kit-c-commit" in w._dom_classes
    )
    assert commit.disabled
    page.furniture.guess.value = 3.0
    assert not commit.disabled


def test_the_scene_knows_what_was_guessed(page):
    page.handle("guess", 3.0)
    assert page.scene.guess == 3.0
    other = ScenePage(Coin())
    other.handle("skip", None)
    assert other.scene.guess is None


def test_what_does_nothing_now_is_off_and_says_why(page):
    tail = page._knobs.widgets["tail"]
    assert not tail.disabled
    page.handle("head", 1)
    assert tail.disabled
    assert [place.value for place in page._knobs.why_idle] == ["", WHY]
    page.handle("head", 0)
    assert not tail.disabled
    assert [place.value for place in page._knobs.why_idle] == ["", ""]


def test_a_control_brings_its_picture_into_view(page, monkeypatch):
    sent = []
    monkeypatch.setattr(page._stage, "send", lambda content, buffers=None: sent.append(content))
    page.handle("head", 1)
    assert {"type": "look", "key": "two"} in sent
    sent.clear()
    page.handle("tail", 1)
    assert not [content for content in sent if content["type"] == "look"]


def test_controls_stand_in_groups_and_long_choices_get_a_line(page):
    drawer = page._knobs.box.children[1].children
    assert drawer[0].value == "Below"
    assert "kit-tall" in page._knobs.widgets["long"]._dom_classes


def test_the_words_are_those_of_the_pictures(page):
    page.still()
    assert page._stage.words == "A dot. Now: the head is 0.\nA dot. Now: the head is 0."


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_how_far_beside_can_be_undone(guess, answer):
    assume(abs(guess / answer - 1) > 0.1)
    number, *words = off(guess, answer).split()
    assert words[-1] == ("high" if guess > answer else "low")
    if number.endswith("%"):
        sign = 1 if guess > answer else -1
        again = answer * (1 + sign * float(number[:-1]) / 100)
    else:
        again = answer * float(number) ** (1 if guess > answer else -1)
    assert again == pytest.approx(guess, rel=0.06)


def test_beyond_zero_only_the_side_is_said():
    assert off(0.0, 2.0) == "too low"
    assert off(1.0, 0.0) == "too high"


def test_a_control_cannot_have_the_name_of_a_tool():
    class Clash(Coin):
        controls = (*Coin.controls, Control("back", "Restart", "Back to the start"))

    with pytest.raises(ValueError, match="back are names of what every page has"):
        ScenePage(Clash())
