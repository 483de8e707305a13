"""The live page as a reader meets it: keys, numbers, words. It waits for facts, never for time."""

import re
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

SCREENSHOTS = Path(__file__).parent / "screenshots"
NOTEBOOK = "02_sharpness_live.ipynb"
START = 90_000  # milliseconds for a kernel to start on a busy machine
SOON = 20_000


def violations(page: Page) -> list:
    """What axe finds: the rule, and where."""
    found = Axe().run(page).response["violations"]
    return [(rule["id"], [node["html"][:160] for node in rule["nodes"]][:3]) for rule in found]


def clean(page: Page, *themes: str) -> None:
    """axe finds nothing, whichever theme the reader prefers."""
    for theme in themes:
        page.emulate_media(color_scheme=theme)
        assert violations(page) == [], (theme, page.viewport_size)


class LivePage:
    """One explorer on a page. Everything is done with the keyboard."""

    def __init__(self, page: Page, *, skip: bool = True) -> None:
        self.page = page
        page.set_default_timeout(SOON)
        self.root = page.locator(".kit-explorer").first
        expect(self.root.locator("img.kit-panel[src]").first).to_be_visible(timeout=START)
        if skip:
            self.press("skip")
            expect(self.button("Run or pause").or_(self.button("Run"))).to_be_visible(timeout=SOON)

    def button(self, name: str):
        return self.root.get_by_role("button", name=name, exact=True)

    def control(self, name: str):
        return self.root.locator(f".kit-c-{name}")

    def handle(self, name: str):
        return self.control(name).get_by_role("slider")

    def press(self, name: str) -> None:
        """Press a button by keyboard."""
        button = self.root.locator(f"button.kit-c-{name}")
        expect(button).to_be_enabled()
        button.focus()
        self.page.keyboard.press("Enter")

    def unfold(self, name: str, *, opens: bool = True) -> None:
        """Open what waits behind a button, by keyboard."""
        button = self.root.locator(f"button.kit-{name}")
        button.focus()
        self.page.keyboard.press("Enter")
        expect(button).to_have_attribute("aria-expanded", "true" if opens else "false")

    def fold(self, name: str) -> None:
        self.unfold(name, opens=False)

    def keys(self, name: str, *keys: str) -> None:
        """Focus a slider and press keys."""
        self.handle(name).focus()
        for key in keys:
            self.page.keyboard.press(key)

    def readout(self, name: str) -> str:
        return self.control(name).locator(".widget-readout").inner_text()

    def slide_to(self, name: str, wanted: str, *, limit: int = 120, down: bool = False) -> None:
        """Press arrow keys until the readout says so, first towards one end, then the other."""
        self.handle(name).focus()
        for key in ("ArrowLeft", "ArrowRight") if down else ("ArrowRight", "ArrowLeft"):
            for _ in range(limit):
                before = self.readout(name)
                if before == wanted:
                    return
                self.page.keyboard.press(key)
                if self.readout(name) == before:
                    break
        raise AssertionError(f"{name} did not come to {wanted}: {self.readout(name)}")

    def cell(self, name: str):
        """The value and the remark beside a number's name."""
        row = self.root.locator(".kit-numbers > div", has=self.page.get_by_text(name, exact=True))
        return row.locator("dd")

    def value(self, name: str) -> str:
        return self.cell(name).locator("b").inner_text()

    def number(self, name: str) -> float:
        text = self.value(name).replace("−", "-")
        return float(re.search(r"-?\d+(\.\d+)?(e[-+]?\d+)?", text).group())

    def step(self) -> int:
        return int(self.value("step t"))

    def expect_value(self, name: str, text, *, timeout: int = SOON) -> None:
        expect(self.cell(name).locator("b")).to_have_text(text, timeout=timeout)

    def expect_rest(self) -> None:
        """What goes on by itself has come to its end."""
        expect(self.root.locator("button.kit-c-run.kit-on")).to_have_count(0, timeout=60_000)

    def expect_status(self, text, *, timeout: int = SOON) -> None:
        expect(self.root.locator(".kit-live-status")).to_have_text(text, timeout=timeout)

    def status(self) -> str:
        return self.root.locator(".kit-live-status").inner_text()

    def wait_for_step(self, step: int, *, timeout: int = 60_000) -> None:
        self.page.wait_for_function(
            """step => Number([...document.querySelectorAll('.kit-numbers div')]
                .find(row => row.firstChild.textContent === 'step t')
                ?.querySelector('b').textContent) >= step""",
            arg=step,
            timeout=timeout,
        )

    def screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
