"""An uplink over several links: a pool, over real TLS, whose links are cut, silenced, recycled."""

import random
import unittest

from cut_proxy import CutProxy
from daemon_fixture import SystemTest, events, offsets_by_key, subscription, uplink
from sink_peer import wait_until

SEED = 20261122
LINKS = 4
KEYS = [b"k%d" % number for number in range(40)]


class UplinkPool(SystemTest):
    def setUp(self):
        super().setUp()
        self.cloud = self.daemon(
            subscriptions=[subscription("all", "backend", sources=["gateway"], in_flight=1000),
                           subscription("commands", "gateway", sources=["backend"])])
        self.proxy = CutProxy(self.cloud.address)
        self.addCleanup(self.proxy.close)
        self.gateway = self.daemon(
            subscriptions=[subscription("up", "uplink:cloud", sources=["meter-*"],
                                        max_deliveries=0),
                           subscription("down", "meter-1", sources=["uplink:cloud"])],
            uplinks=[uplink(self.proxy.address, links=LINKS)])
        self.sent = 0

    def row(self):
        return self.gateway.ctl_object("uplink", "show", "cloud")

    def wait_links(self, count=LINKS, resumed=0):
        """Connected alone may be the state of a link whose cut is not noticed yet."""
        wait_until(lambda: sum(link["state"] == "connected" for link in self.row()["links"]) == count
                   and self.row()["resumed"] >= resumed, self.row)

    def publish(self, meter, count):
        """So many more events of each key, in turn."""
        rounds = [events(1, key, first=self.sent + 1 + turn)[0]
                  for turn in range(count) for key in KEYS]
        self.sent += count
        return meter.publish_all(rounds)

    def assert_each_once_in_order(self, backend):
        for key in KEYS:
            self.wait_delivered(backend, key, range(1, self.sent + 1))
        wait_until(lambda: self.row()["backlog"] == 0, self.row)
        self.assertEqual(offsets_by_key(backend.deliveries),
                         {(1, key): list(range(1, self.sent + 1)) for key in KEYS})
        self.assertEqual(self.cloud.events()["received"], self.sent * len(KEYS))

    def test_the_links_share_the_keys_in_both_directions(self):
        self.wait_links()
        backend = self.client(self.cloud, "backend")
        meter = self.client(self.gateway, "meter-1")
        self.assert_acked(self.publish(meter, 20))
        self.assert_each_once_in_order(backend)
        self.assert_acked(backend.publish_all([event for key in KEYS for event in
                                               events(5, key, event_type_id=9)]))
        wait_until(lambda: len(meter.deliveries) == 5 * len(KEYS), "the commands come down")
        self.assertEqual(offsets_by_key(meter.deliveries),
                         {(9, key): [1, 2, 3, 4, 5] for key in KEYS})
        self.assertEqual([link["link"] for link in self.row()["links"]], list(range(LINKS)))
        self.assertIn("LATENCY", self.gateway.ctl("uplink", "show", "cloud").stdout)
        _, metrics = self.gateway.http_get("/metrics")
        self.assertIn('sinkd_uplink_link_connected{uplink="cloud",link="3"} 1', metrics)

    def test_links_are_cut_and_no_event_is_lost_sent_twice_or_out_of_order(self):
        chance = random.Random(SEED)
        backend = self.client(self.cloud, "backend")
        meter = self.client(self.gateway, "meter-1")
        resumed = 0
        for turn in range(8):
            self.wait_links(resumed=resumed)
            tickets = self.publish(meter, chance.randint(5, 20))
            every = turn % 4 == 3
            resumed += self.proxy.cut(None if every else chance.randrange(LINKS))
            self.assert_acked(tickets)
        self.assert_each_once_in_order(backend)
        self.assertEqual(self.gateway.events()["redelivered"], 0)

    def test_a_silent_link_is_replaced(self):
        self.wait_links()
        backend = self.client(self.cloud, "backend")
        meter = self.client(self.gateway, "meter-1")
        self.proxy.silence(1)
        self.assert_acked(self.publish(meter, 10))
        self.wait_links(resumed=1)
        self.assert_each_once_in_order(backend)

    def test_the_slowest_link_is_recycled_under_load(self):
        self.gateway.document["uplink"][0]["recycle"] = "1s"
        self.gateway.write_config()
        self.gateway.ctl("config", "reload")
        backend = self.client(self.cloud, "backend")
        meter = self.client(self.gateway, "meter-1")

        def recycled():
            self.assert_acked(self.publish(meter, 5))
            return self.row()["recycled"] >= 3
        wait_until(recycled, self.row)
        self.assert_each_once_in_order(backend)
        self.assertEqual(self.gateway.events()["redelivered"], 0)

    def test_links_come_and_go_with_the_configuration(self):
        self.wait_links()
        backend = self.client(self.cloud, "backend")
        meter = self.client(self.gateway, "meter-1")
        for links in (1, 3, 2, 16):
            tickets = self.publish(meter, 5)
            self.gateway.document["uplink"][0]["links"] = links
            self.gateway.write_config()
            self.gateway.ctl("config", "reload")
            self.assert_acked(tickets)
            self.wait_links(links)
        for key in KEYS:
            self.wait_delivered(backend, key, range(1, self.sent + 1))
        self.assertEqual(offsets_by_key(backend.deliveries),
                         {(1, key): list(range(1, self.sent + 1)) for key in KEYS})


if __name__ == "__main__":
    unittest.main()
