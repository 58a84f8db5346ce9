"""``networking.istio.io`` WorkloadGroup: what workloads that register themselves have in common. Pure values.

Source: Istio's ``networking/v1alpha3/workload_group.proto``.
"""

from __future__ import annotations

import attrs

from meshd.api.common import Labels, Map, Natural, UInt32
from meshd.api.networking.workload_entry import WorkloadEntry


@attrs.frozen
class ObjectMeta:
    """``WorkloadGroup.ObjectMeta``: what the entries' metadata will have."""

    labels: Labels = Map()
    annotations: Labels = Map()


@attrs.frozen
class HTTPHeader:
    """A header of a probe."""

    name: str = ""
    value: str = ""


@attrs.frozen
class HTTPHealthCheckConfig:
    """Well with a status below 400; ``scheme`` empty is HTTP."""

    port: UInt32
    path: str = ""
    host: str = ""
    scheme: str = ""
    httpHeaders: tuple[HTTPHeader, ...] = ()


@attrs.frozen
class TCPHealthCheckConfig:
    """Well when it accepts; ``host`` empty is localhost."""

    port: UInt32
    host: str = ""


@attrs.frozen
class ExecHealthCheckConfig:
    """Well when the command ends with 0."""

    command: tuple[str, ...]


@attrs.frozen
class GrpcHealthCheckConfig:
    """Well when the gRPC health service says so."""

    port: UInt32 = 0
    service: str = ""


@attrs.frozen
class ReadinessProbe:
    """Exactly one of the last four. Absent or 0: every 10 s, 1 s to answer, 1 success, 3 failures."""

    initialDelaySeconds: Natural = 0
    timeoutSeconds: Natural = 0
    periodSeconds: Natural = 0
    successThreshold: Natural = 0
    failureThreshold: Natural = 0
    httpGet: HTTPHealthCheckConfig | None = None
    tcpSocket: TCPHealthCheckConfig | None = None
    exec: ExecHealthCheckConfig | None = None
    grpc: GrpcHealthCheckConfig | None = None


@attrs.frozen
class WorkloadGroup:
    """``template`` is a WorkloadEntry without an address."""

    template: WorkloadEntry
    metadata: ObjectMeta | None = None
    probe: ReadinessProbe | None = None
