#!/usr/bin/env python3
"""Cuts the power of a real ext4 under a real broker under TLS load; the clients' logs judge.

    SINKD_BUILD=build python3 test/system/power_cuts.py [--cycles N] [--seed S] [--logs DIR]
                                                        [--canary]

As kill_cycles.py, whose load and checker these are, with EXT4_IOC_SHUTDOWN on a loop mount as the
blow: what was not flushed to the journal and the disk is gone. Needs root, loop devices and ext4;
says what is lacking and ends with 77 otherwise. Status 0: nothing was lost, reordered, or repeated
beyond the promise. --canary runs the broker with sync = "never", and fails unless that is noticed.
"""

import argparse
import collections
import pathlib
import random
import shutil
import signal
import sys
import tempfile

import kill_cycles
from ext4_disk import Ext4Disk, Lacking
from sink_peer import wait_until

SKIPPED = 77
STORAGE_FAILED = 74


def _stopped(pid):
    states = [path.read_text().rsplit(")", 1)[1].split()[0]
              for path in pathlib.Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(state == "T" for state in states)


class PowerCut:
    """The file system stops in the middle; then the process goes on and notices, or is killed.

    While the ioctl works, the process stands still: an fdatasync that is under way meanwhile may
    return 0 although its data is gone (seen with Linux 6.18 and a bare writer, in 11 of 300 cuts),
    which no power cut does. One that begins afterwards fails, as it should.
    """

    def __init__(self, disk):
        self._disk = disk
        self.ends = collections.Counter()

    def strike(self, daemon):
        daemon.assert_running()
        daemon.expected_to_run = False
        daemon.signal(signal.SIGSTOP)
        wait_until(lambda: _stopped(daemon.pid), "the process stands still", interval=0.001)
        self._disk.cut_power()
        daemon.signal(signal.SIGKILL if sum(self.ends.values()) % 4 else signal.SIGCONT)
        status = daemon.wait_exit()
        if status not in (-signal.SIGKILL, STORAGE_FAILED):
            raise AssertionError(f"ended with {status}:\n{daemon.stderr_text()[-4_000:]}")
        self.ends["ended with 74" if status == STORAGE_FAILED else "killed"] += 1

    def mend(self, _daemon):
        self._disk.unmount()
        self._disk.mount()


def main():
    parser = argparse.ArgumentParser(description="power cuts of an ext4 under load")
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--logs", help="keep the clients' logs here (made if need be)")
    parser.add_argument("--canary", action="store_true", help="losses are wanted")
    arguments = parser.parse_args()
    logs = pathlib.Path(arguments.logs or tempfile.mkdtemp(prefix="sinkd-cuts-"))
    logs.mkdir(parents=True, exist_ok=True)
    try:
        disk = Ext4Disk()
    except Lacking as lack:
        print(f"skipped: this needs {lack}")
        return SKIPPED
    print(f"seed {arguments.seed}, logs in {logs}", flush=True)
    try:
        blow = PowerCut(disk)
        summary = kill_cycles.run(arguments.cycles, arguments.seed, logs, blow,
                                  disk.path / "data", "never" if arguments.canary else "always")
    except Lacking as lack:
        print(f"skipped: this needs {lack}")
        return SKIPPED
    except AssertionError as error:  # clients that the broker forgot are turned away: loss enough
        if not arguments.canary:
            raise
        print(f"noticed: {str(error)[:200]}")
        return 0
    finally:
        disk.close()
    print(summary.text())
    print(f"power cuts: {dict(blow.ends)}")
    if arguments.canary:
        return 0 if summary.verdict.violations else 1
    if summary.verdict.violations:
        return 1
    if not arguments.logs:
        shutil.rmtree(logs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
