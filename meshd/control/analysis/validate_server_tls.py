"""TLS settings of a server: a Gateway's, and those of a Sidecar's inbound listener. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from meshd.api.document import Path
from meshd.api.networking.gateway import ServerTLSmode, ServerTLSSettings, TLSProtocol
from meshd.api.problem import FIELD_NOT_SUPPORTED, FIELD_WITHOUT_EFFECT, Problem, error, warning

_VERSIONS = (TLSProtocol.TLSV1_0, TLSProtocol.TLSV1_1, TLSProtocol.TLSV1_2, TLSProtocol.TLSV1_3)
_OWN_CERTIFICATE = (ServerTLSmode.SIMPLE, ServerTLSmode.MUTUAL, ServerTLSmode.OPTIONAL_MUTUAL)
_MUTUAL = (ServerTLSmode.MUTUAL, ServerTLSmode.OPTIONAL_MUTUAL)
_PASSED_ON = (ServerTLSmode.PASSTHROUGH, ServerTLSmode.AUTO_PASSTHROUGH)

MOST_CERTIFICATES = 2
"""One RSA, one ECDSA."""

CIPHER_SUITES = frozenset(
    {
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-RSA-AES128-SHA",
        "ECDHE-ECDSA-AES256-SHA",
        "ECDHE-RSA-AES256-SHA",
        "AES128-GCM-SHA256",
        "AES256-GCM-SHA384",
        "AES128-SHA",
        "AES256-SHA",
        "DES-CBC3-SHA",
    }
)
"""BoringSSL's names of the cipher suites it has."""

_MEANS = {
    "serverCertificate": "server certificate",
    "privateKey": "private key",
    "caCertificates": "CA bundle",
    "caCrl": "revocation list",
}
_NAMES = ("credentialName", "credentialNames")


def server_tls(tls: ServerTLSSettings, path: Path) -> Iterator[Problem]:
    """Istio's rules for ServerTLSSettings."""
    yield from _versions(tls, path)
    yield from _ciphers(tls, path)
    if tls.mode is ServerTLSmode.ISTIO_MUTUAL:
        yield from _own_identity(tls, path)
    elif tls.mode in _PASSED_ON:
        yield from _passed_on(tls, path)
    elif tls.mode in _OWN_CERTIFICATE:
        yield from _certificates(tls, path)
    for name in ("verifyCertificateSpki", "verifyCertificateHash"):
        for index, each in enumerate(getattr(tls, name)):
            if not each:
                yield error((*path, name, index), "the value is empty")


def _versions(tls: ServerTLSSettings, path: Path) -> Iterator[Problem]:
    least, most = tls.minProtocolVersion, tls.maxProtocolVersion
    if least in _VERSIONS and most in _VERSIONS and _VERSIONS.index(least) > _VERSIONS.index(most):
        yield error((*path, "minProtocolVersion"), f"the least version {least} is above the most, {most}")
    if least in (TLSProtocol.TLSV1_0, TLSProtocol.TLSV1_1) and not tls.cipherSuites:
        yield warning(
            (*path, "minProtocolVersion"),
            f"no usual cipher suite works with {least}: below TLSV1_2 name cipherSuites that do",
        )


def _ciphers(tls: ServerTLSSettings, path: Path) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, suite in enumerate(tls.cipherSuites):
        here = (*path, "cipherSuites", index)
        # A sign or another operator in front of a name is BoringSSL's own language.
        if suite and suite != "ALL" and suite[0].isalnum() and suite not in CIPHER_SUITES:
            yield warning(here, f'"{suite}" is not a cipher suite that proxies know: it is left out', at_value=True)
        elif suite in seen:
            yield warning(here, f'"{suite}" is here twice', at_value=True)
        seen.add(suite)


def _own_identity(tls: ServerTLSSettings, path: Path) -> Iterator[Problem]:
    for name, means in _MEANS.items():
        if getattr(tls, name):
            yield error(
                (*path, name),
                f"ISTIO_MUTUAL TLS cannot have associated {means}: it uses the workload's own; leave this field out",
            )
    for name in (*_NAMES, "tlsCertificates"):
        if getattr(tls, name):
            yield error(
                (*path, name),
                f"ISTIO_MUTUAL TLS cannot have associated {name}: it uses the workload's own; leave this field out",
            )


def _passed_on(tls: ServerTLSSettings, path: Path) -> Iterator[Problem]:
    unused = [name for name in (*_MEANS, *_NAMES, "tlsCertificates") if getattr(tls, name)]
    if unused:
        yield warning(
            (*path, unused[0]),
            f"{tls.mode} mode does not use certificates: {', '.join(unused)} ignored; write mode: SIMPLE to terminate",
        )


def _certificates(tls: ServerTLSSettings, path: Path) -> Iterator[Problem]:
    """Exactly one of the ways to say which certificates, complete."""
    given = [name for name in (*_NAMES, "serverCertificate", "tlsCertificates") if getattr(tls, name)]
    if len(given) > 1:
        yield error(
            (*path, given[-1]),
            "only one of credential_name, credential_names, server certificate and key, or tls_certificates can be set "
            f"(here: {' and '.join(given)})",
            at_value=False,
        )
    for name in ("credentialNames", "tlsCertificates"):
        if len(getattr(tls, name)) > MOST_CERTIFICATES:
            yield warning(
                (*path, name),
                f"{tls.mode} TLS can support up to {MOST_CERTIFICATES} server certificates, one RSA and one ECDSA",
            )
        if len(getattr(tls, name)) > 1:
            why = "meshd does not choose between certificates yet: the first is used"
            yield warning((*path, name), why, code=FIELD_NOT_SUPPORTED)
    if tls.credentialName or tls.credentialNames:
        for name in ("privateKey", "caCertificates", "caCrl"):
            if getattr(tls, name):
                yield warning(
                    (*path, name), f"{name} is not looked at beside a credentialName", code=FIELD_WITHOUT_EFFECT
                )
        return
    if tls.tlsCertificates:
        for index, pair in enumerate(tls.tlsCertificates):
            yield from _pair(tls.mode, pair.serverCertificate, pair.privateKey, (*path, "tlsCertificates", index))
    else:
        yield from _pair(tls.mode, tls.serverCertificate, tls.privateKey, path)
    if tls.mode in _MUTUAL and not tls.caCertificates and not tls.caCertCredentialName:
        yield error(
            path,
            f"{tls.mode} TLS requires a client CA bundle: set caCertificates (a file), or credentialName",
            at_value=False,
        )
    if tls.caCrl and tls.mode is ServerTLSmode.SIMPLE:
        yield error((*path, "caCrl"), "a CRL is not supported with SIMPLE TLS: it asks for no client certificates")
    elif tls.caCrl:
        yield error(
            (*path, "caCrl"),
            "meshd does not support CRLs yet, and without it more would be let in than this asks for",
            code=FIELD_NOT_SUPPORTED,
        )


def _pair(mode: ServerTLSmode, certificate: str, key: str, path: Path) -> Iterator[Problem]:
    for value, name, means in (
        (certificate, "serverCertificate", "server certificate"),
        (key, "privateKey", "private key"),
    ):
        if not value:
            yield error(path, f"{mode} TLS requires a {means}: set {name} (a file), or credentialName", at_value=False)
