"""What a server of the pages does not serve: the instructors' notebooks, which hold solutions.

>>> is_kept_back("labs/instructor/lab_a.ipynb"), is_kept_back("labs//x/../Instructor/lab_a.ipynb")
(True, True)
>>> is_kept_back("02_sharpness_live.ipynb")
False
"""

from __future__ import annotations

import posixpath
from typing import Any

KEPT_BACK = "instructor"


def is_kept_back(path: str) -> bool:
    """Whether a notebook lies in a folder that no reader is shown, however the path is written."""
    parts = posixpath.normpath(path.replace("\\", "/")).lower().split("/")
    return KEPT_BACK in parts[:-1]


def pages_only(page_config: dict[str, Any], *, notebook_path: str, **_: Any) -> dict[str, Any]:
    """Voila's `page_config_hook`: answers 404 before a kernel is started."""
    if is_kept_back(notebook_path):
        from tornado.web import HTTPError

        raise HTTPError(404, f"{notebook_path} can not be found")
    return page_config
