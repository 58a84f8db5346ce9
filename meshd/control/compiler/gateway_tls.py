"""How a gateway's server terminates TLS. Pure.

Source: Istio's ``pilot/pkg/networking/core/gateway.go`` (``buildGatewayListenerTLSContext``).
"""

from __future__ import annotations

from typing import Final

from meshd.api.networking.gateway import ServerTLSmode, ServerTLSSettings, TLSProtocol
from meshd.control.compiler.secrets import CA_SUFFIX, credential, files, root_file
from meshd.snapshot.listener import DownstreamTls

WORKLOAD: Final = "default"
MESH_ROOTS: Final = "ROOTCA"
VERSIONS: Final = {
    TLSProtocol.TLSV1_0: "TLSv1_0",
    TLSProtocol.TLSV1_1: "TLSv1_1",
    TLSProtocol.TLSV1_2: "TLSv1_2",
    TLSProtocol.TLSV1_3: "TLSv1_3",
}
CLIENT_MODES: Final = frozenset({ServerTLSmode.MUTUAL, ServerTLSmode.OPTIONAL_MUTUAL})


def downstream_tls(settings: ServerTLSSettings, trust_domain: str, *, http: bool) -> DownstreamTls:
    """The settings of a server that terminates TLS, for HTTP or for bytes."""
    alpn = ("h2", "http/1.1") if http else ()
    least = VERSIONS.get(settings.minProtocolVersion, "TLSv1_2")
    most = VERSIONS.get(settings.maxProtocolVersion, "TLSv1_3")
    if settings.mode is ServerTLSmode.ISTIO_MUTUAL:
        return DownstreamTls(
            WORKLOAD,
            MESH_ROOTS,
            alpn=alpn,
            minimum_version=least,
            maximum_version=most,
            cipher_suites=settings.cipherSuites,
            trust_domains=(trust_domain,),
            subject_alt_names=settings.subjectAltNames,
        )
    clients = settings.mode in CLIENT_MODES
    return DownstreamTls(
        certificate=_certificate(settings),
        validation=_roots(settings) if clients else "",
        require_client_certificate=settings.mode is ServerTLSmode.MUTUAL,
        alpn=alpn,
        minimum_version=least,
        maximum_version=most,
        cipher_suites=settings.cipherSuites,
        subject_alt_names=settings.subjectAltNames if clients else (),
    )


def _certificate(settings: ServerTLSSettings) -> str:
    if settings.credentialName:
        return credential(settings.credentialName)
    return files(settings.serverCertificate, settings.privateKey)


def _roots(settings: ServerTLSSettings) -> str:
    """Whose client certificates are taken: a Secret of its own, beside the certificate's, or a file."""
    if settings.caCertCredentialName:
        return credential(settings.caCertCredentialName)
    if settings.credentialName:
        return credential(settings.credentialName) + CA_SUFFIX
    return root_file(settings.caCertificates)
