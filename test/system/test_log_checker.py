"""The checker of kill_cycles, judged itself: planted faults are found, explained ones pass."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

import log_checker

CHECKER = pathlib.Path(log_checker.__file__)
PUBLISHER = ["client m publisher", "connected 1", "sent 1 k 1 aa", "sent 1 k 2 bb",
             "accepted 1 k 1", "accepted 1 k 2", "ended 1"]


def received(*offsets, key="m/k"):
    """The lines of deliveries that were acknowledged."""
    sums = {1: "aa", 2: "bb"}
    lines = []
    for offset in offsets:
        lines.append(f"delivered 1 {key} {offset} {sums.get(offset, 'cc')}")
        lines.append(f"acknowledged 1 {key} {offset}")
    return lines


def refused(offset, seen=True):
    lines = [f"delivered 1 m/k {offset} {'aa' if offset == 1 else 'bb'}", f"refused 1 m/k {offset}"]
    return lines + ([f"refusal-seen 1 m/k {offset}"] if seen else [])


def violations(subscriber, publisher=None, window=1, role="subscriber"):
    logs = ["\n".join(publisher or PUBLISHER),
            "\n".join([f"client s {role} {window}", "connected 1", *subscriber])]
    return log_checker.judge([log_checker.parse(text) for text in logs]).violations


class LogChecker(unittest.TestCase):
    def assert_found(self, words, subscriber, **options):
        found = violations(subscriber, **options)
        self.assertEqual(len(found), 1, found)
        self.assertIn(words, found[0])

    def test_a_clean_run_passes(self):
        self.assertEqual(violations(received(1, 2)), [])

    def test_a_lost_event_is_found(self):
        self.assert_found("never delivered", received(1))

    def test_a_delivery_left_open_is_found(self):
        self.assert_found("never acknowledged", received(1) + ["delivered 1 m/k 2 bb"])

    def test_other_bytes_are_found(self):
        self.assert_found("other bytes", received(1) + ["delivered 1 m/k 2 b0",
                                                        "acknowledged 1 m/k 2"])

    def test_an_event_from_nowhere_is_found(self):
        self.assert_found("never sent", received(1, 2, 3))

    def test_an_event_under_another_source_is_found(self):
        self.assert_found("never sent", received(1, 2) + received(1, key="n/k"))

    def test_reordered_first_deliveries_are_found(self):
        found = violations(received(2, 1))
        self.assertTrue(any("first time after 2" in text for text in found), found)

    def test_reordered_deliveries_over_a_reconnect_are_found(self):
        found = violations(received(2) + ["ended 1", "connected 2"] + received(1))
        self.assertTrue(any("first time after 2" in text for text in found), found)

    def test_reordered_redeliveries_are_found(self):
        self.assert_found("came after 2", received(1, 2) + ["ended 1", "connected 2"] +
                          received(2, 1), window=2)

    def test_a_duplicate_on_one_connection_is_found(self):
        self.assert_found("twice on one connection", received(1, 2, 2))

    def test_duplicates_after_a_disconnect_pass_up_to_a_window(self):
        again = received(1, 2) + ["ended 1", "connected 2"]
        self.assertEqual(violations(again + received(2), window=1), [])
        self.assertEqual(violations(again + received(1, 2), window=2), [])
        self.assert_found("came again, the window is 1", again + received(1, 2), window=1)

    def test_more_than_a_window_spread_over_connections_is_found(self):
        again = received(1, 2) + ["ended 1", "connected 2"] + received(1)
        self.assert_found("came again, the window is 1",
                          again + ["ended 2", "connected 3"] + received(2), window=1)

    def test_a_refused_event_may_come_again(self):
        self.assertEqual(violations(refused(1) + received(1, 2)), [])
        self.assertEqual(violations(refused(1, seen=False) + received(2, 1)), [],
                         "2 was on its way before the refusal was read")

    def test_a_later_event_of_a_refused_key_is_found(self):
        self.assert_found("refused, was not resolved", refused(1) + received(2, 1))

    def test_a_later_event_of_a_refused_key_is_found_over_a_reconnect(self):
        self.assert_found("refused, was not resolved",
                          refused(1) + ["ended 1", "connected 2"] + received(2, 1))

    def test_a_refused_event_that_never_comes_again_is_found(self):
        self.assert_found("never acknowledged", received(1) + refused(2))

    def test_a_rejected_event_and_a_stray_answer_are_found(self):
        self.assert_found("rejected with 01", received(1, 2),
                          publisher=PUBLISHER + ["rejected 1 k 3 01"])
        self.assert_found("never in flight", received(1, 2), publisher=PUBLISHER + ["stray 7"])

    def test_what_was_sent_and_never_accepted_may_go_either_way(self):
        unsure = PUBLISHER + ["connected 2", "sent 1 k 3 cc"]
        self.assertEqual(violations(received(1, 2), publisher=unsure), [])
        self.assertEqual(violations(received(1, 2, 3), publisher=unsure), [])

    def test_behind_a_second_broker_a_window_may_come_again_for_each_interruption(self):
        relayed = {"role": "relayed"}
        self.assertEqual(violations(received(1, 2) + received(1), **relayed), [])
        twice = received(1, 2) + received(1) + received(2)
        self.assert_found("1 connections explain 1", twice, **relayed)
        self.assertEqual(violations(["interrupted 1"] + twice, **relayed), [])
        self.assert_found("never delivered", received(1), **relayed)
        found = violations(received(2, 1), **relayed)
        self.assertTrue(any("first time after 2" in text for text in found), found)

    def test_a_run_without_events_is_no_proof(self):
        self.assert_found("nothing to judge", [], publisher=PUBLISHER[:2])

    def test_a_damaged_log_is_refused(self):
        for text in ("", "client m", "client m publisher\nsent 1 k", "delivered 1 k 1 aa"):
            with self.subTest(text), self.assertRaises(ValueError):
                log_checker.parse(text)

    def test_the_program_ends_with_the_verdict(self):
        for offsets, status in (((1, 2), 0), ((1,), 1)):
            with self.subTest(offsets), tempfile.TemporaryDirectory() as directory:
                lines = ["client s subscriber 1", "connected 1", *received(*offsets)]
                pathlib.Path(directory, "m.log").write_text("\n".join(PUBLISHER))
                pathlib.Path(directory, "s.log").write_text("\n".join(lines))
                done = subprocess.run([sys.executable, CHECKER, directory], capture_output=True,
                                      text=True, check=False)
                self.assertEqual(done.returncode, status, done.stdout + done.stderr)
                self.assertIn(f"{status} violations", done.stdout)


if __name__ == "__main__":
    unittest.main()
