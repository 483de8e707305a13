"""`make bench`: the figures of README's performance table, medians of several runs.

Ratios compare two programs in one process; absolute figures are printed, not judged. The bars are
those of the project's issues; the program ends with 1 where a judged one is missed.
"""

import sys

from tests.bench import browser, engine, numerics, pages, tables, visits

OWN = (numerics, engine, pages, browser, visits, tables)
BARS = tuple(figure for module in OWN for figure in module.FIGURES)


def main() -> int:
    missed = 0
    for figure in BARS:
        value, text = figure.measure()
        met = figure.bar is None or figure.bar(value)
        missed += not met
        verdict = "" if figure.bar is None else (" (bar met)" if met else " (BAR MISSED)")
        print(f"{figure.name}: {text}{verdict}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
