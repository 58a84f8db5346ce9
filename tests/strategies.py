"""Hypothesis strategies for meshd's values, made from their types, to be used by every test."""

from __future__ import annotations

import enum
import types
import typing

import attrs
from hypothesis import strategies as st

from meshd.snapshot.snapshot import Snapshot

TEXT = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=12)
NAMES = st.text("abcz019.|-_ é*", min_size=1, max_size=16)
FLOATS = st.floats(min_value=0, max_value=1e9, allow_nan=False) | st.integers(0, 10**6)


def values(kind: typing.Any) -> st.SearchStrategy[typing.Any]:
    """Values of any type that a snapshot may hold."""
    if kind is float:
        return FLOATS
    simple = {str: TEXT, int: st.integers(-(2**31), 2**32), bool: st.booleans()}
    if kind in simple:
        return simple[kind]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return st.sampled_from(kind)
    if isinstance(kind, type) and attrs.has(kind):
        return records(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, arguments))
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(st.none() if each is types.NoneType else values(each) for each in arguments))
    raise TypeError(f"no strategy for {kind!r}")


def records(kind: type, **given: st.SearchStrategy[typing.Any]) -> st.SearchStrategy[typing.Any]:
    """Instances of an attrs class: each field at its default, or anything of its type."""

    def build() -> st.SearchStrategy[typing.Any]:
        hints = typing.get_type_hints(kind)
        required: dict[str, st.SearchStrategy[typing.Any]] = {}
        optional: dict[str, st.SearchStrategy[typing.Any]] = {}
        for field in attrs.fields(kind):
            strategy = given[field.name] if field.name in given else values(hints[field.name])
            (required if field.default is attrs.NOTHING or field.name in given else optional)[field.name] = strategy
        return st.fixed_dictionaries(required, optional=optional).map(lambda arguments: kind(**arguments))

    return st.deferred(build)


def _named(kind: typing.Any, key: str = "name") -> st.SearchStrategy[tuple[typing.Any, ...]]:
    each = records(kind, **{key: NAMES})
    return st.lists(each, max_size=4, unique_by=lambda value: getattr(value, key)).map(
        lambda found: tuple(sorted(found, key=lambda value: getattr(value, key)))
    )


def snapshots() -> st.SearchStrategy[Snapshot]:
    """Whole snapshots in canonical order, without a version."""
    hints = typing.get_type_hints(Snapshot)
    item = {name: typing.get_args(hint)[0] for name, hint in hints.items() if typing.get_origin(hint) is tuple}
    table = item["route_tables"]
    host = typing.get_args(typing.get_type_hints(table)["virtual_hosts"])[0]
    tables = st.lists(
        records(table, name=NAMES, virtual_hosts=_named(host)), max_size=3, unique_by=lambda value: value.name
    ).map(lambda found: tuple(sorted(found, key=lambda value: value.name)))
    return st.builds(
        Snapshot,
        listeners=_named(item["listeners"]),
        route_tables=tables,
        clusters=_named(item["clusters"]),
        endpoints=_named(item["endpoints"], "cluster"),
        telemetry=values(hints["telemetry"]),
        secrets=_named(item["secrets"]),
        trust_domain=TEXT,
    )
