"""Services over real TLS: exposed by one client, found by another, through kills and operators."""

import unittest
import uuid

import sink_v1
from daemon_fixture import SystemTest
from pki_fixture import Pki
from sink_peer import wait_until
from sink_v1 import ServiceClient

POLICIES = [{"clients": "server-*", "expose": ["com.example.*"]},
            {"clients": "panel", "lookup": ["com.example.*"]}]
CHAT = "com.example.chat@1.2.0"
LONG, SHORT = 3_600_000, 1_000


class Services(SystemTest):
    def peer(self, daemon, name, identity=None):
        peer = ServiceClient(daemon.address, Pki.shared().client(name), identity)
        self.addCleanup(peer.close)
        return peer

    def services(self, daemon):
        return daemon.ctl_rows("service", "ls")

    def test_exposed_by_one_found_by_another_and_withdrawn(self):
        daemon = self.daemon(policies=POLICIES)
        server, panel = self.peer(daemon, "server-1"), self.peer(daemon, "panel")
        service, ttl_ms = server.expose(CHAT, LONG, b"rooms=2")
        self.assertEqual(ttl_ms, LONG)
        found = [(CHAT, service, "server-1", b"rooms=2")]
        for what in ("com.example.chat", "com.example.chat@1.1", service):
            self.assertEqual(panel.lookup(what), found)
        self.assertEqual(panel.lookup("com.example.chat@2"), [])
        self.assertEqual(panel.lookup("org.example.chat"), sink_v1.NOT_ALLOWED)
        self.assertEqual(panel.lookup("nonsense"), sink_v1.INVALID)
        self.assertEqual(panel.expose("com.example.panel@1.0.0", LONG), sink_v1.NOT_ALLOWED)
        rival = self.peer(daemon, "server-2")
        self.assertEqual(rival.expose(CHAT, LONG), sink_v1.EXISTS)
        self.assertEqual(rival.withdraw(service), sink_v1.NOT_FOUND)
        self.assertIsNone(server.withdraw(service))
        self.assertEqual(panel.lookup(service), sink_v1.NOT_FOUND)
        self.assertEqual(self.services(daemon), [])

    def test_after_a_kill_it_is_there_with_its_uuid_and_lapses_after_its_ttl(self):
        daemon = self.daemon(policies=POLICIES)
        server = self.peer(daemon, "server-1")
        kept, _ = server.expose(CHAT, LONG, b"kept")
        brief, _ = server.expose("com.example.brief@1.0.0", SHORT)
        daemon.crash_and_restart()
        panel = self.peer(daemon, "panel")
        self.assertEqual(panel.lookup(kept), [(CHAT, kept, "server-1", b"kept")])
        # The brief one's lease ran anew; nobody refreshes it.
        wait_until(lambda: panel.lookup(brief) == sink_v1.NOT_FOUND, "lapsed")
        self.assertEqual([row["uuid"] for row in self.services(daemon)], [str(kept)])
        daemon.crash_and_restart()  # and the lapse is on the disk, too
        self.assertEqual([row["uuid"] for row in self.services(daemon)], [str(kept)])
        server = sink_v1.connect_when_ready(daemon.address, Pki.shared().client("server-1"),
                                            server.identity)
        self.addCleanup(server.close)
        self.assertEqual(server.refresh(kept), (kept, LONG))
        self.assertEqual(server.refresh(brief), sink_v1.NOT_FOUND)

    def test_an_owner_that_listens_is_told_of_the_end(self):
        daemon = self.daemon(policies=POLICIES)
        server = self.peer(daemon, "server-1")
        brief, _ = server.expose("com.example.brief@1.0.0", SHORT)
        server.wait_ended(1)
        self.assertEqual(server.ended, [(brief, "com.example.brief@1.0.0", 0)])
        chat, _ = server.expose(CHAT, LONG)
        row = daemon.ctl_object("service", "show", CHAT)
        self.assertEqual((row["uuid"], row["owner"], row["owner_connected"], row["public"]),
                         (str(chat), "server-1", True, True))
        self.assertIn("would withdraw", daemon.ctl("service", "withdraw", CHAT, "--dry-run").stderr)
        self.assertEqual(len(self.services(daemon)), 1)
        daemon.ctl("service", "withdraw", str(chat), "--yes")
        server.wait_ended(2)
        self.assertEqual(server.ended[1], (chat, CHAT, 2))
        self.assertEqual(self.services(daemon), [])
        self.assertEqual(daemon.ctl("service", "show", CHAT, check=False).returncode, 69)
        self.assertIn("service_lapsed", daemon.stderr_text())

    def test_a_uuid_of_nobody_finds_nothing(self):
        daemon = self.daemon(policies=POLICIES)
        panel = self.peer(daemon, "panel")
        self.assertEqual(panel.lookup(uuid.UUID(int=7)), sink_v1.NOT_FOUND)


class Channels(SystemTest):
    def peer(self, daemon, name, identity=None):
        peer = sink_v1.connect_when_ready(daemon.address, Pki.shared().client(name), identity)
        self.addCleanup(peer.close)
        return peer

    def test_messages_wait_through_kills_and_come_once_and_in_order(self):
        daemon = self.daemon(policies=POLICIES)
        server, panel = self.peer(daemon, "server-1"), self.peer(daemon, "panel")
        server.expose(CHAT, LONG)
        channel = panel.open_channel("com.example.chat", b"hello")
        server.wait(lambda: server.opened == [channel])
        self.assertIsNone(server.send(channel, 1, b"welcome"))
        panel.wait(lambda: panel.messages == [(channel, 1, b"welcome")])
        server.close()
        for offset in range(1, 21):
            self.assertIsNone(panel.send(channel, offset, b"%d" % offset))
        daemon.crash_and_restart()
        panel = self.peer(daemon, "panel", panel.identity)
        self.assertEqual(panel.list_channels(), [(channel, "server-1", False, 20)])
        self.assertEqual(panel.send(channel, 22, b"too soon"), b"\x06")
        self.assertIsNone(panel.send(channel, 21, b"21"))
        row = daemon.ctl_object("service", "show", CHAT)["channels"][0]
        self.assertEqual((row["id"], row["opener"], row["to_owner"]), (channel, "panel", 21))
        server = self.peer(daemon, "server-1", server.identity)
        server.wait(lambda: len(server.messages) >= 21)
        self.assertEqual([offset for _, offset, _ in server.messages], list(range(1, 22)))
        self.assertIsNone(server.close_channel(channel))
        panel.wait(lambda: panel.closed == [(channel, 0)])
        server.wait(lambda: server.closed == [(channel, 0)])
        self.assertEqual(panel.send(channel, 22, b"too late"), b"\x05")
        self.assertEqual(panel.list_channels(), [])
        self.assertEqual(daemon.ctl_rows("sub", "ls"), [])

    def test_a_flood_while_the_owner_is_away_is_refused_and_nobody_else_gets_in(self):
        daemon = self.daemon(policies=POLICIES, limits={"channel_events": 3})
        server, panel = self.peer(daemon, "server-1"), self.peer(daemon, "panel")
        server.expose(CHAT, LONG)
        channel = panel.open_channel("com.example.chat")
        server.close()
        answers = [panel.send(channel, offset, b"x") for offset in range(1, 7)]
        self.assertEqual(answers, [None] * 3 + [b"\x06"] * 3)
        stranger = self.peer(daemon, "server-2")
        self.assertEqual(stranger.send(channel, 4, b"x"), b"\x05")
        self.assertEqual(stranger.close_channel(channel), sink_v1.NOT_FOUND)
        server = self.peer(daemon, "server-1", server.identity)
        server.wait(lambda: len(server.messages) == 3)
        wait_until(lambda: panel.send(channel, 4, b"x") is None, "room again")


if __name__ == "__main__":
    unittest.main()
