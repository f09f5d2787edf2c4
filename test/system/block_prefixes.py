#!/usr/bin/env python3
"""Records the block writes under a real broker on a real ext4, and starts a broker from what power
cuts at many of them would have left.

    SINKD_BUILD=build python3 test/system/block_prefixes.py [--states N] [--events N] [--seed S]
                                                            [--canary]

Every state is a prefix of the recorded writes: all that a flush vouches for, and a random subset of
those behind the last flush. ext4 replays its journal, sinkd recovers, and a consumer that was away
must get every event whose ACK had come by then, in order and with its bytes. Needs root, loop
devices, FUSE and qemu-storage-daemon; says what is lacking and ends with 77 otherwise. --canary
runs the broker with sync = "never", and fails unless losses are found.
"""

import argparse
import random
import sys
import time

from daemon_fixture import Daemon, subscription
from ext4_disk import Ext4Disk, Lacking
from pki_fixture import Pki
from recorded_disk import RecordedDisk
from sink_peer import Client, Disconnected, Identity, Refused
from sink_v0 import Ack, Event

SKIPPED = 77
KEYS = 5
DELIVERY_SECONDS = 10.0


class ReceiptClient(Client):
    """Notes with every ACK how much the disk had recorded when it came."""

    def __init__(self, address, disk, **options):
        super().__init__(address, **options)
        self._disk = disk
        self.receipts = []      # (bytes of the record, event)

    def _on_answer(self, message):
        ticket = self._live.get(message.message_id)
        if ticket is not None and isinstance(message, Ack):
            self.receipts.append((self._disk.recorded(), ticket.event))
        super()._on_answer(message)


def _daemon(data_dir, sync):
    return Daemon(data_dir=data_dir, http=False, store={"segment_size": "256KiB", "sync": sync},
                  subscriptions=[subscription(), subscription("copies", "archive")])


class Recording:
    """A broker's life on a recorded disk."""

    def __init__(self, disk, count, rng, sync):
        self._disk = disk
        self._rng = rng
        self.sent = {}
        self.receipts = []
        daemon = _daemon(disk.path / "data", sync)
        try:
            daemon.start()
            archive = Client(daemon.address, tls=Pki.shared().client("archive"))
            archive.connect()
            archive.close()
            self.archive = archive.identity
            self._publish(daemon, count)
            daemon.kill9()
        finally:
            daemon.clean_up()
        disk.stop()

    def _publish(self, daemon, count):
        backend = Client(daemon.address, tls=Pki.shared().client("backend"))
        meter = ReceiptClient(daemon.address, self._disk, tls=Pki.shared().client("meter-1"))
        for client in (backend, meter):
            client.connect()
        self.begun = self._disk.recorded()
        offset = 0
        while offset < count:
            burst = []
            for _ in range(self._rng.randrange(1, 30)):
                offset += 1
                data = self._rng.randbytes(self._rng.choice((10, 100, 2_000)))
                burst.append(Event(1, b"k%d" % (offset % KEYS), offset, 0, data))
            self.sent.update((event.ack_key, event) for event in burst)
            answers = meter.publish_all(burst)
            if not all(isinstance(answer, Ack) for answer in answers):
                raise AssertionError(f"not all were ACKed: {answers}")
        self.receipts = meter.receipts
        for client in (backend, meter):
            client.close()

    def promised(self, recorded):
        """The events whose ACK had come when the record was this long."""
        return {event.ack_key for at, event in self.receipts if at <= recorded}


def judge(recording, recorded, deliveries):
    """What is wrong with what a consumer was delivered from one state."""
    got = [delivery.event for delivery in deliveries]
    keys = [event.ack_key for event in got]
    if lost := recording.promised(recorded) - set(keys):
        return f"{len(lost)} ACKed events are lost, such as {sorted(lost)[0]}"
    if len(keys) != len(set(keys)):
        return "an event came twice"
    if any(recording.sent.get(event.ack_key) != event for event in got):
        return "an event is not as it was sent"
    by_key = {}
    for event in got:
        if event.offset <= by_key.get(event.key, 0):
            return f"{event.ack_key} came after {by_key[event.key]}"
        by_key[event.key] = event.offset
    return None


def try_state(recording, recorded, image):
    """Mounts the image, starts a broker on it, and judges; None where all is well."""
    disk = Mounted(image=image)
    daemon = _daemon(disk.path / "data", "always")
    identity = recording.archive
    archive = Client(daemon.address, Identity(identity.client_instance_id,
                                              identity.server_instance_id),
                     tls=Pki.shared().client("archive"))
    wanted = len(recording.promised(recorded))
    try:
        daemon.start()
        archive.connect()
        archive.wait_deliveries(wanted, DELIVERY_SECONDS)
        daemon.stop()
        return judge(recording, recorded, archive.deliveries)
    except (AssertionError, Disconnected, Refused) as error:
        return judge(recording, recorded, archive.deliveries) or str(error)
    finally:
        archive.close()
        daemon.clean_up()
        disk.close()


class Mounted(Ext4Disk):
    """An image that holds a file system already."""

    def make(self):
        """It was made when it was recorded."""


def run(states, count, seed, sync="always"):
    rng = random.Random(seed)
    disk = RecordedDisk()
    try:
        recording = Recording(disk, count, rng, sync)

        def choices(entries):
            late = [i + 1 for i, entry in enumerate(entries) if entry.end > recording.begun]
            return rng.sample(late, min(states, len(late)))
        tried, wrong = 0, []
        for recorded, image in disk.states(choices, rng):
            tried += 1
            if fault := try_state(recording, recorded, image):
                wrong.append(f"the record cut at byte {recorded}: {fault}")
                print(f"VIOLATION {wrong[-1]}", flush=True)
    finally:
        disk.close()
    return tried, wrong


def main():
    parser = argparse.ArgumentParser(description="recorded block writes, replayed in part")
    parser.add_argument("--states", type=int, default=100)
    parser.add_argument("--events", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--canary", action="store_true", help="losses are wanted")
    arguments = parser.parse_args()
    sync = "never" if arguments.canary else "always"
    started = time.monotonic()
    try:
        tried, wrong = run(arguments.states, arguments.events, arguments.seed, sync)
    except Lacking as lack:
        print(f"skipped: this needs {lack}")
        return SKIPPED
    print(f"{tried} states, {len(wrong)} violations, {time.monotonic() - started:.1f} s, "
          f"seed {arguments.seed}")
    if arguments.canary:
        return 0 if wrong else 1
    return 1 if wrong or not tried else 0


if __name__ == "__main__":
    sys.exit(main())
