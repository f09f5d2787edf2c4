"""Reading the log from a place over real TLS: sinkctl tap --from."""

import json
import subprocess
import unittest

from cut_proxy import CutProxy
from daemon_fixture import SystemTest, events, subscription
from pki_fixture import Pki, sinkctl_program
from sink_peer import wait_until
from test_sessions import Tap

POLICY = {"clients": "auditor*", "sources": ["meter-*"], "seek": True}


class Cursor(SystemTest):
    def reading_daemon(self, **store):
        return self.daemon(subscriptions=[subscription()], policies=[POLICY],
                           store={"retain": "1h", **store})

    def read(self, daemon, *options, name="auditor"):
        """Reads until the end that the options name; the finished process, and its rows."""
        files = Pki.shared().client(name)
        done = subprocess.run(
            [sinkctl_program(), "--json", "tap", "--server", "%s:%d" % daemon.address,
             "--ca", files.ca, "--cert", files.certificate, "--private-key", files.private_key,
             "--state", self.state(daemon, name), *options],
            capture_output=True, text=True, timeout=60, check=False)
        return done, [json.loads(line) for line in done.stdout.splitlines()]

    @staticmethod
    def state(daemon, name):
        return str(daemon.directory / f"{name}.state")

    def test_what_was_delivered_long_ago_is_read_again_from_any_place(self):
        daemon = self.reading_daemon()
        self.client(daemon, "backend")
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(3000)))
        self.wait_settled(daemon, "readings")
        done, rows = self.read(daemon, "--from", "earliest", "--until-end")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([row["offset"] for row in rows], list(range(1, 3001)))
        self.assertEqual({row["source"] for row in rows}, {"meter-1"})
        middle = rows[1499]["position"]
        done, rest = self.read(daemon, "--from", str(middle), "--until-end")
        self.assertEqual([row["offset"] for row in rest], list(range(1501, 3001)), done.stderr)
        done, few = self.read(daemon, "--from", "1h", "--count", "7")
        self.assertEqual([row["offset"] for row in few], list(range(1, 8)), done.stderr)
        self.assertIn(f"--from {few[-1]['position']}", done.stderr)

    def test_the_positions_hold_over_a_crash(self):
        daemon = self.reading_daemon()
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(500)))
        _, before = self.read(daemon, "--from", "earliest", "--until-end")
        self.assertEqual(len(before), 500)
        daemon.crash_and_restart()
        done, after = self.read(daemon, "--from", str(before[249]["position"]), "--until-end")
        self.assertEqual(after, before[250:], done.stderr)

    def test_a_reader_whose_connection_is_cut_goes_on_where_it_was(self):
        daemon = self.reading_daemon()
        proxy = CutProxy(daemon.address)
        self.addCleanup(proxy.close)
        meter = self.client(daemon, "meter-1")
        self.assert_acked(meter.publish_all(events(1)))
        tap = Tap(proxy.address, "auditor", "--from", "earliest", "--state",
                  self.state(daemon, "auditor"))
        self.addCleanup(tap.end)
        sent = 1
        for _ in range(4):
            wait_until(lambda: len(tap.rows) == sent, lambda: f"{len(tap.rows)}: {tap.errors}")
            proxy.cut()
            self.assert_acked(meter.publish_all(events(50, first=sent + 1)))
            sent += 50
        wait_until(lambda: len(tap.rows) >= sent, lambda: f"{len(tap.rows)}: {tap.errors}")
        self.assertEqual([row["offset"] for row in tap.rows], list(range(1, sent + 1)))

    def test_who_may_not_read_is_told_why(self):
        daemon = self.reading_daemon()
        done, rows = self.read(daemon, "--from", "earliest", "--until-end", name="meter-9")
        self.assertEqual((done.returncode, rows), (77, []), done.stderr)
        self.assertIn("client_policy", done.stderr)
        done, rows = self.read(daemon, "--from", "earliest", "--until-end", "--source", "*")
        self.assertEqual((done.returncode, rows), (77, []), done.stderr)
        done, rows = self.read(daemon, "--from", "1000000", "--until-end")
        self.assertEqual((done.returncode, rows), (65, []), done.stderr)
        self.assertIn("no such position", done.stderr)
        done, _ = self.read(daemon, "--from", "yesterday")
        self.assertEqual(done.returncode, 64, done.stderr)

    def test_what_was_trimmed_is_refused_with_what_there_still_is(self):
        daemon = self.reading_daemon(retain="0s", segment_size="256KiB")
        self.client(daemon, "backend")
        meter = self.client(daemon, "meter-1")
        for part in range(8):
            self.assert_acked(meter.publish_all(events(100, first=part * 100 + 1,
                                                       data=b"x" * 2000)))
        self.wait_settled(daemon, "readings")
        wait_until(lambda: self.read(daemon, "--from", "1", "--until-end")[0].returncode == 65,
                   "the first segment is gone")
        done, _ = self.read(daemon, "--from", "1", "--until-end")
        self.assertIn("no longer retained", done.stderr)
        done, rows = self.read(daemon, "--from", "earliest", "--until-end")
        self.assertEqual(done.returncode, 0, done.stderr)
        offsets = [row["offset"] for row in rows]
        self.assertEqual(offsets, list(range(offsets[0], 801)))


if __name__ == "__main__":
    unittest.main()
