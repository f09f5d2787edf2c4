"""A network of two hosts with one link between them that is slow, loses packets, and can be cut.

Responsible for two network namespaces, a TUN device in each, and the forwarder between them; what
runs on the hosts is the caller's. Needs root and /dev/net/tun, and no module of the kernel: the
forwarder is this file, run as a process of its own.
"""

import collections
import ctypes
import fcntl
import os
import pathlib
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

NEAR, FAR = "10.99.0.1", "10.99.0.2"

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_CLONE_NEWNET = 0x40000000
_TCP, _SYN = 6, 0x02
_LIBC = ctypes.CDLL(None, use_errno=True)


def _check(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _open_tun(name):
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return tun


def _configure(name, address, congestion):
    pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").write_text(congestion)
    for command in ("link set lo up", f"addr add {address}/24 dev {name}", f"link set {name} up"):
        subprocess.run(["ip", *command.split()], check=True)


def why_not():
    """Why this machine can have no such link; None where it can."""
    if os.geteuid() != 0:
        return "needs root: two network namespaces"
    if not os.path.exists("/dev/net/tun"):
        return "needs /dev/net/tun"
    if shutil.which("ip") is None:
        return "needs the program ip (Debian package iproute2)"
    child = os.fork()
    if child == 0:
        try:
            _check(_LIBC.unshare(_CLONE_NEWNET))
            _open_tun("probe0")
            _configure("probe0", NEAR, "reno")
            os._exit(0)
        except (OSError, subprocess.SubprocessError):
            os._exit(1)
    if os.waitpid(child, 0)[1] != 0:
        return "no network namespace or no TUN device may be made here"
    return None


class LossyLink:
    """From here on this process is on the near host; enter_far() moves to the far one."""

    def __init__(self, round_trip_ms, loss, congestion="reno"):
        here, there = socket.socketpair()
        self._far = os.fork()
        if self._far == 0:
            here.close()
            try:
                _check(_LIBC.unshare(_CLONE_NEWNET))
                tun = _open_tun("far0")
                _configure("far0", FAR, congestion)
                socket.send_fds(there, [b"t"], [tun])
                there.recv(1)  # until the near side is gone
            finally:
                os._exit(0)
        there.close()
        self._alive = here
        fds = socket.recv_fds(here, 1, 1)[1]
        if not fds:
            raise OSError("the far host cannot be made: see above, or a TUN device is missing")
        far = fds[0]
        self._far_namespace = os.open(f"/proc/{self._far}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _check(_LIBC.unshare(_CLONE_NEWNET))
        near = _open_tun("near0")
        _configure("near0", NEAR, congestion)
        self._forwarder = subprocess.Popen(
            [sys.executable, __file__, str(near), str(far), str(round_trip_ms), str(loss)],
            pass_fds=(near, far), stdout=subprocess.PIPE, text=True)
        os.close(near)
        os.close(far)

    def enter_far(self):
        """For the calling thread: in a child between fork and exec, or one that stays there."""
        _check(_LIBC.setns(self._far_namespace, _CLONE_NEWNET))

    def cut(self):
        """From here on nothing gets through, and nobody is told."""
        self._forwarder.send_signal(signal.SIGUSR1)

    def mend(self):
        self._forwarder.send_signal(signal.SIGUSR2)

    def close(self):
        """What the forwarder has seen: packets and bytes up (near to far), packets lost, and when
        (monotonic, seconds) the near host began connections."""
        if self._forwarder is None:
            return self._seen
        self._forwarder.terminate()
        seen = self._forwarder.communicate()[0].split()
        self._alive.close()
        os.waitpid(self._far, 0)
        os.close(self._far_namespace)
        self._forwarder = None
        self._seen = {"packets_up": int(seen[0]), "bytes_up": int(seen[1]), "lost": int(seen[2]),
                "connects": [float(moment) for moment in seen[3:]]}
        return self._seen


def forward(near, far, delay_s, loss, is_cut):
    """Until SIGTERM. Packets of one direction keep their order, as on one path."""
    chance = random.Random(1)
    waiting = {near: collections.deque(), far: collections.deque()}  # by where they go
    packets_up = bytes_up = lost = 0
    connects = []
    poll = select.poll()
    poll.register(near, select.POLLIN)
    poll.register(far, select.POLLIN)
    os.set_blocking(near, False)
    os.set_blocking(far, False)
    try:
        while True:
            now = time.monotonic()
            due = min((queue[0][0] for queue in waiting.values() if queue), default=now + 1)
            for source, _ in poll.poll(max(0, (due - now) * 1000)):
                target = far if source == near else near
                for _ in range(64):
                    try:
                        packet = os.read(source, 2048)
                    except BlockingIOError:
                        break
                    if source == near:
                        packets_up += 1
                        bytes_up += len(packet)
                        if packet[9] == _TCP and packet[4 * (packet[0] & 15) + 13] == _SYN:
                            connects.append(time.monotonic())
                    if is_cut.is_set() or chance.random() < loss:
                        lost += 1
                    else:
                        waiting[target].append((time.monotonic() + delay_s, packet))
            now = time.monotonic()
            for target, queue in waiting.items():
                while queue and queue[0][0] <= now:
                    os.write(target, queue.popleft()[1])
    except SystemExit:
        print(packets_up, bytes_up, lost, *connects, flush=True)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    is_cut = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: is_cut.set())
    signal.signal(signal.SIGUSR2, lambda *_: is_cut.clear())
    near, far, round_trip_ms, loss = sys.argv[1:]
    forward(int(near), int(far), float(round_trip_ms) / 2000, float(loss), is_cut)


if __name__ == "__main__":
    main()
