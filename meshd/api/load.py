"""Text to documents: the whole way from YAML to resources. Pure.

``Loader`` reads a text and gives a ``Loaded`` for each object in it, usable or
not, in order. A ``kind: List`` is taken apart into its items.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import attrs

from meshd.api.common import DEFAULT_NAMESPACE, Map, Metadata
from meshd.api.convert import Converter, describe, suggestion
from meshd.api.document import Document, Key, Origin, Path, printable
from meshd.api.foreign import Foreign, freeze
from meshd.api.kinds import CORE, CORE_KINDS, FOREIGN_KINDS, GATEWAY_API, KINDS, NOT_YET_GROUPS, Kind
from meshd.api.kubernetes import ConfigMap
from meshd.api.marks import Marks
from meshd.api.mesh.read import NAME as SETTINGS_NAME
from meshd.api.mesh.read import NAMESPACE as SETTINGS_NAMESPACE
from meshd.api.mesh.read import SettingsReader, holds_settings
from meshd.api.problem import (
    KIND_NOT_SUPPORTED,
    KIND_OF_NO_CONCERN,
    SYNTAX_ERROR,
    Level,
    Problem,
    error,
    info,
    warning,
)
from meshd.api.yaml import DEFAULT_LIMITS, Limits, Tree, parse


@attrs.frozen
class Loaded:
    """One object of a text.

    ``document`` is None when it cannot be used. ``key`` is None when it is not
    even known which object it would have been. ``named`` is how to speak of
    it: ``VirtualService default/reviews``, or "". ``shell`` is the object
    without its resource, where that could not be read: its metadata and status.
    """

    origin: Origin
    document: Document | None = None
    key: Key | None = None
    named: str = ""
    problems: tuple[Problem, ...] = ()
    marks: Marks | None = attrs.field(default=None, repr=False, eq=False)
    shell: Document | None = None

    def origin_of(self, problem: Problem) -> Origin:
        """Where a problem stands."""
        if self.marks is None:
            return self.origin
        line, column = self.marks.locate(problem.path, value=problem.at_value)
        return Origin(self.origin.file, line, column)


@attrs.frozen
class _Text:
    """A file while it is read."""

    file: str
    source: bytes | str = attrs.field(repr=False)

    @cached_property
    def lines(self) -> list[str]:
        """Its lines."""
        text = self.source.decode("utf-8-sig", "replace") if isinstance(self.source, bytes) else self.source
        return text.split("\n")


class Loader:
    """Reads texts. Create one and keep it (see ``Converter``).

    Args:
        limits: What a text may be at most.
        namespace: Of documents that name none.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS, *, namespace: str = DEFAULT_NAMESPACE) -> None:
        self.limits = limits
        self.namespace = namespace
        self._converter = Converter()
        self._settings = SettingsReader(limits)
        self._kinds = {(kind.group, kind.name): kind for kind in (*KINDS, *FOREIGN_KINDS)}

    def load(self, source: bytes | str, file: str) -> tuple[Loaded, ...]:
        """Every object of a text, and every mistake in it, in order.

        Args:
            source: The text; bytes must be UTF-8.
            file: What to call it in origins.
        """
        parsed = parse(source, self.limits)
        self._settings.forget()
        whole = _Text(file, source)
        found = [loaded for tree in parsed.trees for loaded in self._objects(tree, whole)]
        for mistake in parsed.mistakes:
            problem = Problem(SYNTAX_ERROR, Level.ERROR, (), str(mistake))
            found.append(Loaded(Origin(file, mistake.line, mistake.column), problems=(problem,)))
        return tuple(sorted(found, key=lambda loaded: (loaded.origin.line, loaded.origin.column)))

    def load_settings(self, source: str, file: str, name: str) -> Loaded:
        """A file that holds a MeshConfig or MeshNetworks and nothing around it, as the ConfigMap that would hold it.

        Args:
            source: The text.
            file: What to call it in origins.
            name: ``mesh`` or ``meshNetworks``.
        """
        self._settings.forget()
        resource, marks, problems = self._settings.from_file(source, name)
        origin = Origin(file, 1, 1)
        document = Document.of(resource, SETTINGS_NAME, namespace=SETTINGS_NAMESPACE, origin=origin, marks=marks)
        usable = None if _any_error(problems) else document
        return Loaded(origin, usable, document.key, str(document.key), tuple(_condensed(problems)), marks)

    def _objects(self, tree: Tree, whole: _Text) -> Iterator[Loaded]:
        value = tree.value
        if isinstance(value, dict) and _is_list(value):
            for index, item in enumerate(value["items"]):
                line, column = tree.marks.locate(("items", index), value=True)
                inner = Marks(_descend(tree.marks, index))
                yield self._object(item, inner, Origin(whole.file, line, column), whole)
            return
        yield self._object(value, tree.marks, Origin(whole.file, *tree.place), whole)

    def _object(self, value: Any, marks: Marks, origin: Origin, whole: _Text) -> Loaded:
        def refused(*problems: Problem, named: str = "") -> Loaded:
            return Loaded(origin, named=named, problems=problems, marks=marks)

        if not isinstance(value, dict):
            return refused(error((), f"expected an object with apiVersion and kind, found {describe(value)}"))
        missing = [
            error((), f'the field "{name}" is missing', at_value=False)
            for name in ("apiVersion", "kind")
            if not value.get(name)
        ]
        if missing:
            return refused(*missing)
        api_version, kind_name = value["apiVersion"], value["kind"]
        for name in ("apiVersion", "kind"):
            if not isinstance(value[name], str):
                return refused(error((name,), f"expected text, found {describe(value[name])}"))
        group, _, version = api_version.rpartition("/")
        kind = self._kinds.get((group, kind_name))
        if kind is None:
            return refused(self._about_kind(group, version, kind_name), named=_named(kind_name, value, self.namespace))
        if version not in kind.versions and kind.resource is not Foreign:
            known = ", ".join(f"{kind.group}/{each}" if kind.group else each for each in kind.versions)
            problem = error(("apiVersion",), f"{kind_name} has no version {version}; known: {known}")
            return refused(problem, named=_named(kind_name, value, self.namespace))
        loaded = self._known(kind, api_version, value, marks, origin)
        if kind.resource is ConfigMap and loaded.document is not None and holds_settings(loaded.document.name):
            return self._with_settings(loaded, loaded.document, whole)
        return loaded

    def _with_settings(self, loaded: Loaded, document: Document, whole: _Text) -> Loaded:
        assert document.marks is not None
        resource, marks, problems = self._settings.read(document.resource, document.marks, whole.lines)
        usable = None if _any_error(problems) else attrs.evolve(document, resource=resource, marks=marks)
        said = (*loaded.problems, *_condensed(problems))
        return attrs.evolve(loaded, document=usable, problems=said, marks=marks)

    def _known(self, kind: Kind, api_version: str, value: dict[str, Any], marks: Marks, origin: Origin) -> Loaded:
        problems: list[Problem] = []
        metadata, found = self._converter.structure(value.get("metadata"), Metadata, ("metadata",))
        problems += found
        problems += _about_metadata(kind, metadata)
        key = _key_of(kind, value, self.namespace)
        body, path = _body(kind, value)
        problems += self._about_top(kind, value)
        resource, found = self._resource(kind, body, path)
        problems += found
        document = shell = None
        if metadata is not None and key is not None:
            document = Document(
                kind.name,
                api_version,
                key.namespace,
                key.name,
                resource,
                origin,
                metadata.labels,
                metadata.annotations,
                _utc(metadata.creationTimestamp),
                _status(kind, value),
                marks,
            )
            if resource is None or _any_error(problems):
                shell = attrs.evolve(document, resource=None)
                document = None
        problems = _condensed(_discreet(kind, problems))
        named = str(key) if key is not None else _named(kind.name, value, self.namespace)
        return Loaded(origin, document, key, named, tuple(problems), marks, shell)

    def _resource(self, kind: Kind, body: Any, path: Path) -> tuple[Any, tuple[Problem, ...]]:
        if kind.resource is Foreign:
            return Foreign(freeze(body)), (_about_foreign(kind),)
        resource, problems = self._converter.structure(body, kind.resource, path)
        return resource, problems if kind.supported else (_no_effect(kind.name), *problems)

    def _about_top(self, kind: Kind, value: dict[str, Any]) -> Iterator[Problem]:
        """Fields beside ``metadata`` that the resource is not made from."""
        if not kind.in_spec:
            return
        for name in value:
            if name not in _ENVELOPE and name != "spec":
                known = {*_ENVELOPE, "spec"}
                yield error((name,), f"unknown field{suggestion(name, known)}", at_value=False)

    def _about_kind(self, group: str, version: str, name: str) -> Problem:
        """Why a kind is not one of meshd's."""
        if group in NOT_YET_GROUPS:
            return _no_effect(name)
        groups = sorted({kind.api_version for kind in (*KINDS, *FOREIGN_KINDS) if kind.name == name})
        if groups and (group.endswith("istio.io") or not group):
            return error(("apiVersion",), f"{name} does not belong to {group or version}; write {' or '.join(groups)}")
        ours = {each for owner, each in self._kinds if owner == group}
        if ours and (group.endswith("istio.io") or (group == CORE and name not in CORE_KINDS)):
            hint = suggestion(name, ours | (CORE_KINDS if group == CORE else frozenset()))
            if group != CORE or "did you mean" in hint:
                return error(("kind",), f"unknown kind {name} in {group or 'v1'}{hint}")
        return info(("kind",), f"the kind {name} does not concern a mesh: it is skipped", code=KIND_OF_NO_CONCERN)


def _no_effect(name: str) -> Problem:
    return warning(("kind",), f"meshd does not support the kind {name} yet: it has no effect", code=KIND_NOT_SUPPORTED)


def _about_foreign(kind: Kind) -> Problem:
    if kind.group.endswith("istio.io") or kind.group == GATEWAY_API:
        return _no_effect(kind.name)
    return info(("kind",), f"the kind {kind.name} configures no proxy: only analyses read it", code=KIND_OF_NO_CONCERN)


def _status(kind: Kind, value: dict[str, Any]) -> Map[str, Any]:
    """Istio's and the Gateway API's conditions, and a Service's addresses."""
    status = value.get("status")
    read = kind.group.endswith("istio.io") or kind.group == GATEWAY_API or kind.name in ("Service", "Pod")
    return freeze(status) if read and isinstance(status, dict) else Map()


_ENVELOPE = frozenset({"apiVersion", "kind", "metadata", "status"})


def _is_list(value: dict[str, Any]) -> bool:
    kind = value.get("kind")
    return isinstance(kind, str) and kind.endswith("List") and isinstance(value.get("items"), list)


def _descend(marks: Marks, index: int) -> Any:
    root = marks.root
    assert not isinstance(root, int)
    assert isinstance(root[1], dict)
    items = root[1]["items"]
    assert not isinstance(items, int)
    assert isinstance(items[1], list)
    return items[1][index]


def _body(kind: Kind, value: dict[str, Any]) -> tuple[Any, Path]:
    """The part of a document that becomes the resource."""
    if kind.in_spec:
        return value.get("spec"), ("spec",)
    return {name: each for name, each in value.items() if name not in _ENVELOPE}, ()


def _key_of(kind: Kind, value: dict[str, Any], otherwise: str) -> Key | None:
    """Which object this is, however broken the rest of it may be."""
    metadata = value.get("metadata")
    if not isinstance(metadata, dict):
        return None
    name = metadata.get("name") or (metadata.get("generateName") if kind.resource is Foreign else None)
    namespace = metadata.get("namespace") or otherwise
    if not isinstance(name, str) or not isinstance(namespace, str) or not name:
        return None
    return Key(kind.group, kind.name, namespace if kind.namespaced else "", name)


def _named(kind: str, value: dict[str, Any], otherwise: str) -> str:
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not name:
        return printable(kind)
    assert isinstance(metadata, dict)
    namespace = metadata.get("namespace")
    return printable(f"{kind} {namespace if isinstance(namespace, str) and namespace else otherwise}/{name}")


def _about_metadata(kind: Kind, metadata: Metadata | None) -> Iterator[Problem]:
    if metadata is None:
        return
    if not metadata.name and not (metadata.generateName and kind.resource is Foreign):
        generated = "; generateName is not enough: there is nobody to make the name" if metadata.generateName else ""
        yield error(("metadata",), f'the field "name" is missing{generated}', at_value=False)
    if metadata.creationTimestamp and not _utc(metadata.creationTimestamp):
        yield error(
            ("metadata", "creationTimestamp"),
            f'"{metadata.creationTimestamp}" is not a time such as 2024-01-31T12:00:00Z',
        )


def _utc(text: str) -> str:
    """RFC 3339 in UTC, so that texts compare as times do; "" when it is no time."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return ""
    if moment.tzinfo is None:
        return ""
    try:
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except OverflowError:
        return ""


def _discreet(kind: Kind, problems: list[Problem]) -> list[Problem]:
    """What is wrong with a secret's value is said without the value."""
    if kind.name != "Secret":
        return problems
    return [
        attrs.evolve(problem, message="expected text; put it in quotes")
        if len(problem.path) > 1 and problem.path[0] in ("data", "stringData")
        else problem
        for problem in problems
    ]


MOST_ERRORS = 100
"""Of one document. Whoever has that many mistakes mends the first ones first."""


def _condensed(problems: list[Problem]) -> list[Problem]:
    """The same remark about each item of a long list is made once, and errors end somewhere."""
    alike: dict[object, int] = {}
    kept: list[Problem] = []
    errors = 0
    for problem in problems:
        if problem.level is Level.ERROR:
            errors += 1
            if errors <= MOST_ERRORS:
                kept.append(problem)
            continue
        shape = (problem.code, tuple(0 if isinstance(step, int) else step for step in problem.path), problem.message)
        alike[shape] = alike.get(shape, 0) + 1
        if alike[shape] == 1:
            kept.append(problem)
    if errors > MOST_ERRORS:
        kept.append(error((), f"and {errors - MOST_ERRORS} more mistakes", at_value=False))
    return kept


def _any_error(problems: list[Problem]) -> bool:
    return any(problem.level is Level.ERROR for problem in problems)
