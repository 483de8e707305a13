"""What is the same on all pages that play and explain: how they come to rest, words on focus."""

import re

import pytest
from playwright.sync_api import expect

from kit.live.glossary import GLOSSARY
from tests.browser.driver import NOTEBOOK, START, LivePage, violations

PHONE = {"width": 390, "height": 844}


def test_at_rest_a_page_shows_what_it_came_to_also_the_second_time(visit, voila_server):
    seen = visit(voila_server.url("01_step_too_big.ipynb"))
    live = LivePage(seen.page)
    frames = live.root.locator("canvas.kit-moving").first
    for shown in (0, 30):
        live.press("run")
        live.expect_value("step t", re.compile(r"^[1-5]?\d$"))
        live.expect_status("60 steps.")
        live.expect_value("step t", "60")
        moved = int(frames.get_attribute("data-frame"))
        assert moved > shown + 30  # of some hundred
        for canvas in live.root.locator("canvas.kit-moving").all():
            expect(canvas).to_be_hidden()
    seen.check()


@pytest.mark.parametrize("notebook", [NOTEBOOK, "07_worth_anything.ipynb"])
def test_words_are_explained_on_focus_and_on_hover(visit, voila_server, notebook):
    seen = visit(voila_server.url(notebook), viewport=PHONE)
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
        assert box["x"] + box["width"] <= PHONE["width"]
    page.keyboard.press("Escape")
    expect(bubble).to_be_hidden()
    live.root.locator(".kit-numbers .kit-term").first.hover()
    expect(bubble).to_be_visible()
    assert violations(page) == []
    seen.check()
