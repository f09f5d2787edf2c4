"""Certificates for the suites, made by `sinkctl pki` as an operator would make them.

Responsible for one development CA per test process and for issuing each name once; not for what
the broker thinks of them. Invariant: everything lies in one temporary directory that goes away
with the process.
"""

import atexit
import os
import pathlib
import subprocess
import tempfile

from sink_peer import PATIENCE, TlsFiles


def build_dir():
    """The build directory of the broker under test."""
    try:
        return pathlib.Path(os.environ["SINKD_BUILD"])
    except KeyError:
        raise SystemExit("SINKD_BUILD is not set: point it at sinkd's build directory") from None


def sinkd_program():
    return str(build_dir() / "daemon" / "sinkd")


def sinkctl_program():
    return str(build_dir() / "tools" / "sinkctl")


def run_sinkctl(*arguments, check=True, **options):
    """Runs sinkctl; with `check`, a status other than 0 raises with what it said."""
    done = subprocess.run([sinkctl_program(), *map(str, arguments)], capture_output=True, text=True,
                          timeout=2 * PATIENCE, stdin=subprocess.DEVNULL, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"sinkctl {' '.join(map(str, arguments))} ended with "
                             f"{done.returncode}: {done.stdout}{done.stderr}")
    return done


class Pki:
    """A CA in a directory of its own."""

    _shared = None

    def __init__(self):
        self._directory = tempfile.TemporaryDirectory(prefix="sinkd-pki-")
        atexit.register(self._directory.cleanup)
        self.path = pathlib.Path(self._directory.name) / "ca"
        self._issued = {}
        run_sinkctl("pki", "init", "--dir", self.path)

    @classmethod
    def shared(cls):
        """The CA that the brokers of these tests trust."""
        if cls._shared is None:
            cls._shared = cls()
        return cls._shared

    @property
    def ca(self):
        return str(self.path / "ca.pem")

    @property
    def crl(self):
        return str(self.path / "ca.crl")

    def issue(self, name, *options):
        """The certificate of this name; issued on first use."""
        if name not in self._issued:
            run_sinkctl("pki", "issue", name, "--dir", self.path, *options)
            self._issued[name] = TlsFiles(str(self.path / f"{name}.pem"),
                                          str(self.path / f"{name}.key"), self.ca)
        return self._issued[name]

    def server(self):
        return self.issue("server", "--kind", "server", "--ip", "127.0.0.1")

    def client(self, name):
        return self.issue(name, "--kind", "client")

    def revoke(self, name):
        """Puts the certificate on the CA's revocation list."""
        run_sinkctl("pki", "revoke", self.issue(name).certificate, "--dir", self.path)
