"""A server's TLS settings."""

from __future__ import annotations

import pytest

from meshd.api.mesh.config import MeshConfig, TLSConfig
from meshd.api.mesh.config import TLSProtocol as LeastVersion
from meshd.api.networking.gateway import ServerTLSmode, ServerTLSSettings, TLSCertificate, TLSProtocol
from meshd.control.compiler.edge import Edge
from meshd.control.compiler.gateway_tls import downstream_tls
from meshd.snapshot.listener import DownstreamTls

FILES = {"serverCertificate": "/c", "privateKey": "/k", "caCertificates": "/ca"}


def of(**settings: object) -> DownstreamTls:
    return downstream_tls(ServerTLSSettings(**settings), ("t.org", "old.org"), http=True)  # type: ignore[arg-type]


def test_simple() -> None:
    assert of(mode=ServerTLSmode.SIMPLE, credentialName="x") == DownstreamTls(
        "kubernetes://x", "", require_client_certificate=False
    )
    assert of(mode=ServerTLSmode.SIMPLE, **FILES).certificate == "file-cert:/c~/k"


@pytest.mark.parametrize(
    ("settings", "roots"),
    [
        ({"credentialName": "x"}, "kubernetes://x-cacert"),
        ({"credentialName": "x", "caCertCredentialName": "y"}, "kubernetes://y"),
        (FILES, "file-root:/ca"),
    ],
)
def test_mutual(settings: dict[str, str], roots: str) -> None:
    found = of(mode=ServerTLSmode.MUTUAL, subjectAltNames=("a",), **settings)
    assert (found.validation, found.require_client_certificate, found.subject_alt_names) == (roots, True, ("a",))
    optional = of(mode=ServerTLSmode.OPTIONAL_MUTUAL, **settings)
    assert (optional.validation, optional.require_client_certificate) == (roots, False)


def test_istio_mutual_is_the_meshs_own() -> None:
    found = of(mode=ServerTLSmode.ISTIO_MUTUAL)
    assert (found.certificate, found.validation, found.trust_domains) == ("default", "ROOTCA", ("t.org", "old.org"))
    assert found.require_client_certificate


def test_versions_and_ciphers() -> None:
    found = of(mode=ServerTLSmode.SIMPLE, minProtocolVersion=TLSProtocol.TLSV1_3, cipherSuites=("A",), **FILES)
    assert (found.minimum_version, found.maximum_version, found.cipher_suites) == ("TLSv1_3", "TLSv1_3", ("A",))
    assert of(mode=ServerTLSmode.SIMPLE, **FILES).minimum_version == "TLSv1_2"
    oldest = of(mode=ServerTLSmode.SIMPLE, minProtocolVersion=TLSProtocol.TLSV1_0, **FILES)
    assert oldest.minimum_version == "TLSv1_0"


def test_bytes_have_no_application_protocol() -> None:
    settings = ServerTLSSettings(mode=ServerTLSmode.SIMPLE, credentialName="x")
    assert downstream_tls(settings, ("t",), http=False).alpn == ()


def test_of_several_certificates_the_first() -> None:
    assert of(mode=ServerTLSmode.SIMPLE, credentialNames=("one", "two")).certificate == "kubernetes://one"
    files = (TLSCertificate("/c", "/k", "/ca"), TLSCertificate("/d", "/l"))
    found = of(mode=ServerTLSmode.MUTUAL, tlsCertificates=files)
    assert (found.certificate, found.validation) == ("file-cert:/c~/k", "file-root:/ca")


def test_the_meshs_defaults() -> None:
    config = MeshConfig(
        meshMTLS=TLSConfig(LeastVersion.TLSV1_3, cipherSuites=("M",)),
        tlsDefaults=TLSConfig(LeastVersion.TLSV1_3, cipherSuites=("D",)),
    )
    edge = Edge.of(config)

    def made(**settings: object) -> tuple[str, tuple[str, ...]]:
        found = downstream_tls(ServerTLSSettings(**settings), ("t",), http=True, edge=edge)  # type: ignore[arg-type]
        return found.minimum_version, found.cipher_suites

    assert made(mode=ServerTLSmode.ISTIO_MUTUAL) == ("TLSv1_3", ("M",))
    assert made(mode=ServerTLSmode.SIMPLE, **FILES) == ("TLSv1_3", ("D",))
    own = {"minProtocolVersion": TLSProtocol.TLSV1_2, "cipherSuites": ("S",)}
    assert made(mode=ServerTLSmode.SIMPLE, **own, **FILES) == ("TLSv1_2", ("S",))
