"""The labs for a class: students' notebooks out of the instructor's, and grading without a hand.

    python -m kit.labs release --course 2027 --out dist/labs.zip     what students get, and beside
                                                                    it dist/course, to grade in
    python -m kit.labs demo                                         a class of six, graded

Both need nbgrader (`make labs` and `make grade-demo` bring it along). The instructor's notebooks
are the only source: nbgrader strips solutions and hidden tests from them.

>>> sorted(LABS)[:1], for_course("begin('a', student='')", "2027")
(['lab_a'], "begin('a', course='2027', student='')")
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[1] / "notebooks" / "labs" / "instructor"
LABS = tuple(sorted(path.stem for path in SOURCE.glob("lab_*.ipynb")))
SECONDS = 15  # that a cell may take
CONFIG = """
from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbgrader.preprocessors import ClearHiddenTests, GetGrades, NbGraderPreprocessor


class ShortErrors(NbGraderPreprocessor):
    # Of a check that failed, what it says: the lines around it are hidden tests.
    def preprocess_cell(self, cell, resources, index):
        if cell.metadata.get("nbgrader", {{}}).get("grade"):
            for output in cell.get("outputs", ()):
                if output.output_type == "error":
                    output.traceback = [f"{{output.ename}}: {{output.evalue}}"]
        return cell, resources


c = get_config()
c.CourseDirectory.course_id = "sharpness"
c.ClearSolutions.code_stub = {{"python": "raise NotImplementedError  # your code"}}
c.ClearSolutions.text_stub = "*(double-click here and write)*"
c.ExecutePreprocessor.timeout = {seconds}
c.ExecutePreprocessor.interrupt_on_timeout = True
c.ExecutePreprocessor.iopub_timeout = 10
c.Exchange.root = "{exchange}"
# Grading brings the hidden tests back: students are not to read them in their feedback.
c.GenerateFeedback.preprocessors = [
    GetGrades, ClearHiddenTests, ShortErrors, CSSHTMLHeaderPreprocessor
]
"""
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"

Notebook = dict[str, Any]


class Course:
    """An nbgrader course in a folder: `release`, `submit`, `grade`, `marks`."""

    def __init__(self, folder: Path, *, course: str = "", seconds: int = SECONDS) -> None:
        self.folder = folder
        # nbgrader calls alembic, which stands beside this Python, by its name alone.
        here = str(Path(sys.executable).parent)
        if here not in os.environ["PATH"].split(os.pathsep):
            os.environ["PATH"] = here + os.pathsep + os.environ["PATH"]
        folder.mkdir(parents=True, exist_ok=True)
        config = CONFIG.format(seconds=seconds, exchange=folder / "exchange")
        (folder / "nbgrader_config.py").write_text(config, encoding="utf-8")
        for lab in LABS:
            text = for_course((SOURCE / f"{lab}.ipynb").read_text(encoding="utf-8"), course)
            place = folder / "source" / lab
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{lab}.ipynb").write_text(text, encoding="utf-8")

    def nbgrader(self, *words: str) -> subprocess.CompletedProcess:
        """Run an nbgrader command in the course; RuntimeError with its output where it fails."""
        command = [sys.executable, "-m", "nbgrader", *words]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"nbgrader {words[0]} failed:\n{done.stdout}\n{done.stderr}")
        return done

    def release(self, labs: Sequence[str] = LABS) -> Path:
        """The students' notebooks; the folder that holds them."""
        for lab in labs:
            self.nbgrader("generate_assignment", lab, "--create", "--force")
        return self.folder / "release"

    def submit(self, student: str, lab: str, notebook: Notebook) -> None:
        place = self.folder / "submitted" / student / lab
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{lab}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")

    def grade(self, lab: str) -> None:
        """Run and mark what was submitted, and write feedback; no submission stops the others."""
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", "autograde", lab, "--create", "--force"],
            cwd=self.folder,
            capture_output=True,
            text=True,
        )
        self.log = done.stdout + done.stderr
        self.nbgrader("generate_feedback", lab, "--force")

    def marks(self, lab: str) -> dict[str, tuple[float, float]]:
        """Student -> points of the checked cells and how many there are; written ones excluded."""
        from nbgrader.api import Gradebook

        with Gradebook(f"sqlite:///{self.folder / 'gradebook.db'}") as book:
            return {
                submission.student.id: (
                    sum(n.code_score for n in submission.notebooks),
                    sum(n.max_code_score for n in submission.notebooks),
                )
                for submission in book.assignment_submissions(lab)
            }


def for_course(text: str, course: str) -> str:
    """A lab, as JSON or source, with a course in its `begin`: cases and data are the course's own.

    Raises ValueError for a course that is not letters, digits, dots and dashes.
    """
    if not re.fullmatch(r"[\w.-]*", course):
        raise ValueError(f"course: got {course!r}; takes letters, digits, dots and dashes")
    return text.replace("student=", f"course='{course}', student=") if course else text


def write_release(out: Path, course: str = "") -> Path:
    """The students' notebooks as a zip, made in the course folder beside it, which stays."""
    release = Course(out.parent.resolve() / "course", course=course).release()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(release.rglob("*.ipynb")):
            archive.write(path, path.relative_to(release))
    return out


# A class to try the grading on.


def filled(notebook: Notebook, change: Callable[[str, str], str]) -> Notebook:
    """A student's notebook whose solution cells are changed: change(grade_id, source) -> source."""
    notebook = json.loads(json.dumps(notebook))
    for cell in notebook["cells"]:
        about = cell["metadata"].get("nbgrader", {})
        if cell["cell_type"] == "code" and about.get("solution"):
            cell["source"] = change(about["grade_id"], "".join(cell["source"]))
    return notebook


def submissions(lab: str, release: Notebook, source: Notebook) -> Mapping[str, Notebook]:
    """Six students: perfect, empty, half, one that loops, one that raises, one with widgets."""
    answers = {
        cell["metadata"]["nbgrader"]["grade_id"]: "".join(cell["source"])
        for cell in source["cells"]
        if cell["metadata"].get("nbgrader", {}).get("solution") and cell["cell_type"] == "code"
    }
    names = list(answers)
    half = set(names[::2])
    loop = "import time\nwhile True:\n    time.sleep(0.1)\n"
    widget = "import ipywidgets\nipywidgets.IntSlider()\n"
    return {
        "perfect": filled(release, lambda name, _: answers[name]),
        "empty": release,
        "half": filled(release, lambda name, text: answers[name] if name in half else text),
        "loops": filled(release, lambda name, _: loop if name == names[-1] else answers[name]),
        "raises": filled(
            release, lambda name, _: "1 / 0\n" if name == names[-1] else answers[name]
        ),
        "widgets": filled(release, lambda name, _: f"{widget}\n{answers[name]}"),
    }


def demo(lab: str = "lab_a", *, folder: Path | None = None) -> dict[str, tuple[float, float]]:
    """Hand a lab out to the class of six, grade it, write feedback; the marks."""
    place = Path(tempfile.mkdtemp()) if folder is None else folder
    try:
        course = Course(place)
        course.release([lab])
        release, source = (
            json.loads((place / kind / lab / f"{lab}.ipynb").read_text(encoding="utf-8"))
            for kind in ("release", "source")
        )
        for student, notebook in submissions(lab, release, source).items():
            course.submit(student, lab, notebook)
        course.grade(lab)
        return course.marks(lab)
    finally:
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m kit.labs", description=__doc__)
    parser.add_argument("what", choices=("release", "demo"))
    parser.add_argument("--course", default="", help="draws this class's cases and data")
    parser.add_argument("--out", type=Path, default=Path("dist/labs.zip"))
    parser.add_argument("--lab", default="lab_a", choices=LABS, help="of the demo")
    parser.add_argument("--folder", type=Path, help="of the demo: where its course stays")
    chosen = parser.parse_args()
    try:
        import nbgrader  # noqa: F401
    except ImportError:
        print("This needs nbgrader: use `make labs`, or install the kit with [grading].")
        return 1
    if chosen.what == "release":
        print(f"{write_release(chosen.out, chosen.course)}: {', '.join(LABS)}")
        print(f"To grade them: {chosen.out.parent / 'course'}")
        return 0
    marks = demo(chosen.lab, folder=chosen.folder)
    for student, (score, most) in sorted(marks.items(), key=lambda item: -item[1][0]):
        print(f"{student:10s} {score:g} of {most:g} points, {score / most:.0%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
