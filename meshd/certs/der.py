"""What a handshake must know of a certificate and Python's ``ssl`` does not tell, read from its DER form. Pure.

Not a certificate library: OpenSSL has parsed and verified these bytes already.
A plain sidecar cannot afford ``cryptography`` (10 MB), and this is all it needs.
"""

from __future__ import annotations

from datetime import UTC, datetime

import attrs

from meshd.errors import IdentityError

_SEQUENCE, _BOOLEAN, _BIT_STRING, _OID, _OCTETS = 0x30, 0x01, 0x03, 0x06, 0x04
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_VERSION, _EXTENSIONS = 0xA0, 0xA3

_KEY_USAGE = bytes([0x55, 0x1D, 0x0F])  # 2.5.29.15
_BASIC_CONSTRAINTS = bytes([0x55, 0x1D, 0x13])  # 2.5.29.19

DIGITAL_SIGNATURE = 0x80
CERT_SIGN = 0x04
CRL_SIGN = 0x02
"""Bits of the first byte of KeyUsage (RFC 5280, section 4.2.1.3)."""


@attrs.frozen
class CertificateFields:
    """Of one certificate. Times are seconds since the epoch; ``key_usage`` is None when it does not say."""

    not_before: float
    not_after: float
    is_ca: bool = False
    key_usage: int | None = None


def read_certificate(der: bytes) -> CertificateFields:
    """Read the fields.

    Raises:
        IdentityError: the bytes are no certificate.
    """
    try:
        return _read(der)
    except (IndexError, ValueError) as error:
        raise IdentityError("a certificate cannot be read") from error


def _read(der: bytes) -> CertificateFields:
    """RFC 5280, section 4.1."""
    fields = _items(_expect(_items(_expect(_items(der)[0], _SEQUENCE))[0], _SEQUENCE))
    at = 1 if fields[0][0] == _VERSION else 0
    # serial number, signature, issuer, validity, subject, public key, ...
    not_before, not_after = (_time(*item) for item in _items(_expect(fields[at + 3], _SEQUENCE)))
    is_ca, key_usage = False, None
    for tag, value in fields[at + 6 :]:
        if tag != _EXTENSIONS:
            continue
        for extension in _items(_expect(_items(value)[0], _SEQUENCE)):
            parts = _items(_expect(extension, _SEQUENCE))
            kind, body = _expect(parts[0], _OID), _expect(parts[-1], _OCTETS)
            if kind == _BASIC_CONSTRAINTS:
                constraints = _items(_expect(_items(body)[0], _SEQUENCE))
                is_ca = bool(constraints) and constraints[0][0] == _BOOLEAN and constraints[0][1] != b"\x00"
            elif kind == _KEY_USAGE:
                bits = _expect(_items(body)[0], _BIT_STRING)
                key_usage = bits[1] if len(bits) > 1 else 0
    return CertificateFields(not_before, not_after, is_ca, key_usage)


def _items(data: bytes) -> list[tuple[int, bytes]]:
    """The (tag, content) pairs that follow one another in ``data``."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            if not 0 < size <= 4 or at + size > len(data):
                raise ValueError("bad length")
            length = int.from_bytes(data[at : at + size])
            at += size
        if at + length > len(data):
            raise ValueError("cut short")
        found.append((tag, data[at : at + length]))
        at += length
    return found


def _expect(item: tuple[int, bytes], tag: int) -> bytes:
    if item[0] != tag:
        raise ValueError("unexpected tag")
    return item[1]


def _time(tag: int, value: bytes) -> float:
    """RFC 5280, section 4.1.2.5: always in seconds and always Z."""
    text = value.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text >= "5" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("no time")
    if len(text) != len("YYYYMMDDHHMMSSZ") or not (text[:-1].isdecimal() and text.endswith("Z")):
        raise ValueError("no time")
    year, rest = int(text[:4]), text[4:]
    month, day, hour, minute, second = (int(rest[at : at + 2]) for at in range(0, 10, 2))
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
