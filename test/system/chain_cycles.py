#!/usr/bin/env python3
"""Two brokers chained over a slow, lossy link that is cut, with kills of either; needs root.

    SINKD_BUILD=build python3 test/system/chain_cycles.py [--minutes N] [--seed S] [--logs DIR]
                                                          [--round-trip-ms N] [--loss P]

Meters publish to a gateway, which forwards to a cloud in version 1 over lossy_link.py, and to a
server that is not sinkd in version 0; commands of an operator of the cloud go down the same link.
All devices speak version 0. Every few seconds the link is cut for a while, or one broker is killed,
restarted, or away. Responsible for the load and the moments; log_checker.py judges what the clients
wrote down, each way for itself. Status 0: every event is accounted for.
"""

import argparse
import collections
import pathlib
import random
import sys
import tempfile
import time
from dataclasses import dataclass

import log_checker
from daemon_fixture import Daemon, subscription, uplink
from durable import DurablePublisher, DurableSubscriber, finish_all
from far_daemon import FarDaemon
from kill_cycles import RETRY, SETTLE_SECONDS, WINDOW, Refuser
from logged_client import ClientLog, LoggedClient
from logged_server import LoggedServer
from lossy_link import LossyLink, why_not
from pki_fixture import Pki
from sink_peer import PATIENCE, wait_until

METERS = ("meter-1", "meter-2", "meter-3")
PAUSE_SECONDS = 0.02           # between events of one publisher
CALM_SECONDS = (0.5, 6)        # between two blows
AWAY_SECONDS = (1, 15)         # a cut, or a broker that is stopped
LIMITS = {"in_flight": 4095}


class FarClient(LoggedClient):
    """A client on the far host: whichever thread connects it moves there."""

    def __init__(self, link, *arguments, **options):
        super().__init__(*arguments, **options)
        self._lossy_link = link

    def connect(self, timeout=None):
        self._lossy_link.enter_far()
        return super().connect(timeout)


@dataclass
class Summary:
    seed: int
    links: int
    blows: collections.Counter
    seconds: float
    packets_lost: int
    up: log_checker.Verdict
    down: log_checker.Verdict

    @property
    def violations(self):
        return self.up.violations + self.down.violations

    def text(self):
        blows = ", ".join(f"{count} {blow}" for blow, count in sorted(self.blows.items()))
        return (f"up: {self.up.text()}\ndown: {self.down.text()}\n{blows}; "
                f"{self.packets_lost} packets lost; {self.links} link(s), {self.seconds:.0f} s, "
                f"seed {self.seed}")


class Chain:
    """The brokers, the devices at either end, and what may befall them."""

    def __init__(self, link, directory, rng, links):
        self._link = link
        self._rng = rng
        self._logs = []
        self.up, self.down = directory / "up", directory / "down"
        self.up.mkdir()
        self.down.mkdir()
        self.server = LoggedServer(Pki.shared().server(), self._log(self.up, "legacy"))
        self.cloud = FarDaemon(link, limits=LIMITS, subscriptions=[
            self._subscription("all", "backend", ["gateway"], key_format="{key}"),
            self._subscription("commands", "gateway", ["operator"])])
        self.gateway = Daemon(http=False, limits=LIMITS, uplinks=[
            uplink(self.cloud.address, links=links, recycle="5s"),
            uplink(self.server.address, name="legacy", protocol=[0])
        ], subscriptions=[
            self._subscription("up", "uplink:cloud", ["meter-*"], in_flight=4095),
            self._subscription("copies", "uplink:legacy", ["meter-*"]),
            self._subscription("down", "panel", ["uplink:cloud"], key_format="{key}")])
        self.publishers = [self._publisher(LoggedClient, self.gateway, self.up, name)
                           for name in METERS]
        self.publishers.append(self._publisher(self._far_client, self.cloud, self.down, "operator"))
        self.subscribers = [
            self._subscriber(self._far_client, self.cloud, self.up, "backend",
                             respond=Refuser(random.Random(rng.random()))),
            self._subscriber(LoggedClient, self.gateway, self.down, "panel", "relayed")]

    @staticmethod
    def _subscription(name, consumer, sources, **options):
        return subscription(name, consumer, **{
            "sources": sources, "in_flight": WINDOW, "key_format": "{source}/{key}",
            "retry": RETRY, "max_deliveries": 0, **options})

    def _log(self, directory, name, role="subscriber"):
        head = f"client {name} {role}" + (f" {WINDOW}" if role != "publisher" else "")
        self._logs.append(ClientLog(directory / f"{name}.log", head))
        return self._logs[-1]

    def _far_client(self, *arguments, **options):
        return FarClient(self._link, *arguments, **options)

    def _publisher(self, kind, daemon, directory, name):
        client = kind(daemon.address, self._log(directory, name, "publisher"),
                      tls=Pki.shared().client(name), window=128)
        return DurablePublisher(client, [f"k{number}".encode() for number in range(5)],
                                pause=PAUSE_SECONDS)

    def _subscriber(self, kind, daemon, directory, name, role="subscriber", **options):
        client = kind(daemon.address, self._log(directory, name, role),
                      tls=Pki.shared().client(name), **options)
        return DurableSubscriber(client)

    def start(self):
        self.cloud.start()
        self.gateway.start()
        for thread in (*self.subscribers, *self.publishers):
            thread.start()

    def suffer(self, blow, number):
        """What comes down is repeated after any of them; the log of who gets it says when."""
        self.subscribers[-1].client.log.write(f"interrupted {number}")
        blow()

    # ---- what may befall them ----

    def cut_the_link(self):
        self._link.cut()
        time.sleep(self._rng.uniform(*AWAY_SECONDS))
        self._link.mend()

    def kill_the_gateway(self):
        self.gateway.crash_and_restart()

    def kill_the_cloud(self):
        self.cloud.crash_and_restart()

    def restart_the_gateway(self):
        self.gateway.restart()

    def keep_the_cloud_away(self):
        self.cloud.stop()
        time.sleep(self._rng.uniform(*AWAY_SECONDS))
        self.cloud.start()

    def kill_both_while_it_is_cut(self):
        self._link.cut()
        self.cloud.kill9()
        self.gateway.kill9()
        self.gateway.start()
        self.cloud.start()
        time.sleep(self._rng.uniform(*AWAY_SECONDS))
        self._link.mend()

    # ---- the end ----

    def finish(self):
        """Lets every open event get its answer, and every accepted one its deliveries."""
        finish_all(self.publishers, SETTLE_SECONDS)
        for daemon in (self.cloud, self.gateway, self.cloud):
            wait_until(daemon.has_settled, lambda: daemon.ctl_rows("sub", "ls"), SETTLE_SECONDS,
                       interval=0.2)

    def close(self):
        for thread in (*self.publishers, *self.subscribers):
            thread.finish()
        for subscriber in self.subscribers:
            if subscriber.ident:
                subscriber.join(PATIENCE)
        for thread in (*self.publishers, *self.subscribers):
            thread.client.close()
        self.server.close()
        for log in self._logs:
            log.close()
        self.gateway.clean_up()
        self.cloud.clean_up()


def run(seconds, seed, logs, round_trip_ms=50, loss=0.01, links=None):
    """One run; the clients' logs go into the directory `logs`. Moves this process to the link's
    near host. `links` of the uplink; None: one or four, by the seed. What went wrong on the way to
    the verdict raises."""
    rng = random.Random(seed)
    links = links or rng.choice((1, 4))
    link = LossyLink(round_trip_ms, loss)
    chain = Chain(link, pathlib.Path(logs), rng, links)
    blows = collections.Counter()
    began = time.monotonic()
    try:
        chain.start()
        while time.monotonic() - began < seconds:
            time.sleep(rng.uniform(*CALM_SECONDS))
            blow = rng.choice((chain.cut_the_link, chain.cut_the_link, chain.kill_the_gateway,
                               chain.kill_the_cloud, chain.restart_the_gateway,
                               chain.keep_the_cloud_away, chain.kill_both_while_it_is_cut))
            blows[blow.__name__] += 1
            chain.suffer(blow, blows.total())
        chain.finish()
    finally:
        chain.close()
        lost = link.close()["lost"]
    return Summary(seed, links, blows, time.monotonic() - began, lost,
                   log_checker.judge_directory(chain.up), log_checker.judge_directory(chain.down))


def main():
    parser = argparse.ArgumentParser(description="two brokers chained over a link that suffers")
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--logs", help="an empty directory for the clients' logs (made if need be)")
    parser.add_argument("--round-trip-ms", type=float, default=50)
    parser.add_argument("--loss", type=float, default=0.01)
    parser.add_argument("--links", type=int, help="of the uplink; default: one or four, by the seed")
    arguments = parser.parse_args()
    reason = why_not()
    if reason:
        sys.exit(f"chain_cycles.py: {reason}")
    logs = pathlib.Path(arguments.logs or tempfile.mkdtemp(prefix="sinkd-chain-"))
    logs.mkdir(parents=True, exist_ok=True)
    print(f"seed {arguments.seed}, logs in {logs}", flush=True)
    summary = run(60 * arguments.minutes, arguments.seed, logs, arguments.round_trip_ms,
                  arguments.loss, arguments.links)
    print(summary.text())
    return 1 if summary.violations else 0


if __name__ == "__main__":
    sys.exit(main())
