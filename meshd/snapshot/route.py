"""Route tables: virtual hosts, routes, and what a route does. Pure values."""

from __future__ import annotations

import attrs

from meshd.snapshot.common import HeaderMatch, HeaderOperations, Percent, StringMatch
from meshd.snapshot.policy import FilterSpec


@attrs.frozen
class QueryMatch:
    """A query parameter's first value; no percent-decoding (Envoy)."""

    name: str
    match: StringMatch


@attrs.frozen
class RouteMatch:
    """All of it must hold; absent parts hold always. ``path`` is compared without the query."""

    path: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    scheme: StringMatch | None = None
    headers: tuple[HeaderMatch, ...] = ()
    query: tuple[QueryMatch, ...] = ()


@attrs.frozen
class WeightedCluster:
    """One destination of a route."""

    cluster: str
    weight: int = 1
    request_headers: HeaderOperations = HeaderOperations()
    response_headers: HeaderOperations = HeaderOperations()
    host_rewrite: str = ""


@attrs.frozen
class RetryPolicy:
    """When to try again (Envoy's words).

    ``on``: ``connect-failure``, ``refused-stream``, ``unavailable``, ``cancelled``,
    ``reset``, ``reset-before-request``, ``5xx``, ``gateway-error``, ``retriable-4xx``,
    ``retriable-status-codes``, ``deadline-exceeded``, ``internal``, ``resource-exhausted``.
    """

    attempts: int = 2
    on: tuple[str, ...] = ("connect-failure", "refused-stream", "unavailable", "cancelled", "retriable-status-codes")
    status_codes: tuple[int, ...] = ()
    per_try_timeout: float = 0.0
    base_interval: float = 0.025
    max_interval: float = 0.250
    ignore_previous_hosts: bool = True
    host_selection_attempts: int = 5
    remote_localities: bool = False
    """A further try prefers priorities that were not tried (Envoy's previous_priorities)."""


@attrs.frozen
class Rewrite:
    r"""Path and host changes on the way up.

    Exactly one of the path forms, or none: ``prefix`` replaces the matched
    prefix literally, ``full`` the whole path, ``regex`` (RE2 pattern,
    substitution with ``\1``) every match; the query is always kept.
    """

    prefix: str | None = None
    full: str | None = None
    regex: tuple[str, str] | None = None
    host: str = ""


@attrs.frozen
class Mirror:
    """A copy of some requests to another cluster, answers ignored."""

    cluster: str
    percent: Percent


@attrs.frozen
class Forward:
    """Send it to a cluster."""

    clusters: tuple[WeightedCluster, ...]
    rewrite: Rewrite = Rewrite()
    timeout: float = 0.0
    """Whole exchange, retries included, from the request's end; 0 is none."""
    retry: RetryPolicy | None = None
    mirrors: tuple[Mirror, ...] = ()
    missing_cluster_status: int = 503


@attrs.frozen
class Redirect:
    """Answer with a Location. Empty parts keep the request's own."""

    status: int = 301
    scheme: str = ""
    host: str = ""
    port: int = 0
    """0: none given."""
    port_from_request: bool = False
    path: str = ""
    prefix: str | None = None


@attrs.frozen
class DirectResponse:
    """Answer with these bytes (``body`` is text, sent as UTF-8)."""

    status: int
    body: str = ""


@attrs.frozen
class Origin:
    """Which document a part was compiled from: ``VirtualService default/reviews``, its rule's index.

    No file and line: those depend on where the store lies, and equal
    configuration must have equal bytes everywhere. ``explain`` looks them up.
    """

    resource: str = ""
    rule: int = -1
    match: int = -1
    """Which of the rule's match blocks; -1 when it has none."""
    section: str = "http"
    """Which list of rules: ``http``, ``tls`` or ``tcp``."""


@attrs.frozen(cache_hash=True)
class Route:
    """First match wins, in order. Its hash is kept: tables are made again and again of the same routes."""

    name: str
    match: RouteMatch
    action: Forward | Redirect | DirectResponse
    filters: tuple[FilterSpec, ...] = ()
    """Filters of this route alone, after the chain's: fault, cors."""
    request_headers: HeaderOperations = HeaderOperations()
    response_headers: HeaderOperations = HeaderOperations()
    origin: Origin = Origin()


@attrs.frozen
class VirtualHost:
    """Hosts that share routes. ``domains``: exact, ``*.suffix``, ``prefix.*`` or ``*``; without ports, lower case."""

    name: str
    domains: tuple[str, ...]
    routes: tuple[Route, ...]
    require_tls: bool = False
    """Answer every plaintext request with 301 to https (``httpsRedirect``)."""
    service: str = ""
    """Host name of the service this virtual host is for, "" at gateways."""


@attrs.frozen
class RouteTable:
    """A named set of virtual hosts; names follow Istio (``9080``, ``http.8080``, ``inbound|8080||``)."""

    name: str
    virtual_hosts: tuple[VirtualHost, ...]
