"""What holds for the scene of every page, for its tests to call."""

import csv
import io
import json
import zipfile

from hypothesis import strategies as st

from kit.live import ScenePage
from kit.live.batches import Batches
from kit.live.constrained import Constrained
from kit.live.forced import Forced
from kit.live.league import League
from kit.live.link import Link
from kit.live.parabola import Parabola
from kit.live.regularisers import Regularisers
from kit.live.rescale import Rescale
from kit.live.stabilise import Stabilise
from kit.live.steepness import Steepness
from kit.live.worth import Worth

SCENES = (Parabola, Stabilise, Link, Forced, Steepness, Worth, Rescale)
SCENES += (Batches, Regularisers, Constrained, League)
TIMES = 2000  # slices of work after which a scene must have come to rest


def steps(scene):
    """Random sequences of what a reader can do to a scene."""
    actions = []
    for control in scene.controls:
        takes = list(control.values) or list((control.options or {}).values())
        if control.values:  # ends are where it breaks
            takes = [takes[0], takes[-1], *takes]
        actions += [(control.name, value) for value in takes] or [(control.name, None)]
    return st.lists(st.sampled_from([*actions, ("reset", None)]), max_size=8)


def check_words(scene):
    """Every number has a name and a remark, every picture its words, and nothing is NaN."""
    for row in scene.numbers():
        assert len(row) == 3
        assert all(isinstance(part, str) for part in row)
        assert "nan" not in " ".join(row).lower()
    assert "nan" not in scene.phase().lower()
    columns = scene.columns()
    assert len({len(column) for column in columns.values()}) <= 1


def check_page(make):
    """A page without a browser: it opens locked, reveals, downloads, and lectures."""
    page = ScenePage(make())
    assert page.prediction.open
    before = dict(page._stage.stills)
    assert set(before) == set(page.scene.pictures)
    assert all(image[:4] == b"\x89PNG" for image in before.values())
    assert all("now" in alt.lower() for alt in page._stage.alts.values())
    question = page.question
    page.handle("guess", None)  # the button, before anything is chosen
    assert page.prediction.open
    assert "Choose an answer first" in page.furniture.verdict.value
    guess = question.choices[0] if question.choices else question.number[0]
    page.handle("guess", guess)
    page.still()
    assert not page.prediction.open
    assert page.prediction.verdict
    assert any(page._stage.stills[key] != before[key] for key in before), "nothing was revealed"
    page.handle("reflect", "more than I thought")
    archive = zipfile.ZipFile(io.BytesIO(page.files()))
    names = set(archive.namelist())
    assert names >= {f"{key}.{kind}" for key in before for kind in ("png", "svg")}
    run = json.loads(archive.read("run.json"))
    assert run["prediction"]["guess"] == guess
    assert run["prediction"]["reflection"] == "more than I thought"
    assert run["settings"] == json.loads(json.dumps(page.scene.settings()))
    rows = list(csv.reader(io.StringIO(archive.read("data.csv").decode())))
    assert rows[0] == list(page.scene.columns())
    assert f"{len(rows) - 1}" == f"{len(next(iter(page.scene.columns().values())))}"
    assert b"Settings" in archive.read(f"{next(iter(before))}.svg")
    for index in range(len(page.scene.beats)):
        page.handle("lecture" if index == 0 else "next", None)
        assert f"Beat {index + 1} of" in page.furniture.beat.value
        assert not page.scene.status.startswith("Not done"), page.scene.status
        check_words(page.scene)
        page.still()
    return page


def check_skipping(make):
    """A reader who does not want to guess: the saved run says so."""
    page = ScenePage(make())
    page.handle("skip", None)
    assert page.content()["prediction"]["skipped"] is True
    assert page.content()["prediction"]["guess"] is None
    assert page.scene.revealed
