"""The Sink protocol, version 0: frames to bytes and bytes to frames.

Responsible for the wire format alone; written from the protocol's description and its golden
vectors, sharing no code with the broker, so that one can judge the other. Sockets and windows are
in sink_peer.py. Invariant: decode_frame(encode_frame(m)) == m, and what is malformed raises
ProtocolError and nothing else.
"""

from dataclasses import dataclass
from typing import Optional

U64_MAX = 2**64 - 1
FRAME_BYTES_MAX = 65_535
MESSAGE_IDS = 4_096

CONNECTED = 0
HELLO_NEW_CLIENT = 1
INSTANCE_ID_MISMATCH = 2
QUARANTINED = 3
UNSUPPORTED_PROTOCOL_VERSION = 4
UNSUPPORTED_APPLICATION_VERSION = 5

RESPONSE_NAMES = {
    CONNECTED: "connected",
    HELLO_NEW_CLIENT: "hello_new_client",
    INSTANCE_ID_MISMATCH: "instance_id_mismatch",
    QUARANTINED: "quarantined",
    UNSUPPORTED_PROTOCOL_VERSION: "unsupported_protocol_version",
    UNSUPPORTED_APPLICATION_VERSION: "unsupported_application_version",
}

# Machine codes of the broker's own NACKs, one byte each.
STORAGE_FULL = b"\x01"
OFFSET_BACKWARDS = b"\x02"
NO_SUBSCRIPTION = b"\x03"
EVENT_TOO_LARGE = b"\x04"
SHUTTING_DOWN = b"\x05"
TOO_MANY_KEYS = b"\x06"


class ProtocolError(Exception):
    """The bytes are not a frame of version 0."""


@dataclass(frozen=True)
class Event:
    event_type_id: int = 1
    key: bytes = b""
    offset: int = 0
    timestamp: int = 0
    event_data: bytes = b""
    schema_version: int = 0

    @property
    def ack_key(self):
        return (self.event_type_id, self.key, self.offset)


@dataclass(frozen=True)
class ConnectionRequest:
    client_instance_id: int
    server_instance_id: Optional[int] = None
    application_version: bytes = b"1.0.0"
    protocol_version: int = 0


@dataclass(frozen=True)
class ConnectionResponse:
    response: int
    server_instance_id: Optional[int] = None
    machine: bytes = b""
    human: bytes = b""

    @property
    def name(self):
        return RESPONSE_NAMES[self.response]


@dataclass(frozen=True)
class Ack:
    message_id: int


@dataclass(frozen=True)
class Publish:
    message_id: int
    event: Event


@dataclass(frozen=True)
class Ping:
    pass


@dataclass(frozen=True)
class Pong:
    pass


@dataclass(frozen=True)
class Nack:
    message_id: int
    machine: bytes = b""
    human: bytes = b""


def encode_varint(value):
    if not 0 <= value <= U64_MAX:
        raise ValueError(f"{value} does not fit a 64-bit varint")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_chunk(data):
    return encode_varint(len(data)) + data


class Reader:
    """Takes fields off the front of a frame's payload; a field that is not there is an error."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def remaining(self):
        return len(self.data) - self.at

    def take(self, count, what):
        if count > self.remaining():
            raise ProtocolError(f"{what}: {count} bytes wanted, {self.remaining()} left")
        taken = self.data[self.at:self.at + count]
        self.at += count
        return bytes(taken)

    def varint(self, what):
        value = 0
        for index in range(10):
            byte = self.take(1, what)[0]
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if value > U64_MAX:
                    raise ProtocolError(f"{what}: does not fit 64 bits")
                return value
        raise ProtocolError(f"{what}: a varint of more than 10 bytes")

    def chunk(self, what):
        return self.take(self.varint(what + " length"), what)

    def u32(self, what):
        return int.from_bytes(self.take(4, what), "big")

    def rest(self):
        return self.take(self.remaining(), "rest")

    def end(self, what):
        if self.remaining():
            raise ProtocolError(f"{what}: {self.remaining()} bytes follow its end")


def _header(kind, message_id):
    if not 0 <= message_id < MESSAGE_IDS:
        raise ValueError(f"message id {message_id} is not in 0 to {MESSAGE_IDS - 1}")
    return bytes([kind << 4 | message_id >> 8, message_id & 0xFF])


def encode_event(event):
    return b"".join((
        encode_varint(event.event_type_id),
        encode_varint(event.schema_version),
        encode_chunk(event.key),
        encode_varint(event.offset),
        encode_varint(event.timestamp),
        encode_chunk(event.event_data),
    ))


def _encode_request(request):
    if not 0 <= request.protocol_version <= 15:
        raise ValueError("a protocol version has four bits")
    out = bytes([request.protocol_version]) + encode_chunk(request.application_version)
    out += request.client_instance_id.to_bytes(4, "big")
    if request.server_instance_id is not None:
        out += request.server_instance_id.to_bytes(4, "big")
    return out


def _encode_response(message):
    out = bytes([0x10 | message.response])
    if message.response == HELLO_NEW_CLIENT:
        out += message.server_instance_id.to_bytes(4, "big")
    elif message.response == QUARANTINED:
        out += encode_chunk(message.machine) + message.human
    return out


def encode_frame(message):
    """The bytes of one frame, without the length in front."""
    if isinstance(message, Publish):
        return _header(4, message.message_id) + encode_event(message.event)
    if isinstance(message, Ack):
        return _header(3, message.message_id)
    if isinstance(message, Nack):
        payload = encode_chunk(message.machine) + message.human
        return _header(7, message.message_id) + payload
    if isinstance(message, Ping):
        return _header(5, 0)
    if isinstance(message, Pong):
        return _header(6, 0)
    if isinstance(message, ConnectionRequest):
        return _encode_request(message)
    if isinstance(message, ConnectionResponse):
        return _encode_response(message)
    raise TypeError(f"{message!r} is not a message of version 0")


def _decode_request(low, reader):
    version = reader.chunk("application_version")
    client = reader.u32("client_instance_id")
    server = reader.u32("server_instance_id") if reader.remaining() else None
    reader.end("CONNECTION REQUEST")
    return ConnectionRequest(client, server, version, low)


def _decode_response(low, reader):
    if low not in RESPONSE_NAMES:
        raise ProtocolError(f"connection response {low} is not assigned")
    server, machine, human = None, b"", b""
    if low == HELLO_NEW_CLIENT:
        server = reader.u32("server_instance_id")
    elif low == QUARANTINED:
        machine = reader.chunk("machine message")
        human = reader.rest()
    reader.end("CONNECTION RESPONSE")
    return ConnectionResponse(low, server, machine, human)


def decode_event(reader):
    event_type_id = reader.varint("event_type_id")
    schema_version = reader.varint("schema_version")
    key = reader.chunk("key")
    offset = reader.varint("offset")
    timestamp = reader.varint("timestamp")
    event_data = reader.chunk("event_data")
    reader.end("PUBLISH")
    return Event(event_type_id, key, offset, timestamp, event_data, schema_version)


def decode_frame(frame):
    """The message in one frame (no length in front); ProtocolError where it is malformed."""
    reader = Reader(frame)
    first = reader.take(1, "frame type")[0]
    kind, low = first >> 4, first & 0x0F
    if kind == 0:
        return _decode_request(low, reader)
    if kind == 1:
        return _decode_response(low, reader)
    if not 3 <= kind <= 7:
        raise ProtocolError(f"frame type {kind} is not assigned in version 0")
    message_id = low << 8 | reader.take(1, "message id")[0]
    if kind == 4:
        return Publish(message_id, decode_event(reader))
    if kind == 7:
        machine = reader.chunk("machine message")
        return Nack(message_id, machine, reader.rest())
    reader.end(f"frame type {kind}")
    return {3: lambda: Ack(message_id), 5: Ping, 6: Pong}[kind]()


def with_length(frame):
    """A frame as it goes on the wire; ValueError where it is longer than 65,535 bytes."""
    if len(frame) > FRAME_BYTES_MAX:
        raise ValueError(f"a frame of {len(frame)} bytes does not fit its 2-byte length")
    return len(frame).to_bytes(2, "big") + frame


def to_wire(message):
    return with_length(encode_frame(message))


class FrameSplitter:
    """Cuts a byte stream into frames, whatever the pieces it arrives in."""

    def __init__(self):
        self._buffer = bytearray()

    def feed(self, data):
        """The frames completed by these bytes, in order."""
        self._buffer += data
        frames, at = [], 0
        while len(self._buffer) - at >= 2:
            length = int.from_bytes(self._buffer[at:at + 2], "big")
            if len(self._buffer) - at - 2 < length:
                break
            frames.append(bytes(self._buffer[at + 2:at + 2 + length]))
            at += 2 + length
        del self._buffer[:at]
        return frames

    def pending_bytes(self):
        return len(self._buffer)
