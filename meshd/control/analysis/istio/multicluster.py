"""Networks of several clusters. Pure.

Source: Istio's ``analyzers/multicluster/meshnetworks.go``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from meshd.api.kubernetes import ConfigMap, Secret
from meshd.api.problem import error
from meshd.control.analysis.facts import Facts, told
from meshd.control.finding import Finding

UNKNOWN_REGISTRY = "IST0126"

BUILT_IN: Final = frozenset({"Mock", "Kubernetes", "External"})
NAME: Final = "meshnetworks"
"""What Istio calls the settings of networks, wherever they stand."""
CLUSTER_SECRET: Final = "istio/multiCluster"  # noqa: S105 - the name of a label
"""Label of the Secrets that each hold the access to some clusters, by the clusters' names."""


def mesh_networks(facts: Facts) -> Iterable[Finding]:
    """Registries in MeshNetworks that are no cluster anybody knows."""
    known = set(BUILT_IN)
    for document in facts.all(Secret):
        if document.labels.get(CLUSTER_SECRET) == "true":
            known |= {*document.resource.data, *document.resource.stringData}
    for document in facts.all(ConfigMap):
        networks = document.resource.meshNetworks
        for name, network in networks.networks.items() if networks is not None else ():
            for index, endpoints in enumerate(network.endpoints):
                registry = endpoints.fromRegistry
                if registry is not None and registry not in known:
                    path = ("data", "meshNetworks", "networks", name, "endpoints", index, "fromRegistry")
                    message = f'"{registry}" in network {name} is no cluster that a Secret gives access to'
                    for finding in told(document, (error(path, message, code=UNKNOWN_REGISTRY),)):
                        yield attrs.evolve(finding, resource=f"MeshNetworks {document.namespace}/{NAME}")
