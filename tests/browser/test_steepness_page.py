"""Page 6 in Voila: a guess, the answer, and controls that change the numbers they should."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.driver import START, LivePage, violations

NOTEBOOK = "06_can_samples_tell.ipynb"
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def open_page(visit, voila_server):
    def open_page(*, skip=True, **context):
        seen = visit(voila_server.url(NOTEBOOK), **context)
        live = LivePage(seen.page, skip=skip)
        if skip:  # the answer is there
            expect(live.control("d").locator(".widget-readout")).to_have_text("4")
        return seen, live

    return open_page


def number_named(live, name):
    return live.root.locator(".kit-numbers").get_by_text(name, exact=True)


def test_a_reader_guesses_by_keyboard_and_sees_the_answer(open_page):
    seen, live = open_page(skip=False)
    guess = live.root.locator(".kit-c-guess")
    expect(guess).to_be_visible(timeout=START)
    expect(number_named(live, "measured slope")).to_have_count(0)
    guess.locator("input").nth(1).focus()
    seen.page.keyboard.press("Space")
    live.press("commit")
    verdict = live.root.locator(".kit-verdict")
    expect(verdict).to_contain_text('You said "4 times". It is "16 times".')
    expect(guess).to_be_hidden()
    live.expect_value("measured slope", re.compile("^−0.2"))
    expect(live.control("d").locator(".widget-readout")).to_have_text("4")
    seen.check()


def test_each_control_changes_the_number_that_it_should(open_page):
    seen, live = open_page()
    live.slide_to("d", "1", down=True)
    live.expect_value("measured slope", re.compile("^−1.0"))
    live.slide_to("d", "2")
    live.expect_value("measured slope", re.compile("^−0.5"))
    live.slide_to("n", "256")
    live.expect_value("samples n", "256")
    live.control("function").locator("select").select_option("rounded peak")
    live.expect_value("measured slope", re.compile("^−(0.9|1.0)"))
    before = live.value("at most (Theorem A)")
    live.slide_to("confidence", "50%", down=True)
    expect(live.cell("at most (Theorem A)").locator("b")).not_to_have_text(before)
    before = live.value("largest ‖J‖ seen")
    live.press("new")
    expect(live.cell("largest ‖J‖ seen").locator("b")).not_to_have_text(before)
    live.control("function").locator("select").select_option("ReLU network")
    live.expect_value("found exactly", re.compile("of 40"))
    live.press("reset")
    live.expect_value("samples n", "16")
    live.expect_value("measured slope", re.compile("^−1.0"))
    seen.check()


def test_resampling_runs_pauses_and_leaves_the_sliders_live(open_page):
    seen, live = open_page()
    live.slide_to("d", "3", down=True)
    live.expect_status(re.compile("Looking for"))
    live.slide_to("n", "64")
    live.expect_value("samples n", "64")
    live.expect_value("covering radii", re.compile(r"^[1-9]\d* of 40"))
    live.expect_status(re.compile("All 40 draws are done"), timeout=60_000)
    live.press("run")
    live.expect_value("covering radii", re.compile(r"^4[1-9] of 80"))
    live.press("run")
    live.expect_status("Paused.")
    expect(live.root.locator("button.kit-c-run")).to_have_text("Run")
    seen.check()


def test_a_lecture_goes_through_its_beats(open_page):
    seen, live = open_page()
    live.press("lecture")
    beat = live.root.locator(".kit-beat")
    expect(beat).to_contain_text("Beat 1 of 7")
    for k in range(2, 8):
        live.page.keyboard.press("ArrowRight")
        expect(beat).to_contain_text(f"Beat {k} of 7")
    expect(live.cell("at most (Theorem A)")).to_contain_text("99% confidence")
    assert violations(seen.page) == []
    seen.check()


def test_on_a_phone_n_and_d_stay_in_reach(open_page):
    seen, live = open_page(viewport=PHONE, has_touch=True)
    page = seen.page
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    expect(live.handle("n")).to_be_in_viewport()
    expect(live.handle("d")).to_be_in_viewport()
    expect(live.handle("confidence")).to_be_hidden()
    page.get_by_role("button", name="More controls").focus()
    page.keyboard.press("Enter")
    expect(live.handle("confidence")).to_be_visible()
    page.keyboard.press("Enter")
    live.slide_to("n", "64")
    live.expect_value("samples n", "64")
    seen.check()
