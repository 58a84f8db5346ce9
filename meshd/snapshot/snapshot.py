"""The snapshot: everything one proxy must do, compiled. Pure values."""

from __future__ import annotations

import attrs

from meshd.snapshot.cluster import Cluster, EndpointGroup, Peer
from meshd.snapshot.listener import Listener
from meshd.snapshot.route import RouteTable


@attrs.frozen
class AccessLog:
    """Where and how exchanges are logged; ``format`` "" is Istio's default."""

    enabled: bool = True
    encoding: str = "TEXT"
    format: str = ""


@attrs.frozen
class Telemetry:
    """What to measure and report, and as whom."""

    node: Peer = Peer()
    """The workload this proxy speaks for."""
    access_log: AccessLog = AccessLog()
    metrics: bool = True


@attrs.frozen
class SecretRef:
    """A secret the snapshot names: an opaque version, never its content."""

    name: str
    version: str


@attrs.frozen
class Snapshot:
    """One proxy's whole configuration.

    ``version`` is the manifest's digest (``snapshot/wire.py``): equal content,
    equal version. Collections are in canonical order (by name; routes keep
    their matching order).
    """

    version: str = ""
    listeners: tuple[Listener, ...] = ()
    route_tables: tuple[RouteTable, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    endpoints: tuple[EndpointGroup, ...] = ()
    telemetry: Telemetry = Telemetry()
    secrets: tuple[SecretRef, ...] = ()
    trust_domain: str = "cluster.local"
