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
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import ipywidgets as widgets

from kit.live.address import Link, not_taken
from kit.live.allocator import give_back
from kit.live.export import as_csv, plain
from kit.live.furniture import RESERVED, Furniture, furniture_names
from kit.live.keeping import Keeping
from kit.live.loop import LiveLoop
from kit.live.panels import WIDTH
from kit.live.question import Prediction, Question
from kit.live.scene import Beat
from kit.live.stage import Stage

WIDTHS = (360, 450, 540, 630, WIDTH)  # of a moving frame: no more pixels than the page shows
SETTLE = 0.3  # seconds: ipywidgets sends what a slider moved to after the messages before it
WORDS_EVERY = 1.0  # seconds between two descriptions of pictures that move


class LivePage(Keeping, widgets.VBox):
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
        self.furniture = Furniture(question, self._loop.mailbox.put, self._commit, bool(beats))
        self._begin_keeping()
        self._link = Link()  # that the page was opened with
        self._waiting = False  # whether its settings wait for the guess
        self._held: dict[str, Any] = {}  # what it has fixed

    def _lay_out(self, controls: widgets.Widget, names: Mapping[str, Mapping[str, str]]) -> None:
        """Put everything in its place; the last step of a subclass's constructor."""
        if taken := sorted(set(names) & RESERVED):
            raise ValueError(f"controls: {', '.join(taken)} are names of what every page has")
        self._stage.names = {**names, **furniture_names()}
        around = self.furniture
        left = widgets.VBox([around.ask, controls]).add_class("kit-left")
        body = widgets.Box([left, self._stage]).add_class("kit-body")
        super().__init__([around.lectern, body, around.foot])
        self.add_class("kit-explorer")
        if self.question is not None:
            self.add_class("kit-asking")
        self.still()

    def _commit(self) -> None:
        """Take the guess, once a slider that was just moved has sent its last value."""

        def take() -> None:
            self._loop.mailbox.put("guess", self.furniture.guess.value)

        if self._loop._loop is None:
            take()
        else:
            self._loop._loop.call_soon_threadsafe(self._loop._loop.call_later, SETTLE, take)

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

    def set_to(self) -> Mapping[str, Any]:
        """What each control is set to."""
        raise NotImplementedError

    def put_back(self, name: str, value: Any) -> None:
        """Set a control to what it was."""
        raise NotImplementedError

    def settings(self) -> dict[str, str]:
        """What a link must name so that the page is as it is now."""
        raise NotImplementedError

    def lacks(self) -> str:
        """What a link to the page as it is now has to leave out, a sentence; "" for nothing."""
        return ""

    def follow(self, settings: Mapping[str, str]) -> list[str]:
        """Be as a link says; what was not taken, a sentence each."""
        raise NotImplementedError

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
            self.furniture.verdict.value = "<p>Choose an answer first, or have it shown.</p>"
        elif name in ("guess", "skip"):
            self._done_asking(value)
        elif name == "reflect":
            self.prediction.reflection = str(value)
        elif name == "download":
            self._stage.hand_over("sharpness-kit.zip", "application/zip", self.files())
        elif name == "share":
            self._stage.share(self.link().without_guess().query, self.lacks())
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
        self.furniture.verdict.value = f"<p>{html.escape(said)}</p>" if said else ""
        self.remove_class("kit-asking")
        self.add_class("kit-answered")
        self.reveal()
        self._answers += 1
        if self._waiting:
            self._follow()
        if self.running():  # else the rest says it
            self.show_controls()
            self._say(self.words())

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
        self._held = {}
        said = not_taken([*self._link.faults, *self.follow(self._link.settings)])
        if said:
            self.tell_of_link(said)

    @contextmanager
    def holding(self) -> Iterator[Mapping[str, Any]]:
        """What a teacher's link has fixed is after this as it was before; yields that."""
        now = self.set_to()
        self._held = {name: now[name] for name in self._link.fix if name in now} | self._held
        yield self._held
        now = self.set_to()
        for name, value in self._held.items():
            if now.get(name) != value:
                self.put_back(name, value)

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
        self.furniture.beat.value = f"<p><b>{place}</b>{html.escape(beat.say)}</p>"
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

    def _on_message(self, content: dict, buffers: Sequence[Any] = ()) -> None:
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
        elif kind == "load":
            self._loop.mailbox.put("load", bytes(buffers[0]) if buffers else "too long")
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
            archive.writestr("run.json", json.dumps(content, allow_nan=False))
        return buffer.getvalue()

    def notes(self) -> dict[str, str]:
        """What a picture that is kept says about itself."""
        state = {name: value for name, value in self.state().items() if name != "history"}
        return {"Software": "sharpness-kit", "Settings": json.dumps(plain(state))}
