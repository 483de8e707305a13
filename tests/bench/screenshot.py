"""Makes README's picture: `python -m tests.bench.screenshot`. To the edge, then half the step."""

from tests.bench.browser import seconds_to_picture, served
from tests.bench.chromium import chromium
from tests.browser.driver import LivePage
from tests.browser.servers import ROOT

TARGET = ROOT / "notebooks" / "images" / "first-light.png"


def main():
    with served() as server, chromium() as browser:
        *_, page = seconds_to_picture(browser, server)
        live = LivePage(page)
        live.press("run")
        live.wait_for_step(450, timeout=120_000)
        live.slide_to("lr", "0.2", down=True)
        live.wait_for_step(800, timeout=120_000)
        live.press("run")
        live.expect_status("Paused.")
        page.evaluate("document.activeElement.blur()")
        page.screenshot(path=TARGET)


if __name__ == "__main__":
    main()
