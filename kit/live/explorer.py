"""The page: a run with its controls and its pictures, live.

from kit.live import Explorer
Explorer(preset="edge")            # a run that is known to show something
Explorer(my_training)              # one's own network and data
Explorer(my_recorder)              # a loop of one's own (kit.Recorder): it draws as that records
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from kit.checks import check_one_of
from kit.live import words
from kit.live.controls import OPTIMIZERS, Controls, parse_widths
from kit.live.follower import Follower
from kit.live.loop import LiveLoop
from kit.live.panels import PANELS, WIDTH, Panel
from kit.live.session import WATCHING, Session, ready_process
from kit.live.stage import Stage
from kit.presets import PRESETS
from kit.recorder import Recorder
from kit.training import Training

FIRST_STEPS = 30  # of the picture that a page opens on
WIDTHS = (360, 450, 540, 630, WIDTH)  # of a moving frame: no more pixels than the page shows
WORDS_EVERY = 20  # frames between two descriptions of the pictures


class Explorer(widgets.VBox):
    """Shows a training run and lets a reader change it while it trains.

    `training`: a `Training` of one's own; or `preset`, a name from `kit.presets`, whose data and
    network the reader can change as well. `panels`: which pictures; `controls`: which settings
    (default: all that apply). Nothing trains by itself: the page opens on a first picture and is
    one key press away from live. Raises ValueError for unknown names.

    A `Recorder` has no controls: its steps are taken by a loop of the reader's own, and each
    `record` redraws the page where a frame is due. Of several pages on one recorder the newest is
    drawn; each one shows everything when it is displayed.
    """

    def __init__(
        self,
        training: Training | Recorder | None = None,
        *,
        panels: Sequence[str] = ("loss", "sharpness", "jacobian", "gap"),
        controls: Sequence[str] | None = None,
        preset: str | None = None,
        auto_cadence: bool = True,
    ) -> None:
        if (training is None) == (preset is None):
            raise TypeError(
                "training: takes a kit.Training or a kit.Recorder, or preset= with the name of a "
                "preset"
            )
        if preset is not None:
            check_one_of("preset", preset, PRESETS)
        if isinstance(panels, str) or not panels:
            raise TypeError(f"panels: got {panels!r}; takes a sequence of names")
        for name in panels:
            check_one_of("panels", name, PANELS)
        if not isinstance(training, Recorder):  # whose loop may want its threads
            ready_process()
        source = training if preset is None else PRESETS[preset].config
        self.session = Session(source, auto_cadence=auto_cadence)
        if preset is not None:
            self._first_steps()
        self._panels = {key: Panel(key) for key in panels}
        self._visible = set(self._panels)
        self._epoch, self._shown, self._frames = self.session.epoch, -1, 0
        self._stale: set[str] = set()
        self._images: dict[str, bytes] = {}
        self._width = WIDTH
        self._loop = LiveLoop(self)
        title = "Sharpness while a network learns"
        self._stage = Stage(panels, title, self._on_message)
        self._controls = Controls(self.session, self._loop.mailbox.put, controls)
        self._stage.names = self._controls.names()
        self.still()
        body = widgets.Box([self._controls.box, self._stage]).add_class("kit-body")
        super().__init__([body])
        self.add_class("kit-explorer")
        if self.session.watching:
            training.follow(Follower(self))

    @property
    def training(self) -> Training | Recorder:
        """The run that is on the page now."""
        return self.session.training

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        """The widget, and its pictures for where no widget can be shown."""
        if self.session.watching:
            self.still()
        return super()._repr_mimebundle_(**kwargs) | {"text/html": self._stage.preview()}

    def run(self) -> None:
        """Start the live loop; returns at once. Needs a running event loop, as in a notebook."""
        if self.session.watching:
            raise RuntimeError(f"run(): {WATCHING} Start that loop instead.")
        if self._loop._loop is None:
            raise RuntimeError("run() needs a running event loop: use it in a notebook")
        self._loop.mailbox.put("run")

    def pause(self) -> None:
        """Stop training; the picture stays."""
        self._loop.mailbox.put("pause")

    def save(self, path: str | os.PathLike) -> None:
        """Write settings, interventions and history as JSON; an existing file is kept on failure.

        What was not measured is null.
        """
        training = self.training
        config = self.session.config
        content = {
            "format": "sharpness-kit run 1",
            "config": None if config is None else asdict(config),
            "data": training.data_name,
            "interventions": [asdict(change) for change in training.interventions],
            "diverged": None if training.diverged is None else asdict(training.diverged),
            "history": {name: _plain(column) for name, column in training.history.items()},
        }
        target = Path(path)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(_plain(content), file, allow_nan=False)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    # What the live loop asks for (kit.live.loop.Show).

    def handle(self, name: str, value: Any) -> None:
        session = self.session
        if name == "toggle":
            name = "pause" if session.running else "run"
        if name == "preset":
            name, value = "config", PRESETS[value].config
        elif name == "hidden":
            try:
                value = parse_widths(value)
            except ValueError as error:
                session.status, session.version = f"Not done: {error}", session.version + 1
                return
        elif name == "optimizer":
            config = session.config
            optimizer, nesterov = OPTIMIZERS[value]
            momentum = 0.0 if optimizer == "adam" else config.momentum or 0.9 * nesterov
            lr = 1e-3 if optimizer == "adam" and config.optimizer != "adam" else config.lr
            if config.optimizer == "adam" and optimizer != "adam":
                lr = 0.4
            changes = {"optimizer": optimizer, "nesterov": nesterov}
            name, value = (
                "config",
                type(config)(**{**vars(config), **changes, "momentum": momentum, "lr": lr}),
            )
        before = session.settings()
        session.do(name, value)
        # A control that the reader just set is right already; setting it again would pull the
        # slider back while it is being dragged. Only what changed besides is set.
        changed = {k for k, v in session.settings().items() if v != before.get(k)}
        refused = session.status.startswith("Not done")
        self._stale |= (changed if not refused else {name}) - (set() if refused else {name})
        if session.epoch != self._epoch:
            if name != "reset":
                self._first_steps()
            self._epoch = session.epoch
            for panel in self._panels.values():
                panel.clear()
        if session.running:  # else `still` follows, which says it once the numbers are there
            self._show_controls()
            self._say()
            self._stage.count(words.numbers(session), words.phase(session))

    def _first_steps(self) -> None:
        """A short run, so that there is something to see before the first key press."""
        self.session.training.run(FIRST_STEPS)
        self.session.training.measure_aside()

    def running(self) -> bool:
        return self.session.running

    def work(self, seconds: float) -> None:
        self.session.work(seconds)

    def draw(self) -> Iterator[None]:
        self._images = {}
        for key in self._panels:
            if key in self._visible:
                self._images[key] = self._image(key)
                yield

    def send(self, frame: int) -> None:
        session, self._frames = self.session, self._frames + 1
        self._stage.frame(frame, self._images, words.numbers(session), words.phase(session))
        if self._frames % WORDS_EVERY == 0:
            self._describe()

    def still(self) -> None:
        """Bring the page to rest: sharp pictures, numbers and words, kept for who comes later."""
        session = self.session
        if session.watching:
            session.look()
        if session.version == self._shown:
            return
        self._shown = session.version
        self._stage.stills = {key: self._image(key, still=True) for key in self._panels}
        self._stage.numbers = words.numbers(session)
        self._describe()
        self._show_controls()
        self._say()

    def show_frame(self) -> None:
        """One moving frame, now: for a loop that is not ours."""
        self.session.look()
        for _ in self.draw():
            pass
        self.send(self._frames + 1)

    def _show_controls(self) -> None:
        if self.session.training.every != self._controls.every:
            self._stale.add("every")
        self._controls.sync(self.session, self._stale)
        self._stale = set()

    def lost(self) -> None:
        """The page has stopped answering: closed, hidden, asleep, or the network is gone."""
        self.session.do(
            "pause", "Paused: the page was not seen for 10 seconds. Press Run to go on."
        )

    def _image(self, key: str, *, still: bool = False) -> bytes:
        session = self.session
        return self._panels[key].encode(
            session.training.history,
            ghosts=session.ghosts,
            marks=session.marks(),
            labels=words.line_labels(session),
            since=session.forked_at,
            width=WIDTH if still else self._width,
            still=still,
        )

    def _describe(self) -> None:
        self._stage.alts = {key: words.alt_text(self.session, key) for key in self._panels}
        self._stage.words = words.summary(self.session)

    def _say(self) -> None:
        self._stage.broken = self.session.training.diverged is not None
        self._stage.phase = words.phase(self.session)
        self._stage.status = self.session.status

    def _on_message(self, content: dict) -> None:
        """From the page, perhaps on another thread: note what is in view, pass on the rest."""
        if content.get("type") == "ack":
            self._visible = set(content.get("visible", ())) & set(self._panels)
            wanted = content.get("width", WIDTH)
            self._width = next((w for w in WIDTHS if w >= wanted), WIDTH)
            if not self.session.watching:  # where frames do not wait for an answer
                self._loop.mailbox.put("ack", content.get("frame"))


def _plain(value: Any) -> Any:
    """What JSON can hold: NaN and infinity become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
