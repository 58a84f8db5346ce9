"""Where a VirtualService sends requests, and where each destination is written. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshd.api.document import Path
from meshd.api.networking.virtual_service import Destination, TCPRoute, TLSRoute, VirtualService


def destinations(service: VirtualService) -> Iterator[tuple[Path, Destination]]:
    """Every destination of every route, with its place."""
    for index, route in enumerate(service.http):
        here: Path = ("spec", "http", index)
        for at, each in enumerate(route.route):
            yield (*here, "route", at, "destination"), each.destination
        if route.mirror is not None:
            yield (*here, "mirror"), route.mirror
        for at, mirror in enumerate(route.mirrors):
            yield (*here, "mirrors", at, "destination"), mirror.destination
    opaque_routes: tuple[tuple[str, Sequence[TLSRoute | TCPRoute]], ...] = (("tls", service.tls), ("tcp", service.tcp))
    for kind, routes in opaque_routes:
        for index, opaque in enumerate(routes):
            for at, weighted in enumerate(opaque.route):
                yield ("spec", kind, index, "route", at, "destination"), weighted.destination
