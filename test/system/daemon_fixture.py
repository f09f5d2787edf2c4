"""A real sinkd in a temporary directory, and the test case that the suites build on.

Responsible for configuration, start, readiness, kill, reload and cleaning up, and for asking the
broker questions through sinkctl; not for judging the answers. Invariant: no process, mount or
directory outlives its test, and a broker that dies unasked fails the test it served.
"""

import ctypes
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

import sink_v0
from pki_fixture import Pki, run_sinkctl, sinkd_program
from sink_peer import PATIENCE, Client, fresh_identity, wait_until
from toml_text import to_toml

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


_given_ports = set()


def free_port():
    """A TCP port of 127.0.0.1 that nobody listens on and that no earlier call has given out."""
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Below the range of ports for outgoing connections, so that none takes it meanwhile.
            port = random.randrange(10_240, 32_000)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given_ports:
            _given_ports.add(port)
            return port


class Daemon:
    """One sinkd: its files, its process, and its operator."""

    def __init__(self, *, server=None, store=None, limits=None, listener=None, listeners=None,
                 subscriptions=(), uplinks=(), dials=(), policies=(),
                 http=True, data_dir=None, faults=None):
        Pki.shared()
        self.faults = faults
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="sinkd-test-"))
        self.process = None
        self.expected_to_run = False
        self.port = free_port()
        self.plain_port = free_port()
        self.http_port = free_port() if http else None
        self.control = str(self.directory / "control.sock")
        self.config_path = self.directory / "sinkd.toml"
        self.stderr_path = self.directory / "stderr"
        self.data_dir = pathlib.Path(data_dir or self.directory / "data")
        self.document = {
            "server": {"name": "under-test", "data_dir": str(self.data_dir), **(server or {})},
            "admin": {"socket": self.control},
            "http": {"address": f"127.0.0.1:{self.http_port}" if http else ""},
            "store": {"segment_size": "4MiB", **(store or {})},
            "limits": dict(limits or {}),
            "listener": self._listeners(listener or {}) if listeners is None else listeners,
            "subscription": [dict(s) for s in subscriptions],
            "uplink": [dict(u) for u in uplinks],
            "dial": [dict(d) for d in dials],
            "client_policy": [dict(p) for p in policies],
        }
        self.write_config()

    def _listeners(self, tls_options):
        server = Pki.shared().server()
        tls = {"address": f"127.0.0.1:{self.port}", "certificate": server.certificate,
               "private_key": server.private_key, "client_ca": server.ca,
               "client_id": "common_name", **tls_options}
        plain = {"address": f"127.0.0.1:{self.plain_port}", "plaintext": True,
                 "client_id": "instance_id"}
        return [tls, plain]

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    @property
    def plain_address(self):
        return ("127.0.0.1", self.plain_port)

    @property
    def pid(self):
        return self.process.pid

    def write_config(self):
        document = {key: value for key, value in self.document.items() if value}
        self.config_path.write_text(to_toml(document))

    def _environment(self):
        return dict(os.environ, **(self.faults.environment() if self.faults else {}))

    def before_exec(self):
        """In the child, between fork and exec; a test may put its limits there."""
        _die_with_parent()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # as sinkd.service has it

    def start(self, wait=True):
        """Starts the broker and, unless told otherwise, waits until it says that it is ready."""
        with open(self.stderr_path, "ab") as stderr:
            self.process = subprocess.Popen(
                [sinkd_program(), "--config", str(self.config_path)], stdin=subprocess.DEVNULL,
                stdout=stderr, stderr=stderr, start_new_session=True,
                preexec_fn=self.before_exec, env=self._environment())
        self.expected_to_run = True
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"sinkd ended with {self.process.returncode} before it was "
                                     f"ready:\n{self.stderr_text()}")
            answer = self.ctl("status", "--json", check=False)
            return answer.returncode == 0 and json.loads(answer.stdout).get("ready")
        wait_until(ready, lambda: f"ready\n{self.stderr_text()}")

    def wait_exit(self, timeout=None):
        """Waits for the process to end by itself and returns its exit status."""
        try:
            status = self.process.wait(PATIENCE if timeout is None else timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"sinkd did not end\n{self.stderr_text()}") from None
        self.expected_to_run = False
        return status

    def signal(self, number):
        os.kill(self.process.pid, number)

    def kill9(self):
        """As the kernel or a loss of power would end it."""
        self.assert_running()
        self.expected_to_run = False
        self.signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """SIGTERM, and the exit status."""
        self.assert_running()
        self.signal(signal.SIGTERM)
        return self.wait_exit(2 * PATIENCE)

    def restart(self):
        status = self.stop()
        if status != 0:
            raise AssertionError(f"sinkd ended with {status} on SIGTERM\n{self.stderr_text()}")
        return self.start()

    def crash_and_restart(self):
        self.kill9()
        return self.start()

    def hangup(self):
        """SIGHUP: reload."""
        self.signal(signal.SIGHUP)

    def assert_running(self):
        if self.process.poll() is not None:
            raise AssertionError(f"sinkd has ended by itself with {self.process.returncode}:\n"
                                 f"{self.stderr_text()}")

    def clean_up(self):
        """Ends and removes everything; raises where the broker had died unasked."""
        died = None
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            elif self.expected_to_run:
                died = self.process.returncode
        text = self.stderr_text()
        shutil.rmtree(self.directory, ignore_errors=True)
        if died is not None:
            raise AssertionError(f"sinkd had ended by itself with {died}:\n{text[-8_000:]}")
        for mark in ("AddressSanitizer", "runtime error:", "LeakSanitizer"):
            if mark in text:
                raise AssertionError(f"a sanitizer complained:\n{text[-16_000:]}")

    def stderr_text(self):
        if not self.stderr_path.exists():
            return ""
        return self.stderr_path.read_text(errors="replace")

    def memory_kib(self, field="VmRSS"):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise AssertionError(f"/proc/{self.pid}/status has no {field}")

    # The operator's side. Every use of a sinkctl verb by the suites goes through here.

    def ctl(self, *arguments, check=True):
        return run_sinkctl("--socket", self.control, *arguments, check=check)

    def ctl_object(self, *arguments):
        return json.loads(self.ctl(*arguments, "--json").stdout)

    def ctl_rows(self, *arguments):
        output = self.ctl(*arguments, "--json").stdout
        return [json.loads(line) for line in output.splitlines() if line.strip()]

    def status(self):
        return self.ctl_object("status")

    def events(self):
        return self.status()["events"]

    def trackers(self, name):
        return [row for row in self.ctl_rows("sub", "ls") if row["name"] == name]

    def tracker(self, name, consumer=None):
        """The row of `sub ls` for one subscription (and, of a template, one consumer)."""
        rows = [row for row in self.trackers(name)
                if consumer is None or row["consumer"] == consumer]
        if len(rows) != 1:
            raise AssertionError(f"{len(rows)} rows for subscription {name} {consumer}: {rows}")
        return rows[0]

    def has_settled(self):
        """No subscription has anything left to do."""
        return not any(row[place] for row in self.ctl_rows("sub", "ls")
                       for place in ("pending", "in_flight", "held"))

    def client_row(self, client_id):
        rows = [row for row in self.ctl_rows("client", "ls") if row["client_id"] == client_id]
        return rows[0] if rows else None

    def client_state(self, client_id):
        row = self.client_row(client_id)
        return row["state"] if row else None

    def quarantined(self, subscription=None):
        """The rows of `event ls`, by position."""
        rows = self.ctl_rows("event", "ls")
        rows = [row for row in rows if subscription in (None, row["subscription"])]
        return sorted(rows, key=lambda row: row["position"])

    def wait_quarantined(self, count, subscription=None):
        return wait_until(lambda: (rows := self.quarantined(subscription)) and len(rows) == count
                          and rows, lambda: f"{count} quarantined: {self.quarantined()}")

    def event_show(self, row):
        return self.ctl_object("event", "show", row["position"],
                               "--subscription", row["subscription"])

    def event_release(self, row):
        self.ctl("event", "release", row["position"], "--subscription", row["subscription"],
                 "--yes")

    def event_release_all(self, subscription):
        self.ctl("event", "release", "--all", "--subscription", subscription, "--yes")

    def event_drop(self, row):
        self.ctl("event", "drop", row["position"], "--subscription", row["subscription"], "--yes")

    def client_quarantine(self, client_id, machine, human):
        self.ctl("client", "quarantine", client_id, "--machine", machine, "--human", human,
                 "--yes")

    def client_release(self, client_id):
        self.ctl("client", "release", client_id, "--yes")

    def client_adopt(self, client_id, *options):
        self.ctl("client", "adopt", client_id, *options, "--yes")

    def client_forget(self, client_id):
        self.ctl("client", "forget", client_id, "--yes")

    def client_kick(self, client_id):
        self.ctl("client", "kick", client_id, "--yes")

    def pause(self, subscription):
        self.ctl("sub", "pause", subscription)

    def subscription_add(self, table):
        path = self.directory / "added.toml"
        path.write_text(to_toml({"subscription": [table]}))
        self.ctl("sub", "add", "--file", path)

    def subscription_remove(self, name, *options):
        self.ctl("sub", "rm", name, *options, "--yes")

    def resume(self, subscription):
        self.ctl("sub", "resume", subscription)

    def http_get(self, path, timeout=None):
        """Status and body of one GET from the loopback HTTP port."""
        url = f"http://127.0.0.1:{self.http_port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=timeout or PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.read().decode()


def subscription(name="readings", consumer="backend", **options):
    """A [[subscription]] with retries short enough for tests."""
    return {"name": name, "consumer": consumer, "retry": ["200ms"], **options}


def uplink(*servers, name="cloud", identity="gateway", **options):
    """An [[uplink]] to HOST:PORT or (host, port), with the certificate of `identity`."""
    files = Pki.shared().client(identity)
    addresses = [s if isinstance(s, str) else f"{s[0]}:{s[1]}" for s in servers]
    return {"name": name, "servers": addresses, "certificate": files.certificate,
            "private_key": files.private_key, "server_ca": files.ca, **options}


def events(count, key=b"k", first=1, event_type_id=1, data=b""):
    """Consecutive events of one key."""
    return [sink_v0.Event(event_type_id, key, offset, 1_700_000_000 + offset,
                          data or b"%d" % offset, 1) for offset in range(first, first + count)]


def offsets_by_key(deliveries):
    """The offsets in order of delivery, per (event type, key)."""
    offsets = {}
    for delivery in deliveries:
        event = delivery.event
        offsets.setdefault((event.event_type_id, event.key), []).append(event.offset)
    return offsets


class SystemTest(unittest.TestCase):
    """A test that starts brokers and clients and can forget about them."""

    def run(self, result=None):
        self._daemons = []
        self._logs = []
        before = len(result.failures) + len(result.errors) if result is not None else 0
        super().run(result)
        if result is not None and len(result.failures) + len(result.errors) > before:
            for text in self._logs:
                sys.stderr.write(f"--- what sinkd wrote during {self.id()}\n{text[-6_000:]}\n")

    def daemon(self, *, start=True, **options):
        """A broker that is ready; ended after the test."""
        daemon = Daemon(**options)
        self.addCleanup(self._end, daemon)
        return daemon.start() if start else daemon

    def _end(self, daemon):
        self._logs.append(daemon.stderr_text())
        daemon.clean_up()

    def client(self, daemon, name, *, connect=True, **options):
        """A TLS client with a certificate of this name."""
        return self._client(Client(daemon.address, tls=Pki.shared().client(name), **options),
                            connect)

    def plain_client(self, daemon, identity=None, *, connect=True, **options):
        """A plaintext client; its client_id is "instance-<client_instance_id>"."""
        return self._client(Client(daemon.plain_address, identity or fresh_identity(), **options),
                            connect)

    def _client(self, client, connect):
        self.addCleanup(client.close)
        if connect:
            client.connect()
        return client

    def assert_acked(self, answers):
        refused = [answer for answer in answers if not isinstance(answer, sink_v0.Ack)]
        self.assertEqual(refused, [], "every publish should have been ACKed")

    def assert_nacked(self, answer, machine):
        self.assertIsInstance(answer, sink_v0.Nack)
        self.assertEqual(answer.machine, machine, answer.human)
        self.assertTrue(answer.human, "a NACK of the broker says in words what is wrong")

    def assert_stays(self, condition, what, seconds=1.0):
        """The condition holds now and for a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.assertTrue(condition(), what)
            time.sleep(0.1)

    def assert_conserved(self, row):
        """RELIABILITY S3: every matched event is in exactly one place."""
        places = ("pending", "in_flight", "held", "quarantined", "acked", "expired", "dropped")
        self.assertEqual(row["matched"], sum(row[place] for place in places), row)

    def wait_delivered(self, client, key, offsets):
        """Until the client has been delivered each of these offsets of one key at least once."""
        wanted = set(offsets)

        def missing():
            return wanted - {d.event.offset for d in list(client.deliveries) if d.event.key == key}
        wait_until(lambda: not missing(), lambda: f"{len(missing())} of {len(wanted)} are missing",
                   4 * PATIENCE, interval=0.2)

    def wait_settled(self, daemon, name, consumer=None):
        """Until the subscription has nothing left to do."""
        def settled():
            row = daemon.tracker(name, consumer)
            return row if not any(row[p] for p in ("pending", "in_flight", "held")) else None
        return wait_until(settled, lambda: f"settled: {daemon.tracker(name, consumer)}")
