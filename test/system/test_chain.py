"""Two brokers chained over a link that is slow, lossy and cut, with kills; every event accounted.

SINKD_TEST_CHAIN_SECONDS sets how long (25), SINKD_TEST_SEED the moments. By hand, and for any
time: chain_cycles.py.
"""

import os
import pathlib
import random
import shutil
import tempfile
import unittest

import chain_cycles
import log_checker
from lossy_link import why_not

SECONDS = float(os.environ.get("SINKD_TEST_CHAIN_SECONDS", "25"))
SEED = int(os.environ.get("SINKD_TEST_SEED", str(random.randrange(2**32))))


@unittest.skipIf(why_not(), why_not())
class Chain(unittest.TestCase):
    def test_every_event_is_accounted_for_in_both_directions(self):
        logs = pathlib.Path(tempfile.mkdtemp(prefix="sinkd-chain-"))
        with self.subTest(seed=SEED, logs=logs):
            summary = chain_cycles.run(SECONDS, SEED, logs)
            print(summary.text())
            self.assertEqual(summary.violations, [], summary.text())
            for verdict in (summary.up, summary.down):
                self.assertGreater(verdict.accepted, 100)
            self.assert_the_judge_was_awake(logs / "up")
            shutil.rmtree(logs)  # kept where anything was wrong

    def assert_the_judge_was_awake(self, directory):
        """The same logs, with one event taken out of one of them, are a loss."""
        log = directory / "legacy.log"
        lines = log.read_text().splitlines()
        event = next(line for line in lines if line.startswith("delivered ")).split()[1:4]
        log.write_text("\n".join(line for line in lines if line.split()[1:4] != event))
        found = log_checker.judge_directory(directory).violations
        self.assertEqual(len(found), 1, found)
        self.assertIn("never delivered", found[0])


if __name__ == "__main__":
    unittest.main()
