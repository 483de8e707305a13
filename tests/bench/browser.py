"""The page in a real Chromium, kernel and browser on the same cores; and what setting up costs."""

import shutil
import statistics
import subprocess
import tempfile
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psutil

from tests.bench.chromium import chromium
from tests.bench.figure import Figure
from tests.browser.driver import NOTEBOOK, LivePage
from tests.browser.servers import ROOT, running

# Times key presses, frames and changes of the threshold, on the page's own clock.
CLOCK = """
() => {
  const canvas = document.querySelector('.kit-picture[data-key=sharpness] canvas');
  const cell = [...document.querySelectorAll('.kit-numbers div')]
    .find(row => row.firstChild.textContent === 'threshold').querySelector('b');
  window.kitFrames = [];
  window.kitChanges = [];
  window.kitKeys = [];
  new MutationObserver(() => kitFrames.push(performance.now()))
    .observe(canvas, { attributes: true, attributeFilter: ['data-frame'] });
  new MutationObserver(() => kitChanges.push(performance.now()))
    .observe(cell, { characterData: true, childList: true, subtree: true });
  addEventListener('keydown', () => kitKeys.push(performance.now()), true);
}
"""
PRESSES = 40


@contextmanager
def served(*flags):
    home = Path(tempfile.mkdtemp())
    try:
        with running("serve", home, *flags) as server:
            yield server
    finally:
        shutil.rmtree(home, ignore_errors=True)


def seconds_to_picture(browser, server, notebook=NOTEBOOK):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    start = time.perf_counter()
    page.goto(server.url(notebook), wait_until="commit")
    page.locator("img.kit-panel[src]").first.wait_for(timeout=90_000)
    seen = time.perf_counter() - start
    page.locator("html[data-kernel=ready]").wait_for(timeout=90_000)
    return seen, time.perf_counter() - start, page


@cache
def live():
    """One visit: everything that is measured while a page trains."""
    with served() as server, chromium() as browser:
        colds, readies = [], []
        for _ in range(5):
            cold, ready, page = seconds_to_picture(browser, server)
            colds.append(cold)
            readies.append(ready)
            page.close()
        before = {kernel.pid for kernel in server.kernels()}
        *_, page = seconds_to_picture(browser, server)
        live = LivePage(page)
        kernel = next(k for k in server.kernels() if k.pid not in before)
        live.cell("threshold").first.wait_for()
        page.evaluate(CLOCK)
        live.press("run")
        live.wait_for_step(live.step() + 40)
        first = page.evaluate("() => kitFrames.find(t => t > kitKeys[0]) - kitKeys[0]")

        page.evaluate("() => { kitFrames.length = 0; kitChanges.length = 0; }")
        latencies = []
        live.handle("lr").focus()
        for press in range(PRESSES):
            key = "ArrowLeft" if press % 4 < 2 else "ArrowRight"
            page.evaluate("() => { kitKeys.length = 0; kitChanges.length = 0; }")
            page.keyboard.press(key)
            page.wait_for_function("() => kitChanges.length > 0", timeout=10_000)
            latencies.append(page.evaluate("() => kitChanges[0] - kitKeys[0]"))

        steps, start = live.step(), time.perf_counter()
        page.evaluate("() => { kitFrames.length = 0; }")
        page.wait_for_timeout(8000)
        elapsed = time.perf_counter() - start
        frames = page.evaluate("() => kitFrames.length") / elapsed
        rate = (live.step() - steps) / elapsed
        memory = psutil.Process(kernel.pid).memory_full_info()
    return {
        "cold": statistics.median(colds),
        "ready": statistics.median(readies),
        "first frame": first / 1000,
        "p50": statistics.median(latencies),
        "p95": sorted(latencies)[int(0.95 * PRESSES)],
        "frames": frames,
        "rate": rate,
        "private": memory.uss / 2**20,
        "shared": (memory.rss - memory.uss) / 2**20,
    }


@cache
def preheated():
    flags = ("--VoilaConfiguration.preheat_kernel=True", "--VoilaConfiguration.default_pool_size=1")
    with served(*flags) as server, chromium() as browser:
        times = []
        for _ in range(5):
            wait_until_idle(server)
            *seconds, page = seconds_to_picture(browser, server)
            times.append(seconds)
            page.close()
    seen, ready = map(statistics.median, zip(*times, strict=True))
    return {"seen": seen, "ready": ready}


def of(key, form, source=live):
    return lambda: (source()[key], form.format(source()[key]))


def wait_until_idle(server):
    """A preheated kernel has run the notebook when the server's processes have come to rest."""
    deadline = time.monotonic() + 60
    quiet = 0
    while quiet < 3 and time.monotonic() < deadline:
        family = [server.process, *server.process.children(recursive=True)]
        quiet = quiet + 1 if sum(p.cpu_percent(interval=0.3) for p in family) < 5 else 0


def memory():
    figures = live()
    text = f"{figures['private']:.0f} MB private, {figures['shared']:.0f} MB shared"
    return figures["private"], text


def set_up():
    """A clone, set up from nothing; packages come from pip's cache where it has them."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        start = time.perf_counter()
        subprocess.run(
            ["make", "--silent", ".venv/run.stamp"], cwd=clone, check=True, capture_output=True
        )
        minutes = (time.perf_counter() - start) / 60
        size = sum(f.lstat().st_size for f in (clone / ".venv").rglob("*")) / 1e9
    return minutes, f"{minutes:.1f} minutes, {size:.1f} GB"


FIGURES = (
    Figure("slider to new number while training, p50", of("p50", "{:.0f} ms")),
    Figure("slider to new number while training, p95", of("p95", "{:.0f} ms"), lambda v: v <= 150),
    Figure("frames a second while training", of("frames", "{:.1f}"), lambda v: v >= 10),
    Figure("steps a second on the page, MNIST-1D, 1000 samples", of("rate", "{:.0f}")),
    Figure("picture visible, cold", of("cold", "{:.1f} s"), lambda v: v <= 6),
    Figure("and a key is answered, cold", of("ready", "{:.1f} s")),
    Figure(
        "picture visible, preheated kernel", of("seen", "{:.2f} s", preheated), lambda v: v <= 1.5
    ),
    Figure("and a key is answered, preheated kernel", of("ready", "{:.2f} s", preheated)),
    Figure("first moving frame after Run", of("first frame", "{:.2f} s"), lambda v: v <= 0.5),
    Figure("memory of a kernel", memory),
    Figure("set-up from nothing", set_up),
)
