"""What a page writes into files: columns as CSV, everything else as JSON.

>>> plain({"lr": float("nan"), "hidden": (64, 64)})
{'lr': None, 'hidden': [64, 64]}
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any


def as_csv(columns: Mapping[str, Sequence[float]]) -> str:
    """Columns as text, with their names above; empty where nothing was measured.

    >>> as_csv({"step": [0.0, 1.0], "loss": [0.5, math.nan]})
    'step,loss\\r\\n0.0,0.5\\r\\n1.0,\\r\\n'
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow(["" if isinstance(v, float) and math.isnan(v) else v for v in row])
    return buffer.getvalue()


def plain(value: Any) -> Any:
    """What JSON can hold: NaN and infinity become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value
