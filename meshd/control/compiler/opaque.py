"""Where connections go whose requests are not read: VirtualServices' tls and tcp rules. Pure.

Source: Istio's ``pilot/pkg/networking/core/tls.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from meshd.api.networking.virtual_service import RouteDestination, VirtualService
from meshd.control.compiler.matches import Place, concerns
from meshd.control.compiler.routes import Destinations
from meshd.control.mesh import Owned
from meshd.snapshot.listener import TcpProxy


@attrs.frozen
class SniRoute:
    """Unterminated TLS with one of these server names."""

    server_names: tuple[str, ...]
    proxy: TcpProxy


def tls_routes(rule: Owned[VirtualService], place: Place, destinations: Destinations) -> Iterator[SniRoute]:
    """The tls rules of a VirtualService at one port of one proxy, in order."""
    for tls in rule.resource.tls:
        for match in tls.match:
            if concerns(match, rule.namespace, place):
                yield SniRoute(match.sniHosts, _proxy(tls.route, rule.namespace, place, destinations))


def tcp_route(rule: Owned[VirtualService], place: Place, destinations: Destinations) -> TcpProxy | None:
    """The first tcp rule of a VirtualService that concerns this place."""
    for tcp in rule.resource.tcp:
        if not tcp.match or any(concerns(match, rule.namespace, place) for match in tcp.match):
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
