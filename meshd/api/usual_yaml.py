"""The usual YAML, line by line: what nearly every document of a mesh is written in. Pure.

Events of a YAML parser cost several times what reading such a document costs
otherwise. This reader takes a small part of the language: block mappings and
lists, plain words as keys, scalars that end where their line ends, comments.
It declines all else, also whatever might be a mistake, and then
``meshd.api.yaml`` reads the document with libyaml, which is the authority: where
this reader takes a document, libyaml makes the same of it, value for value and
place for place. A test holds the two against each other.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

from meshd.api.marks import Marks, mark
from meshd.api.scalars import WORDS, resolve

# Every repetition is possessive (``*+``): what it took it never gives back, so that no line takes longer than it is.
_LINE = re.compile(
    r"""
    ^([ ]*+)                                    # indentation
    (-[ ]++)?                                   # a list's item
    (?:([A-Za-z_][A-Za-z0-9_./-]{0,254}):(?=[ \n]|\Z)([ ]*+))?  # a key, the room after it
    (
      (?:[A-Za-z0-9_/.$^()+=;<~\\]|-(?=[!-~]))  # a plain scalar: how it may begin,
      [!"$-9;-~]*+(?::(?=[!-~])[!"$-9;-~]*+)*+  # without what would end it: ": " and " #"
      (?:[ ]++(?:[!"$-9;-~]|:(?=[!-~]))[!"$-9;-~]*+(?::(?=[!-~])[!"$-9;-~]*+)*+)*+
    | "[ !\#-\[\]-~]*+"                          # quoted, without escapes
    | '[ -&(-~]*+'
    | \[\] | \{\}
    )?
    [ ]*+(?:(?<![!-~])\#[\t -~]*+)?$            # a comment
    """,
    re.MULTILINE | re.VERBOSE,
)
_FIRST_MARKER = re.compile(r"---[ ]*\n")

Place: TypeAlias = tuple[int, int]

DEEPEST = 32
"""Levels of the usual; deeper documents are for the authority, which counts exactly."""


def read_usual(text: str, first_line: int, max_nodes: int) -> tuple[Any, Marks, Place] | None:
    """Read one document.

    Args:
        text: The document, perhaps with the ``---`` line before it.
        first_line: Lines of the file before the text.
        max_nodes: More than this and it is declined.

    Returns:
        The value, the places of everything in it, and its own; or None if the
        document is not of the usual kind.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    marker = _FIRST_MARKER.match(text)
    if marker is not None:
        text = text[marker.end() :]
        first_line += 1
    lines = _LINE.findall(text)
    if len(lines) != text.count("\n") + 1 or 3 * len(lines) > max_nodes:
        return None
    try:
        return _build(lines, first_line)
    except _Unusual:
        return None
    except ValueError:  # A scalar that cannot be; the authority says why.
        return None


class _Unusual(Exception):
    """The document is for the authority. Raised and caught in this module only."""


_Open: TypeAlias = "tuple[int, Any, Any]"
"""A collection that may still grow: the column of its keys or dashes, its value, the places in it."""


def _build(lines: list[tuple[str, ...]], first_line: int) -> tuple[Any, Marks, Place]:
    """What the lines hold. ``waiting`` is a key whose value begins in a later line."""
    stack: list[_Open] = []
    opened: _Open
    waiting = ""
    waiting_place = (0, 0)
    root: tuple[Any, Marks, Place] | None = None
    for number, (indentation, dash, key, room, scalar) in enumerate(lines, first_line + 1):
        if not dash and not key:
            if scalar:
                raise _Unusual
            continue
        column = len(indentation)
        if waiting:
            top = stack[-1]
            if column < top[0] or (column == top[0] and not dash) or len(stack) > DEEPEST:
                raise _Unusual
            opened = (column, [], []) if dash else (column, {}, {})
            top[1][waiting] = opened[1]
            top[2][waiting] = (mark(waiting_place, (number, column + 1)), opened[2])
            waiting = ""
            stack.append(opened)
        elif stack:
            _close(stack, column, dash)
        elif root is None:
            opened = (column, [], []) if dash else (column, {}, {})
            place = (number, column + 1)
            root = (opened[1], Marks((mark(place, place), opened[2])), place)
            stack.append(opened)
        _, value, inner = stack[-1]
        if dash:
            column += len(dash)
            place = (number, column + 1)
            packed = mark(place, place)
            if not key:
                found = _scalar(scalar)
                value.append(found)
                inner.append((packed, type(found)()) if type(found) in _COLLECTIONS else packed)
                continue
            stack.append((column, {}, {}))
            value.append(stack[-1][1])
            inner.append((packed, stack[-1][2]))
            _, value, inner = stack[-1]
        if key in value or key in WORDS:
            raise _Unusual
        place = (number, column + 1)
        if not scalar:
            waiting, waiting_place = key, place
            continue
        found = value[key] = _scalar(scalar)
        packed = mark(place, (number, column + len(key) + 2 + len(room)))
        inner[key] = (packed, type(found)()) if type(found) in _COLLECTIONS else packed
    if waiting or root is None:
        raise _Unusual
    return root


def _close(stack: list[_Open], column: int, dash: str) -> None:
    """Close what ends before a line that begins at ``column``."""
    while stack[-1][0] > column or (not dash and stack[-1][0] == column and type(stack[-1][1]) is list):
        stack.pop()
        if not stack:
            raise _Unusual
    if stack[-1][0] != column or (dash and type(stack[-1][1]) is dict):
        raise _Unusual


_COLLECTIONS = frozenset({dict, list})


def _scalar(text: str) -> Any:
    """A value that is whole in its line."""
    if not text:
        raise _Unusual
    first = text[0]
    if first in "\"'":
        return text[1:-1]
    if first == "[":
        return []
    return {} if first == "{" else resolve(text)
