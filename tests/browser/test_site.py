"""The static site in Chromium, without a kernel: guess, verdict, slider, on both screens."""

import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import expect

from kit.live.site.build import build
from tests.browser.driver import SCREENSHOTS, clean

NUMBER, RUN, CHOICE = "01_step_too_big", "03_why_two_over_eta", "10_regularisers"
SCREENS = {"wide": {"width": 1280, "height": 900}, "phone": {"width": 360, "height": 740}}
PREFIX = "some/where"  # a site may lie below any path
FIRST_VIEW = 300_000  # bytes


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("host")
    build(root / PREFIX, "http://127.0.0.1:9/kit", [name[:2] for name in (NUMBER, RUN, CHOICE)])
    return root


@pytest.fixture(scope="module")
def address(folder):
    handler = partial(Quiet, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{PREFIX}"
        server.shutdown()
        thread.join()


class Reader:
    """Somebody with a keyboard, on one page."""

    def __init__(self, page):
        self.page = page
        self.root = page.locator(".kit-explorer")
        self.verdict = self.root.locator(".kit-verdict")
        self.scrub = self.root.locator(".kit-scrub")
        self.image = self.root.locator("img.kit-panel").first
        self.label = self.root.locator(".kit-live-status")

    def press(self, name):
        self.root.locator(f".kit-c-{name}").focus()
        self.page.keyboard.press("Enter")

    def keys(self, node, *keys):
        node.focus()
        for key in keys:
            self.page.keyboard.press(key)

    def fits(self):
        """Nothing is wider than the screen, or than half of it: at 200%."""
        return self._fits(1) and (self.page.viewport_size["width"] < 700 or self._fits(2))

    def _fits(self, zoom):
        size = self.page.viewport_size
        self.page.set_viewport_size({name: side // zoom for name, side in size.items()})
        width = self.page.evaluate("document.documentElement.scrollWidth")
        fits = width <= self.page.viewport_size["width"]
        self.page.set_viewport_size(size)
        return fits

    def screenshot(self, name):
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"site-{name}.png", full_page=True)


@pytest.mark.parametrize("screen", SCREENS)
def test_a_reader_guesses_a_number_and_turns_what_the_tour_turned(visit, address, screen):
    seen = visit(f"{address}/{NUMBER}.html", viewport=SCREENS[screen])
    reader = Reader(seen.page)
    guess = reader.root.locator("input[name=guess]")
    expect(reader.root.locator(".kit-controls")).to_be_hidden()
    expect(reader.root.locator(".kit-c-commit")).to_be_disabled()
    before = reader.image.get_attribute("src")
    assert reader.fits()
    clean(seen.page, "dark", "light")
    reader.screenshot(f"01-{screen}-asking")

    reader.keys(guess, *["ArrowRight"] * 40)
    expect(guess).to_have_attribute("aria-valuetext", "1.6")
    reader.press("commit")
    expect(reader.verdict).to_contain_text(re.compile("You said 1.6, and it is 1.6.*ηλ is below 2"))
    expect(reader.verdict).to_be_focused()
    expect(guess).to_be_hidden()
    expect(reader.image).not_to_have_attribute("src", before)

    expect(reader.scrub).to_have_attribute("aria-valuetext", "the answer")
    reader.keys(reader.scrub, "ArrowRight")
    expect(reader.scrub).to_have_attribute("aria-valuetext", "learning rate η = 0.05")
    expect(reader.label).to_have_text("learning rate η = 0.05")
    first = reader.image.get_attribute("src"), reader.image.get_attribute("alt")
    phase = reader.root.locator(".kit-phase").inner_text()
    reader.keys(reader.scrub, *["ArrowRight"] * 20)
    expect(reader.image).not_to_have_attribute("src", first[0])
    expect(reader.image).not_to_have_attribute("alt", first[1])
    expect(reader.root.locator(".kit-phase")).not_to_have_text(phase)
    seen.page.wait_for_function(
        "() => document.querySelector('img.kit-panel').naturalWidth === 720"
    )
    reader.keys(reader.scrub, "End")
    expect(reader.label).to_have_text(re.compile("heavy ball.*β = 0.9$"))
    expect(reader.root.locator(".kit-part select")).to_have_value(re.compile(r"\d\d"))
    live = reader.root.locator(".kit-turn a").get_attribute("href")
    assert live.startswith(f"http://127.0.0.1:9/kit/voila/render/{NUMBER}.ipynb?")
    assert live.endswith("lr=2&method=heavy-ball&beta=0.9&guess=1.6")
    assert reader.fits()
    clean(seen.page, "dark", "light")
    reader.screenshot(f"01-{screen}")
    seen.check()


@pytest.mark.parametrize("screen", SCREENS)
def test_a_reader_chooses_by_keyboard(visit, address, screen):
    seen = visit(f"{address}/{CHOICE}.html", viewport=SCREENS[screen])
    reader = Reader(seen.page)
    radio = reader.root.locator("input[type=radio]")
    clean(seen.page, "dark", "light")
    reader.screenshot(f"10-{screen}-asking")
    reader.keys(radio.first, "Space", "ArrowDown")
    expect(radio.nth(1)).to_be_checked()
    reader.press("commit")
    expect(reader.verdict).to_contain_text('You said "it falls". It is "it rises".')
    expect(reader.root.locator(".kit-numbers")).to_contain_text("rises")
    reader.keys(reader.scrub, "ArrowRight", "ArrowRight")
    expect(reader.label).to_contain_text("weight decay μ = 0.0001")
    assert reader.fits()
    clean(seen.page, "dark", "light")
    reader.screenshot(f"10-{screen}")
    seen.check()


def test_a_run_plays_by_itself_pauses_and_stops_at_its_end(visit, address):
    seen = visit(f"{address}/{RUN}.html")
    reader = Reader(seen.page)
    play = reader.root.locator(".kit-c-run")
    skip = reader.root.locator(".kit-c-skip")
    skip.evaluate("button => (button.click(), button.click())")  # twice, before anything has come
    expect(reader.verdict).not_to_contain_text("You said")
    assert seen.page.locator("script[src$='tour.js']").count() == 1
    expect(play).to_have_text("Pause")
    begun = reader.label.inner_text()
    expect(reader.label).not_to_have_text(begun)
    play.press("Enter")
    expect(play).to_have_text("Run")
    stopped = reader.scrub.input_value()
    seen.page.wait_for_timeout(600)
    assert reader.scrub.input_value() == stopped
    play.press("Enter")
    expect(play).to_have_text("Run", timeout=20_000)  # the end of the first stretch
    first_part = reader.root.locator(".kit-part option").nth(1).get_attribute("value")
    assert int(reader.scrub.input_value()) == int(first_part) - 1
    seen.check()


def test_on_binder_the_whole_state_is_in_one_parameter(visit, address):
    seen = visit(f"{address}/{NUMBER}.html")
    reader = Reader(seen.page)
    binder = f"https://mybinder.org/v2/gh/a/b/HEAD?urlpath=voila/render/notebooks/{NUMBER}.ipynb"
    reader.root.evaluate("(node, live) => { node.dataset.live = live; }", binder)
    reader.press("skip")
    expect(reader.verdict).to_be_focused()
    reader.keys(reader.scrub, "ArrowRight")
    link = reader.root.locator(".kit-turn a").get_attribute("href")
    assert link == f"{binder}%3Flr%3D0.05%26guess%3Dskip"
    seen.check()


def test_nothing_moves_by_itself_for_who_wants_less_motion(visit, address):
    seen = visit(f"{address}/{RUN}.html", reduced_motion="reduce")
    reader = Reader(seen.page)
    reader.press("skip")
    expect(reader.verdict).to_be_focused()
    seen.page.wait_for_timeout(600)
    assert reader.scrub.input_value() == "0"
    expect(reader.root.locator(".kit-c-run")).to_have_text("Run")
    reader.keys(reader.scrub, "ArrowRight")
    assert reader.scrub.input_value() == "1"
    seen.check()


def test_the_first_view_is_small_and_the_answer_is_not_in_it(visit, address):
    asked = []

    def watch(page):
        page.on("response", lambda response: asked.append(response))

    seen = visit(f"{address}/{NUMBER}.html", before=watch, wait_until="networkidle")
    assert sum(len(response.body()) for response in asked) < FIRST_VIEW
    assert not [response.url for response in asked if "tour.js" in response.url]
    Reader(seen.page).press("skip")
    expect(Reader(seen.page).verdict).to_be_focused()
    seen.check()


def test_it_works_from_a_file(visit, folder):
    seen = visit((folder / PREFIX / f"{CHOICE}.html").as_uri())
    reader = Reader(seen.page)
    reader.press("skip")
    expect(reader.verdict).to_be_focused()
    reader.keys(reader.scrub, "ArrowRight")
    seen.page.wait_for_function(
        "() => document.querySelector('img.kit-panel').naturalWidth === 720"
    )
    assert seen.errors == []
    assert seen.hosts == set()


def test_without_javascript_prose_question_and_pictures_are_there(visit, address):
    seen = visit(f"{address}/{NUMBER}.html", java_script_enabled=False)
    page = seen.page
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator("math").first).to_be_visible()
    expect(page.locator("img.kit-panel").first).to_be_visible()
    assert "this page needs JavaScript" in page.content()


@pytest.mark.parametrize("screen", SCREENS)
def test_the_gallery_leads_to_the_pages_and_back(visit, address, screen):
    seen = visit(f"{address}/index.html", viewport=SCREENS[screen])
    page = seen.page
    expect(page.locator("a.kit-card")).to_have_count(3)
    clean(page, "dark", "light")
    assert Reader(page).fits()
    Reader(page).screenshot(f"00-{screen}")
    page.locator("a.kit-card").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{NUMBER}.html")
    assert page.title() == "When is a step too big?"
    page.get_by_role("link", name="All pages").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/index.html")
    seen.check()


def test_words_are_explained(visit, address):
    seen = visit(f"{address}/{CHOICE}.html")
    term = seen.page.locator(".kit-prose .kit-term").first
    term.focus()
    expect(seen.page.locator(".kit-bubble")).to_be_visible()
    assert seen.page.locator("math .kit-term").count() == 0
    seen.check()
