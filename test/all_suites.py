"""Runs meson's tests, the system suites and the fuzzers, adds their counts up.

At the end it says once more what failed, with the end of its output, then the totals.

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
END_LINES = 12  # of the output of what failed


def count(text, succeeded):
    """(passed, failed) of one test program's output."""
    found = DOCTEST.findall(text)
    passed = sum(int(p) for p, _ in found)
    failed = sum(int(f) for _, f in found)
    if succeeded:
        return max(passed, 1), failed
    return passed, max(failed, 1)


class Totals:
    def __init__(self):
        self.passed = self.failed = 0
        self.failures = []

    def add(self, name, passed, failed, output):
        self.passed += passed
        self.failed += failed
        if failed:
            end = output.splitlines()[-END_LINES:]
            self.failures.append("\n".join([f"FAILED {name}", *(f"    {line}" for line in end)]))

    def add_run(self, name, run):
        """A suite that ends with its own totals."""
        sys.stdout.write(run.stdout)
        found = TOTAL.findall(run.stdout)
        passed, failed = map(int, found[-1]) if found else (0, 0)
        self.add(name, passed, max(failed, 1) if run.returncode != 0 else failed, run.stdout)


def run_meson(build, totals):
    subprocess.run(["meson", "test", "-C", build, "--no-rebuild", "--print-errorlogs"], check=False)
    log = pathlib.Path(build, "meson-logs", "testlog.json")
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        test = json.loads(line)
        if test["result"] == "SKIP":
            print(f"skipped: {test['name']}")
            continue
        output = test.get("stdout") or ""
        totals.add(test["name"], *count(output, test["result"] == "OK"),
                   output + (test.get("stderr") or ""))


def run(*command, **environment):
    return subprocess.run(command, env=dict(os.environ, **environment), stdout=subprocess.PIPE,
                          text=True, check=False)


def main():
    build, suites = sys.argv[1], sys.argv[2:]
    totals = Totals()
    if not suites:
        run_meson(build, totals)
    totals.add_run("system suites", run(sys.executable, "test/system/run_all.py", *suites,
                                        SINKD_BUILD=os.path.abspath(build)))
    if not suites:
        totals.add_run("same_under_clang", run("test/simulation/same_under_clang", build))
        totals.add_run("fuzzers", run("test/fuzz/run", "--seconds",
                                      os.environ.get("FUZZ_SECONDS", "60")))
    for failure in totals.failures:
        print(failure)
    print(f"{totals.passed} passed, {totals.failed} failed")
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main())
