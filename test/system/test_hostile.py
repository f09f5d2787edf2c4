"""Peers that do what the protocol forbids, or nothing, or too much.

In every case another client keeps publishing and being delivered to, and the broker's memory stays
bounded. SINKD_TEST_SILENT sets the number of connections that never speak (1,000).
"""

import os
import socket
import time
import unittest

import sink_v0
from daemon_fixture import SystemTest, events, subscription
from pki_fixture import Pki
from sink_peer import (PATIENCE, Identity, RawConnection, fresh_identity, leave_open, wait_until)
from sink_v0 import Ack, ConnectionRequest, ConnectionResponse, Event, Nack, Ping, Pong, Publish
from test_sink_v0 import load_vectors

SILENT = int(os.environ.get("SINKD_TEST_SILENT", "1000"))
MEMORY_GROWTH_KIB_MAX = 64 * 1024
PATIENT = max(PATIENCE, 30.0)


class HostileTest(SystemTest):
    def start(self, **options):
        """A broker and a healthy pair of clients on it."""
        options.setdefault("subscriptions", [subscription(sources=["good-*"])])
        self.broker = self.daemon(**options)
        self.backend = self.client(self.broker, "backend")
        self.good = self.client(self.broker, "good-1")
        self.offset = 0
        self.healthy()
        self.memory_before = self.broker.memory_kib()
        return self.broker

    def healthy(self):
        """The healthy pair gets an event through, and the broker has not grown."""
        self.offset += 1
        event = Event(1, b"pulse", self.offset)
        self.assert_acked([self.good.publish(event).wait()])
        self.backend.wait_for(lambda: self.backend.deliveries[-1:] and
                              self.backend.deliveries[-1].event == event, f"{event} delivered")

    def assert_bounded(self):
        self.broker.assert_running()
        growth = self.broker.memory_kib() - self.memory_before
        self.assertLess(growth, MEMORY_GROWTH_KIB_MAX, "resident memory, KiB")

    def raw(self, name="evil-1", plain=False):
        if plain:
            raw = RawConnection(self.broker.plain_address)
        else:
            raw = RawConnection(self.broker.address, Pki.shared().client(name))
        self.addCleanup(raw.close)
        return raw

    def connected_raw(self, name="evil-1"):
        raw = self.raw(name)
        if not hasattr(self, "_identities"):
            self._identities = {}
        identity = self._identities.setdefault(name, Identity(666))
        response = raw.handshake(identity)
        self.assertIn(response.name, ("connected", "hello_new_client"))
        return raw

    def assert_closed(self, raw, what):
        frames = raw.read_to_end(PATIENT)
        self.assertTrue(raw.closed, what)
        return frames


class Malformed(HostileTest):
    def test_hostile_frames_before_connected(self):
        self.start()
        for plain in (False, True):
            for vector in load_vectors()["hostile"]:
                with self.subTest(vector["name"], plain=plain):
                    raw = self.raw(plain=plain)
                    raw.send_frame(bytes.fromhex(vector["hex"]))
                    self.assertEqual(self.assert_closed(raw, vector["why"]), [])
                    self.healthy()
        self.assert_bounded()
        self.assertIsNone(self.broker.client_row("evil-1"), "never became a client")

    def test_hostile_frames_after_connected(self):
        self.start()
        for vector in load_vectors()["hostile"]:
            with self.subTest(vector["name"]):
                raw = self.connected_raw()
                raw.send_frame(bytes.fromhex(vector["hex"]))
                self.assert_closed(raw, vector["why"])
                self.healthy()
        self.assert_bounded()

    def test_hostile_frames_behind_good_ones_in_one_write(self):
        self.start()
        self.connected_raw().close()
        for vector in load_vectors()["hostile"]:
            with self.subTest(vector["name"]):
                raw = self.raw()
                identity = self._identities["evil-1"]
                request = ConnectionRequest(identity.client_instance_id,
                                            identity.server_instance_id)
                hostile = sink_v0.with_length(bytes.fromhex(vector["hex"]))
                raw.send_bytes(sink_v0.to_wire(request) + sink_v0.to_wire(Ping()) + hostile)
                frames = self.assert_closed(raw, vector["why"])
                self.assertEqual(frames[:1], [b"\x10"], "connected came first")
                self.healthy()

    def test_nothing_but_a_request_may_come_first(self):
        self.start()
        first = [Publish(1, Event(1, b"k", 1)), Ack(1), Nack(1, b"\x01", b"no"), Ping(), Pong(),
                 ConnectionResponse(sink_v0.CONNECTED)]
        for message in first:
            with self.subTest(str(message)):
                raw = self.raw()
                raw.send(message)
                raw.send(ConnectionRequest(1))
                self.assertEqual(self.assert_closed(raw, "a protocol error"), [])
                self.healthy()
        self.assertEqual(self.broker.events()["unrouted"], 0, "the PUBLISH was not looked at")

    def test_handshake_messages_after_connected_are_violations(self):
        self.start()
        for message in (ConnectionResponse(sink_v0.CONNECTED), ConnectionRequest(666),
                        ConnectionResponse(sink_v0.HELLO_NEW_CLIENT, 1)):
            with self.subTest(str(message)):
                raw = self.connected_raw()
                raw.send(message)
                self.assert_closed(raw, "a protocol error")
                self.healthy()

    def test_frames_of_65535_bytes(self):
        self.start()
        size = sink_v0.FRAME_BYTES_MAX
        frames = {
            "zeros": bytes(size), "type 2": b"\x20" * size, "ones": b"\xff" * size,
            "ack with a payload": b"\x30\x00" + bytes(size - 2),
            "nack of one long chunk": b"\x70\x00\xff\xff\x03" + bytes(size - 5),
            "publish of one long key": b"\x40\x00\x01\x01\xff\xff\x03" + bytes(size - 7),
        }
        for name, frame in frames.items():
            with self.subTest(name, when="first"):
                raw = self.raw()
                raw.send_frame(frame)
                self.assertEqual(self.assert_closed(raw, name), [])
            with self.subTest(name, when="connected"):
                raw = self.connected_raw()
                raw.send_frame(frame)
                self.assert_closed(raw, name)
                self.healthy()
        self.assert_bounded()

    def test_a_request_with_a_huge_version_is_answered_or_closed(self):
        self.start()
        for length in (256, 4_096, 65_000):
            raw = self.raw()
            raw.send(ConnectionRequest(1, None, b"v" * length))
            response = raw.receive()
            self.assertTrue(response is None or isinstance(response, ConnectionResponse))
            raw.close()
            self.healthy()
        self.assert_bounded()

    def test_bytes_that_are_not_tls(self):
        self.start()
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 1_000, b"\x16\x03\x01\xff\xff" * 200,
                     sink_v0.to_wire(ConnectionRequest(1))):
            with self.subTest(data[:16]):
                raw = RawConnection(self.broker.address)
                self.addCleanup(raw.close)
                raw.send_bytes(data)
                self.assert_closed(raw, "not TLS")
                self.healthy()

    def test_connections_cut_at_every_byte_of_a_conversation(self):
        self.start()
        talk = (sink_v0.to_wire(ConnectionRequest(9)) +
                sink_v0.to_wire(Publish(1, Event(1, b"k", 1, 2, b"data"))))
        for cut in range(len(talk)):
            raw = self.raw(plain=True)
            raw.send_bytes(talk[:cut])
            raw.reset() if cut % 2 else raw.close()
        self.healthy()
        self.assert_bounded()


class Silence(HostileTest):
    def silent_sockets(self, count):
        sockets = []
        for _ in range(count):
            try:
                sockets.append(socket.create_connection(self.broker.address, timeout=PATIENCE))
            except OSError:
                continue  # refused at the door is as good as closed
        for sock in sockets:
            self.addCleanup(sock.close)
        return sockets

    def assert_all_closed(self, sockets, within):
        deadline = time.monotonic() + within
        for sock in sockets:
            sock.settimeout(max(0.1, deadline - time.monotonic()))
            try:
                while sock.recv(4_096):
                    pass
            except TimeoutError:
                self.fail("a silent connection outlived its deadline")
            except OSError:
                continue

    def test_many_connections_that_never_speak(self):
        self.start()
        sockets = self.silent_sockets(SILENT)
        self.assertGreater(len(sockets), 0)
        self.healthy()
        self.assert_bounded()
        newcomer = self.client(self.broker, "good-2", connect=False)
        newcomer.connect_when_ready(2 * PATIENT)
        self.assert_acked(newcomer.publish_all(events(1)))
        self.assert_all_closed(sockets, 2 * PATIENT)
        self.healthy()
        self.assert_bounded()

    def test_silence_after_the_tls_handshake(self):
        self.start()
        raws = [self.raw("evil-1") for _ in range(20)]
        for raw in raws:
            self.assertEqual(self.assert_closed(raw, "no CONNECTION REQUEST in time"), [])
        self.healthy()

    def drip(self, send_byte, data):
        """Sends a byte per second until the peer closes; seconds that took, or None."""
        started = time.monotonic()
        for byte in data:
            if not send_byte(bytes([byte])):
                return time.monotonic() - started
            time.sleep(1.0)
        return None

    def test_one_byte_at_a_time_does_not_extend_the_tls_deadline(self):
        self.start()
        raw = RawConnection(self.broker.address)
        self.addCleanup(raw.close)
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)
        self.assertIsNotNone(self.drip(lambda b: raw.send_bytes(b) and not self.ended(raw),
                                       hello[:int(PATIENT)]), "still open")
        self.healthy()

    def test_one_byte_at_a_time_does_not_extend_the_first_frame_deadline(self):
        self.start()
        raw = self.raw()
        request = sink_v0.to_wire(ConnectionRequest(1, None, b"v" * 200))
        self.assertIsNotNone(self.drip(lambda b: raw.send_bytes(b) and not self.ended(raw),
                                       request[:int(PATIENT)]), "still open")
        self.healthy()

    def ended(self, raw):
        try:
            raw.receive_frame(0.05)
        except AssertionError:
            return False
        return raw.closed


class Floods(HostileTest):
    def flood(self, raw, data, limit_bytes, stall_seconds=3.0):
        """Sends without reading until the broker stops reading, or up to a limit."""
        raw.socket.settimeout(stall_seconds)
        sent = 0
        while sent < limit_bytes:
            try:
                raw.socket.sendall(data)
            except OSError:
                break
            sent += len(data)
        return sent

    def test_publishing_without_reading(self):
        self.start()
        raw = self.connected_raw()
        frames = b"".join(sink_v0.to_wire(Publish(n % 4096, Event(1, b"k", n + 1, 0, b"x" * 64)))
                          for n in range(4_000))
        self.flood(raw, frames, 64 << 20)
        self.healthy()
        self.assert_bounded()

    def test_pings_without_reading(self):
        self.start()
        raw = self.connected_raw()
        self.flood(raw, sink_v0.to_wire(Ping()) * 10_000, 32 << 20)
        self.healthy()
        self.assert_bounded()

    def test_a_consumer_that_does_not_read(self):
        self.start(subscriptions=[subscription(sources=["good-*"]),
                                  subscription("sloth", "evil-1", in_flight=4095)],
                   limits={"in_flight": 4095})
        raw = self.connected_raw()
        sent = events(5_000, b"bulk", data=b"z" * 8_000)
        self.backend.respond = lambda delivery: "ack"
        self.assert_acked(self.good.publish_all(sent, timeout=4 * PATIENT))
        self.backend.wait_deliveries(len(sent), 4 * PATIENT)
        self.healthy()
        self.assert_bounded()
        raw.close()
        sloth = self.client(self.broker, "evil-1", identity=self._identities["evil-1"])
        self.wait_delivered(sloth, b"bulk", range(1, 5_001))

    def test_long_human_messages(self):
        self.start(subscriptions=[subscription(sources=["good-*"]), subscription(
            "grumpy", "evil-1", on_nack=[{"machine": "*", "action": "quarantine"}])])
        grumpy = self.client(self.broker, "evil-1", identity=fresh_identity(),
                             respond=lambda delivery: (b"\x01" * 5_000, b"why? " * 10_000))
        self.assert_acked(self.good.publish_all(events(100, b"bulk")))
        grumpy.wait_deliveries(100)
        self.broker.wait_quarantined(101 if self.pulse_seen(grumpy) else 100, "grumpy")
        self.healthy()
        self.assert_bounded()

    def pulse_seen(self, client):
        return any(delivery.event.key == b"pulse" for delivery in client.deliveries)


class StrayAnswers(HostileTest):
    def test_answers_for_ids_that_were_never_used(self):
        self.start()
        raw = self.connected_raw()
        for message_id in range(0, 4096, 97):
            raw.send(Ack(message_id))
            raw.send(Nack(message_id, b"\x01", b"no such thing"))
        raw.send(Ping())
        self.assertEqual(raw.receive(), Pong(), "ignored, the connection lives")
        self.healthy()

    def test_answers_given_twice(self):
        self.start()
        self.backend.respond = leave_open
        self.assert_acked([self.good.publish(Event(1, b"twice", n)).wait() for n in (1, 2)])
        self.backend.wait_for(lambda: len(self.backend.deliveries) == 3, "two deliveries")
        first, second = self.backend.deliveries[1:]
        before = self.broker.events()
        for _ in range(3):
            self.backend.ack(first)
        self.backend.nack(first, b"\x01", b"too late")
        self.backend.ack(second)
        self.backend.nack(second, b"\x01", b"too late")
        row = self.wait_settled(self.broker, "readings")
        self.assertEqual((row["acked"], row["quarantined"]), (3, 0))
        self.assertEqual(self.broker.events()["nacked"], before["nacked"])
        self.backend.respond = lambda delivery: "ack"
        self.healthy()

    def test_an_answer_from_before_the_reconnect(self):
        self.start()
        self.backend.respond = leave_open
        self.assert_acked([self.good.publish(Event(1, b"stale", 1)).wait()])
        self.backend.wait_deliveries(2)
        stale = self.backend.deliveries[-1]
        self.backend.close()
        self.backend.connect()
        self.backend.wait_deliveries(3)
        again = self.backend.deliveries[-1]
        self.assertEqual(again.event, stale.event)
        if again.message_id == stale.message_id:
            self.skipTest("the new connection happened to start at the same message id")
        self.backend.send(Ack(stale.message_id))
        self.backend.send(Nack(stale.message_id, b"\x01", b"stale"))
        self.backend.send(Ping())
        self.backend.wait_for(lambda: self.backend.pongs == 1, "the PONG")
        row = self.broker.tracker("readings")
        self.assertEqual((row["in_flight"], row["acked"]), (1, 1), "the old epoch changes nothing")
        self.backend.ack(again)
        self.assertEqual(self.wait_settled(self.broker, "readings")["acked"], 2)
        self.backend.respond = lambda delivery: "ack"
        self.healthy()

    def test_a_message_id_published_again_while_in_flight(self):
        self.start()
        raw = self.connected_raw()
        for offset in range(1, 50):
            raw.send(Publish(7, Event(1, b"same-id", offset)))
        raw.send(Ping())
        while (message := raw.receive()) is not None and message != Pong():
            self.assertIsInstance(message, (Ack, Nack))
        wait_until(lambda: self.broker.process.poll() is None, "alive")
        self.healthy()


if __name__ == "__main__":
    unittest.main()
