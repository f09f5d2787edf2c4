"""A Sink server of version 0, apart from sinkd: what an upstream that is not sinkd may be.

Takes TLS connections of one gateway, remembers its instance id, ACKs what it publishes and keeps it
in order of arrival, and can publish to it. Invariant: what stands in `received` was ACKed after it
was appended there, unless `answers` says otherwise.
"""

import socket
import ssl
import threading

import sink_v0
from sink_v0 import (Ack, ConnectionResponse, FrameSplitter, Nack, Ping, Pong,
                     Publish)


class SinkServer:
    def __init__(self, files, instance_id=0xCAFE):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.private_key)
        context.load_verify_locations(files.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        self.context = context
        self.instance_id = instance_id
        self.known = None          # the gateway's instance id
        self.requests = []         # (version, client_instance_id, server_instance_id)
        self.received = []         # events, in order
        self.answered = []         # messages ids of ours that were ACKed
        self.answers = True        # False: publishes are taken and not answered
        self.lock = threading.Lock()
        self.connections = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain):
        try:
            with self.context.wrap_socket(plain, server_side=True) as connection:
                with self.lock:
                    self.connections.add(connection)
                self._talk(connection)
        except (OSError, ssl.SSLError, sink_v0.ProtocolError):
            pass
        finally:
            plain.close()

    def _talk(self, connection):
        splitter = FrameSplitter()
        shaken = False
        while data := connection.recv(65536):
            for frame in splitter.feed(data):
                if not shaken:
                    shaken = self._handshake(connection, frame)
                    if not shaken:
                        return
                else:
                    self._on_message(connection, sink_v0.decode_frame(frame))

    def _handshake(self, connection, frame):
        version = frame[0] & 0x0F
        if version != 0:
            self.requests.append((version, None, None))
            connection.sendall(sink_v0.to_wire(ConnectionResponse(sink_v0.UNSUPPORTED_PROTOCOL_VERSION)))
            return False
        request = sink_v0.decode_frame(frame)
        self.requests.append((0, request.client_instance_id, request.server_instance_id))
        if self.known is None and request.server_instance_id is None:
            self.known = request.client_instance_id
            answer = ConnectionResponse(sink_v0.HELLO_NEW_CLIENT, self.instance_id)
        elif (self.known, self.instance_id) == (request.client_instance_id,
                                                request.server_instance_id):
            answer = ConnectionResponse(sink_v0.CONNECTED)
        else:
            answer = ConnectionResponse(sink_v0.INSTANCE_ID_MISMATCH)
        connection.sendall(sink_v0.to_wire(answer))
        return answer.response != sink_v0.INSTANCE_ID_MISMATCH

    def _on_message(self, connection, message):
        if isinstance(message, Publish):
            with self.lock:
                self.received.append(message.event)
            if self.answers:
                connection.sendall(sink_v0.to_wire(Ack(message.message_id)))
        elif isinstance(message, Ping):
            connection.sendall(sink_v0.to_wire(Pong()))
        elif isinstance(message, (Ack, Nack)):
            self.answered.append(message)

    def publish(self, message_id, event):
        """To every gateway that is connected."""
        with self.lock:
            for connection in self.connections:
                try:
                    connection.sendall(sink_v0.to_wire(Publish(message_id, event)))
                except OSError:
                    pass  # an earlier connection

    def cut(self):
        with self.lock:
            connections, self.connections = self.connections, set()
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()
        self.cut()
