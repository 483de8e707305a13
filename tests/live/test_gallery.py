"""The welcome page: it leads to every page of the series, with pictures that are computed."""

import io
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from kit.live.gallery import FOLDER, PAGES

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SERIES = sorted(p.stem for p in NOTEBOOKS.glob("[0-9]*.ipynb") if p.stem != "00_welcome")


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)


@pytest.mark.parametrize("name", PAGES)
def test_a_picture_is_what_its_page_draws_today(name):
    kept, fresh = pixels((FOLDER / f"{name[:2]}.png").read_bytes()), pixels(PAGES[name]())
    assert kept.shape == fresh.shape
    # Fonts and the last digits of a run may differ a little from machine to machine.
    assert np.mean(np.abs(kept - fresh) > 40) < 0.03


def test_every_page_of_the_series_has_a_card_a_picture_and_a_question():
    text = "".join(c.source for c in nbformat.read(NOTEBOOKS / "00_welcome.ipynb", 4).cells)
    cards = re.findall(r'href="(\w+)\.ipynb"><img src="images/(\d\d)\.png"[^>]*alt="(.+?)"', text)
    assert [name for name, _, _ in cards] == SERIES == sorted(PAGES)
    for name, number, alt in cards:
        assert name[:2] == number
        assert len(alt) > 20
        title = nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4).metadata.title
        assert f"{int(number)}. {title}" in text


def test_links_lead_somewhere():
    for path in NOTEBOOKS.glob("*.ipynb"):
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "markdown":
                for link in re.findall(r"\]\((\w+\.ipynb)\)", cell.source):
                    assert (NOTEBOOKS / link).is_file(), f"{path.name}: {link}"
