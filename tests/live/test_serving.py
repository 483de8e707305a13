"""Kernels on a server that is full, and those that wait for a reader."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.web import HTTPError
from traitlets.config import Configurable, JSONFileConfigLoader
from voila.voila_kernel_manager import voila_kernel_manager_factory

from kit.live.serving import BoundedKernels
from tests.browser.servers import ROOT


class Address(Configurable):
    base_url = server_url = "/"
    port = 0


class Kernels(voila_kernel_manager_factory(BoundedKernels, True, 1)):
    """Voila's own pools over kernels that are only names."""

    def __init__(self, pages, **settings):
        BoundedKernels.__init__(self, **settings)
        self.notebook_data, self.fill_delay = {}, 0
        self.parent = Address()
        self._pools = {}
        for page in pages:
            self.fill_if_needed(delay=0, notebook_name=page)

    async def _initialize(self, page, kernel_id=None, **options):
        return {"kernel_id": await BoundedKernels.start_kernel(self, **options), "page": page}

    def waiting(self):
        done = {page: [t for t in pool if t.done()] for page, pool in self._pools.items()}
        return {page: [t.result()["kernel_id"] for t in pool] for page, pool in done.items()}

    async def visit(self, page):
        """What Voila does for a reader: one that waits, or a new one."""
        if self.get_pool_size(page):
            kernel = (await self._pools[page].pop(0))["kernel_id"]
            self.fill_if_needed(notebook_name=page)
            return kernel
        return await self.start_kernel(env={"VOILA_PREHEAT": "False"})


@pytest.fixture
def names(monkeypatch):
    """Kernels start and end at once, and nothing runs."""

    async def start(self, **_):
        name = f"kernel {len(names)}"
        names.append(name)
        self._kernels[name] = SimpleNamespace(last_activity=None)
        return name

    async def shutdown(self, kernel_id, now=False, restart=False):
        if self._kernels.pop(kernel_id, None) is None:
            raise HTTPError(404)

    names = []
    monkeypatch.setattr(AsyncMappingKernelManager, "start_kernel", start)
    monkeypatch.setattr(AsyncMappingKernelManager, "shutdown_kernel", shutdown)
    monkeypatch.setattr("kit.live.serving.REFILL", 0)
    return names


async def settled():
    for _ in range(20):
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    for _ in range(20):
        await asyncio.sleep(0)


def test_one_that_waits_gives_its_place_to_a_reader_of_another_page(names):
    async def story():
        kernels = Kernels(["a", "b", "c"], most=3)
        await settled()
        assert kernels.full
        del kernels._kernels[kernels.waiting()["b"][0]]  # one that waits has died
        kernels._kernels["other"] = SimpleNamespace(last_activity=None)
        readers = [await kernels.visit("a") for _ in range(2)] + ["other"]
        await settled()
        assert len(set(readers)) == 3
        assert set(kernels.list_kernel_ids()) == set(readers)
        assert not any(kernels.waiting().values())
        with pytest.raises(HTTPError, match="503"):
            await kernels.visit("b")

        await kernels.shutdown_kernel(readers.pop())  # a page is closed: one waits again
        await settled()
        assert sum(map(len, kernels.waiting().values())) == 1
        assert kernels.full
        readers.append(await kernels.visit("c"))
        await settled()
        assert set(kernels.list_kernel_ids()) == set(readers)

        for reader in readers:
            await kernels.shutdown_kernel(reader)
        await settled()
        assert [len(pool) for pool in kernels.waiting().values()] == [1, 1, 1]

    asyncio.run(story())


def test_one_that_has_waited_for_long_is_not_culled_before_its_page_has_connected(monkeypatch):
    culled = []

    async def cull(self, kernel_id):
        culled.append(kernel_id)

    monkeypatch.setattr(AsyncMappingKernelManager, "cull_kernel_if_idle", cull)

    async def story():
        kernels = BoundedKernels(most=3)
        old = datetime.now(UTC) - timedelta(hours=1)
        kernels._kernels["a"] = waited = SimpleNamespace(last_activity=old)
        await kernels.cull_kernel_if_idle("a")
        assert culled == []
        assert datetime.now(UTC) - waited.last_activity < timedelta(minutes=1)
        await kernels.cull_kernel_if_idle("a")
        assert culled == ["a"]

    asyncio.run(story())


def test_a_jupyter_server_with_our_settings_bounds_its_kernels_too():
    """As on Binder, where Voila is a part of it."""
    config = JSONFileConfigLoader("voila.json", str(ROOT / "notebooks")).load_config()
    assert ServerApp(config=config).kernel_manager_class is BoundedKernels
