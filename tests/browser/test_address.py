"""Links and reloads in Chromium, through Voila: the page comes back as it was."""

import json
import re

import pytest
from playwright.sync_api import expect

from kit.live.parabola import Parabola
from tests.browser.driver import NOTEBOOK, LivePage


def address(page):
    return page.evaluate("location.search")


def test_a_reload_keeps_what_a_reader_did(visit, voila_server):
    seen = visit(voila_server.url("01_step_too_big.ipynb"))
    page, live = seen.page, LivePage(seen.page, skip=False)
    live.keys("guess", *["ArrowRight"] * 30)
    live.press("commit")
    expect(live.root.locator(".kit-verdict")).to_contain_text("You said 1.2")
    live.slide_to("lr", "2")
    live.expect_value("ηλ₁", "2.50")
    page.wait_for_function("location.search.includes('lr=2') && location.search.includes('guess')")
    page.reload()
    live = LivePage(page, skip=False)
    live.expect_value("ηλ₁", "2.50")
    expect(live.root.locator(".kit-verdict")).to_contain_text("You said 1.2")
    expect(live.control("lr").locator(".widget-readout")).to_have_text("2")
    seen.check()


def kept(live):
    """The letters of the table of kept runs."""
    return live.root.locator(".kit-kept :is(thead, tbody) th[scope]").get_by_text(
        re.compile("^[A-F]$")
    )


@pytest.mark.parametrize(("notebook", "name"), [(NOTEBOOK, "lr"), ("01_step_too_big.ipynb", "lr")])
def test_kept_runs_outlive_a_reload_in_their_tab(visit, voila_server, notebook, name):
    seen = visit(voila_server.url(notebook) + "?guess=skip")
    page, live = seen.page, LivePage(seen.page, skip=False)
    expect(live.button("Keep this run")).to_be_visible()
    live.press("keep")
    expect(kept(live)).to_have_text(["A"])
    live.keys(name, "ArrowRight", "ArrowRight")
    live.press("keep")
    expect(kept(live)).to_have_text(["A", "B"])
    told = live.root.locator(".kit-kept").text_content()
    page.wait_for_function("name => location.search.includes(name)", arg=name)
    page.reload()
    live = LivePage(page, skip=False)
    expect(kept(live)).to_have_text(["A", "B"])
    assert live.root.locator(".kit-kept").text_content() == told
    live.press("keep")
    expect(kept(live)).to_have_text(["A", "B", "C"])

    tab = page.context.new_page()  # has its own
    tab.goto(page.url)
    other = LivePage(tab, skip=False)
    expect(other.button("Keep this run")).to_be_visible()
    other.press("keep")
    expect(kept(other)).to_have_text(["A"])

    live.press("forget")
    expect(kept(live)).to_have_count(0)
    expect(live.button("Keep this run")).to_be_focused()  # the other one has gone
    page.reload()
    live = LivePage(page, skip=False)
    expect(live.button("Keep this run")).to_be_visible()
    assert page.evaluate("document.activeElement === document.body")  # nobody has pressed anything
    live.press("keep")
    expect(kept(live)).to_have_text(["A"])
    seen.check()


def load(live, content):
    with live.page.expect_file_chooser() as chooser:
        live.press("load")
    name, mime = "run.json", "application/json"
    chooser.value.set_files({"name": name, "mimeType": mime, "buffer": content})


def test_a_saved_run_is_loaded_and_what_is_too_long_is_refused(visit, voila_server):
    seen = visit(voila_server.url("01_step_too_big.ipynb"))
    live = LivePage(seen.page)
    content = {"format": "sharpness-kit scene 1", "page": Parabola.title, "settings": {"lr": 1.5}}
    load(live, json.dumps(content | {"link": {"lr": "1.5"}}).encode())
    live.expect_status(re.compile("Loaded as run A"))
    live.expect_value("ηλ₁", "1.88")
    load(live, b" " * 11_000_000)
    live.expect_status(re.compile("Not loaded: the file is longer than the 9 MB"))
    load(live, b"{}")
    live.expect_status(re.compile("Not loaded: this is no run.json"))
    expect(kept(live)).to_have_text(["A"])
    seen.check()


def test_a_link_is_copied_without_the_guess_and_a_teacher_can_hide_a_control(visit, voila_server):
    seen = visit(voila_server.url("01_step_too_big.ipynb") + "?sharp=4&hide=method,beta&fix=flat")
    page, live = seen.page, LivePage(seen.page)
    live.expect_value("ηλ₁", "2.00")
    expect(live.control("method")).to_be_hidden()
    expect(live.handle("flat")).to_have_attribute("aria-disabled", "true")
    live.press("share")
    box = page.get_by_label("Link to this page as it is now")
    expect(box).to_have_value(re.compile(r"\?sharp=4&hide=method,beta&fix=flat$"))
    seen.check()


def test_a_link_replays_a_run(visit, voila_server):
    query = "?lr=0.3&changes=40*rescale*2:1:0.5,60*lr*0.1&steps=90"
    seen = visit(voila_server.url(NOTEBOOK) + query)
    live = LivePage(seen.page)
    live.expect_status(re.compile("As in the link: step 90"))
    live.expect_value("step t", "90")
    live.expect_value("threshold", "20.0")
    loss, sharpness = live.value("loss"), live.number("sharpness λ")
    seen.page.wait_for_function("location.search.includes('on=')")
    seen.page.reload()
    live = LivePage(seen.page, skip=False)
    live.expect_status(re.compile("As in the link: step 90"))
    live.expect_value("loss", loss)
    assert abs(live.number("sharpness λ") / sharpness - 1) < 0.01
    seen.check()


def test_a_bad_link_says_what_it_did_not_take(visit, voila_server):
    seen = visit(voila_server.url("01_step_too_big.ipynb") + "?lr=%3Cimg%20src=x%3E&colour=red")
    live = LivePage(seen.page)
    live.expect_status(re.compile("this was not taken: .*plain word.*no control “colour” here"))
    live.expect_value("ηλ₁", "0.625")
    seen.check()
