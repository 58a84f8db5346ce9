"""Plain values to the classes of ``meshd.api``: strict, and every mistake at once. Pure.

Every type of field is a *shape* that reads a value in two ways. ``check`` is the
authority: it knows where it is, gathers every mistake and remark, and goes on.
``make`` only makes what has nothing to be said about, a few times quicker, and
raises ``ValueError`` for all else; then ``check`` is asked. Where ``make`` makes
something, ``check`` makes the same and says nothing.

A class that is made here may have attributes that are text, ``int``, ``float``,
``bool``, the annotated types of ``meshd.api.common``, an enumeration, another
such class, ``tuple[X, ...]``, ``Map[str, X]``, ``Any`` for plain data as it
stands, and ``X | None`` of these.
"""

from __future__ import annotations

import types
from typing import Any, Protocol, TypeVar, Union, get_args, get_origin

import attrs

from meshd.api.common import IntOrString, Map
from meshd.api.document import Path
from meshd.api.foreign import freeze
from meshd.api.leaves import Parse, describe, leaf, suggestion
from meshd.api.problem import FIELD_NOT_SUPPORTED, Level, Problem, error, info, warning

__all__ = ["Converter", "describe", "suggestion"]

T = TypeVar("T")

_DROP = object()
"""What ``check`` returns for a value that cannot be used."""


class Converter:
    """Makes resources of plain values. Create one and keep it: it compiles a class when it first meets it.

    Args:
        protobuf: Read as the JSON of protocol buffers, without a schema of
            Kubernetes before it: original field names (``trust_domain``) and
            quoted numbers are taken as well.
    """

    def __init__(self, *, protobuf: bool = False) -> None:
        self._protobuf = protobuf
        # The whole mutable state: the shapes of the types that were met.
        self._shapes: dict[Any, _Shape] = {}

    def structure(self, value: object, cls: type[T], path: Path = ()) -> tuple[T | None, tuple[Problem, ...]]:
        """Make a ``cls`` of plain values.

        Args:
            value: What the document says at ``path``; None counts as ``{}``.
            cls: A class of ``meshd.api``.
            path: Where the value stands in the document.

        Returns:
            The object, or None if there is any Error; and all problems.
        """
        shape = self._shapes.get(cls) or self._shape(cls)
        value = {} if value is None else value
        try:
            return shape.make(value), ()
        except ValueError:
            pass
        problems: list[Problem] = []
        result = shape.check(value, path, problems)
        if result is _DROP or any(problem.level is Level.ERROR for problem in problems):
            return None, tuple(problems)
        return result, tuple(problems)

    def _shape(self, cls: Any) -> _Shape:
        cls = _without_none(cls)
        known = self._shapes.get(cls)
        if known is None:
            known = self._shapes[cls] = self._compile(cls)
        return known

    def _compile(self, cls: Any) -> _Shape:
        origin = get_origin(cls)
        if cls is Any:
            return _Plain()
        if origin is tuple:
            return _List(self._shape(get_args(cls)[0]))
        if origin is Map:
            return _Map(self._shape(get_args(cls)[1]))
        if attrs.has(cls):
            return self._compile_class(cls)
        return _Leaf(*leaf(cls, protobuf=self._protobuf))

    def _compile_class(self, cls: type) -> _Class:
        attrs.resolve_types(cls)
        nulls: frozenset[str] = getattr(cls, "NULL_ITEMS", frozenset())
        fields: dict[str, _Field] = {}
        for each in attrs.fields(cls):
            if not each.init or each.metadata.get("derived"):
                continue
            shape = self._shape(each.type)
            name = _json_name(each.name)
            if name in nulls and isinstance(shape, _List):
                shape = attrs.evolve(shape, nulls=True)
            fields[name] = _Field(each.name, shape, each.default)
        return _Class.of(cls, fields, protobuf=self._protobuf)


class _Shape(Protocol):
    """How one type of field is read."""

    def make(self, value: object) -> Any:
        """What is made of it.

        Raises:
            ValueError: There is something to be said about it.
        """

    def check(self, value: object, path: Path, problems: list[Problem]) -> Any:
        """What is made of it, or ``_DROP``; and everything there is to be said."""


class _Leaf:
    """A value that holds no others."""

    def __init__(self, make: Parse, wanted: str) -> None:
        self.make = make
        self._wanted = wanted

    def check(self, value: object, path: Path, problems: list[Problem]) -> Any:
        if isinstance(value, dict | list):
            problems.append(error(path, f"expected {self._wanted}, found {describe(value)}"))
            return _DROP
        try:
            return self.make(value)
        except ValueError as wrong:
            problems.append(error(path, str(wrong)))
            return _DROP


class _Plain:
    """Plain data as it stands."""

    def make(self, value: object) -> Any:
        return freeze(value)

    def check(self, value: object, _path: Path, _problems: list[Problem]) -> Any:
        return freeze(value)


@attrs.frozen
class _List:
    """``nulls``: an item that is null counts as an empty one."""

    item: _Shape
    nulls: bool = False

    def make(self, value: object) -> tuple[Any, ...]:
        if type(value) is not list:
            raise ValueError
        make = self.item.make
        return tuple([make(each) for each in value])

    def check(self, value: object, path: Path, problems: list[Problem]) -> Any:
        if not isinstance(value, list):
            remedy = '; write it as an item: "- ..."' if not isinstance(value, dict) else ""
            problems.append(error(path, f"expected a list, found {describe(value)}{remedy}"))
            return _DROP
        found = []
        for index, each in enumerate(value):
            here = (*path, index)
            if each is None and self.nulls:
                problems.append(info(here, "an item without anything in it is for everything"))
            found.append(self.item.check({} if each is None and self.nulls else each, here, problems))
        return tuple(found)


@attrs.frozen
class _Map:
    item: _Shape

    def make(self, value: object) -> Map[str, Any]:
        if type(value) is not dict:
            raise ValueError
        make = self.item.make
        return Map({key: make(each) for key, each in value.items()})

    def check(self, value: object, path: Path, problems: list[Problem]) -> Any:
        if not isinstance(value, dict):
            problems.append(error(path, f"expected a mapping, found {describe(value)}"))
            return _DROP
        return Map({key: self.item.check(each, (*path, key), problems) for key, each in value.items()})


@attrs.frozen
class _Field:
    """One attribute: its name in Python, and how it is read."""

    attribute: str
    shape: _Shape
    default: Any

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is attrs.NOTHING


@attrs.frozen
class _Class:
    """What a class knows of its fields, by their names in JSON."""

    resource: type[Any]
    fields: dict[str, _Field]
    remarked: dict[str, Problem]
    """What to say about a field's being there; the path is filled in."""
    silent: frozenset[str]
    old_names: Map[str, str]
    protobuf: bool
    quick: dict[str, tuple[str, Parse]]
    """The fields that there is nothing to say about."""
    required: tuple[str, ...]
    """Attributes."""

    @classmethod
    def of(cls, resource: type, fields: dict[str, _Field], *, protobuf: bool) -> _Class:
        remarked = {
            **dict.fromkeys(getattr(resource, "IRRELEVANT", ()), _NO_MEANING),
            **dict.fromkeys(getattr(resource, "UNSUPPORTED", ()), _NOT_SUPPORTED),
            **{name: _partly(what) for name, what in getattr(resource, "PARTLY", Map()).items()},
            **dict.fromkeys(getattr(resource, "REFUSED", ()), _REFUSED),
        }
        return cls(
            resource,
            fields,
            remarked,
            frozenset(getattr(resource, "BOOKKEEPING", ())),
            getattr(resource, "OLD_NAMES", Map()),
            protobuf,
            {name: (each.attribute, each.shape.make) for name, each in fields.items() if name not in remarked},
            tuple(each.attribute for each in fields.values() if each.required),
        )

    def make(self, value: object) -> Any:
        if type(value) is not dict:
            raise ValueError
        quick = self.quick
        found: dict[str, Any] = {}
        for key, each in value.items():
            known = quick.get(key)
            if known is None:
                if key in self.silent:
                    continue
                raise ValueError
            if each is not None:  # As in JSON for Kubernetes: null is "not given".
                found[known[0]] = known[1](each)
        for attribute in self.required:
            if attribute not in found:
                raise ValueError
        return self.resource(**found)

    def check(self, value: object, path: Path, problems: list[Problem]) -> Any:
        if not isinstance(value, dict):
            problems.append(error(path, f"expected a mapping, found {describe(value)}"))
            return _DROP
        found: dict[str, Any] = {}
        whole = True
        for key, each in value.items():
            name = self._name(key)
            here = (*path, key)
            field = self.fields.get(name)
            if field is None or each is None:
                self._judge(name, each, here, problems)
                continue
            said = len(problems)
            made = found[field.attribute] = field.shape.check(each, here, problems)
            whole = whole and made is not _DROP
            if field.required or made != field.default:  # Else it changes nothing.
                before: list[Problem] = []
                self._judge(name, each, here, before)
                problems[said:said] = before
        for name, field in self.fields.items():
            if field.required and field.attribute not in found:
                problems.append(error(path, f'the field "{name}" is missing'))
                whole = False
        return self.resource(**found) if whole else _DROP

    def _name(self, key: str) -> str:
        """A field's name in JSON; with protocol buffers it may be written in the original form."""
        if "_" not in key:
            return key
        if not self.protobuf:
            return self.old_names.get(key, key)
        flat = key.replace("_", "").lower()
        return next((name for name in self.fields if name.lower() == flat), key)

    def _judge(self, name: str, value: object, path: Path, problems: list[Problem]) -> None:
        """Say what there is to say about a field's being there."""
        remark = self.remarked.get(name)
        if remark is not None:
            if value is not None:
                problems.append(attrs.evolve(remark, path=path))
        elif name not in self.fields and name not in self.silent:
            known = self.fields.keys() | self.remarked.keys()
            problems.append(error(path, f"unknown field{suggestion(name, known)}", at_value=False))


_NO_MEANING = info((), "this field has no meaning to a mesh")
_NOT_SUPPORTED = warning((), "meshd does not support this field yet: it has no effect", code=FIELD_NOT_SUPPORTED)
_REFUSED = error(
    (),
    "meshd does not support this field yet, and without it more would be let in than this asks for",
    at_value=False,
    code=FIELD_NOT_SUPPORTED,
)


def _partly(what: str) -> Problem:
    return warning((), f"meshd supports this field in part: {what}", code=FIELD_NOT_SUPPORTED)


def _json_name(attribute: str) -> str:
    return attribute.removesuffix("_")


def _without_none(cls: Any) -> Any:
    """``X`` of ``X | None``; ``IntOrString`` stays what it is."""
    if get_origin(cls) in (Union, types.UnionType):
        rest = tuple(each for each in get_args(cls) if each is not type(None))
        return rest[0] if len(rest) == 1 else IntOrString
    return cls
