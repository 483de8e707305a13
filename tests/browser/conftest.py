import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.chromium import NoBrowserError, find_chromium
from tests.browser.driver import SOON
from tests.browser.servers import running

DESKTOP = {"width": 1280, "height": 900}
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
]
NO_BROWSER = pytest.StashKey[str]()
expect.set_options(timeout=SOON)


@dataclass
class Visit:
    """A page, with what its console called an error and the hosts that it asked for anything."""

    page: Page
    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def __post_init__(self):
        self.page.on("console", lambda line: line.type == "error" and self.errors.append(line.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.asked(request.url))
        self.page.on("websocket", lambda socket: self.asked(socket.url))

    def asked(self, url):
        if host := urlsplit(url).hostname:  # data: and blob: have none
            self.hosts.add(host)

    def check(self):
        assert self.errors == []
        assert self.hosts == {"127.0.0.1"}


@pytest.fixture(scope="session")
def browser(request):
    try:
        path = find_chromium()
    except NoBrowserError as error:
        request.config.stash[NO_BROWSER] = str(error)
    if NO_BROWSER in request.config.stash:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up("no browser: the end of this report says why")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """`visit(url, **context)` opens a page in a context of its own, 1280 x 900 unless told.

    `before(page)` runs before the page is asked for.
    """
    contexts = []

    def visit(url, *, before=None, wait_until="load", **context):
        contexts.append(browser.new_context(**{"viewport": DESKTOP} | context))
        visit = Visit(contexts[-1].new_page())
        if before is not None:
            before(visit.page)
        visit.page.goto(url, wait_until=wait_until)
        return visit

    yield visit
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def voila_server(tmp_path_factory):
    with running("serve", tmp_path_factory.mktemp("voila")) as server:
        yield server


@pytest.fixture(scope="session")
def lab_server(tmp_path_factory):
    with running("lab", tmp_path_factory.mktemp("lab"), "--allow-root") as server:
        yield server


def pytest_terminal_summary(terminalreporter, config):
    if reason := config.stash.get(NO_BROWSER, None):
        terminalreporter.section("NO BROWSER: NO PAGE WAS TESTED", sep="!", red=True)
        terminalreporter.line(reason)
