"""``MeshNetworks``: which endpoints are in which network, and the gateways between. Pure values.

Source: Istio's ``mesh/v1alpha1/network.proto``.
"""

from __future__ import annotations

from typing import ClassVar

import attrs

from meshd.api.common import Map, UInt32


@attrs.frozen
class NetworkEndpoints:
    """``Network.NetworkEndpoints``: exactly one of the two."""

    fromCidr: str | None = None
    fromRegistry: str | None = None


@attrs.frozen
class IstioNetworkGateway:
    """``Network.IstioNetworkGateway``: by address, or by the name of a service."""

    port: UInt32 = 0
    registryServiceName: str | None = None
    address: str | None = None
    locality: str = ""


@attrs.frozen
class Network:
    """One network."""

    endpoints: tuple[NetworkEndpoints, ...] = ()
    gateways: tuple[IstioNetworkGateway, ...] = ()


@attrs.frozen
class MeshNetworks:
    """Networks by name."""

    networks: Map[str, Network] = Map()

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"networks"})
