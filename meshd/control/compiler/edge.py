"""What MeshConfig says about a proxy's own side of connections: headers, paths, TLS versions, ports. Pure.

Source: Istio's ``pilot/pkg/networking/core/{gateway,listener,listener_inbound}.go``
and ``pilot/pkg/networking/util`` (``GetProxyHeaders``).
"""

from __future__ import annotations

from typing import Final

import attrs

from meshd.api.mesh.config import MeshConfig, NormalizationType, TLSProtocol
from meshd.api.mesh.proxy import ForwardClientCertDetails
from meshd.control.scope import Scope
from meshd.snapshot.listener import HttpManager

HTTP_10: Final = "ISTIO_META_HTTP10"
"""Entry of ``proxyMetadata``: HTTP/1.0 is answered, not refused."""

FORWARDING: Final = {
    ForwardClientCertDetails.SANITIZE: "sanitize",
    ForwardClientCertDetails.FORWARD_ONLY: "forward_only",
    ForwardClientCertDetails.APPEND_FORWARD: "append_forward",
    ForwardClientCertDetails.SANITIZE_SET: "sanitize_set",
    ForwardClientCertDetails.ALWAYS_FORWARD_ONLY: "always_forward",
}
GATEWAY_FORWARDING: Final = "sanitize_set"
SIDECAR_FORWARDING: Final = "append_forward"
LEAST: Final = {TLSProtocol.TLSV1_2: "TLSv1_2", TLSProtocol.TLSV1_3: "TLSv1_3"}
LEAST_BY_DEFAULT: Final = "TLSv1_2"


@attrs.frozen
class Edge:
    """The settings, with nothing more to be looked up."""

    trusted_hops: int = 0
    gateway_forwarding: str = GATEWAY_FORWARDING
    sidecar_forwarding: str = SIDECAR_FORWARDING
    path_normalization: str = "BASE"
    accept_http_10: bool = False
    proxy_protocol: bool = False
    """Gateways: a load balancer says whose each connection is."""
    detection_timeout: float = 0.0
    inbound_port: int = 15006
    mesh_least: str = LEAST_BY_DEFAULT
    """The least version of mesh mTLS."""
    mesh_ciphers: tuple[str, ...] = ()
    least: str = LEAST_BY_DEFAULT
    """The least version of other TLS, where its own settings name none."""
    ciphers: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: MeshConfig) -> Edge:
        """Read a MeshConfig."""
        proxies = config.defaultConfig
        topology, headers = proxies.gatewayTopology, proxies.proxyHeaders
        normalization = config.pathNormalization.normalization
        if normalization is NormalizationType.DEFAULT:
            normalization = NormalizationType.BASE
        mesh, others = config.meshMTLS, config.tlsDefaults
        return cls(
            trusted_hops=topology.numTrustedProxies if topology else 0,
            gateway_forwarding=FORWARDING.get(topology.forwardClientCertDetails, GATEWAY_FORWARDING)
            if topology
            else GATEWAY_FORWARDING,
            sidecar_forwarding=FORWARDING.get(headers.forwardedClientCert, SIDECAR_FORWARDING)
            if headers
            else SIDECAR_FORWARDING,
            path_normalization=normalization.value,
            accept_http_10=proxies.proxyMetadata.get(HTTP_10, "") in {"1", "true"},
            proxy_protocol=topology is not None and topology.proxyProtocol is not None,
            detection_timeout=config.protocolDetectionTimeout,
            inbound_port=config.proxyInboundListenPort,
            mesh_least=LEAST.get(mesh.minProtocolVersion, LEAST_BY_DEFAULT) if mesh else LEAST_BY_DEFAULT,
            mesh_ciphers=mesh.cipherSuites if mesh else (),
            least=LEAST.get(others.minProtocolVersion, LEAST_BY_DEFAULT) if others else LEAST_BY_DEFAULT,
            ciphers=others.cipherSuites if others else (),
            aliases=config.trustDomainAliases,
        )

    def trust_domains(self, scope: Scope) -> tuple[str, ...]:
        """Whose workloads mesh mTLS lets in: the mesh's own, and by the names it had before."""
        return tuple(dict.fromkeys((scope.trust_domain, *self.aliases)))

    def gateway_http(self) -> HttpManager:
        """HTTP from outside."""
        return HttpManager(
            use_remote_address=True,
            trusted_hops=self.trusted_hops,
            forward_client_cert=self.gateway_forwarding,
            path_normalization=self.path_normalization,
            accept_http_10=self.accept_http_10,
        )

    def sidecar_http(self) -> HttpManager:
        """HTTP for a sidecar's application."""
        return HttpManager(
            forward_client_cert=self.sidecar_forwarding,
            path_normalization=self.path_normalization,
            accept_http_10=self.accept_http_10,
        )
