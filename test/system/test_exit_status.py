"""How sinkd and sinkctl end: the statuses of the manuals, and stores that another version wrote."""

import pathlib
import re
import shutil
import unittest

from crc32c import crc32c
from daemon_fixture import SystemTest, events, subscription
from pki_fixture import run_sinkctl

ROOT = pathlib.Path(__file__).resolve().parents[2]
STORE_NOT_READABLE = 65
MINIMUM_READER_AT = 10  # in the store file, in segment headers and in snapshots


def contents(directory):
    """Every file of a store with its bytes; the lock has none."""
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "lock"}


def need_newer_reader(path, store_id, crc_at, seeded):
    """Rewrites a header as a later version would, its checksum made to hold."""
    data = bytearray(path.read_bytes())
    version = int.from_bytes(data[MINIMUM_READER_AT:MINIMUM_READER_AT + 2], "little") + 1
    data[MINIMUM_READER_AT:MINIMUM_READER_AT + 2] = version.to_bytes(2, "little")
    seed = crc32c(store_id) if seeded else 0
    data[crc_at:crc_at + 4] = crc32c(bytes(data[:crc_at]), seed).to_bytes(4, "little")
    path.write_bytes(data)


class StoreOfAnotherVersion(SystemTest):
    def stopped(self):
        """A stopped broker with three events in its store, and the store's id."""
        daemon = self.daemon(subscriptions=[subscription()])
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(3)))
        self.assertEqual(daemon.stop(), 0)
        return daemon, (daemon.data_dir / "store").read_bytes()[16:32]

    def assert_refused_untouched(self, daemon):
        before = contents(daemon.data_dir)
        daemon.start(wait=False)
        self.assertEqual(daemon.wait_exit(), STORE_NOT_READABLE, daemon.stderr_text())
        said = daemon.stderr_text().splitlines()[-1]
        self.assertIn("written by a newer sinkd", said)
        self.assertIn("start that version", said)
        self.assertIn(str(daemon.data_dir), said)
        self.assertEqual(contents(daemon.data_dir), before, "the store was touched")

    def assert_works_again(self, daemon, original):
        shutil.rmtree(daemon.data_dir)
        shutil.copytree(original, daemon.data_dir)
        daemon.start()
        self.assertEqual([d.event for d in self.client(daemon, "backend").wait_deliveries(3)],
                         events(3))

    def spoil_and_try(self, pattern, crc_at, seeded):
        daemon, store_id = self.stopped()
        original = daemon.directory / "original"
        shutil.copytree(daemon.data_dir, original)
        names = sorted(daemon.data_dir.glob(pattern))
        self.assertTrue(names, pattern)
        need_newer_reader(names[-1], store_id, crc_at, seeded)
        self.assert_refused_untouched(daemon)
        self.assert_works_again(daemon, original)

    def test_the_store_file(self):
        self.spoil_and_try("store", 44, seeded=False)

    def test_a_segment(self):
        self.spoil_and_try("*.segment", 60, seeded=True)

    def test_a_rotten_version_is_rot_and_not_a_newer_version(self):
        daemon, _ = self.stopped()
        segment = sorted(daemon.data_dir.glob("*.segment"))[-1]
        data = bytearray(segment.read_bytes())
        data[MINIMUM_READER_AT] ^= 1 << 5
        segment.write_bytes(data)
        daemon.start()
        self.assertEqual(len(self.client(daemon, "backend").wait_deliveries(3)), 3)

    def test_half_a_store(self):
        daemon, _ = self.stopped()
        (daemon.data_dir / "store").unlink()
        before = contents(daemon.data_dir)
        daemon.start(wait=False)
        self.assertEqual(daemon.wait_exit(), STORE_NOT_READABLE, daemon.stderr_text())
        self.assertEqual(contents(daemon.data_dir), before, "the store was touched")


class Manuals(unittest.TestCase):
    """The statuses that a manual lists are those of the source, no more and no fewer."""

    def in_source(self, path):
        text = (ROOT / path).read_text()
        body = text[text.index("enum class ExitStatus"):]
        return {int(n) for n in re.findall(r"= (\d+)", body[:body.index("};")])}

    def section(self, manual):
        text = (ROOT / "packaging" / "man" / manual).read_text()
        return text.split("# EXIT STATUS\n", 1)[1].split("\n# ", 1)[0]

    def test_sinkd(self):
        listed = {int(n) for n in re.findall(r"^\|  (\d+)$", self.section("sinkd.8.scd"), re.M)}
        self.assertEqual(listed, self.in_source("daemon/exit_status.h"))

    def test_sinkctl(self):
        listed = {int(n) for n in re.findall(r"^\*(\d+)\*$", self.section("sinkctl.1.scd"), re.M)}
        self.assertEqual(listed, self.in_source("tools/sinkctl/exit_status.h"))


class Sinkctl(SystemTest):
    def test_bad_data_is_65(self):
        daemon = self.daemon()
        wrong = daemon.directory / "wrong.toml"
        wrong.write_text('[[subscription]]\nname = "x"\nconsumr = "y"\n')
        client = self.client(daemon, "meter-1")
        for arguments in (["sub", "add", "--file", wrong], ["client", "release", "meter-1"],
                          ["client", "adopt", "meter-1"]):
            with self.subTest(arguments=arguments):
                done = daemon.ctl(*arguments, check=False)
                self.assertEqual(done.returncode, 65, done)
                self.assertTrue(done.stderr)
        client.close()

    def test_destroying_unasked_is_64_and_a_wrong_configuration_78(self):
        daemon = self.daemon()
        self.assertEqual(daemon.ctl("event", "drop", "--all", check=False).returncode, 64)
        daemon.config_path.write_text("[server]\nnmae = 1\n")
        self.assertEqual(daemon.ctl("config", "reload", check=False).returncode, 78)
        self.assertEqual(run_sinkctl("config", "check", daemon.config_path,
                                     check=False).returncode, 78)

    def test_no_store_is_69_and_a_damaged_one_65(self):
        daemon = self.daemon(subscriptions=[subscription()])
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(50)))
        self.assertEqual(daemon.stop(), 0)
        nowhere = daemon.directory / "nowhere"
        self.assertEqual(run_sinkctl("log", "verify", nowhere, check=False).returncode, 69)
        segment = sorted(daemon.data_dir.glob("*.segment"))[0]
        data = bytearray(segment.read_bytes())
        data[64 + 64 + 20] ^= 1  # in the first batch's first records
        segment.write_bytes(data)
        done = run_sinkctl("log", "verify", daemon.data_dir, check=False)
        self.assertEqual(done.returncode, 65, done)


if __name__ == "__main__":
    unittest.main()
