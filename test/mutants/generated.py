"""Bugs nobody thought of: one for each line of the code that has a place for it.

A condition is turned around or its comparison moved by one, `&&` becomes `||`, a call or an
assignment is left out. Found by the look of a line, so only code formatted as this tree's is, and
only what stands whole on one line; the rest is passed over.
"""

import re

from planting import Mutant

FIRST_NUMBER = 10_000  # behind those of the lists
SWAPS = {" < ": " <= ", " <= ": " < ", " > ": " >= ", " >= ": " > ", " == ": " != ",
         " != ": " == ", " && ": " || ", " || ": " && ", " + 1": "", " - 1": ""}

CONDITION = re.compile(r"^\s*(?:\} else )?(?:if|while) \(")
RETURN = re.compile(r"^\s+return ([^{;]+);")
CALL = re.compile(r"^\s+([\w:]+(?:(?:->|\.)\w+(?:\(\))?)*\(.*\);)(?:\s*//.*)?$")
ASSIGNMENT = re.compile(r"^\s+((?:\+\+|--)?[\w.>\-\[\]]+(?: [+\-|&]?= [^{]+)?;)(?:\s*//.*)?$")
# What compiles without it, and means nothing, or is no statement.
NEVER_LEFT_OUT = ("return", "break", "continue", "static_assert", "default", "public", "private")


def balanced(text):
    return text.count("(") == text.count(")") and text.count("[") == text.count("]")


def condition_of(line):
    """(column, text) of the condition in a line that has all of it; None: there is none."""
    found = CONDITION.match(line)
    if not found:
        return None
    depth = 1
    for column in range(found.end(), len(line)):
        depth += {"(": 1, ")": -1}.get(line[column], 0)
        if depth == 0:
            text = line[found.end():column]
            declares = ";" in text or re.search(r"(?<![=!<>])=(?!=)", text)
            return None if declares else (found.end(), text)
    return None


def swaps_of(text):
    """Each way in which one operator of an expression may be another one."""
    bare = re.sub(r"<[^<>()]*>\(", lambda m: "_" * len(m.group()), text)  # casts are no comparisons
    for old, new in SWAPS.items():
        for found in re.finditer(re.escape(old) + r"(?![0-9'])", bare):
            yield text[:found.start()] + new + text[found.end():]


def spots_of_line(line, chance):
    """(column, original, what stands there instead with @ for "it is alive", words) or None."""
    condition = condition_of(line)
    if condition:
        column, text = condition
        ways = [(f"(@ != static_cast<bool>({text}))", "turned around")]
        ways += [(f"(@ ? static_cast<bool>({other}) : static_cast<bool>({text}))",
                  f"became {other}") for other in swaps_of(text)]
        return (column, text, *chance.choice(ways))
    returned = RETURN.match(line)
    if returned and balanced(returned.group(1)):
        text = returned.group(1)
        ways = list(swaps_of(text))
        if not ways:
            return None
        other = chance.choice(ways)
        return returned.start(1), text, f"(@ ? ({other}) : ({text}))", f"became {other}"
    statement = CALL.match(line) or ASSIGNMENT.match(line)
    if statement and balanced(statement.group(1)):
        text = statement.group(1)
        if re.match(r"(?:%s)\b" % "|".join(NEVER_LEFT_OUT), text) or not re.search(r"[(=+\-]", text):
            return None
        return statement.start(1), text, f"{{ if (!@) {text} }}", "left out"
    return None


def mutants_of(source, file, chance):
    """Those of one file, without numbers."""
    text = (source / file).read_text(encoding="utf-8")
    begin = 0
    previous_ends = True  # the line before ends a statement: this one begins one
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        code = line.split("//")[0].rstrip()
        spot = spots_of_line(line.rstrip("\n"), chance) if previous_ends else None
        if spot:
            column, original, planted, words = spot
            yield begin + column, original, planted, f"{file}:{number}: {original} {words}"
        if code:
            previous_ends = code[-1] in ";{}:)" and not code.lstrip().startswith("for (")
            if code[-1] == ")":
                previous_ends = CONDITION.match(line) is not None
        begin += len(line)


def generate(source, files, chance):
    """A mutant for each line that has a place for one; numbered from FIRST_NUMBER on."""
    number = FIRST_NUMBER
    for file in files:
        for at, original, planted, words in mutants_of(source, file, chance):
            yield Mutant(number, words, words, file, original, at=at,
                         planted=planted.replace("@", f"sink_planted({number})", 1))
            number += 1
