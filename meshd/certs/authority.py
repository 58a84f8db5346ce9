"""The certificate authority: signs what the server has decided, and nothing a request asks for.

A request (CSR) gives one thing, a public key, and proves that the asker holds
its private half. Names, usages and times come from the caller, who knows the
authenticated identity. Control plane only: imports ``cryptography``.

Rules of an issued leaf (X.509-SVID; Istio's Citadel): exactly one URI SAN,
critical because the subject is empty; not a CA; digitalSignature (and
keyEncipherment for RSA); client and server authentication; subject and
authority key ids; dated back two minutes against skewed clocks; never outlives
the certificates that sign it.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable

import attrs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from meshd.certs.bundle import TrustBundle
from meshd.certs.facts import CertificateFacts
from meshd.certs.x509 import facts_of, is_ca, key_to_pem, load_certificates, pin_of, spki, verify_path
from meshd.errors import IdentityError

KIB = 1024
SECONDS = 1.0
MINUTES = 60 * SECONDS
HOURS = 60 * MINUTES
DAYS = 24 * HOURS

MAX_CSR = 16 * KIB
"""A P-256 request is 0.5 KiB, an RSA-8192 one 3 KiB."""
BACKDATE = 2 * MINUTES
"""Source: Istio's NotBefore - 2 min."""
ROOT_LIFETIME = 3650 * DAYS
"""Source: Istio's CITADEL_SELF_SIGNED_CA_CERT_TTL."""


@attrs.frozen
class Lifetimes:
    """How long leaves live. Source: Istio's DEFAULT_WORKLOAD_CERT_TTL and MAX_WORKLOAD_CERT_TTL."""

    default: float = 24 * HOURS
    most: float = 90 * DAYS
    least: float = 1 * SECONDS


@attrs.frozen
class CaMaterial:
    """A signing certificate with its key, and what stands above it."""

    certificate_pem: str
    key_pem: str = attrs.field(repr=False)
    chain_pem: str = ""
    """Intermediates above it, and roots, in any order; empty when it is itself a root."""


@attrs.frozen
class Subject:
    """For whom a leaf is. ``dns`` and ``ips`` only for the control plane's own certificate."""

    spiffe_id: str
    dns: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()


@attrs.frozen
class Issued:
    """A leaf, just signed."""

    chain_pem: str
    """Leaf first, then intermediates; the root is not in it."""
    facts: CertificateFacts


def make_root(trust_domain: str, now: float, *, lifetime: float = ROOT_LIFETIME) -> CaMaterial:
    """A new self-signed P-256 root."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    # Roots of one mesh must differ in name: verifiers look issuers up by it.
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, trust_domain[:64]),
            x509.NameAttribute(NameOID.COMMON_NAME, f"meshd root {public.digest.hex()[:12]}"),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_time(now - BACKDATE))
        .not_valid_after(_time(now + lifetime))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(public, critical=False)
        .sign(key, hashes.SHA256())
    )
    return CaMaterial(_pem(certificate), key_to_pem(key))


class CertificateAuthority:
    """Signs leaves with one CA certificate. Made by whoever holds the key; holds no other state."""

    def __init__(
        self,
        material: CaMaterial,
        trust_domain: str,
        wall_clock: Callable[[], float],
        lifetimes: Lifetimes | None = None,
    ) -> None:
        """Check the material and get ready to sign.

        Raises:
            IdentityError: key and certificate do not belong together, the
                certificate is no CA's, or no root is among the chain.
        """
        self._wall_clock = wall_clock
        self._lifetimes = lifetimes or Lifetimes()
        self._key = _load_ca_key(material.key_pem)
        self._certificate, above = _load_ca(material)
        if _public(self._key) != spki(self._certificate):
            raise IdentityError("the CA's key does not belong to its certificate: give both from the same pair")
        roots, between = _path(self._certificate, above)
        self._intermediates = between
        self._least_end = min(
            item.not_valid_after_utc.timestamp() for item in [self._certificate, *between, *roots[:1]]
        )
        self.bundle = TrustBundle.of(trust_domain, *[_pem(root) for root in roots])
        """The root this CA stands under."""
        self.facts = facts_of(self._certificate)
        if self._least_end <= wall_clock():
            raise IdentityError("the CA's certificate, or one above it, has expired: put another one in its place")

    @property
    def not_after(self) -> float:
        """When the first certificate that our leaves depend on expires."""
        return self._least_end

    def issue(self, csr_pem: str, subject: Subject, ttl: float = 0.0) -> Issued:
        """Sign a leaf for the public key of a request.

        Args:
            csr_pem: The request; only its key is taken.
            subject: Who it is for, as authenticated by the caller.
            ttl: Wanted life in seconds; 0 is the default; clamped to the limits and to the CA's own end.

        Raises:
            IdentityError: the request is refused; the message says why.
        """
        request = check_request(csr_pem, subject.spiffe_id)
        now = self._wall_clock()
        life = min(self._lifetimes.most, max(self._lifetimes.least, ttl or self._lifetimes.default))
        end = min(now + life, self._least_end)
        if end <= now:
            raise IdentityError("the CA's own certificate has expired: give the control plane a new one")
        issuer_id = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(_key_id(self._certificate))
        public = request.public_key()
        rsa_key = isinstance(public, rsa.RSAPublicKey)
        leaf = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._certificate.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(_time(now - BACKDATE))
            .not_valid_after(_time(end))
            .add_extension(x509.SubjectAlternativeName(_names(subject)), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False, encipher=rsa_key), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(issuer_id, critical=False)
            .sign(self._key, _hash_for(self._key))
        )
        above = [] if self.facts.self_signed else [self._certificate, *self._intermediates]
        return Issued("".join(_pem(item) for item in [leaf, *above]), facts_of(leaf))


def check_request(csr_pem: str, spiffe_id: str) -> x509.CertificateSigningRequest:
    """Refuse a request that is unsound, or that asks to be someone else.

    Asked-for DNS names and addresses are ignored, not granted. A request to be a
    CA, or to be another SPIFFE id, is refused: its sender is broken or means ill.

    Raises:
        IdentityError: why, in one line.
    """
    if len(csr_pem) > MAX_CSR:
        raise IdentityError(f"a certificate request of {len(csr_pem)} bytes; the limit is {MAX_CSR}")
    try:
        request = x509.load_pem_x509_csr(csr_pem.encode("ascii"))
        public = request.public_key()
        sound = request.is_signature_valid
        weak = isinstance(request.signature_hash_algorithm, hashes.SHA1 | hashes.MD5)
        asked = _asked(request)
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise IdentityError("the certificate request cannot be read: expected a PEM-encoded PKCS#10 request") from error
    _check_key(public)
    if not sound or weak:
        raise IdentityError("the certificate request's signature does not prove that its sender holds the key")
    ca, uris = asked
    if ca:
        raise IdentityError("the certificate request asks for a CA certificate")
    if uris and uris != [spiffe_id]:
        raise IdentityError(f"the certificate request asks for another identity than its sender's, {spiffe_id}")
    return request


def request_pin(csr_pem: str) -> str:
    """The pin of a request's public key: what a token's one use is tied to.

    Raises:
        IdentityError: it cannot be read.
    """
    if len(csr_pem) > MAX_CSR:
        raise IdentityError(f"a certificate request of {len(csr_pem)} bytes; the limit is {MAX_CSR}")
    try:
        return pin_of(spki(x509.load_pem_x509_csr(csr_pem.encode("ascii"))))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise IdentityError("the certificate request cannot be read: expected a PEM-encoded PKCS#10 request") from error


def _asked(request: x509.CertificateSigningRequest) -> tuple[bool, list[str]]:
    ca, uris = False, []
    for extension in request.extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints):
            ca = ca or value.ca
        elif isinstance(value, x509.KeyUsage):
            ca = ca or value.key_cert_sign or value.crl_sign
        elif isinstance(value, x509.SubjectAlternativeName):
            uris += value.get_values_for_type(x509.UniformResourceIdentifier)
    return ca, uris


def _check_key(public: object) -> None:
    if isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1 | ec.SECP384R1):
        return
    if isinstance(public, rsa.RSAPublicKey):
        if 2048 <= public.key_size <= 8192 and public.public_numbers().e >= 65537:
            return
        raise IdentityError(f"an RSA key of {public.key_size} bits is refused: use 2048 to 8192 bits, or P-256")
    raise IdentityError("this kind of key is refused: use P-256, P-384 or RSA of at least 2048 bits")


def _load_ca_key(pem: str) -> CertificateIssuerPrivateKeyTypes:
    try:
        key = serialization.load_pem_private_key(pem.encode("ascii"), None)
    except TypeError as error:
        raise IdentityError(
            "the CA's key is encrypted: give it without a passphrase, in a file only you can read"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise IdentityError("the CA's key cannot be read: expected a PEM-encoded private key") from error
    _check_key(key.public_key())
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    return key


def _load_ca(material: CaMaterial) -> tuple[x509.Certificate, list[x509.Certificate]]:
    own = load_certificates(material.certificate_pem)
    above = own[1:] + (load_certificates(material.chain_pem) if material.chain_pem.strip() else [])
    certificate = own[0]
    if not is_ca(certificate):
        raise IdentityError("the CA's certificate may not sign: it lacks CA:TRUE or keyCertSign")
    return certificate, [item for item in above if item != certificate]


def _path(
    certificate: x509.Certificate, above: list[x509.Certificate]
) -> tuple[list[x509.Certificate], list[x509.Certificate]]:
    """Sort what stands above a CA into (roots: its own first; intermediates from it upwards)."""
    if facts_of(certificate).self_signed:
        return [certificate], []
    roots = [item for item in above if facts_of(item).self_signed]
    others = [item for item in above if item not in roots]
    chain: list[x509.Certificate] = []
    at = certificate
    while following := next((item for item in others if item.subject == at.issuer and item not in chain), None):
        chain.append(following)
        at = following
    if not roots:
        raise IdentityError("the CA is not a root and no root was given: add its chain, up to the root")
    root = verify_path([certificate, *chain], roots)
    return [root, *[item for item in roots if item != root]], chain


def _public(key: CertificateIssuerPrivateKeyTypes) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _key_id(certificate: x509.Certificate) -> x509.SubjectKeyIdentifier:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())


def _names(subject: Subject) -> list[x509.GeneralName]:
    return [
        x509.UniformResourceIdentifier(subject.spiffe_id),
        *[x509.DNSName(name) for name in subject.dns],
        *[x509.IPAddress(ipaddress.ip_address(ip)) for ip in subject.ips],
    ]


def _usage(*, signs: bool, encipher: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=encipher,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _hash_for(key: CertificateIssuerPrivateKeyTypes) -> hashes.SHA256 | hashes.SHA384:
    return hashes.SHA384() if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size == 384 else hashes.SHA256()


def _time(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(seconds), tz=datetime.UTC)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
