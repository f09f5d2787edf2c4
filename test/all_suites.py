"""Runs meson's tests, the system suites and the fuzzers, adds their counts up.

Prints one closing line.

A doctest program counts as its test cases, any other program as one.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

DOCTEST = re.compile(r"test cases:\s*\d+ \|\s*(\d+) passed \|\s*(\d+) failed")
TOTAL = re.compile(r"^(\d+) passed, (\d+) failed", re.MULTILINE)


def count(text, succeeded):
    """(passed, failed) of one test program's output."""
    found = DOCTEST.findall(text)
    passed = sum(int(p) for p, _ in found)
    failed = sum(int(f) for _, f in found)
    if succeeded:
        return max(passed, 1), failed
    return passed, max(failed, 1)


def run_meson(build):
    subprocess.run(["meson", "test", "-C", build, "--no-rebuild", "--print-errorlogs"], check=False)
    passed = failed = 0
    log = pathlib.Path(build, "meson-logs", "testlog.json")
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        test = json.loads(line)
        if test["result"] == "SKIP":
            print(f"skipped: {test['name']}")
            continue
        p, f = count(test.get("stdout") or "", test["result"] == "OK")
        passed, failed = passed + p, failed + f
    return passed, failed


def run_system(build, suites):
    env = dict(os.environ, SINKD_BUILD=os.path.abspath(build))
    run = subprocess.run(
        [sys.executable, "test/system/run_all.py", *suites],
        env=env, stdout=subprocess.PIPE, text=True, check=False)
    sys.stdout.write(run.stdout)
    totals = TOTAL.findall(run.stdout)
    if not totals:
        return 0, 1
    passed, failed = map(int, totals[-1])
    return passed, max(failed, 1) if run.returncode != 0 else failed


def run_script(*command):
    """One of the suites that end with their own totals."""
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    sys.stdout.write(run.stdout)
    totals = TOTAL.findall(run.stdout)
    if not totals:
        return 0, 1
    return tuple(map(int, totals[-1]))


def main():
    build, suites = sys.argv[1], sys.argv[2:]
    passed, failed = (0, 0) if suites else run_meson(build)
    more_passed, more_failed = run_system(build, suites)
    passed, failed = passed + more_passed, failed + more_failed
    scripts = [] if suites else [
        ["test/simulation/same_under_clang", build],
        # Replays the corpora under sanitizers; searches on only if asked to (docs/reliability.md).
        ["test/fuzz/run", "--seconds", os.environ.get("FUZZ_SECONDS", "0")],
    ]
    for script in scripts:
        more_passed, more_failed = run_script(*script)
        passed, failed = passed + more_passed, failed + more_failed
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
