"""Uplinks: two brokers chained over real TLS, and a broker in front of a server that is not sinkd."""

import collections
import random
import shutil
import unittest

import sink_v0
from cut_proxy import CutProxy
from daemon_fixture import SystemTest, events, offsets_by_key, subscription, uplink
from pki_fixture import Pki
from sink_peer import wait_until
from sink_server import SinkServer

SEED = 20261121
FORWARDS = {"sources": ["meter-*"], "max_deliveries": 0}


class Uplinks(SystemTest):
    def cloud(self, **options):
        return self.daemon(subscriptions=[subscription("all", "backend", sources=["gateway"]),
                                          subscription("commands", "gateway",
                                                       sources=["backend"])], **options)

    def gateway(self, *servers, **options):
        return self.daemon(
            subscriptions=[subscription("up", "uplink:cloud", **FORWARDS),
                           subscription("down", "meter-1", sources=["uplink:cloud"])],
            uplinks=[uplink(*servers, **options)])

    def row(self, daemon):
        return daemon.ctl_object("uplink", "show", "cloud")

    def wait_state(self, daemon, state):
        wait_until(lambda: self.row(daemon)["state"] == state, lambda: self.row(daemon))

    def wait_resumed(self, daemon, times):
        """Connected alone may be the state of a link whose cut is not noticed yet."""
        wait_until(lambda: (self.row(daemon)["state"], self.row(daemon)["resumed"])
                   == ("connected", times), lambda: self.row(daemon))

    def wait_empty(self, daemon):
        wait_until(lambda: self.row(daemon)["backlog"] == 0, lambda: self.row(daemon))

    def server(self, **options):
        server = SinkServer(Pki.shared().server(), **options)
        self.addCleanup(server.close)
        return server

    def test_events_go_up_and_come_down_each_once_and_in_order(self):
        cloud = self.cloud()
        gateway = self.gateway(cloud.address)
        backend = self.client(cloud, "backend")
        meter = self.client(gateway, "meter-1")
        for key in (b"a", b"b", b"c"):
            self.assert_acked(meter.publish_all(events(200, key)))
        for key in (b"a", b"b", b"c"):
            self.wait_delivered(backend, key, range(1, 201))
        self.assert_acked(backend.publish_all(events(50, b"set", event_type_id=9)))
        wait_until(lambda: len(meter.deliveries) == 50, "the commands come down")
        self.assertEqual(offsets_by_key(meter.deliveries), {(9, b"set"): list(range(1, 51))})
        self.assertEqual(offsets_by_key(backend.deliveries),
                         {(1, key): list(range(1, 201)) for key in (b"a", b"b", b"c")})
        self.wait_empty(gateway)
        row = self.row(gateway)
        self.assertEqual((row["state"], row["protocol_version"], row["failures"]),
                         ("connected", 1, 0))
        self.assertEqual(row["servers"][0]["instance_id"], cloud.status()["instance_id"])
        self.assertEqual([r["uplink"] for r in gateway.ctl_rows("uplink", "ls")], ["cloud"])
        _, metrics = gateway.http_get("/metrics")
        self.assertIn('sinkd_uplink_connected{uplink="cloud"} 1', metrics)

    def test_a_link_that_is_cut_again_and_again_sends_no_event_twice(self):
        chance = random.Random(SEED)
        cloud = self.cloud()
        proxy = CutProxy(cloud.address)
        self.addCleanup(proxy.close)
        gateway = self.gateway(proxy.address)
        backend = self.client(cloud, "backend")
        meter = self.client(gateway, "meter-1")
        sent = 0
        for cuts in range(6):
            self.wait_resumed(gateway, cuts)
            count = chance.randint(50, 400)
            tickets = meter.publish_all(events(count, b"k", first=sent + 1))
            self.assertEqual(proxy.cut(), 1)
            self.assert_acked(tickets)
            sent += count
        self.wait_delivered(backend, b"k", range(1, sent + 1))
        self.wait_empty(gateway)
        self.assertEqual(offsets_by_key(backend.deliveries), {(1, b"k"): list(range(1, sent + 1))})
        self.wait_resumed(gateway, 6)
        self.assertEqual((cloud.events()["received"], cloud.events()["duplicate"]), (sent, 0))
        self.assertEqual(gateway.events()["redelivered"], 0)

    def test_either_broker_is_killed_and_nothing_is_lost(self):
        cloud = self.cloud()
        gateway = self.gateway(cloud.address)
        backend = self.client(cloud, "backend")
        got = collections.Counter()
        sent = 0
        for turn in range(6):
            meter = self.client(gateway, f"meter-{turn + 2}")
            self.assert_acked(meter.publish_all(events(100, b"k%d" % turn)))
            sent += 100
            victim = gateway if turn % 2 else cloud
            if victim is cloud:
                got.update((d.event.key, d.event.offset) for d in backend.deliveries)
            victim.crash_and_restart()
            if victim is cloud:
                backend = self.client(cloud, "backend", identity=backend.identity)
        def everything():
            seen = got + collections.Counter((d.event.key, d.event.offset)
                                             for d in backend.deliveries)
            return len(seen) == sent
        wait_until(everything, "every event has reached the backend of the cloud")
        self.wait_empty(gateway)

    def test_an_outage_is_bridged_by_the_log(self):
        cloud = self.cloud()
        gateway = self.gateway(cloud.address)
        meter = self.client(gateway, "meter-1")
        self.wait_state(gateway, "connected")
        cloud.stop()
        wait_until(lambda: self.row(gateway)["last_error"], "the error is shown")
        self.assert_acked(meter.publish_all(events(2000, b"k")))
        self.assertEqual(self.row(gateway)["backlog"], 2000)
        gateway.crash_and_restart()
        self.assertEqual(self.row(gateway)["backlog"], 2000)
        cloud.start()
        backend = self.client(cloud, "backend")
        self.wait_delivered(backend, b"k", range(1, 2001))
        self.wait_empty(gateway)
        _, metrics = gateway.http_get("/metrics")
        batches = next(int(line.split()[1]) for line in metrics.splitlines()
                       if line.startswith("sinkd_batches_sent_total "))
        self.assertGreaterEqual(batches, 2000 // 256, "what waited went up in batches")
        self.assertLess(batches, 1000)

    def test_a_server_of_version_0_that_is_not_sinkd(self):
        server = self.server()
        gateway = self.gateway(server.address)
        meter = self.client(gateway, "meter-1")
        self.wait_state(gateway, "connected")
        self.assertEqual([version for version, _, _ in server.requests], [1, 0])
        self.assertTrue(self.row(gateway)["servers"][0]["version_0"])
        self.assert_acked(meter.publish_all(events(300, b"k")))
        wait_until(lambda: len(server.received) == 300, lambda: len(server.received))
        self.assertEqual([e.offset for e in server.received], list(range(1, 301)))
        server.publish(17, sink_v0.Event(5, b"set", 1, 0, b"on"))
        wait_until(lambda: len(meter.deliveries) == 1, "the command arrives")
        wait_until(lambda: server.answered, "it is acknowledged")
        self.assertEqual(server.answered, [sink_v0.Ack(17)])
        server.answers = False
        self.assert_acked(meter.publish_all(events(20, b"k", first=301)))
        wait_until(lambda: len(server.received) == 320, "they arrive")
        server.cut()
        server.answers = True
        self.wait_empty(gateway)
        self.assertEqual([e.offset for e in server.received[320:]], list(range(301, 321)),
                         "what was not answered comes again, in order")
        self.assertEqual([version for version, _, _ in server.requests], [1, 0, 0])

    def test_a_wiped_upstream_is_stopped_at_until_an_operator_adopts_it(self):
        cloud = self.cloud()
        gateway = self.gateway(cloud.address)
        self.wait_state(gateway, "connected")
        cloud.stop()
        shutil.rmtree(cloud.data_dir)
        meter = self.client(gateway, "meter-1")
        self.assert_acked(meter.publish_all(events(10, b"k")))
        cloud.start()
        self.wait_state(gateway, "stopped")
        alarms = gateway.status()["alarms"]
        self.assertTrue(any("uplink cloud" in alarm and "instance id mismatch" in alarm
                            for alarm in alarms), alarms)
        self.assertEqual(self.row(gateway)["backlog"], 10)
        gateway.ctl("uplink", "adopt", "cloud", "--yes")
        # The wiped server has met the gateway's old claim: its operator must agree, too.
        if self.row(gateway)["state"] != "connected":
            wait_until(lambda: self.row(gateway)["state"] in ("connected", "stopped"),
                       lambda: self.row(gateway))
        self.wait_state(gateway, "connected")
        backend = self.client(cloud, "backend")
        self.wait_delivered(backend, b"k", range(1, 11))
        self.assertEqual(gateway.ctl("uplink", "adopt", "cloud", "--yes", check=False).returncode,
                         65)

    def test_a_server_of_another_ca_gets_nothing(self):
        stranger = Pki()
        server = SinkServer(stranger.server())
        self.addCleanup(server.close)
        gateway = self.gateway(server.address)
        meter = self.client(gateway, "meter-1")
        self.assert_acked(meter.publish_all(events(5, b"k")))
        wait_until(lambda: "securing" in self.row(gateway)["last_error"],
                   lambda: self.row(gateway))
        self.assertEqual((server.requests, server.received), ([], []))
        self.assertEqual(self.row(gateway)["backlog"], 5)

    def test_the_second_server_takes_over_when_the_first_is_away(self):
        first, second = self.cloud(), self.cloud()
        gateway = self.gateway(first.address, second.address)
        meter = self.client(gateway, "meter-1")
        self.wait_state(gateway, "connected")
        self.assert_acked(meter.publish_all(events(10, b"k")))
        self.wait_empty(gateway)
        first.stop()
        self.assert_acked(meter.publish_all(events(10, b"k", first=11)))
        self.wait_delivered(self.client(second, "backend"), b"k", range(11, 21))
        self.wait_empty(gateway)
        port = f":{second.port}"
        self.assertTrue(self.row(gateway)["server"].endswith(port), self.row(gateway))
        gateway.restart()
        self.wait_state(gateway, "connected")
        self.assertTrue(self.row(gateway)["server"].endswith(port), "it is remembered")

    def test_an_uplink_comes_and_goes_with_a_reload(self):
        cloud = self.cloud()
        gateway = self.daemon(subscriptions=[])
        self.assertEqual(gateway.ctl_rows("uplink", "ls"), [])
        gateway.document["uplink"] = [uplink(cloud.address)]
        gateway.document["subscription"] = [subscription("up", "uplink:cloud", **FORWARDS)]
        gateway.write_config()
        gateway.hangup()
        self.wait_state(gateway, "connected")
        gateway.document["uplink"] = []
        gateway.document["subscription"] = []
        gateway.write_config()
        gateway.hangup()
        wait_until(lambda: gateway.ctl_rows("uplink", "ls") == [], "it is gone")
        wait_until(lambda: cloud.client_state("gateway") == "disconnected", "and disconnected")


if __name__ == "__main__":
    unittest.main()
