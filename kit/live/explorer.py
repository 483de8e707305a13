"""The page: a run with its controls and its pictures, live.

from kit.live import Explorer
Explorer(preset="edge")            # a run that is known to show something
Explorer(my_training)              # one's own network and data
Explorer(my_recorder)              # a loop of one's own (kit.Recorder): it draws as that records
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from kit.checks import check_one_of
from kit.live import words
from kit.live.address import LONGEST
from kit.live.controls import OPTIMIZERS, Controls
from kit.live.export import plain
from kit.live.follower import Follower
from kit.live.kept import FORMAT, KeptRun, table
from kit.live.page import LivePage
from kit.live.panels import WIDTH, Panel
from kit.live.picture import noted
from kit.live.question import Question
from kit.live.replay import Plan, here
from kit.live.scene import Beat
from kit.live.session import WATCHING, Session, ready_process
from kit.live.strips import PANELS
from kit.live.swings import SwingPicture
from kit.live.text import parse_widths
from kit.presets import PRESETS
from kit.recorder import Recorder
from kit.stored import stored_run
from kit.training import Training

PICTURES = {"samples": SwingPicture}  # besides those of columns
FIRST_STEPS = 30  # of the picture that a page opens on
ELSEWHERE = (
    "its run is of another machine or build; at the edge of stability such paths part, so compare "
    "with the saved JSON of that run"
)
SHORT = "short"  # in a link that could not hold the changes of its run: how many
ROOM = 500  # letters of a link for what else it says
BEGINNING = "This is how a run begins. What comes next?"


class Explorer(LivePage):
    """Shows a training run and lets a reader change it while it trains.

    `training`: a `Training` of one's own; or `preset`, a name from `kit.presets`, whose data and
    network the reader can change as well. `panels`: which pictures; `controls`: which settings
    (default: all that apply). `first`: how many pictures are shown before the reader asks for the
    rest (default: all). Nothing trains by itself: the page opens on a first picture and is
    one key press away from live. Raises ValueError for unknown names.

    `question`: asked first; the threshold and a stored run of the preset appear with the answer,
    which `answer(columns)` computes from that run. `beats`: of a lecture.

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
        question: Question | None = None,
        beats: Sequence[Beat] = (),
        first: int | None = None,
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
            check_one_of("panels", name, (*PANELS, *PICTURES))
        if question is not None and preset is None:
            raise TypeError("question: takes a preset, whose stored run has the answer")
        if not isinstance(training, Recorder):  # whose loop may want its threads
            ready_process()
        source = training if preset is None else PRESETS[preset].config
        self.session = Session(source, auto_cadence=auto_cadence)
        if preset is not None:
            self._first_steps()
            self._opened = Plan(source, (), FIRST_STEPS)  # what needs no link
        self._stored = None if question is None else stored_run(preset)
        self._panels = {key: Panel(key) for key in panels if key in PANELS}
        self._pictures = {key: PICTURES[key]() for key in panels if key in PICTURES}
        self._epoch = self.session.epoch
        self._stale: set[str] = set()
        self._told = ""
        super().__init__("Sharpness while a network learns", panels, question, beats, first)
        self._controls = Controls(self.session, self._loop.mailbox.put, controls)
        self._lay_out(self._controls.box, self._controls.names())
        if self.session.watching:
            training.follow(Follower(self))

    @property
    def training(self) -> Training | Recorder:
        """The run that is on the page now."""
        return self.session.training

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        if self.session.watching:
            self.still()
        return super()._repr_mimebundle_(**kwargs)

    def run(self) -> None:
        """Start the live loop; returns at once. Needs a running event loop, as in a notebook."""
        if self.session.watching:
            raise RuntimeError(f"run(): {WATCHING} Start that loop instead.")
        super().run()

    def save(self, path: str | os.PathLike) -> None:
        """Write settings, interventions and history as JSON; an existing file is kept on failure.

        What was not measured is null.
        """
        target = Path(path)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(self.content(), file, allow_nan=False)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    # What a page answers (kit.live.page.LivePage).

    def state(self) -> dict[str, Any]:
        training, config = self.training, self.session.config
        return {
            "format": FORMAT,
            "config": None if config is None else asdict(config),
            "data": training.data_name,
            "interventions": [asdict(change) for change in training.interventions],
            "diverged": None if training.diverged is None else asdict(training.diverged),
        }

    def columns(self) -> Mapping[str, Sequence[float]]:
        return self.training.history

    def version(self) -> int:
        if self.session.watching:
            self.session.look()
        return self.session.version

    def alt(self, key: str) -> str:
        if key in self._pictures:
            return self._pictures[key].alt(self.session)
        return words.alt_text(self.session, key, asking=self.prediction.open)

    def words(self) -> dict[str, Any]:
        session = self.session
        hidden = self.prediction.open
        numbers = words.numbers(session)
        return {
            "phase": "" if hidden else words.phase(session),
            "status": BEGINNING if hidden else session.status,
            "numbers": [row for row in numbers if not (hidden and row[0] == "threshold")],
            "broken": session.training.diverged is not None,
        }

    def summary(self) -> str:
        return words.summary(self.session, asking=self.prediction.open)

    def answer(self) -> str | float:
        return self.question.answer(self._stored)

    # Links.

    def to_link(self) -> str:
        if self.session.config is None:
            raise ValueError("to_link: a run of one's own has no link; save(path) keeps it")
        return super().to_link()

    def keep_back(self, hide: Sequence[str], fix: Sequence[str]) -> list[str]:
        return self._controls.keep_back(hide, fix, self.session)

    def set_to(self) -> Mapping[str, Any]:
        return self.session.settings()

    def put_back(self, name: str, value: Any) -> None:
        self.session.do(name, value)

    def settings(self) -> dict[str, str]:
        session = self.session
        if session.config is None:
            return {}
        steps, changes = self.training.steps, self.training.interventions
        plan = session.plan or Plan.of(session.config, changes, steps)
        if plan == self._opened:
            return {}
        parts = plan.write() | {"on": here()}
        if len(urlencode(parts, safe=",:*")) <= LONGEST - ROOM:
            return parts
        return Plan(session.config).write() | {SHORT: str(len(plan.changes))}

    def lacks(self) -> str:
        count = self.settings().get(SHORT)
        return "" if count is None else f"It leaves out {too_many(count)}. A download has them."

    def follow(self, settings: Mapping[str, str]) -> list[str]:
        if not settings:
            return []
        if self.session.config is None:
            return ["this run is one's own, and takes no link"]
        parts = dict(settings)
        on, left_out = parts.pop("on", None), parts.pop(SHORT, None)
        plan, faults = Plan.read(parts)
        if left_out is not None:
            faults.append(too_many(left_out))
        if plan.steps is None:
            plan = replace(plan, steps=FIRST_STEPS)
        ghosts = self.session.ghosts
        try:
            self.session.replay(plan)
        except ValueError as error:
            return [*faults, str(error)]
        if plan.start.dataset == self._opened.start.dataset:
            self.session.ghosts = ghosts
        self._new_pictures()
        if on not in (None, here()):
            faults.append(ELSEWHERE)
        return faults

    # Kept runs.

    def kept_now(self, letter: str) -> KeptRun:
        return KeptRun(letter, plain(self.state() | {"history": self.columns()}))

    def read_kept(self, letter: str, text: str | bytes) -> KeptRun:
        return KeptRun.read(letter, text)

    def table_of(self, runs: Sequence[KeptRun]) -> str:
        return table(runs)

    def tell(self, sentence: str) -> None:
        self._told = self.session.status = sentence
        self.session.version += 1

    def tell_of_link(self, sentence: str) -> None:
        self.session.note = sentence
        self.tell(sentence)

    def reveal(self) -> None:
        """The stored run, faint, to its end, with the threshold and the guess."""
        guess = self.prediction.guess
        said = {} if guess is None else {"guess": [guess] * len(self._stored["step"])}
        self.session.ghosts = [{**self._stored, **said}]

    def image(self, key: str, *, still: bool = False, kind: str | None = None) -> bytes:
        session, width = self.session, WIDTH if still else self._width
        notes = None if kind is None else self.notes()
        if key in self._pictures:
            picture = self._pictures[key]
            return picture.encode(session, still=still, kind=kind, width=width, notes=notes)
        labels = words.line_labels(session)
        if self.prediction.open:
            labels["threshold"] = ""
        content = self._panels[key].encode(
            session.training.history,
            ghosts=session.ghosts,
            marks=session.marks(),
            labels=labels,
            since=session.forked_at,
            kept={run.letter: run.columns for run in self.compared},
            width=width,
            still=still,
            kind=kind,
        )
        return content if kind is None else noted(content, kind, notes)

    def do(self, name: str, value: Any) -> None:
        session = self.session
        if session.status == self._told:  # that was about what there was before
            session.status = ""
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
            name, value = "config", self._with_optimizer(value)
        before = session.settings()
        with self.holding() as held:
            if name == "config":
                with suppress(ValueError):  # of what does not go together
                    value = replace(value, **{k: v for k, v in held.items() if k in vars(value)})
            session.do(name, value)
        # A control that the reader just set is right already; setting it again would pull the
        # slider back while it is being dragged. Only what changed besides is set.
        changed = {k for k, v in session.settings().items() if v != before.get(k)}
        refused = session.status.startswith("Not done")
        self._stale |= (changed if not refused else {name}) - (set() if refused else {name})
        if session.epoch != self._epoch:
            if name != "reset":
                self._stale.add("batch_size")  # which may go up to the number of samples
                self._first_steps()
            self._new_pictures()
        if session.running:  # else `still` follows, which says it once the numbers are there
            self.show_controls()
            now = self.words()
            self._say(now)
            self._stage.count(now["numbers"], now["phase"])

    def _new_pictures(self) -> None:
        """For a new run."""
        self._epoch = self.session.epoch
        for panel in self._panels.values():
            panel.clear()

    def _with_optimizer(self, title: str):
        config = self.session.config
        optimizer, nesterov = OPTIMIZERS[title]
        momentum = 0.0 if optimizer == "adam" else config.momentum or 0.9 * nesterov
        lr = 1e-3 if optimizer == "adam" and config.optimizer != "adam" else config.lr
        if config.optimizer == "adam" and optimizer != "adam":
            lr = 0.4
        changes = {"optimizer": optimizer, "nesterov": nesterov, "momentum": momentum, "lr": lr}
        return type(config)(**{**vars(config), **changes})

    def _first_steps(self) -> None:
        """A short run, so that there is something to see before the first key press."""
        self.session.training.run(FIRST_STEPS)
        self.session.training.measure_aside()

    def stop(self) -> None:
        self.session.running = False

    def running(self) -> bool:
        return self.session.running

    def work(self, seconds: float) -> None:
        self.session.work(seconds)

    def show_frame(self) -> None:
        """One moving frame, now: for a loop that is not ours."""
        self.session.look()
        for _ in self.draw():
            pass
        self.send(self._frames + 1)

    def show_controls(self) -> None:
        if self.session.training.every != self._controls.every:
            self._stale.add("every")
        self._controls.sync(self.session, self._stale)
        self._stale = set()

    def lost(self) -> None:
        """The page has stopped answering: closed, hidden, asleep, or the network is gone."""
        self.session.do(
            "pause", "Paused: the page was not seen for 10 seconds. Press Run to go on."
        )

    def acknowledged(self, frame: int) -> None:
        if not self.session.watching:  # where frames do not wait for an answer
            super().acknowledged(frame)


def too_many(count: str) -> str:
    """What a link without its run's changes says of them; `count` is as the link has it.

    >>> too_many("900")
    'the 900 changes on the way, too many for a link'
    """
    return f"the {count[:6]} changes on the way, too many for a link"
