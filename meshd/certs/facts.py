"""What a certificate says, as values: what those who must not load a crypto library get to know. Pure."""

from __future__ import annotations

import attrs


@attrs.frozen
class CertificateFacts:
    """One certificate. Times are seconds since the epoch."""

    spiffe_id: str
    """Its only URI SAN, "" when it has none or several."""
    not_before: float
    not_after: float
    serial: str
    """Hexadecimal, lower case."""
    pin: str
    """``sha256:`` and the hexadecimal SHA-256 of its SubjectPublicKeyInfo (RFC 7469 section 2.4)."""
    is_ca: bool
    self_signed: bool


@attrs.frozen
class KeyAndRequest:
    """A fresh private key and the certificate signing request that proves it."""

    key_pem: str = attrs.field(repr=False)
    csr_pem: str
