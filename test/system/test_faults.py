"""What the disk and the kernel may refuse: RELIABILITY E1 to E4, and memory that runs out.

The calls of the real broker are struck by fault_shim; what it must never do is lose what it has
ACKed, or end in any way that sinkd(8) does not name.
"""

import errno
import os
import pathlib
import resource
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

import sink_v0
from daemon_fixture import Daemon, SystemTest, events, subscription
from fault_plan import ALWAYS, HOLD, ONCE, FaultPlan
from pki_fixture import Pki
from sink_peer import PATIENCE, Disconnected, RawConnection, wait_until
from sink_v0 import Ack, Event, Nack, Ping, Publish

STORAGE_FAILED = 74
OUT_OF_RESOURCES = 71
MIB = 1 << 20
MEMORY_GROWTH_KIB_MAX = 64 * 1024
BULK = os.urandom(8_000)


class FaultTest(SystemTest):
    def faulty_daemon(self, **options):
        self.plan = FaultPlan()
        self.addCleanup(self.plan.close)
        options.setdefault("subscriptions", [subscription()])
        return self.daemon(faults=self.plan, **options)

    def assert_all_delivered_after_restart(self, daemon, acked, consumer="backend"):
        """A start without the fault; every ACKed event reaches a consumer that was away."""
        self.plan.clear()
        daemon.start()
        backend = self.client(daemon, consumer)
        for key in {event.key for event in acked}:
            self.wait_delivered(backend, key, [e.offset for e in acked if e.key == key])


class FailedSync(FaultTest):
    def assert_ends_with_74(self, daemon, meter, call, error, mode):
        before = self.plan.calls(call)
        self.plan.arm(call, error, mode)
        ticket = meter.publish(Event(1, b"struck", 1))
        self.assertEqual(daemon.wait_exit(), STORAGE_FAILED)
        self.assertIn("storage_failed", daemon.stderr_text())
        with self.assertRaises(Disconnected):
            ticket.wait()
        return self.plan.calls(call) - before

    def test_a_sync_that_fails_once_is_not_tried_again(self):
        daemon = self.faulty_daemon()
        meter = self.client(daemon, "meter-1")
        acked = events(200)
        self.assert_acked(meter.publish_all(acked))
        self.idle(daemon)
        calls = self.assert_ends_with_74(daemon, meter, "fdatasync", errno.EIO, ONCE)
        self.assertEqual(calls, 1, "a sync after the failed one would have hidden it")
        self.assert_all_delivered_after_restart(daemon, acked)

    def idle(self, daemon):
        """Until the broker has sealed its log and syncs no more."""
        def quiet():
            before = self.plan.calls("fdatasync")
            time.sleep(0.5)
            return self.plan.calls("fdatasync") == before
        wait_until(quiet, "no more syncs")

    def test_a_write_that_fails(self):
        for error in (errno.EIO, errno.EROFS):
            with self.subTest(errno.errorcode[error]):
                daemon = self.faulty_daemon()
                meter = self.client(daemon, "meter-1")
                acked = events(20)
                self.assert_acked(meter.publish_all(acked))
                self.assert_ends_with_74(daemon, meter, "pwrite", error, ALWAYS)
                self.assert_all_delivered_after_restart(daemon, acked)

    def test_a_sync_that_fails_in_the_middle_of_a_burst(self):
        daemon = self.faulty_daemon()
        meters = [self.client(daemon, f"meter-{n}") for n in range(1, 4)]
        for meter in meters:
            meter.publish_all(events(10, f"{id(meter)}".encode()))
        self.plan.arm("fdatasync", errno.EIO, number=self.plan.calls("fdatasync") + 5)
        offsets = iter(range(11, 1_000_000))
        try:
            for offset in offsets:
                for meter in meters:
                    meter.publish(Event(1, f"{id(meter)}".encode(), offset))
        except Disconnected:
            self.assertEqual(daemon.wait_exit(), STORAGE_FAILED)
        for meter in meters:
            meter.wait_end()
        acked = [event for meter in meters for event in meter.acked]
        self.assertGreaterEqual(len(acked), 30)
        self.assert_all_delivered_after_restart(daemon, acked)


class HungDisk(FaultTest):
    def held_daemon(self):
        """A broker whose syncs do not come back, and an event that waits for one."""
        daemon = self.faulty_daemon(subscriptions=[subscription(),
                                                   subscription("copies", "archive")])
        self.addCleanup(self.plan.disarm, "fdatasync")
        self.meter, self.backend = self.client(daemon, "meter-1"), self.client(daemon, "backend")
        self.assert_acked(self.meter.publish_all(events(3)))
        self.backend.wait_deliveries(3)
        self.plan.arm("fdatasync", mode=HOLD)
        self.ticket = self.meter.publish(Event(1, b"k", 4))
        self.plan.wait_held("fdatasync")
        return daemon

    def assert_answers_ping(self, client):
        before = client.pongs
        client.send(Ping())
        client.wait_for(lambda: client.pongs > before, "the PONG")

    def test_the_loop_answers_while_a_sync_hangs(self):
        daemon = self.held_daemon()
        for client in (self.meter, self.backend):
            self.assert_answers_ping(client)
        newcomer = self.client(daemon, "meter-2", connect=False)
        self.assertTrue(daemon.status()["ready"])
        self.assertEqual(daemon.http_get("/metrics")[0], 200)
        self.assertFalse(self.ticket.answered, "ACKed before its sync returned")
        self.assertEqual(len(self.backend.deliveries), 3, "delivered before it was safe")
        self.assertEqual(self.plan.held("fdatasync"), 1, "all of this while the sync was held")
        self.plan.disarm("fdatasync")
        self.assertIsInstance(self.ticket.wait(), Ack)
        self.backend.wait_deliveries(4)
        newcomer.connect_when_ready()
        self.assert_acked(newcomer.publish_all(events(1)))

    def test_publishers_are_held_back_while_a_sync_hangs(self):
        daemon = self.held_daemon()
        before = daemon.memory_kib()
        raw = RawConnection(daemon.plain_address)
        self.addCleanup(raw.close)
        self.plan.disarm("fdatasync")  # a new client is itself an entry in the log
        raw.handshake()
        self.plan.arm("fdatasync", mode=HOLD)
        raw.send(Publish(1, Event(1, b"flood", 1)))
        self.plan.wait_held("fdatasync")
        flood = [Publish(n, Event(1, b"flood", n, 0, BULK)) for n in range(2, 1_002)]
        frames = b"".join(sink_v0.to_wire(message) for message in flood)
        raw.socket.settimeout(2.0)
        sent = 0
        while sent < 256 * MIB and raw.send_bytes(frames):
            sent += len(frames)
        self.assertLess(sent, 256 * MIB, "the broker went on reading")
        self.assert_answers_ping(self.backend)
        self.assertLess(daemon.memory_kib() - before, MEMORY_GROWTH_KIB_MAX)
        self.assertEqual(self.plan.held("fdatasync"), 1)
        self.plan.disarm("fdatasync")
        self.assertIsInstance(self.ticket.wait(), Ack)
        self.assert_acked(self.meter.publish_all(events(10, b"after")))

    def test_kill_9_while_a_sync_hangs(self):
        daemon = self.held_daemon()
        daemon.kill9()
        self.assert_all_delivered_after_restart(daemon, events(3), "archive")


class LimitedDaemon(Daemon):
    """A sinkd that may open so many descriptors."""

    def __init__(self, descriptors, **options):
        self._descriptors = descriptors
        super().__init__(**options)

    def before_exec(self):
        super().before_exec()
        resource.setrlimit(resource.RLIMIT_NOFILE, (self._descriptors, self._descriptors))


class Descriptors(FaultTest):
    LIMIT = 256  # 128 of them are kept from connections

    def crowded_daemon(self):
        """A broker with a working pair of clients and as many others as it lets in, and more."""
        daemon = LimitedDaemon(self.LIMIT, subscriptions=[subscription()],
                               store={"segment_size": "1MiB"},
                               limits={"connections_unauthenticated": 10_000})
        self.addCleanup(self._end, daemon)
        daemon.start()
        self.meter, self.backend = self.client(daemon, "meter-1"), self.client(daemon, "backend")
        self.crowd = []
        for _ in range(self.LIMIT):
            raw = RawConnection(daemon.plain_address)
            self.addCleanup(raw.close)
            self.crowd.append(raw)
            try:
                raw.handshake()
            except OSError:
                continue  # refused: what is wanted of the later ones
        return daemon

    def refused(self, daemon):
        text = daemon.http_get("/metrics")[1]
        return sum(float(line.split()[1]) for line in text.splitlines() if line.startswith(
            ("sinkd_sockets_refused_total", "sinkd_accept_errors_total")))

    def test_sessions_and_the_log_go_on_without_free_descriptors(self):
        daemon = self.crowded_daemon()
        segments = daemon.status()["store"]["segments"]
        sent = events(600, b"bulk", data=BULK)
        self.assert_acked(self.meter.publish_all(sent))
        self.backend.wait_deliveries(600)
        self.assertGreater(self.refused(daemon), 0, "refused and counted")
        counts = daemon.status()["store"]
        self.assertTrue(counts["segments"] > segments or counts["next_position"] > 600, counts)
        for raw in self.crowd:
            raw.close()
        newcomer = self.client(daemon, "meter-2", connect=False)
        newcomer.connect_when_ready()
        self.assert_acked(newcomer.publish_all(events(1)))
        self.assertEqual(daemon.stop(), 0)

    def test_refusing_does_not_spin(self):
        daemon = self.crowded_daemon()
        waiting = []
        for _ in range(50):
            sock = socket.socket()
            self.addCleanup(sock.close)
            sock.setblocking(False)
            sock.connect_ex(daemon.plain_address)
            waiting.append(sock)
        before, seconds = self.ticks(daemon), 3
        time.sleep(seconds)
        spent = (self.ticks(daemon) - before) / os.sysconf("SC_CLK_TCK")
        self.assertLess(spent, seconds / 2, "seconds of processor time")

    def test_accepting_that_keeps_failing_stops_nobody_else(self):
        daemon = self.faulty_daemon()
        meter, backend = self.client(daemon, "meter-1"), self.client(daemon, "backend")
        self.plan.arm("accept4", errno.ENFILE, ALWAYS)
        waiting = [socket.socket() for _ in range(20)]
        for number, sock in enumerate(waiting):
            self.addCleanup(sock.close)
            sock.setblocking(False)
            doors = daemon.address, daemon.plain_address, ("127.0.0.1", daemon.http_port)
            sock.connect_ex(doors[number % len(doors)])
        wait_until(lambda: self.plan.struck("accept4") > 0, "a failed accept")
        self.assert_acked(meter.publish_all(events(100)))
        backend.wait_deliveries(100)
        before, seconds = self.ticks(daemon), 3
        time.sleep(seconds)
        spent = (self.ticks(daemon) - before) / os.sysconf("SC_CLK_TCK")
        self.assertLess(spent, seconds / 2, "seconds of processor time")
        self.plan.disarm("accept4")
        newcomer = self.client(daemon, "meter-2", connect=False)
        newcomer.connect_when_ready()
        self.assert_acked(newcomer.publish_all(events(1)))
        self.assertGreater(self.refused(daemon), 0, "counted")
        self.assertEqual(daemon.stop(), 0)

    def ticks(self, daemon):
        fields = pathlib.Path(f"/proc/{daemon.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])


class FullInABurst(FaultTest):
    def small_disk(self, mib):
        path = tempfile.mkdtemp(prefix="sinkd-disk-")
        self.addCleanup(shutil.rmtree, path, ignore_errors=True)
        if os.geteuid() != 0:
            self.skipTest("a small tmpfs can be mounted by root only")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0700", "tmpfs",
                               path], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.skipTest(f"no tmpfs can be mounted here: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "--lazy", path], check=True)
        return pathlib.Path(path)

    def burst(self, meters):
        """Publishes from all at once until each has been refused; no answer is left open."""
        tickets = {meter: [] for meter in meters}
        for offset in range(1, 4_000):
            for meter, own in tickets.items():
                if not any(t.answered and isinstance(t.answer, Nack) for t in own[-300:]):
                    own.append(meter.publish(Event(1, b"burst", offset, 0, BULK)))
        for meter, own in tickets.items():
            answers = [ticket.wait() for ticket in own]
            refusals = [answer for answer in answers if isinstance(answer, Nack)]
            self.assertTrue(refusals, "the disk was to be full")
            self.assertEqual({refusal.machine for refusal in refusals}, {sink_v0.STORAGE_FULL})

    def test_consumers_settle_durably_while_the_disk_is_full(self):
        daemon = self.daemon(data_dir=self.small_disk(48) / "data", subscriptions=[
            subscription(key_format="{source}/{key}")])
        meters = [self.client(daemon, f"meter-{n}") for n in range(1, 5)]
        self.burst(meters)
        backend = self.client(daemon, "backend")
        for number, meter in enumerate(meters, 1):
            self.wait_delivered(backend, f"meter-{number}/burst".encode(),
                                [event.offset for event in meter.acked])
        acked = sum(len(meter.acked) for meter in meters)
        self.wait_settled(daemon, "readings")
        wait_until(lambda: daemon.status()["store"]["synced_position"] ==
                   daemon.status()["store"]["next_position"], "all is on the disk")
        self.assertEqual(len(backend.deliveries), acked)
        daemon.crash_and_restart()
        row = daemon.tracker("readings")
        self.assertLessEqual(row["pending"] + row["in_flight"], 256, "at most a window comes again")


class Memory(FaultTest):
    def test_the_daemon_ends_in_order_when_memory_runs_out(self):
        daemon = self.faulty_daemon()
        meter = self.client(daemon, "meter-1")
        acked = events(50)
        self.assert_acked(meter.publish_all(acked))
        address_space = daemon.memory_kib("VmSize") * 1024
        resource.prlimit(daemon.pid, resource.RLIMIT_AS, (address_space, address_space))
        try:
            for number in range(100):
                acked += [event for event, answer in self.try_publish(meter, 51 + 50 * number)
                          if isinstance(answer, Ack)]
        except Disconnected:
            self.assertEqual(daemon.wait_exit(), OUT_OF_RESOURCES)
            self.assertIn("memory", daemon.stderr_text())
        else:
            self.fail("the limit on memory did nothing")
        self.assert_all_delivered_after_restart(daemon, acked)

    def try_publish(self, meter, first):
        sent = events(50, first=first, data=BULK)
        return list(zip(sent, meter.publish_all(sent)))

    def test_an_allocation_that_fails_ends_the_daemon_in_order(self):
        daemon = self.faulty_daemon()
        meter = self.client(daemon, "meter-1")
        acked = events(50)
        self.assert_acked(meter.publish_all(acked))
        self.plan.arm("malloc", errno.ENOMEM, ALWAYS)
        ticket = meter.publish(Event(1, b"struck", 1, 0, BULK))
        self.assertEqual(daemon.wait_exit(), OUT_OF_RESOURCES)
        with self.assertRaises(Disconnected):
            ticket.wait()
        self.assert_all_delivered_after_restart(daemon, acked)


if __name__ == "__main__":
    unittest.main()
