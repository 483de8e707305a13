"""The page's side of the live loop: pictures, numbers and words, as one anywidget."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from kit.live.glossary import GLOSSARY

HERE = Path(__file__).parent


class Stage(anywidget.AnyWidget):
    """Shows frames and says when it has: `frame` sends, `on_ack` is told.

    Traits hold what a page that opens later must show: the still pictures, numbers, words. Moving
    frames go as messages, which nothing keeps. The JavaScript also gives the controls beside it
    their accessible names (`names`: class -> name and tooltip), and explains the words of the
    `glossary` where the page first uses them.
    """

    _esm = "\n".join(
        (HERE / name).read_text(encoding="utf-8")
        for name in ("explainer.js", "memory.js", "stage.js")
    )
    _css = HERE / "stage.css"

    title = traitlets.Unicode("").tag(sync=True)
    panels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    stills = traitlets.Dict().tag(sync=True)
    alts = traitlets.Dict().tag(sync=True)
    numbers = traitlets.List().tag(sync=True)
    phase = traitlets.Unicode("").tag(sync=True)
    status = traitlets.Unicode("").tag(sync=True)
    broken = traitlets.Bool(False).tag(sync=True)
    words = traitlets.Unicode("").tag(sync=True)
    names = traitlets.Dict().tag(sync=True)
    pointable = traitlets.List(traitlets.Unicode()).tag(sync=True)
    folded = traitlets.List(traitlets.Unicode()).tag(sync=True)  # behind a button, on a wide screen
    glossary = traitlets.Dict(GLOSSARY).tag(sync=True)
    lecture = traitlets.Bool(False).tag(sync=True)
    announce = traitlets.Unicode("").tag(sync=True)
    address = traitlets.Unicode("").tag(sync=True)  # of the page as it is: survives a reload

    def __init__(self, panels: Sequence[str], title: str, on_message: Callable[[dict, list], None]):
        super().__init__(panels=list(panels), title=title)
        self.on_msg(lambda _widget, content, buffers: on_message(content, buffers))

    def frame(
        self, number: int, images: Mapping[str, bytes], numbers: Sequence, phase: str
    ) -> None:
        """Send one moving frame; the page answers {"type": "ack", "frame": number}."""
        content: dict[str, Any] = {
            "type": "frame",
            "frame": number,
            "keys": list(images),
            "numbers": list(numbers),
            "phase": phase,
        }
        self.send(content, list(images.values()))

    def preview(self) -> str:
        """The still pictures as HTML, for where no widget is: a page that starts, a saved notebook,
        a reader without JavaScript."""
        pictures = "".join(
            f'<img class="kit-panel{" kit-folded" * (key in self.folded)}" data-key="{key}" '
            f'width="720" height="450" '
            f'alt="{html.escape(self.alts.get(key, ""))}" '
            f'src="data:image/png;base64,{base64.b64encode(png).decode()}">'
            for key, png in self.stills.items()
        )
        return f'<div class="kit-preview"><div class="kit-grid">{pictures}</div></div>'

    def count(self, numbers: Sequence, phase: str) -> None:
        """Send the numbers ahead of the next frame, which may have to wait for its turn."""
        self.send({"type": "numbers", "numbers": list(numbers), "phase": phase})

    def rest(self, numbers: Sequence, phase: str) -> None:
        """Show stills and numbers where frames stood: what equals the last rest is not sent."""
        self.send({"type": "rest", "numbers": list(numbers), "phase": phase})

    def look(self, key: str) -> None:
        """Where one picture at a time is in view, bring this one there."""
        self.send({"type": "look", "key": key})

    def remember(self, letter: str, text: str) -> None:
        """Give the browser a kept run, to bring back when the page is reloaded."""
        self.send({"type": "remember", "letter": letter, "text": text})

    def forget(self) -> None:
        """Have the browser forget what it remembers."""
        self.send({"type": "forget"})

    def share(self, query: str, lacks: str = "") -> None:
        """Give the reader a link with this query, to copy, and say what it lacks."""
        self.send({"type": "share", "query": query, "lacks": lacks})

    def hand_over(self, name: str, mime: str, content: bytes) -> None:
        """Give the reader a file, as a download."""
        self.send({"type": "file", "name": name, "mime": mime}, [content])
