"""The test's side of fault_shim: which call of a running sinkd fails, when, and with what errno.

Responsible for the file that both map; the other side is fault_shim/fault_shim.cc. A plan may be
changed while the broker runs. Invariant: a call that is not armed is only counted.
"""

import mmap
import os
import struct
import tempfile

from pki_fixture import build_dir
from sink_peer import wait_until

OFF, ONCE, ALWAYS, HOLD, SHORTEN = range(5)
CALLS = (
    "open", "openat", "fopen", "fdopendir", "readdir", "pread", "pwrite", "fdatasync", "fsync",
    "fallocate", "ftruncate", "renameat", "unlinkat", "unlink", "mkdir", "flock", "fstat", "lstat",
    "fstatvfs", "chmod", "fchmod", "getrandom", "socket", "bind", "listen", "connect", "accept4",
    "shutdown", "getsockopt", "setsockopt", "getsockname", "getpeername", "epoll_create1",
    "epoll_ctl", "epoll_wait", "eventfd", "pipe2", "ioctl", "fcntl", "read", "write", "writev",
    "readv", "recv", "send", "sendmsg", "recvmsg", "pthread_create", "malloc")

_SLOT = struct.Struct("<24sQQQQii")
_SLOTS = 64
_PLACES = 1 << 16
_PLACES_AT = _SLOTS * _SLOT.size
_FILE_BYTES = _PLACES_AT + 16 + 8 * _PLACES
_CALLS_AT, _FROM_AT, _STRUCK_AT, _HELD_AT, _ERROR_AT, _MODE_AT = 24, 32, 40, 48, 56, 60


class FaultPlan:
    """One file of slots, for one broker at a time."""

    def __init__(self):
        descriptor, self.path = tempfile.mkstemp(prefix="sinkd-faults-")
        with os.fdopen(descriptor, "r+b") as file:
            file.truncate(_FILE_BYTES)
            self._map = mmap.mmap(file.fileno(), _FILE_BYTES)
        self._at = {name: index * _SLOT.size for index, name in enumerate(CALLS)}
        self.clear()

    def close(self):
        self._map.close()
        os.unlink(self.path)

    def environment(self):
        shim = build_dir().resolve() / "test" / "system" / "fault_shim" / "fault_shim.so"
        if not shim.exists():
            raise FileNotFoundError(f"{shim} is not built: every run would pass")
        return {"LD_PRELOAD": str(shim), "SINKD_FAULTS": self.path}

    def clear(self):
        """Nothing armed, nothing counted."""
        for name, at in self._at.items():
            _SLOT.pack_into(self._map, at, name.encode(), 0, 0, 0, 0, 0, OFF)

    def arm(self, call, error=0, mode=ONCE, number=0):
        """Strikes the `number`th call (0: the next) once, or from then on, as `mode` says."""
        at = self._at[call]
        struct.pack_into("<Q", self._map, at + _FROM_AT, number)
        struct.pack_into("<i", self._map, at + _ERROR_AT, error)
        struct.pack_into("<i", self._map, at + _MODE_AT, mode)

    def note_places(self):
        """From here on each place that allocates, told by its nearest callers, is noted."""
        struct.pack_into("<QQ", self._map, _PLACES_AT, 1, 0)

    def places(self):
        """Of each place the number of the first allocation that it made."""
        count = struct.unpack_from("<Q", self._map, _PLACES_AT + 8)[0]
        return struct.unpack_from(f"<{count}Q", self._map, _PLACES_AT + 16)

    def disarm(self, call):
        """No further strike; calls held back go on."""
        struct.pack_into("<i", self._map, self._at[call] + _MODE_AT, OFF)

    def _counter(self, call, at):
        return struct.unpack_from("<Q", self._map, self._at[call] + at)[0]

    def calls(self, call):
        return self._counter(call, _CALLS_AT)

    def struck(self, call):
        return self._counter(call, _STRUCK_AT)

    def held(self, call):
        return self._counter(call, _HELD_AT)

    def wait_held(self, call):
        wait_until(lambda: self.held(call) > 0, f"{call} is held back", interval=0.002)
