"""Kernels that are forks: the same numbers as a process of their own, and the same life."""

import ast
import asyncio
import enum
import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import psutil
import pytest
from jupyter_client.manager import AsyncKernelManager

from kit.live.forked import CAN_FORK, NAME, is_ours
from kit.live.zygote import SCENES

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "notebooks").glob("*.ipynb"))
pytestmark = pytest.mark.skipif(not CAN_FORK, reason="kernels are forked on Linux only")

RUN = """
import hashlib
def digest():
    from kit.presets import PRESETS
    training = PRESETS["edge"].build(measures=("sharpness", "jacobian_max", "bound"), every=5)
    training.run(40)
    return hashlib.sha256(repr(training.history.copy()).encode()).hexdigest()
"""
FORK = """
import os, kit.live.zygote
assert len(os.listdir("/proc/self/task")) == 1, "a thread was left behind"
if os.fork():
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
print(digest(), flush=True)
os._exit(0)
"""


def fresh(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_fork_computes_what_a_process_of_its_own_does_and_no_thread_is_left_behind():
    assert fresh(RUN + FORK) == fresh(
        RUN + "import kit.live.session as s; s.ready_process()\nprint(digest())"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_imports_is_there_already(page):
    cells = nbformat.read(page, as_version=4).cells
    tree = ast.parse("\n".join(cell.source for cell in cells if cell.cell_type == "code"))
    named = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    there = {"kit.live", "kit.live.series", *(f"kit.live.{name}" for name in SCENES)}
    assert named <= there


def test_only_this_pythons_kernels_are_forked():
    assert is_ours([sys.executable, "-m", "ipykernel_launcher", "-f", "kernel.json"])
    assert not is_ours([sys.executable, "-c", "print()"])
    assert not is_ours(["/usr/bin/R", "-m", "ipykernel_launcher"])


async def started(tmp_path, **environment):
    """A kernel by way of the entry point that Voila finds."""
    manager = AsyncKernelManager()
    manager.kernel_spec.metadata = {"kernel_provisioner": {"provisioner_name": "kit-forked"}}
    inherited = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    await manager.start_kernel(env=inherited | environment, cwd=str(tmp_path))
    return manager


async def ask(manager, code):
    """What an expression is, in the kernel."""
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)
        reply = await client.execute_interactive(
            "", user_expressions={"it": code}, output_hook=lambda _: None, timeout=60
        )
    finally:
        client.stop_channels()
    answer = reply["content"]["user_expressions"]["it"]
    assert answer["status"] == "ok", answer
    return ast.literal_eval(answer["data"]["text/plain"])


def in_kernel(tmp_path, visit, **environment):
    async def go():
        manager = await started(tmp_path, **environment)
        try:
            return await visit(manager)
        finally:
            await manager.shutdown_kernel(now=True)
            assert not psutil.pid_exists(manager.provisioner.pid)

    return asyncio.run(go())


def test_a_kernel_has_its_folder_its_environment_and_its_name(tmp_path):
    async def visit(manager):
        assert await ask(manager, "__import__('os').getcwd()") == str(tmp_path)
        assert await ask(manager, "__import__('os').environ['KIT_WORD']") == "a word"
        assert await ask(manager, "__import__('os').getpid()") == manager.provisioner.pid
        assert await ask(manager, "'torch' in __import__('sys').modules")
        assert not await ask(manager, "__import__('multiprocessing').current_process().daemon")
        backend = await ask(manager, "__import__('matplotlib').rcParams['backend']")
        assert "inline" in backend  # as in a kernel of its own: plots of a lab are shown
        return psutil.Process(manager.provisioner.pid).name()

    assert in_kernel(tmp_path, visit, KIT_WORD="a word") == NAME


def test_a_kernel_knows_the_kernels_of_its_server(tmp_path):
    """Which it must not take other programs for: kit.live.budget."""
    known = "len(__import__('kit.live.budget').live.budget.Neighbours().computed())"

    async def visit(first):
        assert await ask(first, known) == 1
        second = await started(tmp_path)
        try:
            return await ask(first, known), await ask(second, known)
        finally:
            await second.shutdown_kernel(now=True)

    assert in_kernel(tmp_path, visit) == (2, 2)


class Word(enum.StrEnum):
    """A name as Voila gives its variables."""

    NAME = "KIT_WORD"


def test_a_kernel_has_nothing_of_the_server_and_answers_for_its_widgets(tmp_path):
    async def visit(manager):
        assert await ask(manager, "__import__('os').environ['KIT_WORD']") == "a word"
        modules = set(await ask(manager, "[*__import__('sys').modules]"))
        assert not {"voila", "jupyter_server", __name__} & modules
        targets = await ask(manager, "[*get_ipython().kernel.comm_manager.targets]")
        assert {"jupyter.widget", "jupyter.widget.control"} <= set(targets)

    in_kernel(tmp_path, visit, **{Word.NAME: "a word"})


def test_a_killed_kernel_is_noticed_and_a_restart_gives_a_fresh_one(tmp_path):
    async def visit(manager):
        first = manager.provisioner.pid
        await ask(manager, "globals().__setitem__('left', 1)")
        os.kill(first, signal.SIGKILL)
        for _ in range(600):
            if not await manager.is_alive():
                break
            await asyncio.sleep(0.1)
        assert not await manager.is_alive()
        await manager.restart_kernel(now=True)
        assert await ask(manager, "__import__('os').getpid()") != first
        assert not await ask(manager, "'left' in globals()")

    in_kernel(tmp_path, visit)


def test_a_kernel_can_be_interrupted(tmp_path):
    async def visit(manager):
        client = manager.client()
        client.start_channels()
        await client.wait_for_ready(timeout=60)
        begun = asyncio.Event()
        running = asyncio.create_task(
            client.execute_interactive(
                "print('on', flush=True)\nwhile True: pass",
                output_hook=lambda message: message["msg_type"] == "stream" and begun.set(),
                timeout=60,
            )
        )
        await asyncio.wait_for(begun.wait(), 60)
        await manager.interrupt_kernel()
        reply = await running
        client.stop_channels()
        return reply["content"]["ename"]

    assert in_kernel(tmp_path, visit) == "KeyboardInterrupt"


def test_kernels_share_what_they_have_imported(tmp_path):
    """Each of three has less than half of what it holds for itself alone."""

    async def visit(first):
        others = [await started(tmp_path) for _ in range(2)]
        try:
            for manager in (first, *others):
                assert await ask(manager, "1") == 1
            return [
                psutil.Process(manager.provisioner.pid).memory_full_info()
                for manager in (first, *others)
            ]
        finally:
            for manager in others:
                await manager.shutdown_kernel(now=True)

    for memory in in_kernel(tmp_path, visit):
        print(f"alone {memory.uss / 2**20:.0f} MB of {memory.rss / 2**20:.0f} MB")
        assert memory.uss < 0.5 * memory.rss


SERVER = """
import asyncio, time
from jupyter_client.manager import AsyncKernelManager
manager = AsyncKernelManager()
manager.kernel_spec.metadata = {"kernel_provisioner": {"provisioner_name": "kit-forked"}}
async def go():
    await manager.start_kernel()
    client = manager.client()
    client.start_channels()
    await client.wait_for_ready(timeout=60)
asyncio.run(go())
print(manager.provisioner.pid, flush=True)
time.sleep(600)
"""


def test_when_the_server_is_killed_its_kernels_end():
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    with server:
        kernel = psutil.Process(int(server.stdout.readline()))
        assert kernel.is_running()
        family = psutil.Process(server.pid).children(recursive=True)
        assert kernel in family
        server.kill()
        _, left = psutil.wait_procs(family, timeout=60)
        assert not left
