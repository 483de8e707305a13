"""The pictures of the welcome page, one a page of the series: `python -m kit.live.gallery`.

Each is what its page shows once the question is answered, so the gallery shows what is computed.

>>> sorted(PAGES)[:2]
['01_step_too_big', '02_sharpness_live']
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from kit.live.scene import Scene
from kit.live.scene_page import ScenePage

FOLDER = Path(__file__).resolve().parents[2] / "notebooks" / "images"


def _scene(module: str, name: str, key: str, *actions: tuple) -> Callable[[], bytes]:
    def make() -> bytes:
        from importlib import import_module

        scene: Scene = getattr(import_module(f"kit.live.{module}"), name)()
        page = ScenePage(scene)
        page.handle("skip", None)
        for action in actions:
            page.handle(*action)
        while scene.working or scene.running:
            scene.work(0.05)
        return page.image(key, still=True)

    return make


def _sharpness() -> bytes:
    from kit.live.panels import Panel
    from kit.stored import stored_run

    labels = {"threshold": "2/η", "flow_sharpness": ""}
    strips = Panel("sharpness").strips[:1]
    return Panel("sharpness", strips).encode(stored_run("edge"), labels=labels, still=True)


PAGES: Mapping[str, Callable[[], bytes]] = {
    "01_step_too_big": _scene("parabola", "Parabola", "valley", ("lr", 1.2)),
    "02_sharpness_live": _sharpness,
    "03_why_two_over_eta": _scene("stabilise", "Stabilise", "plane", ("drift", 0.03)),
    "04_steep_function": _scene("link", "Link", "plane"),
    "05_why_must_it_grow": _scene("forced", "Forced", "fit"),
    "06_can_samples_tell": _scene("steepness", "Steepness", "rate", ("d", 2)),
    "07_worth_anything": _scene("worth", "Worth", "noise"),
    "08_property_of_the_function": _scene("rescale", "Rescale", "measures"),
    "09_batch_size": _scene("batches", "Batches", "gaps"),
    "10_regularisers": _scene("regularisers", "Regularisers", "signs"),
    "11_soft_rank": _scene("constrained", "Constrained", "cases"),
    "12_which_measure": _scene("league", "League", "curvature"),
}


def main() -> None:
    for name, make in PAGES.items():
        (FOLDER / f"{name[:2]}.png").write_bytes(make())
        print(f"{name[:2]}.png")


if __name__ == "__main__":
    main()
