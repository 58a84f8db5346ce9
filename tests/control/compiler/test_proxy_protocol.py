"""``gatewayTopology.proxyProtocol`` is for gateways."""

from __future__ import annotations

from meshd.api.mesh.config import MeshConfig
from meshd.api.mesh.proxy import ProxyConfig, ProxyProtocolConfiguration, Topology
from meshd.control.compiler.edge import Edge


def test_its_presence_counts():
    assert not Edge.of(MeshConfig()).proxy_protocol
    assert not Edge.of(MeshConfig(defaultConfig=ProxyConfig(gatewayTopology=Topology()))).proxy_protocol
    topology = Topology(proxyProtocol=ProxyProtocolConfiguration())
    assert Edge.of(MeshConfig(defaultConfig=ProxyConfig(gatewayTopology=topology))).proxy_protocol
