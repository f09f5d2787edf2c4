"""A client that writes down what it sent, was told and was delivered, in the order of the wire.

Responsible for the log alone; log_checker.py judges it, and its head gives the format. Invariant:
an event's "sent" stands in the log before its first byte can reach the broker, and an answer only
after it came off the wire.
"""

import collections
import threading
import zlib

from sink_peer import Client
from sink_v0 import Ack, Ping


def _name(event):
    return f"{event.event_type_id} {event.key.decode()} {event.offset}"


def _sum(event):
    return f"{zlib.crc32(event.event_data):08x}"


class ClientLog:
    """One client's file; whole lines, readable once closed."""

    def __init__(self, path, head):
        self._file = open(path, "w", encoding="ascii")
        self._lock = threading.Lock()
        self.write(head)

    def write(self, line):
        with self._lock:
            if not self._file.closed:
                self._file.write(line + "\n")

    def close(self):
        with self._lock:
            self._file.close()


class LoggedClient(Client):
    """Keys must be printable and without blanks."""

    def __init__(self, address, log, **options):
        super().__init__(address, **options)
        self.log = log
        self.deliveries_logged = 0
        self._behind_pings = collections.deque()

    def _adopt(self, raw):
        with self._changed:
            self._behind_pings.clear()
            self.log.write(f"connected {self.connection + 1}")
            super()._adopt(raw)

    def publish(self, event, timeout=None):
        self.log.write(f"sent {_name(event)} {_sum(event)}")
        return super().publish(event, timeout)

    def ack(self, delivery):
        self.log.write(f"acknowledged {_name(delivery.event)}")
        super().ack(delivery)

    def nack(self, delivery, machine, human=b""):
        """Refuses; the PING behind it tells when the broker must have seen the refusal. Only for
        connections that are never silent for long enough to be pinged by the reactor."""
        self.log.write(f"refused {_name(delivery.event)}")
        super().nack(delivery, machine, human)
        self._behind_pings.append(delivery.event)
        self.send(Ping())

    def _on_delivery(self, connection, message):
        event = message.event
        self.log.write(f"delivered {_name(event)} {_sum(event)}")
        self.deliveries_logged += 1
        super()._on_delivery(connection, message)
        self.deliveries.clear()  # the file has them

    def _on_answer(self, message):
        ticket = self._live.get(message.message_id)
        if ticket is None:
            self.log.write(f"stray {message.message_id}")
        elif isinstance(message, Ack):
            self.log.write(f"accepted {_name(ticket.event)}")
        else:
            self.log.write(f"rejected {_name(ticket.event)} {message.machine.hex() or '-'}")
        super()._on_answer(message)

    def _on_message(self, connection, message):
        with self._changed:
            before = self.pongs
            super()._on_message(connection, message)
            if self.pongs > before and self._behind_pings:
                self.log.write(f"refusal-seen {_name(self._behind_pings.popleft())}")

    def _on_end(self, connection, reason):
        with self._changed:
            if connection == self.connection and self.connected:
                self.log.write(f"ended {connection}")
            super()._on_end(connection, reason)
