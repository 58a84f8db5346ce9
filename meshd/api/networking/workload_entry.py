"""``networking.istio.io`` WorkloadEntry: one workload's address. Pure values.

Source: Istio's ``networking/v1alpha3/workload_entry.proto``.
"""

from __future__ import annotations

from typing import ClassVar

import attrs

from meshd.api.common import Labels, Map, UInt32


@attrs.frozen
class WorkloadEntry:
    """An endpoint. ``ports`` maps port names to numbers; a ``weight`` of 0 is 1."""

    address: str = ""
    ports: Map[str, UInt32] = Map()
    labels: Labels = Map()
    network: str = ""
    locality: str = ""
    weight: UInt32 = 0
    serviceAccount: str = ""

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"network"})
