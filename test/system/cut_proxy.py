"""A TCP proxy whose connections can be cut: what is under way in either direction is lost."""

import socket
import struct
import threading

LINGER_NONE = struct.pack("ii", 1, 0)  # close() resets: unsent bytes are thrown away


class CutProxy:
    """Forwards to `target`, a (host, port); cut() resets every connection, both ends."""

    def __init__(self, target):
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.lock = threading.Lock()
        self.pairs = []
        self.accepted = 0
        self.closing = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self.target)
            except OSError:
                near.close()
                continue
            with self.lock:
                if self.closing:
                    near.close()
                    far.close()
                    return
                self.pairs.append((near, far))
                self.accepted += 1
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def cut(self):
        """How many connections were cut."""
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for end in pair:
                try:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # its other side was first
                end.close()
        return len(pairs)

    def close(self):
        with self.lock:
            self.closing = True
        self.listener.close()
        self.cut()
