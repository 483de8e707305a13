"""python -m kit.live.site --out dist/site --live https://... --pages 01,08"""

import argparse
import sys
import time
from pathlib import Path

from kit.live.site.build import SiteError, build


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m kit.live.site", description="Write the site.")
    parser.add_argument("--out", type=Path, default=Path("dist/site"), help="the folder")
    parser.add_argument("--live", default="", help="where the live pages are, if anywhere")
    parser.add_argument("--pages", default="", help="only some: 01,08")
    asked = parser.parse_args()
    start = time.perf_counter()
    try:
        names = build(asked.out, asked.live, [n for n in asked.pages.split(",") if n])
    except SiteError as error:
        sys.exit(f"site: {error}")
    size = sum(file.stat().st_size for file in asked.out.rglob("*") if file.is_file())
    seconds = time.perf_counter() - start
    print(f"{asked.out}: {len(names)} pages, {size / 1e6:.1f} MB, in {seconds:.0f} s. Look at it:")
    print(f"    python3 -m http.server --directory {asked.out}")


if __name__ == "__main__":
    main()
