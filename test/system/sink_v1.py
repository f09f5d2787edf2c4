"""A client of protocol version 1 for services and channels: frames and FlatBuffers by docs/protocol.md.

Responsible for greeting, requests, channels' messages and what the server says by itself. No code is
shared with the broker, and FlatBuffers are read and written here, by their published layout: a table
is a signed offset back to its vtable (sizes, then where each field stands) and its fields; offsets
to strings, vectors and tables point forward.
"""

import io
import struct
import uuid

import sink_v0
from sink_peer import RawConnection, fresh_identity, wait_until

REQUEST, RESPONSE, ACK, PUBLISH, PING, PONG, NACK, CONTROL, REPLY, DELIVER = 0, 1, 3, 4, 5, 6, 7, 8, 9, 11
EXPOSE, REFRESH, WITHDRAW, LOOKUP, SERVICE_ENDED = 5, 6, 7, 8, 9
OPEN_CHANNEL, CLOSE_CHANNEL, LIST_CHANNELS, CHANNEL_OPENED, CHANNEL_CLOSED = 10, 11, 12, 13, 14
DONE, FAILURE, PAGE, LEASE, SERVICES, CHANNELS = 1, 2, 3, 4, 5, 6
CHANNEL_EVENT_TYPE = int.from_bytes(b"channels", "big")
NOT_ALLOWED, INVALID, NOT_FOUND, EXISTS = 2, 3, 4, 5


# ---- FlatBuffers -----------------------------------------------------------------------------

def flat(fields):
    """A whole buffer whose root has `fields`: index to an int (up to 32 bits), bytes or dict."""
    return struct.pack("<I", 4 + _vtable_bytes(fields)) + _table(fields)


def _vtable_bytes(fields):
    return (4 + 2 * (max(fields, default=-1) + 1) + 3) // 4 * 4


def _table(fields):
    """The vtable, the table, and behind it what its fields point at; every field in four bytes."""
    slots = max(fields, default=-1) + 1
    places = [4 + 4 * sorted(fields).index(i) if i in fields else 0 for i in range(slots)]
    vtable = struct.pack(f"<HH{slots}H", 4 + 2 * slots, 4 + 4 * len(fields), *places)
    vtable = vtable.ljust(_vtable_bytes(fields), b"\0")
    body, behind = struct.pack("<i", len(vtable)), b""
    end = 4 + 4 * len(fields)  # of the table's own bytes, from its beginning
    for index in sorted(fields):
        value = fields[index]
        if isinstance(value, int):
            body += struct.pack("<I", value)
            continue
        target = end + len(behind)
        if isinstance(value, dict):
            target += _vtable_bytes(value)
            behind += _table(value)
        else:  # a string's end is a 0 that its length does not count; a vector may have one, too
            behind += (struct.pack("<I", len(value)) + value + b"\0").ljust(
                (4 + len(value) + 1 + 3) // 4 * 4, b"\0")
        body += struct.pack("<I", target - len(body))
    return vtable + body + behind


class Table:
    """Reads a table; absent fields have the default that is asked for."""

    def __init__(self, data, at=None):
        self.data = data
        self.at = struct.unpack_from("<I", data)[0] if at is None else at

    def _place(self, index):
        vtable = self.at - struct.unpack_from("<i", self.data, self.at)[0]
        size = struct.unpack_from("<H", self.data, vtable)[0]
        offset = 4 + 2 * index
        place = struct.unpack_from("<H", self.data, vtable + offset)[0] if offset < size else 0
        return self.at + place if place else None

    def number(self, index, form="<I"):
        place = self._place(index)
        return 0 if place is None else struct.unpack_from(form, self.data, place)[0]

    def _target(self, index):
        place = self._place(index)
        return None if place is None else place + struct.unpack_from("<I", self.data, place)[0]

    def raw(self, index):
        at = self._target(index)
        if at is None:
            return b""
        size = struct.unpack_from("<I", self.data, at)[0]
        return self.data[at + 4:at + 4 + size]

    def table(self, index):
        return Table(self.data, self._target(index))

    def tables(self, index):
        at = self._target(index)
        count = 0 if at is None else struct.unpack_from("<I", self.data, at)[0]
        places = [at + 4 + 4 * i for i in range(count)]
        return [Table(self.data, p + struct.unpack_from("<I", self.data, p)[0]) for p in places]


def _varint(source):
    value = shift = 0
    while True:
        byte = source.read(1)[0]
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return value


def _chunk(source):
    return source.read(_varint(source))


# ---- the client ------------------------------------------------------------------------------

class ServiceClient:
    """Connected once it is made. What it knows of itself is in `identity`, for the next one."""

    def __init__(self, address, tls, identity=None):
        self.identity = identity or fresh_identity()
        self.raw = RawConnection(address, tls)
        self.ended = []  # (uuid, name, reason)
        self.opened = []  # ids of channels, in hex
        self.closed = []  # (id, reason)
        self.messages = []  # (id of the channel, offset, data); each is ACKed
        self.answers = {}  # of published messages, by message id: None for an ACK, else the NACK's machine message
        self._last_id = 0
        self._next_message = 0
        greeting = {1: self.identity.client_instance_id, 4: {0: 4095}}
        if self.identity.server_instance_id is not None:
            greeting[2] = self.identity.server_instance_id
        self.raw.send_frame(bytes([REQUEST << 4 | 1]) + flat(greeting))
        answer = self.raw.receive_frame()
        if answer is None or answer[0] >> 4 != RESPONSE or answer[0] & 15 > 1:
            raise AssertionError(f"not connected: {answer}")
        self.identity.server_instance_id = Table(answer[1:]).number(0)

    def close(self):
        self.raw.close()

    def _take(self, frame):
        """Notes what the server says by itself; True for a reply."""
        kind = frame[0] >> 4
        if kind == PING:
            self.raw.send_frame(bytes([PONG << 4, 0]))
        if kind == CONTROL:
            control = Table(frame[2:])
            if control.number(0, "<B") == SERVICE_ENDED:
                ended = control.table(1)
                self.ended.append((uuid.UUID(bytes=ended.raw(0)), ended.raw(1).decode(),
                                   ended.number(2, "<B")))
            if control.number(0, "<B") == CHANNEL_OPENED:
                self.opened.append(control.table(1).table(0).raw(0).hex())
            if control.number(0, "<B") == CHANNEL_CLOSED:
                self.closed.append((control.table(1).raw(0).hex(), control.table(1).number(1, "<B")))
        message_id = struct.unpack_from(">H", frame)[0] & 0xfff
        if kind == DELIVER:
            fields = io.BytesIO(frame[2:])
            _chunk(fields), _chunk(fields), _varint(fields)  # subscription, source, attempt
            self._on_message(message_id, fields)
        if kind == ACK:
            self.answers[message_id] = None
        if kind == NACK:
            self.answers[message_id] = _chunk(io.BytesIO(frame[2:]))
        return kind == REPLY

    def _on_message(self, message_id, fields):
        event_type, _, key, offset, _ = (_varint(fields), _varint(fields), _chunk(fields), _varint(fields),
                                         _varint(fields))
        if event_type == CHANNEL_EVENT_TYPE:
            self.messages.append((key.decode(), offset, _chunk(fields)))
        self.raw.send_frame(struct.pack(">H", ACK << 12 | message_id))

    def ask(self, kind, fields):
        """(kind of the result, its table)."""
        self._last_id += 1
        self.raw.send_frame(struct.pack(">H", CONTROL << 12 | self._last_id) +
                            flat({0: kind, 1: fields}))
        while True:
            frame = self.raw.receive_frame()
            if frame is None:
                raise AssertionError("the server closed instead of replying")
            if self._take(frame):
                reply = Table(frame[2:])
                return reply.number(0, "<B"), reply.table(1)

    def wait_ended(self, count):
        self.wait(lambda: len(self.ended) >= count)

    # ---- services; a refusal is its code ----

    def _answer(self, kind, fields, wanted, read):
        result, table = self.ask(kind, fields)
        if result == FAILURE:
            return table.number(0, "<B")
        if result != wanted:
            raise AssertionError(f"a result of kind {result} instead of {wanted}")
        return read(table)

    def expose(self, name, ttl_ms, metadata=b"", public=True):
        """(uuid, granted ttl)."""
        fields = {0: name.encode(), 1: ttl_ms, 2: metadata, 3: int(public)}
        return self._answer(EXPOSE, fields, LEASE, self._lease)

    def refresh(self, service):
        return self._answer(REFRESH, {0: service.bytes}, LEASE, self._lease)

    def withdraw(self, service):
        return self._answer(WITHDRAW, {0: service.bytes}, DONE, lambda _: None)

    def lookup(self, what):
        """[(name, uuid, owner, metadata)], by name or by uuid."""
        fields = {1: what.bytes} if isinstance(what, uuid.UUID) else {0: what.encode()}
        return self._answer(LOOKUP, fields, SERVICES, lambda table: [
            (row.raw(0).decode(), uuid.UUID(bytes=row.raw(1)), row.raw(2).decode(), row.raw(3))
            for row in table.tables(0)])

    # ---- channels ----

    def open_channel(self, service, metadata=b""):
        """The new channel's id, in hex."""
        return self._answer(OPEN_CHANNEL, {0: service.encode(), 2: metadata}, CHANNELS,
                            lambda table: table.tables(0)[0].raw(0).hex())

    def close_channel(self, channel):
        return self._answer(CLOSE_CHANNEL, {0: bytes.fromhex(channel)}, DONE, lambda _: None)

    def list_channels(self):
        """[(id, peer, closing, published)]"""
        return self._answer(LIST_CHANNELS, {}, CHANNELS, lambda table: [
            (row.raw(0).hex(), row.raw(3).decode(), bool(row.number(6, "<B")), row.number(7, "<Q"))
            for row in table.tables(0)])

    def send(self, channel, offset, data):
        """The answer: None for an ACK, else the NACK's machine message."""
        self._next_message = (self._next_message + 1) % 4096
        message_id = self._next_message
        key = channel.encode()
        payload = sink_v0.encode_event(sink_v0.Event(event_type_id=CHANNEL_EVENT_TYPE, key=key,
                                                     offset=offset, event_data=data))
        self.answers.pop(message_id, None)
        self.raw.send_frame(struct.pack(">H", PUBLISH << 12 | message_id) + payload)
        self.wait(lambda: message_id in self.answers)
        return self.answers[message_id]

    def wait(self, condition):
        while not condition():
            frame = self.raw.receive_frame()
            if frame is None:
                raise AssertionError("the server closed")
            self._take(frame)

    @staticmethod
    def _lease(table):
        return uuid.UUID(bytes=table.raw(0)), table.number(1)


def connect_when_ready(address, tls, identity):
    """A connection to a broker that may still be starting."""
    made = []

    def connected():
        try:
            made.append(ServiceClient(address, tls, identity))
        except OSError:
            return False
        return True
    wait_until(connected, "connected again")
    return made[0]
