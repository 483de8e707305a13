"""What a reader keeps on a page to compare: six runs at most, each with a letter.

>>> class Word:
...     def __init__(self, letter, text):
...         self.letter, self.content = letter, text
>>> shelf = Shelf(Word)
>>> [shelf.put(Word(shelf.free_letter(), word)).letter for word in ("flat", "sharp")]
['A', 'B']
>>> shelf.restore("B", "steep").letter, [run.letter for run in shelf.runs]
('C', ['A', 'B', 'C'])
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Protocol

from kit.live.export import plain

LETTERS = tuple("ABCDEF")  # so many runs are kept at once
LONGEST = 8_000_000  # letters that a page takes back: a message of 10 MB ends its connection


class Kept(Protocol):
    letter: str
    content: object  # as run.json holds it

    def settings(self) -> str: ...


class Shelf:
    """The runs that are kept; `read(letter, text)` makes one of a file, or raises ValueError."""

    def __init__(self, read: Callable[[str, str | bytes], Kept]) -> None:
        self.read = read
        self.runs: list[Kept] = []

    def free_letter(self) -> str:
        taken = {run.letter for run in self.runs}
        free = [letter for letter in LETTERS if letter not in taken]
        if not free:
            raise ValueError(f"{len(LETTERS)} runs are kept; forget them first")
        return free[0]

    def put(self, run: Kept) -> Kept:
        self.runs = sorted([*self.runs, run], key=lambda run: run.letter)
        return run

    def restore(self, letter: str, text: str) -> Kept:
        """One that the browser kept through a reload: with its letter, where that is free."""
        free = self.free_letter()
        taken = letter not in LETTERS or any(run.letter == letter for run in self.runs)
        return self.put(self.read(free if taken else letter, text))

    def outlives(self, run: Kept, text: str) -> bool:
        """Whether the browser can bring it back."""
        try:
            self.read(run.letter, text)
        except ValueError:
            return False
        return len(text) <= LONGEST

    def clear(self) -> None:
        self.runs = []

    def files(self) -> dict[str, str]:
        """File name -> JSON, for a download."""
        return {f"kept-{run.letter}.json": text_of(run) for run in self.runs}

    def said(self) -> str:
        """A sentence for who cannot see the pictures; "" where nothing is kept."""
        kept = ", ".join(f"{run.letter} ({run.settings()})" for run in self.runs)
        return (
            f" Kept runs, in the table, and faint where they have a line: {kept}." if kept else ""
        )


def text_of(run: Kept) -> str:
    return json.dumps(plain(run.content), allow_nan=False)
