"""A TCP proxy whose connections can be cut: what is under way in either direction is lost."""

import socket
import struct
import threading

LINGER_NONE = struct.pack("ii", 1, 0)  # close() resets: unsent bytes are thrown away


class CutProxy:
    """Forwards to `target`, a (host, port); cut() resets connections, both ends; a silent one takes
    bytes and carries none."""

    def __init__(self, target):
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.lock = threading.Lock()
        self.pairs = []
        self.silent = set()  # ends
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

    def _pump(self, source, sink):
        try:
            while data := source.recv(65536):
                if source not in self.silent:
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def silence(self, index):
        """The connection that was accepted at that place, of those that were not cut."""
        with self.lock:
            self.silent.update(self.pairs[index])

    def cut(self, index=None):
        """All, or the one at that place; how many connections were cut."""
        with self.lock:
            pairs = self.pairs if index is None else [self.pairs[index]]
            self.pairs = [pair for pair in self.pairs if pair not in pairs]
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
