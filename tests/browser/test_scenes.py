"""Every page that asks first, in Voila: guess, reveal, turn, download, axe, on a wide screen and a
phone."""

import json
import re
import zipfile
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from kit.live.glossary import GLOSSARY
from tests.browser.driver import NOTEBOOK, SCREENSHOTS, START, LivePage

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SCENES = sorted(
    path.name
    for path in NOTEBOOKS.glob("*.ipynb")
    if "ScenePage" in path.read_text(encoding="utf-8")
)
# All at once: buttons of words to explain come and go with the numbers.
NAMELESS = """
() => [...document.querySelectorAll('.kit-explorer :is([role=slider], select, button, textarea)')]
  .filter(node => !node.getAttribute('aria-label') && !node.textContent.trim())
  .map(node => node.outerHTML)
"""
SCREENS = {"wide": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}


def violations(page):
    found = Axe().run(page).response["violations"]
    return [(rule["id"], [node["html"][:160] for node in rule["nodes"]][:3]) for rule in found]


def test_there_are_scenes():
    assert SCENES
    assert NOTEBOOK not in SCENES


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("notebook", SCENES)
def test_a_reader_guesses_turns_and_takes_it_home(visit, voila_server, notebook, screen):
    seen = visit(voila_server.url(notebook), viewport=SCREENS[screen], has_touch=screen == "phone")
    page, live = seen.page, LivePage(seen.page, skip=False)
    name = f"{notebook.split('_')[0]}-{screen}"
    expect(live.root.locator("button.kit-c-commit")).to_be_visible(timeout=START)
    assert page.evaluate("document.documentElement.scrollWidth") <= SCREENS[screen]["width"]
    assert violations(page) == []
    live.screenshot(f"{name}-asking")

    radio = live.root.locator(".kit-c-guess input[type=radio]")
    if radio.count():
        radio.first.focus()
        page.keyboard.press("Space")
    else:
        live.keys("guess", "ArrowRight", "ArrowRight")
    before = live.root.locator("img.kit-panel").first.get_attribute("src")
    live.press("commit")
    expect(live.root.locator(".kit-verdict")).to_contain_text("You said")
    expect(live.root.locator("button.kit-c-commit")).to_be_hidden()
    expect(live.root.locator("img.kit-panel").first).not_to_have_attribute("src", before)

    turn = live.root.locator(".kit-bar").locator("[role=slider]:not([aria-disabled=true]), select")
    expect(turn.first).to_be_visible()
    live.expect_rest()
    numbers = live.root.locator(".kit-numbers")
    words = numbers.inner_text()
    turn.first.focus()
    by = "ArrowDown" if turn.first.evaluate("node => node.matches('select')") else "ArrowRight"
    page.keyboard.press(by)
    page.keyboard.press(by)
    expect(numbers).not_to_have_text(re.compile(re.escape(words)))
    for picture in live.root.locator("img.kit-panel").all():
        assert re.search(r"[Nn]ow: .*\d", picture.get_attribute("alt"))
    assert page.evaluate(NAMELESS) == []
    with page.expect_download() as download:
        live.press("download")
    run = json.loads(zipfile.ZipFile(download.value.path()).read("run.json"))
    assert run["prediction"]["verdict"]
    assert violations(page) == []
    live.screenshot(name)
    seen.check()


def test_at_rest_a_page_shows_what_it_came_to_also_the_second_time(visit, voila_server):
    seen = visit(voila_server.url("01_step_too_big.ipynb"))
    live = LivePage(seen.page)
    for _ in range(2):
        live.press("run")
        live.expect_value("step t", re.compile(r"^[1-5]?\d$"))
        live.expect_status("60 steps.")
        live.expect_value("step t", "60")
        for canvas in live.root.locator("canvas.kit-moving").all():
            expect(canvas).to_be_hidden()
    seen.check()


@pytest.mark.parametrize("notebook", [NOTEBOOK, "07_worth_anything.ipynb"])
def test_words_are_explained_on_focus_and_on_hover(visit, voila_server, notebook):
    seen = visit(voila_server.url(notebook), viewport=SCREENS["phone"])
    page, live = seen.page, LivePage(seen.page)
    expect(page.locator(".kit-prose .kit-term").first).to_be_attached(timeout=START)
    says = {entry["says"] for entry in GLOSSARY.values()}
    terms, bubble = page.locator(".kit-prose .kit-term"), page.locator(".kit-bubble")
    for term in terms.all():
        term.focus()
        expect(bubble).to_be_visible()
        assert bubble.inner_text() in says
        description = page.locator("#" + term.get_attribute("aria-describedby"))
        assert description.text_content() == bubble.inner_text()
        box = bubble.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= SCREENS["phone"]["width"]
    page.keyboard.press("Escape")
    expect(bubble).to_be_hidden()
    live.root.locator(".kit-numbers .kit-term").first.hover()
    expect(bubble).to_be_visible()
    assert violations(page) == []
    seen.check()


@pytest.mark.parametrize("screen", SCREENS)
def test_the_gallery_leads_to_every_page(visit, voila_server, screen):
    seen = visit(voila_server.url("00_welcome.ipynb"), viewport=SCREENS[screen])
    page = seen.page
    cards = page.locator("a.kit-card")
    expect(cards).to_have_count(len(SCENES) + 1)
    for picture in cards.locator("img").all():
        assert picture.evaluate("image => image.complete && image.naturalWidth") == 720
    assert page.evaluate("document.documentElement.scrollWidth") <= SCREENS[screen]["width"]
    assert violations(page) == []
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"00-{screen}.png", full_page=True)
    seen.check()
    cards.first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/01_step_too_big.ipynb*")
