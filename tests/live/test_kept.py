"""Runs that are kept: drawn with a letter, told in a table, loaded from what was downloaded."""

import io
import json
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.live import Explorer, ScenePage
from kit.live.address import WORD, Link
from kit.live.faint import Course
from kit.live.kept import KeptRun, table
from kit.live.panels import Panel
from kit.live.parabola import Parabola
from kit.live.picture import Picture
from kit.live.shelf import LETTERS, text_of
from tests.live.scenes import SCENES


def trained(lr=0.4, steps=40):
    page = Explorer(preset="chebyshev")
    page.session.do("lr", lr)
    page.training.run(steps)
    return page


def saved(page):
    return zipfile.ZipFile(io.BytesIO(page.files())).read("run.json")


@pytest.fixture(scope="module")
def text():
    page = trained(0.2)
    page.session.do("momentum", 0.5)
    page.training.run(5)
    return saved(page)


def test_a_kept_run_stays_in_the_picture_and_in_the_table_while_another_is_made():
    page = trained()
    before = page.image("loss", still=True)
    steps, loss = page.training.steps, page.training.history["loss"][-1]
    page.handle("keep", None)
    assert page.session.status.startswith("Kept as run A")
    page.handle("reset", None)
    page.handle("lr", 0.1)
    page.training.run(10)
    page.still()
    assert page.image("loss", still=True) != before
    ((line, text),) = page._panels["loss"]._axes[0]._kept
    assert text.get_text() == "A"
    assert text.get_position() == (steps, pytest.approx(loss))
    assert line.get_xdata()[-1] == steps
    assert f"<td>{steps}</td>" in page.furniture.compared.value
    assert "A (η 0.4" in page._stage.words
    page.handle("forget", None)
    assert page.furniture.compared.value == ""
    assert page.shelf.runs == []


def test_what_was_downloaded_comes_back_with_its_numbers(text):
    page = trained(0.1, 10)
    page.handle("load", text)
    assert page.session.status.startswith("Loaded as run A: η")
    (run,) = page.shelf.runs
    content = json.loads(text)
    assert run.steps == len(content["history"]["step"]) - 1
    assert [v for v in run.columns["loss"] if v == v] == [
        v for v in content["history"]["loss"] if v is not None
    ]
    assert "β 0.5 from step" in run.settings()
    names = zipfile.ZipFile(io.BytesIO(page.files())).namelist()
    assert "kept-A.json" in names
    page.handle("load", text)
    assert [run.letter for run in page.shelf.runs] == ["A", "B"]


def test_the_link_of_a_kept_run_makes_it_again(text):
    run = KeptRun.read("A", text)
    page = Explorer(preset="edge")
    page._open(Link.read(run.query))
    while page.session.running:
        page.work(0.05)
    assert page.training.steps == run.steps
    assert np.allclose(page.training.history["loss"], run.columns["loss"], rtol=0, atol=0)


def test_so_many_and_no_more():
    page = trained(steps=3)
    for letter in LETTERS:
        page.handle("keep", None)
        assert page.shelf.runs[-1].letter == letter
    page.handle("keep", None)
    assert "6 runs are kept; forget them first" in page.session.status
    assert len(page.shelf.runs) == len(LETTERS)


def test_a_file_of_something_else_is_refused_and_nothing_is_lost(text):
    page = trained(steps=3)
    steps, content = page.training.steps, json.loads(text)
    short = {**content, "history": {**content["history"], "loss": [1.0]}}
    words = {
        **content,
        "history": {**content["history"], "loss": ["a"] * len(content["history"]["loss"])},
    }
    unknown = {**content, "config": {**content["config"], "dataset": 7, "hidden": "x"}}
    huge = {**content, "history": {**content["history"], "loss": [10**400] * (steps + 1)}}
    for bad in (b"", b"\x89PNG", b"[]", b"{}", b'{"format": "sharpness-kit run 1"}', b"[" * 10**5):
        page.handle("load", bad)
        assert page.session.status.startswith("Not loaded: this ")
    alien = {**content, "config": {**content["config"], "dataset": "\ud800"}}
    for bad in (
        short,
        words,
        huge,
        alien,
        {**content, "history": {}},
        {**content, "interventions": [3]},
    ):
        page.handle("load", json.dumps(bad).encode())
        assert "damaged" in page.session.status
    page.handle("load", json.dumps(unknown).encode())
    assert page.session.status.startswith(("Not loaded", "Loaded"))
    assert page.training.steps == steps


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), junk=st.binary(max_size=3))
def test_a_damaged_file_is_refused_or_harmless(text, place, junk):
    cut = int(place * len(text))
    run = None
    with suppress(ValueError):
        run = KeptRun.read("A", text[:cut] + junk + text[cut + len(junk) :])
    if run is not None:
        assert table([run])
        Panel("loss").encode(run.columns, kept={"A": run.columns}, still=True)


def test_what_a_file_holds_is_text_in_the_table():
    content = {"format": "sharpness-kit run 1", "config": None, "data": "<script>alert(1)</script>"}
    content |= {"interventions": [], "diverged": None, "history": {"step": [0], "loss": [1.0]}}
    assert "<script>" not in table([KeptRun.read("A", json.dumps(content))])


def test_a_run_that_the_browser_remembers_comes_back_with_its_letter(text):
    page = trained(steps=3)
    sent = []
    page._stage.send = lambda content, buffers=None: sent.append(content)
    page.handle("keep", None)
    page.handle("keep", None)
    remembered = [c for c in sent if c["type"] == "remember"]
    assert [c["letter"] for c in remembered] == ["A", "B"]

    again = trained(steps=3)
    for content in remembered[::-1]:  # in whatever order they come
        again._on_message({**content, "type": "kept"})
    assert [run.letter for run in again.shelf.runs] == ["A", "B"]
    for old, new in zip(page.shelf.runs, again.shelf.runs, strict=True):
        assert old.columns["loss"] == new.columns["loss"]
    assert again.furniture.compared.value == page.furniture.compared.value
    again._on_message({"type": "kept", "letter": "C", "text": "{}"})
    said = again.session.status  # all of them, in one
    assert "Run A, which you kept, is back." in said
    assert "Run C, which you kept, could not come back: this " in said
    for letter in ("A<b>", "", "AB"):
        again._on_message({"type": "kept", "letter": letter, "text": text.decode()})
    assert [run.letter for run in again.shelf.runs] == ["A", "B", "C", "D", "E"]
    again.handle("forget", None)
    assert again.shelf.runs == []


def test_a_scene_comes_back_from_its_file():
    page = ScenePage(Parabola())
    page.handle("skip", None)
    page.handle("lr", 1.2)
    page.handle("sharp", 4.0)
    text = saved(page)
    other = ScenePage(Parabola())
    other.handle("load", text)
    assert other.scene.values == page.scene.values
    assert other.scene.status.startswith("Loaded as run A; the controls are as in it.")
    other.handle("load", text.replace(b"big?", b"small?"))
    assert "this was saved on the page" in other.scene.status
    other.handle("load", b"{}")
    assert "no run.json" in other.scene.status
    assert [run.letter for run in other.shelf.runs] == ["A"]
    content = json.loads(text)
    older = {name: content[name] for name in ("format", "page", "settings", "history")}
    other.handle("load", json.dumps(older).encode())  # of before lines were kept
    assert other.scene.values == page.scene.values
    values = dict(other.scene.values)
    line = {**content["lines"]["descent"][0], "x": [0.0], "y": [1.0]}
    wrong = [{}, line | {"x": []}, line | {"x": [], "y": []}, line | {"y": [10**400]}]
    wrong += [line | {"axes": "0"}, line | {"y": ["1"]}, line | {"x": None}]
    for name, bad in [
        ("numbers", [1]),
        ("numbers", [["loss", 1, ""]]),
        ("link", ["eta"]),
        ("settings", ["lr"]),
        *(("lines", {"descent": [each]}) for each in wrong),
    ]:
        other.handle("load", json.dumps(content | {name: bad}).encode())
        assert "damaged" in other.scene.status, (name, bad)
    other.handle("load", b"[" * 10**5)
    assert "no run.json" in other.scene.status
    assert other.scene.values == values
    assert len(other.shelf.runs) == 2
    other.still()


def faint(picture):
    """Letter, points of each kept line that is drawn."""
    pairs = zip(picture.faint._artists[::2], picture.faint._artists[1::2], strict=True)
    return {text.get_text(): line.get_xydata() for line, text in pairs}


def test_what_a_scene_showed_stays_in_its_pictures_and_in_a_table():
    page = ScenePage(Parabola())
    page.handle("skip", None)
    page.handle("lr", 0.4)
    page.handle("run", None)
    page.scene.work(10.0)
    page.handle("pause", None)
    before = {key: page.image(key, still=True) for key in page._keys}
    loss = page._pictures["descent"].line.get_xydata().copy()
    values = {name: cells for name, *cells in page.scene.numbers()}
    page.handle("keep", None)
    assert page.scene.status.startswith("Kept as run A")
    page.handle("lr", 0.8)
    assert "Kept" not in page.scene.status
    page.handle("reset", None)
    page.still()
    drawn = {key: page.image(key, still=True) for key in page._keys}
    assert np.array_equal(faint(page._pictures["descent"])["A"], loss)
    assert drawn["descent"] != before["descent"]
    page.handle("lr", 0.5)
    with_a = page.image("descent", kind="svg").count(b"<path")
    run = page.shelf.runs.pop()
    assert page.image("descent", kind="svg").count(b"<path") < with_a
    page.shelf.put(run)
    for name, (value, remark) in values.items():
        assert f"<td>{value}<small>{remark}</small></td>" in page.furniture.compared.value, name
    assert "faint where they have a line: A (learning rate η 0.4" in page._stage.words
    link = page.shelf.runs[0].query
    page.handle("forget", None)
    page.still()
    assert faint(page._pictures["descent"]) == {}
    assert page.furniture.compared.value == ""

    other = ScenePage(Parabola())
    other._open(Link.read(link))
    assert other.scene.values["lr"] == 0.4


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_every_scene_can_be_kept_at_any_end_and_comes_back(scene):
    """Whatever is turned, a kept line is drawn with the points it had, on axes of the same kind."""
    page = ScenePage(scene())
    page.handle("skip", None)
    for control in page.scene.controls:
        takes = control.values or tuple((control.options or {}).values())
        for value in takes:
            assert WORD.fullmatch(control.text(value)), (control.name, value)
            assert control.parse(control.text(value)) == value
        if takes and control.name in page.scene.values:
            page.handle(control.name, takes[-1])
            page.handle("pause", None)
            page.stop()
    page.handle("keep", None)
    (run,) = page.shelf.runs
    again = ScenePage(scene())
    again._on_message({"type": "kept", "letter": "A", "text": text_of(run)})
    assert again.scene.status == "Run A, which you kept, is back."
    (back,) = again.shelf.runs
    assert (back.numbers, back.link) == (run.numbers, run.link)
    hidden = {key: again.image(key, still=True) for key in again._keys}
    assert hidden == again._stage.stills  # as long as the question is open
    for key, picture in page._pictures.items():
        page.image(key)
        drawn, own = faint(picture), run.courses[key]
        assert bool(drawn) == bool(own), key
        for points in drawn.values():
            kept = [np.c_[course.x, course.y] for course in own]
            assert any(np.array_equal(points, line, equal_nan=True) for line in kept)


def test_what_is_too_long_to_come_back_says_so(monkeypatch):
    page = trained(steps=3)
    monkeypatch.setattr("kit.live.shelf.LONGEST", 1000)
    page.handle("keep", None)
    assert page.session.status.endswith("compare. It is too long to outlive a reload.")
    page.handle("lr", 0.1)
    assert "Kept" not in page.session.status


def test_a_kept_line_is_not_drawn_where_it_would_mean_something_else():
    class Twice(Picture):
        def build(self, figure):
            self.ax = self.axes(figure, "step t", "loss")
            self.ax.set(xlim=(0, 3), ylim=(0, 1))
            self.moving = list(self.ax.plot([], [], animated=True))

        def compared(self):
            return self.moving

        def update(self, scene):
            self.moving[0].set_data([0, 1, 2], [0.1, 0.2, 0.3])
            self.ax.set_ylabel(scene)
            return scene

    picture = Twice()
    (line,) = picture.courses("loss")
    assert (line["x"], line["y"]) == ([0, 1, 2], [0.1, 0.2, 0.3])
    picture.faint.show({"A": [Course(**line)], "B": [Course(7, "", [0.0], [0.0])]})
    picture.encode("loss")
    assert set(faint(picture)) == {"A"}
    limits = picture.ax.get_xlim(), picture.ax.get_ylim()
    picture.encode("sharpness")
    assert faint(picture) == {}
    picture.encode("loss", kind="svg")
    assert set(faint(picture)) == {"A"}
    assert (picture.ax.get_xlim(), picture.ax.get_ylim()) == limits
