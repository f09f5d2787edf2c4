"""The Sink server of version 0 that writes down what it took, in the words of log_checker.py.

Its one client is the gateway; whatever connection came last counts, what still lies in the buffers
of an earlier one is neither taken nor answered.
"""

import zlib

from sink_server import SinkServer
from sink_v0 import Publish


class LoggedServer(SinkServer):
    def __init__(self, files, log):
        self.log = log
        self._current = None
        self._count = 0
        super().__init__(files)

    def _handshake(self, connection, frame):
        taken = super()._handshake(connection, frame)
        if taken:
            with self.lock:
                self._count += 1
                self._current = connection
                self.log.write(f"connected {self._count}")
        return taken

    def _on_message(self, connection, message):
        if isinstance(message, Publish):
            with self.lock:
                if connection is not self._current:
                    return
                event = message.event
                name = f"{event.event_type_id} {event.key.decode()} {event.offset}"
                self.log.write(f"delivered {name} {zlib.crc32(event.event_data):08x}")
                self.log.write(f"acknowledged {name}")
        super()._on_message(connection, message)
        self.received.clear()  # the file has them
