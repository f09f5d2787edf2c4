"""Judges what llvm-cov says about the branches of protocol, storage and daemon/broker.

    branches.py TAKEN.json [--unreached]

A branch is one outcome of a condition as it stands in the source: of an if, a loop, a ?:, of each
operand of && and ||, and of each case of a switch. Not counted, because the compiler invents it:

- the outcome of a switch that none of its cases matches: -Werror=switch names every enumerator;
- the condition of an `if constexpr`, which is decided before anything runs.

Of a template all instances count together; a header counts once, whoever includes it.

A branch that no test takes is argued by a comment at the end of its line, or alone on the line
above:

    if (!found) return;  // unreached: why no test can take it, and why it stands here all the same

Fails on a branch that is neither taken nor argued, and on an argument that argues nothing any more.
"""

import collections
import json
import pathlib
import re
import sys

LAYERS = ("protocol", "storage", "daemon/broker")
# Layers where every branch must be taken or argued. Only grows.
JUDGED = ("protocol", "storage", "daemon/broker")
# The real disk and the simulated one, and the admin wire, are judged by other suites.
ELSEWHERE = re.compile(r"/posix_disk\.|/simulated_disk\.|^protocol/admin/")
ARGUMENT = re.compile(r"//\s*unreached: (\S.{9,})$")


class File:
    def __init__(self, name, lines):
        self.name = name
        self.lines = pathlib.Path(name).read_text(encoding="utf-8").splitlines()
        self.line_count, self.lines_reached = lines["count"], lines["covered"]
        self.taken = collections.Counter()  # by place in the source and outcome

    def add(self, branch):
        line, column, end_line, end_column, when_true, when_false = branch[:6]
        text = self.lines[line - 1]
        place = (line, column, end_line, end_column)
        if re.match(r"\s*(\} else )?if constexpr ", text):
            return
        if not text[:column - 1].endswith("switch ("):
            self.taken[place, True] += when_true
        if not re.match(r"(case\b|default:)", text[column - 1:]) \
                and not text[:column - 1].endswith("switch ("):
            self.taken[place, False] += when_false

    # Number of the line that is argued -> number of the line with the argument.
    def arguments(self):
        found = {}
        for number, text in enumerate(self.lines, 1):
            if not ARGUMENT.search(text):
                continue
            argued = number
            while self.lines[argued - 1].lstrip().startswith("//"):
                argued += 1
            found[argued] = number
        return found

    def judge(self):
        arguments = self.arguments()
        self.argued, self.open = [], []
        for (place, outcome), count in sorted(self.taken.items()):
            if count == 0:
                (self.argued if place[0] in arguments else self.open).append((place, outcome))
        argued_lines = {place[0] for place, _ in self.argued}
        self.stale = sorted(number for line, number in arguments.items()
                            if line not in argued_lines)

    def describe(self, place, outcome):
        line, column, end_line, end_column = place
        text = self.lines[line - 1]
        what = text[column - 1:end_column - 1] if end_line == line else text[column - 1:]
        what = what.removesuffix(":")
        if what.startswith("case ") or what == "default":
            return f"{self.name}:{line}: {what}"
        if what == "":
            what = text.strip()
        return f"{self.name}:{line}: {what} is never {'true' if outcome else 'false'}"


def load(path):
    root = pathlib.Path.cwd().as_posix() + "/"
    files = collections.defaultdict(list)
    for entry in json.load(open(path, encoding="utf-8"))["data"][0]["files"]:
        name = pathlib.Path(entry["filename"]).resolve().as_posix().removeprefix(root)
        layer = next((layer for layer in LAYERS if name.startswith(layer + "/")), None)
        if layer is None or ELSEWHERE.search(name):
            continue
        file = File(name, entry["summary"]["lines"])
        for branch in entry["branches"]:
            file.add(branch)
        file.judge()
        files[layer].append(file)
    return files


def percent(part, whole):
    return 100.0 * part / whole if whole else 100.0


def row(name, files):
    lines = percent(sum(f.lines_reached for f in files), sum(f.line_count for f in files))
    branches = sum(len(f.taken) for f in files)
    argued, unreached = sum(len(f.argued) for f in files), sum(len(f.open) for f in files)
    taken = percent(branches - argued - unreached, branches)
    return (f"{name:40} {lines:6.1f} % lines {taken:6.1f} % of {branches} branches, "
            f"{argued} argued, {unreached} neither")


def main():
    files = load(sys.argv[1])
    wrong = 0
    for layer in LAYERS:
        print(f"== {layer}")
        for file in sorted(files[layer], key=lambda f: f.name):
            print(row(file.name, [file]))
        print(row("all", files[layer]))
    for layer in LAYERS:
        for file in files[layer]:
            if "--unreached" in sys.argv:
                for branch in file.argued:
                    print("argued: " + file.describe(*branch))
            for branch in file.open:
                print("neither taken nor argued: " + file.describe(*branch))
            for number in file.stale:
                print(f"{file.name}:{number}: argues nothing: all its branches are taken")
            wrong += (len(file.open) + len(file.stale)) * (layer in JUDGED)
    if not all(files[layer] for layer in LAYERS):
        print("there is a layer without a single file")
        wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
