"""The mesh's settings: YAML within a ConfigMap's text, or a file of their own. Pure.

Istio keeps MeshConfig and MeshNetworks in the ConfigMap ``istio`` (``istio-REVISION``
with revisions), keys ``mesh`` and ``meshNetworks``. Their places are those of
the file: ``data.mesh.trustDomain`` stands where ``trustDomain`` is written.
They are read as the JSON of protocol buffers, as Istio does, since no schema of
Kubernetes looks into a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from meshd.api.common import Map
from meshd.api.convert import Converter, describe
from meshd.api.document import Path
from meshd.api.kubernetes import ConfigMap
from meshd.api.marks import Marks, Node, mark, places
from meshd.api.mesh.config import MeshConfig
from meshd.api.mesh.networks import MeshNetworks
from meshd.api.problem import SYNTAX_ERROR, Level, Problem, error
from meshd.api.yaml import Limits, Mistake, parse

SETTINGS: dict[str, type[Any]] = {"mesh": MeshConfig, "meshNetworks": MeshNetworks}
"""Keys of the ConfigMap, and what stands there."""

NAME = "istio"
NAMESPACE = "istio-system"
"""Which ConfigMap it is: Istio's root namespace, before anybody could have configured another."""


def holds_settings(name: str) -> bool:
    """Whether a ConfigMap of this name holds a mesh's settings."""
    return name == NAME or name.startswith(f"{NAME}-")


@attrs.frozen
class _Read:
    """What one text says; the same text is read once."""

    value: Any = None
    problems: tuple[Problem, ...] = ()
    root: Node | None = None
    """Where everything is in the text."""


class SettingsReader:
    """Makes settings of texts. Create one and keep it (see ``Converter``)."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._converter = Converter(protobuf=True)
        # The whole mutable state, but for the converter's: what was read since the last ``forget``.
        self._known: dict[tuple[str, str], _Read] = {}

    def forget(self) -> None:
        """To be called before each file: of one file every text is read once, however many aliases it has."""
        self._known.clear()

    def read(self, resource: ConfigMap, marks: Marks, lines: Sequence[str]) -> tuple[ConfigMap, Marks, list[Problem]]:
        """A ConfigMap with its settings read.

        Args:
            resource: As it stands.
            marks: Where everything is in the file.
            lines: The file's.

        Returns:
            It with ``mesh`` and ``meshNetworks``, the marks with those of the
            texts in them, and what is wrong.
        """
        problems: list[Problem] = []
        made: dict[str, Any] = {}
        for name in SETTINGS:
            text = resource.data.get(name)
            if text is None:
                continue
            read = self._read(name, text)
            path: Path = ("data", name)
            move = _move(text, marks.locate(path, value=True), lines)
            if move is not None and read.root is not None:
                marks = _grafted(marks, name, _moved(read.root, move, marks.locate(path)))
            made[name] = read.value
            problems += read.problems
        return attrs.evolve(resource, **made), marks, problems

    def from_file(self, text: str, name: str) -> tuple[ConfigMap, Marks, list[Problem]]:
        """The ConfigMap around settings that are a whole file.

        Args:
            text: The file's.
            name: ``mesh`` or ``meshNetworks``.
        """
        read = self._read(name, text)
        top = mark((1, 1), (1, 1))
        marks = Marks((top, {"data": (top, {name: top if read.root is None else read.root})}))
        return ConfigMap(Map({name: text}), **{name: read.value}), marks, list(read.problems)

    def _read(self, name: str, text: str) -> _Read:
        known = self._known.get((name, text))
        if known is None:
            known = self._known[name, text] = self._read_anew(name, text)
        return known

    def _read_anew(self, name: str, text: str) -> _Read:
        path: Path = ("data", name)
        parsed = parse(text, self._limits)
        if parsed.mistakes:
            return _Read(problems=tuple(_mistake(path, mistake) for mistake in parsed.mistakes))
        if len(parsed.trees) > 1:
            return _Read(problems=(error(path, "there is more than one document; keep one"),))
        if not parsed.trees:
            return _Read(SETTINGS[name]())
        tree = parsed.trees[0]
        if not isinstance(tree.value, dict):
            return _Read(problems=(error(path, f"expected settings, found {describe(tree.value)}"),))
        value, problems = self._converter.structure(tree.value, SETTINGS[name], path)
        return _Read(value, problems, tree.marks.root)


def _mistake(path: Path, mistake: Mistake) -> Problem:
    where = f"in line {mistake.line} of the text, column {mistake.column}"
    return Problem(SYNTAX_ERROR, Level.ERROR, path, f"{where}: {mistake}", at_value=True)


def _moved(node: Node, move: tuple[int, int], key: tuple[int, int] | None = None) -> Node:
    """The same marks some lines and columns further; ``key`` takes the place of the root's."""
    packed = node if isinstance(node, int) else node[0]
    key_place, value_place = ((line + move[0], column + move[1]) for line, column in places(packed))
    moved = mark(key or key_place, value_place)
    if isinstance(node, int):
        return moved
    children = node[1]
    if isinstance(children, dict):
        return moved, {name: _moved(each, move) for name, each in children.items()}
    return moved, [_moved(each, move) for each in children]


def _grafted(marks: Marks, name: str, node: Node) -> Marks:
    """Marks with another node at ``data``'s ``name``; those of the others are shared."""
    root = marks.root
    assert not isinstance(root, int)
    assert isinstance(root[1], dict)
    data = root[1]["data"]
    assert not isinstance(data, int)
    assert isinstance(data[1], dict)
    return Marks((root[0], {**root[1], "data": (data[0], {**data[1], name: node})}))


def _move(text: str, place: tuple[int, int], lines: Sequence[str]) -> tuple[int, int] | None:
    """How many lines and columns a literal block (``|``) lies from the file's beginning.

    None for any other text: its lines are not the file's.
    """
    line, column = place
    header = lines[line - 1][column - 1 :] if 0 < line <= len(lines) else ""
    if not header.startswith("|"):
        return None
    for offset, inner in enumerate(text.split("\n")):
        if inner.strip() and line + offset < len(lines):
            return line, len(lines[line + offset].rstrip("\r")) - len(inner)
    return None
