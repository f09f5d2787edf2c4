"""The suites that judge planted bugs, and what they say of one.

Responsible for building the planted copy's programs and for running them; which bugs there are is
the caller's (run, sweep). A bug meets the suites that have its layer in them, the quickest first,
until one fails.
"""

import dataclasses
import os
import pathlib
import re
import subprocess
import time

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
# A bug may make a suite wait for ever: so long it may take, whatever it takes without a bug.
PATIENCE = (60, 20)  # seconds, and times what it takes without a bug


@dataclasses.dataclass
class Suite:
    name: str
    program: str           # below the build directory
    layers: tuple          # whose code is in the program: no other bug can show
    arguments: tuple = ()
    failure: str = ""      # what names the failure, first group, in its output
    seconds: float = 0     # without a bug

    def command(self, build):
        return [build / self.program, *(a.format(source=build.parent) for a in self.arguments)]


PROTOCOL = ("protocol/",)
STORAGE = ("storage/",)
ALL = ("protocol/", "storage/", "daemon/broker/")
DOCTEST = r"^TEST CASE:\s*(.+)$"
CHECKED = r"^  values: CHECK\( (.+?);?\s+==  \)$"
STOP = "--abort-after=1"
SUITES = [
    Suite("conversations", "test/conversation/replay_conversations", PROTOCOL,
          ("{source}/test/conversation",), r"^FAIL (\S+),"),
    Suite("protocol", "test/unit/protocol/protocol_test", PROTOCOL, (STOP,), DOCTEST),
    Suite("crash points", "test/crash/crash_points_test", STORAGE,
          ("--states=60000", "--threads=1", STOP), CHECKED),
    Suite("storage", "test/unit/storage/storage_test", STORAGE, (STOP,), DOCTEST),
    Suite("log inspection", "tools/test_log_inspection", STORAGE, (STOP,), DOCTEST),
    Suite("faults", "test/crash/fault_points_test", STORAGE, (STOP,), CHECKED),
    Suite("broker", "test/unit/broker/broker_test", ALL, (STOP,), DOCTEST),
    Suite("simulation", "test/simulation/sinksim", ALL,
          ("--seeds=300", "--jobs=1", "--quiet"), r"^(seed \d+: .+)$"),
]


@dataclasses.dataclass
class Outcome:
    failure: str | None  # None: passed
    seconds: float


def run_suite(suite, build, number, patience=PATIENCE):
    """One suite with one bug (0: none)."""
    environment = dict(os.environ, SINKD_PLANTED=str(number))
    patience_s = patience[0] + patience[1] * suite.seconds
    began = time.monotonic()
    try:
        done = subprocess.run(suite.command(build), env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=patience_s, check=False)
    except subprocess.TimeoutExpired:
        return Outcome("does not end", time.monotonic() - began)
    seconds = time.monotonic() - began
    if done.returncode == 0:
        return Outcome(None, seconds)
    named = re.search(suite.failure, done.stdout.decode("utf-8", "replace"), re.MULTILINE)
    status = f"status {done.returncode}"
    return Outcome(named.group(1).strip() if named else status, seconds)


def build_planted(tree, build, jobs):
    """The finished process of the build, as far as it gets, with what it has printed."""
    if not (build / "build.ninja").exists():
        subprocess.run(["meson", "setup", build, tree], stdout=subprocess.DEVNULL, check=True)
    targets = [suite.program for suite in SUITES]
    return subprocess.run(["ninja", "-C", build, "--quiet", "-k0", f"-j{jobs}", *targets],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def check_without_bugs(build):
    """Fills in how long each suite takes; False: one of them fails although nothing is planted."""
    fine = True
    for suite in SUITES:
        outcome = run_suite(suite, build, 0)
        suite.seconds = outcome.seconds
        print(f"no bug: {suite.name} {'passes' if outcome.failure is None else 'FAILS'} "
              f"in {outcome.seconds:.1f} s{': ' + outcome.failure if outcome.failure else ''}")
        fine = fine and outcome.failure is None
    return fine


def judge(mutant, build, patience=PATIENCE):
    """(killed, the line to print)."""
    began = time.monotonic()
    for suite in SUITES:
        if not mutant.file.startswith(suite.layers):
            continue
        outcome = run_suite(suite, build, mutant.number, patience)
        if outcome.failure is not None:
            return True, (f"{mutant.number} {mutant.name}: killed by {suite.name} "
                          f"({outcome.failure}) in {time.monotonic() - began:.1f} s")
    return False, (f"{mutant.number} {mutant.name}: SURVIVED; the hole: no suite notices in "
                   f"{mutant.file} that this is broken: {mutant.breaks}")
