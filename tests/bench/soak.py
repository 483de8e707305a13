"""`python -m tests.bench.soak --minutes 60`: one page trains on, and is turned, for that long.

A reader in Chromium presses Run, moves the learning rate, batch size and rescaling, resets, forks,
changes presets, keeps runs and forgets them, from a seed. Every ten seconds: the memory of kernel
and server, of the page's JavaScript, and the latency of a slider. Flat means: in the last quarter
of the time the kernel and the page hold at most a tenth more than in the second one.
"""

import argparse
import csv
import math
import random
import shutil
import statistics
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
from matplotlib.figure import Figure

from tests.bench.chromium import chromium
from tests.browser.driver import NOTEBOOK, LivePage
from tests.browser.servers import running

EVERY = 10.0  # seconds between two readings
GROWTH = 1.1  # that counts as flat
COLUMNS = ("minute", "step", "kernel MB", "server MB", "page MB", "slider ms")
BUTTONS = ("repair", "reset", "fork", "keep", "keep", "forget")
TURNS = (*["lr"] * 9, "batch_size", "batch_size", "rescale", "preset", *BUTTONS)
FAST = 0.4  # a learning rate above it is turned down, or runs would do little but break
PRESETS = 4  # of those that come first


@contextmanager
def opened(browser, notebook=NOTEBOOK):
    """A server, its kernel, and the page in a browser."""
    home = Path(tempfile.mkdtemp())
    try:
        with running("serve", home) as server:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(server.url(notebook))
            live = LivePage(page)
            (kernel,) = server.kernels()
            (voila,) = (p for p in server.process.children(True) if "voila" in p.cmdline())
            yield live, kernel, voila
    finally:
        shutil.rmtree(home, ignore_errors=True)


def megabytes(process: psutil.Process) -> float:
    return process.memory_full_info().uss / 2**20


def turn(live: LivePage, chance: random.Random) -> None:
    """One thing that a reader does; a run that has ended is begun again."""
    name = chance.choice(TURNS)
    if name in BUTTONS:
        button = live.root.locator(f"button.kit-c-{name}")
        if button.is_visible() and button.is_enabled():
            live.press(name)
    elif name == "preset":
        live.control("preset").locator("select").select_option(index=chance.randrange(PRESETS))
    else:
        down = name == "lr" and float(live.readout("lr")) > FAST
        key = "ArrowLeft" if down else chance.choice(("ArrowLeft", "ArrowRight"))
        live.keys(name, *[key] * chance.randint(1, 2))
    go_on(live)


def go_on(live: LivePage) -> None:
    repair = live.root.locator("button.kit-c-repair")
    if repair.is_visible():
        live.press("repair")
    run = live.root.locator("button.kit-c-run")
    if run.is_enabled() and run.inner_text() == "Run":
        live.press("run")


def slider_ms(live: LivePage) -> float:
    """From a key press on the learning rate to the new threshold, on the page's own clock."""
    live.handle("lr").focus()
    return live.page.evaluate(
        """async () => {
          const table = document.querySelector('.kit-numbers');
          const isIt = row => row.firstChild.textContent === 'threshold';
          const threshold = () => [...table.children].find(isIt)?.querySelector('b').textContent;
          const before = threshold(), start = performance.now();
          const seen = new Promise(resolve => {
            new MutationObserver((_, me) => {
              if ([before, undefined].includes(threshold())) return;
              me.disconnect();
              resolve(performance.now() - start);
            }).observe(table, { characterData: true, childList: true, subtree: true });
            setTimeout(resolve, 20000, NaN);
          });
          const handle = document.activeElement;
          const value = Number(handle.getAttribute('aria-valuenow'));
          const far = value >= Number(handle.getAttribute('aria-valuemax')) - 1;
          const key = far ? 'ArrowLeft' : 'ArrowRight';
          handle.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
          return await seen;
        }"""
    )


def soak(browser, minutes: float, seed: int = 0, every: float = EVERY) -> list[dict[str, float]]:
    """The readings."""
    chance, rows = random.Random(seed), []
    with opened(browser) as (live, kernel, server):
        devtools = live.page.context.new_cdp_session(live.page)
        devtools.send("Performance.enable")
        go_on(live)
        start = time.monotonic()
        while (now := time.monotonic() - start) < 60 * minutes:
            turn(live, chance)
            devtools.send("HeapProfiler.collectGarbage")
            metrics = {
                m["name"]: m["value"] for m in devtools.send("Performance.getMetrics")["metrics"]
            }
            values = (now / 60, live.step(), megabytes(kernel), megabytes(server))
            values += (metrics["JSHeapUsedSize"] / 2**20, slider_ms(live))
            rows.append(dict(zip(COLUMNS, values, strict=True)))
            live.page.wait_for_timeout(max(0.0, 1000 * (every - (time.monotonic() - start - now))))
    return rows


def quarters(rows: list[dict[str, float]], column: str) -> list[float]:
    """The median of a column in each quarter of the time."""
    n = len(rows)
    parts = [rows[k * n // 4 : (k + 1) * n // 4] for k in range(4)]
    return [statistics.median(row[column] for row in part) for part in parts]


def growth(rows: list[dict[str, float]], column: str) -> float:
    """Last quarter over the second: the first one fills what is kept."""
    _, second, _, last = quarters(rows, column)
    return last / second


def draw(rows: list[dict[str, float]], path: Path) -> None:
    figure = Figure(figsize=(7.2, 4.5), dpi=110, layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=(2, 1))
    minutes = [row["minute"] for row in rows]
    for column in COLUMNS[2:5]:
        above.plot(minutes, [row[column] for row in rows], label=column.removesuffix(" MB"), lw=1.2)
    above.set_ylabel("memory of its own, MB")
    above.set_ylim(bottom=0)
    above.legend(ncols=3, frameon=False)
    below.plot(minutes, [row["slider ms"] for row in rows], ".", ms=3, color="#555555")
    below.set(xlabel="time, minutes", ylabel="slider, ms", yscale="log")
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("soak"))
    options = parser.parse_args()
    with chromium() as browser:
        rows = soak(browser, options.minutes)
    with options.out.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({name: f"{value:.4g}" for name, value in row.items()} for row in rows)
    draw(rows, options.out.with_suffix(".png"))
    for column in COLUMNS[2:5]:
        parts = ", ".join(f"{value:.0f}" for value in quarters(rows, column))
        print(f"{column}, median of each quarter: {parts}; growth {growth(rows, column):.2f}")
    took = sorted(row["slider ms"] for row in rows if math.isfinite(row["slider ms"]))
    print(f"slider: p50 {took[len(took) // 2]:.0f} ms, p95 {took[int(0.95 * len(took))]:.0f} ms")
    print(f"{len(rows)} readings, {len(took)} of a slider")
    print(f"largest step {max(row['step'] for row in rows):.0f}")


if __name__ == "__main__":
    main()
