"""How TLS is terminated as a Gateway's server, or a Sidecar's ingress listener, says. Pure.

Source: Istio's ``pilot/pkg/networking/core/{gateway,listener}.go`` (``BuildListenerTLSContext``).
"""

from __future__ import annotations

from typing import Final

from meshd.api.networking.gateway import ServerTLSmode, ServerTLSSettings, TLSProtocol
from meshd.control.compiler.edge import Edge
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


def downstream_tls(
    settings: ServerTLSSettings, trust_domains: tuple[str, ...], *, http: bool, edge: Edge | None = None
) -> DownstreamTls:
    """The settings of a server that terminates TLS, for HTTP or for bytes.

    Args:
        settings: What the user says.
        trust_domains: Whose workloads ISTIO_MUTUAL lets in.
        http: Whether HTTP is spoken inside.
        edge: The mesh's defaults.
    """
    mesh = edge or Edge()
    alpn = ("h2", "http/1.1") if http else ()
    most = VERSIONS.get(settings.maxProtocolVersion, "TLSv1_3")
    if settings.mode is ServerTLSmode.ISTIO_MUTUAL:
        return DownstreamTls(
            WORKLOAD,
            MESH_ROOTS,
            alpn=alpn,
            minimum_version=VERSIONS.get(settings.minProtocolVersion, mesh.mesh_least),
            maximum_version=most,
            cipher_suites=settings.cipherSuites or mesh.mesh_ciphers,
            trust_domains=trust_domains,
            subject_alt_names=settings.subjectAltNames,
        )
    clients = settings.mode in CLIENT_MODES
    return DownstreamTls(
        certificate=_certificate(settings),
        validation=_roots(settings) if clients else "",
        require_client_certificate=settings.mode is ServerTLSmode.MUTUAL,
        alpn=alpn,
        minimum_version=VERSIONS.get(settings.minProtocolVersion, mesh.least),
        maximum_version=most,
        cipher_suites=settings.cipherSuites or mesh.ciphers,
        subject_alt_names=settings.subjectAltNames if clients else (),
    )


def _certificate(settings: ServerTLSSettings) -> str:
    """Where the server's certificate is; of several, the first."""
    for name in (settings.credentialName, *settings.credentialNames):
        if name:
            return credential(name)
    for each in settings.tlsCertificates:
        return files(each.serverCertificate, each.privateKey)
    return files(settings.serverCertificate, settings.privateKey)


def _roots(settings: ServerTLSSettings) -> str:
    """Whose client certificates are taken: a Secret of its own, beside the certificate's, or a file."""
    if settings.caCertCredentialName:
        return credential(settings.caCertCredentialName)
    for name in (settings.credentialName, *settings.credentialNames):
        if name:
            return credential(name) + CA_SUFFIX
    if settings.caCertificates:
        return root_file(settings.caCertificates)
    return next((root_file(each.caCertificates) for each in settings.tlsCertificates if each.caCertificates), "")
