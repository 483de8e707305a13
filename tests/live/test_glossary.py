"""The words that are explained are those that design.md names, and pages use each of them."""

import json
import re
from pathlib import Path

import pytest

from kit.live.glossary import GLOSSARY

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
PROSE = {
    path.name: "".join(
        "".join(cell["source"])
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "markdown"
    )
    for path in NOTEBOOKS.glob("*.ipynb")
}


@pytest.mark.parametrize("name", GLOSSARY)
def test_it_is_one_sentence_and_some_page_uses_the_word(name):
    entry = GLOSSARY[name]
    assert entry["says"].endswith(".")
    assert len(entry["says"]) < 200
    assert any(re.search(entry["words"], text) for text in PROSE.values()), name
