"""Every call of sinkd fails, one by one: a fixed sample of fault_matrix.py, and its own judgement.

The whole of it, by hand: fault_matrix.py --all --allocations 0.
"""

import errno
import types
import unittest

import fault_matrix
from fault_matrix import Case, cases_of, select, spread, verdict
from fault_plan import ALWAYS, CALLS, ONCE


def life(**seen):
    """What a life without any trouble would have shown, but for `seen`."""
    orderly = {"status": 0, "ended_by_itself": False, "trouble": None, "struck": 1, "loss": None,
               "complaint": None}
    return types.SimpleNamespace(**{**orderly, **seen})


WRITE_FAILS = Case("pwrite", 3, errno.EIO, ONCE)


class Judgement(unittest.TestCase):
    def test_an_orderly_life_passes(self):
        self.assertIsNone(verdict(WRITE_FAILS, life()))
        self.assertIsNone(verdict(WRITE_FAILS, life(status=74, ended_by_itself=True,
                                                    trouble="disconnected")))

    def test_what_is_not_orderly_is_found(self):
        for words, seen in (("ended with -6", {"status": -6}), ("ended with 1", {"status": 1}),
                            ("SIGTERM", {"status": None}), ("lost", {"loss": "lost"}),
                            ("serve on", {"trouble": "no answer"}),
                            ("sanitizer", {"complaint": "a sanitizer"})):
            with self.subTest(words):
                self.assertIn(words, verdict(WRITE_FAILS, life(**seen)))

    def test_only_where_the_library_aborts_may_70_be(self):
        self.assertIn("70", verdict(WRITE_FAILS, life(status=70, ended_by_itself=True)))
        self.assertIsNone(verdict(Case("epoll_ctl", 1, errno.ENOSPC, ONCE), life(status=70)))

    def test_trouble_that_lasts_is_no_fault_of_a_fault_that_lasts(self):
        self.assertIsNone(verdict(Case("accept4", 1, errno.EMFILE, ALWAYS), life(trouble="alone")))

    def test_every_call_has_errnos(self):
        self.assertEqual(set(fault_matrix.ERRNOS), set(CALLS))
        for names in fault_matrix.ERRNOS.values():
            self.assertTrue(all(hasattr(errno, name) for name in names), names)

    def test_cases_are_each_number_once_and_from_then_on(self):
        cases = list(cases_of("flock", 2, (1, 2)))
        self.assertEqual(len(cases), 2 * 3 + 2 * 2, "three errnos; EINTR not from then on")

    def test_the_sample_is_the_same_every_time_and_bounded(self):
        counts = {call: 20 for call in CALLS}
        def choose(**options):
            return select(counts, range(1, 21), first_allocation=5,
                          **{"everything": False, "only": (), "allocations": 10, **options})
        chosen = choose()
        self.assertEqual(chosen, choose())
        self.assertEqual(len(chosen), fault_matrix.SAMPLE_CALLS + 10)
        self.assertGreater(len({case.call for case in chosen}), len(CALLS) * 3 / 4)
        self.assertTrue(all(case.number >= 5 for case in chosen if case.call == "malloc"))
        every = choose(only=("malloc",), allocations=0)
        self.assertEqual({case.number for case in every}, set(range(5, 21)))

    def test_spread_keeps_both_ends(self):
        self.assertEqual(spread(range(10), 4), [0, 3, 6, 9])
        self.assertEqual(spread(range(3), 4), [0, 1, 2])
        self.assertEqual(spread(range(3), 0), [])


class Faults(unittest.TestCase):
    def test_every_fault_of_the_sample_ends_in_order(self):
        matrix = fault_matrix.run()
        print(matrix.text())
        self.assertEqual([f"{case}: {wrong}" for case, wrong in matrix.disorderly], [])
        reached = sum(count for name, count in matrix.outcomes.items() if name != "not reached")
        self.assertGreater(reached, fault_matrix.SAMPLE_CALLS / 2)


if __name__ == "__main__":
    unittest.main()
