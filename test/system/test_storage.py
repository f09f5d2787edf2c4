"""The log seen from outside: a full disk, few writes, and space that comes back."""

import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import tempfile
import time
import unittest

import sink_v0
from daemon_fixture import Daemon, SystemTest, events, subscription
from sink_peer import PATIENCE, wait_until

MIB = 1 << 20
EVENT_DATA = os.urandom(8_000)


class FullDisk(SystemTest):
    def small_disk(self, mib):
        """A tmpfs of this size, gone after the test."""
        path = tempfile.mkdtemp(prefix="sinkd-disk-")
        self.addCleanup(shutil.rmtree, path, ignore_errors=True)
        if os.geteuid() != 0:
            self.skipTest("a small tmpfs can be mounted by root only")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0700", "tmpfs",
                               path], capture_output=True, text=True)
        if done.returncode != 0:
            self.skipTest(f"no tmpfs can be mounted here: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "--lazy", path], check=True)
        return pathlib.Path(path)

    def fill(self, meter, limit):
        """Publishes until the broker refuses; the ACKed events and the first refusal."""
        acked, first = [], 1
        while first < limit:
            batch = events(64, b"bulk", first=first, data=EVENT_DATA)
            for event, answer in zip(batch, meter.publish_all(batch)):
                if isinstance(answer, sink_v0.Nack):
                    return acked, answer
                acked.append(event)
            first += 64
        self.fail(f"{limit} events of 8 kB were all accepted")

    def assert_refuses_then_recovers(self, daemon, limit):
        meter = self.client(daemon, "meter-1")
        acked, refusal = self.fill(meter, limit)
        self.assert_nacked(refusal, sink_v0.STORAGE_FULL)
        self.assertIn(b"full", refusal.human.lower())
        daemon.assert_running()
        self.assertTrue(daemon.ctl("sub", "ls", "--json").stdout, "the operator still sees")
        backend = self.client(daemon, "backend")
        self.wait_delivered(backend, b"bulk", [event.offset for event in acked])
        self.wait_resumed(meter, acked[-1].offset + 1_000_000)
        before = len(backend.deliveries)
        self.assert_acked(meter.publish_all(events(50, b"after")))
        backend.wait_deliveries(before + 50)
        self.wait_settled(daemon, "readings")
        self.assertEqual(daemon.tracker("readings")["dropped"], 0)

    def wait_resumed(self, meter, first):
        offsets = iter(range(first, first + 1_000_000))

        def accepted():
            answer = meter.publish(sink_v0.Event(1, b"bulk", next(offsets))).wait()
            if isinstance(answer, sink_v0.Ack):
                return True
            self.assertEqual(answer.machine, sink_v0.STORAGE_FULL)
            return False
        wait_until(accepted, "the broker accepts again", 4 * PATIENCE, interval=0.5)

    def test_a_full_file_system(self):
        disk = self.small_disk(64)
        daemon = self.daemon(data_dir=disk / "data", subscriptions=[subscription()])
        self.assert_refuses_then_recovers(daemon, 10 * 64 * MIB // 8_000)

    def test_max_size(self):
        daemon = self.daemon(store={"max_size": "48MiB"}, subscriptions=[subscription()])
        self.assert_refuses_then_recovers(daemon, 10 * 48 * MIB // 8_000)
        self.assertLessEqual(daemon.status()["store"]["bytes"], 64 * MIB)

    def test_space_taken_and_given_back_by_someone_else(self):
        disk = self.small_disk(96)
        daemon = self.daemon(data_dir=disk / "data", subscriptions=[subscription()])
        hog = disk / "hog"
        with open(hog, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(MIB))
            except OSError:
                pass  # full: what was wanted
        meter = self.client(daemon, "meter-1")
        acked, refusal = self.fill(meter, 10 * 96 * MIB // 8_000)
        self.assert_nacked(refusal, sink_v0.STORAGE_FULL)
        hog.unlink()
        self.wait_resumed(meter, 1_000_000)
        backend = self.client(daemon, "backend")
        self.wait_delivered(backend, b"bulk", [event.offset for event in acked])

    def test_what_was_accepted_on_a_full_disk_survives_a_crash(self):
        disk = self.small_disk(64)
        daemon = self.daemon(data_dir=disk / "data", subscriptions=[subscription()])
        acked, _ = self.fill(self.client(daemon, "meter-1"), 10 * 64 * MIB // 8_000)
        daemon.crash_and_restart()
        backend = self.client(daemon, "backend")
        self.wait_delivered(backend, b"bulk", [event.offset for event in acked])


class NoDescriptors(SystemTest):
    def leave_free(self, daemon, count):
        """From now on the broker can open this many files more; returns the limits before."""
        def settled():
            before = os.listdir(f"/proc/{daemon.pid}/fd")
            time.sleep(0.5)
            return before == os.listdir(f"/proc/{daemon.pid}/fd")
        wait_until(settled, "nothing is opened or closed any more")
        used = {int(name) for name in os.listdir(f"/proc/{daemon.pid}/fd")}
        limit = next(n for n in range(1, 10_000) if len(set(range(n)) - used) == count)
        before = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (limit, before[1]))
        return before

    def test_a_backlog_that_cannot_be_opened_waits_and_is_then_delivered(self):
        daemon = self.daemon(subscriptions=[subscription()])
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(50)))
        daemon.restart()  # the events are on the disk only
        before = self.leave_free(daemon, 1)
        backend = self.client(daemon, "backend")  # takes the last descriptor
        self.assert_stays(lambda: not backend.deliveries, "delivered without being read")
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, before)
        backend.wait_deliveries(50)
        self.wait_settled(daemon, "readings")
        self.assertEqual([d.event for d in backend.deliveries], events(50))
        self.assertEqual(daemon.quarantined(), [])
        self.assertEqual(daemon.events()["quarantined"], 0)
        self.assertTrue([text for text in daemon.status()["alarms"]
                         if "does not give stored events back" in text], daemon.status())
        failed = re.search(r"^sinkd_reads_failed_total (\d+)$", daemon.http_get("/metrics")[1],
                           re.M)
        self.assertGreater(int(failed[1]), 0)


class FewWrites(SystemTest):
    def publish_rounds(self, meter, rounds=20):
        """In rounds no larger than a window, each ACKed before the next."""
        for number in range(rounds):
            self.assert_acked(meter.publish_all(
                events(50, first=1 + 50 * number, data=b"w" * 1_000)))

    def test_a_linger_avoids_writing_while_everyone_is_online(self):
        daemon = self.daemon(store={"commit_linger": "1m"}, subscriptions=[subscription()])
        backend, meter = self.client(daemon, "backend"), self.client(daemon, "meter-1")
        before = daemon.status()["store"]
        self.publish_rounds(meter)
        backend.wait_deliveries(1_000)
        self.wait_settled(daemon, "readings")
        wait_until(lambda: daemon.status()["store"]["bytes_avoided"] >=
                   before["bytes_avoided"] + 1_000_000, "a million bytes not written")
        written = daemon.status()["store"]["bytes_written"] - before["bytes_written"]
        self.assertLess(written, 100_000, "event data went to the disk after all")

    def test_with_a_consumer_away_everything_is_written(self):
        daemon = self.daemon(store={"commit_linger": "100ms"}, subscriptions=[subscription()])
        meter = self.client(daemon, "meter-1")
        before = daemon.status()["store"]
        self.publish_rounds(meter, 4)
        after = daemon.status()["store"]
        self.assertGreaterEqual(after["bytes_written"] - before["bytes_written"], 200_000)
        daemon.crash_and_restart()
        backend = self.client(daemon, "backend")
        backend.wait_deliveries(200)
        self.assertEqual([d.event.offset for d in backend.deliveries], list(range(1, 201)))

    def test_an_acked_event_survives_a_crash_with_a_linger(self):
        daemon = self.daemon(store={"commit_linger": "500ms"}, subscriptions=[
            subscription(), subscription("slow", "archive")])
        backend, meter = self.client(daemon, "backend"), self.client(daemon, "meter-1")
        self.publish_rounds(meter, 2)
        daemon.crash_and_restart()
        archive = self.client(daemon, "archive")
        archive.wait_deliveries(100)
        self.assertEqual([d.event.offset for d in archive.deliveries], list(range(1, 101)))
        backend.wait_end()


class Space(SystemTest):
    def bytes_on_disk(self, daemon):
        files = [path for path in daemon.data_dir.rglob("*") if path.is_file()]
        return sum(path.stat().st_blocks * 512 for path in files)

    def publish_megabytes(self, meter, megabytes):
        for number in range(megabytes * 2):
            self.assert_acked(meter.publish_all(
                events(64, first=1 + 64 * number, data=EVENT_DATA)))

    def test_settled_segments_are_trimmed(self):
        daemon = self.daemon(store={"segment_size": "1MiB"}, subscriptions=[subscription()])
        meter = self.client(daemon, "meter-1")
        self.publish_megabytes(meter, 20)
        full = daemon.status()["store"]
        self.assertGreaterEqual(full["segments"], 20)
        backend = self.client(daemon, "backend")
        backend.wait_deliveries(20 * 2 * 64)
        self.wait_settled(daemon, "readings")
        wait_until(lambda: daemon.status()["store"]["segments"] <= 5,
                   lambda: f"few segments: {daemon.status()['store']}", 4 * PATIENCE)
        wait_until(lambda: daemon.status()["store"]["bytes"] < full["bytes"] // 2, "fewer bytes")
        daemon.crash_and_restart()
        self.assertEqual(daemon.tracker("readings")["pending"], 0)

    def test_one_unsettled_event_does_not_pin_everything(self):
        daemon = self.daemon(store={"segment_size": "1MiB"}, subscriptions=[
            subscription(), subscription("rare", "archive", event_types=[9])])
        backend, meter = self.client(daemon, "backend"), self.client(daemon, "meter-1")
        kept = sink_v0.Event(9, b"kept", 1, 0, b"keep me")
        self.assert_acked([meter.publish(kept).wait()])
        self.publish_megabytes(meter, 20)
        backend.wait_deliveries(20 * 2 * 64)
        wait_until(lambda: daemon.status()["store"]["segments"] <= 6,
                   lambda: f"few segments: {daemon.status()['store']}", 4 * PATIENCE)
        daemon.crash_and_restart()
        archive = self.client(daemon, "archive")
        self.assertEqual(archive.wait_deliveries(1)[0].event, kept)


class Rot(SystemTest):
    """One bit of the store flips while the daemon is stopped."""

    EVENTS = 40
    ROTTEN = 17

    def stopped_with_a_flipped_bit(self, stop):
        daemon = self.daemon(subscriptions=[subscription()])
        meter = self.client(daemon, "meter-1")
        for number in range(1, self.EVENTS + 1):  # each in a batch of its own
            data = b"reading number %06d" % number
            self.assert_acked([meter.publish(sink_v0.Event(1, b"rot", number, 0, data)).wait()])
        stop(daemon)
        (segment,) = daemon.data_dir.glob("*.segment")
        content = bytearray(segment.read_bytes())
        at = content.find(b"reading number %06d" % self.ROTTEN)
        self.assertGreater(at, 0)
        content[at + 3] ^= 0x10
        segment.write_bytes(content)
        return daemon

    def verify(self, daemon):
        """Exit status and findings of `sinkctl log verify`."""
        done = daemon.ctl("log", "verify", str(daemon.data_dir), "--json", check=False)
        return done.returncode, json.loads(done.stdout)

    def assert_told_and_isolated(self, daemon):
        status, findings = self.verify(daemon)
        self.assertEqual(status, 65)
        self.assertEqual(len(findings["gaps"]), 1)
        gap = findings["gaps"][0]
        self.assertEqual(gap["end_position"] - gap["first_position"], 1)
        daemon.start()
        backend = self.client(daemon, "backend")
        self.wait_delivered(backend, b"rot", [number for number in range(1, self.EVENTS + 1)
                                              if number != self.ROTTEN])
        wait_until(lambda: daemon.status()["store"]["gaps"] == 1,
                   lambda: f"one gap: {daemon.status()['store']}")
        _, metrics = daemon.http_get("/metrics")
        self.assertIn("\nsinkd_store_gaps 1\n", metrics)
        for delivery in backend.deliveries:
            self.assertEqual(delivery.event.event_data, b"reading number %06d" % delivery.event.offset)
        daemon.restart()
        self.assertEqual(daemon.status()["store"]["gaps"], 1)

    def test_behind_the_newest_snapshot(self):
        self.assert_told_and_isolated(self.stopped_with_a_flipped_bit(Daemon.kill9))

    def test_before_the_newest_snapshot(self):
        self.assert_told_and_isolated(self.stopped_with_a_flipped_bit(Daemon.stop))


if __name__ == "__main__":
    unittest.main()
