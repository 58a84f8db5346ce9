"""What MeshConfig says of a proxy's own side."""

from __future__ import annotations

import pytest

from meshd.api.common import Map
from meshd.api.mesh.config import MeshConfig, NormalizationType, ProxyPathNormalization, TLSConfig, TLSProtocol
from meshd.api.mesh.proxy import ForwardClientCertDetails, ProxyConfig, ProxyHeaders, Topology
from meshd.control.compiler.edge import HTTP_10, Edge
from meshd.control.scope import Scope
from meshd.snapshot.listener import HttpManager


def test_istios_defaults() -> None:
    edge = Edge.of(MeshConfig())
    assert edge == Edge()
    assert edge.gateway_http() == HttpManager(use_remote_address=True, forward_client_cert="sanitize_set")
    assert edge.sidecar_http() == HttpManager()
    assert edge.trust_domains(Scope(trust_domain="a")) == ("a",)


def test_everything_said() -> None:
    config = MeshConfig(
        proxyInboundListenPort=16006,
        pathNormalization=ProxyPathNormalization(NormalizationType.DECODE_AND_MERGE_SLASHES),
        trustDomainAliases=("old", "a"),
        meshMTLS=TLSConfig(TLSProtocol.TLSV1_3, cipherSuites=("M",)),
        tlsDefaults=TLSConfig(cipherSuites=("D",)),
        defaultConfig=ProxyConfig(
            gatewayTopology=Topology(3, ForwardClientCertDetails.FORWARD_ONLY),
            proxyHeaders=ProxyHeaders(forwardedClientCert=ForwardClientCertDetails.ALWAYS_FORWARD_ONLY),
            proxyMetadata=Map({HTTP_10: "1"}),
        ),
    )
    edge = Edge.of(config)
    assert edge.gateway_http() == HttpManager(
        use_remote_address=True,
        trusted_hops=3,
        forward_client_cert="forward_only",
        path_normalization="DECODE_AND_MERGE_SLASHES",
        accept_http_10=True,
    )
    assert edge.sidecar_http() == HttpManager(
        forward_client_cert="always_forward", path_normalization="DECODE_AND_MERGE_SLASHES", accept_http_10=True
    )
    assert edge.trust_domains(Scope(trust_domain="a")) == ("a", "old")
    assert (edge.inbound_port, edge.mesh_least, edge.mesh_ciphers) == (16006, "TLSv1_3", ("M",))
    assert (edge.least, edge.ciphers) == ("TLSv1_2", ("D",))


@pytest.mark.parametrize("said", [ForwardClientCertDetails.UNDEFINED, *ForwardClientCertDetails])
def test_every_way_to_forward_a_certificate_is_one_that_proxies_know(said: ForwardClientCertDetails) -> None:
    edge = Edge.of(MeshConfig(defaultConfig=ProxyConfig(gatewayTopology=Topology(0, said))))
    assert edge.gateway_forwarding in {"sanitize", "forward_only", "append_forward", "sanitize_set", "always_forward"}
