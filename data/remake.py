"""Make the tables of the evidence pages again: `python data/remake.py [STUDY ...] [--check]`.

Each is data/tables/STUDY.csv, a row a trained network, with STUDY.meta.json beside it. What is in
them is fixed in kit/studies.py. --check trains three rows of each again, drawn by the seed --draw,
and compares, without writing.
"""

import argparse
import json
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

from kit.studies import SEEDS, STUDIES, stored_table
from kit.sweep_engines import train_one

FOLDER = Path(__file__).parent / "tables"
KEEP = 6  # significant digits
COMPARED = ("train_loss", "loss_gap", "error_gap", "sharpness")


def remake(name):
    start, study = time.perf_counter(), STUDIES[name]
    tables = []
    for part in study.parts:
        began = time.perf_counter()
        tables.append(study.run(part, progress=False))
        print(f"{name}: {part}: {time.perf_counter() - began:.0f} s", flush=True)
    import pandas as pd

    table = pd.concat(tables, ignore_index=True)
    FOLDER.mkdir(exist_ok=True)
    table.to_csv(FOLDER / f"{name}.csv", index=False, float_format=f"%.{KEEP}g")
    meta = {
        "script": f"python data/remake.py {name}",
        "rows": len(table),
        "seeds": list(SEEDS),
        "seconds": round(time.perf_counter() - start),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__.split("+")[0],
        "numpy": np.__version__,
    }
    text = json.dumps(meta, indent=1) + "\n"
    (FOLDER / f"{name}.meta.json").write_text(text, encoding="utf-8")


def differences(name, draw, count=3):
    """Rows trained again, alone, against the table: (part, run, column, stored, now, allowed).

    Paths at the edge, and long ones with small batches, are chaotic: rounding alone changes them.
    So a number may differ by 2%, or by what the seeds of its settings differ by.
    """
    table, study = stored_table(name), STUDIES[name]
    rng = np.random.default_rng(draw)
    found = []
    for at in sorted(rng.choice(len(table), count, replace=False)):
        row = table.iloc[at]
        part = study.parts[row["part"]]
        now = train_one(part.plan(), part.runs()[int(row["run"])])
        settings = [c for c in (*part.grid, "part") if c != "seed"]
        alike = table[(table[settings].astype(str) == row[settings].astype(str)).all(axis=1)]
        for column in COMPARED:
            stored, fresh = float(row[column]), float(now.get(column, math.nan))
            spread = float(np.ptp(alike[column].to_numpy(float)))
            allowed = max(0.02 * abs(stored), spread)
            found.append((row["part"], int(row["run"]), column, stored, fresh, allowed))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="*", metavar="STUDY", help="default: all")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--draw", type=int, default=0)
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.studies) - set(STUDIES))
    if unknown:
        parser.error(f"{unknown[0]}: takes {', '.join(STUDIES)}")
    torch.set_num_threads(1)
    bad = 0
    for name in chosen.studies or STUDIES:
        if not chosen.check:
            remake(name)
            continue
        for part, run, column, stored, now, allowed in differences(name, chosen.draw):
            good = abs(now - stored) <= allowed or (math.isnan(now) and math.isnan(stored))
            bad += not good
            print(f"{name}: {part}, run {run}: {column} {stored:.4g}, now {now:.4g}", flush=True)
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
