"""YAML to plain values, with the line and column of every key and value. Pure.

It is built from libyaml's *events*: the C composer of PyYAML overflows the
stack on deep nesting, events do not, and they carry places. The rules:

- Scalars mean what kubectl takes them to mean (``meshd.api.scalars``).
- Duplicate keys, tags and keys that are not scalars are refused.
- Anchors, aliases and merge keys (``<<``) work; what an alias stands for counts
  against the node limit as if it were written out.
- Bytes, depth and nodes are limited. Whatever is wrong is a ``Mistake``, never
  an exception.
- Documents written in the usual way are read line by line (``meshd.api.usual_yaml``),
  which makes the same of them in a fraction of the time.
- A file is cut at its ``---`` lines and each part is parsed alone, so that a
  mistake in one document leaves its neighbours standing. (``---`` at the start
  of a line always begins a document, inside quotes and block scalars too.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from meshd.api.document import printable
from meshd.api.marks import Marks, Node, mark
from meshd.api.scalars import Scalar, key_text, resolve
from meshd.api.usual_yaml import DEEPEST, read_usual
from meshd.api.yaml_hints import explain

_EventParser: Callable[[str], Any]
try:
    from yaml._yaml import CParser as _EventParser
except ImportError:  # PyYAML built without libyaml: the same events, ten times slower.
    from meshd.api.yaml_python import PythonParser as _EventParser

MIB = 1 << 20
Place = tuple[int, int]


@attrs.frozen
class Limits:
    """What a file may be at most.

    ``max_bytes``: kubectl and etcd stop at 1.5 MiB an object; a file may hold
    many. ``max_depth``: the deepest field of Istio's API is at 15.
    ``max_nodes``: of one document, keys, values and lists, aliases counted as
    what they stand for; a full EndpointSlice has some 12,000.
    """

    max_bytes: int = 4 * MIB
    max_depth: int = 64
    max_nodes: int = 200_000


DEFAULT_LIMITS = Limits()


@attrs.frozen
class Mistake:
    """Why a piece of text is not usable YAML. ``hint`` says how to mend it, or ""."""

    line: int
    column: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return printable(f"{self.message}; {self.hint}" if self.hint else self.message)


@attrs.frozen
class Tree:
    """One document: plain dicts, lists and scalars, and the places of all of them."""

    value: Any
    marks: Marks
    place: Place


@attrs.frozen
class Parsed:
    """What a text holds: in order, trees and mistakes."""

    trees: tuple[Tree, ...] = ()
    mistakes: tuple[Mistake, ...] = ()


class _Refused(Exception):
    """This document ends here. Raised and caught in this module only."""

    def __init__(self, place: Place, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.mistake = Mistake(*place, message, hint)


def parse(source: bytes | str, limits: Limits = DEFAULT_LIMITS) -> Parsed:
    """Read every document of a text. Empty documents are skipped."""
    size = len(source)
    if size > limits.max_bytes:
        return _only(too_large(size, limits.max_bytes))
    if isinstance(source, bytes):
        try:
            text = source.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = source.count(b"\n", 0, error.start) + 1
            return _only(Mistake(line, 1, "the file is not UTF-8 text", "save it as UTF-8"))
    else:
        text = source.removeprefix("\ufeff")
    trees: list[Tree] = []
    mistakes: list[Mistake] = []
    for first_line, part in _parts(text):
        usual = read_usual(part, first_line, limits.max_nodes) if limits.max_depth > DEEPEST else None
        if usual is not None:
            trees.append(Tree(*usual))
            continue
        try:
            trees.extend(_documents(part, first_line, limits))
        except _Refused as refused:
            mistakes.append(refused.mistake)
    return Parsed(tuple(trees), tuple(mistakes))


def too_large(size: int, limit: int) -> Mistake:
    """What to say of a file that is not even read."""
    return Mistake(1, 1, f"the file has {size} bytes, more than the {limit} allowed", "split it into several files")


def _only(mistake: Mistake) -> Parsed:
    return Parsed((), (mistake,))


_MARKER = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_DIRECTIVE = re.compile(r"^%", re.MULTILINE)
_NOTHING = re.compile(r"(?:[ \t]*(?:#[^\n]*)?(?:\r?\n|\Z))*\Z")


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """The text's documents and the number of lines before each."""
    starts = [0, *(match.start() for match in _MARKER.finditer(text) if match.start())]
    line = 0
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        part = text[start:end]
        lines = part.count("\n")
        # A directive (``%YAML 1.2``) stands before the ``---`` it is about, in a part of its own.
        if "%" in part:
            part = _DIRECTIVE.sub("#", part) if not part.startswith("---") else part
        if not _NOTHING.match(part.removeprefix("---")):
            yield line, part
        line += lines


def _documents(text: str, first_line: int, limits: Limits) -> Iterator[Tree]:
    try:
        parser = _EventParser(text)
        while True:
            event = parser.get_event()
            if event is None or isinstance(event, StreamEndEvent):
                return
            if isinstance(event, DocumentStartEvent):
                tree = _Builder(parser, first_line, limits).build()
                if tree.value is not None:
                    yield tree
    except yaml.YAMLError as error:
        raise _Refused(*explain(error, text, first_line)) from error
    except UnicodeEncodeError as error:
        raise _Refused((first_line + 1, 1), "the text has a character that UTF-8 cannot hold") from error


@attrs.define
class _Open:
    """A collection being built. ``key`` waits for its value."""

    value: dict[str, Any] | list[Any]
    children: dict[str, Node] | list[Node]
    place: Place
    anchor: str | None
    nodes_before: int
    height: int = 1
    key: str | None = None
    key_place: Place = (0, 0)
    merging: bool = False
    """The value to come is that of ``<<``."""
    merged: set[str] = attrs.Factory(set)
    """Keys that came by ``<<`` and may still be written out."""


@attrs.frozen
class _Anchor:
    value: Any
    node: Node
    nodes: int
    height: int


class _Builder:
    """Builds one document from the events after its start."""

    def __init__(self, parser: Any, first_line: int, limits: Limits) -> None:
        # The whole mutable state: the open collections, the anchors seen, and the count of nodes.
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Anchor | None] = {}
        self._nodes = 0
        self._parser = parser
        self._first_line = first_line
        self._limits = limits

    def build(self) -> Tree:
        """Read up to the document's end.

        Raises:
            _Refused: A rule of this module is broken.
            yaml.YAMLError: The text is not YAML.
        """
        result: Tree | None = None
        while True:
            event = self._parser.get_event()
            if isinstance(event, DocumentEndEvent):
                assert result is not None
                return result
            built = self._take(event)
            if built is not None:
                value, node, place = built
                result = Tree(value, Marks(node), place)

    def _take(self, event: Any) -> tuple[Any, Node, Place] | None:
        """One event; the finished root, when this event finished it."""
        kind = type(event)
        if kind is MappingEndEvent or kind is SequenceEndEvent:
            return self._close()
        start = event.start_mark
        place = (self._first_line + start.line + 1, start.column + 1)
        self._count(1, place)
        if kind is AliasEvent:
            return self._alias(event.anchor, place)
        if event.tag is not None:
            raise _Refused(place, f"the tag {_tag(event.tag)} is not allowed", "leave it out; quote text")
        if kind is ScalarEvent:
            return self._scalar(event, place)
        self._open(event, place)
        return None

    def _close(self) -> tuple[Any, Node, Place] | None:
        done = self._stack.pop()
        node: Node = (mark(done.place, done.place), done.children)
        if done.anchor is not None:
            self._anchors[done.anchor] = _Anchor(done.value, node, self._nodes - done.nodes_before, done.height)
        return self._add(done.value, node, done.place, done.height)

    def _scalar(self, event: ScalarEvent, place: Place) -> tuple[Any, Node, Place] | None:
        value: Scalar = event.value
        if not event.style:
            try:
                value = resolve(event.value)
            except ValueError as error:
                raise _Refused(place, str(error), "quote it if it is text") from error
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.value, dict) and top.key is None and not top.merging:
            self._key(top, value, place, plain=not event.style)
            return None
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchor(value, mark(place, place), 1, 0)
        return self._add(value, mark(place, place), place, 0)

    def _key(self, top: _Open, value: Scalar, place: Place, *, plain: bool) -> None:
        if plain and value == "<<":
            top.merging = True
            top.key_place = place
            return
        key = key_text(value)
        if key is None:
            raise _Refused(place, "a key is empty", "write a name before the colon")
        if key in top.value and key not in top.merged:
            assert isinstance(top.children, dict)
            first = _line(top.children[key])
            raise _Refused(place, f'the key "{key}" is here twice; first in line {first}', "remove one of them")
        top.merged.discard(key)
        top.key, top.key_place = key, place

    def _open(self, event: Any, place: Place) -> None:
        if len(self._stack) >= self._limits.max_depth:
            raise _Refused(place, f"nested more than {self._limits.max_depth} levels deep")
        mapping = type(event) is MappingStartEvent
        self._refuse_as_key(place)
        value: dict[str, Any] | list[Any] = {} if mapping else []
        children: dict[str, Node] | list[Node] = {} if mapping else []
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._stack.append(_Open(value, children, place, event.anchor, self._nodes - 1))

    def _alias(self, name: str, place: Place) -> tuple[Any, Node, Place] | None:
        if name not in self._anchors:
            raise _Refused(place, f"the alias *{name} has no anchor &{name} before it")
        anchor = self._anchors[name]
        if anchor is None:
            raise _Refused(place, f"the alias *{name} stands inside its own anchor")
        self._refuse_as_key(place)
        self._count(anchor.nodes, place)
        if len(self._stack) + anchor.height > self._limits.max_depth:
            raise _Refused(place, f"nested more than {self._limits.max_depth} levels deep")
        return self._add(anchor.value, anchor.node, place, anchor.height)

    def _refuse_as_key(self, place: Place) -> None:
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.value, dict) and top.key is None and not top.merging:
            raise _Refused(
                place,
                "a key must be a plain word",
                "if this is a template ({{ ... }}), render it first; quote text that begins with { [ or *",
            )

    def _add(self, value: Any, node: Node, place: Place, height: int) -> tuple[Any, Node, Place] | None:
        """Put a finished value into the collection it belongs to."""
        if not self._stack:
            return value, node, place
        top = self._stack[-1]
        top.height = max(top.height, height + 1)
        if isinstance(top.value, list):
            top.value.append(value)
            top.children.append(node)  # type: ignore[union-attr]
        elif top.merging:
            self._merge(top, value, node, place)
        else:
            assert top.key is not None
            assert isinstance(top.children, dict)
            top.value[top.key] = value
            packed = mark(top.key_place, place)
            top.children[top.key] = packed if isinstance(node, int) else (packed, node[1])
            top.key = None
        return None

    def _merge(self, top: _Open, value: Any, node: Node, place: Place) -> None:
        """``<<: *defaults``: what is written out wins, then the earlier of several."""
        assert isinstance(top.value, dict)
        assert isinstance(top.children, dict)
        top.merging = False
        sources = value if isinstance(value, list) else [value]
        nodes = node[1] if isinstance(value, list) and not isinstance(node, int) else [node]
        for source, source_node in zip(sources, nodes, strict=True):
            if not isinstance(source, dict) or not isinstance(source_node, tuple):
                raise _Refused(place, "<< merges mappings only", "put an alias of a mapping there")
            for key in source.keys() - top.value.keys():
                top.merged.add(key)
                top.value[key] = source[key]
                top.children[key] = source_node[1][key]

    def _count(self, nodes: int, place: Place) -> None:
        self._nodes += nodes
        if self._nodes > self._limits.max_nodes:
            raise _Refused(
                place, f"the document has more than {self._limits.max_nodes} values", "split it, or use fewer aliases"
            )


def _line(node: Node) -> int:
    return Marks(node).locate(())[0]


def _tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")
