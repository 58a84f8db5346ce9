"""Where a route's requests go: references to Services and hosts as destinations. Pure.

Source: Istio's ``pilot/pkg/config/kube/gateway/conversion.go`` (``buildDestination``).

A reference that cannot be followed keeps its share of the requests, which are
answered with 500: its destination is a host that nobody can have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import attrs

from meshd.api.common import Percent, PortSelector
from meshd.api.gateway_api.references import BackendObjectReference, HTTPRequestMirrorFilter
from meshd.api.kinds import NETWORKING
from meshd.api.networking.virtual_service import Destination, HTTPMirrorPolicy, RouteDestination
from meshd.control.gateway_api.grants import Grants, Referrer, Target
from meshd.control.hosts import service_host

NOT_PERMITTED: Final = "not-permitted.invalid"
"""Stands for a reference into another namespace that no ReferenceGrant there permits."""
NOT_A_BACKEND: Final = "not-a-backend.invalid"
"""Stands for a reference to what requests cannot be sent to, or without a port."""
NOT_SUPPORTED: Final = "filter-not-supported.invalid"
"""Stands for a destination whose requests would have to pass a filter that there is not."""


class Reference(Protocol):
    """What all references to backends have in common."""

    @property
    def name(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def namespace(self) -> str | None: ...
    @property
    def port(self) -> int | None: ...


class Weighted(Reference, Protocol):
    """One of several."""

    @property
    def weight(self) -> int: ...


@attrs.frozen(eq=False)
class Backends:
    """Looks references up.

    ``enforced``: ReferenceGrants are asked for; not so for requests within the
    mesh, where a route speaks for its own namespace's clients (Istio).
    """

    grants: Grants
    domain: str
    enforced: bool

    def destination(self, reference: Reference, referrer: Referrer) -> Destination:
        """Where requests for a backend go."""
        port = None if reference.port is None else PortSelector(reference.port)
        if (reference.group, reference.kind) == (NETWORKING, "Hostname"):
            usable = port is not None and not reference.namespace
            return Destination(reference.name, port=port) if usable else Destination(NOT_A_BACKEND)
        if (reference.group or "core", reference.kind) != ("core", "Service") or port is None:
            return Destination(NOT_A_BACKEND, port=port)
        namespace = reference.namespace or referrer.namespace
        target = Target("", "Service", namespace, reference.name)
        if self.enforced and not self.grants.permit(referrer, target):
            return Destination(NOT_PERMITTED, port=port)
        return Destination(service_host(reference.name, namespace, self.domain), port=port)

    def mirror(self, mirror: HTTPRequestMirrorFilter, referrer: Referrer) -> HTTPMirrorPolicy | None:
        """A copy of some requests; None when there is nowhere to send it."""
        share: float = 100.0
        if mirror.percent is not None:
            share = float(mirror.percent)
        elif mirror.fraction is not None:
            share = 100.0 * mirror.fraction.numerator / (mirror.fraction.denominator or 100)
        reference: BackendObjectReference = mirror.backendRef
        destination = self.destination(reference, referrer)
        if destination.host in {NOT_PERMITTED, NOT_A_BACKEND}:
            return None
        return HTTPMirrorPolicy(destination, Percent(share))

    def streams(self, references: Sequence[Weighted], referrer: Referrer) -> tuple[RouteDestination, ...]:
        """The destinations of a connection; those without a share are left out."""
        return tuple(
            RouteDestination(self.destination(each, referrer), each.weight) for each in references if each.weight
        )
