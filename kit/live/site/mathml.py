r"""Formulas as MathML, which browsers set by themselves: no script, no font, no request.

>>> mathml(r"2/\eta")
'<math alttext="2/\\eta"><mn>2</mn><mo lspace="0" rspace="0">/</mo><mi>η</mi></math>'
>>> mathml(r"\frac12 \oint")
Traceback (most recent call last):
ValueError: formula: \oint is not known here, in \frac12 \oint

It knows the TeX that the pages use, and refuses the rest rather than show it wrong.
"""

from __future__ import annotations

import re
from html import escape

TOKEN = re.compile(
    r"\\(?:text|mathrm)\s*\{[^{}]*\}|\\math(?:bb|cal)\s*\{?[A-Z]\}?|\\[a-zA-Z]+|\\.|\S", re.DOTALL
)
HATTED = re.compile(r"(?:<mrow>)?<mi>(.)</mi>(?:</mrow>)?")
SPACES = {r"\,": 0.167, r"\;": 0.278, r"\ ": 0.25, r"\quad": 1, r"\qquad": 2}
LETTERS = {r"\alpha": "α", r"\beta": "β", r"\gamma": "γ", r"\delta": "δ", r"\eta": "η"}
LETTERS |= {r"\theta": "θ", r"\lambda": "λ", r"\mu": "μ", r"\rho": "ρ", r"\sigma": "σ"}
LETTERS |= {r"\tau": "τ", r"\varphi": "φ", r"\ell": "ℓ"}
UPRIGHT = {r"\Lambda": "Λ", r"\Sigma": "Σ", r"\top": "⊤", r"\ldots": "…", r"\nabla": "∇"}
RELATIONS = {r"\le": "≤", r"\ge": "≥", r"\to": "→", r"\leftarrow": "←", r"\approx": "≈"}
RELATIONS |= {"=": "=", "<": "<", ">": ">", r"\cdot": "⋅", r"\times": "×", "+": "+", "-": "−"}
RELATIONS |= {",": ",", ":": ":", ";": ";"}
TIGHT = {r"\|": "‖", r"\lVert": "‖", r"\rVert": "‖", "|": "|", "/": "/", ".": ".", "*": "*"}
TIGHT |= {"'": "′", "!": "!"}
OPENING = {"(": "(", "[": "[", r"\{": "{", r"\langle": "⟨", r"\lfloor": "⌊"}
CLOSING = {")": ")", "]": "]", r"\}": "}", r"\rangle": "⟩", r"\rfloor": "⌋"}
FUNCTIONS = (r"\max", r"\min", r"\sup", r"\log", r"\exp")
BELOW = (r"\max", r"\min", r"\sup", r"\sum")  # in display, what is under them stands below
SIZES = {r"\big": "1.2em", r"\Big": "1.8em"}
# Where an alphabet of Unicode begins, and the letters that it has elsewhere.
DOUBLE = 0x1D538, dict(zip("CHNPQRZ", "ℂℍℕℙℚℝℤ", strict=True))
SCRIPT = 0x1D49C, dict(zip("BEFHILMR", "ℬℰℱℋℐℒℳℛ", strict=True))


def mathml(tex: str, *, display: bool = False) -> str:
    """A formula between dollar signs as a `math` element; `display`: on a line of its own."""
    parser = _Parser(tex, display)
    content = parser.row()
    if parser.tokens:
        raise ValueError(f"formula: {parser.tokens[-1]} closes nothing, in {tex}")
    block = ' display="block"' if display else ""
    return f'<math{block} alttext="{escape(" ".join(tex.split()))}">{content}</math>'


class _Parser:
    """Reads tokens from the left; the last of `tokens` is the next."""

    def __init__(self, tex: str, display: bool) -> None:
        self.tex, self.display = tex, display
        self.tokens = TOKEN.findall(tex)[::-1]

    @property
    def next(self) -> str:
        return self.tokens[-1] if self.tokens else ""

    def row(self) -> str:
        """All atoms up to a closing brace, with their scripts."""
        parts: list[str] = []
        free = True  # whether a minus here would be a sign
        while self.tokens and self.next != "}":
            token = self.next
            parts.append(self._scripted(self._atom(free, alone=not parts)))
            free = token in RELATIONS or token in OPENING or token in SPACES
        return "".join(parts)

    def _scripted(self, base: str) -> str:
        below = above = ""
        while self.next in ("_", "^"):
            if self.tokens.pop() == "_":
                below = self._argument()
            else:
                above = self._argument()
        if not (below or above):
            return base
        under = self.display and base.startswith('<mo movablelimits="true"')
        kinds = ("munder", "mover", "munderover") if under else ("msub", "msup", "msubsup")
        kind = kinds[2 if below and above else 0 if below else 1]
        return f"<{kind}>{base}{below}{above}</{kind}>"

    def _argument(self) -> str:
        """One token or a group, as one element."""
        if not self.tokens:
            raise ValueError(f"formula: an argument is missing at the end of {self.tex}")
        return self._atom(True, alone=True, single=True)

    def _atom(self, free: bool, *, alone: bool, single: bool = False) -> str:
        token = self.tokens.pop()
        if token == "{":
            content = self.row()
            if not self.tokens:
                raise ValueError(f"formula: a brace is not closed, in {self.tex}")
            self.tokens.pop()
            return f"<mrow>{content}</mrow>"
        if token.isdigit():
            return f"<mn>{token if single else self._number(token)}</mn>"
        if token in LETTERS or (len(token) == 1 and token.isalpha()):
            return f"<mi>{LETTERS.get(token, token)}</mi>"
        if token in UPRIGHT:
            return f'<mi mathvariant="normal">{UPRIGHT[token]}</mi>'
        if token.startswith((r"\text", r"\mathrm")):
            return _words(token)
        if token.startswith((r"\mathbb", r"\mathcal")):
            return f"<mi>{_letter(token)}</mi>"
        return self._operator(token, free, alone) or self._command(token)

    def _number(self, digits: str) -> str:
        while self.next.isdigit() or (self.next == "." and "".join(self.tokens[-2:-1]).isdigit()):
            digits += self.tokens.pop()
        return digits

    def _operator(self, token: str, free: bool, alone: bool) -> str:
        if token in RELATIONS:
            sign = ' form="prefix"' if free and token in "+-" else ""
            tight = ' lspace="0" rspace="0"' if alone and not sign else ""
            return f"<mo{sign}{tight}>{escape(RELATIONS[token])}</mo>"
        if token in TIGHT:
            fixed = ' stretchy="false"' if TIGHT[token] in "‖|" else ""
            return f'<mo{fixed} lspace="0" rspace="0">{TIGHT[token]}</mo>'
        if token in OPENING or token in CLOSING:
            form = "prefix" if token in OPENING else "postfix"
            return f'<mo form="{form}" stretchy="false">{(OPENING | CLOSING)[token]}</mo>'
        if token in FUNCTIONS:
            gap = "0" if self.next in ("(", "[", *SIZES) else "0.167em"
            before = "0" if free else "0.167em"
            limits = ' movablelimits="true"' if token in BELOW else ""
            return f'<mo{limits} lspace="{before}" rspace="{gap}">{token[1:]}</mo>'
        if token == r"\sum":
            return '<mo movablelimits="true">∑</mo>'
        return ""

    def _command(self, token: str) -> str:
        if token in SPACES:
            return f'<mspace width="{SPACES[token]}em"></mspace>'
        if token in SIZES:
            mark = self.tokens.pop() if self.tokens else ""
            known = OPENING | CLOSING | TIGHT
            if mark not in known:
                raise ValueError(f"formula: {token} stands before no bracket, in {self.tex}")
            size = SIZES[token]
            return f'<mo minsize="{size}" maxsize="{size}" lspace="0" rspace="0">{known[mark]}</mo>'
        if token in (r"\frac", r"\tfrac"):
            fraction = f"<mfrac>{self._argument()}{self._argument()}</mfrac>"
            small = token == r"\tfrac" and self.display
            return f'<mstyle displaystyle="false">{fraction}</mstyle>' if small else fraction
        if token == r"\sqrt":
            return f"<msqrt>{self._argument()}</msqrt>"
        if token == r"\hat" and (letter := HATTED.fullmatch(self._argument())):
            return f'<mi style="font-style: italic">{letter.group(1)}\u0302</mi>'
        raise ValueError(f"formula: {token} is not known here, in {self.tex}")


def _letter(token: str) -> str:
    r"""The letter of \mathbb{E} or \mathcal W."""
    start, elsewhere = DOUBLE if token.startswith(r"\mathbb") else SCRIPT
    letter = token.rstrip("}")[-1]
    return elsewhere.get(letter) or chr(start + ord(letter) - ord("A"))


def _words(token: str) -> str:
    r"""What stands in \text{...} or \mathrm{...}."""
    command, text = token.rstrip("}").split("{", 1)
    if command.startswith(r"\text"):
        return f"<mtext>{escape(text)}</mtext>"
    upright = ' mathvariant="normal"' if len(text) == 1 else ""  # longer names are upright anyway
    return f"<mi{upright}>{escape(text)}</mi>"
