"""The trust bundle: every root a mesh trusts. Pure.

A root is compared by its DER bytes, so that white space and comments in PEM
files make no difference; order is kept (the root that signs first), duplicates
go. A bundle is a value: adding a root makes another bundle.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable

import attrs

from meshd.certs.facts import CertificateFacts
from meshd.errors import IdentityError

MAX_ROOTS = 32
"""Roots in one bundle: two for a rotation, some for federation; more is a mistake."""
MAX_PEM = 256 * 1024
"""Bytes of PEM text taken from anyone."""

_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_PIN = re.compile(r"sha256:[0-9a-f]{64}")


def split_pem(text: str) -> tuple[str, ...]:
    """Take PEM text apart into certificates, each in canonical form.

    Raises:
        IdentityError: there is none, one is broken, or it is all too large.
    """
    if len(text) > MAX_PEM:
        raise IdentityError(f"PEM text of {len(text)} bytes; the limit is {MAX_PEM}")
    blocks = _BLOCK.findall(text)
    if not blocks or len(blocks) != text.count("-----BEGIN CERTIFICATE-----"):
        raise IdentityError("no certificate found: expected PEM text with BEGIN CERTIFICATE and END CERTIFICATE lines")
    try:
        return tuple(_canonical(base64.b64decode("".join(block.split()), validate=True)) for block in blocks)
    except binascii.Error as error:
        raise IdentityError("a certificate is broken: its base64 does not decode") from error


def der(pem: str) -> bytes:
    """The DER bytes of one certificate that ``split_pem`` gave."""
    return base64.b64decode("".join(pem.splitlines()[1:-1]))


def _canonical(data: bytes) -> str:
    text = base64.b64encode(data).decode("ascii")
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


@attrs.frozen
class TrustBundle:
    """The roots of one trust domain, canonical PEM each, without duplicates."""

    trust_domain: str
    roots: tuple[str, ...]

    @classmethod
    def of(cls, trust_domain: str, *texts: str) -> TrustBundle:
        """From PEM texts, each with one or more certificates; duplicates are dropped.

        Raises:
            IdentityError: a text is no PEM, or there are too many roots.
        """
        roots = tuple(dict.fromkeys(root for text in texts for root in split_pem(text)))
        if len(roots) > MAX_ROOTS:
            raise IdentityError(f"{len(roots)} roots; the limit is {MAX_ROOTS}")
        return cls(trust_domain, roots)

    def merge(self, other: TrustBundle) -> TrustBundle:
        """Both bundles' roots, this one's first."""
        return TrustBundle.of(self.trust_domain, self.pem, other.pem)

    @property
    def pem(self) -> str:
        """All roots, concatenated."""
        return "".join(self.roots)

    @property
    def version(self) -> str:
        """A digest that is equal for equal sets of roots, whatever their order."""
        digest = hashlib.sha256(self.trust_domain.encode())
        for root in sorted(self.roots):
            digest.update(b"\0" + root.encode("ascii"))
        return digest.hexdigest()


def check_pin_format(pin: str) -> str:
    """A pin in lower case.

    Raises:
        IdentityError: it is not ``sha256:`` and 64 hexadecimal digits.
    """
    lower = pin.strip().lower()
    if not _PIN.fullmatch(lower):
        raise IdentityError(f"{pin!r} is no CA hash: expected sha256: and 64 hexadecimal digits")
    return lower


def pinned_roots(bundle: TrustBundle, facts: Iterable[CertificateFacts], pin: str) -> TrustBundle:
    """Only the root that a pin names: what an unverified answer is worth once it is checked.

    Other roots in the same answer are not believed; they come again, verified,
    with the first answer over the pinned connection.

    Args:
        bundle: What was answered.
        facts: One per root of the bundle, in its order.
        pin: ``sha256:…`` as its user gave it.

    Raises:
        IdentityError: no root of the bundle has this public key.
    """
    wanted = check_pin_format(pin)
    kept = [
        root
        for root, fact in zip(bundle.roots, facts, strict=True)
        if fact.is_ca and hmac.compare_digest(fact.pin, wanted)
    ]
    if not kept:
        raise IdentityError(
            f"the control plane's CA is not the one pinned by {wanted[:19]}…: "
            "either it is another mesh's control plane or someone stands in between; "
            "compare with the ca_hash that the control plane logs when it starts"
        )
    return attrs.evolve(bundle, roots=tuple(kept))
