"""Which pods have a sidecar, or will have one. Pure.

Source: Istio's ``analyzers/util/in_mesh.go``.
"""

from __future__ import annotations

from typing import Final

from meshd.api.document import Document
from meshd.control.analysis.facts import Facts
from meshd.control.analysis.istio.annotation_table import INJECT
from meshd.control.analysis.pod_facts import Known

INJECTION: Final = "istio-injection"
"""Label of a namespace: ``enabled`` or ``disabled``."""
REVISION: Final = "istio.io/rev"
DATAPLANE_MODE: Final = "istio.io/dataplane-mode"
AMBIENT: Final = "ambient"

IGNORED_NAMESPACES: Final = frozenset({"kube-system", "kube-public", "kube-node-lease", "local-path-storage"})
"""Kubernetes' own: nothing is ever injected there."""


def in_mesh(known: Known, facts: Facts) -> bool:
    """Whether a workload has a sidecar.

    What is no pod (an entry, the ingress gateway) has one or is one. Where no
    document speaks of the namespace, it is taken for one of the mesh: who has no
    cluster writes no Namespaces.
    """
    if known.document is None or known.document.kind == "WorkloadEntry" or known.has_proxy:
        return True
    for said in (known.labels.get(INJECT), known.annotations.get(INJECT)):
        if said is not None:
            return said == "true"
    namespace = facts.namespaces.get(known.namespace)
    return namespace is None or namespace.labels.get(INJECTION) == "enabled"


def is_ambient(known: Known) -> bool:
    """Whether a pod takes part without a sidecar."""
    return known.annotations.get("ambient.istio.io/redirection") == "enabled"


def is_ambient_namespace(namespace: Document | None) -> bool:
    """Whether a namespace's pods take part without sidecars."""
    if namespace is None or namespace.labels.get(INJECTION) == "enabled" or namespace.labels.get(REVISION):
        return False
    return namespace.labels.get(DATAPLANE_MODE) == AMBIENT
