"""What an uplink's benchmarks send: readings of a sensor, about 100 bytes of JSON each."""

import json
import random
import subprocess
import tempfile

from pki_fixture import Pki, sinkctl_program


def reading(chance, n):
    return json.dumps({"device": "meter-%d" % (n % 7), "celsius": round(chance.gauss(21, 2), 3),
                       "percent": round(chance.gauss(44, 9), 2), "n": n, "ok": True}) + "\n"


def publisher(gateway, count, client, key):
    """A process that publishes so many."""
    files = Pki.shared().client(client)
    with tempfile.TemporaryFile("w+") as lines:
        chance = random.Random(count)
        lines.writelines(reading(chance, n) for n in range(count))
        lines.seek(0)
        return subprocess.Popen(
            [sinkctl_program(), "pub", "--server", f"127.0.0.1:{gateway.port}", "--ca", files.ca,
             "--cert", files.certificate, "--private-key", files.private_key, "--type", "1",
             "--key", key, "--lines", "--file", "-"], stdin=lines, stdout=subprocess.DEVNULL)


def fill(gateway, count, client="meter-1", keys=1):
    """Publishes so many to a gateway whose uplink is away, each key by a client of its own, all at
    the same time, and waits until they are its backlog."""
    publishers = [publisher(gateway, count // keys, f"{client}-{number}", f"k{number}")
                  for number in range(keys)]
    for process in publishers:
        if process.wait() != 0:
            raise AssertionError("a publisher failed")
    backlog = gateway.ctl_object("uplink", "show", "cloud")["backlog"]
    if backlog != count:
        raise AssertionError(f"the backlog is {backlog}, not {count}")
