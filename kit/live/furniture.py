"""What stands around the pictures of every page: the question, the tools, the lectern."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from kit.live.question import Question

REFLECT = "What changed in your mind? A sentence is enough. It goes into the file you download."
TOOLS = {
    "commit": ("This is my guess", "Commit to this guess", "Then the page shows what happens"),
    "skip": ("Show me without guessing", "Show me without guessing", "The saved run will say so"),
    "download": ("Download", "Download pictures and data", "PNG, SVG, CSV and JSON, in one zip"),
    "share": ("Copy link", "Copy a link to this", "It opens the page with these settings"),
    "keep": (
        "Keep this run",
        "Keep this run",
        "It stays in the pictures and in a table, to compare",
    ),
    "forget": ("Forget kept runs", "Forget the kept runs", "They leave the pictures"),
    "load": ("Load", "Load a saved run", "The run.json of a download"),
    "lecture": ("Lecture mode", "Lecture mode", "Large letters; arrow keys go from beat to beat"),
    "back": ("←", "Previous beat", "The beat before"),
    "next": ("→", "Next beat", "The next beat"),
}
RESERVED = {*TOOLS, "guess", "reflect", "address"}  # names that no control of a page may have


def furniture_names() -> dict[str, dict[str, str]]:
    """Accessible name and tooltip of each tool."""
    own = {name: {"label": full, "tip": tip} for name, (_, full, tip) in TOOLS.items()}
    own["guess"] = {"label": "Your guess", "tip": "What do you expect?"}
    own["reflect"] = {"label": REFLECT, "tip": "Kept with the run"}
    return own


class Furniture:
    """The widgets that every page has.

    `ask`: the question, the way to answer it, and its verdict; `foot`: what is kept, the tools and
    the reflection; `lectern`: what a lecture says now, there in lecture mode only. What a reader
    asks for goes to `put(name, value)`, but for the guess, which `commit` takes.
    """

    def __init__(
        self,
        question: Question | None,
        put: Callable[[str, Any], None],
        commit: Callable[[], None],
        lectures: bool,
    ) -> None:
        self._put = put
        self.verdict = widgets.HTML("").add_class("kit-verdict")
        self.compared = widgets.HTML("").add_class("kit-compared")
        self.beat = widgets.HTML("").add_class("kit-beat")
        self.guess = None if question is None else self._guess(question)
        self.ask = self.verdict if question is None else self._question(question, commit)
        self.foot = self._foot(lectures)
        turn = [self._tool(name) for name in ("back", "next")]
        lectern = widgets.Box([*turn, self.beat])
        self.lectern = lectern.add_class("kit-lectern").add_class("kit-tools")

    def _guess(self, question: Question) -> widgets.Widget:
        if question.choices:
            guess = widgets.RadioButtons(options=list(question.choices), value=None)
        else:
            low, high = question.number
            guess = widgets.FloatSlider(
                value=low, min=low, max=high, step=(high - low) / 100, readout_format=".3g"
            )
        return guess.add_class("kit-c-guess")

    def _question(self, question: Question, take: Callable[[], None]) -> widgets.Widget:
        prompt = widgets.HTML(f"<b>Predict first.</b> {html.escape(question.prompt)}")
        commit, skip = self._tool("commit"), self._tool("skip")
        commit.on_click(lambda _: take())
        commit.disabled = True  # until something was said: a slider's first place is no guess
        self.guess.observe(lambda _: setattr(commit, "disabled", False), "value")
        ask = widgets.VBox([self.guess, commit, skip]).add_class("kit-ask")
        box = widgets.VBox([prompt.add_class("kit-prompt"), ask, self.verdict])
        return box.add_class("kit-question")

    def _foot(self, lectures: bool) -> widgets.Widget:
        reflect = widgets.Textarea(placeholder=REFLECT, continuous_update=False)
        reflect.observe(lambda change: self._put("reflect", change["new"]), "value")
        names = ["keep", "forget", "load", "download", "share", *(("lecture",) if lectures else ())]
        tools = widgets.Box([self._tool(name) for name in names]).add_class("kit-tools")
        foot = widgets.VBox([self.compared, tools, reflect.add_class("kit-c-reflect")])
        return foot.add_class("kit-foot")

    def _tool(self, name: str) -> widgets.Button:
        label, _, tip = TOOLS[name]
        button = widgets.Button(description=label, tooltip=tip).add_class(f"kit-c-{name}")
        if name not in ("commit", "load"):  # the page's script asks for the file
            button.on_click(lambda _: self._put(name, None))
        return button
