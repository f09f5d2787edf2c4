"""The Python client against a scripted peer of a few lines, so that its reports can be believed."""

import os
import socket
import tempfile
import threading
import unittest

import sink_v0
from sink_peer import (Client, Disconnected, Identity, RawConnection, Refused, leave_open,
                       wait_until)
from sink_v0 import Ack, ConnectionRequest, ConnectionResponse, Event, Nack, Ping, Pong, Publish


class ScriptedPeer:
    """Listens on a unix socket and answers each message by a function of the test."""

    def __init__(self, answer):
        self.directory = tempfile.TemporaryDirectory(prefix="sink-peer-")
        self.path = os.path.join(self.directory.name, "socket")
        self.answer = answer
        self.got = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(16)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        splitter = sink_v0.FrameSplitter()
        with sock:
            while data := sock.recv(65_536):
                for frame in splitter.feed(data):
                    message = sink_v0.decode_frame(frame)
                    self.got.append(message)
                    for reply in self.answer(message):
                        if reply is None:
                            return
                        sock.sendall(sink_v0.to_wire(reply))

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.directory.cleanup()


def hello_then(answer):
    """A peer that says hello to every request and `answer`s the rest."""
    def respond(message):
        if isinstance(message, ConnectionRequest):
            known = message.server_instance_id is not None
            return [ConnectionResponse(sink_v0.CONNECTED) if known
                    else ConnectionResponse(sink_v0.HELLO_NEW_CLIENT, 99)]
        return answer(message)
    return respond


class ClientTest(unittest.TestCase):
    def peer(self, answer):
        peer = ScriptedPeer(answer)
        self.addCleanup(peer.close)
        return peer

    def client(self, peer, **options):
        client = Client(peer.path, **options)
        self.addCleanup(client.close)
        return client

    def test_handshake_keeps_the_server_id(self):
        peer = self.peer(hello_then(lambda message: []))
        client = self.client(peer, identity=Identity(7))
        self.assertEqual(client.connect().response, sink_v0.HELLO_NEW_CLIENT)
        client.close()
        self.assertEqual(client.connect().response, sink_v0.CONNECTED)
        self.assertEqual(peer.got, [ConnectionRequest(7), ConnectionRequest(7, 99)])

    def test_refusal_carries_both_messages(self):
        told = ConnectionResponse(sink_v0.QUARANTINED, None, b"\x04\x1d", b"bad firmware")
        client = self.client(self.peer(lambda message: [told, None]))
        with self.assertRaises(Refused) as refused:
            client.connect()
        self.assertEqual(refused.exception.response, told)

    def test_answers_reach_their_tickets(self):
        def answer(message):
            if message.event.offset % 2:
                return [Nack(message.message_id, b"\x01", b"no")]
            return [Ack(message.message_id)]
        client = self.client(self.peer(hello_then(answer)), window=16)
        client.connect()
        events = [Event(offset=n) for n in range(10_000)]
        answers = client.publish_all(events)
        nacked = [n for n, each in enumerate(answers) if isinstance(each, Nack)]
        self.assertEqual(nacked, list(range(1, 10_000, 2)))
        self.assertEqual(client.acked, events[0::2])
        self.assertEqual([event for event, _, _ in client.nacked], events[1::2])

    def test_window_holds_back_and_live_ids_are_not_reused(self):
        client = self.client(peer := self.peer(hello_then(lambda message: [])), window=4096)
        client.connect()
        for n in range(4096):
            client.publish(Event(offset=n))
        with self.assertRaises(AssertionError):
            client.publish(Event(offset=5000), timeout=0.2)
        wait_until(lambda: len(peer.got) == 4097, "4096 publishes")
        ids = {m.message_id for m in peer.got if isinstance(m, Publish)}
        self.assertEqual(len(ids), 4096)

    def test_deliveries_are_answered_by_the_callback(self):
        def answer(message):
            if isinstance(message, Ping):
                return [Publish(n, Event(key=b"k", offset=n)) for n in range(3)]
            return []
        choose = {0: "ack", 1: (b"\x07", b"broken"), 2: None}
        peer = self.peer(hello_then(answer))
        client = self.client(peer, respond=lambda delivery: choose[delivery.message_id])
        client.connect()
        client.send(Ping())
        deliveries = client.wait_deliveries(3)
        self.assertEqual([d.answer for d in deliveries], ["ack", (b"\x07", b"broken"), None])
        client.ack(deliveries[2])
        expected = [Ping(), Ack(0), Nack(1, b"\x07", b"broken"), Ack(2)]
        wait_until(lambda: peer.got[1:] == expected, lambda: str(peer.got))

    def test_a_lost_connection_settles_every_ticket(self):
        def answer(message):
            return [None] if message.event.offset == 3 else []
        client = self.client(self.peer(hello_then(answer)), respond=leave_open)
        client.connect()
        tickets = [client.publish(Event(offset=n)) for n in range(4)]
        for ticket in tickets:
            with self.assertRaises(Disconnected):
                ticket.wait()
        self.assertIsInstance(client.wait_end(), EOFError)

    def test_pings_are_answered_and_pongs_counted(self):
        peer = self.peer(hello_then(lambda m: [Ping(), Pong()] if m == Ping() else []))
        client = self.client(peer)
        client.connect()
        client.send(Ping())
        client.wait_for(lambda: client.pongs == 1 and client.pings == 1, "one of each")
        wait_until(lambda: peer.got[-1] == Pong(), "the pong")

    def test_raw_connection_reads_to_the_end(self):
        peer = self.peer(lambda message: [Pong(), Pong(), None])
        with RawConnection(peer.path) as raw:
            raw.send(Ping())
            self.assertEqual(raw.read_to_end(), [b"\x60\x00"] * 2)


if __name__ == "__main__":
    unittest.main()
