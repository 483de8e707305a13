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
from kit.live.address import Link
from kit.live.kept import LETTERS, KeptRun, table
from kit.live.panels import Panel
from kit.live.parabola import Parabola


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
    assert f"<td>{steps}</td>" in page._compared.value
    assert "A (η 0.4" in page.summary()
    page.handle("forget", None)
    assert page._compared.value == ""
    assert page.kept == []


def test_what_was_downloaded_comes_back_with_its_numbers(text):
    page = trained(0.1, 10)
    page.handle("load", text)
    assert page.session.status.startswith("Loaded as run A: η")
    (run,) = page.kept
    content = json.loads(text)
    assert run.steps == len(content["history"]["step"]) - 1
    assert [v for v in run.columns["loss"] if v == v] == [
        v for v in content["history"]["loss"] if v is not None
    ]
    assert "β 0.5 from step" in run.settings()
    names = zipfile.ZipFile(io.BytesIO(page.files())).namelist()
    assert "kept-A.json" in names
    page.handle("load", text)
    assert [run.letter for run in page.kept] == ["A", "B"]


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
        assert page.kept[-1].letter == letter
    page.handle("keep", None)
    assert "6 runs are kept; forget them first" in page.session.status
    assert len(page.kept) == len(LETTERS)


def test_a_file_of_something_else_is_refused_and_nothing_is_lost(text):
    page = trained(steps=3)
    steps, content = page.training.steps, json.loads(text)
    short = {**content, "history": {**content["history"], "loss": [1.0]}}
    words = {
        **content,
        "history": {**content["history"], "loss": ["a"] * len(content["history"]["loss"])},
    }
    unknown = {**content, "config": {**content["config"], "dataset": 7, "hidden": "x"}}
    for bad in (b"", b"\x89PNG", b"[]", b"{}", b'{"format": "sharpness-kit run 1"}'):
        page.handle("load", bad)
        assert page.session.status.startswith("Not loaded: this ")
    for bad in (short, words, {**content, "history": {}}, {**content, "interventions": [3]}):
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


def test_a_scene_comes_back_from_its_file():
    page = ScenePage(Parabola())
    page.handle("skip", None)
    page.handle("lr", 1.2)
    page.handle("sharp", 4.0)
    text = saved(page)
    other = ScenePage(Parabola())
    other.handle("load", text)
    assert other.scene.values == page.scene.values
    assert other.scene.status.startswith("As in the file.")
    other.handle("load", text.replace(b"big?", b"small?"))
    assert "this was saved on the page" in other.scene.status
    other.handle("load", b"{}")
    assert "no run.json" in other.scene.status
