#!/usr/bin/env python3
"""Kills a real broker under real TLS load, again and again, and lets the clients' logs judge.

    SINKD_BUILD=build python3 test/system/kill_cycles.py [--cycles N] [--seed S] [--logs DIR]

Responsible for the load and the moments of the kills; log_checker.py judges. Four publishers, a
subscriber that is always there, one of a template that refuses now and then, and one that comes
and goes; kills under load, at the start, and right after the first ACK of a life. Prints the seed,
which fixes the moments and refusals (not the machine's scheduling). Status 0: nothing was lost,
reordered, or repeated beyond the promise. The logs stay where anything was wrong.
"""

import argparse
import collections
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time
from dataclasses import dataclass

import log_checker
from daemon_fixture import Daemon, subscription
from durable import DurablePublisher, DurableSubscriber, finish_all
from logged_client import ClientLog, LoggedClient
from pki_fixture import Pki
from sink_peer import PATIENCE, wait_until

WINDOW = 64
PUBLISHERS = ("meter-1", "meter-2", "meter-3", "meter-4")
KEYS_EACH = 5
PAUSE_SECONDS = 0.002          # between events of one publisher: the load is Python's, on one core
REFUSED_EVERY = 40             # one delivery in so many is refused, once
RETRY = ["50ms"]
SETTLE_SECONDS = 8 * PATIENCE


@dataclass
class Summary:
    """What a run came to."""

    seed: int
    cycles: int
    kinds: collections.Counter
    seconds: float
    verdict: log_checker.Verdict

    def text(self):
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items()))
        return (f"{self.verdict.text()}\n{self.cycles} cycles ({kinds}) in {self.seconds:.1f} s, "
                f"seed {self.seed}")


class Refuser:
    """Answers for a subscriber: refuses one event in so many, each once."""

    def __init__(self, rng):
        self._rng = rng
        self._refused = set()

    def __call__(self, delivery):
        key = delivery.event.ack_key
        if key in self._refused or self._rng.randrange(REFUSED_EVERY):
            return "ack"
        self._refused.add(key)
        return (b"\x09", b"not yet")


class Visitor(threading.Thread):
    """Cuts one client's connection at random moments; its subscriber connects it again."""

    def __init__(self, client, rng):
        super().__init__(name="visitor", daemon=True)
        self._client = client
        self._rng = rng
        self._stopping = threading.Event()

    def finish(self):
        self._stopping.set()

    def run(self):
        while not self._stopping.wait(self._rng.uniform(0.1, 1.5)):
            if self._client.connected:
                self._client.close()


class Load:
    """The clients of one run and their logs."""

    def __init__(self, daemon, directory, rng):
        self._clients = []
        self._logs = []
        self._directory = directory
        self._daemon = daemon
        self.publishers = [self._publisher(name) for name in PUBLISHERS]
        seeds = [random.Random(rng.random()) for _ in range(3)]
        answers = {"backend": Refuser(seeds[0]), "archive-1": Refuser(seeds[1]), "archive-2": None}
        self.subscribers = [self._subscriber(name, answer) for name, answer in answers.items()]
        self._visitor = Visitor(self.subscribers[-1].client, seeds[2])

    def _client(self, name, head, **options):
        log = ClientLog(self._directory / f"{name}.log", f"client {name} {head}")
        client = LoggedClient(self._daemon.address, log, tls=Pki.shared().client(name), **options)
        self._logs.append(log)
        self._clients.append(client)
        return client

    def _publisher(self, name):
        keys = [f"k{number}".encode() for number in range(KEYS_EACH)]
        return DurablePublisher(self._client(name, "publisher", window=128), keys,
                                pause=PAUSE_SECONDS)

    def _subscriber(self, name, respond):
        options = {"respond": respond} if respond else {}
        return DurableSubscriber(self._client(name, f"subscriber {WINDOW}", **options))

    def start(self):
        for subscriber in self.subscribers:
            subscriber.client.connect()  # a template has a tracker for each client it has seen
        for thread in (*self.subscribers, *self.publishers, self._visitor):
            thread.start()

    def accepted(self):
        return sum(len(publisher.acked) for publisher in self.publishers)

    def finish(self):
        """Lets every open event get its answer, and every accepted one its deliveries."""
        self._visitor.finish()
        finish_all(self.publishers, SETTLE_SECONDS)
        wait_until(self._daemon.has_settled, lambda: self._daemon.ctl_rows("sub", "ls"),
                   SETTLE_SECONDS, interval=0.2)

    def close(self):
        for thread in (self._visitor, *self.publishers, *self.subscribers):
            thread.finish()
        for subscriber in self.subscribers:
            if subscriber.ident:
                subscriber.join(PATIENCE)
        for client in self._clients:
            client.close()
        for log in self._logs:
            log.close()


class KillNine:
    """kill -9: what the daemon has written is in the page cache and stays there."""

    name = "kill -9"

    def strike(self, daemon):
        daemon.kill9()

    def mend(self, daemon):
        """Nothing is broken but the process."""


class Cycles:
    """A broker, its load, and the moments at which it is struck."""

    def __init__(self, daemon, load, rng, blow):
        self._daemon = daemon
        self._load = load
        self._rng = rng
        self._blow = blow
        self.kinds = collections.Counter()

    def run(self, cycles):
        for _ in range(cycles):
            kind = self._rng.choices(("under load", "at the start", "after the first ACK"),
                                     (6, 2, 2))[0]
            self.kinds[kind] += 1
            self._wait_moment(kind)
            self._blow.strike(self._daemon)
            self._blow.mend(self._daemon)
            self._daemon.start(wait=False)
        self._daemon.wait_ready()

    def _wait_moment(self, kind):
        if kind == "at the start":
            time.sleep(self._rng.uniform(0, 0.08))
            return
        before = self._load.accepted()
        wanted = 1 if kind == "after the first ACK" else 100
        wait_until(lambda: self._load.accepted() >= before + wanted or self._ended(),
                   lambda: f"the load goes on\n{self._daemon.stderr_text()[-4_000:]}",
                   interval=0.005)
        if kind == "under load":
            time.sleep(self._rng.uniform(0, 0.5))
        self._daemon.assert_running()

    def _ended(self):
        return self._daemon.process.poll() is not None


def subscriptions():
    return [subscription(name, consumer, in_flight=WINDOW, key_format="{source}/{key}", retry=RETRY,
                         max_deliveries=1_000)
            for name, consumer in (("readings", "backend"), ("copies", "archive-*"))]


def run(cycles, seed, logs, blow=None, data_dir=None, sync="always"):
    """One run; the clients' logs go into the directory `logs`. What went wrong on the way to the
    verdict (a broker that ended by itself, a load that stands still) raises."""
    rng = random.Random(seed)
    started = time.monotonic()
    daemon = Daemon(subscriptions=subscriptions(), data_dir=data_dir, http=False,
                    store={"segment_size": "1MiB", "sync": sync})
    load = Load(daemon, pathlib.Path(logs), rng)
    struck = Cycles(daemon, load, rng, blow or KillNine())
    try:
        daemon.start()
        load.start()
        struck.run(cycles)
        load.finish()
    finally:
        load.close()
        daemon.clean_up()
    return Summary(seed, cycles, struck.kinds, time.monotonic() - started,
                   log_checker.judge_directory(logs))


def main():
    parser = argparse.ArgumentParser(description="kill -9 under load; the clients' logs judge")
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--logs", help="keep the clients' logs here (made if need be)")
    arguments = parser.parse_args()
    logs = pathlib.Path(arguments.logs or tempfile.mkdtemp(prefix="sinkd-kills-"))
    logs.mkdir(parents=True, exist_ok=True)
    print(f"seed {arguments.seed}, logs in {logs}", flush=True)
    summary = run(arguments.cycles, arguments.seed, logs)
    print(summary.text())
    if summary.verdict.violations:
        return 1
    if not arguments.logs:
        shutil.rmtree(logs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
