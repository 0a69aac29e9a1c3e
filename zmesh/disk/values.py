"""One value of the settings: from TOML, or from the text of a variable or flag, to the type its field has.

Decides what an error says: what is expected there in an operator's words, and what was found. Knows no files and no
names of settings.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
from msgspec import inspect

__all__ = ["convert", "expectation", "parse_text", "shown"]

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
SHOWN_MAX = 80


def convert(value: object, expected: Any) -> Any:
    """``value`` as the type ``expected``; ValueError "expected ..., got ..." if it is no such thing."""
    if isinstance(value, float) and not math.isfinite(value):  # TOML has nan and inf; no setting has a use for them
        raise ValueError(f"expected {expectation(expected)}, got {shown(value)}")
    try:
        return msgspec.convert(value, expected)
    except msgspec.ValidationError as error:
        where = f" ({error})" if isinstance(value, list | dict) else ""
        raise ValueError(f"expected {expectation(expected)}, got {shown(value)}{where}") from None


def parse_text(text: str, expected: Any) -> object:
    """The value that ``text`` of a variable or flag stands for: a list by commas, a yes or no, a number, else itself.

    Text that fits no number or truth is returned as it is, for ``convert`` to refuse.
    """
    kind = _plain(inspect.type_info(expected))
    kinds = [_plain(one) for one in kind.types] if isinstance(kind, inspect.UnionType) else [kind]
    word = text.strip()
    if any(isinstance(one, inspect.ListType) for one in kinds):
        return [part.strip() for part in text.split(",") if part.strip()]
    if any(isinstance(one, inspect.BoolType) for one in kinds) and word.lower() in _TRUE | _FALSE:
        return word.lower() in _TRUE
    for number, parse in ((inspect.IntType, int), (inspect.FloatType, float)):
        if any(isinstance(one, number) for one in kinds):
            try:
                return parse(word)
            except ValueError:
                continue
    return text


def expectation(expected: Any) -> str:
    """What belongs there, for people: "a whole number of at least 1"."""
    return _describe(inspect.type_info(expected))


def shown(value: object) -> str:
    """A value as TOML would have it, cut to a length that fits a line."""
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 3] + "..."


def _plain(kind: inspect.Type) -> inspect.Type:
    return _plain(kind.type) if isinstance(kind, inspect.Metadata) else kind


def _describe(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata(type=inner, extra_json_schema=schema):
            return str(schema["description"]) if schema and "description" in schema else _describe(inner)
        case inspect.IntType() | inspect.FloatType():
            return ("a whole number" if isinstance(kind, inspect.IntType) else "a number") + _range(kind)
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType(values=values):
            return " or ".join(shown(value) for value in values)
        case inspect.UnionType(types=types):
            return " or ".join(_describe(one) for one in types if not isinstance(one, inspect.NoneType))
        case inspect.ListType(item_type=item):
            return f"a list, each item {_describe(item)}"
        case inspect.DictType(value_type=value):
            return f"a table, each value {_describe(value)}"
        case _:
            return "text in quotes"


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge:g} to {kind.le:g}" if kind.le < 10**6 else f" from {kind.ge} to {kind.le}"
    bounds = []
    if kind.gt is not None:
        bounds.append(f"above {kind.gt:g}")
    if kind.ge is not None:
        bounds.append(f"of at least {kind.ge}")
    if kind.le is not None:
        bounds.append(f"of at most {kind.le}")
    return " " + " and ".join(bounds) if bounds else ""
