"""Reads the source tree and fails on what reviews would otherwise have to catch.

Layers (docs/architecture.md), sizes, words that mean "not finished", symbols that a layer without
I/O must not reach for. Usage: tidy.py SOURCE_ROOT [LIBRARY.a ...]
"""

import pathlib
import re
import subprocess
import sys

# What a folder may include from, besides itself. Longest prefix wins.
ARROWS = {
    "protocol": [],
    "protocol/admin": ["protocol"],
    "protocol/control": ["protocol"],
    "storage": ["protocol"],
    "tls": [],
    "client": ["protocol", "tls"],
    "client/outbox": ["client", "protocol", "storage"],
    "daemon/broker": ["protocol", "storage"],
    "daemon/config": ["daemon/broker", "protocol"],
    "daemon/accept": [],
    "daemon/uplink": ["client", "daemon/broker", "daemon/config", "protocol", "storage", "tls"],
    "daemon/net": ["daemon/accept", "daemon/broker", "daemon/config", "daemon/uplink", "protocol",
                   "storage", "tls"],
    "daemon/admin": ["daemon/accept", "daemon/broker", "daemon/config", "protocol", "storage"],
    "daemon": ["daemon/accept", "daemon/admin", "daemon/broker", "daemon/config", "daemon/net",
               "daemon/uplink", "protocol", "storage", "tls"],
    "tools": ["client", "daemon/broker", "daemon/config", "protocol", "storage", "tls"],
}
# Outside headers and who may use them.
FENCED = {
    "uv.h": ["client", "daemon", "daemon/accept", "daemon/net", "daemon/admin", "daemon/uplink",
             "tools"],
    "openssl/": ["tls", "tools/pki"],
    "flatbuffers/": ["protocol/admin", "protocol/control"],
    "toml++/": ["daemon/config"],
}
TEST_CASE = re.compile(r"^TEST_CASE\(.*?^}\n", re.DOTALL | re.MULTILINE)
POSIX_FILE_CALLS = re.compile(r"(?<![\w>])::(open|openat|pread|pwrite|fdatasync|fsync|ftruncate|renameat|unlinkat)\(")
POSIX_FILE = "storage/posix_disk.cc"
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|not implemented|unimplemented|for now\b|placeholder text")
SOURCE_LINES_MAX = 600
HEADER_LINES_MAX = 260
COLUMNS_MAX = 100
# Symbols that protocol, storage and broker must not need: time, randomness, sockets, files, threads.
FORBIDDEN = re.compile(
    r"^(clock_gettime|gettimeofday|time|rand|random|srand|getrandom|socket|connect|send|recv|open|"
    r"openat|read|write|pread|pwrite|fopen|usleep|nanosleep|pthread_create|uv_\w+|SSL_\w+|"
    r"_ZNSt6chrono\w*3nowEv|_ZNSt13random_device\w*|_ZNSt6thread\w*)$")
SIMULATION_ONLY = ("simulated_disk",)


def layer_of(path, known):
    parts = path.split("/")
    for length in range(len(parts), 0, -1):
        prefix = "/".join(parts[:length])
        if prefix in known:
            return prefix
    return None


def sources(root):
    for folder in ("protocol", "storage", "tls", "client", "daemon", "tools"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".h", ".cc"):
                yield path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")


def check_includes(name, text):
    here = layer_of(name.rsplit("/", 1)[0], ARROWS)
    for number, line in enumerate(text.splitlines(), 1):
        own = re.match(r'#include "([^"]+)"', line)
        if own and "/" in own.group(1):
            there = layer_of(own.group(1).rsplit("/", 1)[0], ARROWS)
            allowed = [here, *ARROWS[here]]
            inside = there is not None and any(
                there == a or there.startswith(a + "/") for a in allowed)
            if there is not None and not inside:
                yield f"{name}:{number}: {here} must not include from {there}"
        foreign = re.match(r"#include <([^>]+)>", line)
        for header, users in FENCED.items():
            if foreign and foreign.group(1).startswith(header):
                folder = name.rsplit("/", 1)[0]
                if not any(folder == u or folder.startswith(u + "/") for u in users):
                    yield f"{name}:{number}: <{foreign.group(1)}> is not for {folder}"


def check_text(name, text):
    lines = text.splitlines()
    limit = HEADER_LINES_MAX if name.endswith(".h") else SOURCE_LINES_MAX
    if len(lines) > limit:
        yield f"{name}: {len(lines)} lines, at most {limit}: extract a noun with its own test"
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS_MAX:
            yield f"{name}:{number}: {len(line)} columns, at most {COLUMNS_MAX}"
        if UNFINISHED.search(line):
            yield f"{name}:{number}: unfinished: {line.strip()}"
        if name.startswith("storage/") and name != POSIX_FILE and POSIX_FILE_CALLS.search(line):
            yield f"{name}:{number}: a file call outside {POSIX_FILE}"


# doctest runs a subcase only if an earlier run has reached it: none behind a return ever is.
def check_subcases(name, text):
    for case in TEST_CASE.finditer(text):
        first, last = case[0].find("SUBCASE("), case[0].rfind("SUBCASE(")
        end = case[0].find("return;", first)
        if -1 < first < end < last:
            number = text.count("\n", 0, case.start() + end) + 1
            yield f"{name}:{number}: the subcases behind this return never run"


def check_symbols(library):
    if any(part in library for part in SIMULATION_ONLY):
        return
    listing = subprocess.run(["nm", "--undefined-only", "--format=posix", library],
                             stdout=subprocess.PIPE, text=True, check=True).stdout
    for line in listing.splitlines():
        symbol = line.split(" ")[0].split("@")[0]
        if FORBIDDEN.match(symbol):
            yield f"{library}: needs {symbol}"


def main():
    root = pathlib.Path(sys.argv[1])
    problems = []
    count = 0
    for name, text in sources(root):
        count += 1
        problems += check_includes(name, text)
        problems += check_text(name, text)
    for path in sorted((root / "test").rglob("*_test.cc")):
        name = path.relative_to(root).as_posix()
        problems += check_subcases(name, path.read_text(encoding="utf-8"))
    for library in sys.argv[2:]:
        problems += check_symbols(library)
    for problem in problems:
        print(problem)
    print(f"{count} files, {len(sys.argv) - 2} libraries, {len(problems)} problem(s)")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
