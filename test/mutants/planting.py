"""The list of planted bugs, and the copy of the source tree that has them all in it.

A statement becomes `if (sink_planted(N)) { bug } else { original }`, an expression
`(sink_planted(N) ? (bug) : (original))`; which bug is alive is read from the environment
(planted.h), so that one build serves all. A spot that is not found exactly once is an error: the
list keeps up with the code. Lines keep their numbers.
"""

import dataclasses
import pathlib
import shutil
import tomllib

LISTS = ("protocol.toml", "storage.toml", "broker.toml")
KEYS = {"number", "name", "breaks", "file", "original", "within", "statement", "expression"}
HEADER = "test/mutants/planted.h"


class ListError(Exception):
    """The list is wrong, or no longer fits the code."""


@dataclasses.dataclass
class Mutant:
    number: int
    name: str
    breaks: str  # the promise, in words
    file: str
    original: str
    within: str | None = None  # text around `original` that is found once, where it is not itself
    statement: str | None = None
    expression: str | None = None
    at: int | None = None       # generated ones: where `original` begins,
    planted: str | None = None  # and what stands there


def read_list(folder):
    """All mutants in order of their numbers."""
    mutants = []
    for name in LISTS:
        for entry in tomllib.loads((folder / name).read_text(encoding="utf-8"))["mutant"]:
            if not entry.keys() <= KEYS:
                raise ListError(f"{name}: unknown keys {sorted(entry.keys() - KEYS)}")
            mutant = Mutant(**entry)
            if (mutant.statement is None) == (mutant.expression is None):
                raise ListError(f"{mutant.number}: a statement or an expression, not both")
            mutants.append(mutant)
    for key in ("number", "name"):
        values = [getattr(mutant, key) for mutant in mutants]
        if len(set(values)) != len(values):
            raise ListError(f"a {key} is there twice")
    return sorted(mutants, key=lambda mutant: mutant.number)


def find_once(text, wanted, mutant):
    count = text.count(wanted)
    if count != 1:
        raise ListError(f"{mutant.number} ({mutant.name}): found {count} times in {mutant.file}, "
                        f"not once:\n{wanted}")
    return text.index(wanted)


def spot_of(text, mutant):
    """(begin, end) of the original in its file's text."""
    if mutant.at is not None:
        begin = mutant.at
    elif mutant.within is None:
        begin = find_once(text, mutant.original, mutant)
    else:
        begin = find_once(text, mutant.within, mutant)
        begin += find_once(mutant.within, mutant.original, mutant)
    return begin, begin + len(mutant.original)


def planted_text(mutant):
    if mutant.planted is not None:
        return mutant.planted
    if mutant.expression is not None:
        return f"(sink_planted({mutant.number}) ? ({mutant.expression}) : ({mutant.original}))"
    bug = " ".join(mutant.statement.split())
    choice = f"if (sink_planted({mutant.number})) {{ {bug} }} else {{ {mutant.original} }}"
    return f"{{ {choice} }}"  # the statement may itself stand under an if


def plant(text, mutants):
    """The text of one file with all its bugs in it."""
    spots = sorted((spot_of(text, mutant), mutant.number, mutant) for mutant in mutants)
    for (one, _, first), (other, _, second) in zip(spots, spots[1:]):
        if other[0] < one[1]:
            raise ListError(f"{first.number} and {second.number} overlap in {first.file}")
    for (begin, end), _, mutant in reversed(spots):
        text = text[:begin] + planted_text(mutant) + text[end:]
    return f'#include "{HEADER}"\n#line 1\n{text}'


def files_of(source, skipped):
    for path in sorted(source.iterdir()):
        if path.name.startswith((".", "build")) or path == skipped:
            continue
        if path.is_file():
            yield path
        else:
            yield from files_of(path, skipped)


def write_if_changed(path, content):
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def copy_planted(source, tree, mutants):
    """Makes `tree` the planted copy of `source`; what has not changed is not written again."""
    by_file = {}
    for mutant in mutants:
        by_file.setdefault(mutant.file, []).append(mutant)
    wanted = set()
    for path in files_of(source, tree):
        name = path.relative_to(source)
        content = path.read_bytes()
        here = by_file.pop(name.as_posix(), None)
        if here:
            content = plant(content.decode("utf-8"), here).encode("utf-8")
        wanted.add(name)
        write_if_changed(tree / name, content)
        shutil.copymode(path, tree / name)
    if by_file:
        raise ListError(f"no such file: {', '.join(sorted(by_file))}")
    for path in list(files_of(tree, pathlib.Path())):
        if path.relative_to(tree) not in wanted:
            path.unlink()
