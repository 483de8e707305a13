"""python -m kit doctor"""

import sys

USAGE = """\
usage: python -m kit doctor

doctor    checks Python, packages, torch, data files, the page's template, ports, memory and speed;
          a line each, and what to do where something fails. Ends with 0 when all is well, else 1.

The pages: make serve. The package in Python: import kit. Both are described in README.md."""


def main(arguments):
    """The exit code."""
    if arguments == ["doctor"]:
        from kit.doctor import run

        return run()
    if arguments in ([], ["--help"], ["-h"]):
        print(USAGE)
        return 0
    got = " ".join(arguments)
    print(f"python -m kit: got {got!r}; takes doctor\n\n{USAGE}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
