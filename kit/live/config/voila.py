"""What notebooks/voila.json cannot hold: a function. `make serve` names this folder to Voila."""

from kit.live.serving import pages_only

c = get_config()  # noqa: F821
c.VoilaConfiguration.page_config_hook = pages_only
