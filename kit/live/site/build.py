"""Writes the site: a page for each notebook, its tour, and the gallery that leads to them.

>>> live_link("https://a.org/voila/render/00_welcome.ipynb", "08_b")
'https://a.org/voila/render/08_b.ipynb'
>>> live_link("https://a.org/kit", "08_b")
'https://a.org/kit/voila/render/08_b.ipynb'
"""

from __future__ import annotations

import base64
import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from kit.live.export import plain
from kit.live.glossary import GLOSSARY
from kit.live.site.film import Film, film, page_of
from kit.live.site.prose import Prose, description, title
from kit.live.site.tours import TOURS

HERE = Path(__file__).resolve().parent
NOTEBOOKS = HERE.parents[2] / "notebooks"
LOOK = HERE.parent / "template" / "static"
WELCOME = "00_welcome"
GENERATOR = "sharpness-kit site 1"  # by which a folder is known to be one of ours
AT_ONCE = 4  # pages at most that are made at the same time: each takes some 400 MB


class SiteError(Exception):
    """What was asked for cannot be built; says why, and what to do."""


def build(out: Path, live: str = "", numbers: Sequence[str] = ()) -> list[str]:
    """Write the site into a folder, in place of the one that is there; the names of its pages.

    `live`: where the live pages are, "" where nowhere. `numbers`: of the pages, "08"; default all.
    It is built beside the folder and then takes its place, so a failure loses nothing.
    """
    out, names = Path(out).resolve(), _names(numbers)
    _check(out, live)
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
    try:
        _write(fresh, live, names)
        fresh.chmod(0o755)
        _take_the_place(fresh, out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return names


def live_link(live: str, name: str) -> str:
    """The address of a live page; `live`: that of the live gallery, or of a Voila server."""
    if not live:
        return ""
    gallery = f"{WELCOME}.ipynb"
    if gallery in live:
        return live.replace(gallery, f"{name}.ipynb")
    return f"{live.rstrip('/')}/voila/render/{name}.ipynb"


def _names(numbers: Sequence[str]) -> list[str]:
    known = {name[:2]: name for name in TOURS}
    if unknown := [number for number in numbers if number not in known]:
        raise SiteError(f"pages: got {', '.join(unknown)}; takes some of {', '.join(known)}")
    return [known[number] for number in sorted(set(numbers))] if numbers else sorted(TOURS)


def _check(out: Path, live: str) -> None:
    if not NOTEBOOKS.is_dir():
        raise SiteError("the notebooks are not here: build the site in a clone of the kit")
    if live and urlsplit(live).scheme not in ("http", "https"):
        raise SiteError(f"live: got {live}; takes an address that begins with https:// or http://")
    if out.exists() and not out.is_dir():
        raise SiteError(f"{out}: is a file; take the name of a folder")
    index = out / "index.html"
    ours = index.is_file() and GENERATOR in index.read_text(encoding="utf-8", errors="replace")
    if out.is_dir() and any(out.iterdir()) and not ours:
        raise SiteError(f"{out}: is not empty, and no site of ours; take another folder")


def _take_the_place(fresh: Path, out: Path) -> None:
    before = fresh.with_name(f"{fresh.name}-before")
    if out.exists():
        out.rename(before)
    try:
        fresh.rename(out)
    except BaseException:
        if before.exists():
            before.rename(out)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _write(folder: Path, live: str, names: Sequence[str]) -> None:
    films = _films(folder, names)
    notebooks = {name: _notebook(name) for name in (WELCOME, *names)}
    template = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    ).get_template("page.html.j2")
    prose = Prose(names)
    links = [{"name": name, "title": title(notebooks[name])} for name in names]
    for name, notebook in notebooks.items():
        place = names.index(name) if name in films else 0
        text = template.render(
            title=title(notebook),
            description=description(notebook),
            generator=GENERATOR,
            icon=_icon(),
            prose=[Markup(prose.html(c.source)) for c in notebook.cells if c.cell_type != "code"],
            film=films.get(name),
            folder=name[:2],
            live=live_link(live, name),
            binder="mybinder.org" in live,
            before=links[place - 1] if place else None,
            after=links[place + 1] if name in films and place + 1 < len(links) else None,
        )
        file = "index.html" if name == WELCOME else f"{name}.html"
        (folder / file).write_text(text, encoding="utf-8")
    style = [LOOK / "kit.css", HERE.parent / "stage.css", HERE / "site.css"]
    (folder / "site.css").write_text("\n".join(_text(file) for file in style), encoding="utf-8")
    script = [_text(HERE.parent / "explainer.js"), f"const GLOSSARY = {json.dumps(GLOSSARY)};"]
    script.append(_text(HERE / "site.js"))
    (folder / "site.js").write_text("\n".join(script), encoding="utf-8")
    (folder / "images").mkdir()
    for name in names:
        picture = Image.open(NOTEBOOKS / "images" / f"{name[:2]}.png").convert("RGB")
        picture.save(folder / "images" / f"{name[:2]}.webp", quality=80, method=4)


def _films(folder: Path, names: Sequence[str]) -> dict[str, Film]:
    """The tours, each played in a process of its own where there are several."""
    jobs = [(name, folder / name[:2]) for name in names]
    for _, place in jobs:
        place.mkdir()
    workers = min(len(jobs), os.cpu_count() or 1, AT_ONCE)
    if workers == 1:
        return {name: _film(name, place) for name, place in jobs}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, max_tasks_per_child=1) as pool:
        # The last pages take longest.
        results = {name: pool.submit(_film, name, place) for name, place in reversed(jobs)}
        return {name: results[name].result() for name in names}


def _film(name: str, place: Path) -> Film:
    """Play one tour; its pictures, and what is not to be seen before the guess, are in `place`."""
    made = film(page_of(_notebook(name)), TOURS[name], place)
    told = {"because": made.question.because, "guesses": made.guesses, "frames": made.frames}
    text = json.dumps(plain(told), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    (place / "tour.js").write_text(f"kitTour({text});\n", encoding="utf-8")
    return made


def _notebook(name: str) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4)


def _icon() -> str:
    icon = base64.b64encode((LOOK / "icon.svg").read_bytes()).decode()
    return f"data:image/svg+xml;base64,{icon}"


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")
