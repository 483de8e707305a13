"""What a page shows and lets a reader turn, without a widget: a state machine with its controls.

>>> class Doubler(Scene):
...     title, controls = "Doubling", (Control("x", "x", "the number x", values=(1, 2, 4)),)
...     def begin(self):
...         self.values = {"x": 1}
...     def changed(self, name):
...         self.status = f"x is {self.values['x']}, twice that {2 * self.values['x']}."
>>> scene = Doubler()
>>> scene.do("x", 4); scene.status
'x is 4, twice that 8.'
>>> scene.do("x", 3); scene.status
'Not done: x: got 3; takes one of 1, 2, 4'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.live.picture import Picture
from kit.live.question import Question


@dataclass(frozen=True)
class Control:
    """One thing to turn. values: a slider over exact values; options: a choice, label -> value;
    neither: a button. `bar`: a phone shows it always. `label` has the symbol, `full` is for screen
    readers, `tip` one sentence more; `form` formats a value. `group`: a heading above the controls
    that share it. `shows`: the picture that answers, for a phone, which has one in view.
    """

    name: str
    label: str
    full: str
    tip: str = ""
    values: tuple[float, ...] = ()
    options: Mapping[str, Any] | None = None
    form: str = "{:g}"
    bar: bool = False
    group: str = ""
    shows: str = ""

    def text(self, value: Any) -> str:
        """A value as a link writes it, in one word.

        >>> Control("method", "method", "the method").text("heavy ball")
        'heavy-ball'
        """
        return f"{value:.12g}" if isinstance(value, float) else str(value).replace(" ", "-")

    def parse(self, text: str) -> Any:
        """The value that a link writes so; ValueError that says which there are.

        >>> Control("x", "x", "the number x", values=(0.1, 0.2)).parse("0.2")
        0.2
        """
        takes = tuple(self.options.values()) if self.options is not None else self.values
        for value in takes:
            if self.text(value) == text:
                return value
        return self.check(text)

    def check(self, value: Any) -> Any:
        """The value, if it is one of this control's; ValueError that says which there are."""
        takes = tuple(self.options.values()) if self.options is not None else self.values
        if takes and value not in takes:
            shown = ", ".join(map(str, takes if len(takes) < 9 else (takes[0], "...", takes[-1])))
            raise ValueError(f"{self.name}: got {value!r}; takes one of {shown}")
        return value


@dataclass(frozen=True)
class Beat:
    """A step of a lecture: what is set, in order, from a fresh start, and a sentence to say."""

    say: str
    do: tuple[tuple[str, Any], ...] = ()


class Scene:
    """The state of a page. A subclass says what is turned, what follows and what is seen.

    `values` holds what the controls are set to. `do(name, value)` sets one or presses a button
    (value None); a bad value becomes the status and nothing is lost. While `running` (until it is
    paused) or `working` (until it is done) it is given time by `work`. `version` grows with every
    change that a picture must show.
    """

    title = ""
    controls: Sequence[Control] = ()
    pictures: Mapping[str, type[Picture]] = {}
    pointable: Sequence[str] = ()  # pictures that a reader can point into
    question: Question | None = None
    beats: Sequence[Beat] = ()

    def __init__(self) -> None:
        self.version = 0
        self.running = False
        self.working = False  # on something that was asked for, and will end by itself
        self.revealed = self.question is None
        self.guess: str | float | None = None  # of the reader, for a picture to show
        self.status = ""
        self.begin()
        for control in self.controls:
            if control.name in self.values:
                control.check(self.values[control.name])

    # What a subclass says.

    def begin(self) -> None:
        """The start: `self.values`, and whatever follows from them."""
        raise NotImplementedError

    def changed(self, name: str) -> None:
        """The control `name` has a new value in `self.values`."""

    def pressed(self, name: str) -> None:
        """A button was pressed."""

    def advance(self, seconds: float) -> None:
        """Go on for about this long; called while `running` or `working`."""

    def wait(self) -> float:
        """Seconds until there is something to advance, for a scene that goes at a pace."""
        return 0.0

    def answer(self) -> str | float:
        """What is right, computed."""
        raise NotImplementedError

    def reveal(self) -> None:
        """The reader has guessed, or does not want to: show what was kept back."""

    def phase(self) -> str:
        """One sentence on what is happening now."""
        return ""

    def numbers(self) -> list[list[str]]:
        """Rows of name, value and remark: each number with its error, or its unit."""
        return []

    def answers(self, name: str) -> str:
        """The picture that answers a control, for a phone, which has one in view; or ""."""
        return next((control.shows for control in self.controls if control.name == name), "")

    def idle(self) -> Mapping[str, str]:
        """Controls that change nothing now, each with a sentence that says why."""
        return {}

    def summary(self) -> str:
        """The whole page in words, for who cannot see it; "": what its pictures say."""
        return ""

    def columns(self) -> dict[str, Sequence[float]]:
        """What has been measured, as equally long columns, for a download."""
        return {}

    def settings(self) -> dict[str, Any]:
        """Everything that the pictures depend on, for a download: values and seeds."""
        return dict(self.values)

    # What a page calls.

    def do(self, name: str, value: Any = None) -> None:
        """Set a control or press a button."""
        self.version += 1
        try:
            if name == "reset":
                self.begin()
            elif name == "pause":
                self.running = False
                self.status = value if isinstance(value, str) else self.status
            else:
                self._do(self._control(name), value)
        except (ValueError, TypeError) as error:
            self.status = f"Not done: {error}"

    def _do(self, control: Control, value: Any) -> None:
        if control.values or control.options is not None:
            if self.values.get(control.name) == control.check(value):
                return
            self.values[control.name] = value
            self.changed(control.name)
        else:
            self.pressed(control.name)

    def _control(self, name: str) -> Control:
        for control in self.controls:
            if control.name == name:
                return control
        known = ", ".join(control.name for control in self.controls)
        raise ValueError(f"{name}: is nothing that this page can change; takes one of {known}")

    def point(self, picture: str, place: tuple[Any, float, float]) -> None:
        """The reader points into a picture: axes, x and y in their units."""

    def work(self, seconds: float) -> None:
        """Time for what is running."""
        self.version += 1
        self.advance(seconds)

    def show(self, guess: str | float | None = None) -> None:
        """The question is done with; `guess`: what the reader said, if anything."""
        self.version += 1
        self.revealed, self.guess = True, guess
        self.reveal()
