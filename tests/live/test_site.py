"""The static site: what is in its files. tests/browser/test_site.py reads them in Chromium."""

import ast
import io
import itertools
import json
import re
from html import unescape
from pathlib import Path

import nbformat
import pytest
from nbconvert.filters import markdown2html
from PIL import Image

from kit.live.scene import Scene
from kit.live.session import COMMANDS, LIVE_SETTINGS
from kit.live.site import build as builder
from kit.live.site.build import GENERATOR, NOTEBOOKS, SiteError, build
from kit.live.site.film import guesses_of, page_of, said, stops_of
from kit.live.site.mathml import mathml
from kit.live.site.tours import TOURS

NUMBER, CHOICE = "01_step_too_big", "10_regularisers"
BUILT = (NUMBER, CHOICE)
LIVE = "https://live.example/kit"
FIRST_VIEW = 300_000  # bytes
TAGS = re.compile(r"<[^>]+>")
IN_NOTEBOOK = sorted(path.stem for path in NOTEBOOKS.glob("[0-9]*.ipynb"))


def notebook(name):
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site") / "out"
    build(out, LIVE, [name[:2] for name in BUILT])
    return out


def told(site, name):
    """What comes after the guess."""
    text = (site / name[:2] / "tour.js").read_text(encoding="utf-8")
    return json.loads(text.removeprefix("kitTour(").removesuffix(");\n"))


def html(site, name):
    return (site / f"{name}.html").read_text(encoding="utf-8")


def opening(site, name):
    return re.findall(rf'src="({name[:2]}/[^"]+)"', html(site, name))


@pytest.mark.parametrize("name", BUILT)
def test_a_tour_has_twenty_to_sixty_frames_each_unlike_the_one_before(site, name):
    frames = told(site, name)["frames"]
    assert 20 <= len(frames) <= 60
    for before, after in itertools.pairwise(frames):
        assert before["label"] != after["label"]
    files = [tuple(file for file, _ in frame["pictures"].values()) for frame in frames]
    assert len(set(files)) > 0.8 * len(frames)
    for frame in frames:
        assert not re.search(r"\bnan\b", json.dumps([frame["numbers"], frame["phase"]]).lower())
        for file, alt in frame["pictures"].values():
            assert (site / name[:2] / file).is_file()
            assert re.search(r"[Nn]ow: .*\d", alt)


@pytest.mark.parametrize("name", BUILT)
def test_the_answer_is_that_which_the_live_page_computes(site, name):
    page, tour = page_of(notebook(name)), told(site, name)
    answer, question = page.answer(), page.question
    assert len(tour["guesses"]) == len(guesses_of(question))
    for guess, (text, link, verdict) in zip(guesses_of(question), tour["guesses"], strict=True):
        assert text == said(question, guess)
        assert verdict == question.verdict(guess, answer)
        assert question.parse(link) == pytest.approx(guess)
    assert tour["because"] == question.because


@pytest.mark.parametrize("name", BUILT)
def test_before_the_guess_nothing_is_there_but_what_the_live_page_opens_with(site, name):
    text, tour, page = html(site, name), told(site, name), page_of(notebook(name))
    asked, words = unescape(text), page.words()
    assert page.question.prompt in asked
    assert page.question.because not in asked
    assert "You said" not in asked
    shown = set(opening(site, name))
    later = {f"{name[:2]}/{f}" for frame in tour["frames"] for f, _ in frame["pictures"].values()}
    assert len(shown) == len(tour["frames"][0]["pictures"])
    assert not [file for file in later - shown if file in text]
    dd = re.findall(r"<dt>(.*?)</dt><dd><b>(.*?)</b><span>(.*?)</span></dd>", asked)
    assert [list(row) for row in dd] == words["numbers"]
    alts = re.findall(r'<img class="kit-panel".*? alt="([^"]*)"', text)
    assert [unescape(alt) for alt in alts] == [
        page.alt(key) for key in tour["frames"][0]["pictures"]
    ]
    for frame in tour["frames"]:
        assert not frame["phase"] or frame["phase"] not in asked


@pytest.mark.parametrize("name", BUILT)
def test_its_words_are_those_of_the_notebook(site, name):
    """All that the notebook's own HTML says, but for its anchors, stands on the page."""
    text = re.sub(r'<math[^>]*alttext="(.*?)">.*?</math>', r"\1", html(site, name), flags=re.DOTALL)
    for cell in notebook(name).cells:
        if cell.cell_type != "code":
            assert squeezed(markdown2html(cell.source)) in squeezed(text)


def squeezed(text):
    return re.sub(r"[\s$¶]+", "", unescape(TAGS.sub("", text)))


def test_links_are_relative_and_lead_somewhere(site):
    for file in site.glob("*.html"):
        for link in re.findall(
            r'(?:href|src|data-tour)="([^"]+)"', file.read_text(encoding="utf-8")
        ):
            if link.startswith((LIVE, "data:")):
                continue
            if link.startswith("#"):
                assert f'id="{link[1:]}"' in file.read_text(encoding="utf-8"), link
                continue
            assert not re.match(r"/|\w+:", link), link
            assert (site / link).is_file(), link
    urls = re.findall(r"url\(\W*(\w+):", (site / "site.css").read_text(encoding="utf-8"))
    assert set(urls) <= {"data"}
    assert "http" not in (site / "site.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", BUILT)
def test_the_first_view_is_small(site, name):
    files = [site / f"{name}.html", site / "site.css", site / "site.js"]
    files += [site / file for file in opening(site, name)]
    assert sum(file.stat().st_size for file in files) < FIRST_VIEW


def test_two_builds_give_the_same_bytes_and_without_a_live_page_no_link_is_broken(site, tmp_path):
    """One page in this process, against the same in a process of its own."""
    build(tmp_path / "again", "", ["01"])
    again = {file.name: file.read_bytes() for file in (tmp_path / "again" / "01").iterdir()}
    assert again == {file.name: file.read_bytes() for file in (site / "01").iterdir()}
    text = html(tmp_path / "again", NUMBER)
    assert "make serve" in text
    assert "://" not in text


def test_a_picture_keeps_its_colours(site):
    """It has few of them, and they are those of the live page."""
    page = page_of(notebook(CHOICE))
    key, file = next(iter(told(site, CHOICE)["frames"][0]["pictures"].items()))
    page.handle("skip", None)
    live = Image.open(io.BytesIO(page.image(key, still=True))).convert("RGB")
    kept = Image.open(site / CHOICE[:2] / file[0]).convert("RGB")
    assert kept.size == live.size
    apart = sum(abs(a - b) > 24 for a, b in zip(kept.tobytes(), live.tobytes(), strict=True))
    assert apart < 0.01 * len(live.tobytes())


def test_the_gallery_has_a_card_for_each_page_that_was_built(site):
    text = (site / "index.html").read_text(encoding="utf-8")
    assert GENERATOR in text
    assert re.findall(r'class="kit-card" href="(\w+)\.html"', text) == list(BUILT)
    assert len(re.findall("<img", text)) == len(BUILT)
    assert f'href="{LIVE}/voila/render/00_welcome.ipynb"' in text


# What can be asked for, and what cannot.


def test_every_page_has_a_tour():
    assert sorted(TOURS) == [name for name in IN_NOTEBOOK if name != "00_welcome"]


@pytest.mark.parametrize("name", TOURS)
def test_a_tour_turns_what_its_page_has_and_is_as_long_as_it_may_be(name):
    """Without building it: the scene's class says what can be turned."""
    (cell,) = (c for c in notebook(name).cells if c.cell_type == "code")
    names = {}
    exec(compile(ast.Module(ast.parse(cell.source).body[:-1], []), name, "exec"), names)
    scenes = [v for v in names.values() if isinstance(v, type) and issubclass(v, Scene)]
    controls = {c.name: c for c in scenes[0].controls} if scenes else {}
    known = {*controls, "reset"} if scenes else {*COMMANDS, *LIVE_SETTINGS}
    frames = 1
    for leg in TOURS[name]:
        assert bool(leg.vary) != bool(leg.frames)
        for what, value in leg.do:
            assert what in known
            if what in controls and value is not None:
                controls[what].check(value)
        if leg.vary:
            stops = leg.stops or stops_of(controls[leg.vary])[:: leg.every]
            frames += len([controls[leg.vary].check(stop) for stop in stops])
        else:
            frames += leg.frames
    assert 20 <= frames <= 60


def test_every_formula_of_every_page_is_set():
    for name in IN_NOTEBOOK:
        for cell in notebook(name).cells:
            for block, inline in re.findall(r"\$\$(.+?)\$\$|\$([^$]+)\$", cell.source, re.DOTALL):
                if cell.cell_type == "markdown":
                    assert mathml(block or inline).endswith("</math>")


@pytest.mark.parametrize(
    ("tex", "wanted"),
    [
        (r"x^2_i", "<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>"),
        (r"\tfrac12 x", "<mfrac><mn>1</mn><mn>2</mn></mfrac><mi>x</mi>"),
        ("0.63", "<mn>0.63</mn>"),
        (r"\mathbb{E}", "<mi>𝔼</mi>"),
        (r"\text{a b}", "<mtext>a b</mtext>"),
        (r"a < b", "<mi>a</mi><mo>&lt;</mo><mi>b</mi>"),
        (r"\hat p", "p\u0302</mi>"),
        (r"x \to -y", '<mo form="prefix">−</mo>'),
    ],
)
def test_a_formula(tex, wanted):
    assert wanted in mathml(tex)


@pytest.mark.parametrize(
    "tex", [r"\oint", "{a", "a}", r"\frac1", r"\big x", "x^", r"\hat", r"\hat{a + b}"]
)
def test_a_formula_that_is_not_known_is_refused(tex):
    with pytest.raises(ValueError, match="formula: "):
        mathml(tex)


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(SiteError, match="is not empty, and no site of ours"):
        build(tmp_path / "mine", "", ["01"])
    with pytest.raises(SiteError, match="is a file"):
        build(tmp_path / "mine" / "thesis.txt", "", ["01"])
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_pages_and_addresses_that_there_are_not(tmp_path):
    with pytest.raises(SiteError, match="pages: got 99; takes some of 01, 02"):
        build(tmp_path / "site", "", ["99"])
    with pytest.raises(SiteError, match="begins with https://"):
        build(tmp_path / "site", "live.example", ["01"])
    assert not list(tmp_path.iterdir())


def test_a_site_is_replaced_whole_and_a_failure_loses_nothing(tmp_path, monkeypatch):
    out = tmp_path / "site"
    out.mkdir()  # an empty folder may be taken
    monkeypatch.setattr(builder, "_films", lambda folder, names: {})
    build(out, "", ["01"])
    (out / "stray.txt").write_text("of an older build")
    before = (out / "index.html").read_bytes()

    def fails(folder, names):
        raise RuntimeError("no memory")

    with monkeypatch.context() as broken:
        broken.setattr(builder, "_films", fails)
        with pytest.raises(RuntimeError, match="no memory"):
            build(out, "", ["01"])
    assert (out / "index.html").read_bytes() == before
    assert (out / "stray.txt").is_file()

    rename = Path.rename

    def refuses(path, target):
        """Everything but to put the old folder aside, and back."""
        return rename(path, target) if "before" in f"{path} {target}" else fails(path, target)

    with monkeypatch.context() as broken:
        broken.setattr(Path, "rename", refuses)
        with pytest.raises(RuntimeError, match="no memory"):
            build(out, "", ["01"])
    assert (out / "stray.txt").is_file()

    build(out, "", ["01"])
    assert not (out / "stray.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
