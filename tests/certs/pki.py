"""Certificates for tests: authorities, workload identities, web certificates, broken ones.

>>> ca = make_ca()
>>> identity = ca.issue("spiffe://cluster.local/ns/default/sa/reviews")

Times are seconds since the epoch; the default is valid from an hour ago for a
day. Every certificate passes OpenSSL's strict checks unless a test asks for a
broken one with the keyword arguments.
"""

from __future__ import annotations

import datetime
import ipaddress
import time
from collections.abc import Sequence

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from meshd.certs.identity import Identity

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

HOUR = 3600.0
DAY = 24 * HOUR
REVIEWS = "spiffe://cluster.local/ns/default/sa/reviews"
RATINGS = "spiffe://cluster.local/ns/default/sa/ratings"


@attrs.frozen
class TestCa:
    """A certificate authority. Made by ``make_ca`` or ``TestCa.intermediate``."""

    __test__ = False

    certificate: x509.Certificate
    key: Key = attrs.field(repr=False)
    chain_pem: str = ""
    """Certificates between this authority and its root, its own first; "" for a root."""
    root_pem: str = ""

    @property
    def pem(self) -> str:
        """This authority's own certificate."""
        return to_pem(self.certificate)

    def issue(
        self,
        spiffe_id: str | None = None,
        *,
        uris: Sequence[str] = (),
        dns: Sequence[str] = (),
        ips: Sequence[str] = (),
        not_before: float | None = None,
        not_after: float | None = None,
        common_name: str = "",
        usages: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
        is_ca: bool = False,
        digital_signature: bool = True,
        key: Key | None = None,
        bundle_pem: str | None = None,
    ) -> Identity:
        """A leaf with its key, as the ``Identity`` the agent would hold.

        Args:
            spiffe_id: The URI SAN; None (and no ``uris``) for a web certificate.
            uris: More URI SANs, taken as they are.
            bundle_pem: The roots its holder trusts; the authority's root by default.
        """
        names: list[x509.GeneralName] = []
        names += [x509.UniformResourceIdentifier(uri) for uri in ((spiffe_id,) if spiffe_id else ())]
        names += [x509.UniformResourceIdentifier(uri) for uri in uris]
        names += [x509.DNSName(name) for name in dns]
        names += [x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips]
        start = time.time() - HOUR if not_before is None else not_before
        end = start + DAY if not_after is None else not_after
        leaf_key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])
        builder = _builder(subject, self.certificate.subject, leaf_key, start, end)
        builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(ca=is_ca, digital_signature=digital_signature), critical=True)
        if is_ca:
            builder = builder.add_extension(
                x509.SubjectKeyIdentifier.from_public_key(leaf_key.public_key()), critical=False
            )
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(usages)), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not common_name)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
        )
        certificate = builder.sign(self.key, hashes.SHA256())
        return Identity(
            spiffe_id=spiffe_id or "",
            chain_pem=to_pem(certificate) + self.chain_pem,
            key_pem=key_to_pem(leaf_key),
            bundle_pem=bundle_pem if bundle_pem is not None else self.root_pem,
            not_before=start,
            not_after=end,
            serial=f"{certificate.serial_number:x}",
        )

    def intermediate(self, name: str = "intermediate") -> TestCa:
        """A subordinate authority; its leaves' chains include it."""
        ca = make_ca(name, parent=self)
        return attrs.evolve(ca, chain_pem=ca.pem + self.chain_pem, root_pem=self.root_pem)


def make_ca(
    name: str = "meshd test root",
    *,
    not_before: float | None = None,
    not_after: float | None = None,
    key: Key | None = None,
    parent: TestCa | None = None,
) -> TestCa:
    """A new authority: self-signed, or signed by ``parent``."""
    ca_key = key or ec.generate_private_key(ec.SECP256R1())
    start = time.time() - DAY if not_before is None else not_before
    end = start + 30 * DAY if not_after is None else not_after
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = parent.certificate.subject if parent else subject
    signer = parent.key if parent else ca_key
    builder = _builder(subject, issuer, ca_key, start, end)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(ca=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
    )
    certificate = builder.sign(signer, hashes.SHA256())
    return TestCa(certificate, ca_key, root_pem=to_pem(certificate))


def to_pem(certificate: x509.Certificate) -> str:
    """PEM text of a certificate."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_to_pem(key: Key) -> str:
    """Unencrypted PKCS#8 PEM text of a key."""
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def _builder(subject: x509.Name, issuer: x509.Name, key: Key, start: float, end: float) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime.fromtimestamp(start, datetime.UTC))
        .not_valid_after(datetime.datetime.fromtimestamp(end, datetime.UTC))
    )


def _key_usage(*, ca: bool, digital_signature: bool = True) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=not digital_signature,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
