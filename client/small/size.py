"""Prints what the part of the client without I/O costs a small device, and checks what it needs.

Usage: size.py PROGRAM. The program is optimised for size and linked without its unused sections.
Fails where it needs a library beyond those of the language.
"""

import re
import subprocess
import sys

ALLOWED = re.compile(r"lib(stdc\+\+|m|gcc_s|c|c\+\+|c\+\+abi|asan|ubsan|tsan|pthread)\.so|ld-linux")


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def main():
    program = sys.argv[1]
    text, data, bss = map(int, output("size", program).splitlines()[1].split()[:3])
    print(f"client without I/O, linked for size: {text + data} bytes "
          f"(text {text}, data {data}), bss {bss}")
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", output("readelf", "--dynamic", "--wide", program))
    strange = [library for library in needed if not ALLOWED.match(library)]
    for library in strange:
        print(f"needs {library}: this part of the client must not")
    return 1 if strange else 0


if __name__ == "__main__":
    sys.exit(main())
