"""The list of filters: one line for each kind of specification.

A new filter is a file with its class, a value in ``snapshot/policy.py`` and a
line here. A factory may give several filters (a fault is a delay and an abort)
in the order in which they run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from meshd.errors import ConfigError
from meshd.policy.authz import ConnectionAuthorization, RequestAuthorization
from meshd.policy.cors import CrossOrigin
from meshd.policy.exchange import ConnectionFilter, Filter, HeadFilter
from meshd.policy.fault import Abort, Delay, Randomness
from meshd.policy.headers import HeaderEdits
from meshd.snapshot.policy import Authorization, Cors, Fault, FilterSpec, HeaderEdit


@attrs.frozen
class FilterContext:
    """What filters are given besides their specification."""

    rng: Randomness


def _fault(specification: Fault, context: FilterContext) -> tuple[HeadFilter | Filter, ...]:
    filters: list[HeadFilter | Filter] = []
    if specification.delay is not None:
        filters.append(Delay(specification.delay, context.rng))
    if specification.abort is not None:
        filters.append(Abort(specification.abort, context.rng))
    return tuple(filters)


REQUEST_FILTERS: Mapping[type, Callable[[Any, FilterContext], tuple[HeadFilter | Filter, ...]]] = {
    Authorization: lambda specification, _context: (RequestAuthorization(specification),),
    Fault: _fault,
    Cors: lambda specification, _context: (CrossOrigin(specification),),
    HeaderEdit: lambda specification, _context: (HeaderEdits(specification),),
}

CONNECTION_FILTERS: Mapping[type, Callable[[Any, FilterContext], tuple[ConnectionFilter, ...]]] = {
    Authorization: lambda specification, _context: (ConnectionAuthorization(specification),),
}


def build_filters(specifications: Iterable[FilterSpec], context: FilterContext) -> tuple[HeadFilter | Filter, ...]:
    """The filters of a chain or route, in order.

    Raises:
        ConfigError: a specification cannot be compiled.
    """
    filters: list[HeadFilter | Filter] = []
    for specification in specifications:
        factory = REQUEST_FILTERS.get(type(specification))
        if factory is None:
            raise ConfigError(f"{type(specification).__name__} is no filter for requests")
        filters += factory(specification, context)
    return tuple(filters)


def build_connection_filters(
    specifications: Iterable[FilterSpec], context: FilterContext
) -> tuple[ConnectionFilter, ...]:
    """The connection filters of a chain, in order.

    Raises:
        ConfigError: a specification cannot be compiled, or is not for connections.
    """
    filters: list[ConnectionFilter] = []
    for specification in specifications:
        factory = CONNECTION_FILTERS.get(type(specification))
        if factory is None:
            raise ConfigError(f"{type(specification).__name__} is no filter for connections")
        filters += factory(specification, context)
    return tuple(filters)


def waits(candidate: HeadFilter | Filter) -> bool:
    """Is it a ``Filter`` (to be called and awaited) and not a ``HeadFilter``?"""
    return callable(candidate)
