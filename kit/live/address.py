"""A page's state in its address: what a link sets, hides and fixes, and the reader's guess.

    ?lr=0.2&sharp=4          controls, by name; what is not named keeps its default
    &guess=1.6               what the reader said: a number, the place of a choice, or skip
    &hide=beta,method        controls that a teacher leaves out
    &fix=lr                  controls that a teacher sets for good

>>> link = Link.read("lr=0.2&hide=beta,method&guess=1.6")
>>> link.settings, link.hide, link.guess
({'lr': '0.2'}, ('beta', 'method'), '1.6')
>>> link.query
'lr=0.2&guess=1.6&hide=beta,method'
>>> Link.read("lr=0.2;drop%20table").faults
['“lr=0.2;drop table” names the value “0.2;drop table”, which is no plain word']
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, urlencode

LONGEST = 7500  # letters of a link: servers commonly take 8000
WORD = re.compile(r"[\w.,:*+-]*")
IGNORED = ("token", "reset", "voila-theme", "voila-template")  # of Jupyter and Voila


@dataclass(frozen=True)
class Link:
    """What an address asks for. `faults`: what was not taken, a sentence each."""

    settings: Mapping[str, str] = field(default_factory=dict)
    guess: str | None = None
    hide: tuple[str, ...] = ()
    fix: tuple[str, ...] = ()
    faults: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, query: str) -> Link:
        """The link in a query, without its question mark; whatever is wrong becomes a fault."""
        if len(query) > LONGEST:
            return cls(faults=[f"the link is longer than {LONGEST} letters"])
        settings, faults = {}, []
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name in IGNORED:
                continue
            if not (name.isidentifier() and WORD.fullmatch(value)):
                shown = f"{name}={value}"[:60]
                faults.append(f"“{shown}” names the value “{value[:40]}”, which is no plain word")
            else:
                settings[name] = value
        guess = settings.pop("guess", None)
        hide, fix = (
            tuple(filter(None, settings.pop(name, "").split(","))) for name in ("hide", "fix")
        )
        return cls(settings, guess, hide, fix, faults)

    @property
    def query(self) -> str:
        """The link as a query; the same state gives the same letters."""
        pairs = dict(self.settings)
        if self.guess is not None:
            pairs["guess"] = self.guess
        for name, names in (("hide", self.hide), ("fix", self.fix)):
            if names:
                pairs[name] = ",".join(names)
        return urlencode(pairs, safe=",:*")

    def without_guess(self) -> Link:
        """For somebody else, who is to guess first."""
        return replace(self, guess=None)


def not_taken(faults: list[str], source: str = "link") -> str:
    """What a page says of a link that it could not follow in everything; "" if it could."""
    if not faults:
        return ""
    return f"Of the {source}, this was not taken: {'; '.join(faults)}. The rest is as it says."
