"""Durable channels from end to end: the SDK's example in C at both ends, a real broker between them.

The ends and the broker are killed and come back. What must hold is docs/protocol.md's: every message
arrives, in order; it comes twice only to an end that was killed, and only what that end may not
have acknowledged.
"""

import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import unittest

from daemon_fixture import SystemTest
from pki_fixture import Pki, build_dir
from sink_peer import PATIENCE, wait_until

POLICIES = [{"clients": "server-*", "expose": ["com.example.*"]},
            {"clients": "panel*", "lookup": ["com.example.*"]}]
SERVICE = "com.example.chat@1.0.0"
CLOSED, ENDED = "closed by one of its ends", "its service has ended"


def numbers(first, last):
    return [str(number) for number in range(first, last + 1)]


class Chat:
    """The example program, over any number of runs: what it prints, run by run."""

    def __init__(self, daemon, identity, *arguments):
        files = Pki.shared().client(identity)
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="sinkd-chat-"))
        self.command = [str(build_dir() / "client/examples/chat"), *arguments,
                        f"127.0.0.1:{daemon.port}", files.certificate, files.private_key, files.ca]
        self.runs = []
        self.start()

    def start(self):
        self.runs.append([])
        with open(self.directory / "errors", "ab") as errors:
            self.process = subprocess.Popen(self.command, cwd=self.directory, text=True,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=errors)
        self.reader = threading.Thread(target=self._read, daemon=True,
                                       args=(self.process.stdout, self.runs[-1]))
        self.reader.start()

    @staticmethod
    def _read(output, lines):
        for line in output:
            lines.append(line.rstrip("\n"))

    def say(self, lines):
        self.process.stdin.write("".join(f"{line}\n" for line in lines))
        self.process.stdin.flush()

    def lines(self, start):
        """Of this run."""
        return [line for line in list(self.runs[-1]) if line.startswith(start)]

    def wait(self, start, count=1):
        wait_until(lambda: len(self.lines(start)) >= count,
                   lambda: f"{count} of {start!r}: {self.runs}\n{self.errors()}", 4 * PATIENCE)
        return self.lines(start)[0]

    def heard(self, peer, run=-1):
        """What the peer said to a run of ours."""
        start = f"{peer}: "
        return [line[len(start):] for line in list(self.runs[run]) if line.startswith(start)]

    def wait_heard(self, peer, last):
        wait_until(lambda: last in self.heard(peer),
                   lambda: f"{last!r} of {peer}: {self.heard(peer)[-5:]}\n{self.errors()}",
                   4 * PATIENCE)

    def errors(self):
        return (self.directory / "errors").read_text(errors="replace")[-2_000:]

    def kill9(self):
        self.process.send_signal(signal.SIGKILL)
        self._reap()

    def leave(self):
        """In order, when the server has taken everything; the exit status."""
        self.process.stdin.close()
        return self._reap()

    def _reap(self):
        status = self.process.wait(timeout=4 * PATIENCE)
        self.reader.join(timeout=PATIENCE)
        self._close_pipes()
        return status

    def _close_pipes(self):
        for stream in (self.process.stdin, self.process.stdout):
            try:
                stream.close()
            except BrokenPipeError:
                pass  # it was killed with lines that it had not read

    def clean_up(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._close_pipes()
        shutil.rmtree(self.directory, ignore_errors=True)


class Channels(SystemTest):
    def chat(self, daemon, identity, *arguments):
        chat = Chat(daemon, identity, *arguments)
        self.addCleanup(chat.clean_up)
        return chat

    def pair(self, **options):
        """A broker, an owner and a caller with a channel to it."""
        daemon = self.daemon(policies=POLICIES, **options)
        owner = self.chat(daemon, "server-1", "offer", SERVICE)
        owner.wait(f"exposed {SERVICE}")
        caller = self.chat(daemon, "panel", "call", "com.example.chat")
        self.assertEqual(caller.wait("open"), "open server-1, 0 sent before")
        self.assertEqual(owner.wait("open"), "open panel, 0 sent before")
        return daemon, owner, caller

    def assert_goes_on(self, before, after, last):
        """The runs of a killed end: all up to the last, in order; what was heard twice is the end
        of the first run and the beginning of the second."""
        self.assertEqual(before, numbers(1, len(before)))
        first = int(after[0])
        self.assertLessEqual(first, len(before) + 1, "one is lost")
        self.assertGreaterEqual(first, 1)
        self.assertEqual(after, numbers(first, last))

    def test_both_ends_write_and_one_closes(self):
        daemon, owner, caller = self.pair()
        caller.say(numbers(1, 500))
        owner.say(numbers(1, 500))
        owner.wait_heard("panel", "500")
        caller.wait_heard("server-1", "500")
        self.assertEqual(owner.heard("panel"), numbers(1, 500))
        self.assertEqual(caller.heard("server-1"), numbers(1, 500))
        caller.say(["last words", "/close"])
        self.assertEqual(owner.wait("over"), f"over panel: {CLOSED}, 0 lost")
        self.assertEqual(caller.wait("over"), f"over server-1: {CLOSED}, 0 lost")
        self.assertEqual(owner.heard("panel")[-1], "last words")
        self.assertEqual(caller.leave(), 0)
        self.assertEqual(owner.leave(), 0)
        self.assertEqual(daemon.ctl_object("service", "show", SERVICE)["channels"], [])

    def test_a_killed_end_comes_back_to_what_was_said_meanwhile(self):
        _, owner, caller = self.pair()
        caller.say(numbers(1, 2_000))
        owner.wait("panel: ", 1)
        owner.kill9()
        caller.say(numbers(2_001, 2_400))
        owner.start()
        caller.say(numbers(2_401, 4_000))  # what comes meets the listing
        self.assertEqual(owner.wait("open"), "open panel, 0 sent before")
        owner.say(["welcome back to me"])
        caller.wait_heard("server-1", "welcome back to me")
        owner.wait_heard("panel", "4000")
        self.assert_goes_on(owner.heard("panel", 0), owner.heard("panel"), 4_000)

    def test_a_killed_writer_goes_on_behind_what_the_server_has(self):
        _, owner, caller = self.pair()
        caller.say(numbers(1, 2_000))
        owner.wait("panel: ", 1)
        caller.kill9()  # with some said, some on their way and some not
        caller.start()
        found = re.fullmatch(r"open server-1, (\d+) sent before", caller.wait("open"))
        taken = int(found.group(1))
        self.assertGreaterEqual(taken, 1)
        caller.say(numbers(taken + 1, 2_200))
        owner.wait_heard("panel", "2200")
        self.assertEqual(owner.heard("panel"), numbers(1, 2_200))

    def test_an_end_that_is_away_finds_everything_when_it_is_back(self):
        _, owner, caller = self.pair()
        self.assertEqual(owner.leave(), 0)
        self.assertEqual(owner.lines("over"), ["over panel: the connection is over, 0 lost"])
        caller.say(numbers(1, 300))
        self.assertEqual(caller.leave(), 0)  # not before the server has it all
        owner.start()
        owner.wait_heard("panel", "300")
        self.assertEqual(owner.heard("panel"), numbers(1, 300))
        owner.say(["where are you?"])
        self.assertEqual(owner.leave(), 0)
        caller.start()
        self.assertEqual(caller.wait("open"), "open server-1, 300 sent before")
        caller.wait_heard("server-1", "where are you?")

    def test_the_broker_is_killed_and_comes_back(self):
        daemon, owner, caller = self.pair()
        for kill in range(3):
            first = 1_200 * kill
            caller.say(numbers(first + 1, first + 1_000))
            owner.say(numbers(first + 1, first + 1_000))
            owner.wait("panel: ", first + 1)
            daemon.kill9()
            caller.say(numbers(first + 1_001, first + 1_200))
            owner.say(numbers(first + 1_001, first + 1_200))
            daemon.start()
        owner.wait_heard("panel", "3600")
        caller.wait_heard("server-1", "3600")
        # Both ends have lived all the time: nothing comes twice.
        self.assertEqual(owner.heard("panel"), numbers(1, 3_600))
        self.assertEqual(caller.heard("server-1"), numbers(1, 3_600))
        self.assertEqual([len(owner.lines("open")), len(caller.lines("open"))], [1, 1])

    def test_the_broker_and_an_end_are_killed_at_once(self):
        daemon, owner, caller = self.pair()
        caller.say(numbers(1, 1_500))
        owner.wait("panel: ", 1)
        daemon.kill9()
        owner.kill9()
        caller.say(numbers(1_501, 2_000))
        daemon.start()
        owner.start()
        owner.wait_heard("panel", "2000")
        self.assert_goes_on(owner.heard("panel", 0), owner.heard("panel"), 2_000)
        caller.say(["/close"])
        owner.wait(f"over panel: {CLOSED}, 0 lost")
        self.assertEqual(caller.leave(), 0)

    def test_a_broker_restored_from_an_older_backup_goes_on_behind_what_it_has_lost(self):
        daemon, owner, caller = self.pair()
        backup = daemon.directory / "backup"
        for first, last in ((1, 10), (11, 20), (21, 30)):
            caller.say(numbers(first, last))
            owner.say(numbers(first, last))
            owner.wait_heard("panel", str(last))
            caller.wait_heard("server-1", str(last))
            if last == 10:
                self.assertEqual(daemon.stop(), 0)
                shutil.copytree(daemon.data_dir, backup)
                daemon.start()
            elif last == 20:
                daemon.kill9()
                shutil.rmtree(daemon.data_dir)
                shutil.copytree(backup, daemon.data_dir)
                daemon.start()
        self.assertEqual(owner.heard("panel"), numbers(1, 30))
        self.assertEqual(caller.heard("server-1"), numbers(1, 30))
        alarms = daemon.status()["alarms"]
        for end in ("panel", "server-1"):
            self.assertTrue(any(text.startswith(f"{end}: the log has messages 11 to 20 in a channel")
                                for text in alarms), alarms)

    def test_a_full_channel_fills_the_writer_and_loses_nothing(self):
        _, owner, caller = self.pair(limits={"channel_events": 10})
        owner.kill9()
        caller.say(numbers(1, 100))
        wait_until(lambda: "messages wait for server-1" in caller.errors(), "overflow is told")
        owner.start()
        owner.wait_heard("panel", "100")
        self.assert_goes_on(owner.heard("panel", 0) or [], owner.heard("panel"), 100)

    def test_the_operator_ends_the_service_and_both_are_told(self):
        daemon, owner, caller = self.pair()
        caller.say(["hello"])
        owner.wait_heard("panel", "hello")
        daemon.ctl("service", "withdraw", SERVICE, "--yes")
        owner.wait(f"over panel: {ENDED}, 0 lost")
        caller.wait(f"over server-1: {ENDED}, 0 lost")
        owner.wait(f"withdrawn {SERVICE}")

    def test_a_call_that_is_not_allowed_is_refused(self):
        daemon = self.daemon(policies=POLICIES)
        stranger = self.chat(daemon, "stranger", "call", "com.example.chat")
        wait_until(lambda: "refused: " in stranger.errors(), stranger.errors)
        self.assertEqual(stranger.leave(), 1)


if __name__ == "__main__":
    unittest.main()
