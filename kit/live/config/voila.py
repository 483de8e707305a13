"""What notebooks/voila.json cannot hold: code. `make serve` names this folder to Voila."""

from kit.live.forked import make_ready
from kit.live.serving import pages_only

c = get_config()  # noqa: F821
c.VoilaConfiguration.page_config_hook = pages_only
c.VoilaConfiguration.multi_kernel_manager_class = "kit.live.serving.BoundedKernels"
c.ContentsManager.hide_globs = ["__pycache__", "instructor", "*.json", "*.pyc"]
make_ready()
