"""Values that hold no others: text, numbers, durations, enumerations. Strict, and pure.

Each kind of leaf is a function from what the document says to what the resource
holds; it takes the usual case first and raises ``ValueError`` with a sentence
for its author. ``protobuf`` is how the JSON of protocol buffers has it, where no
schema of Kubernetes stands before it: numbers may be quoted.
"""

from __future__ import annotations

import base64
import binascii
import difflib
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Annotated, Any, TypeAlias, get_args, get_origin

from meshd.api.common import Duration, Encoded, IntOrString, Range
from meshd.api.durations import parse_duration

Parse: TypeAlias = Callable[[object], Any]

_WIDEST = Range(-(2**63), 2**63 - 1)

_LONGEST_NUMBER = 20
"""Digits of the greatest number of protocol buffers."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """``; did you mean "weight"?``, or what there is to choose from when that is short, or nothing."""
    choices = sorted(known)
    lower = {choice.lower(): choice for choice in choices}
    flat = word.replace("_", "").replace("-", "").lower()
    close = [lower[flat]] if flat in lower else difflib.get_close_matches(word[:_LONGEST_WORD], choices, n=1)
    if close:
        return f'; did you mean "{close[0]}"?'
    if 0 < len(choices) <= 6:
        return f"; known here: {', '.join(choices)}"
    return ""


_LONGEST_WORD = 64
"""Characters that are looked at for a suggestion: comparing takes longer than the word does."""


def describe(value: object) -> str:
    """A value in a sentence: ``the number 5``, ``a list``; long text is cut."""
    match value:
        case None:
            return "nothing"
        case bool():
            return f"the boolean {str(value).lower()}"
        case int() | float():
            return f"the number {value}"
        case str():
            return f'the text "{value if len(value) <= 40 else value[:37] + "..."}"'
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case _:  # pragma: no cover  YAML gives nothing else
            return type(value).__name__


def leaf(cls: Any, *, protobuf: bool = False) -> tuple[Parse, str]:
    """How to read a field of this type, and what to call what it wants.

    Raises:
        TypeError: No leaf is of this type.
    """
    if cls is str:
        return text, "text"
    if cls is bool:
        return boolean, "true or false"
    if cls is float:
        return (_protobuf_number if protobuf else number), "a number"
    if cls is Duration:
        return duration, "a duration such as 2s"
    if cls == IntOrString:
        return int_or_string, "a number or a name"
    if cls is int:
        return _integer(_WIDEST, protobuf=protobuf), "a whole number"
    if isinstance(cls, type) and issubclass(cls, StrEnum):
        return _enumeration(cls), f"one of {', '.join(cls)}"
    if get_origin(cls) is Annotated:
        _, note = get_args(cls)
        if isinstance(note, Range):
            return _integer(note, protobuf=protobuf), "a whole number"
        if isinstance(note, Encoded):
            return encoded, "text"
    raise TypeError(f"no field can be of the type {cls}")


def text(value: object) -> str:
    """Text, and nothing that only looks like it."""
    if type(value) is str:
        return value
    remedy = ""
    if isinstance(value, bool):
        remedy = " (so are yes, no, on, off, y and n); put it in quotes"
    elif isinstance(value, int | float):
        remedy = "; put it in quotes"
    raise ValueError(f"expected text, found {describe(value)}{remedy}")


def boolean(value: object) -> bool:
    """True or false; ``"false"`` is neither."""
    if type(value) is bool:
        return value
    remedy = "; take the quotes away" if value in ("true", "false") else ""
    raise ValueError(f"expected true or false, found {describe(value)}{remedy}")


def number(value: object) -> float:
    """A number."""
    if type(value) is float or type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise ValueError("this number is too large") from None
    raise ValueError(f"expected a number, found {describe(value)}")


def _protobuf_number(value: object) -> float:
    if isinstance(value, str) and len(value) <= 2 * _LONGEST_NUMBER:
        try:
            return float(value)
        except ValueError:
            pass
    return number(value)


def duration(value: object) -> Duration:
    """Seconds."""
    if type(value) is str:
        return Duration(parse_duration(value))
    remedy = f"; write {value}s for seconds" if isinstance(value, int) and not isinstance(value, bool) else ""
    raise ValueError(f"expected a duration such as 2s or 100ms, found {describe(value)}{remedy}")


def int_or_string(value: object) -> int | str:
    """A port's number or name."""
    if type(value) is str or (type(value) is int and _WIDEST.least <= value <= _WIDEST.greatest):
        return value
    raise ValueError(f"expected a number or a name, found {describe(value)}")


def encoded(value: object) -> str:
    """Text in base64, as it stands."""
    found = text(value)
    try:
        base64.b64decode(found, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("expected base64; encode it, or write plain text where there is a field for it") from None
    return found


def _integer(allowed: Range, *, protobuf: bool) -> Parse:
    least, greatest = allowed.least, allowed.greatest

    def parse(value: object) -> int:
        if type(value) is int and least <= value <= greatest:
            return value
        return _unusual_integer(value, allowed, protobuf=protobuf)

    return parse


def _unusual_integer(value: object, allowed: Range, *, protobuf: bool) -> int:
    quoted = isinstance(value, str) and len(value) <= _LONGEST_NUMBER and value.removeprefix("-").isdecimal()
    if quoted and protobuf:
        value = int(str(value))
    if isinstance(value, float) and value.is_integer():  # 1.0 is 1 in JSON, and so it is for kubectl.
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        remedy = "; take the quotes away" if quoted else ""
        raise ValueError(f"expected a whole number, found {describe(value)}{remedy}")  # noqa: TRY004
    if value > allowed.greatest:
        raise ValueError(f"this number is too large: the greatest is {allowed.greatest}")
    if value < allowed.least:
        raise ValueError(f"this number is too small: the least is {allowed.least}")
    return value


def _enumeration(cls: type[StrEnum]) -> Parse:
    members: dict[object, StrEnum] = {member.value: member for member in cls}

    def parse(value: object) -> StrEnum:
        if type(value) is str and value in members:
            return members[value]
        hint = suggestion(value, members) if isinstance(value, str) else ""  # type: ignore[arg-type]
        if "did you mean" not in hint:
            hint = f"; it must be one of {', '.join(cls)}"
        raise ValueError(f"unknown value: {describe(value)}{hint}")

    return parse
