"""What a plain YAML scalar means: as kubectl and Istio read it. Pure.

Both read YAML with go-yaml v2 and turn it into JSON. That differs from PyYAML:
dates stay text, ``12:30:45`` stays text, ``1e3`` is a number, ``y`` and ``n``
are booleans, ``0o17`` is an integer, a mapping's key is always text.

Source: ``sigs.k8s.io/yaml``, its ``goyaml.v2/resolve.go``.
"""

from __future__ import annotations

import math
import re
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool | None

WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_NUMERIC_START = frozenset("0123456789+-.")
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)|(?P<dec>0|[1-9][0-9]*))"
)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_A_NUMBER = re.compile(r"\.(?:nan|NaN|NAN)|[-+]?\.(?:inf|Inf|INF)")
_BASES = {"hex": 16, "bin": 2, "oct": 8, "dec": 10}

_LONGEST_NUMBER = 64
"""Characters. No field takes more than twenty digits, and Python's conversion is quadratic."""


def resolve(text: str) -> Scalar:
    """The value of a plain (unquoted) scalar.

    Raises:
        ValueError: It is not a number or infinite, which JSON cannot say.
    """
    if text in WORDS:
        return WORDS[text]
    if text[0] not in _NUMERIC_START or len(text) > _LONGEST_NUMBER:
        return text
    if _NOT_A_NUMBER.fullmatch(text):
        raise ValueError(f"{text} is not a number that a field can have")
    plain = text.replace("_", "")
    if (match := _INTEGER.fullmatch(plain)) is not None:
        name = match.lastgroup or "dec"
        return int(match["sign"] + match[name], _BASES[name])
    if _FLOAT.fullmatch(plain):
        number = float(plain)
        return number if math.isfinite(number) else text
    return text


def key_text(value: Scalar) -> str | None:
    """A resolved key as JSON's text; None when it cannot be one."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
