"""An ext4 file system of its own in a file, on a loop device: for tests that cut its power.

Responsible for making, mounting and removing it, and for saying what this machine lacks; not for
what runs on it. Needs root. Invariant: no mount, loop device or file outlives close().
"""

import fcntl
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile

from sink_peer import wait_until

EXT4_IOC_SHUTDOWN = 0x8004587D   # _IOR('X', 125, __u32), linux/fs/ext4/ext4.h
GOING_FLAGS_NOLOGFLUSH = 2       # what the journal has not written is gone: a power cut


class Lacking(Exception):
    """What this machine would need for the test, in words."""


def _run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip()
        raise Lacking(f"{' '.join(map(str, command))}: {said}")
    return done.stdout.strip()


def require(*programs):
    """Raises Lacking with a word for what is missing: root, a loop device, or a program."""
    if os.geteuid() != 0:
        raise Lacking("root: nobody else mounts file systems")
    if not pathlib.Path("/dev/loop-control").exists():
        raise Lacking("a kernel with loop devices (/dev/loop-control)")
    for program in programs:
        if shutil.which(program) is None:
            raise Lacking(f"the program {program}")


class Ext4Disk:
    """Made, mounted at `path`; `image` is the file or device it lies on."""

    def __init__(self, mib=128, image=None):
        require("mkfs.ext4", "mount", "umount")
        self._directory = pathlib.Path(tempfile.mkdtemp(prefix="sinkd-ext4-"))
        self.path = self._directory / "mounted"
        self.path.mkdir()
        self._own = image is None
        self.image = pathlib.Path(image or self._directory / "image")
        try:
            if self._own:
                with open(self.image, "wb") as file:
                    file.truncate(mib << 20)
            self.make()
            self.mount()
        except Lacking:
            self.close()
            raise

    def make(self):
        _run("mkfs.ext4", "-q", "-F", self.image)

    def mount(self):
        _run("mount", "-t", "ext4", "-o", "loop", self.image, self.path)

    def unmount(self):
        """Waits for whoever still has it open."""
        def gone():
            return subprocess.run(["umount", self.path], capture_output=True,
                                  check=False).returncode == 0
        wait_until(gone, f"{self.path} is unmounted", interval=0.02)

    def cut_power(self):
        """From now on every write fails, and what was not flushed is gone after the next mount."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", GOING_FLAGS_NOLOGFLUSH))
        except OSError as error:
            raise Lacking(f"the ioctl EXT4_IOC_SHUTDOWN: {error.strerror}") from error
        finally:
            os.close(descriptor)

    def close(self):
        if os.path.ismount(self.path):
            subprocess.run(["umount", "--lazy", self.path], check=True)
        shutil.rmtree(self._directory)
