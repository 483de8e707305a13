"""What every page's kernel needs, imported and used once in the process that they are forks of.

Nothing here may leave a thread behind: a fork has only the one that asks for it.
"""

import gc
from importlib import import_module

from kit.live.budget import cores
from kit.live.panels import Panel
from kit.live.session import Session, ready_process
from kit.live.strips import PANELS
from kit.presets import PRESETS

SCENES = ("parabola", "stabilise", "link", "forced", "steepness", "worth", "rescale")
SCENES += ("batches", "regularisers", "constrained", "league")
KERNEL = ("ipykernel.kernelapp", "ipykernel.zmqshell", "kit.live.forked")


def warm_up() -> None:
    """Three steps with every measure, and their pictures: what they load, all kernels share."""
    training = Session(PRESETS["edge"].config).training
    training.run(3)
    training.measure_aside()
    for key in PANELS:
        Panel(key).encode(training.history, still=True)


for name in ("explorer", "scene_page", "series", *SCENES):
    import_module(f"kit.live.{name}")
for name in KERNEL:
    import_module(name)
ready_process()
cores()
warm_up()
gc.collect()
gc.freeze()  # the collector writes to what it looks at, and memory that is written to is copied
