"""Keys, requests and chains on ``cryptography``: for the control plane, tests and the key child.

A sidecar never imports this module: the library costs 9 MB. It runs
``python -m meshd.certs.x509`` for a moment instead (``certs/request.py``),
which answers questions on stdin by answers on stdout, a line of JSON each.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from meshd.certs.bundle import split_pem
from meshd.certs.facts import CertificateFacts, KeyAndRequest
from meshd.errors import IdentityError

if TYPE_CHECKING:
    # The child, which is this module, must not wait for trio to be imported.
    from meshd.certs.request import Keys

MAX_CHAIN = 8
"""Certificates in a chain, leaf included (x509pop of SPIRE: 4 intermediates; plug-in CAs add some)."""
MAX_QUESTION = 1024 * 1024


def make_key_and_request() -> KeyAndRequest:
    """A new P-256 key and a request that asks for nothing: the issuer decides the identity."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return KeyAndRequest(key_to_pem(key), request.public_bytes(serialization.Encoding.PEM).decode("ascii"))


def key_to_pem(key: CertificateIssuerPrivateKeyTypes) -> str:
    """A private key as unencrypted PKCS#8."""
    data = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return data.decode("ascii")


def load_certificates(pem: str) -> list[x509.Certificate]:
    """Every certificate of a PEM text.

    Raises:
        IdentityError: none, or one that does not parse.
    """
    try:
        return [x509.load_pem_x509_certificate(block.encode("ascii")) for block in split_pem(pem)]
    except (ValueError, UnsupportedAlgorithm) as error:
        raise IdentityError(f"a certificate cannot be read: {error}") from error


def pin_of(public_der: bytes) -> str:
    """The pin of a SubjectPublicKeyInfo."""
    return "sha256:" + hashlib.sha256(public_der).hexdigest()


def spki(certificate: x509.Certificate | x509.CertificateSigningRequest) -> bytes:
    """The DER SubjectPublicKeyInfo of a certificate or request."""
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def facts_of(certificate: x509.Certificate) -> CertificateFacts:
    """What a certificate says."""
    return CertificateFacts(
        spiffe_id=_only_uri(certificate),
        not_before=certificate.not_valid_before_utc.timestamp(),
        not_after=certificate.not_valid_after_utc.timestamp(),
        serial=format(certificate.serial_number, "x"),
        pin=pin_of(spki(certificate)),
        is_ca=is_ca(certificate),
        self_signed=certificate.subject == certificate.issuer and _issued_by(certificate, certificate),
    )


def is_ca(certificate: x509.Certificate) -> bool:
    """May it sign certificates? Basic constraints say CA, and key usage (if any) says keyCertSign."""
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        if not basic.ca:
            return False
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound as missing:
        return missing.oid == x509.KeyUsage.oid
    except ValueError:
        return False
    return usage.key_cert_sign


def describe(pem: str) -> tuple[CertificateFacts, ...]:
    """The facts of every certificate in a PEM text."""
    try:
        return tuple(facts_of(certificate) for certificate in load_certificates(pem))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise IdentityError(f"a certificate cannot be read: {error}") from error


def accept(key_pem: str, chain_pem: str, bundle_pem: str) -> CertificateFacts:
    """Check an issued chain before it is used: the leaf is for our key, and a root of the bundle vouches for it.

    Returns:
        The leaf's facts. Its times and identity are for the caller to judge.

    Raises:
        IdentityError: it is not ours, or nobody we trust signed it.
    """
    chain = load_certificates(chain_pem)
    if len(chain) > MAX_CHAIN:
        raise IdentityError(f"a chain of {len(chain)} certificates; the limit is {MAX_CHAIN}")
    try:
        key = serialization.load_pem_private_key(key_pem.encode("ascii"), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IdentityError("the private key cannot be read") from error
    ours = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    leaf = chain[0]
    if spki(leaf) != ours:
        raise IdentityError("the certificate is not for the key it was asked for")
    if is_ca(leaf):
        raise IdentityError("the certificate is a CA's, not a workload's")
    verify_path(chain, load_certificates(bundle_pem))
    return facts_of(leaf)


def verify_path(chain: list[x509.Certificate], roots: list[x509.Certificate]) -> x509.Certificate:
    """Follow signatures from a leaf to a root, through the chain's other certificates in order.

    Returns:
        The root that vouches.

    Raises:
        IdentityError: a link is missing or broken.
    """
    at = chain[0]
    for following in [*chain[1:], None]:
        for root in roots:
            if at == root or (is_ca(root) and _issued_by(at, root)):
                return root
        if following is None or not is_ca(following) or not _issued_by(at, following):
            break
        at = following
    raise IdentityError("the certificate does not chain to a root that is trusted here: it is of another CA")


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _only_uri(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ""
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return uris[0] if len(uris) == 1 else ""


class LocalKeyMaker:
    """A ``KeyMaker`` in this very process: for the control plane, and for tests on virtual time. Its own session."""

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Keys]:
        """See ``KeyMaker.session``."""
        yield self

    async def make(self) -> KeyAndRequest:
        """See ``Keys.make``."""
        return make_key_and_request()

    async def describe(self, pem: str) -> tuple[CertificateFacts, ...]:
        """See ``Keys.describe``."""
        return describe(pem)

    async def accept(self, key_pem: str, chain_pem: str, bundle_pem: str) -> CertificateFacts:
        """See ``Keys.accept``."""
        return accept(key_pem, chain_pem, bundle_pem)


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """One question of a parent process, answered."""
    try:
        match question:
            case {"do": "make"}:
                return attrs.asdict(make_key_and_request())
            case {"do": "describe", "pem": str(pem)}:
                return {"facts": [attrs.asdict(fact) for fact in describe(pem)]}
            case {"do": "accept", "key": str(key), "chain": str(chain), "bundle": str(bundle)}:
                return {"facts": [attrs.asdict(accept(key, chain, bundle))]}
    except IdentityError as error:
        return {"refused": str(error)}
    return {"refused": "the key child was asked something it does not know"}


def main() -> int:
    """Answer questions until there are no more."""
    while line := sys.stdin.buffer.readline(MAX_QUESTION):
        try:
            question = json.loads(line)
        except ValueError:
            question = {}
        reply = answer(question if isinstance(question, dict) else {})
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
