"""Where connections go whose requests are not read: VirtualServices' tls and tcp rules. Pure.

Source: Istio's ``pilot/pkg/networking/core/tls.go``.
"""

from __future__ import annotations

from collections.abc import Iterator
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
from meshd.snapshot.route import Origin

EVERYWHERE: Final = frozenset({"0.0.0.0/0", "::/0"})


@attrs.frozen
class SniRoute:
    """Unterminated TLS with one of these server names."""

    server_names: tuple[str, ...]
    proxy: TcpProxy


def tls_routes(rule: Owned[VirtualService], place: Place, destinations: Destinations) -> Iterator[SniRoute]:
    """The tls rules of a VirtualService at one port of one proxy, in order."""
    ruled = Ruled(rule, place, destinations)
    for index, tls in enumerate(rule.resource.tls):
        for number, match in enumerate(tls.match):
            if ruled.concerns(match):
                yield SniRoute(match.sniHosts, ruled.proxy(tls.route, "tls", index, number))


def tcp_route(rule: Owned[VirtualService], place: Place, destinations: Destinations) -> TcpProxy | None:
    """The first tcp rule of a VirtualService that concerns this place."""
    ruled = Ruled(rule, place, destinations)
    for index, tcp in enumerate(rule.resource.tcp):
        if not tcp.match or any(ruled.concerns(match) for match in tcp.match):
            return ruled.proxy(tcp.route, "tcp", index)
    return None


@attrs.frozen
class Ruled:
    """A VirtualService for a service's connections, with where and for what it is compiled."""

    rule: Owned[VirtualService]
    place: Place
    destinations: Destinations

    def proxy(self, routed: tuple[RouteDestination, ...], section: str, index: int, match: int = -1) -> TcpProxy:
        """Where the destinations of a rule (its section, its index, its match) send a connection."""
        weighted = [each for each in routed if each.weight > 0] if len(routed) > 1 else []
        owner, port = self.rule.namespace, self.place.port
        return TcpProxy(
            tuple(
                (self.destinations.cluster(each.destination, owner, port), each.weight or 1)
                for each in weighted or routed
            ),
            origin=Origin(str(self.rule), index, match, section),
        )

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
        for index, tls in enumerate(ruled.rule.resource.tls):
            for number, match in enumerate(tls.match):
                if not ruled.concerns(match):
                    continue
                where = connection_match(match.sniHosts, match.destinationSubnets or ranges)
                name = f"{cluster}-tls-{len(found)}"
                found.setdefault(where, FilterChain(name, where, tcp=ruled.proxy(tls.route, "tls", index, number)))
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
        for index, tcp in enumerate(ruled.rule.resource.tcp):
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
            found.setdefault(where, FilterChain(name, where, tcp=ruled.proxy(tcp.route, "tcp", index)))
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
