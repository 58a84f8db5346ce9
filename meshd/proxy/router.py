"""Route tables, compiled. Pure.

The same rules as ``snapshot.match`` (a property test holds the two together),
prepared when a snapshot is applied: hosts are dictionary look-ups, matches are
callables, rewrites and header edits are made beforehand. One ``Router`` serves
one version of the configuration and is never changed.

A ``Selector`` takes a request head whose target is normalised and whose scheme
is the one of its connection (or of a trusted ``x-forwarded-proto``), and gives
the route, or the reply when there is none. The reply is kept until the chain's
filters have run: a request that is denied does not learn what exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter
from types import MappingProxyType

from meshd.errors import ConfigError, ResponseFlag
from meshd.http.head import RequestHead
from meshd.policy.exchange import Reply
from meshd.proxy.redirect import https_location
from meshd.proxy.route_entry import RouteEntry
from meshd.snapshot.listener import HttpManager
from meshd.snapshot.match import NoRoute, host_of, none_matches, query_value, select_table, text
from meshd.snapshot.predicates import HeaderPredicate, Predicate, compile_header, compile_string
from meshd.snapshot.route import QueryMatch, RouteMatch, RouteTable, VirtualHost

__all__ = ["CompiledTable", "CompiledVirtualHost", "RouteEntry", "Router", "Selector"]

_REMEMBERED_AUTHORITIES = 1024
"""Spellings of authorities remembered per table, so that a repeated Host header is one look-up."""

_LONGEST_REMEMBERED = 255
"""Bytes of an authority worth remembering; no host name is longer (RFC 1035), and a stranger chooses it."""

RequestPredicate = Callable[[RequestHead], object]


Selector = Callable[[RequestHead], RouteEntry | Reply]


class CompiledVirtualHost:
    """A virtual host's routes in order: (path predicate, the other predicates, entry), None for "always"."""

    __slots__ = ("_entries", "name", "require_tls", "virtual_host")

    def __init__(self, virtual_host: VirtualHost) -> None:
        self.virtual_host = virtual_host
        self.name = virtual_host.name
        self.require_tls = virtual_host.require_tls
        self._entries: list[tuple[Predicate | None, RequestPredicate | None, RouteEntry]] = []
        for index, route in enumerate(virtual_host.routes):
            try:
                match = route.match
                path = compile_string(match.path) if match.path is not None else None
                self._entries.append((path, _compile_rest(match), RouteEntry(virtual_host, route)))
            except ConfigError as error:
                origin = route.origin.resource or f"virtual host {virtual_host.name}"
                raise ConfigError(error.message, origin=origin, path=f"routes[{index}]") from error

    def select(self, request: RequestHead) -> RouteEntry | Reply:
        """The first route that matches, or the reply."""
        if self.require_tls and request.scheme != b"https":
            return _https_reply(request)
        path = request.target.partition(b"?")[0]
        for path_holds, rest_holds, entry in self._entries:
            if (path_holds is None or path_holds(path)) and (rest_holds is None or rest_holds(request)):
                return entry
        return _not_found(f"{none_matches(len(self._entries), self.name)} {describe_request(request)}")

    def entries(self) -> Iterator[RouteEntry]:
        """Every route."""
        return (entry for _, _, entry in self._entries)


class CompiledTable:
    """A route table. Hosts: exact, then longest ``*.suffix``, then longest ``prefix.*``, then ``*``; the first to claim a domain keeps it."""

    __slots__ = ("_default", "_exact", "_prefixes", "_remembered", "_suffixes", "name", "virtual_hosts")

    def __init__(self, table: RouteTable, before: Mapping[str, CompiledVirtualHost] = MappingProxyType({})) -> None:
        self.name = table.name
        self.virtual_hosts: dict[str, CompiledVirtualHost] = {}
        for virtual_host in reversed(table.virtual_hosts):
            kept = before.get(virtual_host.name)
            same = kept is not None and kept.virtual_host == virtual_host
            self.virtual_hosts[virtual_host.name] = kept if kept and same else CompiledVirtualHost(virtual_host)
        self._exact: dict[bytes, CompiledVirtualHost] = {}
        self._suffixes: dict[int, dict[bytes, CompiledVirtualHost]] = {}
        self._prefixes: dict[int, dict[bytes, CompiledVirtualHost]] = {}
        self._default: CompiledVirtualHost | None = None
        # The only mutable state: spellings seen (port, case) and what they mean here.
        self._remembered: dict[bytes, CompiledVirtualHost | None] = {}
        for virtual_host in table.virtual_hosts:
            for domain in virtual_host.domains:
                self._claim(domain.lower().encode(), self.virtual_hosts[virtual_host.name])
        self._suffixes = dict(sorted(self._suffixes.items(), reverse=True))
        self._prefixes = dict(sorted(self._prefixes.items(), reverse=True))

    def _claim(self, domain: bytes, virtual_host: CompiledVirtualHost) -> None:
        if domain == b"*":
            self._default = self._default or virtual_host
        elif domain.startswith(b"*"):
            self._suffixes.setdefault(len(domain) - 1, {}).setdefault(domain[1:], virtual_host)
        elif domain.endswith(b"*"):
            self._prefixes.setdefault(len(domain) - 1, {}).setdefault(domain[:-1], virtual_host)
        else:
            self._exact.setdefault(domain, virtual_host)

    def find(self, authority: bytes) -> CompiledVirtualHost | None:
        """The virtual host for an authority."""
        remembered = self._remembered
        if authority in remembered:
            return remembered[authority]
        found = self._find(host_of(authority))
        if len(authority) > _LONGEST_REMEMBERED:
            return found
        if len(remembered) >= _REMEMBERED_AUTHORITIES:
            remembered.clear()
        remembered[authority] = found
        return found

    def _find(self, host: bytes) -> CompiledVirtualHost | None:
        found = self._exact.get(host)
        if found is not None:
            return found
        for length, suffixes in self._suffixes.items():
            if length < len(host) and (found := suffixes.get(host[-length:])) is not None:
                return found
        for length, prefixes in self._prefixes.items():
            if length < len(host) and (found := prefixes.get(host[:length])) is not None:
                return found
        return self._default

    def select(self, request: RequestHead) -> RouteEntry | Reply:
        """The virtual host, then its route."""
        found = self.find(request.authority)
        if found is None:
            return _not_found(
                f"no virtual host of route table {self.name} is for host {text(host_of(request.authority))!r}"
            )
        return found.select(request)


class Router:
    """Every route table of a snapshot. Made by ``compile``."""

    def __init__(self, tables: Mapping[str, RouteTable], compiled: Mapping[str, CompiledTable]) -> None:
        self._tables = tables
        self._compiled = compiled
        # The only mutable state: which table an authority means at the explicit outbound port.
        self._chosen: dict[bytes, CompiledTable | NoRoute] = {}

    @classmethod
    def compile(cls, tables: Iterable[RouteTable], before: Router | None = None) -> Router:
        """Compile route tables.

        Args:
            tables: What to compile.
            before: The router of the version before: virtual hosts that are equal are
                taken over with everything that was compiled for them.

        Raises:
            ConfigError: a regular expression, rewrite or header edit is not usable; says of which route.
        """
        named: dict[str, RouteTable] = {}
        for table in tables:
            if table.name in named:
                raise ConfigError("two route tables have this name", origin=f"route table {table.name}")
            named[table.name] = table
        compiled: dict[str, CompiledTable] = {}
        for name, table in named.items():
            kept = before._compiled.get(name) if before is not None else None
            compiled[name] = CompiledTable(table, kept.virtual_hosts if kept is not None else {})
        return cls(named, compiled)

    def entries(self) -> Iterator[RouteEntry]:
        """Every route of every table."""
        for table in self._compiled.values():
            for virtual_host in table.virtual_hosts.values():
                yield from virtual_host.entries()

    def selector(self, manager: HttpManager) -> Selector:
        """How requests of one filter chain find their routes.

        Raises:
            ConfigError: the chain names a table or virtual host that is not there.
        """
        if manager.route_by_port:
            return self._select_by_port
        table = self._compiled.get(manager.route_table)
        if table is None:
            raise ConfigError(f"there is no route table {manager.route_table!r}")
        if not manager.virtual_host:
            return table.select
        virtual_host = table.virtual_hosts.get(manager.virtual_host)
        if virtual_host is None:
            raise ConfigError(f"route table {table.name} has no virtual host {manager.virtual_host!r}")
        return virtual_host.select

    def _select_by_port(self, request: RequestHead) -> RouteEntry | Reply:
        authority = request.authority
        table = self._chosen.get(authority)
        if table is None:
            chosen = select_table(self._tables, _BY_PORT, authority)
            table = chosen if isinstance(chosen, NoRoute) else self._compiled[chosen.name]
            if len(self._chosen) >= _REMEMBERED_AUTHORITIES:
                self._chosen.clear()
            if len(authority) <= _LONGEST_REMEMBERED:
                self._chosen[authority] = table
        return _not_found(table.reason) if isinstance(table, NoRoute) else table.select(request)


_BY_PORT = HttpManager(route_by_port=True)


def describe_request(request: RequestHead) -> str:
    """A request in a few words, for reasons."""
    return f"{text(request.method)} {text(request.target.partition(b'?')[0])}"


def _compile_rest(match: RouteMatch) -> RequestPredicate | None:
    """Everything but the path, as one predicate; None when there is nothing."""
    tests = [
        _on(attribute, compile_string(wanted))
        for attribute, wanted in (("method", match.method), ("authority", match.authority), ("scheme", match.scheme))
        if wanted is not None
    ]
    tests += [_on_headers(compile_header(header)) for header in match.headers]
    tests += [_on_query(parameter) for parameter in match.query]
    if len(tests) <= 1:
        return tests[0] if tests else None
    return lambda request: all(holds(request) for holds in tests)


def _on(attribute: str, holds: Predicate) -> RequestPredicate:
    read = attrgetter(attribute)
    return lambda request: holds(read(request))


def _on_headers(holds: HeaderPredicate) -> RequestPredicate:
    return lambda request: holds(request.headers)


def _on_query(parameter: QueryMatch) -> RequestPredicate:
    name = parameter.name.encode()
    holds = compile_string(parameter.match)

    def test(request: RequestHead) -> object:
        value = query_value(request.target.partition(b"?")[2], name)
        return value is not None and holds(value)

    return test


def _not_found(reason: str) -> Reply:
    return Reply(404, flags=(ResponseFlag.NO_ROUTE,), detail="route_not_found", reason=reason)


def _https_reply(request: RequestHead) -> Reply:
    location = https_location(request)
    return Reply(
        301,
        headers=((b"location", location),),
        detail="direct_response",
        reason="this gateway server answers plaintext with a redirect to https",
    )
