"""One symbol, one meaning: the table, and that pages and docstrings keep to it."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "notebooks").glob("[01][0-9]_*.ipynb"))[1:]  # the first has no formulas
SOURCES = sorted((ROOT / "kit").rglob("*.py"))

# A row of a page with this symbol says one of these words. An index of a symbol that is not here
# is left out: theta_1 is looked up as theta.
MEANINGS = {
    r"\eta": ("learning rate",),
    r"\lambda": ("eigenvalue", "sharpness"),
    r"\lambda(S)": ("layer",),
    r"\lambda(H_q)": ("quotient",),
    r"\lambda_{\max}(G)": ("eigenvalue",),
    r"\mu": ("weight decay", "damping"),
    r"\alpha": ("rescaling",),
    r"\beta": ("momentum",),
    r"\gamma": ("drift",),
    r"\theta": ("parameters", "distance from the minimum", "centre of the posterior"),
    r"\theta_0": ("prior",),
    r"\theta_k": ("weight tensor",),
    r"\rho": ("radius of SAM", "SAM radius"),
    r"\sigma": ("noise",),
    r"\tau": ("Kendall",),
    r"\varphi": ("cost at a point",),
    r"\ell": ("loss",),
    r"\Sigma": ("covariance of the swings",),
    r"\Sigma_g": ("covariance of the gradients",),
    r"\Lambda": ("Lipschitz",),
    r"\Lambda_*": ("slope of the target",),
    r"\mathrm{Lip}(f)": ("the true constant",),
    r"\mathcalW": ("Wasserstein",),
    r"\hatp": ("predicted probabilities",),
    r"A(\hatp)": ("second derivative of the cost",),
    "a": ("mixup",),
    "a_k": ("eigenvalue",),
    "b": ("batch size",),
    "c": ("cost",),
    "d": ("dimension",),
    "e": ("residual",),
    "f": ("function",),
    "g": ("gradient",),
    "h": ("activations",),
    "n": ("samples",),
    "p": ("failure probability", "probability that the promise fails"),
    "r": ("covering radius",),
    "s": ("label smoothing",),
    "v": ("eigenvector",),
    "x": ("displacement",),
    "x_i": ("sample",),
    "y": ("sharpness minus",),
    "y_i": ("target",),
    "G": ("Gauss-Newton",),
    "H": ("Hessian",),
    "H_q": ("quotient",),
    "J": ("derivative of the output", "Jacobian"),
    "K": ("tangent kernel",),
    "C": ("cost's second derivative",),
    "J_{>l}": ("layer",),
    r"\|J\|": ("norm", "singular value"),
    "M": ("$J$ changes, at most",),
    "P": ("parameters",),
    "Q": ("preconditioner",),
    "R": ("what is left",),
    "S": ("layer metric",),
    "T": ("temperature",),
    "V": ("$J$ changes within",),
    "W": ("weights",),
}

# These mean one thing wherever they stand, so a page whose formulas have one has it in its table.
RESERVED = {r"\eta", r"\lambda", r"\mu", r"\alpha", r"\beta", r"\gamma", r"\Sigma_g", r"\hatp"}
RESERVED |= {*"bnprGHJMPQS", "H_q"}
NAME, INDEX = r"(?:\\[A-Za-z]+|[A-Za-z])", r"_(?:\w|\\[A-Za-z]+|\{[^{}]*\}|\*)"

# In docstrings p may be softmax f as well, where the module says so.
SOFTMAX = r"\bp - p p'|\bA\(p\)"

# Spellings of before.
RETIRED = {
    "alpha for the drift": r"drift (α|\$?\\?alpha)|2\\?α\)",
    "r for a residual": r"\br_i - r_j|rᵢ|r²/2",
    "beta for how much J changes": r"\bbeta r\b|β r\b|\\beta r\b|beta of P1",
    "p for the softmax on a page": r"diag p − pp|\\mathrm\{diag\}\\,p\b",
    "P for Adam's preconditioner": r"P\^\{?-1|P⁻¹",
    "B for the quotient Hessian": r"(λ|lambda_max|\\lambda)\(B\)|\"riemannian\" \(B\)|\bB = S \+ T",
    "L for a Lipschitz constant": r"L̂|\\hat L|\bLhat\b|\bL_[12]\b|\bL[₁₂]",
    "W_1 for the Wasserstein distance": r"W₁|\bW_1\(P|\bW_1 (is exact|between)|\\hat L\\, W_1",
}
KEYS = {"Lhat", "W_1"}  # of the terms of a bound: callers use them


@pytest.fixture(params=PAGES, ids=lambda path: path.stem)
def page(request):
    cells = nbformat.read(request.param, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def rows(page):
    """(symbols, meaning) of each row of the page's table of symbols that has any."""
    table = page.split("\n## Symbols\n")[1].split("\n## ")[0]
    for line in table.splitlines():
        if match := re.fullmatch(r"\| (\$.*\$) \| (.*) \|", line):
            found = re.findall(r"\$([^$]+)\$", match[1])
            yield [plain(s) for f in found for s in re.split(r",|\\ldots", f)], match[2]


def plain(symbol):
    """A symbol without spaces, and with one kind of norm bars."""
    symbol = re.sub(r"\\[lr]Vert", r"\\|", symbol)
    return re.sub(r"\s", "", symbol)


def known(symbol):
    """The symbol as the table has it: as it stands, or without its index."""
    short = re.sub(rf"{INDEX}$", "", symbol)
    return next((s for s in (symbol, short) if s in MEANINGS), None)


def names(formula):
    """The names in a formula; an index is left out, but where it makes a reserved symbol."""
    for name, index in re.findall(rf"({NAME})({INDEX})?", formula):
        yield name + index if name + index in RESERVED else name


def formulas(page):
    """The names in the formulas above the table."""
    text = page.split("\n## Symbols\n")[0]
    found = set()
    for parts in re.findall(r"\$\$(.+?)\$\$|\$(.+?)\$", text, re.DOTALL):
        formula = re.sub(r"\\(mathrm|text|mathbb|mathcal)\s*(\{[^{}]*\}|\w)", " ", "".join(parts))
        formula = re.sub(r"\\hat\s*(\\?\w+)", r" \\hat\1 ", formula)
        found.update(names(formula))
    return found


def test_every_symbol_has_the_meaning_of_the_table_in_the_order_of_its_row(page):
    assert list(rows(page))
    for symbols, meaning in rows(page):
        place = 0
        for symbol in symbols:
            name = known(symbol)
            assert name, f"{symbol}: not in the table of symbols"
            at = [meaning.find(word, place) for word in MEANINGS[name]]
            assert max(at) >= 0, f"{symbol}: {meaning!r} has none of {MEANINGS[name]}"
            place = min(k for k in at if k >= 0)


def test_no_symbol_has_two_rows(page):
    every = [symbol for symbols, _ in rows(page) for symbol in symbols]
    assert len(every) == len(set(every))


def test_a_reserved_symbol_in_a_formula_is_in_the_pages_table(page):
    listed = {next(names(symbol)) for symbols, _ in rows(page) for symbol in symbols}
    assert formulas(page) & RESERVED <= listed


def test_every_symbol_of_the_table_is_on_some_page():
    texts = [nbformat.read(path, as_version=4).cells for path in PAGES]
    pages = ["\n".join(cell.source for cell in cells) for cells in texts]
    used = {known(symbol) for page in pages for symbols, _ in rows(page) for symbol in symbols}
    assert used == set(MEANINGS)


@pytest.mark.parametrize("what", RETIRED)
def test_a_retired_spelling_does_not_come_back_to_a_page(page, what):
    assert not re.findall(RETIRED[what], page)


def strings(path):
    """Docstrings, labels and other words of a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("what", RETIRED)
def test_a_retired_spelling_does_not_come_back_to_the_kit(what):
    for path in SOURCES:
        for text in strings(path):
            assert text in KEYS or not re.search(RETIRED[what], text), (path.name, text)


def test_a_module_that_calls_the_softmax_p_says_so():
    modules = [path for path in SOURCES if any(re.search(SOFTMAX, s) for s in strings(path))]
    assert {"losses.py", "jacobian.py"} <= {path.name for path in modules}
    for path in modules:
        assert any("p = softmax f" in text for text in strings(path)), path.name
