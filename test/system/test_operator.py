"""The operator's side: configuration, exit statuses, reload, sinkctl, metrics, shutdown."""

import json
import os
import pathlib
import re
import signal
import socket
import stat
import subprocess
import unittest

import sink_v0
from daemon_fixture import SystemTest, events, subscription
from pki_fixture import run_sinkctl, sinkd_program
from sink_peer import PATIENCE, Disconnected, leave_open, wait_until

MANUAL = pathlib.Path(__file__).resolve().parents[2] / "packaging" / "man" / "sinkctl.1.scd"
STATUS_FIELDS = {"version", "instance_id", "uptime_seconds", "ready", "connections", "events",
                 "store"}
EVENT_COUNTS = {"received", "accepted", "duplicate", "unrouted", "delivered", "redelivered",
                "acked", "nacked", "quarantined", "expired", "dropped"}
STORE_FIELDS = {"next_position", "synced_position", "bytes", "bytes_written", "bytes_avoided",
                "segments"}
SUB_FIELDS = {"name", "consumer", "state", "matched", "pending", "in_flight", "held", "held_keys",
              "quarantined", "acked", "expired", "dropped", "oldest_age_seconds"}
EVENT_FIELDS = {"position", "subscription", "consumer", "source", "event_type_id", "key",
                "key_hex", "offset", "attempts", "machine", "human", "since"}
CLIENT_FIELDS = {"client_id", "state", "instance_id", "presented_instance_id",
                 "application_version", "address", "last_seen"}


def run_sinkd(*arguments):
    return subprocess.run([sinkd_program(), *map(str, arguments)], capture_output=True, text=True,
                          timeout=PATIENCE, stdin=subprocess.DEVNULL)


class Configuration(SystemTest):
    def three_mistakes(self, daemon):
        """Spoils the file in three places and returns the lines of the mistakes."""
        lines = daemon.config_path.read_text().splitlines()
        store = lines.index("[store]")
        lines[store + 1:store + 1] = ['sync = "sometimes"', 'segment_sise = "4MiB"']
        where = next(n for n, line in enumerate(lines) if line.startswith("ack_timeout"))
        lines[where] = "ack_timeout = 30"
        daemon.config_path.write_text("\n".join(lines) + "\n")
        return [store + 2, store + 3, where + 1]

    def assert_reports(self, text, daemon, lines):
        for line in lines:
            self.assertRegex(text, rf"{daemon.config_path.name}:{line}\b")

    def test_three_mistakes_are_reported_with_their_lines(self):
        daemon = self.daemon(start=False, subscriptions=[subscription(ack_timeout="30s")])
        lines = self.three_mistakes(daemon)
        for arguments in (["--config", daemon.config_path],
                          ["--config", daemon.config_path, "--check"]):
            done = run_sinkd(*arguments)
            self.assertEqual(done.returncode, 78, done)
            self.assert_reports(done.stderr, daemon, lines)
            self.assertIn("segment_size", done.stderr, "a hint at what was meant")
        done = run_sinkctl("config", "check", daemon.config_path, check=False)
        self.assertEqual(done.returncode, 78, done)
        self.assert_reports(done.stdout + done.stderr, daemon, lines)
        self.assertFalse(daemon.data_dir.exists() and any(daemon.data_dir.iterdir()),
                         "nothing was made on the disk")

    def test_check_of_a_good_file(self):
        daemon = self.daemon(start=False, subscriptions=[subscription()])
        done = run_sinkd("--config", daemon.config_path, "--check")
        self.assertEqual(done.returncode, 0, done)

    def test_unreadable_and_broken_files(self):
        daemon = self.daemon(start=False)
        missing = daemon.directory / "missing.toml"
        done = run_sinkd("--config", missing)
        self.assertEqual(done.returncode, 78, done)
        self.assertIn(str(missing), done.stderr)
        daemon.config_path.write_text("[server\nname = 1\n")
        done = run_sinkd("--config", daemon.config_path)
        self.assertEqual(done.returncode, 78, done)
        self.assert_reports(done.stderr, daemon, [1])

    def test_usage(self):
        for arguments in (["--no-such-option"], ["--config"], ["surplus"]):
            with self.subTest(arguments):
                done = run_sinkd(*arguments)
                self.assertEqual(done.returncode, 64, done)
                self.assertTrue(done.stderr)

    def test_help_and_version(self):
        for argument in ("--help", "--version"):
            self.assertEqual(run_sinkd(argument).returncode, 0)
            self.assertEqual(run_sinkctl(argument, check=False).returncode, 0)


class ExitStatus(SystemTest):
    def test_address_in_use(self):
        daemon = self.daemon(start=False)
        with socket.socket() as taken:
            taken.bind(daemon.address)
            taken.listen()
            daemon.start(wait=False)
            self.assertEqual(daemon.wait_exit(), 69, daemon.stderr_text())
        self.assertIn(str(daemon.port), daemon.stderr_text())

    def test_a_second_daemon_on_the_store(self):
        first = self.daemon()
        second = self.daemon(start=False, data_dir=first.data_dir)
        second.start(wait=False)
        self.assertEqual(second.wait_exit(), 75, second.stderr_text())
        first.assert_running()
        self.assertTrue(first.status()["ready"])

    def test_the_store_and_the_socket_are_not_for_everybody(self):
        daemon = self.daemon()
        self.assertEqual(stat.S_IMODE(daemon.data_dir.stat().st_mode) & 0o077, 0)
        self.assertEqual(stat.S_IMODE(os.stat(daemon.control).st_mode) & 0o007, 0)

    def test_a_socket_left_by_a_crash_is_no_obstacle(self):
        daemon = self.daemon()
        daemon.kill9()
        self.assertTrue(pathlib.Path(daemon.control).exists())
        daemon.start()


class Reload(SystemTest):
    def edit(self, daemon, change):
        change(daemon.document)
        daemon.write_config()

    def test_a_new_subscription_by_sighup(self):
        daemon = self.daemon(subscriptions=[subscription()])
        meter = self.client(daemon, "meter-1")
        self.edit(daemon, lambda d: d["subscription"].append(subscription("new", "archive")))
        daemon.hangup()
        wait_until(lambda: daemon.trackers("new"), "the new subscription")
        self.assertTrue(meter.connected)
        self.assert_acked(meter.publish_all(events(3)))
        self.assertEqual(len(self.client(daemon, "archive").wait_deliveries(3)), 3)

    def test_a_changed_subscription_by_sinkctl(self):
        daemon = self.daemon(subscriptions=[subscription(in_flight=2)])
        backend = self.client(daemon, "backend", respond=leave_open)
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(10)))
        backend.wait_deliveries(2)
        self.edit(daemon, lambda d: d["subscription"][0].update(in_flight=5))
        daemon.ctl("config", "reload")
        backend.wait_deliveries(5)
        self.assertEqual(daemon.tracker("readings")["in_flight"], 5)

    def test_a_refused_reload_keeps_the_old_configuration(self):
        daemon = self.daemon(subscriptions=[subscription()])
        meter = self.client(daemon, "meter-1")
        self.edit(daemon, lambda d: d["subscription"].append(
            subscription("broken", "archive", order="random")))
        done = daemon.ctl("config", "reload", check=False)
        self.assertEqual(done.returncode, 78, done)
        self.assertIn("order", done.stdout + done.stderr)
        daemon.hangup()
        self.assert_stays(lambda: daemon.process.poll() is None, "a bad file does not end it")
        self.assertEqual(daemon.trackers("broken"), [])
        self.assertTrue(meter.connected)
        self.assert_acked(meter.publish_all(events(1)))

    def test_what_needs_a_restart_is_said(self):
        daemon = self.daemon(subscriptions=[subscription()])
        self.edit(daemon, lambda d: d["store"].update(segment_size="8MiB"))
        done = daemon.ctl("config", "reload")
        self.assertIn("needs a restart", done.stdout + done.stderr)

    def test_a_subscription_taken_out_by_reload_keeps_its_backlog(self):
        daemon = self.daemon(subscriptions=[subscription(), subscription("other", "archive")])
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(5)))
        self.edit(daemon, lambda d: d["subscription"].pop(0))
        daemon.ctl("config", "reload")
        row = daemon.tracker("readings")
        self.assertEqual((row["pending"], row["dropped"]), (5, 0))


class Output(SystemTest):
    def test_json_has_the_promised_fields(self):
        daemon = self.daemon(subscriptions=[subscription(
            on_nack=[{"machine": "*", "action": "quarantine"}])])
        self.client(daemon, "backend", respond=lambda delivery: (b"\x05", b"no"))
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(1, b"\xff\x00")))
        rows = daemon.wait_quarantined(1)
        self.assertEqual(rows[0]["key_hex"], "ff00")
        status = daemon.status()
        self.assertLessEqual(STATUS_FIELDS, status.keys())
        self.assertLessEqual(EVENT_COUNTS, status["events"].keys())
        self.assertLessEqual(STORE_FIELDS, status["store"].keys())
        self.assertLessEqual(EVENT_FIELDS, rows[0].keys())
        for row in daemon.ctl_rows("sub", "ls"):
            self.assertLessEqual(SUB_FIELDS, row.keys())
        for row in daemon.ctl_rows("client", "ls"):
            self.assertLessEqual(CLIENT_FIELDS, row.keys())

    def documented(self, *headings):
        """The names that sinkctl(1) gives for the JSON of these commands."""
        text = MANUAL.read_text().split("# JSON\n", 1)[1].split("\n# ", 1)[0]
        paragraph = next(p for p in text.split("\n\n") if p.startswith(
            ", ".join(f"*{heading}*" for heading in headings)))
        body = re.sub(r"\([^)]*\)", "", paragraph.split("\n", 1)[1])
        return set(re.findall(r"\*([a-z_]+)\*", body)) - {"show", "export", "null"}

    def test_the_manual_names_every_field(self):
        daemon = self.daemon(subscriptions=[subscription(
            on_nack=[{"machine": "*", "action": "quarantine"}])])
        self.client(daemon, "backend", respond=lambda delivery: (b"\x05", b"no"))
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(1)))
        event = daemon.wait_quarantined(1)[0]
        status = daemon.status()
        shown = {**status, **status["events"], **status["store"]}
        client = daemon.ctl_object("client", "show", "meter-1")
        certificate = daemon.ctl_rows("cert", "ls")[0]
        stats = daemon.ctl_object("log", "stats")
        health = json.loads(daemon.ctl("health", "--json", check=False).stdout)
        for headings, row in [
                (("status",), shown), (("health",), health),
                (("client ls", "client show"), {**client, **client["freshness"][0]}),
                (("event ls", "event show"), daemon.event_show(event)),
                (("sub ls", "sub show"), daemon.ctl_object("sub", "show", "readings")),
                (("log stats",), {**stats, **stats["segments"][0], "status": 0}),
                (("config show",), daemon.ctl_rows("config", "show")[0]),
                (("cert ls",), certificate)]:
            with self.subTest(headings[0]):
                self.assertEqual(self.documented(*headings), set(row))

    def test_every_read_command_speaks_json_and_text(self):
        daemon = self.daemon(subscriptions=[subscription()])
        self.client(daemon, "meter-1")
        commands = [["status"], ["health"], ["client", "ls"], ["client", "show", "meter-1"],
                    ["event", "ls"], ["sub", "ls"], ["sub", "show", "readings"], ["log", "stats"],
                    ["config", "show"], ["cert", "ls"]]
        for command in commands:
            with self.subTest(" ".join(command)):
                output = daemon.ctl(*command, "--json").stdout
                for line in output.splitlines():
                    self.assertIsInstance(json.loads(line), dict)
                self.assertEqual(daemon.ctl(*command).returncode, 0)

    def test_statuses_of_sinkctl(self):
        daemon = self.daemon()
        cases = {("no-such-command",): 64, ("status", "--no-such-option"): 64,
                 ("client", "show", "nobody"): 69, ("sub", "pause", "nothing"): 69,
                 ("event", "show", "999999"): 69}
        for arguments, status in cases.items():
            with self.subTest(" ".join(arguments)):
                done = daemon.ctl(*arguments, check=False)
                self.assertEqual(done.returncode, status, done)
                self.assertTrue(done.stderr)
                self.assertEqual(done.stdout, "")

    def test_a_mistyped_command_gets_a_suggestion(self):
        done = self.daemon().ctl("statsu", check=False)
        self.assertEqual(done.returncode, 64)
        self.assertIn("status", done.stderr)

    def test_without_a_broker(self):
        daemon = self.daemon()
        self.assertEqual(daemon.ctl("health").returncode, 0)
        daemon.stop()
        self.assertEqual(daemon.ctl("status", check=False).returncode, 69)
        self.assertIn(daemon.ctl("health", check=False).returncode, (1, 2, 3))

    def test_log_verify_and_dump_offline(self):
        daemon = self.daemon(subscriptions=[subscription()])
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(20)))
        self.assertEqual(daemon.stop(), 0)
        done = run_sinkctl("log", "verify", daemon.data_dir, check=False)
        self.assertEqual(done.returncode, 0, done)
        dump = run_sinkctl("log", "dump", daemon.data_dir, "--json").stdout
        self.assertGreaterEqual(len(dump.splitlines()), 20)


class Http(SystemTest):
    def samples(self, daemon):
        status, text = daemon.http_get("/metrics")
        self.assertEqual(status, 200)
        rows = [line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#"]
        return {name: float(value) for name, value in rows}, text

    def test_metrics_agree_with_status(self):
        daemon = self.daemon(subscriptions=[subscription()])
        backend = self.client(daemon, "backend")
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(7)))
        backend.wait_deliveries(7)
        self.wait_settled(daemon, "readings")
        samples, text = self.samples(daemon)
        self.assertIn("# TYPE", text)
        self.assertIn("# HELP", text)
        for name in ("received", "accepted", "delivered", "acked"):
            wanted = [n for n in samples if n.startswith("sinkd_") and name in n
                      and "_total" in n]
            self.assertTrue(any(samples[n] == 7 for n in wanted), f"{name}: {wanted}")

    def test_health_and_readiness(self):
        daemon = self.daemon()
        self.assertEqual(daemon.http_get("/healthz")[0], 200)
        self.assertEqual(daemon.http_get("/readyz")[0], 200)
        self.assertEqual(daemon.http_get("/no-such-page")[0], 404)

    def test_no_client_names_among_the_labels(self):
        daemon = self.daemon(subscriptions=[subscription("readings", "meter-*")])
        for name in ("meter-1", "meter-2"):
            self.client(daemon, name)
        self.assertNotIn("meter-1", self.samples(daemon)[1])


class Shutdown(SystemTest):
    def test_sigterm_ends_with_0_and_a_restart_loses_nothing(self):
        daemon = self.daemon(subscriptions=[subscription()])
        meter = self.client(daemon, "meter-1", window=1024)
        tickets = [meter.publish(event) for event in events(2_000)]
        self.assertEqual(daemon.stop(), 0)
        acked = []
        for ticket in tickets:
            try:
                answer = ticket.wait()
            except Disconnected:
                continue
            if isinstance(answer, sink_v0.Ack):
                acked.append(ticket.event)
            else:
                self.assertEqual(answer.machine, sink_v0.SHUTTING_DOWN)
        daemon.start()
        meter.connect_when_ready()
        self.assert_acked(meter.publish_all(events(2_000)))
        backend = self.client(daemon, "backend")
        backend.wait_deliveries(2_000)
        self.wait_settled(daemon, "readings")
        self.assertEqual([d.event for d in backend.deliveries], events(2_000))
        self.assertLessEqual({e.offset for e in acked}, {d.event.offset
                                                         for d in backend.deliveries})

    def test_sigterm_with_unanswered_deliveries(self):
        daemon = self.daemon(subscriptions=[subscription()])
        backend = self.client(daemon, "backend", respond=leave_open)
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(10)))
        backend.wait_deliveries(10)
        self.assertEqual(daemon.stop(), 0)
        daemon.start()
        backend.wait_end()
        backend.respond = lambda delivery: "ack"
        backend.connect_when_ready()
        backend.wait_deliveries(20)
        self.assertEqual([d.event for d in backend.deliveries[10:]], events(10))

    def test_what_was_settled_before_does_not_come_again(self):
        daemon = self.daemon(subscriptions=[subscription()])
        backend = self.client(daemon, "backend")
        self.assert_acked(self.client(daemon, "meter-1").publish_all(events(100)))
        backend.wait_deliveries(100)
        self.wait_settled(daemon, "readings")
        daemon.restart()
        backend.wait_end()
        backend.connect_when_ready()
        self.assert_stays(lambda: len(backend.deliveries) == 100, "an orderly stop: no duplicate")

    def test_sigint_is_like_sigterm(self):
        daemon = self.daemon()
        daemon.signal(signal.SIGINT)
        self.assertEqual(daemon.wait_exit(), 0)


if __name__ == "__main__":
    unittest.main()
