"""Registries in MeshNetworks."""

from __future__ import annotations

from meshd.control.analysis.istio.multicluster import mesh_networks
from tests.control.analysis.istio.cases import join, mesh, said

NETWORKS = "networks:\n  one:\n    endpoints:\n    - fromRegistry: %s\n    - fromCidr: 10.0.0.0/8\n"
SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: istio-system, labels: {istio/multiCluster: "true"}}
stringData: {far: kubeconfig}
"""


def test_clusters() -> None:
    unknown = mesh("rootNamespace: istio-system", NETWORKS % "far")
    assert said(mesh_networks, unknown) == ["IST0126 MeshNetworks istio-system/meshnetworks 11"]
    assert said(mesh_networks, join(unknown, SECRET)) == []
    unlabelled = SECRET.replace('"true"', '"false"')
    assert len(said(mesh_networks, join(unknown, unlabelled))) == 1
    assert said(mesh_networks, mesh("rootNamespace: istio-system", NETWORKS % "Kubernetes")) == []
    assert said(mesh_networks, mesh("rootNamespace: istio-system")) == []
