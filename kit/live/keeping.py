"""What a page keeps to compare: runs made here, loaded from a file, or back after a reload."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kit.live.shelf import Kept, Shelf, text_of


class Keeping:
    """The part of a `LivePage` that keeps runs, on a `Shelf`.

    A subclass says what a run is: `kept_now`, `read_kept`, `table_of`, `loaded`.
    """

    def _begin_keeping(self) -> None:
        self.shelf = Shelf(self.read_kept)
        self._back: list[str] = []  # what became of the runs that the browser had kept

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
        self.furniture.compared.value = self.table_of(self.shelf.runs)
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

    def _load(self, text: bytes | str) -> str:
        if isinstance(text, str):  # the page has not sent it: a message has 10 MB at most
            raise ValueError("the file is longer than the 9 MB that a page can take")
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
