"""SPIFFE ids, read strictly. Pure.

The rules are those of the SPIFFE-ID standard, section 2, and X509-SVID,
sections 2 and 4.1. Whatever bends one is refused: two spellings of one id would
be two identities to one reader and one to another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs

from meshd.errors import IdentityError

SCHEME = "spiffe://"
MAX_ID = 2048
"""Bytes of a whole id (SPIFFE-ID, section 2.3)."""
MAX_TRUST_DOMAIN = 255
"""Bytes of a trust domain (SPIFFE-ID, section 2.1)."""

_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]+")
_SEGMENT = re.compile(r"[a-zA-Z0-9._-]+")
_SEGMENTS_OF_A_SERVICE_ACCOUNT = 4


@attrs.frozen
class SpiffeId:
    """A workload's name: ``spiffe://cluster.local/ns/default/sa/reviews``.

    ``path`` begins with a slash; "" names the trust domain itself (an authority).
    """

    trust_domain: str
    path: str

    @classmethod
    def parse(cls, text: str) -> SpiffeId:
        """Read an id.

        Raises:
            IdentityError: it is none; the message says which rule it breaks.
        """
        fault = _fault(text)
        if fault:
            raise IdentityError(f"{_shown(text)} is no SPIFFE id: {fault}")
        trust_domain, slash, path = text[len(SCHEME) :].partition("/")
        return cls(trust_domain, slash + path)

    @classmethod
    def of_service_account(cls, trust_domain: str, namespace: str, service_account: str) -> SpiffeId:
        """Istio's form of a workload's id.

        Raises:
            IdentityError: one of the three cannot stand in an id.
        """
        return cls.parse(f"{SCHEME}{trust_domain}/ns/{namespace}/sa/{service_account}")

    @property
    def namespace(self) -> str:
        """``default`` of ``/ns/default/sa/reviews``, "" when the path has another form."""
        return self._service_account()[0]

    @property
    def service_account(self) -> str:
        """``reviews`` of ``/ns/default/sa/reviews``, "" when the path has another form."""
        return self._service_account()[1]

    def _service_account(self) -> tuple[str, str]:
        segments = self.path.split("/")[1:]
        if len(segments) == _SEGMENTS_OF_A_SERVICE_ACCOUNT and segments[0] == "ns" and segments[2] == "sa":
            return segments[1], segments[3]
        return "", ""

    def __str__(self) -> str:
        return f"{SCHEME}{self.trust_domain}{self.path}"


def peer_spiffe_id(certificate: Mapping[str, Any] | None) -> SpiffeId:
    """The identity a verified certificate proves.

    Args:
        certificate: What ``ssl.SSLObject.getpeercert()`` gives; empty when the
            peer showed no certificate, or nobody verified it.

    Raises:
        IdentityError: there is none, it has no URI name or several (X509-SVID,
            section 2), or the one it has is no workload's SPIFFE id.
    """
    if not certificate:
        raise IdentityError("the peer showed no verified certificate")
    uris = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]
    if len(uris) != 1:
        raise IdentityError(f"the peer's certificate has {len(uris)} URI names; an identity has exactly one")
    identity = SpiffeId.parse(uris[0])
    if not identity.path:
        raise IdentityError(f"the peer's certificate names the trust domain {identity.trust_domain!r}, not a workload")
    return identity


def _fault(text: str) -> str:
    """Which rule it breaks, "" for a good one."""
    if not text.startswith(SCHEME):
        return "it does not begin with spiffe:// in lower case"
    if len(text.encode(errors="surrogatepass")) > MAX_ID:
        return f"it is longer than {MAX_ID} bytes"
    trust_domain, slash, path = text[len(SCHEME) :].partition("/")
    if not trust_domain:
        return "it has no trust domain"
    if len(trust_domain) > MAX_TRUST_DOMAIN:
        return f"its trust domain is longer than {MAX_TRUST_DOMAIN} bytes"
    if not _TRUST_DOMAIN.fullmatch(trust_domain):
        return "its trust domain has other characters than lower-case letters, digits, dot, dash and underscore"
    for segment in path.split("/") if slash else ():
        if not segment:
            return "its path has an empty segment"
        if segment in (".", ".."):
            return "its path has a dot segment"
        if not _SEGMENT.fullmatch(segment):
            return "its path has other characters than letters, digits, dot, dash and underscore"
    return ""


def _shown(text: str) -> str:
    """Short and printable, for an error's message."""
    return repr(text if len(text) <= 100 else text[:100] + "...")
