"""Every notebook runs from top to bottom without a page, ends by itself, and holds no output."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "notebooks"
WELCOME = FOLDER / "00_welcome.ipynb"  # prose and pictures alone
NOTEBOOKS = sorted(path for path in FOLDER.glob("*.ipynb") if path != WELCOME)


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def test_there_are_notebooks():
    assert NOTEBOOKS
    assert {cell.cell_type for cell in nbformat.read(WELCOME, 4).cells} == {"markdown"}


def test_it_runs_and_ends(notebook, tmp_path):
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    shown = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert any("application/vnd.jupyter.widget-view+json" in out.get("data", {}) for out in shown)


def test_it_ends_while_a_run_goes_on(notebook, tmp_path):
    """Background tasks never keep a notebook from completing."""
    *before, last = notebook.cells[1].source.splitlines()
    notebook.cells[1].source = "\n".join([*before, f"page = {last}", "page.run()", "page"])
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()


def test_cells_are_short_and_hold_no_output(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            lines = [line for line in cell.source.splitlines() if line.strip()]
            assert 1 <= len(lines) <= 5
            assert cell.outputs == []
            assert cell.execution_count is None


SECTIONS = ("Three things to try", "What you should see", "What is proved", "Symbols", "Sources")


def test_a_page_has_its_sections_and_a_way_to_its_symbols(notebook):
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    for section in SECTIONS:
        assert f"\n## {section}" in text
    assert "(#Symbols)" in text
    assert "small network" in text or "parabolas" in text or "small functions" in text
