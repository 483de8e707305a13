"""The students' labs in JupyterLab: what a check says, and a solved lab from end to end."""

import json
import re
import subprocess
import zipfile

import pytest
from playwright.sync_api import expect

from kit.labs import LABS, SOURCE, filled
from tests.browser.driver import SCREENSHOTS
from tests.browser.servers import ROOT, running

READY = "Python 3 (ipykernel) | Idle"
PYTHON = ROOT / ".venv-grading" / "bin" / "python"


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory):
    """A folder with each lab as a student gets it, and beside it one that is solved."""
    folder = tmp_path_factory.mktemp("labs")
    release = folder / "labs.zip"
    command = [PYTHON, "-m", "kit.labs", "release", "--out", release]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(release) as archive:
        archive.extractall(folder)
    for lab in LABS:
        stub = json.loads((folder / lab / f"{lab}.ipynb").read_text(encoding="utf-8"))
        source = json.loads((SOURCE / f"{lab}.ipynb").read_text(encoding="utf-8"))
        answers = {
            cell["metadata"]["nbgrader"]["grade_id"]: "".join(cell["source"])
            for cell in source["cells"]
            if cell["metadata"].get("nbgrader", {}).get("solution")
        }
        solved = filled(stub, lambda name, _, answers=answers: answers[name])
        (folder / f"{lab}_solved.ipynb").write_text(json.dumps(solved), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def students_lab(handed_out, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    with running("lab", home, "--allow-root", notebooks=handed_out) as server:
        yield server


def opened(visit, url):
    # Without reset JupyterLab also opens what the visit before had open.
    page = visit(f"{url}&reset", viewport={"width": 1280, "height": 1000}).page
    page.get_by_text(READY).wait_for(timeout=90_000)
    return page


def test_a_student_meets_a_stub_a_wrong_answer_and_the_right_one(visit, students_lab):
    page = opened(visit, students_lab.url("lab_a/lab_a.ipynb"))
    cells = page.locator(".jp-Cell")
    setup = cells.filter(has_text="SEED = begin").first
    answer = cells.filter(has_text="def descend(").first
    check = cells.filter(has_text="check.descend(descend)").first

    def run(cell):
        cell.scroll_into_view_if_needed()
        cell.locator(".cm-content").click()
        page.keyboard.press("Control+Enter")

    def write(text):
        answer.locator(".cm-content").click()
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(text)
        page.keyboard.press("Control+Enter")

    run(setup)
    run(answer)
    run(check)
    said = check.locator(".jp-OutputArea-output")
    expect(said).to_have_text(re.compile("descend: it is still as it was handed out"))
    expect(said).not_to_contain_text("Traceback")
    head = "def descend(theta, eta, curvature, steps):\n    return theta * (1 "
    for sign, words in (("+", "It walks uphill"), ("-", "right in 20 fresh cases")):
        write(f"{head}{sign} eta * curvature) ** np.arange(steps + 1)")
        run(check)
        expect(said).to_have_text(re.compile(words))
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "lab_a_student.png")


@pytest.mark.slow
@pytest.mark.parametrize("lab", ["lab_b", "lab_e"])  # all run in tests/test_labs.py, without pages
def test_a_solved_lab_runs_from_its_first_cell_to_its_page(lab, visit, students_lab, handed_out):
    page = opened(visit, students_lab.url(f"{lab}_solved.ipynb"))
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    path = handed_out / f"{lab}_solved.ipynb"
    code = finished(page, path)
    outputs = [out for cell in code for out in cell["outputs"]]
    assert [out["evalue"] for out in outputs if out["output_type"] == "error"] == []
    right = [out for out in outputs if "fresh cases" in "".join(out.get("text", ""))]
    assert len(right) == sum("check." in "".join(cell["source"]) for cell in code) >= 5
    # The page of the lab is the last output. JupyterLab draws what is in sight, so go there.
    live = page.locator(".kit-explorer img.kit-panel[src]").first
    for _ in range(20):
        page.locator(".jp-WindowedPanel-outer").evaluate("it => { it.scrollTop = it.scrollHeight }")
        page.wait_for_timeout(200)
        if live.count():
            break
    expect(live).to_be_attached()


def finished(page, path):
    """The code cells of the saved notebook, once the last of them has run."""
    for _ in range(180):
        page.keyboard.press("Control+S")
        page.wait_for_timeout(500)
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        if code[-1]["outputs"] or any(
            out["output_type"] == "error" for cell in code for out in cell["outputs"]
        ):
            return code
    raise AssertionError("the notebook did not come to its end")
