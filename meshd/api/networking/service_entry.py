"""``networking.istio.io`` ServiceEntry: services the registry does not know. Pure values.

Source: Istio's ``networking/v1alpha3/service_entry.proto``.
"""

from __future__ import annotations

from enum import StrEnum

import attrs

from meshd.api.common import LabelsSelector, UInt32
from meshd.api.networking.workload_entry import WorkloadEntry


class Location(StrEnum):
    """``ServiceEntry.Location``."""

    MESH_EXTERNAL = "MESH_EXTERNAL"
    MESH_INTERNAL = "MESH_INTERNAL"


class Resolution(StrEnum):
    """``ServiceEntry.Resolution``."""

    NONE = "NONE"
    STATIC = "STATIC"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"
    DYNAMIC_DNS = "DYNAMIC_DNS"


@attrs.frozen
class ServicePort:
    """``protocol`` empty: by the name's prefix; ``targetPort`` 0: ``number``."""

    number: UInt32
    name: str
    protocol: str = ""
    targetPort: UInt32 = 0


@attrs.frozen
class ServiceEntry:
    """Hosts, their ports, and where their endpoints come from."""

    hosts: tuple[str, ...]
    addresses: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    location: Location = Location.MESH_EXTERNAL
    resolution: Resolution = Resolution.NONE
    endpoints: tuple[WorkloadEntry, ...] = ()
    workloadSelector: LabelsSelector | None = None
    exportTo: tuple[str, ...] = ()
    subjectAltNames: tuple[str, ...] = ()
