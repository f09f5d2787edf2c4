#!/usr/bin/env python3
"""Judges a run by what its clients wrote down, and by nothing else: loss, order, duplicates.

    log_checker.py DIRECTORY        every *.log in it; 0: nothing wrong, 1: violations, printed

A log is lines of words. An event is `TYPE KEY OFFSET`; what subscribers see has the source in
front of the key ("{source}/{key}"). The first line names the client:

    client NAME publisher                    client NAME subscriber WINDOW
    connected N                              connected N
    sent EVENT CRC32                         delivered EVENT CRC32
    accepted EVENT         (its ACK came)    acknowledged EVENT     (answered with an ACK)
    rejected EVENT MACHINE (a NACK came)     refused EVENT          (answered with a NACK)
    stray MESSAGE-ID                         refusal-seen EVENT     (a PONG, so the NACK was read)
    ended N                                  ended N

A subscriber behind a second broker is `client NAME relayed WINDOW`: whenever the first broker, or
the link between them, is `interrupted N`, a window's worth may come again, on any connection.

What it holds the broker to, in the words of docs/reliability.md:

    loss        every accepted event is delivered to every subscriber, with the bytes that were
                sent, and in the end acknowledged; nothing is delivered that was not sent
    order       per source, type and key: first deliveries in the order of offsets; within a
                connection offsets only grow, but for events that were refused; behind a refusal
                that the broker has read, nothing later of its key before the event itself
    duplicates  on one connection only of what was refused there or before; across connections, of
                what one connection delivered, at most a window's worth

Shares no code with the broker or with the clients that write the logs.
"""

import collections
import pathlib
import sys
from dataclasses import dataclass, field

SHOWN_MAX = 20
ROLES = ("publisher", "subscriber", "relayed")


@dataclass
class Log:
    """One client's lines, parsed."""

    name: str
    role: str
    window: int
    entries: list


@dataclass
class Verdict:
    """What was counted, and what is wrong."""

    accepted: int = 0
    deliveries: int = 0
    duplicates: int = 0
    refusals: int = 0
    connections: int = 0
    violations: list = field(default_factory=list)

    def text(self):
        lines = [f"VIOLATION {text}" for text in self.violations[:SHOWN_MAX]]
        if len(self.violations) > SHOWN_MAX:
            lines.append(f"... and {len(self.violations) - SHOWN_MAX} more")
        lines.append(f"{self.accepted} events accepted, {self.deliveries} deliveries, "
                     f"{self.duplicates} of them duplicates, {self.refusals} refusals, "
                     f"{self.connections} connections: {len(self.violations)} violations")
        return "\n".join(lines)


def parse(text, name="log"):
    """A log's text to a Log; ValueError where it is none."""
    lines = text.splitlines()
    head = lines[0].split() if lines else []
    if head[:1] != ["client"] or len(head) < 3 or head[2] not in ROLES:
        raise ValueError(f"{name}: no `client NAME ROLE` in front")
    window = 0 if head[2] == "publisher" else int(head[3])
    entries = []
    for number, line in enumerate(lines[1:], 2):
        words = line.split()
        if words[0] in ("connected", "ended", "stray", "interrupted"):
            entries.append((words[0], int(words[1]), None))
        elif len(words) in (4, 5):
            event = (int(words[1]), words[2], int(words[3]))
            entries.append((words[0], event, words[4] if len(words) == 5 else None))
        else:
            raise ValueError(f"{name}:{number}: {line!r} is no entry")
    return Log(head[1], head[2], window, entries)


class PublisherBook:
    """What one publisher was promised."""

    def __init__(self, log, verdict):
        self.sent = {}
        self.accepted = set()
        for word, event, detail in log.entries:
            if word == "sent":
                if self.sent.setdefault(self._seen(log, event), detail) != detail:
                    verdict.violations.append(f"{log.name}: sent {event} with two contents")
            elif word == "accepted":
                self.accepted.add(self._seen(log, event))
            elif word == "rejected":
                verdict.violations.append(f"{log.name}: {event} was rejected with {detail}")
            elif word == "stray":
                verdict.violations.append(f"{log.name}: an answer to id {event}, never in flight")
            verdict.connections += word == "connected"

    @staticmethod
    def _seen(log, event):
        """The event's name as a subscriber sees it."""
        return (event[0], f"{log.name}/{event[1]}", event[2])


class SubscriberJudge:
    """Walks one subscriber's log."""

    def __init__(self, log, sent, verdict):
        self.log = log
        self.sent = sent
        self.verdict = verdict
        self.connection = 0
        self.last_answer = {}         # by event: "acknowledged", "refused", or "" while open
        self.delivered_in = {}        # by event: the connection of its last delivery
        self.first_top = {}           # by key: the highest offset ever delivered
        self.top = {}                 # by key: the highest offset delivered on this connection
        self.behind = collections.defaultdict(set)    # by key: refusals known to be read
        self.again = collections.Counter()            # by connection: delivered again later
        self.interruptions = 0

    def wrong(self, text):
        self.verdict.violations.append(f"{self.log.name}, connection {self.connection}: {text}")

    def walk(self):
        for word, event, detail in self.log.entries:
            if word == "connected":
                self.connection = event
                self.top = {}
                self.verdict.connections += 1
            elif word == "delivered":
                self.delivered(event, detail)
            elif word in ("acknowledged", "refused"):
                self.last_answer[event] = word
                self.verdict.refusals += word == "refused"
            elif word == "refusal-seen" and self.last_answer.get(event) == "refused":
                self.behind[event[:2]].add(event[2])
            elif word == "interrupted":
                self.interruptions += 1
        self.judge_repeats()

    def judge_repeats(self):
        for connection, count in self.again.items():
            if count > self.log.window:
                self.wrong(f"{count} events of connection {connection} came again, the window is "
                           f"{self.log.window}")

    def delivered(self, event, crc):
        self.verdict.deliveries += 1
        if event not in self.sent:
            self.wrong(f"{event} was delivered and never sent")
        elif self.sent[event] != crc:
            self.wrong(f"{event} was delivered with other bytes than were sent")
        self.judge_order(event)
        if event in self.delivered_in:
            self.judge_duplicate(event)
        self.delivered_in[event] = self.connection
        self.last_answer[event] = ""

    def judge_first(self, event):
        key, offset = event[:2], event[2]
        if event not in self.delivered_in and offset < self.first_top.get(key, -1):
            self.wrong(f"{event} came for the first time after {self.first_top[key]}")
        self.first_top[key] = max(offset, self.first_top.get(key, -1))

    def judge_order(self, event):
        key, offset = event[:2], event[2]
        self.judge_first(event)
        refused = self.last_answer.get(event) == "refused"
        if offset < self.top.get(key, -1) and not refused:
            self.wrong(f"{event} came after {self.top[key]}")
        self.behind[key].discard(offset)
        if self.behind[key] and offset > min(self.behind[key]):
            self.wrong(f"{event} came while {min(self.behind[key])}, refused, was not resolved")
        self.top[key] = max(offset, self.top.get(key, -1))

    def judge_duplicate(self, event):
        self.verdict.duplicates += 1
        if self.last_answer[event] == "refused":
            return
        if self.delivered_in[event] == self.connection:
            self.wrong(f"{event} came twice on one connection without a refusal")
        else:
            self.again[self.delivered_in[event]] += 1

    def judge_loss(self, accepted):
        for event in sorted(accepted):
            if event not in self.delivered_in:
                self.wrong(f"{event} was accepted and never delivered")
            elif self.last_answer[event] != "acknowledged":
                self.wrong(f"{event} was accepted and never acknowledged")


class RelayedJudge(SubscriberJudge):
    """One behind a second broker: what came again is counted over the whole run."""

    repeats = 0

    def judge_order(self, event):
        self.judge_first(event)

    def judge_duplicate(self, event):
        self.verdict.duplicates += 1
        self.repeats += 1

    def judge_repeats(self):
        allowed = self.log.window * (self.interruptions + self.connection)
        if self.repeats > allowed:
            self.wrong(f"{self.repeats} events came again; {self.interruptions} interruptions and "
                       f"{self.connection} connections explain {allowed}")


def judge(logs):
    """The verdict over all logs of one run."""
    verdict = Verdict()
    sent, accepted = {}, set()
    for log in logs:
        if log.role == "publisher":
            book = PublisherBook(log, verdict)
            sent.update(book.sent)
            accepted |= book.accepted
    verdict.accepted = len(accepted)
    subscribers = [log for log in logs if log.role != "publisher"]
    if not subscribers or not accepted:
        verdict.violations.append("nothing to judge: no subscriber, or nothing accepted")
    for log in subscribers:
        judge_of = RelayedJudge if log.role == "relayed" else SubscriberJudge
        subscriber = judge_of(log, sent, verdict)
        subscriber.walk()
        subscriber.judge_loss(accepted)
    return verdict


def judge_directory(directory):
    paths = sorted(pathlib.Path(directory).glob("*.log"))
    return judge([parse(path.read_text(encoding="ascii"), path.name) for path in paths])


def notices_a_loss(path):
    """Whether the logs beside `path`, with one of its events taken out, are that one loss. The log
    is changed by this."""
    lines = path.read_text(encoding="ascii").splitlines()
    last = next(line for line in reversed(lines) if line.startswith("delivered "))
    event = last.split()[1:4]
    path.write_text("\n".join(line for line in lines if line.split()[1:4] != event),
                    encoding="ascii")
    found = judge_directory(path.parent).violations
    return len(found) == 1 and "never delivered" in found[0]


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: log_checker.py DIRECTORY")
    verdict = judge_directory(sys.argv[1])
    print(verdict.text())
    return 1 if verdict.violations else 0


if __name__ == "__main__":
    sys.exit(main())
