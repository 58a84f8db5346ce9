"""What Istio needs of the Gateway API: selectors that work there, and definitions that are new enough. Pure.

Source: Istio's ``analyzers/k8sgateway``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from meshd.api.document import Document
from meshd.api.foreign import Foreign
from meshd.api.kinds import EXTENSIONS
from meshd.api.problem import warning
from meshd.api.security import AuthorizationPolicy, RequestAuthentication
from meshd.api.telemetry import Telemetry
from meshd.control.analysis.facts import Facts, told
from meshd.control.finding import Finding
from meshd.control.workloads import selects

INEFFECTIVE_SELECTOR = "IST0166"
OLD_DEFINITION = "IST0176"

GATEWAY_NAME: Final = "gateway.networking.k8s.io/gateway-name"
"""Label of the pods that are made for a Gateway of the Gateway API."""
BUNDLE_VERSION: Final = "gateway.networking.k8s.io/bundle-version"

MINIMUM: Final = {
    "backendtlspolicies.gateway.networking.k8s.io": (1, 4, 0),
    "grpcroutes.gateway.networking.k8s.io": (1, 1, 0),
    "tlsroutes.gateway.networking.k8s.io": (1, 5, 0),
}
"""The oldest release of the Gateway API whose definition Istio reads."""

_VERSION: Final = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:[-+].*)?")


def selectors(facts: Facts) -> Iterable[Finding]:
    """Policies that mean a Gateway's pods by label: only ``targetRefs`` reaches those."""
    pods: dict[str, list[Mapping[str, str]]] = {}
    for known in facts.pods.everything:
        if GATEWAY_NAME in known.labels:
            pods.setdefault(known.namespace, []).append(known.labels)
    if not pods:
        return
    policies = [
        document for kind in (AuthorizationPolicy, RequestAuthentication, Telemetry) for document in facts.all(kind)
    ]
    for document in (*policies, *facts.kind("WasmPlugin", EXTENSIONS)):
        selector = _selector(document)
        if selector is None:
            continue
        met = {each[GATEWAY_NAME] for each in pods.get(document.namespace, ()) if selects(selector.items(), each)}
        for gateway in sorted(met):
            message = f"a selector has no effect on the Gateway {gateway} of the Gateway API: use targetRefs"
            yield from told(document, (warning(("spec", "selector"), message, code=INEFFECTIVE_SELECTOR),))


def _selector(document: Document) -> Mapping[str, str] | None:
    """The selector of a policy, None when it has none or names its targets."""
    resource: Any = document.resource
    if isinstance(resource, Foreign):
        if resource.get("spec", "targetRef") or resource.get("spec", "targetRefs"):
            return None
        labels = resource.get("spec", "selector", "matchLabels")
        return labels if isinstance(labels, Mapping) else None
    if resource.targetRef is not None or resource.targetRefs or resource.selector is None:
        return None
    found: Mapping[str, str] = resource.selector.matchLabels
    return found


def definitions(facts: Facts) -> Iterable[Finding]:
    """Definitions of the Gateway API that are too old to be read."""
    for document in facts.kind("CustomResourceDefinition", "apiextensions.k8s.io"):
        minimum = MINIMUM.get(document.name)
        installed = _VERSION.fullmatch(document.annotations.get(BUNDLE_VERSION, ""))
        if minimum is None or installed is None:
            continue
        if tuple(int(part or 0) for part in installed.groups()) < minimum:
            needed = ".".join(str(part) for part in minimum)
            message = (
                f"is of release {installed.group()}, and Istio reads it from v{needed} on: upgrade the Gateway API"
            )
            path = ("metadata", "annotations", BUNDLE_VERSION)
            yield from told(document, (warning(path, message, at_value=True, code=OLD_DEFINITION),))
