"""The client library over several links, against the real daemon and over real TLS."""

import random
import subprocess
import tempfile
import threading
import time
import unittest

from cut_proxy import CutProxy
from daemon_fixture import SystemTest, events, offsets_by_key, subscription
from pki_fixture import Pki, build_dir
from sink_peer import wait_until

SEED = 20261123
LINKS = 4
KEYS = [b"k%d" % number for number in range(24)]


class Program:
    """An example of the library as a process, with its output line by line."""

    def __init__(self, name, client_id, address, count):
        files = Pki.shared().client(client_id)
        self.directory = tempfile.TemporaryDirectory(prefix="sinkd-client-pool-")
        self.process = subprocess.Popen(
            [str(build_dir() / "client" / "examples" / name), address, str(count),
             files.certificate, files.private_key, files.ca, str(LINKS)],
            cwd=self.directory.name, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines, self.notes = [], []
        self.threads = [threading.Thread(target=self._read, args=arguments, daemon=True)
                        for arguments in ((self.process.stdout, self.lines),
                                          (self.process.stderr, self.notes))]
        for thread in self.threads:
            thread.start()

    @staticmethod
    def _read(stream, lines):
        for line in stream:
            lines.append(line.rstrip("\n"))

    def links_told(self, word):
        return sum(line.startswith("link ") and f" is {word}: " in line for line in self.notes)

    def wait(self, timeout=120):
        status = self.process.wait(timeout=timeout)
        for thread in self.threads:
            thread.join()
        return status

    def end(self):
        self.process.kill()
        self.process.wait()
        self.directory.cleanup()


class ClientPool(SystemTest):
    def program(self, *arguments):
        program = Program(*arguments)
        self.addCleanup(program.end)
        return program

    def proxy(self, daemon):
        proxy = CutProxy(daemon.address)
        self.addCleanup(proxy.close)
        return proxy

    def metric(self, daemon, name):
        _, text = daemon.http_get("/metrics")
        return next(float(line.split()[1]) for line in text.splitlines()
                    if line.startswith(name + " "))

    def test_a_publisher_whose_links_are_cut_loses_nothing_and_sends_nothing_twice(self):
        chance = random.Random(SEED)
        count = 6000
        daemon = self.daemon(subscriptions=[subscription(in_flight=1000)],
                             policies=[{"clients": "meter-1", "events_per_second": 800}])
        proxy = self.proxy(daemon)
        backend = self.client(daemon, "backend")
        meter = self.program("publish", "meter-1", proxy.address, count)
        cut = 0
        while daemon.events()["accepted"] < count * 3 // 4:
            wait_until(lambda: meter.links_told("up") >= LINKS - 1
                       and self.metric(daemon, "sinkd_sessions_resumed_total") >= cut,
                       lambda: meter.notes)
            cut += proxy.cut(None if cut % 7 == 6 else chance.randrange(LINKS))
            time.sleep(0.1)
        self.assertEqual(meter.wait(), 0, meter.notes)
        self.assertGreater(cut, 3)
        keys = {b"example-%d" % number: [offset for offset in range(1, count + 1)
                                         if offset % (4 * LINKS) == number]
                for number in range(4 * LINKS)}
        for key, offsets in keys.items():
            self.wait_delivered(backend, key, offsets)
        self.assertEqual(offsets_by_key(backend.deliveries),
                         {(1, key): offsets for key, offsets in keys.items()})
        counts = daemon.events()
        self.assertEqual((counts["accepted"], counts["duplicate"]), (count, 0))

    def test_a_consumer_whose_links_are_cut_gets_every_event_once_in_order(self):
        chance = random.Random(SEED)
        rounds = 60
        daemon = self.daemon(subscriptions=[subscription(in_flight=1000)])
        proxy = self.proxy(daemon)
        backend = self.program("consume", "backend", proxy.address, rounds * len(KEYS))
        meter = self.client(daemon, "meter-1")
        wait_until(lambda: backend.links_told("up") == LINKS - 1, lambda: backend.notes)
        cut = 0
        for turn in range(6):
            wait_until(lambda: self.metric(daemon, "sinkd_sessions_resumed_total") >= cut,
                       lambda: backend.notes)
            tickets = meter.publish_all([event for key in KEYS for event in
                                         events(rounds // 6, key, first=1 + turn * rounds // 6)])
            cut += proxy.cut(None if turn == 3 else chance.randrange(LINKS))
            self.assert_acked(tickets)
        self.assertEqual(backend.wait(), 0, backend.notes)
        heard = {}
        for line in backend.lines:
            key, offset = line.split()[:2]
            heard.setdefault(key.encode(), []).append(int(offset))
        self.assertEqual(heard, {key: list(range(1, rounds + 1)) for key in KEYS})
        self.assertEqual(daemon.events()["redelivered"], 0)

    def test_a_silent_link_is_given_up_and_resumed(self):
        daemon = self.daemon(subscriptions=[subscription()])
        proxy = self.proxy(daemon)
        backend = self.program("consume", "backend", proxy.address, 5 * len(KEYS))
        meter = self.client(daemon, "meter-1")
        wait_until(lambda: backend.links_told("up") == LINKS - 1, lambda: backend.notes)
        proxy.silence(2)
        self.assert_acked(meter.publish_all([event for key in KEYS for event in events(5, key)]))
        self.assertEqual(backend.wait(), 0, backend.notes)
        self.assertTrue(any("nothing answers on link" in line for line in backend.notes),
                        backend.notes)
        self.assertEqual(sorted(set(backend.lines)), sorted(backend.lines), "each once")
        self.assertEqual(self.metric(daemon, "sinkd_sessions_resumed_total"), 1)

    def test_a_daemon_that_is_killed_loses_nothing_of_a_pool(self):
        count = 6000
        daemon = self.daemon(subscriptions=[subscription(in_flight=1000)],
                             policies=[{"clients": "meter-1", "events_per_second": 2000}])
        meter = self.program("publish", "meter-1", f"127.0.0.1:{daemon.port}", count)
        for _ in range(2):
            before = daemon.events()["received"]
            wait_until(lambda: daemon.events()["received"] > before + 1000, lambda: meter.notes)
            daemon.kill9()
            daemon.start()
        self.assertEqual(meter.wait(), 0, meter.notes)
        backend = self.client(daemon, "backend")
        for number in range(4 * LINKS):
            self.wait_delivered(backend, b"example-%d" % number,
                                [offset for offset in range(1, count + 1)
                                 if offset % (4 * LINKS) == number])
        for key, offsets in offsets_by_key(backend.deliveries).items():
            self.assertEqual(offsets, sorted(set(offsets)), key)


if __name__ == "__main__":
    unittest.main()
