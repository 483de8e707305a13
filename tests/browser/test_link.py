"""What becomes of a live run when its page is far away, out of sight, or gone."""

import re
import time
from urllib.parse import urlsplit

import psutil
import pytest

from tests.browser.driver import NOTEBOOK, LivePage
from tests.browser.link import link_to
from tests.browser.servers import running

CULL = ("--MappingKernelManager.cull_idle_timeout=6", "--MappingKernelManager.cull_interval=2")
NOT_SEEN = re.compile("Paused: the page was not seen for 10 seconds")


def through(link, url):
    return urlsplit(url)._replace(netloc=f"127.0.0.1:{link.port}").geturl()


def cpu_seconds(process):
    times = process.cpu_times()
    return times.user + times.system


@pytest.fixture
def link(voila_server):
    with link_to(urlsplit(voila_server.address).port) as link:
        yield link


def test_on_a_slow_link_frames_do_not_queue(visit, voila_server, link):
    seen = visit(through(link, voila_server.url(NOTEBOOK)))
    live = LivePage(seen.page)
    link.rate = 200e3
    live.press("run")
    live.expect_status("Running.")
    live.wait_for_step(live.step() + 40)
    start = time.monotonic()
    live.press("run")
    live.expect_status("Paused.")
    # A queue of frames would come first; what is on its way is one frame and the still pictures.
    assert time.monotonic() - start < 4
    seen.check()


def test_a_page_that_is_gone_loses_its_kernel(visit, tmp_path):
    with running("serve", tmp_path, *CULL) as server:
        with link_to(urlsplit(server.address).port) as link:
            seen = visit(through(link, server.url(NOTEBOOK)))
            live = LivePage(seen.page)
            live.press("run")
            live.expect_status("Running.")
            kernels = server.kernels()
            assert len(kernels) == 1
            link.cut()  # for good: the page cannot even say goodbye
            # 10 s without an answer, then idle for 6 s.
            assert not psutil.wait_procs(kernels, timeout=60)[1]

        seen = visit(server.url(NOTEBOOK))
        live = LivePage(seen.page)
        live.press("run")
        live.expect_status("Running.")
        kernels = server.kernels()
        seen.page.goto("about:blank")  # closed as a reader does: at once
        assert not psutil.wait_procs(kernels, timeout=10)[1]


def test_a_hidden_page_pauses_and_costs_nothing(visit, voila_server):
    before = {kernel.pid for kernel in voila_server.kernels()}
    seen = visit(voila_server.url(NOTEBOOK))
    live = LivePage(seen.page)
    kernel = next(k for k in voila_server.kernels() if k.pid not in before)
    live.press("run")
    live.wait_for_step(live.step() + 5)
    # As the browser does for a hidden tab: no animation frames.
    seen.page.evaluate("window.requestAnimationFrame = () => 0")
    live.expect_status(NOT_SEEN, timeout=30_000)
    used = cpu_seconds(kernel)
    watched = time.monotonic()
    seen.page.wait_for_timeout(3000)  # the cost of three idle seconds
    assert (cpu_seconds(kernel) - used) / (time.monotonic() - watched) < 0.03
    assert live.step() == live.step()
