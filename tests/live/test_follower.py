"""A page on a loop of one's own: drawn as it records, as frames go, and without controls."""

import asyncio
import json

import nbformat
import pytest
import torch
from nbclient import NotebookClient

from kit import Recorder, load_dataset, mlp
from kit.live import Explorer, follower, words
from kit.live.strips import PANELS

DATA = load_dataset("digits", n_train=40)


def recorded(**options):
    """A recorder, and a function that takes a step and records it."""
    model = mlp((64, 6, 10))
    options = {"X_test": DATA.X_test, "y_test": DATA.y_test} | options
    recorder = Recorder(model, "cross_entropy", DATA.X_train, DATA.y_train, **options)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(DATA.X_train), DATA.y_train).backward()
        optimizer.step()
        recorder.record(optimizer)

    return recorder, step


@pytest.mark.parametrize("options", [{}, {"X_test": None, "y_test": None, "measures": ()}])
def test_a_page_shows_the_pictures_and_words_of_a_recorder(options):
    recorder, step = recorded(**options)
    page = Explorer(recorder)
    assert page.training is recorder
    assert set(page._stage.stills) == set(PANELS)
    before = dict(page._stage.stills)
    for _ in range(5):
        step()
    assert page._repr_mimebundle_()["text/html"].count("data:image/png") == 4
    assert page._stage.stills["loss"] != before["loss"]
    assert page._stage.numbers[0] == ["step t", "5", "measured every step"]
    assert ["threshold", "20.0", "2/η"] in page._stage.numbers
    assert "5 steps" in page._stage.status
    assert "Step 5, own data, learning rate 0.1." in page._stage.words
    assert "nan" not in page._stage.words + " ".join(page._stage.alts.values())


def test_a_model_back_in_training_mode_is_still_shown():
    model = torch.nn.Sequential(torch.nn.Linear(64, 10), torch.nn.Dropout())
    recorder = Recorder(model.eval(), "mse", DATA.X_train, DATA.y_train)
    page = Explorer(recorder)
    recorder.record(torch.optim.SGD(model.parameters(), lr=0.1))
    model.train()
    page.still()
    assert page._stage.numbers[0][1] == "1"


def test_there_is_nothing_to_press_and_the_page_says_why():
    recorder, step = recorded()
    page = Explorer(recorder)
    assert page._controls.widgets == page._controls.names() == {}
    assert "Your own loop trains" in page._controls.reason.value
    with pytest.raises(RuntimeError, match=r"run\(\): Your own loop"):
        page.run()
    page.pause()
    for command in ("step", "reset", "fork", "lr", "rescale", "repair"):
        page.session.do(command, 0.5)
        assert page.session.status.startswith("Not done")
    assert recorder.steps == 0
    step()
    with pytest.raises(ValueError, match=r"controls: got .*takes none with a Recorder"):
        Explorer(recorder, controls=("lr",))


def test_a_loop_that_breaks_is_explained():
    recorder, step = recorded()
    page = Explorer(recorder)
    with torch.no_grad():
        recorder.model[0].weight.fill_(float("nan"))
    step()
    page.still()
    assert page._stage.broken
    assert page._stage.status.startswith("Blow-up at step 1")
    assert words.numbers(page.session)


def test_save_is_that_of_a_training(tmp_path):
    recorder, step = recorded(every=2)
    page = Explorer(recorder)
    for _ in range(3):
        step()
    page.save(tmp_path / "run.json")
    saved = json.loads((tmp_path / "run.json").read_text())
    assert saved["format"] == "sharpness-kit run 1"
    assert saved["data"] == "own data"
    assert saved["history"]["sharpness"][1] is None
    assert saved["history"]["lr"] == [0.1] * 4
    assert saved["interventions"] == []


def watched(monkeypatch, page):
    """The frames that go to the page, and the still pictures that are drawn."""
    sent, stills = [], []
    monkeypatch.setattr(page._stage, "send", lambda content, buffers=None: sent.append(content))
    original = page.still
    monkeypatch.setattr(page, "still", lambda: (stills.append(page.training.steps), original()))
    return sent, stills


def frames(sent):
    return [content for content in sent if content.get("type") == "frame"]


def test_frames_go_from_within_a_loop_that_holds_the_kernel_and_it_ends_at_rest(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(follower.time, "perf_counter", lambda: clock[0])

    async def main():
        recorder, step = recorded(measures=("sharpness",))
        page = Explorer(recorder)
        sent, stills = watched(monkeypatch, page)
        for _ in range(60):  # ten milliseconds a step: 25 frames a second at most
            clock[0] += 0.01
            step()
        shown = frames(sent)
        assert 11 <= len(shown) <= 16
        assert shown[-1]["keys"] == list(PANELS)
        assert int(shown[-1]["numbers"][0][1]) >= 55
        assert stills == []
        clock[0] += 1
        await asyncio.sleep(2 * follower.REST)
        assert stills == [60]
        assert page._stage.numbers[0][1] == "60"
        await asyncio.sleep(2 * follower.REST)
        assert stills == [60]

    asyncio.run(main())


def test_drawing_takes_a_fifth_of_the_time_at_most():
    pace = follower.Pace()
    assert pace.due(0.0)
    pace.drawn(0.0, 0.1)
    assert not pace.due(0.49)
    assert pace.due(0.51)


def test_the_newest_page_is_drawn_and_an_answer_of_the_page_starts_nothing(monkeypatch):
    async def main():
        recorder, step = recorded(measures=())
        first, second = Explorer(recorder), Explorer(recorder)
        sent = [watched(monkeypatch, page)[0] for page in (first, second)]
        step()
        assert [len(frames(one)) for one in sent] == [0, 1]
        answer = {"type": "ack", "frame": 1, "visible": ["loss"], "width": 300}
        second._on_message(answer)
        await asyncio.sleep(0)
        assert second._loop._task is None
        monkeypatch.setattr(follower.Pace, "due", lambda self, now: True)
        step()
        assert frames(sent[1])[-1]["keys"] == ["loss"]

    asyncio.run(main())


CELLS = (
    """
import torch
from kit import Recorder, load_dataset, mlp
from kit.live import Explorer
data, model = load_dataset("chebyshev"), mlp((1, 8, 1), activation="tanh")
recorder = Recorder(model, "mse", data.X_train, data.y_train)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
""",
    "page = Explorer(recorder); page",
    """
for _ in range(50):
    optimizer.zero_grad()
    (model(data.X_train) - data.y_train).square().mean().backward()
    optimizer.step()
    recorder.record(optimizer)
""",
    "print(page._frames > 0, recorder.steps)\npage",
)


def test_a_notebook_with_it_finishes(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    said, shown = notebook.cells[-1].outputs
    assert said["text"].split() == ["True", "50"]
    assert "over 50 steps" in shown["data"]["text/html"]
