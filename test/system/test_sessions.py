"""Protocol version 1 over real TLS: sessions that go on when their connection is cut."""

import json
import random
import subprocess
import tempfile
import threading
import time
import unittest

from cut_proxy import CutProxy
from daemon_fixture import SystemTest, events, subscription
from pki_fixture import Pki, build_dir, sinkctl_program
from sink_peer import wait_until

SEED = 20261121


class Tap:
    """sinkctl tap --json as a process; its events are read as they come."""

    def __init__(self, address, name, *options):
        files = Pki.shared().client(name)
        self.process = subprocess.Popen(
            [sinkctl_program(), "--json", "tap", "--server", address, "--ca", files.ca,
             "--cert", files.certificate, "--private-key", files.private_key, *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.rows = []
        self.errors = []
        for stream, read in ((self.process.stdout, lambda line: self.rows.append(json.loads(line))),
                             (self.process.stderr, self.errors.append)):
            threading.Thread(target=self._read, args=(stream, read), daemon=True).start()

    @staticmethod
    def _read(stream, read):
        for line in stream:
            read(line)

    def end(self):
        self.process.terminate()
        self.process.wait(timeout=20)


class Sessions(SystemTest):
    def metric(self, daemon, name):
        _, text = daemon.http_get("/metrics")
        return next(float(line.split()[1]) for line in text.splitlines()
                    if line.startswith(name + " "))

    def resumed(self, daemon):
        return self.metric(daemon, "sinkd_sessions_resumed_total")

    def tap(self, address, name, *options):
        tap = Tap(address, name, *options)
        self.addCleanup(tap.end)
        return tap

    def proxy(self, daemon):
        proxy = CutProxy(daemon.address)
        self.addCleanup(proxy.close)
        return proxy

    def test_a_consumer_whose_connection_is_cut_gets_every_event_once(self):
        chance = random.Random(SEED)
        daemon = self.daemon(subscriptions=[subscription()])
        proxy = self.proxy(daemon)
        tap = self.tap(proxy.address, "backend")
        meter = self.client(daemon, "meter-1")
        sent = 0
        for cuts in range(5):
            wait_until(lambda: self.resumed(daemon) == cuts  # or the cut is not noticed yet
                       and daemon.client_state("backend") == "connected", "it is back")
            for _ in range(chance.randint(2, 6)):
                self.assert_acked(meter.publish_all(events(40, b"k", first=sent + 1)))
                sent += 40
            self.assertEqual(proxy.cut(), 1)
            self.assert_acked(meter.publish_all(events(40, b"k", first=sent + 1)))
            sent += 40
        wait_until(lambda: len(tap.rows) >= sent, lambda: f"{len(tap.rows)} of {sent}")
        self.wait_settled(daemon, "readings")
        self.assertEqual([row["offset"] for row in tap.rows], list(range(1, sent + 1)),
                         "each once, in order")
        self.assertEqual({row["attempt"] for row in tap.rows}, {1})
        self.assertEqual({(row["subscription"], row["source"]) for row in tap.rows},
                         {("readings", "meter-1")})
        self.assertEqual(self.resumed(daemon), 5)
        self.assertEqual(daemon.events()["redelivered"], 0)

    def test_a_publisher_whose_connection_is_cut_sends_no_event_twice(self):
        daemon = self.daemon(subscriptions=[subscription()])
        proxy = self.proxy(daemon)
        files = Pki.shared().client("meter-1")
        lines = subprocess.Popen(
            [sinkctl_program(), "pub", "--server", proxy.address, "--ca", files.ca, "--cert",
             files.certificate, "--private-key", files.private_key, "--type", "1", "--key", "k",
             "--lines", "--file", "-"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(lines.kill)
        for part in range(4):
            lines.stdin.write("".join(f"line {part} {n}\n" for n in range(500)))
            lines.stdin.flush()
            wait_until(lambda: daemon.events()["accepted"] > part * 500, "events arrive")
            if part < 3:
                self.assertEqual(proxy.cut(), 1)
        lines.stdin.close()
        self.assertEqual(lines.wait(timeout=60), 0, "everything was acknowledged")
        counts = daemon.events()
        self.assertEqual((counts["accepted"], counts["duplicate"], counts["received"]),
                         (2000, 0, 2000))
        self.assertEqual(self.resumed(daemon), 3)

    def test_a_program_that_is_stopped_and_started_again_gets_every_event_once(self):
        daemon = self.daemon(subscriptions=[subscription()])
        files = Pki.shared().client("backend")
        with tempfile.TemporaryDirectory(prefix="sinkd-consume-") as directory:
            program = str(build_dir() / "client" / "examples" / "consume")

            def consume(count):
                done = subprocess.run(
                    [program, f"127.0.0.1:{daemon.port}", str(count), files.certificate,
                     files.private_key, files.ca],
                    cwd=directory, capture_output=True, text=True, timeout=60)
                self.assertEqual(done.returncode, 0, done.stderr)
                return [int(line.split()[1]) for line in done.stdout.splitlines()]

            self.assert_acked(self.client(daemon, "meter-1").publish_all(events(20)))
            offsets = consume(7)
            offsets += consume(6)
            offsets += consume(7)
        self.wait_settled(daemon, "readings")
        self.assertEqual(offsets, list(range(1, 21)), "each once, in order")
        self.assertEqual(self.resumed(daemon), 2)
        self.assertEqual(daemon.events()["redelivered"], 0)

    def test_after_the_ttl_the_session_is_new_and_its_deliveries_are_marked(self):
        daemon = self.daemon(limits={"session_ttl": "100ms"}, subscriptions=[subscription()])
        proxy = self.proxy(daemon)
        tap = self.tap(proxy.address, "backend", "--no-answer")
        wait_until(lambda: daemon.client_state("backend") == "connected", "the tap is connected")
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(3)))
        wait_until(lambda: len(tap.rows) == 3, "three deliveries")
        proxy.cut()
        wait_until(lambda: len(tap.rows) == 6, "they come again")
        self.assertEqual([row["attempt"] for row in tap.rows], [1, 1, 1, 2, 2, 2])
        self.assertEqual(self.metric(daemon, "sinkd_sessions_expired_total"), 1)
        self.assertEqual(self.resumed(daemon), 0)

    def test_a_restarted_broker_knows_no_session_and_loses_nothing(self):
        daemon = self.daemon(subscriptions=[subscription()])
        proxy = self.proxy(daemon)
        tap = self.tap(proxy.address, "backend")
        wait_until(lambda: daemon.client_state("backend") == "connected", "the tap is connected")
        meter = self.client(daemon, "meter-1")
        self.assert_acked(meter.publish_all(events(20)))
        wait_until(lambda: len(tap.rows) == 20, "twenty deliveries")
        daemon.crash_and_restart()
        again = self.client(daemon, "meter-2")
        self.assert_acked(again.publish_all(events(20, b"other")))
        wait_until(lambda: sum(row["key"] == "other" for row in tap.rows) == 20,
                   lambda: f"the tap goes on: {tap.errors}")
        offsets = {row["offset"] for row in tap.rows if row["key"] == "k"}
        self.assertEqual(offsets, set(range(1, 21)))


if __name__ == "__main__":
    unittest.main()
