"""kill -9 under load, again and again: every ACKed event counted afterwards.

SINKD_TEST_CRASHES sets the number of kills (5), SINKD_TEST_SEED the seed of their moments.
"""

import os
import random
import time
import unittest

from daemon_fixture import SystemTest, events, offsets_by_key, subscription
from durable import DurablePublisher, DurableSubscriber
from sink_peer import PATIENCE, wait_until

CRASHES = int(os.environ.get("SINKD_TEST_CRASHES", "5"))
SEED = int(os.environ.get("SINKD_TEST_SEED", str(random.randrange(2**32))))
WINDOW = 64
PUBLISHERS = ("meter-1", "meter-2", "meter-3", "meter-4")


class Crash(SystemTest):
    def start_load(self, daemon):
        self.publishers = []
        for name in PUBLISHERS:
            client = self.client(daemon, name, connect=False, window=128)
            keys = [f"{name}/{n}".encode() for n in range(5)]
            self.publishers.append(DurablePublisher(client, keys))
        self.subscribers = {name: DurableSubscriber(self.client(daemon, name, connect=False))
                            for name in ("backend", "archive-1", "archive-2")}
        for subscriber in self.subscribers.values():
            subscriber.client.connect()  # a template has a tracker for each client it has seen
        for thread in (*self.subscribers.values(), *self.publishers):
            thread.start()
            self.addCleanup(thread.join, PATIENCE)
            self.addCleanup(thread.finish)

    def finish_publishing(self):
        for publisher in self.publishers:
            publisher.finish()
        for publisher in self.publishers:
            publisher.join(4 * PATIENCE)
            self.assertFalse(publisher.is_alive(), "the publisher still waits for answers")
            self.assertIsNone(publisher.failure)
            self.assertEqual(publisher.refused, [], "nothing was to be refused")

    def subscriptions(self):
        return [subscription("readings", "backend", in_flight=WINDOW),
                subscription("copies", "archive-*", in_flight=WINDOW)]

    def assert_all_delivered_in_order(self, crashes):
        acked = set().union(*(publisher.acked for publisher in self.publishers))
        for name, subscriber in self.subscribers.items():
            deliveries = subscriber.client.deliveries
            got = {delivery.event.ack_key for delivery in deliveries}
            self.assertEqual(acked - got, set(), f"ACKed and never delivered to {name}")
            duplicates = len(deliveries) - len(got)
            self.assertLessEqual(duplicates, WINDOW * crashes, f"duplicates at {name}")
            self.assert_in_order(deliveries, name)
        return len(acked)

    def assert_in_order(self, deliveries, name):
        by_connection = {}
        for delivery in deliveries:
            by_connection.setdefault(delivery.connection, []).append(delivery)
        for of_one in by_connection.values():
            for key, offsets in offsets_by_key(of_one).items():
                self.assertEqual(offsets, sorted(set(offsets)), f"{name}, one connection, {key}")
        for key, offsets in offsets_by_key(deliveries).items():
            first_seen = list(dict.fromkeys(offsets))
            self.assertEqual(first_seen, sorted(first_seen), f"{name}, first deliveries, {key}")

    def wait_all_settled(self, daemon):
        def unsettled():
            rows = daemon.ctl_rows("sub", "ls")
            return [row for row in rows if row["pending"] or row["in_flight"] or row["held"]]
        wait_until(lambda: not unsettled(), lambda: f"settled: {unsettled()}", 4 * PATIENCE)
        for row in daemon.ctl_rows("sub", "ls"):
            self.assert_conserved(row)

    def test_every_acked_event_survives_kill_9_under_load(self):
        moments = random.Random(SEED)
        daemon = self.daemon(subscriptions=self.subscriptions())
        self.start_load(daemon)
        with self.subTest(seed=SEED):
            for _ in range(CRASHES):
                before = sum(len(p.acked) for p in self.publishers)
                wait_until(lambda: sum(len(p.acked) for p in self.publishers) > before + 100,
                           "the load goes on")
                time.sleep(moments.uniform(0, 1.0))
                daemon.crash_and_restart()
            self.finish_publishing()
            self.wait_all_settled(daemon)
            count = self.assert_all_delivered_in_order(CRASHES)
            self.assertGreater(count, 100 * CRASHES)

    def test_kill_during_recovery(self):
        daemon = self.daemon(subscriptions=self.subscriptions())
        meter = self.client(daemon, "meter-1")
        sent = events(3_000, data=b"y" * 500)
        self.assert_acked(meter.publish_all(sent))
        moments = random.Random(SEED)
        daemon.kill9()
        for _ in range(CRASHES):
            daemon.start(wait=False)
            time.sleep(moments.uniform(0, 0.1))
            daemon.kill9()
        daemon.start()
        backend = self.client(daemon, "backend")
        backend.wait_deliveries(len(sent))
        self.assertEqual([d.event for d in backend.deliveries], sent)

    def test_a_crash_with_consumers_away_loses_nothing(self):
        daemon = self.daemon(subscriptions=self.subscriptions())
        meter = self.client(daemon, "meter-1")
        for start in range(0, 1_000, 100):
            self.assert_acked(meter.publish_all(events(100, first=1 + start)))
            daemon.crash_and_restart()
            meter.connect_when_ready()
        backend = self.client(daemon, "backend")
        backend.wait_deliveries(1_000)
        self.assertEqual([d.event for d in backend.deliveries], events(1_000))


if __name__ == "__main__":
    unittest.main()
