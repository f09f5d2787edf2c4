"""Plain data to TOML text, for the configurations of the suites.

Invariant: what it writes parses back to the same data; each call is checked with tomllib.
"""

import json
import tomllib


def _value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return "[" + ", ".join(_value(item) for item in value) + "]"


def _is_tables(value):
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _lines(path, table):
    for key, value in table.items():
        if not isinstance(value, dict) and not _is_tables(value):
            yield f"{key} = {_value(value)}"
    for key, value in table.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield f"[{name}]"
            yield from _lines(name, value)
        elif _is_tables(value):
            for row in value:
                yield f"[[{name}]]"
                yield from _lines(name, row)


def to_toml(document):
    text = "\n".join(_lines("", document)) + "\n"
    if tomllib.loads(text) != document:
        raise AssertionError(f"not the same document:\n{text}")
    return text
