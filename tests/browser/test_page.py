"""The live page in Voila, driven by key presses in a real Chromium."""

import json
import re
import zipfile

import pytest
from playwright.sync_api import expect

from kit.presets import PRESETS
from tests.browser.driver import NOTEBOOK, START, LivePage, violations

PHONE = {"width": 390, "height": 844}


@pytest.fixture
def open_page(visit, voila_server):
    def open_page(*, skip=True, **context):
        seen = visit(voila_server.url(NOTEBOOK), **context)
        return seen, LivePage(seen.page, skip=skip)

    return open_page


def test_a_reader_trains_changes_rescales_forks_and_resets(open_page):
    seen, live = open_page()
    assert live.step() > 0  # it opens on a first picture
    assert live.value("threshold") == "5.00"
    live.press("run")
    live.expect_status("Running.")
    live.wait_for_step(live.step() + 20)
    live.press("run")
    live.expect_status("Paused.")
    stopped = live.step()

    live.press("step")
    live.expect_value("step t", str(stopped + 1))

    live.slide_to("lr", "0.2", down=True)
    live.expect_value("threshold", "10.0")

    before = live.number("sharpness λ")
    live.slide_to("rescale", "× 10")
    expect(live.cell("rescaled α = 10.0")).to_contain_text("outputs changed by")
    assert live.number("sharpness λ") > 10 * before
    live.slide_to("rescale", "× 1", down=True)
    expect(live.cell("rescaled α = 1.00")).to_be_visible()
    assert live.number("sharpness λ") == pytest.approx(before, rel=0.02)

    live.press("fork")
    live.expect_status(re.compile("Forked at step"))
    live.press("reset")
    live.expect_status(re.compile("Back at step 0"))
    live.expect_value("step t", "0")
    assert live.value("threshold") == "10.0"
    seen.check()


def test_a_reader_guesses_and_is_told_how_near_it_was(open_page):
    seen, live = open_page(skip=False)
    threshold = live.root.locator(".kit-numbers").get_by_text("threshold", exact=True)
    expect(live.root.locator(".kit-c-guess")).to_be_visible(timeout=START)
    expect(threshold).to_have_count(0)
    live.keys("guess", *["ArrowRight"] * 27)
    live.press("commit")
    expect(live.root.locator(".kit-verdict")).to_contain_text(re.compile("You said 5.4.*it is 5"))
    expect(threshold).to_be_visible()
    expect(live.root.locator(".kit-c-guess")).to_be_hidden()
    live.root.locator(".kit-c-reflect textarea").fill("It stops by itself.")
    live.root.locator(".kit-c-reflect textarea").press("Tab")
    with seen.page.expect_download() as download:
        live.press("download")
    archive = zipfile.ZipFile(download.value.path())
    run = json.loads(archive.read("run.json"))
    assert run["prediction"]["guess"] == pytest.approx(5.4)
    assert run["prediction"]["reflection"] == "It stops by itself."
    assert run["config"]["seed"] == 0
    assert {"sharpness.svg", "sharpness.png", "data.csv"} <= set(archive.namelist())
    seen.check()


def test_a_lecture_goes_from_beat_to_beat_by_arrow_keys(open_page):
    seen, live = open_page()
    live.press("lecture")
    beat = live.root.locator(".kit-beat")
    expect(beat).to_contain_text("Beat 1 of 8")
    live.page.keyboard.press("ArrowRight")
    expect(beat).to_contain_text("Beat 2 of 8")
    live.expect_status("Running.")
    live.wait_for_step(live.step() + 5)
    live.page.keyboard.press("ArrowLeft")
    expect(beat).to_contain_text("Beat 1 of 8")
    assert violations(seen.page) == []
    live.screenshot("lecture")
    seen.check()


def test_each_control_changes_the_number_that_it_should(open_page):
    seen, live = open_page()
    live.slide_to("momentum", "0.50")
    live.expect_value("threshold", "7.50")  # (2 + 2 beta) / eta
    live.slide_to("momentum", "0.00", down=True)
    live.expect_value("threshold", "5.00")
    live.slide_to("batch_size", "64", down=True)
    expect(live.cell("threshold")).to_contain_text("full-batch threshold")
    live.press("step")
    expect(live.cell("batch sharpness")).to_be_visible()
    live.slide_to("batch_size", "full")
    live.unfold("rest-button")
    live.control("activation").locator("select").select_option("tanh")
    live.expect_status(re.compile("A new run"))
    expect(live.root.locator(".kit-reason")).to_contain_text("Tanh is not positively homogeneous")
    expect(live.handle("rescale")).to_have_attribute("aria-disabled", "true")
    live.control("optimizer").locator("select").select_option("Adam")
    expect(live.cell("threshold")).to_contain_text("preconditioned")
    live.control("optimizer").locator("select").select_option("SGD")
    live.control("activation").locator("select").select_option("relu")
    widths = live.control("hidden").locator("input")
    widths.fill("16, 16")
    widths.press("Enter")
    expect(live.cell("active units")).to_contain_text("of 42")
    live.control("dataset").locator("select").select_option("chebyshev")
    expect(live.root.locator(".kit-numbers")).to_contain_text("bound (G3)")
    seed = live.control("seed").locator("input")
    first = live.value("loss")
    seed.fill("3")
    seed.press("Enter")
    expect(live.cell("loss").locator("b")).not_to_have_text(first)
    live.slide_to("mixup", "0.5")
    expect(live.cell("threshold")).to_contain_text("no threshold is known")
    seen.check()


def test_a_thousand_slider_events_end_at_the_last_value(open_page):
    seen, live = open_page()
    live.press("run")
    live.expect_status("Running.")
    live.handle("lr").focus()
    for _ in range(25):
        for key in ("ArrowLeft", "ArrowRight"):
            for _ in range(20):
                live.page.keyboard.press(key)
    live.slide_to("lr", "0.1", down=True)
    live.expect_value("threshold", "20.0")
    live.press("run")
    live.expect_status("Paused.")
    seen.check()


def test_divergence_is_explained_and_repaired(open_page):
    seen, live = open_page()
    live.slide_to("rescale", "× 0.1", down=True)
    live.press("run")
    live.expect_status(re.compile(r"Blow-up at step \d+: .*λ = .*threshold 5 at η = 0.4"))
    repair = live.root.locator("button.kit-c-repair")
    expect(repair).to_contain_text("before the layers were rescaled")
    expect(repair).to_be_focused()  # Run, which was pressed, is switched off
    live.screenshot("blow-up")
    seen.page.keyboard.press("Enter")
    live.expect_status(re.compile("Repaired: back at step"))
    expect(live.root.locator("button.kit-c-run")).to_be_focused()
    expect(live.control("rescale").locator(".widget-readout")).to_have_text("× 1")
    expect(repair).to_be_hidden()
    seen.check()


def test_axe_finds_nothing_while_it_runs(open_page):
    seen, live = open_page()
    live.press("run")
    live.wait_for_step(live.step() + 10)
    assert violations(seen.page) == []
    live.press("run")
    live.expect_status("Paused.")
    seen.check()


def test_on_a_phone_run_and_one_slider_stay_in_reach(open_page):
    seen, live = open_page(viewport=PHONE, has_touch=True)
    page = seen.page
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    expect(live.handle("lr")).to_be_in_viewport()
    expect(live.handle("rescale")).to_be_hidden()
    page.get_by_role("button", name="More controls").focus()
    page.keyboard.press("Enter")
    expect(live.handle("rescale")).to_be_visible()
    page.keyboard.press("Enter")
    pictures = live.root.locator(".kit-picture")
    expect(live.root.locator(".kit-counted")).to_have_text("picture 1 of 5")
    page.get_by_role("button", name="Picture 5 of 5").focus()
    page.keyboard.press("Enter")
    expect(live.root.locator(".kit-counted")).to_have_text("picture 5 of 5")
    expect(pictures.nth(4)).to_be_in_viewport(ratio=0.9)
    expect(pictures.nth(0)).not_to_be_in_viewport()
    page.get_by_role("button", name="Picture 1 of 5").click()
    expect(live.root.locator(".kit-counted")).to_have_text("picture 1 of 5")
    live.press("run")
    live.wait_for_step(live.step() + 10)
    live.press("run")
    live.expect_status("Paused.")
    seen.check()


def test_a_preset_with_other_data_keeps_its_batch_size(open_page):
    """The page once sent back the place to which it had clamped the slider: b was full."""
    seen, live = open_page()
    live.control("preset").locator("select").select_option(label=PRESETS["batches"].title)
    live.press("run")
    expect(live.root.locator(".kit-phase")).to_contain_text("Small batches")
    live.wait_for_step(60)
    assert live.readout("batch_size") == "8"
    live.press("run")
    live.expect_status("Paused.")
    expect(live.root.locator(".kit-phase")).to_contain_text("Small batches")
    assert live.readout("batch_size") == "8"
    seen.check()


def test_a_wide_page_begins_with_two_pictures_and_few_controls(open_page):
    seen, live = open_page()
    pictures, widths = live.root.locator(".kit-picture"), live.control("hidden").locator("input")
    shown = [picture.is_visible() for picture in pictures.all()]
    assert shown == [True, True, False, False, False]
    expect(widths).to_be_hidden()
    live.unfold("unfold")
    expect(pictures.nth(4)).to_be_visible()
    live.unfold("rest-button")
    expect(widths).to_be_visible()
    assert violations(seen.page) == []
    live.press("step")
    live.expect_status("One step, to step 31.")
    live.fold("unfold")
    expect(pictures.nth(4)).to_be_hidden()
    seen.check()


def test_the_main_button_can_be_read_under_the_mouse(open_page):
    seen, live = open_page()
    button = live.root.locator("button.kit-c-run")
    button.hover()
    expect(button).to_have_css("background-color", "rgb(0, 61, 44)")
    expect(button).to_have_css("color", "rgb(255, 255, 255)")
    seen.check()
