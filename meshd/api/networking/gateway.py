"""``networking.istio.io`` Gateway: listeners at the edge. Pure values.

Source: Istio's ``networking/v1alpha3/gateway.proto``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import attrs

from meshd.api.common import Labels, Map, UInt32


@attrs.frozen
class Port:
    """A server's port. ``protocol``: HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP or TLS."""

    number: UInt32 = 0
    protocol: str = ""
    name: str = ""
    targetPort: UInt32 = 0


class ServerTLSmode(StrEnum):
    """``ServerTLSSettings.TLSmode``. Its zero value is PASSTHROUGH."""

    PASSTHROUGH = "PASSTHROUGH"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    AUTO_PASSTHROUGH = "AUTO_PASSTHROUGH"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"
    OPTIONAL_MUTUAL = "OPTIONAL_MUTUAL"


class TLSProtocol(StrEnum):
    """``ServerTLSSettings.TLSProtocol``; TLS_AUTO is 1.2 as the least, 1.3 as the most."""

    TLS_AUTO = "TLS_AUTO"
    TLSV1_0 = "TLSV1_0"
    TLSV1_1 = "TLSV1_1"
    TLSV1_2 = "TLSV1_2"
    TLSV1_3 = "TLSV1_3"


@attrs.frozen
class TLSCertificate:
    """``ServerTLSSettings.TLSCertificate``: files of one of several certificates."""

    serverCertificate: str = ""
    privateKey: str = ""
    caCertificates: str = ""


@attrs.frozen
class ServerTLSSettings:
    """How a gateway's server speaks TLS."""

    httpsRedirect: bool = False
    mode: ServerTLSmode = ServerTLSmode.PASSTHROUGH
    serverCertificate: str = ""
    privateKey: str = ""
    caCertificates: str = ""
    caCrl: str = ""
    credentialName: str = ""
    credentialNames: tuple[str, ...] = ()
    caCertCredentialName: str = ""
    tlsCertificates: tuple[TLSCertificate, ...] = ()
    subjectAltNames: tuple[str, ...] = ()
    verifyCertificateSpki: tuple[str, ...] = ()
    verifyCertificateHash: tuple[str, ...] = ()
    minProtocolVersion: TLSProtocol = TLSProtocol.TLS_AUTO
    maxProtocolVersion: TLSProtocol = TLSProtocol.TLS_AUTO
    cipherSuites: tuple[str, ...] = ()
    insecureSkipVerify: bool | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"insecureSkipVerify"})
    PARTLY: ClassVar[Map[str, str]] = Map(
        dict.fromkeys(("credentialNames", "tlsCertificates"), "the first certificate is shown to everybody")
    )
    # ``caCrl`` is judged by validation: only where clients must show a certificate does it keep anybody out.
    REFUSED: ClassVar[frozenset[str]] = frozenset({"verifyCertificateSpki", "verifyCertificateHash"})


@attrs.frozen
class Server:
    """One listener's share: hosts on a port."""

    port: Port
    hosts: tuple[str, ...]
    bind: str = ""
    tls: ServerTLSSettings | None = None
    defaultEndpoint: str = ""
    name: str = ""

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"defaultEndpoint"})


@attrs.frozen
class Gateway:
    """Servers of the gateway workloads that have the labels of ``selector``."""

    servers: tuple[Server, ...] = ()
    selector: Labels = Map()
