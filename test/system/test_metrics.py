"""What monitoring sees: every documented metric is there, and tells what happened."""

import pathlib
import re
import time
import unittest

import sink_v0
from daemon_fixture import SystemTest, events, subscription, uplink
from sink_peer import wait_until

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


class Metrics(SystemTest):
    def text(self, daemon):
        status, text = daemon.http_get("/metrics")
        self.assertEqual(status, 200)
        return text

    def samples(self, daemon):
        rows = [line.rsplit(" ", 1) for line in self.text(daemon).splitlines() if line[0] != "#"]
        return {name: float(value) for name, value in rows}

    def test_the_document_names_exactly_what_is_there(self):
        daemon = self.daemon(subscriptions=[subscription()], uplinks=[uplink("127.0.0.1:1")],
                             dials=[{"client": "panel", "address": "127.0.0.1:1"}])
        documented = re.findall(r"`((?:sinkd|process)_[a-z_]+)`", DOCUMENT.read_text())
        printed = re.findall(r"^# TYPE (\S+) ", self.text(daemon), re.M)
        self.assertEqual(sorted(documented), sorted(printed))

    def test_an_ack_is_timed_and_an_end_has_its_reason(self):
        daemon = self.daemon(subscriptions=[subscription()])
        meter = self.client(daemon, "meter-1")
        self.assert_acked(meter.publish_all(events(7)))
        daemon.client_kick("meter-1")
        meter.wait_end()
        samples = self.samples(daemon)
        self.assertEqual(samples["sinkd_ack_seconds_count"], 7)
        self.assertEqual(samples['sinkd_ack_seconds_bucket{le="+Inf"}'], 7)
        self.assertGreater(samples["sinkd_ack_seconds_sum"], 0, "a commit takes time")
        self.assertEqual(samples['sinkd_connections_closed_total{reason="kicked"}'], 1)
        self.assertEqual(samples['sinkd_handshakes_total{result="hello_new_client"}'], 1)
        self.client(daemon, "backend").close()
        wait_until(lambda: self.samples(daemon)[
            'sinkd_connections_closed_total{reason="peer_closed"}'] == 1, "the close is counted")

    def test_held_keys_are_seen_until_they_are_released(self):
        answers = {"value": (b"\x05", b"not now")}
        daemon = self.daemon(subscriptions=[subscription(retry=["1h"])])
        backend = self.client(daemon, "backend", respond=lambda delivery: answers["value"])
        meter = self.client(daemon, "meter-1")
        self.assert_acked(meter.publish_all(events(1, b"a") + events(1, b"b")))
        backend.wait_deliveries(2)
        name = 'sinkd_subscription_held_keys{subscription="readings"}'
        wait_until(lambda: self.samples(daemon)[name] == 2, "two keys are held")
        self.assertEqual(daemon.tracker("readings")["held_keys"], 2)
        self.assertGreater(self.samples(daemon)[
            'sinkd_subscription_backlog_bytes{subscription="readings"}'], 0)

    def test_a_drop_has_its_reason(self):
        daemon = self.daemon(subscriptions=[subscription(
            on_nack=[{"machine": "*", "action": "quarantine"}])])
        self.client(daemon, "backend", respond=lambda delivery: (b"\x05", b"no"))
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(2)))
        daemon.event_drop(daemon.wait_quarantined(2)[0])
        samples = self.samples(daemon)
        self.assertEqual(samples['sinkd_events_dropped_total{reason="operator"}'], 1)
        self.assertEqual(samples['sinkd_events_dropped_total{reason="nack_policy"}'], 0)

    def test_a_clock_that_is_wrong_is_seen_and_found(self):
        daemon = self.daemon(subscriptions=[subscription()])
        meter = self.client(daemon, "meter-1")
        hour_ahead = int(time.time()) + 3_600
        self.assert_acked([meter.publish(sink_v0.Event(1, b"k", 1, hour_ahead)).wait()])
        ahead = self.samples(daemon)['sinkd_client_clock_skew_seconds{direction="ahead"}']
        self.assertAlmostEqual(ahead, 3_600, delta=600)
        self.assertAlmostEqual(daemon.client_row("meter-1")["clock_ahead_seconds"], 3_600,
                               delta=600)


if __name__ == "__main__":
    unittest.main()
