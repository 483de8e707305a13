"""The frame of every page: how it starts, what it says when its kernel is gone, where it asks."""

import re

from playwright.sync_api import expect

from tests.browser.driver import NOTEBOOK, START, LivePage


def test_the_page_says_that_it_starts_and_shows_its_prose_meanwhile(visit, voila_server):
    seen = visit(voila_server.url(NOTEBOOK))
    expect(seen.page.get_by_role("heading", level=1)).to_be_visible(timeout=START)
    expect(seen.page.locator("html")).to_have_attribute("data-kernel", "ready", timeout=START)
    assert seen.page.locator("main").count() == 1
    assert seen.page.title() == "What does sharpness do while a network learns?"
    expect(seen.page.get_by_text("from kit.live import Explorer")).to_have_count(0)
    expect(seen.page.locator("mjx-container").first).to_be_attached()  # mathematics is typeset
    seen.check()


def test_a_killed_kernel_is_said_with_a_way_out(visit, voila_server):
    before = {kernel.pid for kernel in voila_server.kernels()}
    seen = visit(voila_server.url(NOTEBOOK))
    live = LivePage(seen.page)
    live.press("run")
    live.wait_for_step(live.step() + 3)
    [kernel] = [k for k in voila_server.kernels() if k.pid not in before]
    kernel.kill()
    expect(seen.page.locator("html")).to_have_attribute(
        "data-kernel", re.compile("lost|away"), timeout=60_000
    )
    expect(seen.page.get_by_role("button", name=re.compile("Reload")).first).to_be_visible()


def test_an_unknown_page_is_a_friendly_404(visit, voila_server):
    seen = visit(voila_server.url("nowhere.ipynb"))
    expect(seen.page.get_by_role("heading", level=1)).to_have_text("There is no such page")
    assert "Traceback" not in seen.page.content()
    assert seen.hosts == {"127.0.0.1"}


def test_the_list_of_pages_leads_to_the_page(visit, voila_server):
    seen = visit(voila_server.address)
    seen.page.locator("a[href*='02_sharpness_live']").click()
    LivePage(seen.page)
    seen.check()
