"""Shapes of plain data, for kinds that are kept as they were written. Pure.

A shape says what a value may be, as the schema of a CustomResourceDefinition
does; ``conform`` says where a value differs. What no shape can say (two fields
that exclude each other) is for whoever knows the kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import attrs

from meshd.api.common import Map
from meshd.api.convert import describe, suggestion
from meshd.api.document import Path
from meshd.api.problem import Problem, error


@attrs.frozen
class Text:
    """Text of so many characters; with a ``pattern``, of that form, which is ``form`` in words."""

    least: int = 0
    most: int = 1 << 20
    pattern: str = ""
    form: str = ""


@attrs.frozen
class Choice:
    """One of some words."""

    words: tuple[str, ...]


@attrs.frozen
class Whole:
    """A whole number."""

    least: int = -(2**31)
    most: int = 2**31 - 1


@attrs.frozen
class Anything:
    """A mapping of whatever (protobuf's ``Struct``)."""


@attrs.frozen
class Items:
    """A list; ``unique`` names the field in which no two items are alike."""

    item: Shape
    most: int = 1 << 16
    unique: str = ""


@attrs.frozen
class Texts:
    """A mapping from names to text."""

    value: Text = Text()
    most: int = 1 << 16


@attrs.frozen
class Fields:
    """A mapping with these fields and no others."""

    known: Mapping[str, Shape]
    required: tuple[str, ...] = ()


Shape: TypeAlias = "Text | Choice | Whole | Anything | Items | Texts | Fields"


def conform(value: Any, shape: Shape, path: Path) -> Iterator[Problem]:
    """Where frozen plain data differs from a shape."""
    match shape:
        case Text():
            yield from _text(value, shape, path)
        case Choice():
            if value not in shape.words:
                yield error(path, f"{describe(value)} is not one of {', '.join(shape.words)}")
        case Whole():
            if not isinstance(value, int) or isinstance(value, bool):
                yield error(path, f"expected a whole number, found {describe(value)}")
            elif not shape.least <= value <= shape.most:
                yield error(path, f"{value} is out of range: {shape.least} to {shape.most}")
        case Items():
            yield from _items(value, shape, path)
        case Anything() | Texts() | Fields() if not isinstance(value, Map):
            found = "a list" if isinstance(value, tuple) else describe(value)
            yield error(path, f"expected a mapping, found {found}")
        case Texts():
            if len(value) > shape.most:
                yield error(path, f"more than {shape.most} entries", at_value=False)
            for key, each in value.items():
                yield from _text(each, shape.value, (*path, key))
        case Fields():
            yield from _fields(value, shape, path)


def _text(value: Any, shape: Text, path: Path) -> Iterator[Problem]:
    if not isinstance(value, str):
        found = "a list" if isinstance(value, tuple) else "a mapping" if isinstance(value, Map) else describe(value)
        yield error(path, f"expected text, found {found}")
    elif len(value) < shape.least:
        yield error(path, "the text is empty")
    elif len(value) > shape.most:
        yield error(path, f"the text has {len(value)} characters, more than {shape.most}")
    elif shape.pattern and re.fullmatch(shape.pattern, value) is None:
        yield error(path, f'"{value[:80]}" is not {shape.form}')


def _items(value: Any, shape: Items, path: Path) -> Iterator[Problem]:
    if not isinstance(value, tuple):
        yield error(path, f"expected a list, found {'a mapping' if isinstance(value, Map) else describe(value)}")
        return
    if len(value) > shape.most:
        yield error(path, f"more than {shape.most} items", at_value=False)
    seen: set[Any] = set()
    for index, each in enumerate(value):
        here = (*path, index)
        yield from conform(each, shape.item, here)
        if shape.unique and isinstance(each, Map):
            own = each.get(shape.unique)
            if own in seen:
                yield error((*here, shape.unique), f'"{own}" is here twice')
            seen.add(own)


def _fields(value: Map[str, Any], shape: Fields, path: Path) -> Iterator[Problem]:
    for name in shape.required:
        if value.get(name) is None:
            yield error(path, f'the field "{name}" is missing: it needs to be set', at_value=False)
    for name, each in value.items():
        here = (*path, name)
        if name not in shape.known:
            yield error(here, f"unknown field{suggestion(name, shape.known)}", at_value=False)
        elif each is not None:
            yield from conform(each, shape.known[name], here)
