"""Fields and kinds that Istio has given up. Pure.

Source: Istio's ``analyzers/deprecation`` and ``analyzers/telemetry/lightstep.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshd.api.document import Document
from meshd.api.networking.sidecar import Sidecar
from meshd.api.networking.virtual_service import VirtualService
from meshd.api.problem import Problem, warning
from meshd.api.telemetry import Telemetry
from meshd.control.analysis.facts import Facts, told
from meshd.control.finding import Finding

DEPRECATED = "IST0002"

GONE = frozenset({"ClusterRbacConfig", "RbacConfig", "ServiceRole", "ServiceRoleBinding"})
"""Kinds of ``rbac.istio.io``."""


def deprecated_fields(facts: Facts) -> Iterable[Finding]:
    """Fields that have a newer form or no effect, and definitions of kinds that are gone."""
    for document in facts.all(VirtualService):
        yield from told(document, _percent(document))
    for document in facts.all(Sidecar):
        policy = document.resource.outboundTrafficPolicy
        if policy is not None and policy.egressProxy is not None:
            path = ("spec", "outboundTrafficPolicy", "egressProxy")
            yield from told(document, (warning(path, "egressProxy is deprecated and ignored", code=DEPRECATED),))
    for document in facts.kind("CustomResourceDefinition", "apiextensions.k8s.io"):
        spec = document.resource
        kind = spec.get("spec", "names", "kind")
        if spec.get("spec", "group") == "rbac.istio.io" and kind in GONE:
            message = f"the kind {kind} of rbac.istio.io is gone: use AuthorizationPolicy"
            yield from told(document, (warning(("spec", "names", "kind"), message, code=DEPRECATED),))


def _percent(document: Document) -> Iterator[Problem]:
    for index, route in enumerate(document.resource.http):
        if route.fault is not None and route.fault.delay is not None and route.fault.delay.percent:
            path = ("spec", "http", index, "fault", "delay", "percent")
            yield warning(path, "percent is deprecated: use percentage.value", code=DEPRECATED)


def lightstep(facts: Facts) -> Iterable[Finding]:
    """Tracing by Lightstep's own protocol."""
    providers = {each.name for each in facts.mesh.config.extensionProviders if each.lightstep is not None}
    for document in facts.all(Telemetry) if providers else ():
        for index, tracing in enumerate(document.resource.tracing):
            for at, provider in enumerate(tracing.providers):
                if provider.name in providers:
                    path = ("spec", "tracing", index, "providers", at)
                    message = (
                        f'the provider "{provider.name}" is of the kind lightstep, which is gone: use opentelemetry'
                    )
                    yield from told(document, (warning(path, message, code=DEPRECATED),))
