"""An ext4 whose block writes and flushes are recorded, and the disks that a power cut could leave.

Responsible for qemu-storage-daemon's blklogwrites driver (whose file has the format of
dm-log-writes, Documentation/admin-guide/device-mapper/log-writes.rst), and for building images from
what it wrote; not for judging them. Needs root, FUSE and loop devices. Invariant: an image holds
every write that a recorded flush vouches for, and of the later ones those that were chosen.
"""

import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass

from ext4_disk import Ext4Disk, Lacking, require
from sink_peer import wait_until

SECTOR = 512
MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD = 1, 2, 4


@dataclass(frozen=True)
class Entry:
    """One recorded request; `end` is where it ends in the record."""

    flags: int
    offset: int
    length: int
    data_at: int
    end: int

    @property
    def flushes(self):
        return bool(self.flags & FLUSH)


def read_entries(path):
    """The requests of a record, in order."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        magic, _version, _count, sector_size = struct.unpack("<QQQI", file.read(28))
        if magic != MAGIC:
            raise ValueError(f"{path} is no record of block writes")
        entries, at = [], sector_size
        while at + sector_size <= size:
            file.seek(at)
            sector, sectors, flags, _data = struct.unpack("<QQQQ", file.read(32))
            length = sectors * sector_size
            stored = 0 if flags & DISCARD else length
            end = at + sector_size + stored
            if end > size or (sectors == 0 and not flags):
                break
            entries.append(Entry(flags, sector * sector_size, length, at + sector_size, end))
            at = end
    return entries


class RecordedDisk:
    """Mounted at `path`, recorded until stop()."""

    def __init__(self, mib=64):
        require("qemu-storage-daemon", "mkfs.ext4", "losetup")
        if not pathlib.Path("/dev/fuse").exists():
            raise Lacking("a kernel with FUSE (/dev/fuse)")
        self._directory = pathlib.Path(tempfile.mkdtemp(prefix="sinkd-recorded-"))
        self._image, self._base = self._directory / "image", self._directory / "base"
        self._exported = self._directory / "exported"
        self.record = self._directory / "record"
        self._server = self._disk = None
        try:
            for path, size in ((self._image, mib << 20), (self.record, 0), (self._exported, 0)):
                with open(path, "wb") as file:
                    file.truncate(size)
            shutil.copyfile(self._image, self._base)
            self._start_server(mib << 20)
            self._disk = Ext4Disk(image=self._exported)
        except (Lacking, AssertionError):
            self.close()
            raise

    def _start_server(self, size):
        self._server = subprocess.Popen(
            ["qemu-storage-daemon",
             "--blockdev", f"driver=file,node-name=data,filename={self._image}",
             "--blockdev", f"driver=file,node-name=journal,filename={self.record}",
             "--blockdev", "driver=blklogwrites,node-name=logged,file=data,log=journal",
             "--export", f"type=fuse,id=door,node-name=logged,mountpoint={self._exported},"
                         "writable=on"],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

        def serves():
            if self._server.poll() is not None:
                raise Lacking(f"qemu-storage-daemon with blklogwrites and FUSE: "
                              f"{self._server.stderr.read().strip()}")
            return os.path.getsize(self._exported) == size
        wait_until(serves, "the recorded disk")

    @property
    def path(self):
        return self._disk.path

    def recorded(self):
        """Bytes of the record so far: whatever the disk has vouched for lies within."""
        return os.path.getsize(self.record)

    def stop(self):
        """Ends the recording, as a power cut would: nothing is written any more."""
        if self._disk:
            self._disk.cut_power()
            self._disk.unmount()
            self._disk.close()
            self._disk = None
        if self._server:
            self._server.terminate()
            self._server.wait()
            self._server = None

    def close(self):
        try:
            self.stop()
        finally:
            shutil.rmtree(self._directory)

    def states(self, choices, rng):
        """Yields (prefix, image file) for ascending prefixes: every write up to the last flush in
        the prefix, and of those behind it a random subset (or all, one time in two)."""
        entries = read_entries(self.record)
        durable, image = self._directory / "durable", self._directory / "state"
        shutil.copyfile(self._base, durable)
        applied = 0
        with open(self.record, "rb") as record:
            for prefix in sorted(choices(entries)):
                flushed = max((i + 1 for i in range(applied, prefix) if entries[i].flushes),
                              default=applied)
                self._apply(record, durable, entries[applied:flushed])
                applied = max(applied, flushed)
                shutil.copyfile(durable, image)
                tail = entries[applied:prefix]
                if rng.random() < 0.5:
                    tail = [entry for entry in tail if rng.random() < 0.5]
                self._apply(record, image, tail)
                yield entries[prefix - 1].end, image

    @staticmethod
    def _apply(record, image, entries):
        with open(image, "r+b") as out:
            for entry in entries:
                record.seek(entry.data_at)
                data = bytes(entry.length) if entry.flags & DISCARD else record.read(entry.length)
                out.seek(entry.offset)
                out.write(data)
