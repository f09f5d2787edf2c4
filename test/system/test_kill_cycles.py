"""kill -9 of the real broker under TLS load, a hundred times; the clients' own logs judge.

SINKD_TEST_KILLS sets the number of kills (100), SINKD_TEST_SEED their moments. By hand, and for
any number: kill_cycles.py.
"""

import os
import pathlib
import random
import shutil
import tempfile
import unittest

import kill_cycles
import log_checker

KILLS = int(os.environ.get("SINKD_TEST_KILLS", "100"))
SEED = int(os.environ.get("SINKD_TEST_SEED", str(random.randrange(2**32))))


class KillCycles(unittest.TestCase):
    def test_nothing_is_lost_reordered_or_repeated_without_a_reason(self):
        logs = tempfile.mkdtemp(prefix="sinkd-kills-")
        with self.subTest(seed=SEED, logs=logs):
            summary = kill_cycles.run(KILLS, SEED, logs)
            print(summary.text())
            self.assertEqual(summary.verdict.violations, [], summary.text())
            self.assertEqual(sum(summary.kinds.values()), KILLS)
            self.assertGreaterEqual(summary.verdict.accepted, KILLS)
            self.assertTrue(log_checker.notices_a_loss(pathlib.Path(logs, "backend.log")), "the judge was awake")
            shutil.rmtree(logs)  # kept where anything was wrong


if __name__ == "__main__":
    unittest.main()
