"""Names as Istio makes them. Pure."""

from __future__ import annotations

from typing import Final

PASSTHROUGH: Final = "PassthroughCluster"
BLACK_HOLE: Final = "BlackHoleCluster"
INBOUND_PASSTHROUGH: Final = "InboundPassthroughCluster"
VIRTUAL_INBOUND: Final = "virtualInbound"
INBOUND_CATCH_ALL: Final = "virtualInbound-catchall-http"
INBOUND_BLACK_HOLE: Final = "virtualInbound-blackhole"
VIRTUAL_OUTBOUND: Final = "virtualOutbound"
OUTBOUND_CATCH_ALL: Final = "virtualOutbound-catchall-tcp"
OUTBOUND_BLACK_HOLE: Final = "virtualOutbound-blackhole"
PASSTHROUGH_CHAIN: Final = "PassthroughFilterChain"
"""A listener's chain for connections that its others do not take."""
ALLOW_ANY: Final = "allow_any"
BLOCK_ALL: Final = "block_all"
DEFAULT_ROUTE: Final = "default"

INBOUND_PORT: Final = 15006


def outbound_cluster(port: int, subset: str, host: str) -> str:
    """``outbound|9080|v1|reviews.default.svc.cluster.local``."""
    return f"outbound|{port}|{subset}|{host}"


def inbound_cluster(port: int) -> str:
    """``inbound|9080||``: cluster and route table of an application's port."""
    return f"inbound|{port}||"


def server_name(port: int, subset: str, host: str) -> str:
    """The SNI of mesh mTLS: ``outbound_.9080_.v1_.reviews.default.svc.cluster.local``."""
    return f"outbound_.{port}_.{subset}_.{host}"


def virtual_host(host: str, port: int) -> str:
    """``reviews.default.svc.cluster.local:9080``."""
    return f"{host}:{port}"


def listener(address: str, port: int) -> str:
    """``0.0.0.0_9080``; no address is all of them."""
    return f"{address or '0.0.0.0'}_{port}"  # noqa: S104 - a name


def policy(namespace: str, name: str) -> str:
    """``ns[default]-policy[reviews]``, as response code details have it."""
    return f"ns[{namespace}]-policy[{name}]"
