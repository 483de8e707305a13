"""`make serve` and `make lab` with a page of two lines: they serve it, and let go of its kernel."""

import shutil
import urllib.error
import urllib.request

import nbformat
import psutil
import pytest
from nbformat import v4

from tests.browser.servers import ROOT, running

RAW = ("voila/files/", "files/", "static/", "")
SOURCE = "import ipywidgets\nipywidgets.HTML('<p>It runs</p>')"


@pytest.fixture
def notebooks(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    shutil.copy(ROOT / "notebooks" / "voila.json", folder)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    page = v4.new_notebook(cells=[v4.new_code_cell(SOURCE)], metadata={"kernelspec": kernel})
    nbformat.write(page, folder / "page.ipynb")
    return folder


def test_voila_shows_a_page_and_culls_its_kernel(visit, notebooks, tmp_path):
    soon = ["--MappingKernelManager.cull_idle_timeout=10", "--MappingKernelManager.cull_interval=1"]
    with running("serve", tmp_path, *soon, notebooks=notebooks) as server:
        seen = visit(server.url("page.ipynb"))
        seen.page.get_by_text("It runs").wait_for()
        assert seen.page.get_by_text("import ipywidgets").count() == 0
        seen.check()
        kernels = server.kernels()
        assert len(kernels) == 1
        seen.page.context.close()
        assert not psutil.wait_procs(kernels, timeout=60)[1]


def test_lab_opens_the_notebook(visit, notebooks, tmp_path):
    with running("lab", tmp_path, "--allow-root", notebooks=notebooks) as server:
        seen = visit(server.url("page.ipynb"))
        seen.page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        seen.page.get_by_text("import ipywidgets").click()
        seen.page.keyboard.press("Control+Enter")
        seen.page.get_by_text("It runs", exact=True).wait_for()
        seen.check()


def answer(url):
    """Status and text of a page."""
    try:
        with urllib.request.urlopen(url) as page:
            return page.status, page.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_voila_keeps_the_instructors_notebooks_back(tmp_path):
    with running("serve", tmp_path) as server:
        for path in ("labs/instructor/lab_a.ipynb", "labs//instructor/lab_a.ipynb"):
            for place in (server.url(path), *(f"{server.address}{raw}{path}" for raw in RAW)):
                status, text = answer(place)
                assert status in (403, 404), place
                assert "BEGIN SOLUTION" not in text
        assert server.kernels() == []
