"""The same notebook in JupyterLab, whose widget messages come on a thread of their own."""

import re

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.driver import NOTEBOOK, LivePage


def test_the_page_is_live_in_lab(visit, lab_server):
    seen = visit(lab_server.url(NOTEBOOK), viewport={"width": 1600, "height": 1000})
    page = seen.page
    page.get_by_text("from kit.live import Explorer").first.wait_for(timeout=60_000)
    page.get_by_text("from kit.live import Explorer").first.click()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
    page.keyboard.press("Control+Enter")
    live = LivePage(page)
    live.press("run")
    live.expect_status("Running.")
    live.wait_for_step(live.step() + 10)
    live.slide_to("lr", "0.2", down=True)
    live.expect_value("threshold", "10.0")
    live.press("run")
    live.expect_status("Paused.")
    stopped = live.step()
    live.press("step")
    live.expect_value("step t", str(stopped + 1))
    live.slide_to("rescale", "× 3")
    live.expect_status(re.compile("Rescaled from α = 1 to 3"))
    expect(live.root.locator("img").first).to_have_attribute("alt", re.compile(r"now: .*\d"))
    # Our own part of the page: what is around it is JupyterLab's.
    found = Axe().run(page, context=".kit-explorer").response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found] == []
    live.screenshot("lab")
    seen.check()
