"""The reference matching: which virtual host, which route. Pure.

Written to be obviously right rather than quick: the proxy compiles the same
rules (``proxy/router.py``) and a property test holds the two together. Each
function takes an optional *recorder*, told of every step: what was looked at,
whether it matched, and if not, which predicate failed with which values. That
is how ``meshd explain`` shows its reasons: it runs this very code.

A request is anything with ``method``, ``target``, ``authority``, ``scheme``
and ``headers.get_all`` (``http.head.RequestHead`` has them). Its target has
been normalised (``proxy/path.py``). Source of the rules: Envoy 1.40.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import attrs

from meshd.snapshot.common import HeaderMatch, MatchKind, StringMatch
from meshd.snapshot.listener import HttpManager
from meshd.snapshot.regex import full_match
from meshd.snapshot.route import Route, RouteMatch, RouteTable, VirtualHost

HTTP_PROXY_TABLE = "http_proxy"
"""Istio's name of the route table for hosts and ports that no other table is for."""


class HeaderList(Protocol):
    """What matching needs of headers."""

    def get_all(self, name: bytes) -> list[bytes]: ...


class Request(Protocol):
    """What matching needs of a request."""

    @property
    def method(self) -> bytes: ...
    @property
    def target(self) -> bytes: ...
    @property
    def authority(self) -> bytes: ...
    @property
    def scheme(self) -> bytes: ...
    @property
    def headers(self) -> HeaderList: ...


@attrs.frozen
class Step:
    """One thing that was looked at on the way to a decision.

    ``at`` is ``chain``, ``virtual_host``, ``route`` or ``authorization``;
    ``rule`` the index in its list; ``because`` the predicate that failed with
    its values, or why it matched; ``resource`` the document it came from;
    ``name`` what was looked at; ``match`` the block of the rule's matches.
    """

    at: str
    rule: int
    matched: bool
    because: str = ""
    resource: str = ""
    name: str = ""
    match: int = -1


Recorder = Callable[[Step], None]


@attrs.frozen
class NoRoute:
    """Nothing matched; ``reason`` says what was missing, in one sentence."""

    reason: str


def match_string(match: StringMatch, value: bytes) -> bool:
    """Does the value satisfy the match?"""
    wanted = match.value.encode()
    if match.ignore_case and match.kind is not MatchKind.REGEX:
        wanted, value = wanted.lower(), value.lower()
    match match.kind:
        case MatchKind.EXACT:
            return value == wanted
        case MatchKind.PREFIX:
            return value.startswith(wanted)
        case MatchKind.SUFFIX:
            return value.endswith(wanted)
        case MatchKind.REGEX:
            return bool(full_match(match.value)(value))
        case MatchKind.PRESENT:
            return True
        case MatchKind.NON_EMPTY:
            return bool(value)
        case MatchKind.PATH_PREFIX:
            stem = wanted.rstrip(b"/")
            return value == stem or value.startswith(stem + b"/")


def match_values(match: StringMatch, values: list[bytes]) -> bool:
    """A repeated header satisfies a match with any one of its values, or with all of them joined by ``,``."""
    return any(match_string(match, value) for value in values) or match_string(match, b",".join(values))


def match_header(match: HeaderMatch, headers: HeaderList) -> bool:
    """Does the request's header satisfy the match?"""
    values = headers.get_all(match.name.encode())
    if not values and match.treat_missing_as_empty and match.match.kind is not MatchKind.PRESENT:
        values = [b""]
    return (bool(values) and match_values(match.match, values)) != match.invert


def host_of(authority: bytes) -> bytes:
    """The host of an authority: lower case, port taken off, brackets kept."""
    host, colon, port = authority.rpartition(b":")
    if colon and (not port or port.isdigit()) and (b":" not in host or host.endswith(b"]")):
        return host.lower()
    return authority.lower()


def port_of(authority: bytes) -> bytes:
    """The port of an authority, b"" when it has none."""
    return authority[len(host_of(authority)) + 1 :]


def select_virtual_host(table: RouteTable, authority: bytes, record: Recorder | None = None) -> VirtualHost | None:
    """The virtual host for an authority: exact, then longest ``*.suffix``, then longest ``prefix.*``, then ``*``."""
    host = host_of(authority)
    best: VirtualHost | None = None
    best_rank = (0, 0)
    best_domain = ""
    for virtual_host in table.virtual_hosts:
        for domain in virtual_host.domains:
            rank = _domain_rank(domain.lower().encode(), host)
            if rank > best_rank:
                best, best_rank, best_domain = virtual_host, rank, domain
    if record is not None:
        shown = text(host)
        if best is None:
            record(Step("virtual_host", -1, matched=False, because=f"no virtual host of {table.name} is for {shown!r}"))
        else:
            because = (
                f"host {shown!r} is {best_domain!r}" if best_rank[0] == 4 else f"host {shown!r} matches {best_domain!r}"
            )
            at = table.virtual_hosts.index(best)
            record(Step("virtual_host", at, matched=True, because=because, name=best.name))
    return best


def _domain_rank(domain: bytes, host: bytes) -> tuple[int, int]:
    """(kind, length) by which domains are compared; (0, 0) is no match. A wildcard stands for one byte at least."""
    if domain == b"*":
        return (1, 0)
    if domain.startswith(b"*") and len(host) >= len(domain) and host.endswith(domain[1:]):
        return (3, len(domain))
    if domain.endswith(b"*") and len(host) >= len(domain) and host.startswith(domain[:-1]):
        return (2, len(domain))
    return (4, 0) if domain == host else (0, 0)


def select_route(
    table: RouteTable, request: Request, record: Recorder | None = None
) -> tuple[VirtualHost, Route] | NoRoute:
    """The virtual host by authority, then its first route that matches.

    ``VirtualHost.require_tls`` is for the caller: it comes before any route.
    """
    virtual_host = select_virtual_host(table, request.authority, record)
    if virtual_host is None:
        return NoRoute(f"no virtual host of route table {table.name} is for host {text(host_of(request.authority))!r}")
    return select_route_in(virtual_host, request, record)


def select_route_in(
    virtual_host: VirtualHost, request: Request, record: Recorder | None = None
) -> tuple[VirtualHost, Route] | NoRoute:
    """The first route of a virtual host that matches."""
    for index, route in enumerate(virtual_host.routes):
        failed = why_not(route.match, request)
        if record is not None:
            why = failed or describe_route_match(route.match)
            record(Step("route", index, not failed, why, route.origin.resource, route.name))
        if not failed:
            return virtual_host, route
    return NoRoute(none_matches(len(virtual_host.routes), virtual_host.name))


def none_matches(routes: int, virtual_host: str) -> str:
    """That a virtual host, which has so many routes, has none for a request; what was asked may follow."""
    if routes == 1:
        return f"the only route of virtual host {virtual_host} does not match"
    return f"none of the {routes} routes of virtual host {virtual_host} matches"


def why_not(match: RouteMatch, request: Request) -> str:
    """The first predicate that fails, with its values; "" when all hold."""
    path, _, query = request.target.partition(b"?")
    for name, wanted, value in (
        ("uri", match.path, path),
        ("method", match.method, request.method),
        ("authority", match.authority, request.authority),
        ("scheme", match.scheme, request.scheme),
    ):
        if wanted is not None and not match_string(wanted, value):
            return f"{name}: {describe(wanted)} != {text(value)!r}"
    for header in match.headers:
        if not match_header(header, request.headers):
            return _header_failure(header, request.headers)
    for parameter in match.query:
        found = query_value(query, parameter.name.encode())
        if found is None:
            return f"query parameter {parameter.name}: {describe(parameter.match)}, but it is absent"
        if not match_string(parameter.match, found):
            return f"query parameter {parameter.name}: {describe(parameter.match)} != {text(found)!r}"
    return ""


def describe_route_match(match: RouteMatch) -> str:
    """What a route asks for, for the one that was taken."""
    named = [("uri", match.path), ("method", match.method), ("authority", match.authority), ("scheme", match.scheme)]
    parts = [f"{name} {describe(wanted)}" for name, wanted in named if wanted is not None]
    parts += [f"header {each.name} {'not ' if each.invert else ''}{describe(each.match)}" for each in match.headers]
    parts += [f"query parameter {each.name} {describe(each.match)}" for each in match.query]
    return ", ".join(parts) or "takes everything"


def _header_failure(header: HeaderMatch, headers: HeaderList) -> str:
    values = headers.get_all(header.name.encode())
    shown = repr(text(b",".join(values))) if values else "absent"
    if header.invert:
        return f"header {header.name}: not {describe(header.match)}, but it is {shown}"
    if not values:
        return f"header {header.name}: {describe(header.match)}, but it is absent"
    return f"header {header.name}: {describe(header.match)} != {shown}"


def describe(match: StringMatch) -> str:
    """A match as explanations print it: ``exact 'jason'``."""
    kind = match.kind.value.replace("_", " ")
    if match.kind in {MatchKind.PRESENT, MatchKind.NON_EMPTY}:
        return kind
    return f"{kind} {match.value!r}{' (any case)' if match.ignore_case else ''}"


def text(value: bytes) -> str:
    """Bytes of a peer for a sentence: what is not UTF-8 is escaped, length bounded."""
    shown = value[:256].decode("utf-8", "backslashreplace")
    return shown + "..." if len(value) > 256 else shown


def query_value(query: bytes, name: bytes) -> bytes | None:
    """The first value of a query parameter, as sent; b"" for ``name`` without ``=``."""
    for pair in query.split(b"&"):
        key, _, value = pair.partition(b"=")
        if key == name:
            return value
    return None


def select_table(tables: Mapping[str, RouteTable], manager: HttpManager, authority: bytes) -> RouteTable | NoRoute:
    """The route table of a chain, or of an explicit outbound request by its authority's port.

    Without a port: ``80`` if it knows the host by more than ``*``, else the only
    table that does, else ``80``. What no table is for goes to ``http_proxy``.
    """
    if not manager.route_by_port:
        table = tables.get(manager.route_table)
        return table if table is not None else NoRoute(f"there is no route table {manager.route_table!r}")
    port = port_of(authority)
    fallback = tables.get(HTTP_PROXY_TABLE)
    if port:
        table = tables.get(port.decode("ascii", "replace"), fallback)
        return table if table is not None else NoRoute(f"the mesh has no HTTP service on port {text(port)}")
    knowing = knowing_tables(tables.values(), authority)
    for table in knowing:
        if table.name == "80" or len(knowing) == 1:
            return table
    if knowing:
        return NoRoute(several_ports(authority, knowing))
    table = tables.get("80", fallback)
    return table if table is not None else NoRoute(f"the mesh has no service {text(host_of(authority))!r}")


def knowing_tables(tables: Iterable[RouteTable], authority: bytes) -> list[RouteTable]:
    """The tables by port that know a host by more than ``*``, by port."""
    numbered = [table for table in tables if table.name.isdigit()]
    found = [(int(table.name), table) for table in numbered if _knows(table, authority)]
    return [table for _, table in sorted(found, key=lambda item: item[0])]


def _knows(table: RouteTable, authority: bytes) -> bool:
    virtual_host = select_virtual_host(table, authority)
    return virtual_host is not None and "*" not in virtual_host.domains


def several_ports(authority: bytes, tables: Iterable[RouteTable]) -> str:
    """What to say when a host without a port could mean several."""
    host = text(host_of(authority))
    ports = [table.name for table in tables]
    return f"{host} has several ports ({', '.join(ports)}): say which, as in Host: {host}:{ports[0]}"
