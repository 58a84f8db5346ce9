"""A document: one object somebody wrote, and where. Pure values.

Made by ``meshd.api.load`` from YAML, and by sources that have no file (a
sidecar's registration). ``Document`` is what travels through the control
plane; its ``resource`` is one of the classes in ``meshd.api.kinds``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import attrs

from meshd.api.common import DEFAULT_NAMESPACE, Labels, Map
from meshd.api.kinds import kind_of
from meshd.api.marks import Marks

Path = tuple[str | int, ...]
"""Steps into a document, in its own spelling: ``("spec", "http", 0, "timeout")``."""

_STEP = re.compile(r"\[(\d+)\]|\[\"((?:[^\"\\]|\\.)*)\"\]|([^.\[\]]+)")
_PLAIN = re.compile(r"[^.\[\]\"]+")


@attrs.frozen(order=True)
class Origin:
    """A place: file (or another source's name), line and column, both from 1; 0 is "not known"."""

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"


def printable(text: str) -> str:
    """Text of a stranger, fit for a line of output: what a terminal would obey is written out."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def format_path(path: Sequence[str | int]) -> str:
    """``("spec", "http", 0, "headers", "a.b")`` as ``spec.http[0].headers["a.b"]``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif not _PLAIN.fullmatch(step):
            quoted = step.replace("\\", "\\\\").replace('"', '\\"')
            text += f'["{quoted}"]'
        else:
            text += f".{step}" if text else step
    return text


def parse_path(text: str) -> Path:
    """The opposite of ``format_path``."""
    steps: list[str | int] = []
    for match in _STEP.finditer(text):
        index, quoted, plain = match.groups()
        if index is not None:
            steps.append(int(index))
        elif quoted is not None:
            steps.append(re.sub(r"\\(.)", r"\1", quoted))
        else:
            steps.append(plain)
    return tuple(steps)


@attrs.frozen
class Key:
    """What makes two documents the same object. Versions of a kind are one kind."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return printable(f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}")


@attrs.frozen
class Document:
    """One object.

    ``namespace`` is "" only for kinds without namespaces. ``creation_timestamp``
    is RFC 3339 in UTC, or "". Documents that never were text have no ``marks``.
    """

    kind: str
    api_version: str
    namespace: str
    name: str
    resource: Any
    origin: Origin = Origin()
    labels: Labels = Map()
    annotations: Labels = Map()
    creation_timestamp: str = ""
    status: Map[str, Any] = Map()
    """What Istio or Kubernetes reported of it, as plain frozen data; kept where somebody reads it."""
    marks: Marks | None = attrs.field(default=None, repr=False, eq=False)

    @classmethod
    def of(cls, resource: object, name: str, *, namespace: str = DEFAULT_NAMESPACE, **others: Any) -> Document:
        """A document around a resource, for sources and tests that have no YAML."""
        kind = kind_of(resource)
        return cls(kind.name, kind.api_version, namespace if kind.namespaced else "", name, resource, **others)

    def origin_of(self, path: str | Path, *, value: bool = False) -> Origin:
        """Where a field stands: its key, or its value; its nearest ancestor if it was not written.

        Args:
            path: ``spec.http[0].timeout``, or the same as a tuple of steps.
            value: The place of the value rather than of the key.
        """
        if self.marks is None:
            return self.origin
        steps = parse_path(path) if isinstance(path, str) else path
        line, column = self.marks.locate(steps, value=value)
        return Origin(self.origin.file, line, column)

    def has(self, path: Path) -> bool:
        """Whether a field was written, be it empty or null. Documents that never were text have none."""
        return self.marks is not None and self.marks.has(path)

    @property
    def key(self) -> Key:
        """Which object this is."""
        group = self.api_version.rpartition("/")[0]
        return Key(group, self.kind, self.namespace, self.name)

    @property
    def seniority(self) -> tuple[str, str, str]:
        """Sorts older first: those with a creation timestamp, then by namespace and name."""
        return (self.creation_timestamp or "~", self.namespace, self.name)

    def __str__(self) -> str:
        return str(self.key)
