"""The pictures of the teacher's guide, one a lab: `python -m kit.lab_pictures`.

Each is what a student gets who solved the lab: the cells of the instructor's notebook run here, up
to the one that draws. Only the drawing is kept, so no picture shows code.

>>> sorted(PICTURES)[:2]
['lab_a', 'lab_b']
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping

from kit.labs import SOURCE

FOLDER = SOURCE.parent / "pictures"
DPI = 80

# The id of the cell that draws.
PICTURES: Mapping[str, str] = {
    "lab_a": "cell-edge-plot",
    "lab_b": "cell-15",
    "lab_c": "cell-15",
    "lab_d": "cell-16",
    "lab_e": "cell-14",
    "lab_f": "cell-20",
}


def picture(lab: str) -> bytes:
    """The lab's picture as PNG, drawn anew."""
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    notebook = json.loads((SOURCE / f"{lab}.ipynb").read_text(encoding="utf-8"))
    out, known = io.BytesIO(), {"__name__": lab}
    keep = plt.show
    plt.show = lambda: plt.gcf().savefig(out, format="png", dpi=DPI, bbox_inches="tight")
    try:
        with plt.style.context("default"), contextlib.redirect_stdout(io.StringIO()):
            for cell in notebook["cells"]:
                if cell["cell_type"] == "code":
                    out.seek(0)
                    out.truncate()
                    exec(compile("".join(cell["source"]), lab, "exec"), known)
                    plt.close("all")
                if cell["id"] == PICTURES[lab]:
                    return out.getvalue()
    finally:
        plt.show = keep
    raise ValueError(f"{lab}: no cell {PICTURES[lab]!r}")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for lab in PICTURES:
        (FOLDER / f"{lab}.png").write_bytes(picture(lab))
        print(f"{lab}.png")


if __name__ == "__main__":
    main()
