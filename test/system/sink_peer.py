"""Connections that speak the Sink protocol version 0 to a broker, over TLS, TCP or a unix socket.

RawConnection sends whatever bytes a test likes. Client keeps to the protocol: handshake, a window
of publishes in flight, deliveries answered by a callback, keepalive; all clients share one reactor
thread. Invariant: everything a client was ACKed, NACKed or delivered stands in its own log, in
the order in which it came off the wire.
"""

import collections
import os
import random
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass

import sink_v0
from sink_reactor import Link, Reactor
from sink_v0 import Ack, ConnectionRequest, FrameSplitter, Nack, Ping, Pong, ProtocolError, Publish

PATIENCE = 30.0 * float(os.environ.get("SINKD_TEST_PATIENCE", "1"))


class Refused(Exception):
    """The broker answered the CONNECTION REQUEST with anything but connected or hello."""

    def __init__(self, response):
        super().__init__(f"refused: {response.name} {response.machine.hex()} {response.human!r}")
        self.response = response


class Disconnected(Exception):
    """The connection ended before the answer came."""


class TimedOut(AssertionError):
    """A condition that should have come true did not, within a generous deadline."""


def wait_until(condition, what, timeout=None, interval=0.05):
    """Polls until the condition returns something true, and returns that."""
    deadline = time.monotonic() + (PATIENCE if timeout is None else timeout)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimedOut(f"waited in vain: {what() if callable(what) else what}")
        time.sleep(interval)


@dataclass
class Identity:
    """What a client keeps for as long as it keeps its history."""

    client_instance_id: int
    server_instance_id: int = None


def fresh_identity():
    return Identity(random.randrange(1, 2**32))


@dataclass(frozen=True)
class TlsFiles:
    """Where a peer's certificate, private key and trusted CA are."""

    certificate: str
    private_key: str
    ca: str

    def context(self, version=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.ca)
        if self.certificate:
            context.load_cert_chain(self.certificate, self.private_key)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context


def open_socket(address, tls=None, timeout=None):
    """Connects to (host, port) or a unix socket's path; wraps in TLS where a context is given."""
    timeout = PATIENCE if timeout is None else timeout
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout)
        try:
            sock.connect(address)
        except OSError:
            sock.close()
            raise
        return sock
    sock = socket.create_connection(address, timeout=timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls is None:
        return sock
    context = tls.context() if isinstance(tls, TlsFiles) else tls
    try:
        return context.wrap_socket(sock, server_hostname=address[0])
    except (OSError, ssl.SSLError):
        sock.close()
        raise


class RawConnection:
    """A blocking connection for what the protocol forbids, byte by byte."""

    def __init__(self, address, tls=None, timeout=None):
        self.socket = open_socket(address, tls, timeout)
        self.error = None
        self.closed = False
        self._splitter = FrameSplitter()
        self._frames = collections.deque()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send_bytes(self, data):
        """Sends, or notes that the peer has closed; whether all went out."""
        try:
            self.socket.sendall(data)
            return True
        except (OSError, ssl.SSLError) as error:
            self.error = error
            return False

    def send_frame(self, frame):
        return self.send_bytes(sink_v0.with_length(frame))

    def send(self, message):
        return self.send_bytes(sink_v0.to_wire(message))

    def receive_frame(self, timeout=None):
        """The next frame's bytes, or None once the peer has closed."""
        deadline = time.monotonic() + (PATIENCE if timeout is None else timeout)
        while not self._frames:
            if self.closed:
                return None
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimedOut("waited in vain for a frame or the end of the connection")
            self._receive_some(remaining)
        return self._frames.popleft()

    def receive(self, timeout=None):
        frame = self.receive_frame(timeout)
        return None if frame is None else sink_v0.decode_frame(frame)

    def _receive_some(self, timeout):
        self.socket.settimeout(timeout)
        try:
            data = self.socket.recv(65_536)
        except TimeoutError:
            return
        except (OSError, ssl.SSLError) as error:
            self.error = error
            data = b""
        if not data:
            self.closed = True
        self._frames.extend(self._splitter.feed(data))

    def read_to_end(self, timeout=None):
        """The frames that come before the peer closes; TimedOut where it does not close."""
        frames = []
        while (frame := self.receive_frame(timeout)) is not None:
            frames.append(frame)
        return frames

    def handshake(self, identity=None, application_version=b"1.0.0"):
        """Sends a CONNECTION REQUEST and returns the answer; None where the peer just closes."""
        identity = identity or fresh_identity()
        self.send(ConnectionRequest(identity.client_instance_id, identity.server_instance_id,
                                    application_version))
        response = self.receive()
        if response is not None and response.response == sink_v0.HELLO_NEW_CLIENT:
            identity.server_instance_id = response.server_instance_id
        return response

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


@dataclass
class Delivery:
    """One PUBLISH from the broker and how this client answered it."""

    connection: int
    message_id: int
    event: sink_v0.Event
    answer: object = None


class Ticket:
    """One publish of this client; the answer is an Ack, a Nack, or Disconnected."""

    def __init__(self, event, message_id):
        self.event = event
        self.message_id = message_id
        self.answer = None
        self._answered = threading.Event()

    def settle(self, answer):
        self.answer = answer
        self._answered.set()

    @property
    def answered(self):
        return self._answered.is_set()

    def wait(self, timeout=None):
        if not self._answered.wait(PATIENCE if timeout is None else timeout):
            raise TimedOut(f"no answer to {self.event.ack_key}")
        if isinstance(self.answer, Disconnected):
            raise self.answer
        return self.answer


def acknowledge(_delivery):
    """Answers every delivery with an ACK."""
    return "ack"


def leave_open(_delivery):
    """Answers no delivery."""
    return None


class Client:
    """A well-behaved client; survives reconnects with its identity and its log.

    `respond` gets each Delivery in the reactor's thread and returns "ack", (machine, human), or
    None to leave the answer to ack() and nack().
    """

    def __init__(self, address, identity=None, *, tls=None, window=256, respond=acknowledge,
                 application_version=b"1.0.0"):
        self.address = address
        self.tls = tls
        self.identity = identity or fresh_identity()
        self.window = window
        self.respond = respond
        self.application_version = application_version
        self.connection = 0
        self.connected = False
        self.end_reason = None
        self.deliveries = []
        self.acked = []
        self.nacked = []
        self.pongs = 0
        self.pings = 0
        self.unknown_answers = []
        self.response = None
        self._live = {}
        self._next_id = random.randrange(sink_v0.MESSAGE_IDS)
        self._link = None
        self._changed = threading.Condition(threading.RLock())
        self._reactor = Reactor.shared()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def connect(self, timeout=None):
        """Connects and shakes hands; Refused where the broker says no, OSError where it is not
        there."""
        raw = RawConnection(self.address, self.tls, timeout)
        try:
            response = raw.handshake(self.identity, self.application_version)
        except (OSError, ProtocolError, TimedOut):
            raw.close()
            raise
        self.response = response
        if response is None:
            raw.close()
            raise Disconnected(f"closed without an answer ({raw.error})")
        if response.response not in (sink_v0.CONNECTED, sink_v0.HELLO_NEW_CLIENT):
            try:
                raw.read_to_end()
            finally:
                raw.close()
            raise Refused(response)
        self._adopt(raw)
        return response

    def _adopt(self, raw):
        with self._changed:
            self.connection += 1
            self.connected = True
            self.end_reason = None
            connection = self.connection
            link = Link(raw.socket, raw._splitter,
                        lambda message: self._on_message(connection, message),
                        lambda reason: self._on_end(connection, reason))
            self._link = link
            self._reactor.call(self._reactor.add, link, list(raw._frames))

    def connect_when_ready(self, timeout=None):
        """Connects, trying again while the broker is away."""
        deadline = time.monotonic() + (PATIENCE if timeout is None else timeout)
        while True:
            try:
                return self.connect()
            except (OSError, Disconnected, ssl.SSLError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def publish(self, event, timeout=None):
        """Sends the event once the window has room; a Ticket for its answer."""
        with self._changed:
            self.wait_for(lambda: not self.connected or len(self._live) < self.window,
                          "room in the window", timeout)
            if not self.connected:
                raise Disconnected(f"not connected ({self.end_reason})")
            while self._next_id in self._live:
                self._next_id = (self._next_id + 1) % sink_v0.MESSAGE_IDS
            ticket = Ticket(event, self._next_id)
            self._next_id = (self._next_id + 1) % sink_v0.MESSAGE_IDS
            self._live[ticket.message_id] = ticket
            link = self._link
            self._reactor.call(self._reactor.send, link,
                               sink_v0.to_wire(Publish(ticket.message_id, event)))
        return ticket

    def publish_all(self, events, timeout=None):
        """Publishes in order and returns the answers in the same order."""
        tickets = [self.publish(event, timeout) for event in events]
        return [ticket.wait(timeout) for ticket in tickets]

    def send(self, message):
        """Sends any message as it is, outside the window's bookkeeping."""
        self.send_bytes(sink_v0.to_wire(message))

    def send_bytes(self, data):
        self._reactor.call(self._reactor.send, self._link, data)

    def ack(self, delivery):
        delivery.answer = "ack"
        self.send(Ack(delivery.message_id))

    def nack(self, delivery, machine, human=b""):
        delivery.answer = (machine, human)
        self.send(Nack(delivery.message_id, machine, human))

    def _on_message(self, connection, message):
        with self._changed:
            if connection != self.connection:
                return
            if isinstance(message, Publish):
                self._on_delivery(connection, message)
            elif isinstance(message, (Ack, Nack)):
                self._on_answer(message)
            elif isinstance(message, Ping):
                self.pings += 1
                self.send(Pong())
            elif isinstance(message, Pong):
                self.pongs += 1
            else:
                raise ProtocolError(f"{message} after the handshake")
            self._changed.notify_all()

    def _on_delivery(self, connection, message):
        delivery = Delivery(connection, message.message_id, message.event)
        self.deliveries.append(delivery)
        answer = self.respond(delivery)
        if answer == "ack":
            self.ack(delivery)
        elif answer is not None:
            self.nack(delivery, *answer)

    def _on_answer(self, message):
        ticket = self._live.pop(message.message_id, None)
        if ticket is None:
            self.unknown_answers.append(message)
            return
        if isinstance(message, Ack):
            self.acked.append(ticket.event)
        else:
            self.nacked.append((ticket.event, message.machine, message.human))
        ticket.settle(message)

    def _on_end(self, connection, reason):
        with self._changed:
            if connection != self.connection:
                return
            self.connected = False
            self.end_reason = reason
            live, self._live = self._live, {}
            for ticket in live.values():
                ticket.settle(Disconnected(f"connection ended: {reason}"))
            self._changed.notify_all()

    def wait_for(self, condition, what, timeout=None):
        """Waits until the condition over this client's log holds."""
        with self._changed:
            if not self._changed.wait_for(condition, PATIENCE if timeout is None else timeout):
                raise TimedOut(f"waited in vain: {what() if callable(what) else what} "
                               f"(connected: {self.connected}, reason: {self.end_reason})")

    def wait_deliveries(self, count, timeout=None):
        self.wait_for(lambda: len(self.deliveries) >= count,
                      lambda: f"{count} deliveries, {len(self.deliveries)} came", timeout)
        return list(self.deliveries)

    def wait_end(self, timeout=None):
        self.wait_for(lambda: not self.connected, "the end of the connection", timeout)
        return self.end_reason

    def close(self):
        """Closes at once; what was not answered by then stays unanswered."""
        link = self._link
        if link is None:
            return
        self._reactor.call(self._reactor.end, link, EOFError("closed by this client"))
        if threading.current_thread() is not self._reactor:
            self.wait_end()
