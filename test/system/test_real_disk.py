"""Power cuts of a real ext4, a few of each kind; skipped, with a word, where the machine lacks what
they need. Any number by hand: power_cuts.py and block_prefixes.py.
"""

import os
import pathlib
import random
import tempfile
import unittest

import block_prefixes
import kill_cycles
from ext4_disk import Ext4Disk, Lacking
from power_cuts import PowerCut
from recorded_disk import FLUSH, read_entries

SEED = int(os.environ.get("SINKD_TEST_SEED", str(random.randrange(2**32))))
CUTS, STATES, EVENTS = 10, 10, 200


class RealDisk(unittest.TestCase):
    def test_power_cuts_under_load(self):
        try:
            disk = Ext4Disk()
        except Lacking as lack:
            self.skipTest(f"this needs {lack}")
        self.addCleanup(disk.close)
        with tempfile.TemporaryDirectory(prefix="sinkd-cuts-") as logs, self.subTest(seed=SEED):
            try:
                summary = kill_cycles.run(CUTS, SEED, logs, PowerCut(disk), disk.path / "data")
            except Lacking as lack:
                self.skipTest(f"this needs {lack}")
            self.assertEqual(summary.verdict.violations, [], summary.text())
            self.assertGreater(summary.verdict.accepted, CUTS)

    def test_what_partial_block_writes_leave(self):
        with self.subTest(seed=SEED):
            try:
                tried, wrong = block_prefixes.run(STATES, EVENTS, SEED)
            except Lacking as lack:
                self.skipTest(f"this needs {lack}")
            self.assertEqual(wrong, [])
            self.assertEqual(tried, STATES)


class Record(unittest.TestCase):
    def test_entries_are_read_to_the_last_whole_one(self):
        sector = 512
        head = (0x6A736677736872).to_bytes(8, "little") + bytes(16)
        head += sector.to_bytes(4, "little")

        def entry(at, sectors, flags, data=b""):
            fields = (at, sectors, flags, 0)
            return b"".join(f.to_bytes(8, "little") for f in fields).ljust(sector, b"\0") + data
        text = head.ljust(sector, b"\0") + entry(8, 1, 0, b"a" * sector) + entry(0, 0, FLUSH)
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, "record")
            path.write_bytes(text + entry(9, 2, 0, b"torn"))
            first, flush = read_entries(path)
            self.assertEqual((first.offset, first.length), (8 * sector, sector))
            self.assertFalse(first.flushes)
            self.assertEqual((flush.length, flush.flushes, flush.end), (0, True, len(text)))
            path.write_bytes(b"something else".ljust(2 * sector))
            with self.assertRaises(ValueError):
                read_entries(path)


if __name__ == "__main__":
    unittest.main()
