"""Snapshot values to plain JSON values and back, strictly. Pure.

The types decide, never the values: a float field is written as a float even
when it holds ``0``, so equal values have equal bytes. Fields at their default
are left out. A union's member says its class in ``type``. Reading accepts
exactly what writing makes: an unknown field, an unknown ``type``, a number
where a string belongs or a missing field is a ``ConfigError`` with its path.

This is some hundred lines of our own because a sidecar would pay 6 MB and 60 ms
for a general converter, more than a tenth of its budget.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable
from enum import Enum
from functools import cache

import attrs

from meshd.errors import ConfigError

Json: typing.TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""What ``json`` reads and writes."""

Write = Callable[[typing.Any], Json]
Read = Callable[[Json, str], typing.Any]

TAG = "type"


@attrs.frozen
class Codec:
    """Both ways for one type. Made by ``Codecs.of``."""

    write: Write
    read: Read
    """Takes the plain value and its path (for errors)."""


class Codecs:
    """The codecs of the types met so far; one ``Codecs`` per encoder or decoder."""

    # The whole mutable state is this dict; it only grows, by one entry a type.
    def __init__(self) -> None:
        self._known: dict[typing.Any, Codec] = {}

    def of(self, kind: typing.Any) -> Codec:
        """The codec of ``kind``: a primitive, an enum, an attrs class, a tuple, an optional or a union of classes.

        Raises:
            TypeError: for any other type; that is a mistake in the snapshot's classes.
        """
        found = self._known.get(kind)
        if found is None:
            found = self._known[kind] = self._make(kind)
        return found

    def _make(self, kind: typing.Any) -> Codec:
        if kind in _PRIMITIVES:
            return _PRIMITIVES[kind]
        if isinstance(kind, type) and issubclass(kind, Enum):
            return _enum(kind)
        if isinstance(kind, type) and attrs.has(kind):
            return _record(kind, self)
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin is tuple:
            return _sequence(arguments, self)
        if origin in (typing.Union, types.UnionType):
            return _union(arguments, self)
        raise TypeError(f"a snapshot cannot hold {kind!r}")


def _wrong(path: str, expected: str, value: Json) -> ConfigError:
    return ConfigError(f"expected {expected}, found {_describe(value)}", path=path)


def _describe(value: Json) -> str:
    names = {type(None): "nothing", bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    return names.get(type(value), "a list" if isinstance(value, list) else "an object")


def _read_str(value: Json, path: str) -> str:
    if type(value) is not str:
        raise _wrong(path, "a string", value)
    return value


def _read_bool(value: Json, path: str) -> bool:
    if type(value) is not bool:
        raise _wrong(path, "true or false", value)
    return value


def _read_int(value: Json, path: str) -> int:
    if type(value) is not int:
        raise _wrong(path, "an integer", value)
    return value


def _read_float(value: Json, path: str) -> float:
    if type(value) is not float or not math.isfinite(value):
        raise _wrong(path, "a finite number", value)
    return value


_PRIMITIVES: typing.Final = {
    str: Codec(str, _read_str),
    bool: Codec(bool, _read_bool),
    int: Codec(int, _read_int),
    float: Codec(lambda value: float(value) + 0.0, _read_float),  # + 0.0: minus zero equals zero, so must its bytes
}


def _enum(kind: type[Enum]) -> Codec:
    members = {member.value: member for member in kind}

    def read(value: Json, path: str) -> Enum:
        member = members.get(value) if type(value) is str else None
        if member is None:
            raise ConfigError(f"{value!r:.80} is none of {', '.join(map(str, members))}", path=path)
        return member

    return Codec(lambda value: typing.cast("Json", kind(value).value), read)


def _sequence(arguments: tuple[typing.Any, ...], codecs: Codecs) -> Codec:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        item = codecs.of(arguments[0])

        def read_many(value: Json, path: str) -> tuple[typing.Any, ...]:
            if type(value) is not list:
                raise _wrong(path, "a list", value)
            return tuple([item.read(each, f"{path}[{index}]") for index, each in enumerate(value)])

        return Codec(lambda values: [item.write(each) for each in values], read_many)

    items = [codecs.of(argument) for argument in arguments]

    def read_fixed(value: Json, path: str) -> tuple[typing.Any, ...]:
        if type(value) is not list or len(value) != len(items):
            raise _wrong(path, f"a list of {len(items)}", value)
        return tuple([codec.read(each, path) for codec, each in zip(items, value, strict=True)])

    return Codec(
        lambda values: [codec.write(each) for codec, each in zip(items, values, strict=True)],
        read_fixed,
    )


def _union(arguments: tuple[typing.Any, ...], codecs: Codecs) -> Codec:
    members = [argument for argument in arguments if argument is not types.NoneType]
    inner = codecs.of(members[0]) if len(members) == 1 else _tagged(members, codecs)
    if len(members) == len(arguments):
        return inner
    return Codec(
        lambda value: None if value is None else inner.write(value),
        lambda value, path: None if value is None else inner.read(value, path),
    )


def _tagged(members: list[type], codecs: Codecs) -> Codec:
    by_name = {member.__name__: codecs.of(member) for member in members}

    def write(value: typing.Any) -> Json:
        name = type(value).__name__
        plain = by_name[name].write(value)
        assert isinstance(plain, dict)
        plain[TAG] = name
        return plain

    def read(value: Json, path: str) -> typing.Any:
        if type(value) is not dict:
            raise _wrong(path, "an object", value)
        name = value.get(TAG)
        codec = by_name.get(name) if isinstance(name, str) else None
        if codec is None:
            raise ConfigError(f"unknown {TAG} {name!r:.80}, expected {', '.join(sorted(by_name))}", path=path)
        return codec.read({key: each for key, each in value.items() if key != TAG}, path)

    return Codec(write, read)


@cache
def _hints(kind: type) -> dict[str, typing.Any]:
    """The types of a class's fields; working them out costs most of making its codec."""
    return typing.get_type_hints(kind)


def _record(kind: type, codecs: Codecs) -> Codec:
    hints = _hints(kind)
    fields = [(field.name, codecs.of(hints[field.name]), _default(field)) for field in attrs.fields(kind)]
    readers = {name: codec.read for name, codec, _ in fields}

    def write(value: typing.Any) -> Json:
        plain: dict[str, Json] = {}
        for name, codec, default in fields:
            each = getattr(value, name)
            if each is not default and each != default:
                plain[name] = codec.write(each)
        return plain

    def read(value: Json, path: str) -> typing.Any:
        if type(value) is not dict:
            raise _wrong(path, "an object", value)
        arguments = {}
        for name, each in value.items():
            reader = readers.get(name)
            if reader is None:
                raise ConfigError(f"unknown field {name!r:.80} in {kind.__name__}", path=path)
            arguments[name] = reader(each, f"{path}.{name}")
        try:
            return kind(**arguments)
        except TypeError as error:
            raise ConfigError(f"{kind.__name__} is incomplete: {error}", path=path) from error

    return Codec(write, read)


def _default(field: attrs.Attribute[typing.Any]) -> typing.Any:
    """A field's default value; for one without a default something that nothing equals."""
    default: typing.Any = field.default
    factory = getattr(default, "factory", None)
    return default if factory is None else factory()
