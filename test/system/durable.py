"""A publisher and a subscriber that live through broker crashes, and the books they keep.

Responsible for load and reconnection; the verdict over the books is the test's. Invariant: the
publisher repeats what has no answer, in order, with the same ack keys, as a device has to.
"""

import collections
import ssl
import threading
import time

from sink_peer import Disconnected, Refused, TimedOut
from sink_v0 import Ack, Event, Nack

RETRY_SECONDS = 0.1


class DurablePublisher(threading.Thread):
    """Publishes events of its keys in turn until told to stop, then until all have an answer.

    `pause` seconds lie between two events, so that a test can choose its load.
    """

    def __init__(self, client, keys, data=b"x" * 64, pause=0.0):
        super().__init__(name=f"publisher-{keys[0].decode()}", daemon=True)
        self.client = client
        self.keys = keys
        self.data = data
        self.pause = pause
        self.acked = set()
        self.refused = []
        self.reconnects = 0
        self.failure = None
        self._offset = 0
        self._open = collections.deque()
        self._stopping = threading.Event()

    def finish(self):
        self._stopping.set()

    def _next_event(self):
        self._offset += 1
        key = self.keys[self._offset % len(self.keys)]
        return Event(1, key, self._offset, 1_700_000_000 + self._offset, self.data, 1)

    def run(self):
        try:
            while not (self._stopping.is_set() and not self._open):
                self._one_connection()
        except Exception as error:  # the test asks for it after join()
            self.failure = error

    def _one_connection(self):
        try:
            self.client.connect()
        except (OSError, ssl.SSLError, Disconnected):
            time.sleep(RETRY_SECONDS)
            return
        self.reconnects += 1
        tickets = collections.deque()
        try:
            for event in list(self._open):
                tickets.append(self.client.publish(event))
            while not (self._stopping.is_set() and not tickets):
                if not self._stopping.is_set():
                    event = self._next_event()
                    self._open.append(event)
                    tickets.append(self.client.publish(event))
                    if self.pause:
                        time.sleep(self.pause)
                while tickets and (tickets[0].answered or self._stopping.is_set()):
                    self._book(tickets.popleft())
        except Disconnected:
            return

    def _book(self, ticket):
        answer = ticket.wait()
        if isinstance(answer, Ack):
            self.acked.add(ticket.event.ack_key)
        elif isinstance(answer, Nack):
            self.refused.append((ticket.event.ack_key, answer.machine, answer.human))
        self._open.popleft()


def finish_all(publishers, seconds):
    """Stops them and lets every open event get its answer; each has so long for that."""
    for publisher in publishers:
        publisher.finish()
    for publisher in publishers:
        publisher.join(seconds)
        if publisher.is_alive() or publisher.failure:
            raise AssertionError(f"{publisher.name}: {publisher.failure or 'still waiting'}")


class DurableSubscriber(threading.Thread):
    """Connects whenever it is not connected; the client's own log holds what it was delivered."""

    def __init__(self, client):
        super().__init__(name="subscriber", daemon=True)
        self.client = client
        self.failure = None
        self._stopping = threading.Event()

    def finish(self):
        self._stopping.set()

    def run(self):
        try:
            while not self._stopping.is_set():
                if self.client.connected:
                    self._stopping.wait(RETRY_SECONDS)
                    continue
                try:
                    self.client.connect()
                except (OSError, ssl.SSLError, Disconnected, TimedOut):
                    self._stopping.wait(RETRY_SECONDS)
        except Refused as error:  # the test asks for it after join()
            self.failure = error
