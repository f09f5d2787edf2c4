#!/usr/bin/env python3
"""Runs every suite in a process of its own, prints totals, ends with "N passed, N failed".

    SINKD_BUILD=build python3 test/system/run_all.py [SUITE ...] [-k PATTERN]

A suite is named as its file ("test_delivery" or "delivery"). The status is 0 only where nothing
failed. A skipped test counts as neither; its reason is printed.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
SUITE_SECONDS_MAX = int(os.environ.get("SINKD_TEST_SUITE_SECONDS", "1800"))


def all_suites():
    return sorted(path.stem for path in HERE.glob("test_*.py"))


def run_one(suite, patterns, result_path):
    """In the suite's own process: runs it and writes its numbers down."""
    sys.path.insert(0, str(HERE))
    loader = unittest.TestLoader()
    if patterns:
        loader.testNamePatterns = [p if "*" in p else f"*{p}*" for p in patterns]
    result = unittest.TextTestRunner(verbosity=2).run(loader.loadTestsFromName(suite))
    failed = {case.id() for case, _ in result.failures + result.errors}
    failed |= {case.id() for case in result.unexpectedSuccesses}
    failed_tests = {name.split(" ")[0] for name in failed}
    skipped = [f"{case.id()}: {reason}" for case, reason in result.skipped]
    passed = max(0, result.testsRun - len(failed_tests) - len(skipped))
    pathlib.Path(result_path).write_text(json.dumps(
        {"passed": passed, "failed": sorted(failed_tests), "skipped": skipped}))


def run_in_process(suite, patterns):
    """The numbers of one suite; a suite that hangs or dies counts as one failure."""
    with tempfile.NamedTemporaryFile(prefix="sinkd-suite-", suffix=".json") as result:
        command = [sys.executable, str(HERE / "run_all.py"), "--one", suite,
                   "--result", result.name]
        for pattern in patterns:
            command += ["-k", pattern]
        try:
            subprocess.run(command, timeout=SUITE_SECONDS_MAX, check=False)
        except subprocess.TimeoutExpired:
            return {"passed": 0, "failed": [f"{suite}: not done after {SUITE_SECONDS_MAX} s"],
                    "skipped": []}
        text = pathlib.Path(result.name).read_text()
    if not text:
        return {"passed": 0, "failed": [f"{suite}: ended without a result"], "skipped": []}
    return json.loads(text)


def parse_arguments():
    parser = argparse.ArgumentParser(description="the system suites of sinkd")
    parser.add_argument("suites", nargs="*", metavar="SUITE")
    parser.add_argument("-k", dest="patterns", action="append", default=[], metavar="PATTERN")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--result", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.suites = [s if s.startswith("test_") else f"test_{s}" for s in arguments.suites]
    unknown = set(arguments.suites) - set(all_suites())
    if unknown:
        parser.error(f"no suite {', '.join(sorted(unknown))}; there are {', '.join(all_suites())}")
    return arguments


def main():
    arguments = parse_arguments()
    if arguments.one:
        run_one(arguments.one, arguments.patterns, arguments.result)
        return 0
    if "SINKD_BUILD" not in os.environ:
        sys.exit("SINKD_BUILD is not set: point it at sinkd's build directory")
    totals = {}
    for suite in arguments.suites or all_suites():
        started = time.monotonic()
        totals[suite] = run_in_process(suite, arguments.patterns)
        totals[suite]["seconds"] = time.monotonic() - started
    for suite, numbers in totals.items():
        print(f"{suite:20} {numbers['passed']:4} passed {len(numbers['failed']):4} failed "
              f"{len(numbers['skipped']):4} skipped {numbers['seconds']:8.1f} s")
        for reason in numbers["skipped"]:
            print(f"    skipped {reason}")
        for name in numbers["failed"]:
            print(f"    FAILED  {name}")
    passed = sum(numbers["passed"] for numbers in totals.values())
    failed = sum(len(numbers["failed"]) for numbers in totals.values())
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
