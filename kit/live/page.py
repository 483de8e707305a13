"""What every live page has: pictures that move, a question first, a lecture, links, files.

`LivePage` drives any run or scene through `kit.live.loop`: `kit.live.scene_page` shows a `Scene`,
`kit.live.explorer` a training run.
"""

from __future__ import annotations

import html
import io
import json
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import ipywidgets as widgets

from kit.live.address import Link, not_taken
from kit.live.allocator import give_back
from kit.live.export import as_csv, plain
from kit.live.loop import LiveLoop
from kit.live.panels import WIDTH
from kit.live.question import Prediction, Question
from kit.live.scene import Beat
from kit.live.shelf import Kept, Shelf, text_of
from kit.live.stage import Stage

WIDTHS = (360, 450, 540, 630, WIDTH)  # of a moving frame: no more pixels than the page shows
SETTLE = 0.3  # seconds: ipywidgets sends what a slider moved to after the messages before it
WORDS_EVERY = 1.0  # seconds between two descriptions of pictures that move
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


class LivePage(widgets.VBox):
    """The widget of a page. A subclass answers what is shown and does what the reader asks for.

    `keys`: of the pictures, of which a wide screen shows the `first` at once and the rest on
    demand. `controls`: a box with the page's own controls, whose accessible names and tooltips are
    `names`. `question`: asked before anything is shown. `beats`: of a lecture.
    """

    def __init__(
        self,
        title: str,
        keys: Sequence[str],
        question: Question | None = None,
        beats: Sequence[Beat] = (),
        first: int | None = None,
    ) -> None:
        self._keys, self._visible = tuple(keys), set(keys)
        self._shown: tuple[int, int] | None = None
        self._answers, self._frames, self._width = 0, 0, WIDTH
        self._images: dict[str, bytes] = {}
        self._described = time.monotonic()
        self._loop = LiveLoop(self)
        self._stage = Stage(keys, title, self._on_message)
        self._stage.folded = list(self._keys[first:]) if first else []
        self.question = question
        self.prediction = Prediction("" if question is None else question.prompt)
        self.prediction.skipped = question is None
        self._beats, self._beat = tuple(beats), -1
        self.shelf = Shelf(self.read_kept)
        self._back: list[str] = []  # what became of the runs that the browser had kept
        self._link = Link()  # that the page was opened with
        self._waiting = False  # whether its settings wait for the guess

    def _lay_out(self, controls: widgets.Widget, names: Mapping[str, Mapping[str, str]]) -> None:
        """Put everything in its place; the last step of a subclass's constructor."""
        if taken := sorted(set(names) & {*TOOLS, "guess", "reflect", "address"}):
            raise ValueError(f"controls: {', '.join(taken)} are names of what every page has")
        own = {name: {"label": full, "tip": tip} for name, (_, full, tip) in TOOLS.items()}
        own["guess"] = {"label": "Your guess", "tip": "What do you expect?"}
        own["reflect"] = {"label": REFLECT, "tip": "Kept with the run"}
        self._stage.names = {**names, **own}
        self._verdict = widgets.HTML("").add_class("kit-verdict")
        self._compared = widgets.HTML("").add_class("kit-compared")
        left = widgets.VBox([self._question_box(), controls]).add_class("kit-left")
        body = widgets.Box([left, self._stage]).add_class("kit-body")
        super().__init__([self._lectern(), body, self._tool_box()])
        self.add_class("kit-explorer")
        if self.question is not None:
            self.add_class("kit-asking")
        self.still()

    def _question_box(self) -> widgets.Widget:
        question = self.question
        if question is None:
            return self._verdict
        prompt = widgets.HTML(f"<b>Predict first.</b> {html.escape(question.prompt)}")
        if question.choices:
            self._guess = widgets.RadioButtons(options=list(question.choices), value=None)
        else:
            low, high = question.number
            self._guess = widgets.FloatSlider(
                value=low, min=low, max=high, step=(high - low) / 100, readout_format=".3g"
            )
        self._guess.add_class("kit-c-guess")
        commit, skip = self._tool("commit"), self._tool("skip")
        commit.on_click(lambda _: self._commit())
        commit.disabled = True  # until something was said: a slider's first place is no guess
        self._guess.observe(lambda _: setattr(commit, "disabled", False), "value")
        ask = widgets.VBox([self._guess, commit, skip]).add_class("kit-ask")
        return widgets.VBox([prompt.add_class("kit-prompt"), ask, self._verdict]).add_class(
            "kit-question"
        )

    def _commit(self) -> None:
        """Take the guess, once a slider that was just moved has sent its last value."""

        def take() -> None:
            self._loop.mailbox.put("guess", self._guess.value)

        if self._loop._loop is None:
            take()
        else:
            self._loop._loop.call_soon_threadsafe(self._loop._loop.call_later, SETTLE, take)

    def _tool_box(self) -> widgets.Widget:
        self._reflect = widgets.Textarea(placeholder=REFLECT, continuous_update=False)
        self._reflect.add_class("kit-c-reflect")
        self._reflect.observe(
            lambda change: self._loop.mailbox.put("reflect", change["new"]), "value"
        )
        tools = [self._tool("keep"), self._tool("forget"), self._loader()]
        names = ["download", "share", *(("lecture",) if self._beats else ())]
        tools += [self._tool(name) for name in names]
        tools = widgets.Box(tools).add_class("kit-tools")
        return widgets.VBox([self._compared, tools, self._reflect]).add_class("kit-foot")

    def _loader(self) -> widgets.FileUpload:
        """Takes a saved run; emptied, so that the same file can be taken again."""
        label, _, tip = TOOLS["load"]
        loader = widgets.FileUpload(accept=".json", description=label, tooltip=tip)

        def take(change: Mapping[str, Any]) -> None:
            if change["new"]:
                self._loop.mailbox.put("load", bytes(change["new"][0]["content"]))
                loader.value = ()

        loader.observe(take, "value")
        return loader.add_class("kit-c-load")

    def _lectern(self) -> widgets.Widget:
        """What a lecture says now, above the page; it is there in lecture mode only."""
        self._say_beat = widgets.HTML("").add_class("kit-beat")
        turn = [self._tool(name) for name in ("back", "next")]
        return widgets.Box([*turn, self._say_beat]).add_class("kit-lectern").add_class("kit-tools")

    def _tool(self, name: str) -> widgets.Button:
        label, _, tip = TOOLS[name]
        button = widgets.Button(description=label, tooltip=tip).add_class(f"kit-c-{name}")
        if name != "commit":
            button.on_click(lambda _: self._loop.mailbox.put(name, None))
        return button

    def run(self) -> None:
        """Start the live loop; returns at once. Needs a running event loop, as in a notebook."""
        if self._loop._loop is None:
            raise RuntimeError("run() needs a running event loop: use it in a notebook")
        if not self.running():
            self._loop.mailbox.put("run")

    def pause(self) -> None:
        """Stop; the pictures stay."""
        self._loop.mailbox.put("pause")

    # What a subclass answers.

    def version(self) -> int:
        """Grows with every change that a picture must show."""
        raise NotImplementedError

    def image(self, key: str, *, still: bool = False, kind: str | None = None) -> bytes:
        """One picture; `kind` "png" or "svg" for a file to keep."""
        raise NotImplementedError

    def alt(self, key: str) -> str:
        raise NotImplementedError

    def words(self) -> dict[str, Any]:
        """phase, status, numbers; and broken: whether the run is."""
        raise NotImplementedError

    def summary(self) -> str:
        """The whole page in words; a line a picture."""
        raise NotImplementedError

    def answer(self) -> str | float:
        """What is right, computed."""
        raise NotImplementedError

    def reveal(self) -> None:
        """The question is done with: show what was kept back."""

    def do(self, name: str, value: Any) -> None:
        """What a control or button of the page's own asks for."""
        raise NotImplementedError

    def pointed(self, key: str, across: float, down: float) -> None:
        """The reader points into a picture, at shares of its width and height."""

    def columns(self) -> Mapping[str, Sequence[float]]:
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Settings and whatever else a saved run says besides its columns."""
        raise NotImplementedError

    def show_controls(self) -> None:
        """Bring the controls in line with the state."""

    def keep_back(self, hide: Sequence[str], fix: Sequence[str]) -> list[str]:
        """Hide controls, and switch others off, as a teacher's link says; names not known."""
        raise NotImplementedError

    def settings(self) -> dict[str, str]:
        """What a link must name so that the page is as it is now."""
        raise NotImplementedError

    def follow(self, settings: Mapping[str, str]) -> list[str]:
        """Be as a link says; what was not taken, a sentence each."""
        raise NotImplementedError

    def kept_now(self, letter: str) -> Kept:
        """What is seen now, to keep."""
        raise NotImplementedError

    def read_kept(self, letter: str, text: str | bytes) -> Kept:
        """A saved run of this page; ValueError that says what is wrong with it."""
        raise NotImplementedError

    def table_of(self, runs: Sequence[Any]) -> str:
        """What is kept, to compare, in HTML; "" where that is nothing."""
        raise NotImplementedError

    def loaded(self, run: Any) -> str:
        """A saved run came from a file: do what else it asks for, and say so."""
        return f"Loaded as run {run.letter}: {run.settings()}."

    def wait(self) -> float:
        """Seconds until there is work, for a page that goes at a pace."""
        return 0.0

    def stop(self) -> None:
        """Whatever runs or is being worked on stops."""
        raise NotImplementedError

    def tell(self, sentence: str) -> None:
        """Make this the status."""
        raise NotImplementedError

    def tell_of_link(self, sentence: str) -> None:
        """Make this the status, and say it again where the link's run has come to its end."""
        self.tell(sentence)

    # What the reader does (kit.live.loop.Show).

    def handle(self, name: str, value: Any) -> None:
        if name == "guess" and value is None:
            self._verdict.value = "<p>Choose an answer first, or have it shown.</p>"
        elif name in ("guess", "skip"):
            self._done_asking(value)
        elif name == "reflect":
            self.prediction.reflection = str(value)
        elif name == "download":
            self._stage.hand_over("sharpness-kit.zip", "application/zip", self.files())
        elif name == "share":
            self._stage.share(self.link().without_guess().query)
        elif name in ("keep", "forget", "load"):
            self._shelve(name, value)
        elif name.startswith("restore "):
            self._shelve("restore", value)
        elif name == "address":
            self._open(Link.read(str(value)))
        elif name == "lecture":
            on = not self._stage.lecture
            self._stage.lecture = on
            (self.add_class if on else self.remove_class)("kit-lecture")
            if on and self._beat < 0:
                self._go_to_beat(0)
        elif name in ("back", "next"):
            self._go_to_beat(self._beat + (1 if name == "next" else -1))
        elif name.startswith("point "):
            self.pointed(name.removeprefix("point "), *value)
        else:
            self.do(name, value)

    def _done_asking(self, guess: str | float | None) -> None:
        """Keep the guess, say how near it was, and show what there is."""
        prediction = self.prediction
        if not prediction.open:
            return
        if guess is None:
            prediction.skipped = True
        else:
            prediction.guess, prediction.answer = guess, self.answer()
            prediction.verdict = self.question.verdict(guess, prediction.answer)
        said = f"{prediction.verdict} {self.question.because}".strip()
        self._verdict.value = f"<p>{html.escape(said)}</p>" if said else ""
        self.remove_class("kit-asking")
        self.add_class("kit-answered")
        self.reveal()
        self._answers += 1
        if self._waiting:
            self._follow()
        if self.running():  # else the rest says it
            self.show_controls()
            self._say(self.words())

    @property
    def compared(self) -> Sequence[Any]:
        """The kept runs that are drawn: none before the reader has guessed."""
        return () if self.prediction.open else self.shelf.runs

    def _shelve(self, name: str, value: Any) -> None:
        """Keep a run, or forget all; what cannot be kept is refused, and says why."""
        refused = {"keep": "Not kept", "load": "Not loaded"}
        try:
            self.tell(getattr(self, f"_{name}")(value))
        except ValueError as error:
            self.tell(f"{refused[name]}: {error}.")
        self._compared.value = self.table_of(self.shelf.runs)
        (self.add_class if self.shelf.runs else self.remove_class)("kit-has-kept")
        self._say(self.words())

    def _keep(self, _: None) -> str:
        run = self.shelf.put(self.kept_now(self.shelf.free_letter()))
        return f"Kept as run {run.letter}. Change something, and compare.{self._remember(run)}"

    def _remember(self, run: Kept) -> str:
        """Give it to the browser for a reload; what to say where that cannot be."""
        text = text_of(run)
        if not self.shelf.outlives(run, text):
            return " It is too long to outlive a reload."
        self._stage.remember(run.letter, text)
        return ""

    def _load(self, text: bytes) -> str:
        run = self.shelf.read(self.shelf.free_letter(), text)
        if self.prediction.open:
            self._done_asking(None)
        self.shelf.put(run)
        return f"{self.loaded(run)}{self._remember(run)}"

    def _restore(self, kept: tuple[str, str]) -> str:
        letter, text = kept
        try:
            run = self.shelf.restore(letter, text)
        except ValueError as error:
            self._back.append(f"Run {letter[:1]}, which you kept, could not come back: {error}.")
        else:
            self._back.append(f"Run {run.letter}, which you kept, is back.")
            if run.letter != letter:
                self._remember(run)
        return " ".join(self._back)

    def _forget(self, _: None) -> str:
        self.shelf.clear()
        self._stage.forget()
        return "The kept runs are gone from the pictures."

    # Links.

    def to_link(self) -> str:
        """A query, "?lr=0.2", that opens this page as it is now, once the reader has guessed."""
        return f"?{self.link().without_guess().query}"

    def link(self) -> Link:
        """The page as it is now; before the guess, the link that waits for it."""
        if self._waiting:
            return self._link
        prediction, guess = self.prediction, None
        if self.question is not None and not prediction.open:
            guess = "skip" if prediction.skipped else self.question.text(prediction.guess)
        return replace(self._link, settings=self.settings(), guess=guess, faults=[])

    def _open(self, link: Link) -> None:
        """The page was opened with a link, or reloaded."""
        unknown = self.keep_back(link.hide, link.fix)
        self._link, self._waiting = link, True
        link.faults.extend(f"there is no control “{name}” here" for name in unknown)
        if not self.prediction.open:
            self._follow()
        elif link.guess is not None:
            try:
                guess = None if link.guess == "skip" else self.question.parse(link.guess)
            except ValueError as error:
                link.faults.append(str(error))
            else:
                self._done_asking(guess)

    def _follow(self) -> None:
        """Do what the link says, and say what could not be done."""
        self._waiting = False
        said = not_taken([*self._link.faults, *self.follow(self._link.settings)])
        if said:
            self.tell_of_link(said)

    def _go_to_beat(self, index: int) -> None:
        if not self._beats:
            return
        self._beat = min(max(index, 0), len(self._beats) - 1)
        beat = self._beats[self._beat]
        if self.prediction.open:
            self._done_asking(None)
        for name, value in beat.do:
            self.handle(name, value)
        place = f"Beat {self._beat + 1} of {len(self._beats)}: "
        self._say_beat.value = f"<p><b>{place}</b>{html.escape(beat.say)}</p>"
        self._stage.announce = place + beat.say

    # What the live loop asks for.

    def draw(self) -> Iterator[None]:
        self._images = {}
        for key in self._keys:
            if key in self._visible:
                self._images[key] = self.image(key)
                yield

    def send(self, frame: int) -> None:
        self._frames += 1
        words = self.words()
        self._stage.frame(frame, self._images, words["numbers"], words["phase"])
        if time.monotonic() - self._described > WORDS_EVERY:
            self._describe()
            self._stage.address = self.link().query  # for a reload, should the kernel be lost

    def rest(self) -> Iterator[None]:
        """Bring the page to rest: sharp pictures, numbers and words, kept for who comes later.

        Begins anew where the reader changes something meanwhile.
        """
        while (now := self._stamp()) != self._shown:
            self._stage.numbers = self.words()["numbers"]  # soon; the rest once pictures are there
            stills = {}
            for key in self._keys:
                stills[key] = self.image(key, still=True)
                yield
                if self._stamp() != now:
                    break
            else:
                self._shown = now
                self._stage.stills = stills
                words = self.words()
                self._stage.numbers = words["numbers"]
                self._stage.rest(words["numbers"], "" if words["broken"] else words["phase"])
                self._describe()
                self.show_controls()
                self._say(words)
                self._stage.address = self.link().query
                give_back()

    def _stamp(self) -> tuple[int, int]:
        """Changes with all that the pictures depend on."""
        return self.version(), self._answers

    def still(self) -> None:
        """The same at once."""
        for _ in self.rest():
            pass

    def _describe(self) -> None:
        self._described = time.monotonic()
        self._stage.alts = {key: self.alt(key) for key in self._keys}
        kept = "" if self.prediction.open else self.shelf.said()
        self._stage.words = self.summary() + kept

    def _say(self, words: Mapping[str, Any]) -> None:
        self._stage.broken = words["broken"]
        self._stage.phase = words["phase"]
        self._stage.status = words["status"]

    def failed(self, error: Exception) -> None:
        """Something in here went wrong: stop, and say it where nothing needs to be drawn for it."""
        self.stop()
        what = f"{type(error).__name__}: {error}".strip(": ")
        self._stage.status = (
            f"The page has stopped at a fault of its own ({what}). What you see is of before. "
            "Reload it, or set the controls otherwise and go on."
        )

    def _on_message(self, content: dict) -> None:
        """From the page, perhaps on another thread: note what is in view, pass on the rest."""
        kind = content.get("type")
        if kind == "ack":
            self._visible = set(content.get("visible", ())) & set(self._keys)
            wanted = content.get("width", WIDTH)
            self._width = next((w for w in WIDTHS if w >= wanted), WIDTH)
            self.acknowledged(content.get("frame"))
        elif kind == "point" and content.get("key") in self._keys:
            place = float(content["across"]), float(content["down"])
            self._loop.mailbox.put(f"point {content['key']}", place)
        elif kind == "kept":
            kept = str(content.get("letter")), str(content.get("text"))
            self._loop.mailbox.put(f"restore {kept[0]}", kept)
        elif kind == "address":
            self._loop.mailbox.put("address", content.get("query", ""))
        elif kind == "beat":
            self._loop.mailbox.put("next" if content.get("by", 1) > 0 else "back", None)

    def acknowledged(self, frame: int) -> None:
        self._loop.mailbox.put("ack", frame)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        """The widget, and its pictures for where no widget can be shown."""
        return super()._repr_mimebundle_(**kwargs) | {"text/html": self._stage.preview()}

    # Files.

    def content(self) -> dict[str, Any]:
        """Everything that a saved run holds; what was not measured is null."""
        asked = {} if self.question is None else {"prediction": self.prediction.as_dict()}
        columns = {name: list(column) for name, column in self.columns().items()}
        return plain(self.state() | asked | {"history": columns})

    def files(self) -> bytes:
        """A zip with each picture as PNG and SVG, the columns as CSV and everything as JSON."""
        content = self.content()
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for key in self._keys:
                for kind in ("png", "svg"):
                    archive.writestr(f"{key}.{kind}", self.image(key, still=True, kind=kind))
            for name, text in self.shelf.files().items():
                archive.writestr(name, text)
            archive.writestr("data.csv", as_csv(self.columns()))
            archive.writestr("run.json", json.dumps(content, allow_nan=False, indent=1))
        return buffer.getvalue()

    def notes(self) -> dict[str, str]:
        """What a picture that is kept says about itself."""
        state = {name: value for name, value in self.state().items() if name != "history"}
        return {"Software": "sharpness-kit", "Settings": json.dumps(plain(state))}
