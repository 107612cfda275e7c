"""How long tests take, in tests/durations.txt: `pytest --durations=0 > said; python tests/helpers/durations.py said` writes it anew.

A line is a test that takes a second or more, all its cases together a file that takes three. What is not there is quick.
"""
import re, sys
from collections import Counter
from pathlib import Path

from places import TESTS

FILE, TEST, FROM = TESTS/"durations.txt", 1.0, 3.0
LINE = re.compile(r"([\d.]+)s (?:call|setup|teardown) +((\S+?\.py)::[^\[\s]+)")


def measured():
    "Seconds by file, and the tests that are slow"
    rows = [line.split() for line in FILE.read_text().splitlines()]
    return {name: float(seconds) for seconds, name in rows if "::" not in name}, {name for _, name in rows if "::" in name}


def write(said):
    files, tests = Counter(), Counter()
    for seconds, test, file in LINE.findall(said):
        files[file] += float(seconds)
        tests[test] = max(tests[test], float(seconds))
    rows = [(s, name) for name, s in (files | tests).items() if s >= (TEST if "::" in name else FROM)]
    FILE.write_text("".join(f"{s:.1f} {name}\n" for s, name in sorted(rows, key=lambda row: row[1])))


if __name__ == "__main__": write(Path(sys.argv[1]).read_text())
