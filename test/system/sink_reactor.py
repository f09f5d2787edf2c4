"""One thread that reads and writes for every Client of a test process.

Responsible for non-blocking sockets, with and without TLS, and for keepalive; what the frames mean
is the Client's affair. Invariant: a link's callbacks run in the reactor's thread only, on_end
exactly once and last.
"""

import collections
import selectors
import socket
import ssl
import threading
import time

import sink_v0
from sink_v0 import Ping

KEEPALIVE_SECONDS = 60.0


class Link:
    """One non-blocking socket in the reactor: bytes to send in, frames and the end out."""

    def __init__(self, sock, splitter, on_frame, on_end):
        self.socket = sock
        self.splitter = splitter
        self.on_frame = on_frame
        self.on_end = on_end
        self.out = bytearray()
        self.sent_at = time.monotonic()
        self.ended = False


class Reactor(threading.Thread):
    """The thread that reads and writes for every Client of this process."""

    _shared = None
    _shared_lock = threading.Lock()

    def __init__(self):
        super().__init__(name="sink-reactor", daemon=True)
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._calls = collections.deque()
        self._links = set()
        self.start()

    @classmethod
    def shared(cls):
        with cls._shared_lock:
            if cls._shared is None:
                cls._shared = cls()
            return cls._shared

    def call(self, function, *arguments):
        self._calls.append((function, arguments))
        try:
            self._wake_write.send(b"x")
        except BlockingIOError:
            return  # the reactor has plenty of wake-ups to read already

    def run(self):
        while True:
            for key, mask in self._selector.select(1.0):
                if key.data is None:
                    self._drain_wakeups()
                else:
                    self._step(key.data)
            while self._calls:
                function, arguments = self._calls.popleft()
                function(*arguments)
            self._keep_alive()

    def _drain_wakeups(self):
        try:
            while self._wake_read.recv(4_096):
                pass
        except BlockingIOError:
            return

    def _keep_alive(self):
        now = time.monotonic()
        for link in list(self._links):
            if now - link.sent_at > KEEPALIVE_SECONDS:
                self.send(link, sink_v0.to_wire(Ping()))

    def add(self, link, early_frames):
        """Takes up a connection; `early_frames` came in behind the handshake's answer."""
        link.socket.setblocking(False)
        self._links.add(link)
        self._selector.register(link.socket, selectors.EVENT_READ, link)
        try:
            self._deliver(link, early_frames)
        except Exception as error:  # see _step
            self.end(link, error)
        self._step(link)

    def send(self, link, data):
        if link.ended:
            return
        link.out += data
        link.sent_at = time.monotonic()
        self._step(link, read=False)

    def end(self, link, reason):
        if link.ended:
            return
        link.ended = True
        self._links.discard(link)
        try:
            self._selector.unregister(link.socket)
        except KeyError:
            pass  # ended before the reactor had taken it up
        link.socket.close()
        link.on_end(reason)

    def _step(self, link, read=True):
        if link.ended:
            return
        try:
            if read:
                self._read(link)
            if not link.ended:
                self._write(link)
        except Exception as error:  # a failing callback ends its own link, never the reactor
            self.end(link, error)

    def _read(self, link):
        for _ in range(64):
            try:
                data = link.socket.recv(65_536)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            if not data:
                self.end(link, EOFError("the peer closed the connection"))
                return
            self._deliver(link, link.splitter.feed(data))
            if link.ended:
                return
        self.call(self._step, link)

    def _deliver(self, link, frames):
        for frame in frames:
            if link.ended:
                return
            link.on_frame(sink_v0.decode_frame(frame))

    def _write(self, link):
        while link.out:
            try:
                sent = link.socket.send(memoryview(link.out)[:65_536].tobytes())
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                break
            del link.out[:sent]
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if link.out else 0)
        if self._selector.get_key(link.socket).events != wanted:
            self._selector.modify(link.socket, wanted, link)
