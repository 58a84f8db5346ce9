"""Values that several parts of a snapshot share. Pure."""

from __future__ import annotations

from enum import StrEnum

import attrs


class Direction(StrEnum):
    """Which way a listener's traffic goes, seen from the workload."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    GATEWAY = "gateway"


class MatchKind(StrEnum):
    """How a string is compared."""

    EXACT = "exact"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    REGEX = "regex"
    PRESENT = "present"
    """Any value, the empty one included."""
    NON_EMPTY = "non_empty"
    """Any value but the empty one (``*`` in policies)."""
    PATH_PREFIX = "path_prefix"
    """Whole path segments (Gateway API): ``/foo`` matches ``/foo/x``, not ``/foobar``."""


@attrs.frozen
class StringMatch:
    """One comparison. ``REGEX`` is RE2 and must match the whole string."""

    kind: MatchKind
    value: str = ""
    ignore_case: bool = False


@attrs.frozen
class HeaderMatch:
    """A header (lower-case name) against a ``StringMatch``.

    A repeated header matches with any one of its values (as Envoy 1.40 does) or
    with all of them joined by ``,`` (as Istio's reference says).

    ``treat_missing_as_empty``: a missing header is compared as ``""``
    (``withoutHeaders`` of Istio); otherwise a missing header never matches, and
    with ``invert`` always does.
    """

    name: str
    match: StringMatch
    invert: bool = False
    treat_missing_as_empty: bool = False


@attrs.frozen
class HeaderOperations:
    """Header edits, applied in this order: remove, set (overwrite), add (append)."""

    remove: tuple[str, ...] = ()
    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()


@attrs.frozen
class Percent:
    """A share of requests, in millionths (Envoy's FractionalPercent over a million)."""

    per_million: int
