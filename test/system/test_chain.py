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
            self.assertTrue(log_checker.notices_a_loss(logs / "up" / "legacy.log"))
            shutil.rmtree(logs)  # kept where anything was wrong


if __name__ == "__main__":
    unittest.main()
