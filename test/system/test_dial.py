"""Gateways that call a device which listens: the SDK's example in C, and who wins it."""

import pathlib
import socket
import subprocess
import tempfile
import threading
import unittest

from daemon_fixture import SystemTest, events, free_port, subscription
from pki_fixture import Pki, build_dir
from sink_peer import wait_until


class Listener:
    """The example program: what it prints, line by line."""

    def __init__(self, *gateways, identity="panel", port=None):
        files = Pki.shared().client(identity)
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="sinkd-listen-"))
        self.port = port or free_port()
        self.command = [str(build_dir() / "client/examples/listen"), f"127.0.0.1:{self.port}",
                        files.certificate, files.private_key, files.ca, *gateways]
        self.lines = []
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, cwd=self.directory, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        self.reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self.reader.start()
        wait_until(self._listens, "the device listens")

    def _listens(self):
        with socket.socket() as caller:
            return caller.connect_ex(("127.0.0.1", self.port)) == 0

    def _read(self, output):
        for line in output:
            self.lines.append(line.rstrip("\n"))

    def close(self):
        """In order: it says goodbye."""
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.reader.join(timeout=30)
        self.process.stdout.close()
        return self.process.returncode

    def clean_up(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            stream.close()

    def wait(self, line, times=1):
        wait_until(lambda: self.lines.count(line) >= times, lambda: (line, self.lines))


class Dials(SystemTest):
    def listener(self, *gateways, **options):
        listener = Listener(*gateways, **options)
        self.addCleanup(listener.clean_up)
        return listener

    def gateway(self, name, device, *, start=True):
        """One with a certificate of its own, that calls the device."""
        files = Pki.shared().issue(name, "--kind", "server", "--dns", name,
                                     "--ip", "127.0.0.1")
        return self.daemon(
            listener={"certificate": files.certificate, "private_key": files.private_key},
            subscriptions=[subscription("commands", "panel", sources=["operator"])],
            dials=[{"client": "panel", "address": f"127.0.0.1:{device.port}"}], start=start)

    def row(self, daemon):
        return daemon.ctl_rows("dial", "ls")[0]

    def wait_state(self, daemon, state):
        wait_until(lambda: self.row(daemon)["state"] == state, lambda: self.row(daemon))

    def test_a_gateway_calls_and_events_go_both_ways(self):
        device = self.listener("gw-a")
        gateway = self.gateway("gw-a", device)
        device.wait("connected gw-a")
        self.wait_state(gateway, "connected")
        operator = self.client(gateway, "operator")
        self.assert_acked(operator.publish_all(events(20, b"set")))
        for offset in range(1, 21):
            device.wait(f"delivered set {offset}")
        device.process.stdin.write("hello\n")
        device.process.stdin.flush()
        device.wait("accepted 1")
        self.assertEqual(self.row(gateway)["failures"], 0)
        _, metrics = gateway.http_get("/metrics")
        self.assertIn('sinkd_dials{state="connected"} 1', metrics)

    def deliver(self, gateway, device, letter, count):
        """The gateway gets something for the device, and takes it over for that."""
        operator = self.client(gateway, "operator")
        self.assert_acked(operator.publish_all(events(count, b"from-" + letter.encode())))
        device.wait(f"connected gw-{letter} delivers")
        device.wait(f"delivered from-{letter} {count}")

    def test_three_gateways_and_one_device(self):
        """The arbitration table, walked."""
        device = self.listener("gw-a", "gw-b", "gw-c")
        first = self.gateway("gw-a", device)
        device.wait("connected gw-a")
        # Both have nothing, and nobody has delivered: the present one stays.
        second = self.gateway("gw-b", device)
        device.wait("contest gw-b turned away")
        self.wait_state(second, "resting")
        # The newcomer has something: it takes over.
        self.deliver(second, device, "b", 3)
        self.wait_state(first, "resting")
        # The newcomer has nothing, the present one came to deliver: it stays.
        third = self.gateway("gw-c", device)
        device.wait("contest gw-c turned away")
        self.wait_state(third, "resting")
        # Both came to deliver: the newcomer takes over.
        self.deliver(third, device, "c", 2)
        self.wait_state(second, "resting")
        # Who delivered last is preferred, over a restart of the device: first comes another one.
        third.stop()
        self.wait_state(first, "resting")
        first.ctl("dial", "now", "panel")
        device.wait("connected gw-a", 2)
        self.assertEqual(device.close(), 0)
        self.wait_state(first, "stopped")  # it said shutdown
        device.lines.clear()
        device.start()
        second.ctl("dial", "now", "panel")
        device.wait("connected gw-b")
        third.start()
        device.wait("contest gw-c took over")
        device.wait("connected gw-c")
        self.wait_state(second, "resting")
        # An event for a device that is elsewhere brings its gateway back.
        operator = self.client(first, "operator")
        first.ctl("dial", "now", "panel")
        device.wait("contest gw-a turned away")
        self.assert_acked(operator.publish_all(events(1, b"from-a")))
        device.wait("delivered from-a 1")

    def test_a_broken_connection_is_called_again_and_resumes(self):
        device = self.listener("gw-a")
        gateway = self.gateway("gw-a", device)
        device.wait("connected gw-a")
        gateway.crash_and_restart()
        device.wait("connected gw-a", 2)
        device.process.kill()
        device.process.wait()
        wait_until(lambda: self.row(gateway)["failures"] > 0, lambda: self.row(gateway))
        self.assertIn("connecting", self.row(gateway)["last_error"])
        device.start()
        device.wait("connected gw-a", 3)

    def test_who_is_not_the_device_is_turned_away(self):
        other = self.listener("gw-a", identity="meter-9")
        gateway = self.gateway("gw-a", other)
        wait_until(lambda: "it is meter-9" in self.row(gateway)["last_error"],
                   lambda: self.row(gateway))
        self.assertNotIn("meter-9", [r["client"] for r in gateway.ctl_rows("client", "ls")])
        self.assertEqual([line for line in other.lines if line.startswith("connected")], [])

    def test_a_target_that_is_no_sink_device(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(8)

            class Target:
                port = silent.getsockname()[1]
            gateway = self.gateway("gw-a", Target)
            taken, _ = silent.accept()
            taken.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
            wait_until(lambda: self.row(gateway)["failures"] == 1, lambda: self.row(gateway))
            self.assertNotEqual(self.row(gateway)["last_error"], "")
            taken.close()
            taken, _ = silent.accept()  # and says nothing
            wait_until(lambda: "no handshake in time" in self.row(gateway)["last_error"],
                       lambda: self.row(gateway))
            taken.close()
        gateway.assert_running()

    def test_a_gateway_that_is_unknown_to_the_device_learns_nothing(self):
        device = self.listener("gw-b")
        gateway = self.gateway("gw-a", device)
        wait_until(lambda: self.row(gateway)["failures"] >= 2, lambda: self.row(gateway))
        self.assertEqual(gateway.ctl_rows("client", "ls"), [])
        self.assertEqual(device.lines, [])

    def test_a_reload_adds_and_removes_calls(self):
        device = self.listener("gw-a")
        gateway = self.gateway("gw-a", device, start=False)
        dials = gateway.document["dial"]
        gateway.document["dial"] = []
        gateway.write_config()
        gateway.start()
        self.assertEqual(gateway.ctl_rows("dial", "ls"), [])
        gateway.document["dial"] = dials
        gateway.write_config()
        gateway.ctl("config", "reload")
        device.wait("connected gw-a")
        gateway.document["dial"] = []
        gateway.write_config()
        gateway.ctl("config", "reload")
        self.assertEqual(gateway.ctl_rows("dial", "ls"), [])
        self.assertEqual(gateway.client_state("panel"), "connected")


if __name__ == "__main__":
    unittest.main()
