"""The Python codec against the golden vectors: the judge is judged first."""

import json
import os
import pathlib
import unittest

import sink_v0
from sink_v0 import (Ack, ConnectionRequest, ConnectionResponse, Event, FrameSplitter, Nack, Ping,
                     Pong, ProtocolError, Publish)

VECTORS = pathlib.Path(os.environ.get(
    "SINK_VECTORS", pathlib.Path(__file__).parent.parent / "vectors" / "sink_v0.json"))


def load_vectors():
    return json.loads(VECTORS.read_text())


def message_of(fields):
    """The message that a vector describes."""
    kind = fields["type"]
    if kind == "connection_request":
        return ConnectionRequest(fields["client_instance_id"], fields["server_instance_id"],
                                 fields["application_version"].encode(),
                                 fields["protocol_version"])
    if kind == "connection_response":
        number = {name: n for n, name in sink_v0.RESPONSE_NAMES.items()}[fields["response"]]
        return ConnectionResponse(number, fields.get("server_instance_id"),
                                  bytes.fromhex(fields.get("machine", "")),
                                  fields.get("human", "").encode())
    if kind == "publish":
        event = fields["event"]
        return Publish(fields["message_id"], Event(
            event["event_type_id"], bytes.fromhex(event["key"]), event["offset"],
            event["timestamp"], bytes.fromhex(event["event_data"]), event["schema_version"]))
    if kind == "nack":
        return Nack(fields["message_id"], bytes.fromhex(fields["machine"]),
                    fields["human"].encode())
    return {"ack": lambda: Ack(fields["message_id"]), "ping": Ping, "pong": Pong}[kind]()


class Codec(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.vectors = load_vectors()

    def test_frames_decode_to_their_messages(self):
        for vector in self.vectors["frames"] + self.vectors["lenient"]:
            with self.subTest(vector["name"]):
                message = sink_v0.decode_frame(bytes.fromhex(vector["hex"]))
                self.assertEqual(message, message_of(vector["message"]))

    def test_messages_encode_byte_for_byte(self):
        for vector in self.vectors["frames"]:
            with self.subTest(vector["name"]):
                frame = sink_v0.encode_frame(message_of(vector["message"]))
                self.assertEqual(frame.hex(), vector["hex"])

    def test_hostile_frames_are_refused(self):
        for vector in self.vectors["hostile"]:
            with self.subTest(vector["name"]), self.assertRaises(ProtocolError):
                sink_v0.decode_frame(bytes.fromhex(vector["hex"]))

    def test_every_truncation_is_refused_or_decodes(self):
        for vector in self.vectors["frames"]:
            frame = bytes.fromhex(vector["hex"])
            for cut in range(len(frame)):
                try:
                    sink_v0.decode_frame(frame[:cut])
                except ProtocolError:
                    continue

    def test_varints_round_trip_at_their_edges(self):
        for bits in range(65):
            for value in (2**bits - 1, 2**bits):
                if value <= sink_v0.U64_MAX:
                    reader = sink_v0.Reader(sink_v0.encode_varint(value))
                    self.assertEqual(reader.varint("edge"), value)
                    self.assertEqual(reader.remaining(), 0)
        with self.assertRaises(ValueError):
            sink_v0.encode_varint(2**64)


class Splitter(unittest.TestCase):
    def test_frames_survive_every_cut(self):
        frames = [b"", b"\x30\x00", b"x" * 300]
        stream = b"".join(sink_v0.with_length(frame) for frame in frames)
        for cut in range(len(stream) + 1):
            splitter = FrameSplitter()
            got = splitter.feed(stream[:cut]) + splitter.feed(stream[cut:])
            self.assertEqual(got, frames)
            self.assertEqual(splitter.pending_bytes(), 0)

    def test_the_longest_frame_is_65535_bytes(self):
        frame = b"y" * sink_v0.FRAME_BYTES_MAX
        self.assertEqual(FrameSplitter().feed(sink_v0.with_length(frame)), [frame])
        with self.assertRaises(ValueError):
            sink_v0.with_length(frame + b"y")


if __name__ == "__main__":
    unittest.main()
