#!/usr/bin/env python3
"""Writes sink_v1.json, the golden vectors of Sink protocol version 1, beside itself.

The FlatBuffers are encoded by `flatc` from the JSON inputs below, everything around them here:
nothing of this project's encoders takes part. Usage: make_sink_v1.py [--check]; needs flatc.
The vectors are committed, and running this again must change no byte of them unless an input
changes. Another flatc may lay tables out otherwise; then every field must still be the same, which
is what --check compares, and the tests run.
"""

import json
import pathlib
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SCHEMA = HERE.parent.parent / "protocol" / "sink.fbs"

REQUEST, RESPONSE, CONTROL, REPLY, BATCH, DELIVER = 0, 1, 8, 9, 10, 11


class Raw(bytes):
    """A [ubyte]: numbers for flatc, hex in the vectors."""


def for_flatc(value):
    if isinstance(value, Raw):
        return list(value)
    if isinstance(value, dict):
        return {key: for_flatc(each) for key, each in value.items()}
    return [for_flatc(each) for each in value] if isinstance(value, list) else value


def for_vector(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: for_vector(each) for key, each in value.items()}
    return [for_vector(each) for each in value] if isinstance(value, list) else value


def flatc(root, table, schema=None, options=()):
    with tempfile.TemporaryDirectory() as folder:
        fbs = pathlib.Path(folder) / "sink.fbs"
        fbs.write_text(schema or SCHEMA.read_text(encoding="utf-8"), encoding="utf-8")
        data = pathlib.Path(folder) / "data.json"
        data.write_text(json.dumps(for_flatc(table)), encoding="utf-8")
        subprocess.run(["flatc", "-b", *options, "--root-type", "sink.protocol.wire." + root,
                        "-o", folder, str(fbs), str(data)], check=True)
        return (pathlib.Path(folder) / "data.bin").read_bytes()


# The schema of a later version: a field behind each table's last, a member behind each union's.
def later_schema():
    text = SCHEMA.read_text(encoding="utf-8")
    for old, new in (("}\n\ntable ConnectionResponse", "  later:string;\n}\n\ntable ConnectionResponse"),
                     ("  retry_after_ms:uint;\n", "  retry_after_ms:uint;\n  later:[ulong];\n"),
                     ("table Unsubscribe { name:string; }",
                      "table Unsubscribe { name:string; later:Done; }\ntable Later { position:ulong; name:string; }"),
                     ("  AdvanceChannel\n}", "  AdvanceChannel, Later\n}")):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


# ---- frames ----------------------------------------------------------------------------------

def greeting_frame(kind, low, body):
    return bytes([kind << 4 | low]) + body


def frame(kind, message_id, body):
    return struct.pack(">H", kind << 12 | message_id) + body


def varint(value):
    out = bytearray()
    while value > 0x7f:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def chunk(data):
    return varint(len(data)) + data


def event_bytes(event):
    return (varint(event["event_type_id"]) + varint(event["schema_version"]) + chunk(event["key"]) +
            varint(event["offset"]) + varint(event["timestamp"]) + chunk(event["event_data"]))


def deliver(message_id, subscription, source, attempt, payload):
    return frame(DELIVER, message_id, chunk(subscription) + chunk(source) + varint(attempt) + payload)


# ---- inputs ----------------------------------------------------------------------------------

S = Raw(bytes(range(0x10, 0x20)))
ZEROS = Raw(bytes(16))
LIMITS = {"window": 4095, "event_bytes": 33554432, "batch_events": 4096, "links": 16}
MINIMAL = {"limits": {"window": 1}}
POINT = {"id": S, "received": 5000000000, "checksum": 0xfedcba98, "sent": 18446744073709551615,
         "awaited": [4095, 0, 1, 7]}
NEW = {"id": S}
FULL_REQUEST = {"application_version": Raw(b"1.2.3\0\xff"), "client_instance_id": 4294967295,
                "server_instance_id": 0, "reason": 1,
                "limits": {"window": 4095, "event_bytes": 65000, "batch_events": 4096}, "session": POINT}
RESUMED = {"server_instance_id": 2, "server_name": "gateway-7", "limits": LIMITS,
           "session": {"id": S, "received": 4, "checksum": 0x227f273f, "sent": 2, "awaited": [10]},
           "resumed": True, "session_ttl_ms": 30000, "keepalive_ms": 60000}
NEW_SESSION = {"server_instance_id": 3735928559, "server_name": "gateway-7", "limits": LIMITS, "session": NEW,
               "new_because": 3, "session_ttl_ms": 30000, "keepalive_ms": 60000}
QUARANTINED = {"server_instance_id": 2, "server_name": "gateway-7", "limits": LIMITS, "session": {"id": ZEROS},
               "machine": Raw(b"\0\x07"), "human": Raw("Geräte zurückgerufen".encode()), "retry_after_ms": 60000}
SUBSCRIBE = {"name": "my-alarms", "event_types": [{"first": 1, "last": 9},
                                                  {"first": 20, "last": 18446744073709551615}],
             "sources": ["sensor-*", "pump"], "keys": ["*"], "any_order": True, "in_flight": 4095,
             "ack_timeout_ms": 1000}
LONGEST = {"name": "n" * 255, "sources": ["s"] * 64, "keys": ["k" * 255],
           "event_types": [{"first": n, "last": n} for n in range(64)]}

EVENT = {"event_type_id": 1, "schema_version": 3, "key": b"kitchen", "offset": 7, "timestamp": 1618150125,
         "event_data": b"\x01\x02"}
LARGEST = {"event_type_id": 2**64 - 1, "schema_version": 0, "key": b"", "offset": 2**64 - 1, "timestamp": 0,
           "event_data": b""}
# The two examples at the end of section 11 of docs/formats/sink-protocol-v0.md.
BATCH_OF_ONE = bytes.fromhex("3f01030707ed85cc83060201076b69746368656e010001000102")
BATCH_OF_TWO = bytes.fromhex("0607ed85cc83060203018001030380010207010"
                             "86b69746368656e6b0300f2010600db8b96870c020201010278")
SECOND = {"event_type_id": 128, "schema_version": 128, "key": b"k", "offset": 128, "timestamp": 16383,
          "event_data": b"x"}


def paged(position, accepted_ms, source, event):
    return varint(position) + varint(accepted_ms) + chunk(source) + chunk(event_bytes(event))


PAGED = paged(300, 1_700_000_000_000, b"pump-1", EVENT) + paged(301, 0, b"", SECOND)
PAGE = {"events": Raw(PAGED), "position": 305, "end": 400,
        "missing": [{"first": 302, "end": 304, "reason": 0}, {"first": 304, "end": 305, "reason": 1}]}
SEEK = {"from": 2, "position": 300, "time_ms": 1_700_000_000_000,
        "event_types": [{"first": 1, "last": 9}, {"first": 20, "last": 2**64 - 1}],
        "sources": ["pump-*"], "keys": ["a", "b"], "bytes_max": 1000, "wait_ms": 5000}

EXPOSE = {"name": "com.example.chat@1.0.0", "ttl_ms": 30000, "metadata": Raw(b"\0rooms=2\xff"), "is_public": True}
SERVICE = {"name": "com.example.chat@1.0.0", "uuid": S, "owner": "pump-1", "metadata": Raw(b"\0rooms=2\xff"),
           "is_public": True, "expires_in_ms": 29999}
FOUND = {"services": [SERVICE, {"name": "a.b@0.1.0", "uuid": ZEROS, "owner": "x"}], "left_out": 3}

CHANNEL = {"id": S, "service": "com.example.chat@1.0.0", "service_uuid": ZEROS, "peer": "pump-1",
           "metadata": Raw(b"\0hello\xff"), "is_owner": True, "closing": True, "published": 2**64 - 1}
LEAST_CHANNEL = {"id": ZEROS, "service": "a.b@1.0.0", "service_uuid": S}


def union(member, table):
    return {"request_type": member, "request": table}


def outcome(member, table):
    return {"result_type": member, "result": table}


def honest():
    later = later_schema()
    requests = (("request_minimal", MINIMAL, None), ("request_all_fields", FULL_REQUEST, None),
                ("request_new_client", {"application_version": Raw(b"1.0.0"), "client_instance_id": 1,
                                        "limits": {"window": 1024}}, None),
                ("request_further_link", {**MINIMAL, "link": 15}, None),
                ("request_reason_of_a_later_version", {**MINIMAL, "reason": 9}, None),
                ("request_field_of_a_later_version", {**FULL_REQUEST, "later": "passed over"}, later))
    for name, table, schema in requests:
        body = flatc("ConnectionRequest", table, schema)
        table = {key: value for key, value in table.items() if key != "later"}
        yield {"name": name, "type": "connection_request", "hex": greeting_frame(REQUEST, 1, body), "table": table}
    responses = (("response_connected_new_session", 0, NEW_SESSION, None),
                 ("response_hello_new_session", 1, {**NEW_SESSION, "new_because": 0}, None),
                 ("response_connected_resumed", 0, RESUMED, None),
                 ("response_quarantined", 3, QUARANTINED, None),
                 ("response_minimal", 5, {**MINIMAL, "session": {"id": ZEROS}}, None),
                 ("response_of_a_later_version", 0, {**NEW_SESSION, "new_because": 77, "later": [1, 2]}, later))
    for name, code, table, schema in responses:
        body = flatc("ConnectionResponse", table, schema)
        table = {key: value for key, value in table.items() if key != "later"}
        yield {"name": name, "type": "connection_response", "response": code,
               "hex": greeting_frame(RESPONSE, code, body), "table": table}
    controls = (("subscribe", 7, union("Subscribe", SUBSCRIBE), None),
                ("subscribe_name_only", 0, union("Subscribe", {"name": "x"}), None),
                ("subscribe_longest", 4095, union("Subscribe", LONGEST), None),
                ("unsubscribe", 8, union("Unsubscribe", {"name": "my-alarms"}), None),
                ("unsubscribe_field_of_a_later_version", 8,
                 union("Unsubscribe", {"name": "my-alarms", "later": {}}), later),
                ("goodbye", 0, union("Goodbye", {"reason": 2, "human": Raw(b"the server is stopping")}), None),
                ("goodbye_empty", 1, union("Goodbye", {}), None),
                ("goodbye_reason_of_a_later_version", 1, union("Goodbye", {"reason": 200}), None),
                ("seek_everything", 11, union("Seek", SEEK), None),
                ("seek_by_default", 12, union("Seek", {}), None),
                ("seek_place_of_a_later_version", 13, union("Seek", {"from": 77}), None),
                ("expose", 14, union("Expose", EXPOSE), None),
                ("expose_name_only", 15, union("Expose", {"name": "a.b@1.0.0"}), None),
                ("refresh", 16, union("Refresh", {"uuid": S}), None),
                ("withdraw", 17, union("Withdraw", {"uuid": S}), None),
                ("lookup_by_name", 18, union("Lookup", {"name": "com.example.chat@1"}), None),
                ("lookup_by_uuid", 19, union("Lookup", {"uuid": S}), None),
                ("service_ended", 0, union("ServiceEnded", {"uuid": S, "name": "com.example.chat@1.0.0",
                                                            "reason": 2}), None),
                ("service_ended_reason_of_a_later_version", 0,
                 union("ServiceEnded", {"uuid": S, "name": "a.b@1.0.0", "reason": 77}), None),
                ("open_channel_by_name", 20, union("OpenChannel", {"service": "com.example.chat@1",
                                                                   "metadata": Raw(b"\0hello\xff")}), None),
                ("open_channel_by_uuid", 21, union("OpenChannel", {"uuid": S}), None),
                ("close_channel", 22, union("CloseChannel", {"id": S}), None),
                ("advance_channel", 25, union("AdvanceChannel", {"id": S, "taken": 2**64 - 1}), None),
                ("list_channels", 23, union("ListChannels", {}), None),
                ("list_channels_after", 24, union("ListChannels", {"after": S}), None),
                ("channel_opened", 0, union("ChannelOpened", {"channel": CHANNEL}), None),
                ("channel_closed", 0, union("ChannelClosed", {"id": S, "reason": 1}), None),
                ("channel_closed_reason_of_a_later_version", 0,
                 union("ChannelClosed", {"id": S, "reason": 77}), None),
                ("control_kind_of_a_later_version", 9, union("Later", {"position": 5, "name": "x"}), later),
                ("control_without_request", 10, {}, None))
    for name, message_id, table, schema in controls:
        body = flatc("Control", table, schema)
        table.get("request", {}).pop("later", None)
        yield {"name": name, "type": "control", "message_id": message_id, "hex": frame(CONTROL, message_id, body),
               "kind": table.get("request_type", "none"), "table": table.get("request", {})}
    replies = (("reply_done", 7, outcome("Done", {})),
               ("reply_failure", 8, outcome("Failure", {"code": 2, "text": "the client policy grants less"})),
               ("reply_failure_without_text", 8, outcome("Failure", {"code": 6})),
               ("reply_failure_of_a_later_version", 4095, outcome("Failure", {"code": 99, "text": "later"})),
               ("reply_trimmed", 11, outcome("Failure", {"code": 7, "text": "gone", "earliest": 4711})),
               ("reply_page", 11, outcome("Page", PAGE)),
               ("reply_page_empty", 11, outcome("Page", {"position": 2**64 - 2, "end": 2**64 - 1})),
               ("reply_lease", 14, outcome("Lease", {"uuid": S, "ttl_ms": 86400000})),
               ("reply_services", 18, outcome("Services", FOUND)),
               ("reply_services_none", 18, outcome("Services", {})),
               ("reply_channels", 23, outcome("Channels", {"channels": [CHANNEL, LEAST_CHANNEL], "more": True})),
               ("reply_channels_none", 23, outcome("Channels", {})),
               ("reply_channels_64", 23, outcome("Channels", {"channels": [CHANNEL] * 64})),
               ("reply_services_64", 18, outcome("Services", {"services": [SERVICE] * 64})))
    for name, message_id, table in replies:
        yield {"name": name, "type": "control_reply", "message_id": message_id,
               "hex": frame(REPLY, message_id, flatc("ControlReply", table)), "kind": table["result_type"],
               "table": table["result"]}
    for name, message_id, subscription, source, attempt, event in (
            ("deliver", 4095, b"alarms", b"pump-1", 3, EVENT),
            ("deliver_first_attempt", 0, b"pump-1/my-alarms", b"sensor-1", 1, EVENT),
            ("deliver_least", 1, b"", b"", 0, LARGEST),
            ("deliver_most", 256, b"s" * 255, b"c" * 255, 2**64 - 1, LARGEST)):
        yield {"name": name, "type": "deliver", "message_id": message_id, "subscription": subscription,
               "source": source, "attempt": attempt, "event": event,
               "hex": deliver(message_id, subscription, source, attempt, event_bytes(event))}
    for name, message_id, events, batch in (("batch_of_one", 258, [EVENT], BATCH_OF_ONE),
                                            ("batch_of_two", 4095, [EVENT, SECOND], BATCH_OF_TWO)):
        yield {"name": name, "type": "batch", "message_id": message_id, "events": events,
               "hex": frame(BATCH, message_id, batch)}


# ---- lies ------------------------------------------------------------------------------------

def u32(data, at):
    return struct.unpack_from("<I", data, at)[0]


def with_u32(data, at, value):
    return data[:at] + struct.pack("<I", value & 0xffffffff) + data[at + 4:]


def field_at(data, table, index):
    """Where the field number `index` of the table at `table` stands."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    offset = struct.unpack_from("<H", data, vtable + 4 + 2 * index)[0]
    assert offset != 0, "the field is absent"
    return table + offset


def followed(data, at):
    return at + u32(data, at)


def lies():
    """Broken FlatBuffers of a CONNECTION REQUEST."""
    honest_body = flatc("ConnectionRequest", FULL_REQUEST)
    root = u32(honest_body, 0)
    vtable = root - struct.unpack_from("<i", honest_body, root)[0]
    version = field_at(honest_body, root, 0)
    session = followed(honest_body, field_at(honest_body, root, 5))
    session_id = followed(honest_body, field_at(honest_body, session, 0))
    awaited = followed(honest_body, field_at(honest_body, session, 4))
    yield "root_past_the_end", with_u32(honest_body, 0, len(honest_body))
    yield "root_far_away", with_u32(honest_body, 0, 0x7ffffff0)
    yield "root_negative", with_u32(honest_body, 0, 0xfffffff0)
    yield "root_at_itself", with_u32(honest_body, 0, 0)
    yield "vtable_before_the_start", with_u32(honest_body, root, root + 64)
    yield "vtable_past_the_end", with_u32(honest_body, root, root - len(honest_body))
    yield "vtable_longer_than_the_buffer", honest_body[:vtable] + b"\xfe\xff" + honest_body[vtable + 2:]
    yield "vtable_of_odd_length", honest_body[:vtable] + b"\x0f\x00" + honest_body[vtable + 2:]
    yield "field_past_its_table", honest_body[:vtable + 4] + b"\xf0\xff" + honest_body[vtable + 6:]
    yield "offset_past_the_end", with_u32(honest_body, version, len(honest_body))
    yield "offset_negative", with_u32(honest_body, version, 0xffffffe0)
    yield "offset_of_zero", with_u32(honest_body, version, 0)
    yield "bytes_longer_than_the_buffer", with_u32(honest_body, followed(honest_body, version), len(honest_body))
    yield "bytes_of_4_gib", with_u32(honest_body, followed(honest_body, version), 0xffffffff)
    yield "awaited_whose_size_overflows", with_u32(honest_body, awaited, 0x80000002)
    yield "session_id_says_15", with_u32(honest_body, session_id, 15)
    yield "session_id_says_17", with_u32(honest_body, session_id, 17)
    for cut in (1, 3, 4, 7, root, root + 3, len(honest_body) // 2, session_id + 4):
        yield f"table_cut_at_{cut}", honest_body[:cut]
    yield "no_table", b""
    yield "not_a_table", b"nonsense, not a table"


def point(**fields):
    return {**POINT, **fields}


def hostile():
    for name, body in lies():
        yield "request_" + name, greeting_frame(REQUEST, 1, body)
    explicit = ["--force-defaults"]
    requests = (("limits_absent", {}, ()), ("window_absent", {"limits": {"event_bytes": 1}}, ()),
                ("window_0", {"limits": {"window": 0}}, explicit), ("window_4096", {"limits": {"window": 4096}}, ()),
                ("window_65535", {"limits": {"window": 65535}}, ()),
                ("session_id_of_15", {**MINIMAL, "session": point(id=Raw(S[:15]))}, ()),
                ("session_id_of_17", {**MINIMAL, "session": point(id=Raw(S + b"x"))}, ()),
                ("session_id_empty", {**MINIMAL, "session": point(id=Raw())}, ()),
                ("session_id_absent", {**MINIMAL, "session": {"received": 1}}, ()),
                ("awaited_id_4096", {**MINIMAL, "session": point(awaited=[1, 4096])}, ()),
                ("awaited_of_4096", {**MINIMAL, "session": point(awaited=[9] * 4096)}, ()))
    for name, table, options in requests:
        yield "request_" + name, greeting_frame(REQUEST, 1, flatc("ConnectionRequest", table, options=options))
    responses = (("limits_absent", 0, {"session": NEW}), ("session_absent", 0, {"limits": LIMITS}),
                 ("session_absent_in_a_refusal", 3, {"limits": LIMITS, "machine": Raw(b"\x07")}),
                 ("window_4096", 0, {"limits": {"window": 4096}, "session": NEW}),
                 ("session_id_of_15", 0, {"limits": LIMITS, "session": {"id": Raw(S[:15])}}),
                 ("awaited_id_4096", 0, {"limits": LIMITS, "session": point(awaited=[4096])}))
    for name, code, table in responses:
        yield "response_" + name, greeting_frame(RESPONSE, code, flatc("ConnectionResponse", table))
    yield "response_not_assigned", greeting_frame(RESPONSE, 6, flatc("ConnectionResponse", NEW_SESSION))
    yield "response_without_table", greeting_frame(RESPONSE, 0, b"")
    wide = [{"first": 1, "last": 2}] * 65
    controls = (("name_of_256", union("Subscribe", {"name": "n" * 256})),
                ("name_empty", union("Subscribe", {"name": ""})),
                ("name_absent", union("Subscribe", {})),
                ("source_of_256", union("Subscribe", {"name": "x", "sources": ["s" * 256]})),
                ("source_empty", union("Subscribe", {"name": "x", "sources": [""]})),
                ("key_of_256", union("Subscribe", {"name": "x", "keys": ["*", "k" * 256]})),
                ("65_sources", union("Subscribe", {"name": "x", "sources": ["s"] * 65})),
                ("65_keys", union("Subscribe", {"name": "x", "keys": ["k"] * 65})),
                ("65_event_types", union("Subscribe", {"name": "x", "event_types": wide})),
                ("seek_source_of_256", union("Seek", {"sources": ["s" * 256]})),
                ("seek_65_keys", union("Seek", {"keys": ["k"] * 65})),
                ("seek_65_event_types", union("Seek", {"event_types": wide})),
                ("unsubscribe_name_of_256", union("Unsubscribe", {"name": "n" * 256})),
                ("unsubscribe_name_absent", union("Unsubscribe", {})),
                ("expose_name_of_256", union("Expose", {"name": "n" * 256})),
                ("expose_name_absent", union("Expose", {"ttl_ms": 1})),
                ("refresh_uuid_of_15", union("Refresh", {"uuid": Raw(S[:15])})),
                ("withdraw_uuid_absent", union("Withdraw", {})),
                ("lookup_of_nothing", union("Lookup", {})),
                ("lookup_of_both", union("Lookup", {"name": "a.b", "uuid": S})),
                ("lookup_uuid_of_17", union("Lookup", {"uuid": Raw(S + b"x")})),
                ("service_ended_uuid_absent", union("ServiceEnded", {"name": "a.b@1.0.0"})),
                ("service_ended_name_absent", union("ServiceEnded", {"uuid": S})),
                ("open_channel_to_nothing", union("OpenChannel", {"metadata": Raw(b"x")})),
                ("open_channel_to_both", union("OpenChannel", {"service": "a.b", "uuid": S})),
                ("open_channel_service_of_256", union("OpenChannel", {"service": "n" * 256})),
                ("open_channel_uuid_of_15", union("OpenChannel", {"uuid": Raw(S[:15])})),
                ("close_channel_id_absent", union("CloseChannel", {})),
                ("advance_channel_id_of_17", union("AdvanceChannel", {"id": Raw(S + b"x")})),
                ("list_channels_after_17", union("ListChannels", {"after": Raw(S + b"x")})),
                ("channel_opened_of_nothing", union("ChannelOpened", {})),
                ("channel_opened_without_service", union("ChannelOpened", {"channel": {"id": S, "service_uuid": S}})),
                ("channel_closed_id_absent", union("ChannelClosed", {"reason": 1})))
    for name, table in controls:
        yield "control_" + name, frame(CONTROL, 1, flatc("Control", table))
    subscribe = flatc("Control", union("Unsubscribe", {"name": "my-alarms"}))
    text = subscribe.index(b"my-alarms")
    yield "control_text_without_its_end", frame(CONTROL, 1, subscribe[:text + 9] + b"x" + subscribe[text + 10:])
    yield "control_text_past_the_end", frame(CONTROL, 1, with_u32(subscribe, text - 4, 0x7fffffff))
    yield "control_cut", frame(CONTROL, 1, subscribe[:text])
    yield "control_empty", frame(CONTROL, 1, b"")
    yield "control_header_cut", b"\x80"
    yield "reply_without_result", frame(REPLY, 1, flatc("ControlReply", {}))
    yield "reply_failure_code_0", frame(REPLY, 1, flatc("ControlReply", outcome("Failure", {"text": "none"})))
    yield "reply_empty", frame(REPLY, 1, b"")
    back = paged(2, 0, b"", EVENT) + paged(2, 0, b"", EVENT)
    for name, table in (("cut", {"events": Raw(PAGED[:-1])}), ("back", {"events": Raw(back)}),
                        ("65_missing", {"missing": [{"first": 1, "end": 2, "reason": 0}] * 65})):
        yield "reply_page_" + name, frame(REPLY, 1, flatc("ControlReply", outcome("Page", table)))
    yield "reply_lease_uuid_of_15", frame(REPLY, 1, flatc("ControlReply", outcome("Lease", {"uuid": Raw(S[:15])})))
    for name, row in (("65", [SERVICE] * 65), ("without_name", [{"uuid": S, "owner": "x"}]),
                      ("without_owner", [{"uuid": S, "name": "a.b@1.0.0"}]),
                      ("without_uuid", [{"owner": "x", "name": "a.b@1.0.0"}]),
                      ("with_much_metadata", [{**SERVICE, "metadata": Raw(bytes(4097))}])):
        yield "reply_services_" + name, frame(REPLY, 1, flatc("ControlReply", outcome("Services", {"services": row})))
    for name, row in (("65", [CHANNEL] * 65), ("without_id", [{"service": "a.b@1.0.0", "service_uuid": S}]),
                      ("without_service_uuid", [{"id": S, "service": "a.b@1.0.0"}]),
                      ("with_much_metadata", [{**CHANNEL, "metadata": Raw(bytes(4097))}]),
                      ("with_a_long_peer", [{**CHANNEL, "peer": "p" * 256}])):
        yield "reply_channels_" + name, frame(REPLY, 1, flatc("ControlReply", outcome("Channels", {"channels": row})))
    payload = event_bytes(EVENT)
    whole = deliver(1, b"alarms", b"pump-1", 3, payload)
    for cut in (1, 2, 3, 9, 15, 16, 17, len(whole) - 1):
        yield f"deliver_cut_at_{cut}", whole[:cut]
    yield "deliver_trailing", whole + b"\0"
    yield "deliver_subscription_past_the_end", frame(DELIVER, 1, b"\xff\x01" + whole[3:])
    yield "deliver_attempt_over_64_bits", frame(DELIVER, 1, b"\0\0" + b"\xff" * 9 + b"\x02" + payload)
    yield "batch_empty", frame(BATCH, 1, b"")
    yield "batch_high_bit", frame(BATCH, 1, b"\x80" + BATCH_OF_ONE[1:])
    yield "batch_cut", frame(BATCH, 1, BATCH_OF_TWO[:-1])
    yield "batch_trailing", frame(BATCH, 1, BATCH_OF_TWO + b"\0")
    yield "batch_count_lies", frame(BATCH, 1, BATCH_OF_ONE[:11] + b"\x02" + BATCH_OF_ONE[12:])
    yield "type_12", frame(12, 0, b"")
    yield "type_15", frame(15, 4095, payload)


def without_bytes(vectors):
    return [{key: value for key, value in each.items() if key != "hex"}
            for each in vectors["frames"] + vectors["hostile"]]


def main():
    vectors = {
        "description": "Sink protocol version 1: frames without their 2-byte length prefix, written by "
                       "make_sink_v1.py with flatc. [ubyte] fields, events' keys and data and the front of "
                       "DELIVER are hex; absent fields of a table have their defaults. 'hostile' must be "
                       "refused as a protocol error, by the frame's decoder or by that of its body.",
        "frames": [for_vector(each) for each in honest()],
        "hostile": [{"name": name, "hex": data.hex()} for name, data in hostile()],
    }
    output = HERE / "sink_v1.json"
    if sys.argv[1:] == ["--check"]:
        same = without_bytes(vectors) == without_bytes(json.loads(output.read_text(encoding="utf-8")))
        sys.exit(0 if same else f"{output} is not what this writes: run {sys.argv[0]}, and read what has changed")
    output.write_text(json.dumps(vectors, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
