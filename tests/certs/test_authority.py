"""What the CA signs, and what it refuses to."""

from __future__ import annotations

import ssl
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from meshd.certs.authority import (
    BACKDATE,
    MAX_CSR,
    CaMaterial,
    CertificateAuthority,
    Lifetimes,
    Subject,
    make_root,
    request_pin,
)
from meshd.certs.contexts import TlsSettings, mesh_context
from meshd.certs.identity import Identity
from meshd.certs.x509 import LocalKeyMaker, accept, describe, key_to_pem, load_certificates, make_key_and_request
from meshd.errors import IdentityError
from tests.certs.pki import REVIEWS, make_ca, to_pem

NOW = 1_800_000_000.0
DAY = 86400.0


def clock() -> float:
    return NOW


@pytest.fixture(scope="module")
def root() -> CaMaterial:
    return make_root("cluster.local", NOW)


@pytest.fixture
def ca(root: CaMaterial) -> CertificateAuthority:
    return CertificateAuthority(root, "cluster.local", clock)


def csr(key: object = None, *extensions: x509.ExtensionType, algorithm: hashes.HashAlgorithm | None = None) -> str:
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    signed_by = None if isinstance(key, ed25519.Ed25519PrivateKey) else algorithm or hashes.SHA256()
    return builder.sign(key, signed_by).public_bytes(serialization.Encoding.PEM).decode()  # type: ignore[arg-type]


def leaf_of(pem: str) -> x509.Certificate:
    return load_certificates(pem)[0]


def test_a_leaf_is_a_svid(ca: CertificateAuthority) -> None:
    leaf = leaf_of(ca.issue(csr(), Subject(REVIEWS)).chain_pem)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.critical
    assert [str(name.value) for name in names.value] == [REVIEWS]
    assert list(leaf.subject) == []
    basic = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical
    assert not basic.value.ca
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert not usage.value.crl_sign
    extended = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(extended) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert leaf.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert leaf.not_valid_before_utc.timestamp() == NOW - BACKDATE
    assert leaf.not_valid_after_utc.timestamp() == NOW + DAY


def test_life_is_what_was_asked_within_bounds(ca: CertificateAuthority) -> None:
    def life(ttl: float) -> float:
        return ca.issue(csr(), Subject(REVIEWS), ttl).facts.not_after - NOW

    assert life(0) == DAY
    assert life(3600) == 3600
    assert life(0.1) == 1
    assert life(1e12) == 90 * DAY


def test_a_leaf_never_outlives_its_ca() -> None:
    short = make_root("d", NOW, lifetime=DAY / 2)
    issued = CertificateAuthority(short, "d", clock).issue(csr(), Subject("spiffe://d/ns/a/sa/b"))
    assert issued.facts.not_after == NOW + DAY / 2


def test_an_expired_ca_signs_nothing(root: CaMaterial) -> None:
    with pytest.raises(IdentityError, match="has expired: put another one in its place"):
        CertificateAuthority(root, "cluster.local", lambda: NOW + 3651 * DAY)
    now = [NOW]
    ca = CertificateAuthority(root, "cluster.local", lambda: now[0])
    now[0] += 3651 * DAY
    with pytest.raises(IdentityError, match="CA's own certificate has expired"):
        ca.issue(csr(), Subject(REVIEWS))


def test_keys_that_are_taken(ca: CertificateAuthority) -> None:
    for key in (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
    ):
        leaf = leaf_of(ca.issue(csr(key), Subject(REVIEWS)).chain_pem)
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
        assert usage.key_encipherment == isinstance(key, rsa.RSAPrivateKey)


def test_keys_that_are_refused(ca: CertificateAuthority) -> None:
    for key in (
        ec.generate_private_key(ec.SECP521R1()),
        ec.generate_private_key(ec.SECP256K1()),
        ed25519.Ed25519PrivateKey.generate(),
        dsa.generate_private_key(2048),
        rsa.generate_private_key(65537, 1024),
        rsa.generate_private_key(3, 2048),
    ):
        with pytest.raises(IdentityError, match="is refused: use"):
            ca.issue(csr(key), Subject(REVIEWS))


@pytest.mark.parametrize(
    "text",
    ["", "hello", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----", "ü" * 10],
)
def test_what_is_no_request(ca: CertificateAuthority, text: str) -> None:
    with pytest.raises(IdentityError, match="cannot be read: expected a PEM-encoded PKCS#10 request"):
        ca.issue(text, Subject(REVIEWS))
    with pytest.raises(IdentityError, match="cannot be read"):
        request_pin(text)


def test_a_request_is_bounded(ca: CertificateAuthority) -> None:
    for ask in (lambda text: ca.issue(text, Subject(REVIEWS)), request_pin):
        with pytest.raises(IdentityError, match="20971520 bytes; the limit is 16384"):
            ask("x" * 20 * 1024 * 1024)
    assert MAX_CSR == 16384


def test_the_signature_is_checked(ca: CertificateAuthority) -> None:
    """A request put together from someone else's public key does not prove that its sender holds the key."""
    request = x509.load_pem_x509_csr(csr().encode())
    data = bytearray(request.public_bytes(serialization.Encoding.DER))
    data[-1] ^= 1
    import base64

    body = base64.encodebytes(bytes(data)).decode()
    forged = f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(IdentityError, match="does not prove that its sender holds the key"):
        ca.issue(forged, Subject(REVIEWS))


def test_names_come_from_the_server_never_from_the_request(ca: CertificateAuthority) -> None:
    asked = x509.SubjectAlternativeName([x509.DNSName("bank.example"), x509.UniformResourceIdentifier(REVIEWS)])
    leaf = leaf_of(ca.issue(csr(None, asked), Subject(REVIEWS)).chain_pem)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == [REVIEWS]


@pytest.mark.parametrize(
    "uris", [["spiffe://cluster.local/ns/a/sa/admin"], [REVIEWS, REVIEWS + "x"], [REVIEWS, REVIEWS]]
)
def test_a_request_for_another_identity_is_refused(ca: CertificateAuthority, uris: list[str]) -> None:
    asked = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])
    with pytest.raises(IdentityError, match="asks for another identity than its sender's"):
        ca.issue(csr(None, asked), Subject(REVIEWS))


def test_a_request_to_be_a_ca_is_refused(ca: CertificateAuthority) -> None:
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    for asked in (x509.BasicConstraints(ca=True, path_length=None), usage):
        with pytest.raises(IdentityError, match="asks for a CA certificate"):
            ca.issue(csr(None, asked), Subject(REVIEWS))


def test_the_control_planes_own_names(ca: CertificateAuthority) -> None:
    subject = Subject("spiffe://cluster.local/ns/meshd-system/sa/control", ("localhost",), ("127.0.0.1", "::1"))
    names = leaf_of(ca.issue(csr(), subject).chain_pem).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert [str(name.value) for name in names.value] == [subject.spiffe_id, "localhost", "127.0.0.1", "::1"]


async def test_openssl_takes_what_we_issue() -> None:
    """Strict checks, both sides, with and without an intermediate; the key maker's check agrees."""
    top = make_ca(name="top")
    below = top.intermediate()
    plugin = CaMaterial(below.pem, key_to_pem(below.key), top.pem)
    for material in (make_root("cluster.local", time.time()), plugin):
        authority = CertificateAuthority(material, "cluster.local", time.time)
        made = make_key_and_request()
        issued = authority.issue(made.csr_pem, Subject(REVIEWS))
        facts = await LocalKeyMaker().accept(made.key_pem, issued.chain_pem, authority.bundle.pem)
        assert facts == issued.facts
        identity = Identity(
            REVIEWS,
            issued.chain_pem,
            made.key_pem,
            authority.bundle.pem,
            facts.not_before,
            facts.not_after,
            facts.serial,
        )
        _shake_hands(identity)


def _shake_hands(identity: Identity) -> None:
    sides = []
    pipes = [ssl.MemoryBIO(), ssl.MemoryBIO()]
    for server in (True, False):
        context = mesh_context(identity, TlsSettings(), server=server)
        incoming, outgoing = (pipes[0], pipes[1]) if server else (pipes[1], pipes[0])
        sides.append(context.wrap_bio(incoming, outgoing, server_side=server))
    waiting = list(sides)
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                continue
    assert waiting == []


def test_plug_in_cas(root: CaMaterial) -> None:
    top = make_ca(name="top")
    middle = top.intermediate()
    ca = middle.intermediate()
    key = key_to_pem(ca.key)
    # Any order, the CA itself and a stray root among them.
    stray = make_ca(name="stray")
    chain = stray.pem + top.pem + to_pem(ca.certificate) + middle.pem
    authority = CertificateAuthority(CaMaterial(ca.pem, key, chain), "d", time.time)
    issued = authority.issue(csr(), Subject("spiffe://d/ns/a/sa/b"))
    assert [each.subject for each in load_certificates(issued.chain_pem)[1:]] == [
        ca.certificate.subject,
        middle.certificate.subject,
    ]
    assert describe(authority.bundle.roots[0])[0].pin == describe(top.pem)[0].pin
    assert len(authority.bundle.roots) == 2


def test_plug_in_cas_that_cannot_work(root: CaMaterial) -> None:
    top, other = make_ca(name="top"), make_ca(name="other")
    below = top.intermediate()
    leaf = top.issue(REVIEWS)
    for material, why in (
        (CaMaterial(top.pem, key_to_pem(other.key)), "does not belong to its certificate"),
        (CaMaterial(leaf.chain_pem, leaf.key_pem), "it lacks CA:TRUE"),
        (CaMaterial(below.pem, key_to_pem(below.key)), "no root was given: add its chain"),
        (CaMaterial(below.pem, key_to_pem(below.key), other.pem), "does not chain to a root"),
        (CaMaterial(top.pem, "nonsense"), "CA's key cannot be read"),
        (CaMaterial("nonsense", key_to_pem(top.key)), "no certificate found"),
    ):
        with pytest.raises(IdentityError, match=why):
            CertificateAuthority(material, "d", time.time)


def test_an_encrypted_ca_key_says_so() -> None:
    top = make_ca(name="top")
    secret = top.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x"),
    ).decode()
    with pytest.raises(IdentityError, match="is encrypted: give it without a passphrase"):
        CertificateAuthority(CaMaterial(top.pem, secret), "d", time.time)


def test_no_key_in_a_repr(root: CaMaterial) -> None:
    assert "PRIVATE" not in repr(root)
    assert "PRIVATE" not in repr(make_key_and_request())


def test_lifetimes_can_be_set(root: CaMaterial) -> None:
    ca = CertificateAuthority(root, "cluster.local", clock, Lifetimes(default=60, most=120))
    assert ca.issue(csr(), Subject(REVIEWS)).facts.not_after == NOW + 60
    assert ca.issue(csr(), Subject(REVIEWS), 1e6).facts.not_after == NOW + 120


def test_accept_refuses_what_is_not_ours() -> None:
    top, other = make_ca(name="top"), make_ca(name="other")
    mine, theirs = top.issue(REVIEWS), top.issue(REVIEWS)
    for key, chain, bundle, why in (
        (theirs.key_pem, mine.chain_pem, top.pem, "not for the key it was asked for"),
        (mine.key_pem, mine.chain_pem, other.pem, "it is of another CA"),
        (key_to_pem(top.key), top.pem, top.pem, "is a CA's, not a workload's"),
        ("x", mine.chain_pem, top.pem, "private key cannot be read"),
        (mine.key_pem, mine.chain_pem * 9, top.pem, "a chain of 9 certificates; the limit is 8"),
        (mine.key_pem, "", top.pem, "no certificate found"),
    ):
        with pytest.raises(IdentityError, match=why):
            accept(key, chain, bundle)
    # A leaf that vouches for another leaf is no path.
    fake = make_ca(name="fake")
    with pytest.raises(IdentityError, match="another CA"):
        accept(mine.key_pem, mine.chain_pem + fake.pem, other.pem)
