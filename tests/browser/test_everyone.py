"""Every page for everyone: keys alone, words for the pictures, small windows, zoom, both themes,
less motion, and axe. One visit a page."""

import json
import re
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import TimeoutError, expect

from tests.browser.driver import NOTEBOOK, START, LivePage, clean

PAGES = sorted(path.name for path in (Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
GALLERY, *LIVE = PAGES
WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}
ZOOMED = {"width": 640, "height": 450}  # the wide one at 200%
MAIN = ".kit-bar [role=slider]:not([aria-disabled=true]), .kit-bar select"
NAMELESS = """
() => [...document.querySelectorAll('.kit-explorer :is([role=slider], select, button, textarea)')]
  .filter(node => !node.getAttribute('aria-label') && !node.textContent.trim())
  .map(node => node.outerHTML)
"""
# What has the focus: whether it is in the window, with nothing above it, and shows that it has it.
STOP = """
() => {
  const node = document.activeElement;
  if (!node || node === document.body) return null;
  const box = node.getBoundingClientRect();
  const x = (Math.max(box.left, 0) + Math.min(box.right, innerWidth)) / 2;
  const [top, bottom] = [Math.max(box.top, 0), Math.min(box.bottom, innerHeight)];
  const there = [0.2, 0.5].map(share => document.elementFromPoint(x, top + share * (bottom - top)));
  const { outlineStyle, outlineWidth } = getComputedStyle(node);
  const faults = [];
  if (!there.some(above => above && (node.contains(above) || above.contains(node))))
    faults.push(`covered by ${there[1]?.outerHTML.slice(0, 80)}`);
  if (outlineStyle === 'none' || parseFloat(outlineWidth) < 2) faults.push('no ring');
  window.kitStops ??= [];
  const place = window.kitStops.indexOf(node);
  if (place < 0) window.kitStops.push(node);
  return { again: place >= 0, faults, html: node.outerHTML.slice(0, 120) };
}
"""
# Names and buttons that are cut off; controls that lie on each other; a page that scrolls sideways.
MISFITS = """
() => {
  const shown = (selector) =>
    [...document.querySelectorAll(selector)].filter(n => n.checkVisibility());
  const tell = (node) => `${node.className} ${node.textContent}`.slice(0, 80);
  const faults = [];
  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) faults.push(`${page.scrollWidth} wide`);
  const named = '.kit-explorer :is(button, .widget-label, .widget-readout), a.kit-card, h1, h2';
  for (const node of shown(named))
    if (node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).display !== 'inline')
      faults.push(`cut off: ${tell(node)}`);
  for (const node of shown(named)) {
    const { left, right } = node.getBoundingClientRect();
    if (left < -1 || right > page.clientWidth + 1) faults.push(`outside: ${tell(node)}`);
  }
  for (const group of shown('.kit-controls, .kit-tools, .kit-ask')) {
    const parts = [...group.querySelectorAll(
      'button, select, .widget-label, .widget-readout, .noUi-target, .widget-html-content'
    )].filter(n => n.checkVisibility() && n.textContent + n.className);
    const boxes = parts.map(n => n.getBoundingClientRect());
    for (let i = 0; i < parts.length; i++)
      for (let j = 0; j < i; j++)
        if (!parts[i].contains(parts[j]) && !parts[j].contains(parts[i]) &&
            Math.min(boxes[i].right, boxes[j].right) - Math.max(boxes[i].left, boxes[j].left) > 2 &&
            Math.min(boxes[i].bottom, boxes[j].bottom) - Math.max(boxes[i].top, boxes[j].top) > 2)
          faults.push(`overlap: ${tell(parts[j])} / ${tell(parts[i])}`);
  }
  return faults;
}
"""
MOVING = """
() => [...document.querySelectorAll('*')].filter(node => {
  const style = getComputedStyle(node);
  return parseFloat(style.transitionDuration) || style.animationName !== 'none' ||
    style.scrollBehavior === 'smooth';
}).map(node => node.outerHTML.slice(0, 80))
"""
ALTS = "() => [...document.querySelectorAll('img.kit-panel')].map(image => image.alt)"


class Keys:
    """Somebody who has a keyboard and nothing else."""

    def __init__(self, page):
        self.page = page

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def tab_to(self, selector, key="Tab", limit=60):
        """Tab on until there; each stop on the way can be seen."""
        for _ in range(limit):
            self.press(key)
            stop = self.page.evaluate(STOP)
            assert stop is not None, f"the end of the page, and no {selector}"
            assert not stop["faults"], stop
            if self.page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"{selector} was not reached; now at {stop}")

    def walk(self, limit=150):
        """Tab through the whole page and out of it; how many stops there are."""
        self.page.evaluate("() => { kitStops = []; document.querySelector('.kit-skip').focus(); }")
        for count in range(limit):
            stop = self.page.evaluate(STOP)
            if stop is None or stop["again"]:
                return count
            assert not stop["faults"], stop
            self.press("Tab")
        raise AssertionError(f"no end after {limit} stops: {stop}")


def fits(page, size, font=""):
    page.set_viewport_size(size)
    page.evaluate("size => { document.documentElement.style.fontSize = size; }", font)
    page.wait_for_timeout(60)  # styles follow what the page measures of itself
    assert page.evaluate(MISFITS) == [], (size, font)


def guess(page, keys, live):
    """A choice or a place of the slider, and the button."""
    keys.tab_to(".kit-c-guess :is(input, [role=slider])")
    if live.root.locator(".kit-c-guess input[type=radio]").count():
        keys.press("Space", "ArrowDown")
    else:
        keys.press("ArrowRight", "ArrowRight")
    expect(live.root.locator("button.kit-c-commit")).to_be_enabled()
    keys.tab_to(".kit-c-commit")
    keys.press("Enter")
    verdict = live.root.locator(".kit-verdict")
    expect(verdict).to_contain_text("You said")
    expect(verdict).to_be_focused()


def pause(page, keys, live):
    """Whatever runs, or is about to, stops at a press of the button that has the focus."""
    on = "document.querySelector('button.kit-c-run.kit-on') !== null"
    with suppress(TimeoutError):
        for _ in range(4):  # it may have ended by itself, and the press begun another run
            page.wait_for_function(on, timeout=1000)
            keys.press("Enter")
            with suppress(TimeoutError):
                page.wait_for_function(f"!({on})", timeout=2000)
    live.expect_rest()


def run_and_turn(page, keys, live):
    """Run, pause, turn what the page is about: numbers and descriptions follow."""
    numbers, run = live.root.locator(".kit-numbers"), live.root.locator("button.kit-c-run")
    if run.count():
        keys.tab_to("button.kit-c-run")
        if "kit-on" not in run.get_attribute("class"):
            before = numbers.inner_text() + live.status()
            keys.press("Enter")
            page.wait_for_function(
                "before => document.querySelector('.kit-numbers').innerText + "
                "document.querySelector('.kit-live-status').textContent !== before",
                arg=before,
            )
        pause(page, keys, live)
    before, alts = numbers.inner_text(), page.evaluate(ALTS)
    keys.tab_to(MAIN)
    at_the_end = "document.activeElement.ariaValueNow === document.activeElement.ariaValueMax"
    if page.evaluate("document.activeElement.matches('select')"):
        keys.press("ArrowDown", "ArrowDown")
    else:
        keys.press(*["ArrowLeft" if page.evaluate(at_the_end) else "ArrowRight"] * 2)
    expect(numbers).not_to_have_text(re.compile(f"^{re.escape(before)}$"))
    page.wait_for_function(f"before => ({ALTS})().join() !== before.join()", arg=alts)
    for alt in page.evaluate(ALTS):
        assert re.search(r"[Nn]ow: .*\d", alt)


def read_and_take_home(page, keys, live):
    words = live.root.locator(".kit-words p")
    keys.tab_to(".kit-words summary")
    keys.press("Enter")
    expect(words).to_be_visible()
    assert len(words.inner_text()) > 100
    if live.control("keep").count():
        keys.tab_to(".kit-c-keep")
        keys.press("Enter")
        expect(live.root.locator(".kit-kept")).to_be_visible()
    keys.tab_to(".kit-c-download")
    with page.expect_download() as download:
        keys.press("Enter")
    saved = json.loads(zipfile.ZipFile(download.value.path()).read("run.json"))
    assert saved["prediction"]["verdict"]
    if live.control("lecture").count():
        lecture(page, keys, live)
    keys.tab_to(".kit-c-share", key="Shift+Tab")
    keys.press("Enter")
    expect(live.root.locator(".kit-link input")).to_have_value(re.compile(r"\.ipynb"))
    expect(live.root.locator(".kit-said")).to_have_text(re.compile("link"))


def lecture(page, keys, live):
    keys.tab_to(".kit-c-lecture")
    keys.press("Enter")
    beat = live.root.locator(".kit-beat")
    expect(beat).to_contain_text("Beat 1 of")
    keys.press("ArrowRight")
    expect(beat).to_contain_text("Beat 2 of")
    expect(live.root.locator(".kit-said")).to_have_text(re.compile("^Beat 2 of"))
    fits(page, WIDE)
    keys.press("Enter")
    expect(beat).to_be_hidden()


def rest(page, live):
    """Stop what a lecture has set going."""
    if live.root.locator("button.kit-c-run.kit-on").count():
        live.press("run")
    live.expect_rest()


def drawer(page, keys, live):
    """On a phone: the drawer opens by key, and neither picture nor verdict is below it."""
    more = page.get_by_role("button", name="More controls")
    if not more.is_visible() or not live.root.locator(".kit-drawer").count():
        return
    more.press("Enter")
    expect(live.root.locator(".kit-drawer")).to_be_visible()
    live.root.locator(".kit-verdict").evaluate("node => node.scrollIntoView()")
    boxes = [
        live.root.locator(part).bounding_box()
        for part in (".kit-view", ".kit-verdict p", ".kit-controls")
    ]
    picture, verdict, controls = boxes
    assert picture["y"] + picture["height"] <= controls["y"]
    assert verdict["y"] >= picture["y"] + picture["height"] - 1
    assert verdict["y"] + min(verdict["height"], 60) <= controls["y"]


@pytest.mark.parametrize("notebook", LIVE)
def test_a_page_is_for_everyone(visit, voila_server, notebook):
    seen = visit(voila_server.url(notebook), viewport=WIDE, reduced_motion="reduce")
    page, live = seen.page, LivePage(seen.page, skip=False)
    expect(page.locator("html")).to_have_attribute("data-kernel", "ready", timeout=START)
    expect(live.root.locator("button.kit-c-commit")).to_be_visible()
    keys, name = Keys(page), notebook.split("_")[0]
    clean(page, "light")
    fits(page, WIDE)
    live.screenshot(f"{name}-wide-asking")
    fits(page, PHONE)
    clean(page, "dark")
    live.screenshot(f"{name}-phone-asking")
    page.set_viewport_size(WIDE)

    guess(page, keys, live)
    run_and_turn(page, keys, live)
    read_and_take_home(page, keys, live)
    keys.tab_to("textarea")
    keys.press("a", "Tab")
    assert page.evaluate("!document.activeElement.matches('textarea')")
    rest(page, live)

    assert page.evaluate(NAMELESS) == []
    assert page.evaluate(MOVING) == []
    fits(page, WIDE, font="200%")
    fits(page, WIDE)
    clean(page, "dark", "light")
    live.screenshot(f"{name}-wide")
    fits(page, ZOOMED)
    assert keys.walk() > 10
    fits(page, PHONE)
    drawer(page, keys, live)
    fits(page, PHONE)
    assert keys.walk() > 10
    clean(page, "dark", "light")
    live.screenshot(f"{name}-phone")
    seen.check()


def test_the_gallery_is_for_everyone(visit, voila_server):
    seen = visit(voila_server.url(GALLERY), viewport=WIDE, reduced_motion="reduce")
    page, keys = seen.page, Keys(seen.page)
    cards = page.locator("a.kit-card")
    expect(cards).to_have_count(len(LIVE))
    expect(page.locator("html")).to_have_attribute("data-kernel", "ready", timeout=START)
    for picture in cards.locator("img").all():
        assert picture.evaluate("image => image.complete && image.naturalWidth") == 720
    for size in (WIDE, ZOOMED, PHONE):
        fits(page, size)
        if size != ZOOMED:
            clean(page, "light", "dark")
        assert keys.walk() > 10
    fits(page, WIDE, font="200%")
    assert page.evaluate(MOVING) == []
    seen.check()
    page.evaluate("document.querySelector('.kit-skip').focus()")
    keys.tab_to("a.kit-card")
    keys.press("Enter")
    page.wait_for_url(f"**/{LIVE[0]}*")


def test_while_it_runs_words_follow_and_nothing_chatters(visit, voila_server):
    seen = visit(voila_server.url(NOTEBOOK))
    page, live = seen.page, LivePage(seen.page)
    live.expect_status("Ready. Press Run.")
    page.evaluate(
        """() => {
          window.kitSaid = [];
          for (const node of document.querySelectorAll('[role=status], [aria-live]'))
            new MutationObserver(() => kitSaid.push(node.textContent))
              .observe(node, { childList: true, characterData: true, subtree: true });
        }"""
    )
    live.press("run")
    live.expect_status("Running.")
    alts, words = page.evaluate(ALTS), live.root.locator(".kit-words p").text_content()
    page.wait_for_function(f"before => ({ALTS})().join() !== before.join()", arg=alts)
    page.wait_for_function(
        "before => document.querySelector('.kit-words p').textContent !== before", arg=words
    )
    assert live.status() == "Running."
    live.press("run")
    live.expect_status("Paused.")
    assert page.evaluate("kitSaid") == ["Running.", "Paused."]
    seen.check()


def test_an_error_page_is_for_everyone(visit, voila_server):
    seen = visit(voila_server.url("nowhere.ipynb"), viewport=PHONE)
    fits(seen.page, PHONE)
    clean(seen.page, "light", "dark")
