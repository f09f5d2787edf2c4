"""Publish, route, deliver, acknowledge, deduplicate: the main job over real TLS."""

import unittest

import sink_v0
from daemon_fixture import SystemTest, events, offsets_by_key, subscription
from sink_peer import Identity, fresh_identity, leave_open, wait_until
from sink_v0 import Event


class Delivery(SystemTest):
    def test_what_is_published_is_delivered_and_settled(self):
        daemon = self.daemon(subscriptions=[subscription()])
        backend = self.client(daemon, "backend")
        meter = self.client(daemon, "meter-1")
        sent = events(10, b"kitchen") + events(10, b"cellar", event_type_id=300)
        sent.append(Event(2**64 - 1, b"\x00\xff\x80", 2**64 - 1, 2**64 - 1, b"", 2**64 - 1))
        self.assert_acked(meter.publish_all(sent))
        got = [delivery.event for delivery in backend.wait_deliveries(len(sent))]
        self.assertEqual(got, sent, "every field, in position order")
        row = self.wait_settled(daemon, "readings")
        self.assertEqual((row["matched"], row["acked"]), (21, 21))
        counts = daemon.events()
        for name in ("received", "accepted", "delivered", "acked"):
            self.assertEqual(counts[name], 21, name)
        for name in ("duplicate", "unrouted", "redelivered", "nacked", "quarantined", "dropped"):
            self.assertEqual(counts[name], 0, name)

    def test_over_plaintext_tcp_and_a_unix_socket(self):
        daemon = self.daemon(start=False, subscriptions=[subscription(consumer="instance-7")])
        path = str(daemon.directory / "local.sock")
        daemon.document["listener"].append(
            {"address": f"unix:{path}", "plaintext": True, "client_id": "instance_id"})
        daemon.write_config()
        daemon.start()
        backend = self.plain_client(daemon, Identity(7))
        meter = self.plain_client(daemon, Identity(8), connect=False)
        meter.address = path
        meter.connect()
        self.assert_acked(meter.publish_all(events(5)))
        self.assertEqual([d.event for d in backend.wait_deliveries(5)], events(5))

    def test_an_offline_consumer_gets_its_backlog(self):
        daemon = self.daemon(subscriptions=[subscription()])
        meter = self.client(daemon, "meter-1")
        self.assert_acked(meter.publish_all(events(2_000)))
        self.assertEqual(daemon.tracker("readings")["pending"], 2_000)
        backend = self.client(daemon, "backend")
        got = [delivery.event for delivery in backend.wait_deliveries(2_000)]
        self.assertEqual(got, events(2_000))
        self.wait_settled(daemon, "readings")

    def test_every_matching_subscription_gets_the_event(self):
        daemon = self.daemon(subscriptions=[
            subscription("all", "backend"), subscription("also", "archive"),
            subscription("twice", "backend", sources=["meter-1"])])
        backend, archive = self.client(daemon, "backend"), self.client(daemon, "archive")
        meter = self.client(daemon, "meter-1")
        self.assert_acked(meter.publish_all(events(3)))
        backend.wait_deliveries(6)
        archive.wait_deliveries(3)
        for name in ("all", "also", "twice"):
            self.assertEqual(self.wait_settled(daemon, name)["acked"], 3)

    def test_a_consumer_gets_at_most_its_window(self):
        daemon = self.daemon(subscriptions=[subscription(in_flight=4)])
        backend = self.client(daemon, "backend", respond=leave_open)
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(20)))
        backend.wait_deliveries(4)
        self.assert_stays(lambda: len(backend.deliveries) == 4, "four in flight, no more")
        row = daemon.tracker("readings")
        self.assertEqual((row["in_flight"], row["pending"]), (4, 16))
        self.assert_conserved(row)
        ids = [delivery.message_id for delivery in backend.deliveries]
        self.assertEqual(len(set(ids)), 4, "a live message id is not reused")

    def test_the_largest_frame_passes(self):
        daemon = self.daemon(subscriptions=[subscription()])
        backend = self.client(daemon, "backend")
        overhead = len(sink_v0.encode_frame(sink_v0.Publish(0, Event())))
        overhead += 2  # the length of event_data takes three bytes instead of one
        event = Event(1, b"", 1, 0, b"\xa5" * (sink_v0.FRAME_BYTES_MAX - overhead), 0)
        frame = sink_v0.encode_frame(sink_v0.Publish(0, event))
        self.assertEqual(len(frame), sink_v0.FRAME_BYTES_MAX)
        self.assert_acked([self.client(daemon, "meter-1").publish(event).wait()])
        self.assertEqual(backend.wait_deliveries(1)[0].event, event)

    def test_an_event_that_outgrows_its_frame_is_not_lost_silently(self):
        daemon = self.daemon(subscriptions=[subscription(key_format="{source}/{key}")])
        self.client(daemon, "backend")
        event = Event(1, b"key", 1, 0, b"\xa5" * 65_518, 0)
        answer = self.client(daemon, "meter-1").publish(event).wait()
        if isinstance(answer, sink_v0.Ack):
            daemon.wait_quarantined(1)
        else:
            self.assert_nacked(answer, sink_v0.EVENT_TOO_LARGE)

    def test_expired_events_are_counted_and_not_delivered(self):
        daemon = self.daemon(subscriptions=[subscription(expire_after="1s")])
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(5)))
        wait_until(lambda: daemon.tracker("readings")["expired"] == 5, "five expired")
        self.assertEqual(daemon.events()["expired"], 5)
        backend = self.client(daemon, "backend")
        self.assert_stays(lambda: not backend.deliveries, "an expired event is not delivered")

    def test_in_flight_at_a_disconnect_comes_again_in_order(self):
        daemon = self.daemon(subscriptions=[subscription(in_flight=8)])
        backend = self.client(daemon, "backend", respond=leave_open)
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(20)))
        backend.wait_deliveries(8)
        backend.close()
        backend.respond = lambda delivery: "ack"
        backend.connect_when_ready()
        backend.wait_deliveries(28)
        self.assertEqual([d.event for d in backend.deliveries[8:]], events(20))
        self.wait_settled(daemon, "readings")

    def test_an_ack_timeout_delivers_again(self):
        daemon = self.daemon(subscriptions=[subscription(ack_timeout="1s", in_flight=1)])
        backend = self.client(daemon, "backend", respond=lambda delivery: None if len(
            backend.deliveries) == 1 else "ack")
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(3)))
        backend.wait_deliveries(4)
        self.assertEqual(offsets_by_key(backend.deliveries)[1, b"k"], [1, 1, 2, 3])
        row = self.wait_settled(daemon, "readings")
        self.assertEqual(row["acked"], 3)
        self.assertEqual(daemon.events()["redelivered"], 1)


class Routing(SystemTest):
    def test_filters_by_source_type_and_key(self):
        daemon = self.daemon(subscriptions=[subscription(
            sources=["meter-*"], event_types=[1, "10-19"], keys=["kitchen/*", "roof"])])
        backend = self.client(daemon, "backend")
        wanted = [Event(1, b"roof", 1), Event(10, b"roof", 1), Event(19, b"kitchen/oven", 1)]
        unwanted = [Event(2, b"roof", 1), Event(20, b"roof", 1), Event(1, b"cellar", 1),
                    Event(1, b"roof/top", 1)]
        self.assert_acked(self.client(daemon, "meter-1").publish_all(unwanted + wanted))
        self.assert_acked(self.client(daemon, "valve-1").publish_all([Event(1, b"roof", 2)]))
        backend.wait_deliveries(3)
        self.assertEqual([d.event for d in backend.deliveries], wanted)
        self.assertEqual(daemon.events()["unrouted"], 5)

    def test_a_template_fans_out_by_consumer(self):
        daemon = self.daemon(subscriptions=[subscription(
            "commands", "meter-*", sources=["backend"], keys=["{consumer}", "{consumer}/*"])])
        meters = {name: self.client(daemon, name) for name in ("meter-1", "meter-2", "meter-3")}
        meters["meter-3"].close()
        backend = self.client(daemon, "backend")
        keys = [b"meter-1", b"meter-2/relay", b"meter-3", b"meter-1/relay"]
        self.assert_acked(backend.publish_all([Event(1, key, 1) for key in keys]))
        meters["meter-1"].wait_deliveries(2)
        meters["meter-2"].wait_deliveries(1)
        wait_until(lambda: daemon.tracker("commands", "meter-3")["pending"] == 1, "one waiting")
        meters["meter-3"].connect_when_ready()
        meters["meter-3"].wait_deliveries(1)
        got = {name: [d.event.key for d in meter.deliveries] for name, meter in meters.items()}
        self.assertEqual(got, {"meter-1": [b"meter-1", b"meter-1/relay"],
                               "meter-2": [b"meter-2/relay"], "meter-3": [b"meter-3"]})
        self.assertEqual(len(daemon.trackers("commands")), 3, "one tracker per matching client")

    def test_key_format_tells_devices_apart(self):
        daemon = self.daemon(subscriptions=[subscription(key_format="{source}/{key}")])
        backend = self.client(daemon, "backend")
        for name in ("meter-1", "meter-2"):
            self.assert_acked(self.client(daemon, name).publish_all(events(2)))
        backend.wait_deliveries(4)
        self.assertEqual(offsets_by_key(backend.deliveries),
                         {(1, b"meter-1/k"): [1, 2], (1, b"meter-2/k"): [1, 2]})

    def test_unrouted_is_acked_and_counted(self):
        daemon = self.daemon(subscriptions=[subscription(event_types=[9])])
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(3)))
        self.assertEqual(daemon.events()["unrouted"], 3)

    def test_unrouted_nack_refuses(self):
        daemon = self.daemon(server={"unrouted": "nack"},
                             subscriptions=[subscription(event_types=[9])])
        meter = self.client(daemon, "meter-1")
        self.assert_nacked(meter.publish(Event(1, b"k", 1)).wait(), sink_v0.NO_SUBSCRIPTION)
        self.assert_acked([meter.publish(Event(9, b"k", 1)).wait()])

    def test_a_hundred_devices_and_one_backend(self):
        daemon = self.daemon(subscriptions=[subscription(
            sources=["meter-*"], key_format="{source}/{key}")])
        backend = self.client(daemon, "backend")
        meters = {f"meter-{n:03}": self.client(daemon, f"meter-{n:03}") for n in range(100)}
        self.assertEqual(daemon.status()["connections"], 101)
        tickets = [meter.publish(event) for event in events(20) for meter in meters.values()]
        self.assert_acked([ticket.wait() for ticket in tickets])
        backend.wait_deliveries(2_000)
        self.wait_settled(daemon, "readings")
        self.assertEqual(offsets_by_key(backend.deliveries),
                         {(1, name.encode() + b"/k"): list(range(1, 21)) for name in meters},
                         "each once, each device in order: without a fault no duplicate")


class Deduplication(SystemTest):
    def republish(self, daemon, meter, backend, sent):
        self.assert_acked(meter.publish_all(sent))
        marker = Event(1, b"marker", len(meter.acked))
        self.assert_acked([meter.publish(marker).wait()])
        backend.wait_for(lambda: any(d.event == marker for d in backend.deliveries), "the marker")
        got = [d.event for d in backend.deliveries if d.event.key != b"marker"]
        self.assertEqual(got, sent, "in once, delivered once")

    def test_a_republished_event_is_acked_and_not_accepted_twice(self):
        daemon = self.daemon(subscriptions=[subscription()])
        backend, meter = self.client(daemon, "backend"), self.client(daemon, "meter-1")
        sent = events(50) + events(50, b"other", first=1_000)
        self.republish(daemon, meter, backend, sent)
        self.republish(daemon, meter, backend, sent)
        self.assertEqual(daemon.events()["duplicate"], 100)

    def test_across_reconnect_restart_and_crash(self):
        daemon = self.daemon(subscriptions=[subscription()])
        backend, meter = self.client(daemon, "backend"), self.client(daemon, "meter-1")
        sent = events(50)
        self.republish(daemon, meter, backend, sent)
        self.wait_settled(daemon, "readings")
        meter.close()
        meter.connect_when_ready()
        self.republish(daemon, meter, backend, sent)
        self.wait_settled(daemon, "readings")
        for again in (daemon.restart, daemon.crash_and_restart):
            again()
            for client in (backend, meter):
                client.wait_end()
                client.connect_when_ready()
            before = daemon.events()
            self.assert_acked(meter.publish_all(sent))
            after = daemon.events()
            self.assertEqual(after["duplicate"] - before["duplicate"], 50)
            self.assertEqual(after["accepted"], before["accepted"])

    def test_in_flight_publishes_may_be_repeated(self):
        daemon = self.daemon(subscriptions=[subscription()])
        backend, meter = self.client(daemon, "backend"), self.client(daemon, "meter-1")
        tickets = [meter.publish(event) for event in [*events(1)] * 5]
        self.assert_acked([ticket.wait() for ticket in tickets])
        self.wait_settled(daemon, "readings")
        self.assertEqual(len(backend.deliveries), 1)

    def test_an_offset_that_goes_backwards_is_refused(self):
        daemon = self.daemon(subscriptions=[subscription()])
        backend, meter = self.client(daemon, "backend"), self.client(daemon, "meter-1")
        self.assert_acked(meter.publish_all([Event(1, b"k", 10), Event(1, b"k", 20)]))
        self.assert_nacked(meter.publish(Event(1, b"k", 15)).wait(), sink_v0.OFFSET_BACKWARDS)
        others = [Event(1, b"other", 1), Event(2, b"k", 1), Event(1, b"k", 20), Event(1, b"k", 21)]
        self.assert_acked(meter.publish_all(others))
        self.wait_settled(daemon, "readings")
        self.assertNotIn(15, [d.event.offset for d in backend.deliveries])
        self.assertEqual(len(backend.deliveries), 5)

    def test_the_same_ack_key_of_two_clients_is_two_events(self):
        daemon = self.daemon(subscriptions=[subscription()])
        backend = self.client(daemon, "backend")
        for name in ("meter-1", "meter-2"):
            meter = self.client(daemon, name, identity=fresh_identity())
            self.assert_acked(meter.publish_all(events(3)))
        backend.wait_deliveries(6)
        self.assertEqual(daemon.events()["duplicate"], 0)


if __name__ == "__main__":
    unittest.main()
