"""Filter specifications: what each policy filter must do. Pure values.

A specification says, ``policy/`` does. ``FilterSpec`` is the closed list of
what travels in a snapshot; ``policy/catalog.py`` has one line for each.
"""

from __future__ import annotations

import attrs

from meshd.snapshot.common import HeaderMatch, HeaderOperations, Percent, StringMatch


@attrs.frozen
class Source:
    """Who asks: every non-empty field must hold (one of its values), every ``not_`` field must not.

    Principals are without ``spiffe://``: ``cluster.local/ns/default/sa/reviews``.
    """

    principals: tuple[StringMatch, ...] = ()
    not_principals: tuple[StringMatch, ...] = ()
    namespaces: tuple[StringMatch, ...] = ()
    not_namespaces: tuple[StringMatch, ...] = ()
    ip_blocks: tuple[str, ...] = ()
    not_ip_blocks: tuple[str, ...] = ()
    remote_ip_blocks: tuple[str, ...] = ()
    not_remote_ip_blocks: tuple[str, ...] = ()
    service_accounts: tuple[StringMatch, ...] = ()
    """Compared with the principal, as are the next ones; apart, because all of a source must hold."""
    not_service_accounts: tuple[StringMatch, ...] = ()
    trust_domains: tuple[StringMatch, ...] = ()
    not_trust_domains: tuple[StringMatch, ...] = ()


@attrs.frozen
class Operation:
    """What is asked, as ``Source``."""

    hosts: tuple[StringMatch, ...] = ()
    not_hosts: tuple[StringMatch, ...] = ()
    ports: tuple[int, ...] = ()
    not_ports: tuple[int, ...] = ()
    methods: tuple[StringMatch, ...] = ()
    not_methods: tuple[StringMatch, ...] = ()
    paths: tuple[StringMatch, ...] = ()
    not_paths: tuple[StringMatch, ...] = ()


@attrs.frozen
class Condition:
    """A ``when`` entry on one of Istio's keys (``request.headers[x]``, ``source.ip``, ...)."""

    key: str
    values: tuple[StringMatch, ...] = ()
    not_values: tuple[StringMatch, ...] = ()


@attrs.frozen
class AuthorizationRule:
    """One source, one operation (each list empty: any) and all conditions."""

    sources: tuple[Source, ...] = ()
    operations: tuple[Operation, ...] = ()
    conditions: tuple[Condition, ...] = ()


@attrs.frozen
class AuthorizationPolicy:
    """``name`` is ``ns[default]-policy[reviews]`` as in Istio's response-code details."""

    name: str
    rules: tuple[AuthorizationRule, ...]


@attrs.frozen
class WatchedPolicy:
    """A policy that refuses nobody: ``action`` AUDIT, or ALLOW or DENY that is only tried (dry run)."""

    action: str
    policy: AuthorizationPolicy


@attrs.frozen
class Authorization:
    """Istio's order: any DENY match refuses; then, if there is any ALLOW policy, one must match.

    ``allow`` None: no ALLOW policy selects this workload. ``()``: deny all.
    """

    deny: tuple[AuthorizationPolicy, ...] = ()
    allow: tuple[AuthorizationPolicy, ...] | None = None
    watched: tuple[WatchedPolicy, ...] = ()
    """Told of in explanations; requests do not pay for them."""


@attrs.frozen
class FaultDelay:
    """Wait before forwarding."""

    seconds: float
    percent: Percent


@attrs.frozen
class FaultAbort:
    """Answer instead of forwarding; exactly one of the two statuses is not -1."""

    percent: Percent
    http_status: int = -1
    grpc_status: int = -1


@attrs.frozen
class Fault:
    """Injected failure: the delay first, then the abort, independently sampled."""

    delay: FaultDelay | None = None
    abort: FaultAbort | None = None


@attrs.frozen
class Cors:
    """Cross-origin requests: which origins may ask, and what their browsers are told.

    ``origins``: any of them; exact ``*`` is every origin. The lists are as they
    stand in the headers, "" leaves a header out.
    """

    origins: tuple[StringMatch, ...] = ()
    allow_methods: str = ""
    allow_headers: str = ""
    expose_headers: str = ""
    max_age: str = ""
    allow_credentials: bool = False
    forward_unmatched_preflights: bool = True
    """A preflight from another origin goes on to the service; else it is answered without permission."""


@attrs.frozen
class HeaderEdit:
    """Unconditional header edits of a chain."""

    request: HeaderOperations = HeaderOperations()
    response: HeaderOperations = HeaderOperations()
    when: tuple[HeaderMatch, ...] = ()


FilterSpec = Authorization | Fault | HeaderEdit | Cors
