"""The words of a notebook as HTML: formulas as MathML, links to the static pages.

>>> Prose({"02_b"}).html("Of $H$ see [the next](02_b.ipynb).")
'<p>Of <math alttext="H"><mi>H</mi></math> see <a href="02_b.html">the next</a>.</p>\\n'
>>> Prose(()).html("See [the next](02_b.ipynb).")
'<p>See <span>the next</span>.</p>\\n'
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import nbformat
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from kit.live.site.mathml import mathml

LINK = re.compile(r'<a([^>]*?) href="(\w+)\.ipynb"([^>]*)>(.*?)</a>', re.DOTALL)
PICTURE = re.compile(r'(<img src="images/\w+)\.png"')
COMMA = re.compile(r"(<math(?! display)(?:(?!</math>).)*</math>)([.,;:!?)\]’”–-]+)", re.DOTALL)


class Prose:
    """Turns Markdown into HTML. `pages`: those of the site; a link to another becomes words."""

    def __init__(self, pages: Collection[str]) -> None:
        self.pages = pages
        self._markdown = MarkdownWithMath(renderer=_Renderer(escape=False))

    def html(self, source: str) -> str:
        text = self._markdown.render(source)
        # No line begins with the comma after a formula.
        text = COMMA.sub(r'<span class="kit-joined">\1\2</span>', text)
        return PICTURE.sub(r'\1.webp" loading="lazy"', LINK.sub(self._link, text))

    def _link(self, match: re.Match) -> str:
        before, name, after, text = match.groups()
        if name in self.pages:
            return f'<a{before} href="{name}.html"{after}>{text}</a>'
        return "" if "kit-card" in before else f"<span>{text}</span>"


class _Renderer(IPythonRenderer):
    def heading(self, text: str, level: int, **attrs: Any) -> str:
        name = re.sub(r"<[^>]+>", "", text).replace(" ", "-")
        return f'<h{level} id="{name}">{text}</h{level}>\n'

    def inline_math(self, body: str) -> str:
        return mathml(body)

    def block_math(self, body: str) -> str:
        return mathml(body, display=True)


def title(notebook: nbformat.NotebookNode) -> str:
    """Its first heading.

    >>> title(nbformat.from_dict({"cells": [{"cell_type": "markdown", "source": "# What?"}]}))
    'What?'
    """
    return re.match(r"# (.+)", notebook.cells[0].source).group(1)


def description(notebook: nbformat.NotebookNode) -> str:
    """Its first paragraph, as plain words."""
    paragraph = notebook.cells[0].source.split("\n\n")[1]
    return " ".join(re.sub(r"<[^>]+>", "", Prose(()).html(paragraph)).split())
