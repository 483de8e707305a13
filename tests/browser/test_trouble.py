"""Kernel killed, network cut, laptop asleep, two tabs: the page says what is, and goes on."""

import re
import time
from urllib.parse import urlsplit

from playwright.sync_api import expect

from tests.browser.driver import NOTEBOOK, START, LivePage
from tests.browser.link import link_to

NOT_SEEN = re.compile("Paused: the page was not seen")
SILENCE = 40_000  # milliseconds: a page that has said nothing for ten seconds is paused


def state(page):
    return expect(page.locator("html"))


def test_after_a_killed_kernel_one_click_makes_the_same_run_again(visit, voila_server):
    before = {kernel.pid for kernel in voila_server.kernels()}
    seen = visit(voila_server.url(NOTEBOOK))
    page, live = seen.page, LivePage(seen.page)
    live.slide_to("lr", "0.3")
    live.press("run")
    live.wait_for_step(60)
    page.wait_for_function("Number(new URLSearchParams(location.search).get('steps')) > 30")
    [kernel] = [k for k in voila_server.kernels() if k.pid not in before]
    kernel.kill()
    state(page).to_have_attribute("data-kernel", "lost", timeout=60_000)
    steps = int(re.search(r"steps=(\d+)", page.url).group(1))
    page.get_by_role("button", name="Reload the page").click()
    state(page).to_have_attribute("data-kernel", "ready", timeout=START)
    live = LivePage(page, skip=False)
    live.expect_status(re.compile(f"As in the link: step {steps}"), timeout=60_000)
    live.expect_value("threshold", "6.67")
    live.press("run")
    live.wait_for_step(steps + 5)


def test_a_network_that_is_cut_and_comes_back_loses_nothing(visit, voila_server):
    with link_to(urlsplit(voila_server.address).port) as line:
        seen = visit(f"http://127.0.0.1:{line.port}/voila/render/{NOTEBOOK}")
        page, live = seen.page, LivePage(seen.page)
        live.press("run")
        live.wait_for_step(live.step() + 3)
        line.cut()
        state(page).to_have_attribute("data-kernel", "away", timeout=60_000)
        expect(page.get_by_text("connection to the server is interrupted")).to_be_visible()
        step = live.step()
        line.mend()
        state(page).to_have_attribute("data-kernel", "ready", timeout=60_000)
        live.expect_status(NOT_SEEN, timeout=SILENCE)
        live.press("run")
        live.wait_for_step(step + 5)
        live.slide_to("lr", "0.2")
        live.expect_value("threshold", "10.0")


def test_a_page_that_was_asleep_is_paused_and_runs_on(visit, voila_server):
    seen = visit(voila_server.url(NOTEBOOK))
    page, live = seen.page, LivePage(seen.page)
    live.press("run")
    live.wait_for_step(live.step() + 3)
    devtools = page.context.new_cdp_session(page)
    devtools.send("Debugger.enable")
    devtools.send("Debugger.pause")  # nothing in the page goes on, as on a laptop that is shut
    time.sleep(12)  # what is tested is that this time passes
    devtools.send("Debugger.resume")
    devtools.send("Debugger.disable")
    live.expect_status(NOT_SEEN, timeout=SILENCE)
    step = live.step()
    live.press("run")
    live.wait_for_step(step + 5)
    seen.check()


def test_two_tabs_of_one_page_do_not_know_of_each_other(visit, voila_server):
    seen = visit(voila_server.url(NOTEBOOK))
    first = LivePage(seen.page)
    tab = seen.page.context.new_page()
    tab.goto(voila_server.url(NOTEBOOK))
    second = LivePage(tab)
    second.slide_to("lr", "0.2")
    second.expect_value("threshold", "10.0")
    seen.page.bring_to_front()
    first.press("run")
    first.wait_for_step(first.step() + 5)
    first.expect_value("threshold", "5.00")
    tab.bring_to_front()
    second.press("run")
    second.wait_for_step(second.step() + 5)
    second.expect_value("threshold", "10.0")
    seen.check()
