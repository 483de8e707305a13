"""Every page in a real Chromium: how soon it shows, moves and answers, and what its kernel holds.

The bars are judged on the worst page. Page 0 is cards without a run: of it only that they show.
"""

import statistics
import time
from functools import cache

import psutil
from playwright.sync_api import TimeoutError as Late

from tests.bench.browser import seconds_to_picture, served, wait_until_idle
from tests.bench.chromium import chromium
from tests.bench.figure import Figure
from tests.browser.driver import LivePage
from tests.browser.servers import ROOT

PAGES = {str(int(p.name[:2])): p.name for p in sorted((ROOT / "notebooks").glob("*.ipynb"))}
WELCOME, *LIVE = PAGES
LOADS, PRESSES = 5, 30
RUN = 10_000  # milliseconds that a run goes on for before its memory is read
REST = 120_000  # milliseconds for what was begun to end by itself
LATEST = 2_000  # milliseconds, after which a press has changed no number
# One slider a page, each press of which changes a number, and trains nothing.
SLIDERS = {"1": "lr", "2": "lr", "3": "drift", "5": "scale", "6": "n", "7": "sigma", "8": "alpha"}
SLIDERS |= {"9": "lr", "10": "weight_decay", "11": "damping", "12": "vary"}
# The only one of its page makes another network, and measures it: printed, not judged.
REMAKES = {"4": "width"}
# What has to be chosen before that slider says anything: a control and its option.
CHOSEN = {"4": ("case", "first layer only"), "7": ("bound", "PAC-Bayes")}

# Times key presses, moving frames and changes of any number, on the page's own clock.
CLOCK = """
() => {
  Object.assign(window, { kitKeys: [], kitFrames: [], kitNumbers: [], kitCounted: 0, kitMoved: 0 });
  const watch = (part, what, note) =>
    new MutationObserver(() => note(performance.now()))
      .observe(document.querySelector(part), { subtree: true, ...what });
  const text = { childList: true, characterData: true };
  const frames = { attributes: true, attributeFilter: ['data-frame'] };
  const pictures = { attributes: true, attributeFilter: ['data-frame', 'src'] };
  watch('.kit-stage', frames, now => kitFrames.push(now));
  watch('.kit-numbers', text, now => kitNumbers.push(window.kitCounted = now));
  watch('.kit-stage', { ...text, ...pictures }, now => { window.kitMoved = now; });
  addEventListener('keydown', () => kitKeys.push(performance.now()), true);
}
"""
FORGET = "() => { kitKeys.length = kitFrames.length = kitNumbers.length = kitMoved = 0; }"
COUNTED = "() => performance.now() - kitCounted > 300"
# Pictures of one frame come within a few milliseconds.
RATE = """
() => {
  const frames = kitFrames.filter((at, i) => i === 0 || at - kitFrames[i - 1] > 8);
  return 1000 * (frames.length - 1) / (frames.at(-1) - frames[0]) || 0;
}
"""
# Something has come, and then nothing more.
AT_REST = """
() => kitMoved > 0 && performance.now() - kitMoved > 1500
  && document.querySelector('.kit-c-run').innerText !== 'Pause'
"""
CARDS = """
count => {
  const images = [...document.querySelectorAll('a.kit-card img')];
  return images.length === count && images.every(image => image.complete && image.naturalWidth);
}
"""


def seconds_to_cards(browser, server):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    start = time.perf_counter()
    page.goto(server.url(PAGES[WELCOME]), wait_until="commit")
    page.wait_for_function(CARDS, arg=len(LIVE), timeout=90_000)
    seen = time.perf_counter() - start
    page.locator("html[data-kernel=ready]").wait_for(timeout=90_000)
    return seen, page


def load(browser, server, page):
    """Seconds until its pictures are seen, and the page."""
    if page == WELCOME:
        return seconds_to_cards(browser, server)
    seen, _, opened = seconds_to_picture(browser, server, PAGES[page])
    return seen, opened


@cache
def picture(page, preheat=False):
    """Median seconds until its pictures are seen; preheated, no other page's kernel is."""
    times = []
    with served(*(preheating(page) if preheat else ())) as server, chromium() as browser:
        for _ in range(LOADS):
            if preheat:
                wait_until_idle(server)
            seen, opened = load(browser, server, page)
            times.append(seen)
            opened.close()
    return statistics.median(times)


def preheating(page):
    """Flags for one kernel, of this page, that waits."""
    flags = ["--VoilaConfiguration.preheat_kernel=True", "--VoilaConfiguration.default_pool_size=1"]
    others = (name for name in PAGES.values() if name != PAGES[page])
    return [*flags, *(f"--VoilaKernelManager.preheat_denylist={name}" for name in others)]


@cache
def visited(page):
    """One visit: the question skipped, Run, ten seconds, the slider; then its kernel, at rest.

    first frame, p95: seconds; rate: frames a second; private, shared: MB.
    """
    with served() as server, chromium() as browser:
        _, opened = load(browser, server, page)
        (kernel,) = server.kernels()
        live = LivePage(opened, skip=False)
        opened.evaluate(CLOCK)
        live.press("skip")
        rest(live)
        first, rate = run_for_a_while(live)
        took = presses(live, page)
        opened.wait_for_function(AT_REST, timeout=REST)
        memory = psutil.Process(kernel.pid).memory_full_info()
    return {
        "first frame": first / 1000,
        "rate": rate,
        "p95": sorted(took)[int(0.95 * PRESSES)] / 1000,
        "private": memory.uss / 2**20,
        "shared": (memory.rss - memory.uss) / 2**20,
    }


def rest(live):
    """Wait until what was just begun has come, and nothing moves."""
    live.page.wait_for_function(AT_REST, timeout=REST)


def run_for_a_while(live):
    """Milliseconds from Run to the first moving frame, and frames a second from there on.

    A run that does not end is paused.
    """
    live.page.evaluate(FORGET)
    live.press("run")
    live.page.wait_for_function("() => kitFrames.length > 0")
    first = live.page.evaluate("() => kitFrames[0] - kitKeys[0]")
    live.page.wait_for_timeout(RUN)
    rate = live.page.evaluate(RATE)
    if live.control("run").inner_text() == "Pause":
        live.press("run")
    rest(live)
    return first, rate


def presses(live, page):
    """Milliseconds from a press of an arrow to the first new number, to and fro over the slider."""
    choose(live, page)
    name, keys, took = (SLIDERS | REMAKES)[page], ["ArrowRight", "ArrowLeft"], []
    live.handle(name).focus()
    while len(took) < PRESSES:
        live.page.wait_for_function(COUNTED)
        before = live.readout(name)
        live.page.evaluate(FORGET)
        live.page.keyboard.press(keys[0])
        if live.readout(name) == before:  # at an end
            keys.reverse()
        else:
            took.append(answer(live, page, name))
    return took


def choose(live, page):
    """What the page's slider needs, if anything."""
    if page in CHOSEN:
        control, option = CHOSEN[page]
        live.page.evaluate(FORGET)
        live.control(control).locator("select").select_option(label=option)
        rest(live)


def answer(live, page, name):
    """Milliseconds from the key press to the first new number."""
    latest = REST if page in REMAKES else LATEST
    try:
        live.page.wait_for_function("() => kitNumbers.length > 0", timeout=latest)
    except Late:
        what = f"page {page}, slider {name}: no number changed at {live.readout(name)}"
        raise RuntimeError(f"{what} within {latest} ms; take another slider") from None
    return live.page.evaluate("() => kitNumbers[0] - kitKeys[0]")


def slowest(measure, pages, unit, form, scale=1):
    """The worst page's value, and the line with all."""
    values = {page: measure(page) for page in pages}
    text = ", ".join(f"{page}: {form.format(scale * value)}" for page, value in values.items())
    return max(values.values()), f"{unit}, by page: {text}"


def cold():
    return slowest(picture, PAGES, "s", "{:.1f}")


def preheated():
    return slowest(lambda page: picture(page, preheat=True), PAGES, "s", "{:.2f}")


def first_frame():
    return slowest(lambda page: visited(page)["first frame"], LIVE, "s", "{:.2f}")


def moving():
    """Frames a second on the slowest page of those whose run is not over at once."""
    pages = [page for page in LIVE if visited(page)["rate"] > 0]
    _, text = slowest(lambda page: visited(page)["rate"], pages, "a second", "{:.0f}")
    return min(visited(page)["rate"] for page in pages), text


def answers():
    value, text = slowest(lambda page: visited(page)["p95"], SLIDERS, "ms", "{:.0f}", 1000)
    made = ", ".join(f"{page}: {1000 * visited(page)['p95']:.0f}" for page in REMAKES)
    return value, f"{text}; another network, not judged: {made}"


def memory():
    """In use by the worst page's kernel: its own and what it shares."""
    held = {page: [visited(page)[kind] for kind in ("private", "shared")] for page in LIVE}
    text = ", ".join(f"{page}: {own:.0f} + {shared:.0f}" for page, (own, shared) in held.items())
    return max(map(sum, held.values())), f"MB private + shared, by page: {text}"


FIGURES = (
    Figure("picture visible on each page, cold", cold, lambda v: v <= 6),
    Figure("picture visible on each page, preheated kernel", preheated, lambda v: v <= 1.5),
    Figure("first moving frame after Run, each page that has one", first_frame, lambda v: v <= 0.5),
    Figure("moving frames, each page that has some", moving, lambda v: v >= 2),
    Figure("a slider of each page to its numbers, p95", answers, lambda v: v <= 0.15),
    Figure("memory of each page's kernel after a visit", memory, lambda v: v < 400),
)
