#!/usr/bin/env python3
"""Fails every call of sinkd, one by one, and judges what becomes of the broker.

    SINKD_BUILD=build python3 test/system/fault_matrix.py [--all] [--only CALL,...]
                                                          [--allocations N] [--part I/N]

A canonical life (recovery, publisher, subscriber, NACK and quarantine, sinkctl, metrics, SIGHUP,
SIGTERM) is recorded; then it is lived again for each call, each number of the call, each plausible
errno, once and from then on; likewise for the first allocation of each place that makes one, told
by its callers. Orderly is: the broker serves on and ends
with 0 on SIGTERM, or ends by itself with a status of sinkd(8); a start without the fault then
delivers everything that was ACKed, and its books balance. Without --all a sample that is the same
every time. Status 0: all was orderly.
"""

import argparse
import collections
import errno
import itertools
import os
import subprocess
import sys
import time
from dataclasses import dataclass

from fault_life import Life, Template
from fault_plan import ALWAYS, CALLS, ONCE, SHORTEN, FaultPlan
from pki_fixture import sinkd_program

SAMPLE_CALLS = 120
SAMPLE_ALLOCATIONS = 30

_MEMORY = ("ENOMEM",)
_DESCRIPTORS = ("EMFILE", "ENFILE")
# What the manual pages name and a healthy caller can meet; read and write are those of sockets.
ERRNOS = {
    "open": ("EACCES", *_DESCRIPTORS),
    "openat": ("EIO", "ENOSPC", "EACCES", "EINTR", *_DESCRIPTORS),
    "fopen": ("EIO", "EACCES", "EMFILE"), "fdopendir": _MEMORY, "readdir": ("EIO",),
    "pread": ("EIO", "EINTR"), "pwrite": ("EIO", "ENOSPC", "EDQUOT", "EFBIG", "EINTR"),
    "fdatasync": ("EIO", "ENOSPC", "EDQUOT", "EINTR"), "fsync": ("EIO", "ENOSPC", "EINTR"),
    "fallocate": ("EIO", "ENOSPC", "EOPNOTSUPP", "EINTR"), "ftruncate": ("EIO", "EINTR"),
    "renameat": ("EIO", "ENOSPC"), "unlinkat": ("EIO", "EACCES"), "unlink": ("EIO", "EACCES"),
    "mkdir": ("EACCES", "ENOSPC"), "flock": ("EWOULDBLOCK", "ENOLCK", "EINTR"), "fstat": ("EIO",),
    "lstat": ("EIO", "EACCES"), "fstatvfs": ("EIO",), "chmod": ("EPERM",), "fchmod": ("EPERM",),
    "getrandom": ("EAGAIN", "EINTR"), "socket": (*_DESCRIPTORS, "ENOBUFS"),
    "bind": ("EADDRINUSE", "EACCES"), "listen": ("EADDRINUSE",), "connect": ("EAGAIN",),
    "accept4": (*_DESCRIPTORS, "ENOBUFS", "ECONNABORTED", "EPERM", "EINTR"),
    "shutdown": ("ENOTCONN",), "getsockopt": ("ENOBUFS",), "setsockopt": ("ENOBUFS",),
    "getsockname": ("ENOBUFS",), "getpeername": ("ENOTCONN", "ENOBUFS"),
    "epoll_create1": (*_DESCRIPTORS, "ENOMEM"), "epoll_ctl": ("ENOMEM", "ENOSPC"),
    "epoll_wait": ("EINTR",), "eventfd": _DESCRIPTORS, "pipe2": _DESCRIPTORS, "ioctl": ("ENOTTY",),
    "fcntl": ("ENOLCK",), "read": ("ETIMEDOUT", "ECONNRESET", "EINTR", "EAGAIN"),
    "write": ("EPIPE", "ECONNRESET", "EINTR", "EAGAIN"), "writev": ("EPIPE", "ECONNRESET"),
    "readv": ("ECONNRESET",), "recv": ("ECONNRESET", "EINTR"), "send": ("EPIPE", "EINTR"),
    "sendmsg": ("EPIPE", "ECONNRESET"), "recvmsg": ("ECONNRESET",), "pthread_create": ("EAGAIN",),
    "malloc": _MEMORY,
}
# A signal that never stops interrupting, or readiness that is never true, is no plausible fault.
ONLY_ONCE = ("EINTR", "EAGAIN")
SHORT = ("pread", "pwrite", "read", "write", "recv", "send")
# Calls whose failure makes libuv abort: it leaves its caller no other way out than status 70.
LIBRARY_GIVES_UP = ("epoll_ctl", "pipe2", "epoll_wait")
STATUSES = {0, 69, 71, 74, 75, 78}
INTERNAL_ERROR = 70


@dataclass(frozen=True)
class Case:
    """One fault of one life."""

    call: str
    number: int
    error: int
    mode: int

    def __str__(self):
        how = {ONCE: "once", ALWAYS: "from then on", SHORTEN: "halved from then on"}[self.mode]
        name = errno.errorcode[self.error] if self.error else "short"
        return f"{self.call} number {self.number}, {name}, {how}"


def cases_of(call, count, numbers):
    """Every fault of one call at these of its `count` numbers."""
    for name in ERRNOS[call]:
        error = getattr(errno, name)
        for number in numbers:
            yield Case(call, number, error, ONCE)
            if name not in ONLY_ONCE:
                yield Case(call, number, error, ALWAYS)
    if call in SHORT and count:
        yield Case(call, 1, 0, SHORTEN)


def spread(items, count):
    """So many of the items, evenly, the same every time."""
    items = list(items)
    if count < 1 or len(items) <= count:
        return items[:count]
    return [items[index * (len(items) - 1) // max(1, count - 1)] for index in range(count)]


def select(counts, places, *, everything, only, allocations, first_allocation):
    """The cases of a run, from the calls of a life without faults, and the first allocation of each
    place that made one."""
    cases = []
    for call, count in counts.items():
        if call != "malloc" and count and (not only or call in only):
            cases += cases_of(call, count, range(1, count + 1))
    if not everything:
        cases = spread(cases, SAMPLE_CALLS)
    if counts.get("malloc") and (not only or "malloc" in only):
        numbers = [number for number in places if number >= first_allocation]
        if allocations:
            numbers = spread(numbers, allocations)
        pairs = list(cases_of("malloc", counts["malloc"], numbers))
        cases += pairs if everything or only else spread(pairs, allocations)
    return cases


def verdict(case, life):
    """None where the life was orderly, else what was not."""
    status = life.status
    if status is None:
        return "does not end on SIGTERM"
    gives_up = status == INTERNAL_ERROR and case.call in LIBRARY_GIVES_UP
    if status not in STATUSES and not gives_up:
        return f"ended with {status}"
    if life.struck and case.mode == ONCE and life.trouble and not life.ended_by_itself:
        return f"did not serve on: {life.trouble}"
    return life.loss or life.complaint


class Matrix:
    """Runs cases and counts what became of them."""

    def __init__(self, template):
        self._template = template
        self.outcomes = collections.Counter()
        self.disorderly = []

    def record(self):
        life = Life(self._template, None)
        life.live()
        if life.status != 0 or life.trouble or life.loss or life.complaint:
            raise AssertionError(f"a life without faults: {life.summary()}")
        return life.counts, life.places

    @staticmethod
    def first_allocation():
        """Past those of the loader, the libraries and the command line: before main() there is
        nobody who could end in order."""
        plan = FaultPlan()
        try:
            subprocess.run([sinkd_program(), "--version"], check=True, stdout=subprocess.DEVNULL,
                           env=dict(os.environ, **plan.environment()))
            return plan.calls("malloc") + 1
        finally:
            plan.close()

    def run(self, case):
        life = Life(self._template, case)
        life.live()
        wrong = verdict(case, life)
        if wrong:
            self.disorderly.append((case, wrong))
            print(f"NOT ORDERLY {case}: {wrong}\n{life.summary()}", flush=True)
        self.outcomes[self._outcome(life)] += 1

    @staticmethod
    def _outcome(life):
        if not life.struck:
            return "not reached"
        if life.ended_by_itself:
            return f"ended with {life.status}"
        return "served on" if not life.ever_troubled else "served on after trouble"

    def text(self):
        lines = [f"{count:6} {outcome}" for outcome, count in sorted(self.outcomes.items())]
        total = sum(self.outcomes.values())
        return "\n".join([*lines, f"{total} faults, {len(self.disorderly)} not orderly"])


def run(*, everything=False, only=(), allocations=SAMPLE_ALLOCATIONS, part=(1, 1)):
    """The whole of a run, or one of several parts; prints what was not orderly as it goes."""
    template = Template()
    try:
        matrix = Matrix(template)
        counts, places = matrix.record()
        cases = select(counts, places, everything=everything, only=only, allocations=allocations,
                       first_allocation=matrix.first_allocation())
        for case in itertools.islice(cases, part[0] - 1, None, part[1]):
            matrix.run(case)
    finally:
        template.close()
    return matrix


def part_of(text):
    """(which, of how many) from "2/3"; ValueError where it is none."""
    which, parts = map(int, text.split("/"))
    if not 1 <= which <= parts:
        raise ValueError(text)
    return which, parts


def main():
    parser = argparse.ArgumentParser(description="fails every call of sinkd, one by one")
    parser.add_argument("--all", action="store_true", help="every case of every call")
    parser.add_argument("--only", default="", help="only these calls, by commas")
    parser.add_argument("--allocations", type=int, default=SAMPLE_ALLOCATIONS,
                        help="so many of the places that allocate, evenly spread; 0: all of them, "
                             "with --all or --only")
    parser.add_argument("--part", type=part_of, default=(1, 1), metavar="I/N",
                        help="every N-th case from the I-th on: parts can run beside each other")
    arguments = parser.parse_args()
    only = tuple(name for name in arguments.only.split(",") if name)
    if unknown := set(only) - set(CALLS):
        parser.error(f"no call {', '.join(sorted(unknown))}; there are {', '.join(CALLS)}")
    started = time.monotonic()
    matrix = run(everything=arguments.all or bool(only), only=only,
                 allocations=arguments.allocations, part=arguments.part)
    print(f"{matrix.text()}, {time.monotonic() - started:.0f} s")
    return 1 if matrix.disorderly else 0


if __name__ == "__main__":
    sys.exit(main())
