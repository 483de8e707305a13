"""`make serve` and `make lab` with a page of two lines: they serve it, and let go of its kernel."""

import asyncio
import http.client
import json
import re
import shutil
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import nbformat
import psutil
import pytest
from nbformat import v4
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from kit.live.serving import GIB, room
from tests.bench.load import Windows
from tests.bench.load import visit as visit_all
from tests.browser.servers import ROOT, running

RAW = ("voila/files/", "files/", "static/", "")
SOON = ["--MappingKernelManager.cull_idle_timeout=6", "--MappingKernelManager.cull_interval=1"]
SOURCE = "import ipywidgets\nipywidgets.HTML('<p>It runs</p>')"


@pytest.fixture
def notebooks(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    shutil.copy(ROOT / "notebooks" / "voila.json", folder)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    page = v4.new_notebook(cells=[v4.new_code_cell(SOURCE)], metadata={"kernelspec": kernel})
    nbformat.write(page, folder / "page.ipynb")
    return folder


def test_voila_shows_a_page_and_culls_its_kernel(visit, notebooks, tmp_path):
    with running("serve", tmp_path, *SOON, notebooks=notebooks) as server:
        seen = visit(server.url("page.ipynb"))
        seen.page.get_by_text("It runs").wait_for()
        assert seen.page.get_by_text("import ipywidgets").count() == 0
        seen.check()
        kernels = server.kernels()
        assert len(kernels) == 1
        seen.page.context.close()
        assert not psutil.wait_procs(kernels, timeout=60)[1]


def test_lab_opens_the_notebook(visit, notebooks, tmp_path):
    with running("lab", tmp_path, "--allow-root", notebooks=notebooks) as server:
        seen = visit(server.url("page.ipynb"))
        seen.page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        seen.page.get_by_text("import ipywidgets").click()
        seen.page.keyboard.press("Control+Enter")
        seen.page.get_by_text("It runs", exact=True).wait_for()
        seen.check()


def answer(url):
    """Status and text of a page."""
    try:
        with urllib.request.urlopen(url) as page:
            return page.status, page.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_voila_keeps_the_instructors_notebooks_back(tmp_path):
    with running("serve", tmp_path) as server:
        for path in ("labs/instructor/lab_a.ipynb", "labs//instructor/lab_a.ipynb"):
            for place in (server.url(path), *(f"{server.address}{raw}{path}" for raw in RAW)):
                status, text = answer(place)
                assert status in (403, 404), place
                assert "BEGIN SOLUTION" not in text
        assert server.kernels() == []


def test_who_comes_to_a_full_server_is_told_and_let_in_later(visit, notebooks, tmp_path):
    full = ["--BoundedKernels.most=1", *SOON]
    with running("serve", tmp_path, *full, notebooks=notebooks) as server:
        seen = visit(server.url("page.ipynb"))
        seen.page.get_by_text("It runs").wait_for()
        (kernel,) = server.kernels()
        status, text = answer(server.url("page.ipynb"))
        assert status == 503
        assert "All places are taken" in text
        assert 'http-equiv="refresh"' in text
        assert server.kernels() == [kernel]
        seen.page.context.close()
        assert not psutil.wait_procs([kernel], timeout=60)[1]
        tries = (answer(server.url("page.ipynb"))[0] for _ in range(200))
        assert 200 in tries  # soon: the server takes it off its list a little later


def test_for_a_class_a_kernel_of_each_page_waits(visit, notebooks, tmp_path, monkeypatch):
    monkeypatch.setenv("LISTEN", "127.0.0.1")  # else the whole network can come in
    with running("serve-class", tmp_path, notebooks=notebooks) as server:
        server.wait_for_log("Kernel pool of page.ipynb is filled")
        seen = visit(server.url("page.ipynb"))
        seen.page.get_by_text("It runs").wait_for()
        assert any("Using pre-heated kernel" in line for line in server.log)
        seen.check()


SECRET = "a file that no reader is to see"
WAYS_OUT = (
    "voila/files/../secret.txt",
    "voila/files/..%2fsecret.txt",
    "voila/files/%2e%2e/secret.txt",
    "voila/files/images/..%2f..%2fsecret.txt",
    "voila/files/images/%2e%2e/%2e%2e/secret.png",
    "voila/files/voila.json",
    "voila/files/page.ipynb",
    "voila/render/../secret.ipynb",
    "voila/render/..%2fsecret.ipynb",
    "voila/render/%2e%2e/secret.ipynb",
    "voila/render/x/%2e%2e/%2e%2e/secret.ipynb",
    "voila/render/%2e%2e/notebooks/page.ipynb",
    "voila/tree/%2e%2e",
    "voila/templates/kit/static/..%2fconf.json",
    "voila/templates/kit/../../../serving.py",
    "static/..%2f..%2fsecret.txt",
    "files/secret.txt",
    "api/contents/secret.txt",
    "api/kernels",
    "api/sessions",
    "api/terminals",
)


def request(server, method, path):
    """As `answer`, but with the path as it is written."""
    connection = http.client.HTTPConnection(server.address.split("/")[2], timeout=60)
    try:
        connection.request(method, f"/{path}")
        reply = connection.getresponse()
        return reply.status, reply.read().decode(errors="replace")
    finally:
        connection.close()


def test_no_path_leads_out_of_the_notebooks_and_nobody_runs_code(notebooks, tmp_path):
    (notebooks.parent / "secret.txt").write_text(SECRET)
    (notebooks.parent / "secret.png").write_text(SECRET)
    page = nbformat.read(notebooks / "page.ipynb", 4)
    page.cells = [v4.new_markdown_cell(SECRET)]
    nbformat.write(page, notebooks.parent / "secret.ipynb")
    with running("serve", tmp_path, notebooks=notebooks) as server:
        for path in WAYS_OUT:
            status, text = request(server, "GET", path)
            assert status in (302, 403, 404, 500), path
            assert SECRET not in text, path
            assert "Traceback" not in text, path
            if status == 302:
                assert "voila/files/" in path or "voila/render/" in path
        assert request(server, "POST", "api/kernels")[0] in (403, 404, 405)
        assert server.kernels() == []

        _, text = request(server, "GET", "voila/render/page.ipynb")
        kernel = re.search(r'kernelId = "([^"]+)"', text).group(1)
        for method, path in (
            ("DELETE", f"api/kernels/{kernel}"),
            ("POST", f"voila/api/shutdown/{kernel}"),
            ("POST", f"api/kernels/{kernel}/interrupt"),
        ):
            assert request(server, method, path)[0] in (403, 404, 405), path
        assert len(server.kernels()) == 1

        written = tmp_path / "written"
        run(send_code(server, kernel, f"open({str(written)!r}, 'w')"))
        assert not written.exists()
        with pytest.raises(HTTPClientError, match="403"):
            run(send_code(server, kernel, "1", origin="http://elsewhere.example"))


def run(coroutine):
    """On a thread of its own: the browser's driver has the event loop of this one."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, coroutine).result(timeout=60)


async def send_code(server, kernel, code, origin=None):
    """What a reader with a script would try: run code in the kernel of a page."""
    socket = await websocket_connect(
        HTTPRequest(
            f"ws{server.address.removeprefix('http')}api/kernels/{kernel}/channels?session_id=x",
            headers={"Origin": origin} if origin else {},
        )
    )
    header = {"msg_id": "a", "username": "", "session": "x", "version": "5.3", "date": ""}
    message = {"parent_header": {}, "metadata": {}, "buffers": [], "channel": "shell"}
    content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}}
    for kind, body in (("execute_request", content), ("kernel_info_request", {})):
        send = message | {"header": header | {"msg_type": kind}, "content": body}
        await socket.write_message(json.dumps(send))
    while True:  # what was sent first has been dealt with when the second is answered
        reply = json.loads(await socket.read_message())
        if reply["header"]["msg_type"] == "kernel_info_reply":
            break
    socket.close()
    while await socket.read_message() is not None:
        pass  # until the server has closed it, too


def test_as_many_readers_as_a_pod_of_two_gigabytes_lets_in_fit_into_it(tmp_path, monkeypatch):
    """All train at once; one more is asked to come later, and what is shared counts once."""
    monkeypatch.setenv("MEM_LIMIT", str(2 * GIB))
    count = room(2 * GIB)
    with running("serve", tmp_path) as server:
        with ThreadPoolExecutor() as thread:  # Playwright's loop runs in this one
            visits = visit_all(server, count + 1, 5.0, Windows(0))
            readers, seen = thread.submit(asyncio.run, visits).result()
        print(f"{count} readers: {max(seen['all']) / GIB:.2f} GiB")
        assert max(seen["all"]) < 2 * GIB
    assert [reader.refused for reader in readers].count(True) == 1
    assert all(reader.step > 30 for reader in readers if not reader.refused)
