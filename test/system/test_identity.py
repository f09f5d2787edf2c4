"""Who gets in: the handshake's table, certificates, instance ids, quarantine and takeover."""

import json
import re
import ssl
import unittest

import sink_v0
from daemon_fixture import SystemTest, events, free_port, subscription
from pki_fixture import Pki
from sink_peer import (Client, Disconnected, Identity, RawConnection, Refused, TlsFiles, leave_open,
                       wait_until)
from sink_v0 import ConnectionRequest, Event

NOT_ADMITTED = (OSError, ssl.SSLError, Disconnected)


class IdentityTest(SystemTest):
    def raw(self, daemon, name="meter-1", tls=None):
        connection = RawConnection(daemon.address, tls or Pki.shared().client(name))
        self.addCleanup(connection.close)
        return connection

    def answer(self, daemon, request, name="meter-1"):
        """The answer to one request, and whether the connection was closed behind it."""
        raw = self.raw(daemon, name)
        raw.send(request)
        response = raw.receive()
        self.assertIsNotNone(response, f"closed without an answer to {request} ({raw.error})")
        if response.response not in (sink_v0.CONNECTED, sink_v0.HELLO_NEW_CLIENT):
            self.assertEqual(raw.read_to_end(), [], "nothing follows a rejection but the end")
        raw.close()
        return response

    def assert_answer(self, daemon, request, expected, name="meter-1"):
        response = self.answer(daemon, request, name)
        self.assertEqual(response.name, sink_v0.RESPONSE_NAMES[expected], request)
        return response


class Handshake(IdentityTest):
    def test_every_row_of_the_table(self):
        daemon = self.daemon()
        server = self.assert_answer(daemon, ConnectionRequest(100),
                                    sink_v0.HELLO_NEW_CLIENT).server_instance_id
        self.assertEqual(daemon.status()["instance_id"], server)
        other = (server + 1) % 2**32
        rows = [(ConnectionRequest(100, server), sink_v0.CONNECTED),
                (ConnectionRequest(100), sink_v0.HELLO_NEW_CLIENT),
                (ConnectionRequest(101), sink_v0.INSTANCE_ID_MISMATCH),
                (ConnectionRequest(101, server), sink_v0.INSTANCE_ID_MISMATCH),
                (ConnectionRequest(100, other), sink_v0.INSTANCE_ID_MISMATCH),
                (ConnectionRequest(101, other), sink_v0.INSTANCE_ID_MISMATCH),
                (ConnectionRequest(100, server), sink_v0.CONNECTED)]
        for request, expected in rows:
            with self.subTest(str(request)):
                self.assert_answer(daemon, request, expected)
        for request in (ConnectionRequest(100, server), ConnectionRequest(7, other)):
            with self.subTest("unknown client", request=str(request)):
                self.assert_answer(daemon, request, sink_v0.INSTANCE_ID_MISMATCH, "unknown-1")
        self.assert_answer(daemon, ConnectionRequest(7), sink_v0.HELLO_NEW_CLIENT, "unknown-1")

    def test_both_ids_survive_a_restart(self):
        daemon = self.daemon()
        server = self.answer(daemon, ConnectionRequest(0)).server_instance_id
        for again in (daemon.restart, daemon.crash_and_restart):
            again()
            self.assert_answer(daemon, ConnectionRequest(0, server), sink_v0.CONNECTED)
            self.assert_answer(daemon, ConnectionRequest(5, server), sink_v0.INSTANCE_ID_MISMATCH)

    def test_a_configured_instance_id_is_told(self):
        daemon = self.daemon(server={"instance_id": 1234})
        hello = self.assert_answer(daemon, ConnectionRequest(1), sink_v0.HELLO_NEW_CLIENT)
        self.assertEqual(hello.server_instance_id, 1234)

    def test_a_wrong_protocol_version_is_answered_then_closed(self):
        daemon = self.daemon()
        for version in (2, 15):
            self.assert_answer(daemon, ConnectionRequest(1, None, b"1.0.0", version),
                               sink_v0.UNSUPPORTED_PROTOCOL_VERSION)
        self.assert_answer(daemon, ConnectionRequest(1), sink_v0.HELLO_NEW_CLIENT)

    def test_application_versions_by_range(self):
        daemon = self.daemon(server={"application_versions": [">=1.4.0, <3.0.0"]})
        for version, expected in ((b"1.3.9", sink_v0.UNSUPPORTED_APPLICATION_VERSION),
                                  (b"3.0.0", sink_v0.UNSUPPORTED_APPLICATION_VERSION),
                                  (b"", sink_v0.UNSUPPORTED_APPLICATION_VERSION),
                                  (b"1.4.0", sink_v0.HELLO_NEW_CLIENT),
                                  (b"2.10.1", sink_v0.HELLO_NEW_CLIENT)):
            with self.subTest(version.decode()):
                self.assert_answer(daemon, ConnectionRequest(1, None, version), expected)

    def test_application_versions_by_glob(self):
        daemon = self.daemon(server={"application_versions": ["1.*", "dev-*"]})
        for version, expected in ((b"2.0", sink_v0.UNSUPPORTED_APPLICATION_VERSION),
                                  (b"1.0", sink_v0.HELLO_NEW_CLIENT),
                                  (b"dev-7", sink_v0.HELLO_NEW_CLIENT)):
            with self.subTest(version.decode()):
                self.assert_answer(daemon, ConnectionRequest(1, None, version), expected)

    def test_the_order_of_checks(self):
        daemon = self.daemon(server={"application_versions": ["1.*"]})
        server = self.answer(daemon, ConnectionRequest(1)).server_instance_id
        self.assert_answer(daemon, ConnectionRequest(2, server, b"2.0"),
                           sink_v0.UNSUPPORTED_APPLICATION_VERSION)
        daemon.client_quarantine("meter-1", "0a", "bad")
        self.assert_answer(daemon, ConnectionRequest(2, server, b"2.0"), sink_v0.QUARANTINED)
        self.assert_answer(daemon, ConnectionRequest(2, server, b"2.0", 15),
                           sink_v0.UNSUPPORTED_PROTOCOL_VERSION)


class Registry(IdentityTest):
    def test_a_wiped_device_is_refused_then_adopted(self):
        daemon = self.daemon(subscriptions=[subscription()])
        backend = self.client(daemon, "backend")
        meter = self.client(daemon, "meter-1", identity=Identity(1))
        self.assert_acked(meter.publish_all(events(5, first=100)))
        meter.close()
        meter.identity = Identity(2)
        for _ in range(2):
            with self.assertRaises(Refused) as refused:
                meter.connect()
            self.assertEqual(refused.exception.response.name, "instance_id_mismatch")
        row = daemon.client_row("meter-1")
        self.assertEqual((row["state"], row["instance_id"], row["presented_instance_id"]),
                         ("mismatch", 1, 2))
        daemon.client_adopt("meter-1")
        self.assertEqual(meter.connect().name, "hello_new_client")
        self.assert_acked(meter.publish_all(events(5)))
        backend.wait_deliveries(10)
        self.assertEqual([d.event.offset for d in backend.deliveries],
                         [*range(100, 105), *range(1, 6)], "a new history starts again")
        row = daemon.client_row("meter-1")
        self.assertEqual((row["state"], row["instance_id"]), ("connected", 2))
        meter.close()
        self.assert_answer(daemon, ConnectionRequest(1), sink_v0.INSTANCE_ID_MISMATCH)

    def test_what_waited_for_a_replaced_device_is_archived_before_it_is_dropped(self):
        daemon = self.daemon(subscriptions=[
            subscription("commands", "meter-*", sources=["backend"],
                         on_nack=[{"machine": "05", "action": "quarantine"}])])
        meter = self.client(daemon, "meter-1", identity=Identity(1),
                            respond=lambda delivery: (b"\x05", b"no"))
        backend = self.client(daemon, "backend")
        self.assert_acked(backend.publish_all(events(1, b"refused", data=b"\x00\xff")))
        daemon.wait_quarantined(1)
        meter.close()
        self.assert_acked(backend.publish_all(events(250, b"\xfe\x01")))
        daemon.restart()  # the events are read back from the disk
        meter.identity = Identity(2)
        meter.respond = lambda delivery: "ack"
        self.assertRaises(Refused, meter.connect)
        archive = daemon.directory / "archive"
        daemon.client_adopt("meter-1", "--backlog", "archive", "--output", archive,
                            "--encoding", "hex")
        rows = [json.loads(line)
                for line in (archive / "archived-events.jsonl").read_text().splitlines()]
        self.assertEqual(len(rows), 251)
        self.assertEqual((rows[0]["machine"], rows[0]["human"], rows[0]["event_data"]),
                         ("05", "no", "00ff"))
        self.assertEqual([(row["key_hex"], row["offset"], bytes.fromhex(row["event_data"]))
                          for row in rows[1:]],
                         [("fe01", event.offset, event.event_data) for event in events(250)])
        row = daemon.tracker("commands", "meter-1")
        self.assertEqual((row["dropped"], row["pending"], row["quarantined"]), (251, 0, 0))
        daemon.crash_and_restart()
        backend.wait_end()
        backend.connect_when_ready()
        meter.connect()
        self.assert_acked(backend.publish_all(events(1, b"new")))
        self.assertEqual(meter.wait_deliveries(2)[-1].event.key, b"new",
                         "what was archived came again")

    def test_a_quarantined_client_is_told_why_and_closed(self):
        daemon = self.daemon()
        meter = self.client(daemon, "meter-1")
        other = self.client(daemon, "meter-2")
        daemon.client_quarantine("meter-1", "041d", "firmware 1.2 corrupts readings")
        meter.wait_end()
        for _ in range(2):
            with self.assertRaises(Refused) as refused:
                meter.connect()
            response = refused.exception.response
            self.assertEqual((response.name, response.machine, response.human),
                             ("quarantined", b"\x04\x1d", b"firmware 1.2 corrupts readings"))
        self.assertEqual(daemon.client_state("meter-1"), "quarantined")
        daemon.restart()
        with self.assertRaises(Refused):
            meter.connect()
        daemon.client_release("meter-1")
        self.assertEqual(meter.connect().name, "connected")
        other.connect_when_ready()

    def test_a_forgotten_client_is_new(self):
        daemon = self.daemon()
        server = self.answer(daemon, ConnectionRequest(1)).server_instance_id
        self.assert_answer(daemon, ConnectionRequest(2), sink_v0.INSTANCE_ID_MISMATCH)
        wait_until(lambda: daemon.client_state("meter-1") != "connected", "it is gone")
        daemon.client_forget("meter-1")
        self.assertIsNone(daemon.client_row("meter-1"))
        self.assert_answer(daemon, ConnectionRequest(1, server), sink_v0.INSTANCE_ID_MISMATCH)
        self.assert_answer(daemon, ConnectionRequest(2), sink_v0.HELLO_NEW_CLIENT)

    def test_kick_closes_and_the_client_may_come_back(self):
        daemon = self.daemon()
        meter = self.client(daemon, "meter-1")
        daemon.client_kick("meter-1")
        meter.wait_end()
        self.assertEqual(meter.connect().name, "connected")

    def test_client_ls_shows_who_and_from_where(self):
        daemon = self.daemon()
        self.client(daemon, "meter-1", identity=Identity(77), application_version=b"3.2.1")
        row = daemon.client_row("meter-1")
        self.assertEqual((row["state"], row["instance_id"], row["application_version"]),
                         ("connected", 77, "3.2.1"))
        self.assertIn("127.0.0.1", row["address"])
        self.assertTrue(row["last_seen"])


class Takeover(IdentityTest):
    def test_a_second_connection_takes_over(self):
        daemon = self.daemon(subscriptions=[subscription()])
        first = self.client(daemon, "backend", respond=leave_open)
        meter = self.client(daemon, "meter-1")
        self.assert_acked(meter.publish_all(events(3)))
        first.wait_deliveries(3)
        second = self.client(daemon, "backend", identity=first.identity)
        first.wait_end()
        second.wait_deliveries(3)
        self.assertEqual([d.event for d in second.deliveries], events(3))
        self.assert_acked(meter.publish_all(events(3, first=4)))
        second.wait_deliveries(6)
        self.assertEqual(self.wait_settled(daemon, "readings")["acked"], 6)
        self.assertEqual(daemon.client_state("backend"), "connected")

    def test_three_connections_of_one_identity_at_once(self):
        daemon = self.daemon(subscriptions=[subscription()])
        identity = Identity(5)
        self.client(daemon, "backend", identity=identity).close()
        three = [self.client(daemon, "backend", identity=identity, connect=False)
                 for _ in range(3)]
        raws = [self.raw(daemon, "backend") for _ in three]
        for raw in raws:
            raw.send(ConnectionRequest(5, identity.server_instance_id))
        responses = []
        for raw in raws:
            response = raw.receive()
            responses.append(response.name if response else "closed")
            raw.close()
        self.assertLessEqual(set(responses), {"connected", "closed"})
        meter = self.client(daemon, "meter-1")
        for round_number in range(5):
            for client in three:
                client.connect()
            self.assert_acked(meter.publish_all(events(10, first=1 + 10 * round_number)))
        self.assertEqual(daemon.client_state("backend"), "connected")
        wait_until(lambda: [client.connected for client in three] == [False, False, True],
                   "only the last one lives")
        self.wait_settled(daemon, "readings")
        got = {d.event.offset for client in three for d in client.deliveries}
        self.assertEqual(got, set(range(1, 51)))

    def test_a_mismatch_does_not_disturb_the_live_connection(self):
        daemon = self.daemon(subscriptions=[subscription()])
        self.client(daemon, "backend")
        meter = self.client(daemon, "meter-1", identity=Identity(1))
        self.assert_answer(daemon, ConnectionRequest(2), sink_v0.INSTANCE_ID_MISMATCH)
        self.assert_acked(meter.publish_all(events(1)))


class Certificates(IdentityTest):
    def assert_shut_out(self, daemon, tls):
        """The connection ends without any answer of the protocol."""
        client = Client(daemon.address, tls=tls)
        self.addCleanup(client.close)
        with self.assertRaises(NOT_ADMITTED):
            client.connect()
        self.assertIsNone(client.response)

    def test_foreign_expired_unusable_and_missing_certificates(self):
        daemon = self.daemon(subscriptions=[subscription()])
        backend, meter = self.client(daemon, "backend"), self.client(daemon, "meter-1")
        pki = Pki.shared()
        foreign = Pki().client("meter-1")
        cases = {
            "foreign CA": TlsFiles(foreign.certificate, foreign.private_key, pki.ca),
            "expired": pki.issue("expired-1", "--kind", "client", "--days=-1"),
            "no client-auth usage": pki.issue("serverish", "--kind", "server",
                                              "--ip", "127.0.0.1"),
            "no certificate": TlsFiles("", "", pki.ca),
        }
        for number, (name, tls) in enumerate(cases.items()):
            with self.subTest(name):
                self.assert_shut_out(daemon, tls)
                self.assert_acked(meter.publish_all(events(1, first=1 + number)))
        backend.wait_deliveries(len(cases))
        self.assertEqual({row["client_id"] for row in daemon.ctl_rows("client", "ls")},
                         {"backend", "meter-1"}, "no one else became known")

    def test_both_tls_versions(self):
        daemon = self.daemon()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.subTest(version.name):
                raw = self.raw(daemon, tls=Pki.shared().client("meter-1").context(version))
                self.assertIsNotNone(raw.handshake(Identity(1)))

    def test_revocation_reaches_the_live_connection(self):
        pki = Pki()
        server = pki.server()
        listener = {"certificate": server.certificate, "private_key": server.private_key,
                    "client_ca": pki.ca, "client_crl": pki.crl}
        daemon = self.daemon(listener=listener, subscriptions=[subscription()])
        lost, kept = (Client(daemon.address, tls=pki.client(n)) for n in ("lost-1", "kept-1"))
        for client in (lost, kept):
            self.addCleanup(client.close)
            client.connect()
        pki.revoke("lost-1")
        daemon.hangup()
        lost.wait_end(90)
        with self.assertRaises(NOT_ADMITTED):
            lost.connect()
        self.assertTrue(kept.connected, "a reload drops no one else")
        self.assert_acked(kept.publish_all(events(3)))

    def test_a_new_server_certificate_without_a_restart(self):
        pki = Pki()
        pki.server()
        current = pki.path / "current"
        files = {"certificate": f"{current}.pem", "private_key": f"{current}.key"}
        self.install(pki, "server", current)
        daemon = self.daemon(listener={**files, "client_ca": pki.ca})
        client = Client(daemon.address, tls=pki.client("meter-1"))
        self.addCleanup(client.close)
        client.connect()
        pki.issue("server-2", "--kind", "server", "--ip", "127.0.0.1")
        self.install(pki, "server-2", current)
        daemon.hangup()
        wanted = ssl.PEM_cert_to_DER_cert((pki.path / "server-2.pem").read_text())

        def presented():
            with RawConnection(daemon.address, pki.client("meter-2")) as raw:
                return raw.socket.getpeercert(binary_form=True)
        wait_until(lambda: presented() == wanted, "the new certificate is presented")
        self.assertTrue(client.connected)

    def install(self, pki, name, target):
        for ending in (".pem", ".key"):
            source = pki.path / (name + ending)
            target.with_suffix(ending).write_bytes(source.read_bytes())
            target.with_suffix(ending).chmod(0o600)


class ClientIdModes(IdentityTest):
    def known_as(self, mode, tls):
        daemon = self.daemon(listener={"client_id": mode})
        client = Client(daemon.address, tls=tls)
        self.addCleanup(client.close)
        client.connect()
        rows = daemon.ctl_rows("client", "ls")
        self.assertEqual(len(rows), 1, rows)
        return rows[0]["client_id"]

    def test_each_mode(self):
        named = Pki.shared().issue("sans", "--kind", "client", "--uri", "urn:dev:meter:7",
                                   "--dns", "meter-7.example")
        self.assertEqual(self.known_as("common_name", named), "sans")
        self.assertEqual(self.known_as("san_uri", named), "urn:dev:meter:7")
        self.assertEqual(self.known_as("san_dns", named), "meter-7.example")
        self.assertRegex(self.known_as("fingerprint", named), re.compile(r"^[0-9a-f]{64}$"))

    def test_a_certificate_without_the_wanted_name_is_shut_out(self):
        daemon = self.daemon(listener={"client_id": "san_uri"})
        client = Client(daemon.address, tls=Pki.shared().client("meter-1"))
        self.addCleanup(client.close)
        with self.assertRaises((*NOT_ADMITTED, Refused)):
            client.connect()
        self.assertEqual(daemon.ctl_rows("client", "ls"), [])

    def test_instance_id_on_a_plaintext_listener(self):
        daemon = self.daemon()
        self.plain_client(daemon, Identity(4711))
        self.assertEqual(daemon.client_state("instance-4711"), "connected")

    def test_a_plaintext_listener_on_every_interface_is_refused(self):
        listeners = [{"address": f"0.0.0.0:{free_port()}", "plaintext": True,
                      "client_id": "instance_id"}]
        daemon = self.daemon(start=False, listeners=listeners)
        daemon.start(wait=False)
        self.assertEqual(daemon.wait_exit(), 78, daemon.stderr_text())

    def test_publishing_needs_the_handshake_even_with_a_good_certificate(self):
        daemon = self.daemon(subscriptions=[subscription()])
        raw = self.raw(daemon)
        raw.send(sink_v0.Publish(1, Event(1, b"k", 1)))
        self.assertEqual(raw.read_to_end(), [])
        self.assertEqual(daemon.events()["accepted"], 0)


if __name__ == "__main__":
    unittest.main()
