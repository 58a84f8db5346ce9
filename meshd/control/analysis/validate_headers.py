"""Header operations of routes and destinations. Pure.

Two judges: Envoy's grammar says what may be written (an error otherwise), and
the proxies' own code says which of it they can do (a warning otherwise).
"""

from __future__ import annotations

from collections.abc import Iterator

from meshd.api.document import Path
from meshd.api.networking.virtual_service import HeaderOperations, Headers
from meshd.api.problem import FIELD_NOT_SUPPORTED, Problem, error, warning
from meshd.control.analysis import checks
from meshd.errors import ConfigError
from meshd.policy.headers import check_operations
from meshd.snapshot.common import HeaderOperations as Edits

_HOST_NAMES = (":authority", "host")


def headers(block: Headers | None, path: Path) -> Iterator[Problem]:
    """A ``headers`` block: request and response, each ``set``, ``add`` and ``remove``."""
    if block is None:
        return
    for side in ("request", "response"):
        operations: HeaderOperations | None = getattr(block, side)
        if operations is None:
            continue
        for verb in ("set", "add"):
            for name, value in getattr(operations, verb).items():
                yield from _edit(side, verb, name, value, (*path, side, verb, name))
        for index, name in enumerate(operations.remove):
            yield from _name(name, (*path, side, "remove", index), host=False)


def set_hosts(block: Headers | None) -> tuple[str, ...]:
    """The names by which the request's own edits set or add its host."""
    if block is None or block.request is None:
        return ()
    names = (*block.request.set, *block.request.add)
    return tuple(name for name in names if name.lower() in _HOST_NAMES)


def _name(name: str, path: Path, *, host: bool) -> Iterator[Problem]:
    if not name:
        yield error(path, "a header name is empty", at_value=False)
    elif name.lower() in _HOST_NAMES:
        if not host:
            yield error(
                path, f'"{name}" is no header to edit here; set in a request it changes the host', at_value=False
            )
    elif name.startswith(":"):
        yield error(path, f'"{name}" belongs to the request line: it cannot be edited', at_value=False)


def _edit(side: str, verb: str, name: str, value: str, path: Path) -> Iterator[Problem]:
    found = [*_name(name, path, host=side == "request"), *checks.header_value(value, path)]
    yield from found
    if found or (verb == "add" and name.lower() in _HOST_NAMES):
        return
    if verb == "set" and name.lower() in _HOST_NAMES and "%" not in value:
        yield from checks.authority(value, path)
    edit = ((name, value),)
    try:
        check_operations(Edits(set=edit) if verb == "set" else Edits(add=edit), request=side == "request")
    except ConfigError as caught:
        if reason := why_not_format(value):
            yield error(path, f'the header value configuration "{value}" is invalid: {reason}')
        elif "%" in value:
            yield warning(path, f"{caught.message}; this edit is left out", code=FIELD_NOT_SUPPORTED)
        else:
            yield error(path, caught.message)


_OUTSIDE, _NAME, _ARGUMENT, _QUOTE, _TEXT, _COMMA, _CLOSE, _END = range(8)
"""States of Envoy's header format parser: between operators; in an operator's name; after ``(``; before a quote of a
list; in an argument; after a quoted one; before ``)``; before the closing ``%``."""


def why_not_format(value: str) -> str:
    """What is wrong with a header's value as Envoy's format, "" when nothing is.

    Source: Envoy's ``source/common/router/header_parser.cc``, in the form that Istio checks.
    """
    state = _OUTSIDE
    position = 0
    while position < len(value):
        character = value[position]
        following = value[position + 1 : position + 2]
        if state in (_OUTSIDE, _TEXT) and character == ("%" if state == _OUTSIDE else "\\"):
            if not following:
                return "a % at the end: write %% for a percent sign" if state == _OUTSIDE else "a backslash at the end"
            if state == _OUTSIDE and following != "%":
                state = _NAME
            else:
                position += 1
        else:
            step = _step(state, character)
            if step is None:
                return f"{character!r} cannot stand at character {position + 1}"
            state = step
        position += 1
    return "" if state == _OUTSIDE else "a % that begins no whole operator: write %% for a percent sign"


def _step(state: int, character: str) -> int | None:
    """The state after a character; None where it must not stand."""
    match state, character:
        case (2, "["):
            return _QUOTE
        case (1, "%") | (7, "%"):
            return _OUTSIDE
        case (1, "("):
            return _ARGUMENT
        case (3, '"'):
            return _TEXT
        case (4, ")") | (6, ")"):
            return _END
        case (4, '"'):
            return _COMMA
        case (5, ","):
            return _QUOTE
        case (5, "]"):
            return _CLOSE
        case (0 | 1 | 4, _) | (_, " "):
            return state
        case (2, _):
            return _TEXT
    return None
