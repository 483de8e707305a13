"""The frame of every page: how it starts, what it says when its kernel is gone, where it asks."""

import re

import pytest
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


@pytest.mark.parametrize("size", [(1280, 900), (390, 844)], ids=["wide", "phone"])
def test_the_pictures_are_there_before_the_widgets_and_stay_where_they_are(
    visit, voila_server, size
):
    """A server with kernels in reserve shows them with the first byte; see README's figures."""
    held = []
    seen = visit(
        voila_server.url(NOTEBOOK),
        before=lambda page: page.route("**/voila.js", lambda route: held.append(route)),
        wait_until="commit",
        viewport=dict(zip(("width", "height"), size, strict=True)),
    )
    images = seen.page.locator("img.kit-panel").filter(visible=True)
    count = 2 if size[0] > 700 else 5  # the rest is folded away, where all are in view at once
    expect(images).to_have_count(count, timeout=START)
    expect(seen.page.locator(".kit-preview")).to_be_visible()
    assert all(image.get_attribute("alt") for image in images.all())
    places = {image.get_attribute("data-key"): image.bounding_box() for image in images.all()}
    for route in held:
        route.continue_()
    expect(seen.page.locator("html")).to_have_attribute("data-kernel", "ready", timeout=START)
    expect(seen.page.locator(".kit-preview")).to_have_count(0)
    expect(images).to_have_count(count)
    for image in images.all():
        place = image.bounding_box()
        before = places[image.get_attribute("data-key")]
        assert place == pytest.approx(before, abs=3)
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


def test_the_gallery_is_the_front_page_and_leads_to_the_pages(visit, voila_server):
    seen = visit(voila_server.address)
    seen.page.wait_for_url("**/voila/render/00_welcome.ipynb")
    seen.page.locator("a.kit-card[href*='02_sharpness_live']").click()
    LivePage(seen.page)
    seen.check()
