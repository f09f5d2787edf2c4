"""One life of a broker under one fault, and the start after it: what fault_matrix judges.

Responsible for the canonical scenario and for what was observed; not for the verdict. Invariant: a
life takes bounded time, whatever the fault does, and leaves nothing behind.
"""

import json
import shutil
import signal
import ssl
import subprocess
import tempfile
import time

from daemon_fixture import Daemon, events, subscription
from fault_plan import CALLS, ONCE, FaultPlan
from pki_fixture import Pki, sinkctl_program
from sink_peer import PATIENCE, Client, Disconnected, Refused, fresh_identity, wait_until
from sink_v0 import Ack, Nack, ProtocolError

FAULTY_STEP_SECONDS = 1.5  # a step of the scenario, where a fault may leave it without an answer
END_SECONDS = PATIENCE     # draining alone may take 10 s
BEFORE, DURING, AFTER = events(20, b"before"), events(10, b"during"), events(5, b"after")
POISON = ("before", 3)
TROUBLE = (OSError, ssl.SSLError, Disconnected, Refused, ProtocolError, AssertionError,
           subprocess.TimeoutExpired, json.JSONDecodeError)


def _name(event):
    return event.key.decode(), event.offset


def _daemon(**options):
    rule = {"machine": "51", "action": "quarantine"}
    return Daemon(subscriptions=[subscription(on_nack=[rule])], store={"segment_size": "256KiB"},
                  **options)


class Template:
    """A store with a history and a backlog, left by a kill -9; every life begins with a copy."""

    def __init__(self):
        self.backend, self.meter = fresh_identity(), fresh_identity()
        daemon = _daemon()
        try:
            daemon.start()
            meter = self._client(daemon, "meter-1", self.meter)
            self._client(daemon, "backend", self.backend).close()
            answers = meter.publish_all(BEFORE)
            if not all(isinstance(answer, Ack) for answer in answers):
                raise AssertionError(f"the template's events: {answers}")
            meter.close()
            daemon.kill9()
            self.path = tempfile.mkdtemp(prefix="sinkd-template-")
            shutil.copytree(daemon.data_dir, self.path, dirs_exist_ok=True)
        finally:
            daemon.clean_up()

    @staticmethod
    def _client(daemon, name, identity):
        client = Client(daemon.address, identity, tls=Pki.shared().client(name))
        client.connect()
        return client

    def close(self):
        shutil.rmtree(self.path)


class Life:
    """Runs once; afterwards its attributes say what was seen."""

    def __init__(self, template, case):
        self._case = case
        self._step_seconds = FAULTY_STEP_SECONDS if case else PATIENCE
        self._plan = FaultPlan()
        self._daemon = _daemon(faults=self._plan)
        shutil.copytree(template.path, self._daemon.data_dir)
        self._daemon.data_dir.chmod(0o700)
        identities = [type(i)(i.client_instance_id, i.server_instance_id)
                      for i in (template.meter, template.backend)]
        self._meter = Client(self._daemon.address, identities[0],
                             tls=Pki.shared().client("meter-1"))
        self._backend = Client(self._daemon.address, identities[1],
                               tls=Pki.shared().client("backend"), respond=self._answer)
        self._open = [*DURING]
        self.status = None            # the exit status; None: it had to be killed
        self.ended_by_itself = False
        self.trouble = None           # what went wrong for the clients, and was not made good
        self.ever_troubled = False
        self.loss = None              # what a start without the fault did not make good
        self.complaint = None
        self.counts = {}
        self.places = ()
        self.struck = 0
        self._text = ""

    def live(self):
        try:
            if self._case:
                self._plan.arm(self._case.call, self._case.error, self._case.mode,
                               self._case.number)
            else:
                self._plan.note_places()
            self._daemon.start(wait=False)
            self._first_life()
            self.counts = {call: self._plan.calls(call) for call in CALLS}
            self.places = self._plan.places()
            self.struck = self._plan.struck(self._case.call) if self._case else 0
            self._second_life()
        finally:
            self._text = self._daemon.stderr_text()
            for client in (self._meter, self._backend):
                client.close()
            self._clean_up()
            self._plan.close()

    def summary(self):
        facts = {"status": self.status, "by itself": self.ended_by_itself, "struck": self.struck,
                 "trouble": self.trouble, "loss": self.loss, "complaint": self.complaint}
        return f"{facts}\n{self._text[-3_000:]}"

    def _clean_up(self):
        try:
            self._daemon.clean_up()
        except AssertionError as error:  # died unasked in its second life, or a sanitizer's report
            self.complaint = str(error)

    # ---- the life with the fault

    def _first_life(self):
        if self._becomes_ready():
            self._scenario()
            if self.trouble and self._alive() and self._case:
                self._serve_on()
        if self._alive():
            self._daemon.signal(signal.SIGTERM)
        else:
            self.ended_by_itself = True
        self._await_end()

    def _alive(self):
        # One that is ending counts as ended: its last connections go before its status comes.
        if self.trouble:
            deadline = time.monotonic() + 0.3
            while self._daemon.process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
        return self._daemon.process.poll() is None

    def _becomes_ready(self):
        deadline = time.monotonic() + PATIENCE
        while self._daemon.process.poll() is None:
            if " ready: " in self._daemon.stderr_text():
                return True
            if time.monotonic() > deadline:
                self.trouble = "never ready"
                self.ever_troubled = True
                return False
            time.sleep(0.003)
        return False

    def _scenario(self):
        self.trouble = None
        try:
            self._converse()
        except TROUBLE as error:
            self.trouble = f"{type(error).__name__}: {error}"
            self.ever_troubled = True

    def _serve_on(self):
        """The fault was once: whoever tries again is served."""
        if self._case.mode != ONCE:
            return
        deadline = time.monotonic() + PATIENCE
        while self.trouble and self._daemon.process.poll() is None:
            self._scenario()
            if time.monotonic() > deadline:
                return

    def _converse(self):
        for client in (self._meter, self._backend):
            if not client.connected:
                client.connect(self._step_seconds)
        self._publish()
        self._await_deliveries({_name(e) for e in [*BEFORE, *DURING]}, self._step_seconds)
        self._ask_operator_side()
        self._reload()
        self._open += [e for e in AFTER if not self._was_acked(e)]
        self._publish()

    def _was_acked(self, event):
        return event in self._meter.acked

    def _publish(self):
        """Everything open; what stays without an ACK stays open and is sent again, in order."""
        self._open = [e for e in self._open if not self._was_acked(e)]
        answers = self._meter.publish_all(self._open, self._step_seconds)
        refusals = [answer for answer in answers if isinstance(answer, Nack)]
        if refusals:
            raise AssertionError(f"refused: {refusals[0]}")

    def _answer(self, delivery):
        return (b"\x51", b"poison") if _name(delivery.event) == POISON else "ack"

    def _await_deliveries(self, wanted, timeout):
        def missing():
            return wanted - {_name(d.event) for d in list(self._backend.deliveries)}
        self._backend.wait_for(lambda: not missing(), lambda: f"not delivered: {sorted(missing())}",
                               timeout)

    def _ask_operator_side(self):
        done = subprocess.run(
            [sinkctl_program(), "--socket", self._daemon.control, "status", "--json"],
            capture_output=True, text=True, timeout=self._step_seconds, check=False)
        if done.returncode != 0:
            raise AssertionError(f"sinkctl: {done.stderr}")
        json.loads(done.stdout)
        self._daemon.http_get("/metrics", self._step_seconds)

    def _reload(self):
        before = self._daemon.stderr_text().count(" reload: ")
        self._daemon.hangup()
        wait_until(lambda: self._daemon.stderr_text().count(" reload: ") > before, "the reload",
                   self._step_seconds, interval=0.003)

    def _await_end(self):
        try:
            self.status = self._daemon.wait_exit(END_SECONDS)
        except AssertionError:
            self._daemon.kill9()

    # ---- the life after it

    def _second_life(self):
        self._plan.clear()
        for client in (self._meter, self._backend):
            client.close()
        try:
            self._daemon.start()
            self._backend.connect()
            self._wait_for_all()
            self._check_books()
        except TROUBLE as error:
            self.loss = f"after the fault: {type(error).__name__}: {error}"

    def _wait_for_all(self):
        self._await_deliveries({_name(e) for e in [*BEFORE, *self._meter.acked]}, PATIENCE)

    def _check_books(self):
        def settled():
            row = self._daemon.tracker("readings")
            return row if not any(row[p] for p in ("pending", "in_flight", "held")) else None
        row = wait_until(settled, lambda: f"settled: {self._daemon.tracker('readings')}")
        places = ("quarantined", "acked", "expired", "dropped")
        balanced = row["matched"] == sum(row[place] for place in places)
        if not balanced or row["quarantined"] > 1:
            raise AssertionError(f"the books do not balance: {row}")
        if self._daemon.stop() != 0:
            raise AssertionError("the second life did not end in order")
