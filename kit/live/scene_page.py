"""The page of a `Scene`: its pictures beside its controls.

from kit.live import ScenePage
ScenePage(MyScene())
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kit.live.address import not_taken
from kit.live.export import plain
from kit.live.kept_scene import FORMAT, KeptScene, table
from kit.live.knobs import Knobs
from kit.live.page import LivePage
from kit.live.panels import WIDTH
from kit.live.scene import Scene


class ScenePage(LivePage):
    """A page that shows a `Scene`: its pictures beside its controls."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._defaults = dict(scene.values)
        self._told = ""
        self._pictures = {key: kind() for key, kind in scene.pictures.items()}
        super().__init__(scene.title, list(scene.pictures), scene.question, scene.beats)
        self._stage.pointable = list(scene.pointable)
        self._knobs = Knobs(scene, self._loop.mailbox.put)
        self._lay_out(self._knobs.box, self._knobs.names())

    def version(self) -> int:
        return self.scene.version

    def image(self, key: str, *, still: bool = False, kind: str | None = None) -> bytes:
        width = WIDTH if still else self._width
        notes = None if kind is None else self.notes()
        picture = self._pictures[key]
        picture.faint.show({run.letter: run.courses.get(key, ()) for run in self.compared})
        return picture.encode(self.scene, still=still, kind=kind, width=width, notes=notes)

    def alt(self, key: str) -> str:
        return self._pictures[key].alt(self.scene)

    def words(self) -> dict[str, Any]:
        scene = self.scene
        return {
            "phase": scene.phase(),
            "status": scene.status,
            "numbers": scene.numbers(),
            "broken": False,
        }

    def summary(self) -> str:
        return self.scene.summary() or "\n".join(map(self.alt, self._keys))

    def answer(self) -> str | float:
        return self.scene.answer()

    def reveal(self) -> None:
        self.scene.show(self.prediction.guess)

    def do(self, name: str, value: Any) -> None:
        if self.scene.status == self._told:  # that was about what there was before
            self.scene.status = ""
        with self.holding():
            self.scene.do(name, value)
        refused = self.scene.status.startswith("Not done")
        self._knobs.sync(skip=None if refused else name)
        picture = self.scene.answers(name)
        if picture:
            self._stage.look(picture)
        words = self.words()
        if self.running():  # else `still` follows, which says it once the pictures are there
            self._say(words)
        self._stage.count(words["numbers"], words["phase"])

    def pointed(self, key: str, across: float, down: float) -> None:
        place = self._pictures[key].point(across, down)
        if place is not None:
            self.scene.version += 1
            with self.holding():
                self.scene.point(key, place)
            self._knobs.sync()

    def show_controls(self) -> None:
        self._knobs.sync()

    def keep_back(self, hide: Sequence[str], fix: Sequence[str]) -> list[str]:
        return self._knobs.keep_back(hide, fix)

    def set_to(self) -> Mapping[str, Any]:
        return dict(self.scene.values)

    def put_back(self, name: str, value: Any) -> None:
        self.scene.do(name, value)

    def settings(self) -> dict[str, str]:
        values = self.scene.values
        return {
            control.name: control.text(values[control.name])
            for control in self.scene.controls
            if values.get(control.name) != self._defaults.get(control.name)
        }

    def follow(self, settings: Mapping[str, str]) -> list[str]:
        faults, known = [], {c.name: c for c in self.scene.controls if c.name in self.scene.values}
        faults += [f"there is no control “{name}” here" for name in settings if name not in known]
        for name, control in known.items():
            try:
                if name in settings:
                    self.scene.do(name, control.parse(settings[name]))
            except ValueError as error:
                faults.append(str(error))
        return faults

    def tell(self, sentence: str) -> None:
        self._told = self.scene.status = sentence
        self.scene.version += 1

    def columns(self) -> Mapping[str, Sequence[float]]:
        return self.scene.columns()

    def state(self) -> dict[str, Any]:
        settings = {"settings": self.scene.settings(), "link": self.settings()}
        return {"format": FORMAT, "page": self.scene.title} | settings

    def content(self) -> dict[str, Any]:
        lines = {key: picture.courses(self.scene) for key, picture in self._pictures.items()}
        labels = {control.name: control.label for control in self.scene.controls}
        seen = {"numbers": self.scene.numbers(), "lines": lines, "labels": labels}
        return super().content() | plain(seen)

    def running(self) -> bool:
        return self.scene.running or self.scene.working

    def wait(self) -> float:
        return self.scene.wait()

    def work(self, seconds: float) -> None:
        self.scene.work(seconds)

    def kept_now(self, letter: str) -> KeptScene:
        return KeptScene(letter, self.content())

    def read_kept(self, letter: str, text: str | bytes) -> KeptScene:
        return KeptScene.read(letter, text, self.scene.title)

    def table_of(self, runs: Sequence[KeptScene]) -> str:
        return table(runs)

    def loaded(self, run: KeptScene) -> str:
        saved = run.content["settings"]
        texts = {c.name: c.text(saved[c.name]) for c in self.scene.controls if c.name in saved}
        with self.holding():
            self.scene.do("reset")
            faults = self.follow(texts)
        said = f"Loaded as run {run.letter}; the controls are as in it."
        return f"{said} {not_taken(faults, 'file')}".strip()

    def stop(self) -> None:
        self.scene.running = self.scene.working = False

    def lost(self) -> None:
        """The page has stopped answering: closed, hidden, asleep, or the network is gone."""
        said = "Paused: the page was not seen for 10 seconds. Press Run to go on."
        if self.scene.running:
            self.scene.do("pause", said)
