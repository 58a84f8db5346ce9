"""Who a peer is, told once per connection: the header ``x-meshd-peer-metadata``. Pure.

Envoy's sidecars exchange such facts so that metrics can name both ends. Here the
side that opens a mutual TLS connection sends the header with its first request;
the other side believes it only when the connection proved an identity, keeps it
for the connection, and always takes it out.
"""

from __future__ import annotations

import attrs

from meshd.snapshot.cluster import Peer

HEADER = b"x-meshd-peer-metadata"
_FIELDS = ("workload", "namespace", "app", "version", "canonical_service", "canonical_revision", "cluster")
_KEYS = dict(zip(("w", "n", "a", "v", "s", "r", "c"), _FIELDS, strict=True))
_LENGTH = 2048
_VALUE_LENGTH = 256


def encode(peer: Peer) -> bytes:
    """``w=reviews-v1,n=default,...``: empty fields left out, values percent-encoded."""
    parts = [
        b"%b=%b" % (key.encode(), _quote(getattr(peer, field))) for key, field in _KEYS.items() if getattr(peer, field)
    ]
    return b",".join(parts)


def decode(value: bytes, principal: str) -> Peer | None:
    """The peer that a header describes; None when it is not one.

    Args:
        value: The header.
        principal: What the connection proved, without ``spiffe://``; its namespace goes before the header's.
    """
    if len(value) > _LENGTH:
        return None
    found: dict[str, str] = {}
    for part in value.split(b","):
        key, equals, text = part.partition(b"=")
        field = _KEYS.get(key.decode("ascii", "replace"))
        if not equals or field is None:
            continue
        found[field] = _unquote(text)[:_VALUE_LENGTH]
    if not found:
        return None
    peer = Peer(**found, principal=f"spiffe://{principal}")
    namespace = namespace_of(principal)
    return attrs.evolve(peer, namespace=namespace) if namespace else peer


def namespace_of(principal: str) -> str:
    """The namespace of ``trust-domain/ns/NAMESPACE/sa/ACCOUNT``, "" for other ids."""
    parts = principal.split("/")
    return parts[2] if len(parts) >= 5 and parts[1] == "ns" else ""


def _quote(text: str) -> bytes:
    return b"".join(
        [bytes((b,)) if 0x20 < b < 0x7F and b not in b"%,=" else b"%%%02X" % b for b in text.encode()],
    )


def _unquote(text: bytes) -> str:
    head, *rest = text.split(b"%")
    out = bytearray(head)
    for piece in rest:
        try:
            out += bytes((int(piece[:2], 16),)) + piece[2:]
        except ValueError:
            out += b"%" + piece
    return "".join([c if c.isprintable() else "?" for c in out.decode("utf-8", "replace")])
