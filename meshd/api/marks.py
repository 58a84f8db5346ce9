"""Where every key and value of a document stands, kept small. Pure.

A *mark* is one integer: line and column of a key, line and column of its value
(for a list's item both are the item's). A *node* of the tree of marks is a
mark, or ``(mark, children)`` where children are a dict by key or a list.
It costs some forty bytes a value, so that a mesh can keep them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import attrs

Node: TypeAlias = "int | tuple[int, dict[str, Node] | list[Node]]"

_BITS = 24
_MASK = (1 << _BITS) - 1


def mark(key: tuple[int, int], value: tuple[int, int]) -> int:
    """Pack two places, each (line, column) from 1."""
    return (((key[0] & _MASK) << _BITS | key[1] & _MASK) << _BITS | value[0] & _MASK) << _BITS | value[1] & _MASK


def places(packed: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The opposite of ``mark``: the key's and the value's (line, column)."""
    column, packed = packed & _MASK, packed >> _BITS
    line, packed = packed & _MASK, packed >> _BITS
    return (packed >> _BITS, packed & _MASK), (line, column)


@attrs.frozen
class Marks:
    """The marks of one document."""

    root: Node

    def locate(self, path: Sequence[str | int], *, value: bool = False) -> tuple[int, int]:
        """Line and column of the key at ``path`` (of its value with ``value``), or of its nearest ancestor."""
        node = self.root
        whole = True
        for step in path:
            child = _child(node, step)
            if child is None:
                whole = False
                break
            node = child
        key_place, value_place = places(node if isinstance(node, int) else node[0])
        return value_place if value and whole else key_place

    def has(self, path: Sequence[str | int]) -> bool:
        """Whether anything stands at ``path``."""
        node: Node | None = self.root
        for step in path:
            node = None if node is None else _child(node, step)
        return node is not None


def _child(node: Node, step: str | int) -> Node | None:
    if isinstance(node, int):
        return None
    children = node[1]
    if isinstance(children, dict):
        return children.get(step) if isinstance(step, str) else None
    if isinstance(step, int) and 0 <= step < len(children):
        return children[step]
    return None
