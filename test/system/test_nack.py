"""NACKs: retries in key order, the policy table, quarantine and what an operator does with it."""

import unittest

from daemon_fixture import SystemTest, events, offsets_by_key, subscription
from sink_peer import Refused, leave_open, wait_until
from sink_v0 import QUARANTINED, Event


def refuse(machine, human, *wanted):
    """A responder that NACKs events of these (key, offset) and ACKs the others."""
    def respond(delivery):
        if (delivery.event.key, delivery.event.offset) in wanted:
            return (machine, human)
        return "ack"
    return respond


def refuse_first(times, machine, *wanted):
    """A responder that NACKs each of these (key, offset) so many times, then ACKs it."""
    left = {each: times for each in wanted}

    def respond(delivery):
        name = (delivery.event.key, delivery.event.offset)
        if left.get(name):
            left[name] -= 1
            return (machine, b"not yet")
        return "ack"
    return respond


def rule(machine, action):
    return {"machine": machine, "action": action}


class KeyOrder(SystemTest):
    def test_later_events_of_a_refused_key_wait_and_other_keys_flow(self):
        daemon = self.daemon(subscriptions=[subscription(retry=["3s"])])
        backend = self.client(daemon, "backend", respond=refuse_first(1, b"\x09", (b"a", 1)))
        meter = self.client(daemon, "meter-1")
        self.assert_acked([meter.publish(Event(1, b"a", 1)).wait()])
        wait_until(lambda: daemon.events()["nacked"] == 1, "the NACK is counted")
        later = [Event(1, b"a", 2), Event(1, b"a", 3), Event(1, b"b", 1)]
        self.assert_acked(meter.publish_all(later))
        backend.wait_deliveries(5)
        got = [(d.event.key, d.event.offset) for d in backend.deliveries]
        self.assertEqual(got, [(b"a", 1), (b"b", 1), (b"a", 1), (b"a", 2), (b"a", 3)])
        self.wait_settled(daemon, "readings")

    def test_with_a_window_of_one_every_refusal_holds_its_key(self):
        daemon = self.daemon(subscriptions=[subscription(in_flight=1)])
        refused = [(b"a", 2), (b"a", 4), (b"b", 1), (b"b", 5)]
        backend = self.client(daemon, "backend", respond=refuse_first(2, b"\x09", *refused))
        meter = self.client(daemon, "meter-1")
        for pair in zip(events(5, b"a"), events(5, b"b")):
            self.assert_acked(meter.publish_all(pair))
        backend.wait_deliveries(18)
        self.assertEqual(offsets_by_key(backend.deliveries), {
            (1, b"a"): [1, 2, 2, 2, 3, 4, 4, 4, 5], (1, b"b"): [1, 1, 1, 2, 3, 4, 5, 5, 5]})
        counts = daemon.events()
        self.assertEqual((counts["nacked"], counts["redelivered"]), (8, 8))

    def test_keys_of_two_sources_do_not_hold_each_other(self):
        daemon = self.daemon(subscriptions=[subscription(
            retry=["5s"], key_format="{source}/{key}")])
        backend = self.client(daemon, "backend",
                              respond=refuse_first(1, b"\x09", (b"meter-1/k", 1)))
        first, second = self.client(daemon, "meter-1"), self.client(daemon, "meter-2")
        self.assert_acked(first.publish_all(events(1)))
        wait_until(lambda: daemon.events()["nacked"] == 1, "the NACK is counted")
        self.assert_acked(second.publish_all(events(3)))
        backend.wait_deliveries(5)
        self.assertEqual(backend.deliveries[-1].event.key, b"meter-1/k")

    def test_order_none_does_not_wait(self):
        daemon = self.daemon(subscriptions=[subscription(order="none", retry=["3s"])])
        backend = self.client(daemon, "backend", respond=refuse_first(1, b"\x09", (b"k", 1)))
        meter = self.client(daemon, "meter-1")
        self.assert_acked([meter.publish(events(1)[0]).wait()])
        wait_until(lambda: daemon.events()["nacked"] == 1, "the NACK is counted")
        self.assert_acked(meter.publish_all(events(3, first=2)))
        backend.wait_deliveries(5)
        self.assertEqual(offsets_by_key(backend.deliveries)[1, b"k"], [1, 2, 3, 4, 1])

    def test_attempts_survive_a_restart(self):
        daemon = self.daemon(subscriptions=[subscription(max_deliveries=4, retry=["500ms"])])
        backend = self.client(daemon, "backend", respond=refuse(b"\x07", b"no", (b"k", 1)))
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(1)))
        backend.wait_deliveries(2)
        wait_until(lambda: daemon.events()["nacked"] >= 2, "two NACKs counted")
        daemon.restart()
        backend.wait_end()
        backend.connect_when_ready()
        row = daemon.wait_quarantined(1)[0]
        self.assertEqual(row["attempts"], 4)
        self.assertLessEqual(len(backend.deliveries), 5, "not counted from zero again")


class Quarantine(SystemTest):
    def quarantine(self, count=1, **options):
        """A broker where the first `count` offsets of key "a" are in quarantine."""
        options = {"max_deliveries": 3, "retry": ["50ms"], **options}
        daemon = self.daemon(subscriptions=[subscription(**options)])
        refused = [(b"a", offset) for offset in range(1, count + 1)]
        backend = self.client(daemon, "backend",
                              respond=refuse(b"\x07\x2a", "zähler kaputt".encode(), *refused))
        meter = self.client(daemon, "meter-1")
        self.assert_acked(meter.publish_all(events(count, b"a", event_type_id=5)))
        return daemon, backend, meter, daemon.wait_quarantined(count)

    def test_too_many_deliveries_end_there_with_the_reason(self):
        daemon, backend, _, rows = self.quarantine()
        row = rows[0]
        expected = {"subscription": "readings", "consumer": "backend", "source": "meter-1",
                    "event_type_id": 5, "key": "a", "key_hex": "61", "offset": 1, "attempts": 3,
                    "machine": "072a", "human": "zähler kaputt"}
        self.assertEqual({name: row.get(name) for name in expected}, expected)
        self.assertIn("since", row)
        self.assertEqual(len(backend.deliveries), 3)
        shown = daemon.event_show(row)
        self.assertEqual((shown["position"], shown["human"]), (row["position"], "zähler kaputt"))
        self.assertEqual(daemon.events()["quarantined"], 1)
        self.assert_conserved(daemon.tracker("readings"))

    def test_it_survives_a_crash(self):
        daemon, backend, _, rows = self.quarantine()
        daemon.crash_and_restart()
        backend.wait_end()
        backend.connect_when_ready()
        kept = daemon.quarantined()
        self.assertEqual([(r["position"], r["machine"], r["human"], r["attempts"]) for r in kept],
                         [(r["position"], r["machine"], r["human"], r["attempts"]) for r in rows])

    def test_release_delivers_again_in_key_order(self):
        daemon, backend, meter, rows = self.quarantine(3)
        self.assert_acked(meter.publish_all(events(2, b"a", first=4, event_type_id=5)))
        self.wait_settled(daemon, "readings")
        before = len(backend.deliveries)
        backend.respond = lambda delivery: "ack"
        daemon.event_release_all("readings")
        backend.wait_deliveries(before + 3)
        self.assertEqual([d.event.offset for d in backend.deliveries[before:]], [1, 2, 3])
        self.wait_settled(daemon, "readings")
        self.assertEqual(daemon.quarantined(), [])
        self.assertEqual(daemon.tracker("readings")["acked"], 5)

    def test_release_of_one_leaves_the_others(self):
        daemon, backend, _, rows = self.quarantine(2)
        before = len(backend.deliveries)
        backend.respond = lambda delivery: "ack"
        daemon.event_release(rows[1])
        backend.wait_deliveries(before + 1)
        self.assertEqual(backend.deliveries[before].event.offset, 2)
        self.assertEqual([row["offset"] for row in daemon.wait_quarantined(1)], [1])

    def test_drop_settles_it_and_counts(self):
        daemon, backend, meter, rows = self.quarantine()
        before = len(backend.deliveries)
        daemon.event_drop(rows[0])
        wait_until(lambda: daemon.quarantined() == [], "nothing in quarantine")
        backend.respond = lambda delivery: "ack"
        self.assert_acked(meter.publish_all(events(1, b"a", first=2, event_type_id=5)))
        backend.wait_deliveries(before + 1)
        self.assertEqual(backend.deliveries[before].event.offset, 2)
        row = self.wait_settled(daemon, "readings")
        self.assertEqual((row["dropped"], row["acked"], row["quarantined"]), (1, 1, 0))
        self.assertEqual(daemon.events()["dropped"], 1)

    def hold(self):
        daemon, backend, meter, rows = self.quarantine(after_quarantine="hold")
        before = len(backend.deliveries)
        later = events(2, b"a", first=2, event_type_id=5) + events(1, b"b")
        self.assert_acked(meter.publish_all(later))
        backend.wait_deliveries(before + 1)
        self.assertEqual(backend.deliveries[before].event.key, b"b")
        wait_until(lambda: daemon.tracker("readings")["held"] == 2, "two held")
        self.assert_conserved(daemon.tracker("readings"))
        self.assert_stays(lambda: len(backend.deliveries) == before + 1, "the key waits")
        backend.respond = lambda delivery: "ack"
        return daemon, backend, rows[0], before + 1

    def test_after_quarantine_hold_waits_for_the_release(self):
        daemon, backend, row, before = self.hold()
        daemon.event_release(row)
        backend.wait_deliveries(before + 3)
        self.assertEqual([d.event.offset for d in backend.deliveries[before:]], [1, 2, 3])
        self.assertEqual(self.wait_settled(daemon, "readings")["acked"], 4)

    def test_after_quarantine_hold_waits_for_the_drop(self):
        daemon, backend, row, before = self.hold()
        daemon.event_drop(row)
        backend.wait_deliveries(before + 2)
        self.assertEqual([d.event.offset for d in backend.deliveries[before:]], [2, 3])
        self.assertEqual(self.wait_settled(daemon, "readings")["dropped"], 1)


class PolicyTable(SystemTest):
    RULES = [rule("01", "retry"), rule("02", "retry-uncounted"), rule("03", "hold"),
             rule("04", "quarantine"), rule("05", "drop"), rule("06", "quarantine-client"),
             rule("07", "pause"), rule("*", "quarantine")]

    def start(self, respond, **options):
        daemon = self.daemon(subscriptions=[subscription(
            max_deliveries=3, retry=["50ms"], on_nack=self.RULES, **options)])
        return (daemon, self.client(daemon, "backend", respond=respond),
                self.client(daemon, "meter-1"))

    def test_retry_counts(self):
        daemon, backend, meter = self.start(refuse_first(2, b"\x01", (b"k", 1)))
        self.assert_acked(meter.publish_all(events(2)))
        self.wait_settled(daemon, "readings")
        self.assertEqual(daemon.quarantined(), [])
        self.assertEqual(daemon.events()["nacked"], 2)

    def test_retry_uncounted_never_ends_in_quarantine(self):
        daemon, backend, meter = self.start(refuse_first(10, b"\x02", (b"k", 1)))
        self.assert_acked(meter.publish_all(events(1)))
        backend.wait_deliveries(11)
        self.wait_settled(daemon, "readings")
        self.assertEqual((daemon.quarantined(), daemon.tracker("readings")["acked"]), ([], 1))

    def test_hold_keeps_the_key_for_the_operator(self):
        daemon, backend, meter = self.start(refuse(b"\x03", b"wait", (b"k", 1)))
        self.assert_acked(meter.publish_all(events(1)))
        row = daemon.wait_quarantined(1)[0]
        self.assert_acked(meter.publish_all([*events(2, first=2), Event(1, b"other", 1)]))
        backend.wait_deliveries(2)
        self.assertEqual(backend.deliveries[1].event.key, b"other")
        self.assert_stays(lambda: len(backend.deliveries) == 2, "the key waits")
        backend.respond = lambda delivery: "ack"
        daemon.event_release(row)
        backend.wait_deliveries(5)
        self.assertEqual([d.event.offset for d in backend.deliveries[2:]], [1, 2, 3])

    def test_quarantine_at_the_first_refusal(self):
        daemon, backend, meter = self.start(refuse(b"\x04", b"bad", (b"k", 1)))
        self.assert_acked(meter.publish_all(events(3)))
        row = daemon.wait_quarantined(1)[0]
        self.assertEqual((row["attempts"], row["machine"], row["human"]), (1, "04", "bad"))
        self.wait_settled(daemon, "readings")
        self.assertEqual(len(backend.deliveries), 3)

    def test_drop(self):
        daemon, backend, meter = self.start(refuse(b"\x05", b"never", (b"k", 1)))
        self.assert_acked(meter.publish_all(events(3)))
        row = self.wait_settled(daemon, "readings")
        self.assertEqual((row["dropped"], row["acked"]), (1, 2))
        self.assertEqual((daemon.quarantined(), daemon.events()["dropped"]), ([], 1))

    def test_quarantine_client_shuts_the_source_out(self):
        daemon, backend, meter = self.start(refuse(b"\x06", b"evil firmware", (b"k", 1)))
        self.assert_acked(meter.publish_all(events(1)))
        meter.wait_end()
        with self.assertRaises(Refused) as refused:
            meter.connect()
        self.assertEqual(refused.exception.response.response, QUARANTINED)
        self.assertEqual(refused.exception.response.machine, b"\x06")
        self.assertIn(b"evil firmware", refused.exception.response.human)
        self.assertEqual(daemon.client_state("meter-1"), "quarantined")
        self.assertEqual(daemon.client_state("backend"), "connected")
        self.assertEqual(len(daemon.quarantined()), 1)
        daemon.client_release("meter-1")
        meter.connect()
        self.assert_acked(meter.publish_all(events(1, first=2)))

    def test_pause_stops_the_subscription_until_it_is_resumed(self):
        daemon, backend, meter = self.start(refuse(b"\x07", b"down", (b"k", 1)), in_flight=1)
        self.assert_acked(meter.publish_all(events(3)))
        wait_until(lambda: daemon.tracker("readings")["state"] == "paused", "paused")
        self.assert_stays(lambda: len(backend.deliveries) == 1, "nothing flows while paused")
        self.assert_conserved(daemon.tracker("readings"))
        backend.respond = lambda delivery: "ack"
        daemon.resume("readings")
        backend.wait_deliveries(4)
        self.assertEqual([d.event.offset for d in backend.deliveries], [1, 1, 2, 3])

    def test_any_other_code_falls_to_the_star(self):
        answers = {1: (b"", b"no code"), 2: (b"\x04\x04", b"longer"), 3: (b"\xff" * 40, b"long")}
        daemon, backend, meter = self.start(lambda delivery: answers[delivery.event.offset])
        self.assert_acked(meter.publish_all(events(3)))
        rows = daemon.wait_quarantined(3)
        self.assertEqual([row["machine"] for row in rows], ["", "0404", "ff" * 40])


class Steering(SystemTest):
    def test_pause_and_resume_by_the_operator(self):
        daemon = self.daemon(subscriptions=[subscription(), subscription("other", "archive")])
        backend, archive = self.client(daemon, "backend"), self.client(daemon, "archive")
        daemon.pause("readings")
        self.assertEqual(daemon.tracker("readings")["state"], "paused")
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(10)))
        archive.wait_deliveries(10)
        self.assert_stays(lambda: not backend.deliveries, "nothing flows while paused")
        daemon.resume("readings")
        backend.wait_deliveries(10)
        self.assertEqual([d.event for d in backend.deliveries], events(10))

    def test_a_pause_survives_a_restart(self):
        daemon = self.daemon(subscriptions=[subscription()])
        daemon.pause("readings")
        daemon.crash_and_restart()
        self.assertEqual(daemon.tracker("readings")["state"], "paused")

    def test_a_subscription_taken_out_of_the_file_keeps_its_backlog(self):
        daemon = self.daemon(subscriptions=[subscription(), subscription("other", "archive")])
        archive, meter = self.client(daemon, "archive"), self.client(daemon, "meter-1")
        self.assert_acked(meter.publish_all(events(5)))
        taken_out = daemon.document["subscription"].pop(0)
        daemon.write_config()
        daemon.restart()
        row = daemon.tracker("readings")
        self.assertEqual((row["pending"], row["dropped"]), (5, 0), row)
        meter.connect_when_ready()
        archive.connect_when_ready()
        self.assert_acked(meter.publish_all(events(5, first=6)))
        archive.wait_for(lambda: {d.event.offset for d in archive.deliveries} >= set(range(1, 11)),
                         "the other subscription goes on")
        self.assertEqual(daemon.tracker("readings")["pending"], 5, "takes nothing new")
        daemon.document["subscription"].append(taken_out)
        daemon.write_config()
        daemon.restart()
        backend = self.client(daemon, "backend")
        backend.wait_deliveries(5)
        self.assertEqual([d.event for d in backend.deliveries], events(5))

    def add_with_backlog(self):
        daemon = self.daemon(subscriptions=[subscription()])
        daemon.subscription_add(subscription("extra", "archive"))
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(3)))
        self.assertEqual(daemon.tracker("extra")["pending"], 3)
        return daemon

    def test_an_added_subscription_survives_a_crash_and_retires_when_removed(self):
        daemon = self.add_with_backlog()
        daemon.crash_and_restart()
        self.assertEqual(daemon.tracker("extra")["pending"], 3)
        daemon.subscription_remove("extra")
        self.assertEqual(daemon.tracker("extra")["pending"], 3, "its backlog is still owed")
        archive = self.client(daemon, "archive")
        archive.wait_deliveries(3)
        wait_until(lambda: not any(row["pending"] or row["in_flight"]
                                   for row in daemon.trackers("extra")), "nothing left to do")

    def test_removing_with_its_backlog_counts_the_drops(self):
        daemon = self.add_with_backlog()
        daemon.subscription_remove("extra", "--drop-backlog")
        wait_until(lambda: daemon.events()["dropped"] == 3, "three dropped")
        archive = self.client(daemon, "archive")
        self.assert_stays(lambda: not archive.deliveries, "nothing is delivered any more")

    def test_answers_left_open_do_not_settle(self):
        daemon = self.daemon(subscriptions=[subscription()])
        backend = self.client(daemon, "backend", respond=leave_open)
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(3)))
        backend.wait_deliveries(3)
        backend.ack(backend.deliveries[1])
        wait_until(lambda: daemon.tracker("readings")["acked"] == 1, "one settled")
        row = daemon.tracker("readings")
        self.assertEqual(row["in_flight"], 2)
        self.assert_conserved(row)


if __name__ == "__main__":
    unittest.main()
