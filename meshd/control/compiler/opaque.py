"""Where connections go whose requests are not read: VirtualServices' tls and tcp rules. Pure.

Source: Istio's ``pilot/pkg/networking/core/tls.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from meshd.api.networking.virtual_service import (
    L4MatchAttributes,
    RouteDestination,
    TLSMatchAttributes,
    VirtualService,
)
from meshd.control.compiler.matches import Place, concerns_connection
from meshd.control.compiler.routes import Destinations
from meshd.control.hosts import cidr
from meshd.control.owned import Owned
from meshd.snapshot.listener import FilterChain, FilterChainMatch, TcpProxy

EVERYWHERE: Final = frozenset({"0.0.0.0/0", "::/0"})


@attrs.frozen
class SniRoute:
    """Unterminated TLS with one of these server names."""

    server_names: tuple[str, ...]
    proxy: TcpProxy


def tls_routes(rule: Owned[VirtualService], place: Place, destinations: Destinations) -> Iterator[SniRoute]:
    """The tls rules of a VirtualService at one port of one proxy, in order."""
    for tls in rule.resource.tls:
        for match in tls.match:
            if concerns_connection(match, rule.namespace, place):
                yield SniRoute(match.sniHosts, _proxy(tls.route, rule.namespace, place, destinations))


def tcp_route(rule: Owned[VirtualService], place: Place, destinations: Destinations) -> TcpProxy | None:
    """The first tcp rule of a VirtualService that concerns this place."""
    for tcp in rule.resource.tcp:
        if not tcp.match or any(concerns_connection(match, rule.namespace, place) for match in tcp.match):
            return _proxy(tcp.route, rule.namespace, place, destinations)
    return None


def _proxy(routed: Iterable[RouteDestination], owner: str, place: Place, destinations: Destinations) -> TcpProxy:
    listed = tuple(routed)
    weighted = [each for each in listed if each.weight > 0] if len(listed) > 1 else []
    return TcpProxy(
        tuple(
            (destinations.cluster(each.destination, owner, place.port), each.weight or 1) for each in weighted or listed
        )
    )


@attrs.frozen
class Ruled:
    """A VirtualService for a service's connections, with where and for what it is compiled."""

    rule: Owned[VirtualService]
    place: Place
    destinations: Destinations

    def proxy(self, routed: Iterable[RouteDestination]) -> TcpProxy:
        """Where a rule's destinations send a connection."""
        return _proxy(routed, self.rule.namespace, self.place, self.destinations)

    def concerns(self, match: TLSMatchAttributes | L4MatchAttributes) -> bool:
        """Whether a match applies to this proxy and port."""
        return concerns_connection(match, self.rule.namespace, self.place)


def tls_chains(
    rules: tuple[Ruled, ...], cluster: str, ranges: tuple[str, ...], own_name: str
) -> tuple[FilterChain, ...]:
    """TLS that a sidecar passes on: by the tls rules of a service's VirtualServices, else to the service.

    Args:
        rules: The VirtualServices whose hosts overlap with the service's, in order.
        cluster: The service's.
        ranges: Its CIDRs, () when it has addresses or none.
        own_name: Its server name, where the address alone does not tell it from others, else "".
    """
    found: dict[FilterChainMatch, FilterChain] = {}
    for ruled in rules:
        for tls in ruled.rule.resource.tls:
            for match in tls.match:
                if not ruled.concerns(match):
                    continue
                where = connection_match(match.sniHosts, match.destinationSubnets or ranges)
                name = f"{cluster}-tls-{len(found)}"
                found.setdefault(where, FilterChain(name, where, tcp=ruled.proxy(tls.route)))
    if not found:
        names = (own_name,) if own_name else ()
        chain = FilterChain(cluster, connection_match(names, ranges), tcp=TcpProxy(((cluster, 1),)))
        found[chain.match] = chain
    return tuple(found.values())


def tcp_chains(rules: tuple[Ruled, ...], cluster: str, ranges: tuple[str, ...]) -> tuple[FilterChain, ...]:
    """Bytes that a sidecar passes on: by the tcp rules up to the first for any address, else to the service."""
    found: dict[FilterChainMatch, FilterChain] = {}
    anywhere = connection_match((), ranges)
    for ruled in rules:
        for tcp in ruled.rule.resource.tcp:
            subnets: list[str] = []
            for match in tcp.match:
                if ruled.concerns(match):
                    if not match.destinationSubnets:
                        subnets = []
                        break
                    subnets += match.destinationSubnets
            else:
                if tcp.match and not subnets:
                    continue
            where = connection_match((), tuple(subnets)) if subnets else anywhere
            name = f"{cluster}-tcp-{len(found)}" if subnets else cluster
            found.setdefault(where, FilterChain(name, where, tcp=ruled.proxy(tcp.route)))
            if where == anywhere:
                return tuple(found.values())
    found.setdefault(anywhere, FilterChain(cluster, anywhere, tcp=TcpProxy(((cluster, 1),))))
    return tuple(found.values())


def connection_match(server_names: tuple[str, ...], ranges: tuple[str, ...]) -> FilterChainMatch:
    """Server names and address ranges in one canonical form; ``*`` among the names is any name, and none."""
    return FilterChainMatch(
        server_names=() if "*" in server_names else tuple(sorted({name.lower() for name in server_names})),
        prefix_ranges=tuple(sorted({cidr(each) for each in ranges} - EVERYWHERE)),
    )
