"""Regular expressions of users: RE2, Envoy's and Istio's own syntax. Pure.

RE2 matches in time linear in the text, so neither a document nor a client can
stall the loop. The library is imported when the first expression is compiled:
a proxy without any does not pay for it. Subjects are bytes in Latin-1, because
a path or header may hold any byte; a pattern's own characters are its UTF-8
bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meshd.errors import ConfigError

_LARGE_PROGRAM = 2_000
"""Instructions. RE2's set matcher reports "no match" when its automaton cannot
be built in memory; programs of this size stay far below that (8 MiB)."""


def full_match(pattern: str) -> Callable[[bytes], object]:
    """A predicate that is true when the whole text matches.

    Returns:
        A callable whose result is to be used for its truth only.

    Raises:
        ConfigError: the pattern is not RE2.
    """
    import re2

    encoded = pattern.encode()
    compiled = _compile(pattern, captures=False)
    if compiled.programsize > _LARGE_PROGRAM:
        return compiled.fullmatch  # type: ignore[no-any-return]
    chosen = re2.Set.FullMatchSet(_options(captures=False))
    chosen.Add(encoded)
    chosen.Compile()
    return chosen.Match  # type: ignore[no-any-return]


def substitute(pattern: str, replacement: str) -> Callable[[bytes], bytes]:
    r"""A function that replaces every match, as RE2's ``GlobalReplace``.

    Args:
        pattern: RE2.
        replacement: Text with ``\0`` to ``\9`` for groups and ``\\`` for a backslash.

    Raises:
        ConfigError: the pattern is not RE2, or the replacement names a group that it has not.
    """
    compiled = _compile(pattern, captures=True)
    pieces = _template(replacement, compiled.groups)

    def replace(text: bytes) -> bytes:
        result: list[bytes] = []
        end = 0
        last = -1
        for match in compiled.finditer(text):
            start, stop = match.span()
            if start == stop == last:
                continue
            result.append(text[end:start])
            result.extend(piece if isinstance(piece, bytes) else match.group(piece) or b"" for piece in pieces)
            end = last = stop
        result.append(text[end:])
        return b"".join(result)

    return replace


def _template(replacement: str, groups: int) -> list[bytes | int]:
    pieces: list[bytes | int] = []
    literal = bytearray()
    text = iter(replacement)
    for character in text:
        if character != "\\":
            literal += character.encode()
            continue
        escaped = next(text, "")
        if escaped == "\\":
            literal += b"\\"
        elif escaped.isascii() and escaped.isdigit():
            if int(escaped) > groups:
                raise ConfigError(
                    f"the replacement {replacement!r} uses group \\{escaped}, but the pattern has {groups}"
                )
            pieces += [bytes(literal), int(escaped)]
            literal.clear()
        else:
            raise ConfigError(
                f"the replacement {replacement!r} has a stray backslash: write \\0 to \\9, or \\\\ for one backslash"
            )
    pieces.append(bytes(literal))
    return [piece for piece in pieces if piece != b""]


def _options(*, captures: bool) -> Any:
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.never_capture = not captures
    return options


def _compile(pattern: str, *, captures: bool) -> Any:
    import re2

    try:
        return re2.compile(pattern.encode(), _options(captures=captures))
    except re2.error as error:
        detail = error.args[0] if error.args else ""
        why = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
        raise ConfigError(
            f"{pattern!r} is not a regular expression that RE2 understands ({why}); RE2 has no look-around and no back-references"
        ) from error
