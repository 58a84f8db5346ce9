"""What all kinds share: names, maps, string matches, selectors, durations. Pure.

Rules of this package:

- A class is named, and its attributes are spelt, exactly as in Istio's or
  Kubernetes' own JSON. A Python keyword gets a trailing underscore (``from_``).
- Absent is ``None`` where absence means something, else Istio's default value.
- ``UNSUPPORTED`` names fields that meshd knows and does not act upon: a
  document that sets one gets a warning. Some of them are attributes all the
  same, so that the compiler can see that they were there.
- ``PARTLY`` names fields that have some of their effect, and says which; they
  get a warning too.
- ``REFUSED`` names known fields that narrow who is let in and that meshd does
  not enforce: a document that sets one is refused, because running without
  the field would be more open than what was asked for.
  Neither is said of a field that is written and has the value it has anyway.
- ``IRRELEVANT`` names fields that Istio does not read either, and those that are
  about its own programs.
- ``OLD_NAMES`` names fields by what Istio's schemas still take them for as well.
- ``NULL_ITEMS`` names lists in which an item that is null counts as ``{}``.
- Whatever is in none of the lists is an error with a suggestion.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Annotated, Any, ClassVar, NewType, TypeVar, overload

import attrs

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

Duration = NewType("Duration", float)
"""Seconds. Written in Go's form: ``1h30m``, ``2.5s``, ``100ms``."""


@attrs.frozen
class Range:
    """The least and the greatest whole number that a field can hold."""

    least: int
    greatest: int


@attrs.frozen
class Encoded:
    """Marks text that must be base64."""


Int32 = Annotated[int, Range(-(2**31), 2**31 - 1)]
Natural = Annotated[int, Range(0, 2**31 - 1)]
"""An ``int32`` that Istio's schemas forbid to be negative."""
UInt32 = Annotated[int, Range(0, 2**32 - 1)]
Int64 = Annotated[int, Range(-(2**63), 2**63 - 1)]
UInt64 = Annotated[int, Range(0, 2**64 - 1)]
Base64 = Annotated[str, Encoded()]
"""Protobuf's ``bytes``, as JSON writes them: still encoded."""

IntOrString = int | str
"""A port's number or name (Kubernetes)."""

DEFAULT_NAMESPACE = "default"


class Map(Mapping[K, V]):
    """A mapping that cannot change, can be hashed, and keeps its order.

    Two of them are equal whatever their order, as with ``dict``.
    """

    __slots__ = ("_hash", "_items")

    def __init__(self, items: Mapping[K, V] | Iterable[tuple[K, V]] = ()) -> None:
        self._items: dict[K, V] = dict(items._items if isinstance(items, Map) else items)
        self._hash: int | None = None

    def __getitem__(self, key: K) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: object) -> bool:
        return key in self._items

    # What ``Mapping`` would do by ``__getitem__``, at a tenth of the price.

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, /, default: V | T) -> V | T: ...
    def get(self, key: K, /, default: T | None = None) -> V | T | None:
        return self._items.get(key, default)

    def keys(self) -> KeysView[K]:
        return self._items.keys()

    def values(self) -> ValuesView[V]:
        return self._items.values()

    def items(self) -> ItemsView[K, V]:
        return self._items.items()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Map):
            return self._items == other._items
        if isinstance(other, Mapping):
            return self._items == dict(other)
        return NotImplemented

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self._items.items()))
        return self._hash

    def __repr__(self) -> str:
        return f"Map({self._items!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (Map, (self._items,))


Labels = Map[str, str]


@attrs.frozen
class Metadata:
    """``metadata`` of every document, as far as a mesh reads it."""

    name: str = ""
    generateName: str = ""
    namespace: str = ""
    labels: Labels = Map()
    annotations: Labels = Map()
    creationTimestamp: str = ""

    BOOKKEEPING: ClassVar[frozenset[str]] = frozenset(
        {
            "clusterName",
            "deletionGracePeriodSeconds",
            "deletionTimestamp",
            "finalizers",
            "generation",
            "managedFields",
            "ownerReferences",
            "resourceVersion",
            "selfLink",
            "uid",
        }
    )
    """Kubernetes' own notes about an object: no finding, they say nothing to anyone else."""


@attrs.frozen
class StringMatch:
    """Exactly one of the three; none of them (``{}``) means "is there".

    ``regex`` is RE2 and must match the whole string.
    """

    exact: str | None = None
    prefix: str | None = None
    regex: str | None = None
    segments: bool = attrs.field(default=False, metadata={"derived": True})
    """Of a path's ``prefix``: it ends where a segment does. Only the Gateway API can ask for that."""

    @property
    def presence(self) -> bool:
        """True for ``{}`` and ``regex: "*"``: any value will do."""
        return (self.exact is None and self.prefix is None and self.regex is None) or self.regex == "*"


@attrs.frozen
class PortSelector:
    """``port: {number: N}``."""

    number: UInt32 = 0


@attrs.frozen
class Percent:
    """0.0 to 100.0."""

    value: float = 0.0


@attrs.frozen
class WorkloadSelector:
    """``istio.type.v1beta1``: workloads that have all of these labels."""

    matchLabels: Labels = Map()


@attrs.frozen
class LabelsSelector:
    """``istio.networking.v1alpha3.WorkloadSelector``: the same under another name."""

    labels: Labels = Map()


@attrs.frozen
class PolicyTargetReference:
    """What a policy is attached to, instead of a selector."""

    kind: str
    name: str
    group: str = ""
    namespace: str = ""
