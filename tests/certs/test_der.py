"""Our reading of a certificate agrees with a real library's, and nothing makes it raise anything else."""

from __future__ import annotations

import contextlib
import ssl

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.certs.der import CERT_SIGN, DIGITAL_SIGNATURE, CertificateFields, read_certificate
from meshd.errors import IdentityError
from tests.certs.pki import REVIEWS, make_ca

CA = make_ca()
LEAF = ssl.PEM_cert_to_DER_cert(CA.issue(REVIEWS).chain_pem)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0.0, 2_000_000_000.0),
        (-600_000_000.0, 2_524_607_999.0),
        (1_700_000_000.0, 2_524_608_000.0),
        (1.0, 253402300799.0),
    ],
)
def test_agrees_with_cryptography(start, end):
    der = ssl.PEM_cert_to_DER_cert(CA.issue(REVIEWS, not_before=start, not_after=end).chain_pem)
    certificate = x509.load_der_x509_certificate(der)
    fields = read_certificate(der)
    assert fields.not_before == certificate.not_valid_before_utc.timestamp() == start
    assert fields.not_after == certificate.not_valid_after_utc.timestamp() == end
    assert not fields.is_ca
    assert fields.key_usage == DIGITAL_SIGNATURE


def test_an_authority_is_one():
    fields = read_certificate(ssl.PEM_cert_to_DER_cert(CA.pem))
    assert fields.is_ca
    assert fields.key_usage is not None
    assert fields.key_usage & CERT_SIGN


def test_a_certificate_without_extensions():
    fields = read_certificate(_without_extensions())
    assert fields == CertificateFields(fields.not_before, fields.not_after, is_ca=False, key_usage=None)


def _without_extensions() -> bytes:
    def item(tag: int, value: bytes) -> bytes:
        return bytes([tag, len(value)]) + value if len(value) < 128 else bytes([tag, 0x81, len(value)]) + value

    times = item(0x30, item(0x17, b"250101000000Z") + item(0x18, b"20600101000000Z"))
    tbs = item(0x02, b"\x01") + item(0x30, b"") + item(0x30, b"") + times + item(0x30, b"") + item(0x30, b"")
    return item(0x30, item(0x30, tbs) + item(0x30, b"") + item(0x03, b"\x00"))


@settings(max_examples=300)
@given(st.data())
def test_damaged_bytes_raise_nothing_else(data):
    at = data.draw(st.integers(0, len(LEAF) - 1))
    damaged = data.draw(
        st.sampled_from([LEAF[:at], LEAF[:at] + bytes([data.draw(st.integers(0, 255))]) + LEAF[at + 1 :], LEAF[at:]])
    )
    with contextlib.suppress(IdentityError):
        read_certificate(damaged)
