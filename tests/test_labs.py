"""The labs: instructors' notebooks run, students' hold no solution, and grading finds its marks."""

import importlib
import io
import json
import re
import subprocess
import zipfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient
from PIL import Image

from kit.check import begin
from kit.lab_pictures import FOLDER, PICTURES, picture
from kit.labs import BEGIN, END, LABS, SOURCE, filled, for_course, submissions

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-grading" / "bin" / "python"
HIDDEN = "### BEGIN HIDDEN TESTS"


def cells(lab):
    return nbformat.read(SOURCE / f"{lab}.ipynb", as_version=4).cells


def about(cell):
    return cell.metadata.get("nbgrader", {})


def run(*words, timeout=900):
    done = subprocess.run(
        [PYTHON, "-m", "kit.labs", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("lab", LABS)
def test_an_instructors_notebook_is_whole_and_says_what_it_asks(lab):
    text = "\n".join(cell.source for cell in cells(lab) if cell.cell_type == "markdown")
    for part in (
        "**Goals.**",
        "**You need**",
        "**Time:**",
        "## Explore",
        "What changed in your mind?",
    ):
        assert part in text, part
    solutions = [c for c in cells(lab) if about(c).get("solution") and c.cell_type == "code"]
    tests = [c for c in cells(lab) if about(c).get("grade") and c.cell_type == "code"]
    written = [c for c in cells(lab) if about(c).get("grade") and c.cell_type == "markdown"]
    assert len(solutions) == len(tests) >= 4
    assert len(written) >= 3  # two predictions, one reflection
    assert len(re.findall(r"^## .*\(★+, \d+ minutes\)", text, re.M)) >= len(tests)
    assert len({about(c)["grade_id"] for c in (*solutions, *tests, *written)}) == len(
        solutions + tests + written
    )
    for cell in solutions:
        assert BEGIN in cell.source
        assert END in cell.source
        assert '"""' in cell.source.split(BEGIN)[0], "a stub says what to return"
    exercises = importlib.import_module(f"kit.check.{lab}").EXERCISES
    for cell in tests:
        assert about(cell)["points"] > 0
        assert HIDDEN in cell.source
        (name,) = re.findall(r"^check\.(\w+)\(", cell.source.split(HIDDEN)[0], re.M)
        assert name in exercises
    assert all(cell.get("outputs", []) == [] for cell in cells(lab))


@pytest.mark.slow
@pytest.mark.parametrize("lab", LABS)
@pytest.mark.parametrize("course", ["", "2027"])
def test_an_instructors_notebook_runs(lab, course, tmp_path):
    text = for_course((SOURCE / f"{lab}.ipynb").read_text(encoding="utf-8"), course)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(nbformat.reads(text, as_version=4), timeout=120, resources=resources).execute()


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    out = tmp_path_factory.mktemp("release") / "labs.zip"
    run("release", "--course", "2027", "--out", str(out))
    with zipfile.ZipFile(out) as archive:
        # The students' notebooks and nothing beside: no instructor's folder, no pictures.
        assert set(archive.namelist()) == {f"{lab}/{lab}.ipynb" for lab in LABS}
        return {Path(name).stem: archive.read(name).decode() for name in archive.namelist()}


@pytest.mark.slow
def test_what_students_get_holds_no_solution_and_no_hidden_test(release):
    assert set(release) == set(LABS)
    for lab, text in release.items():
        sources = "\n".join("".join(c["source"]) for c in json.loads(text)["cells"])
        assert "SOLUTION" not in sources
        assert "HIDDEN" not in sources
        assert "course='2027'" in sources
        assert sources.count("(double-click here and write)") == sum(
            bool(about(c).get("solution")) and c.cell_type == "markdown" for c in cells(lab)
        )
        assert "Your answer" not in sources  # a stub of nbgrader's, below one of ours
        for cell in cells(lab):
            for first, last in ((BEGIN, END), (HIDDEN, "### END HIDDEN TESTS")):
                if first in cell.source:
                    for line in cell.source.split(first)[1].split(last)[0].splitlines():
                        if len(line.strip()) > 25:
                            assert line.strip() not in sources, line


@pytest.mark.slow
def test_a_class_of_six_gets_its_marks_within_the_time_limit(tmp_path):
    said = run("demo", "--folder", str(tmp_path))
    rows = dict(re.findall(r"^(\w+) +.*?(\d+)%$", said, re.M))
    marks = {student: int(share) for student, share in rows.items()}
    assert set(marks) == {"perfect", "empty", "half", "loops", "raises", "widgets"}
    assert marks["perfect"] == marks["widgets"] == 100
    assert marks["empty"] == 0
    assert 20 < marks["half"] < 80
    assert 60 < marks["loops"] == marks["raises"] < 100
    for student in marks:  # who is not to read the hidden tests, but what went wrong
        told = (tmp_path / "feedback" / student / "lab_a" / "lab_a.html").read_text("utf-8")
        assert "seed=104" not in told
        assert "HIDDEN" not in told
    assert "seed=104" in (tmp_path / "autograded/empty/lab_a/lab_a.ipynb").read_text("utf-8")


def test_the_class_of_six_is_what_it_says():
    source = json.loads((SOURCE / "lab_a.ipynb").read_text(encoding="utf-8"))
    stripped = filled(source, lambda name, text: "raise NotImplementedError")
    made = submissions("lab_a", stripped, source)
    text = {name: json.dumps(notebook) for name, notebook in made.items()}
    assert (
        text["empty"].count("NotImplementedError") > text["half"].count("NotImplementedError") > 0
    )
    assert "while True" in text["loops"]
    assert "IntSlider" in text["widgets"]
    assert "NotImplementedError" not in text["perfect"]


def test_a_course_that_would_not_fit_into_a_notebook_is_refused():
    with pytest.raises(ValueError, match="letters"):
        for_course("begin('a', student='')", 'x"; import os')


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)


@pytest.mark.slow
@pytest.mark.parametrize("lab", LABS)
def test_a_picture_of_the_guide_is_what_a_student_gets_today(lab):
    path = FOLDER / f"{lab}.png"
    assert path.stat().st_size < 60_000
    kept, fresh = pixels(path.read_bytes()), pixels(picture(lab))
    assert np.abs(np.subtract(kept.shape, fresh.shape)).max() <= 8
    rows, columns, _ = np.minimum(kept.shape, fresh.shape)
    # Fonts and the last digits of a run may differ a little from machine to machine.
    differs = np.abs(kept[:rows, :columns] - fresh[:rows, :columns]) > 40
    assert differs.mean() < 0.03


def test_the_guide_shows_the_picture_of_every_lab_and_says_what_it_is():
    guide = (SOURCE.parent / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"!\[(.{30,}?)\]\(pictures/(\w+)\.png\)", guide)
    assert [name for _, name in shown] == list(LABS) == sorted(PICTURES)


@pytest.mark.parametrize("lab", LABS)
def test_the_guide_knows_every_exercise_of_a_lab(lab):
    guide = (SOURCE.parent / "README.md").read_text(encoding="utf-8")
    (part,) = re.findall(rf"^### Lab {lab[-1]}\b.*?(?=^##)", guide, re.M | re.S)
    minutes = re.findall(r"^\| (\d) \| (\d+) \|", part, re.M)
    text = "\n".join(c.source for c in cells(lab) if c.cell_type == "markdown")
    assert minutes == re.findall(r"^## (\d)\. .*\(★+, (\d+) minutes\)", text, re.M)
    stated = int(re.search(r"\*\*Time:\*\* (\d+) minutes", text)[1])
    assert abs(stated - sum(map(int, re.findall(r"^## .*?(\d+) minutes\)", text, re.M)))) <= 5
    assert f"{stated} min" in guide


def test_a_notebook_keeps_torch_on_one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        begin("a")
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
