"""A workload's identity as a value, and where the present one is found. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

import attrs


@attrs.frozen
class Identity:
    """One certificate with its key and the roots to trust. Times are seconds since the epoch (wall clock)."""

    spiffe_id: str
    """``spiffe://cluster.local/ns/default/sa/reviews``."""
    chain_pem: str
    """Leaf first, then intermediates."""
    key_pem: str = attrs.field(repr=False)
    bundle_pem: str
    """Every root that is trusted, concatenated."""
    not_before: float
    not_after: float
    serial: str
    """Hexadecimal, lower case."""


def utc_text(seconds: float) -> str:
    """Seconds since the epoch as certificates are spoken of: ``2026-01-31T12:00:00Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class IdentitySource(Protocol):
    """Gives the identity to use now; the agent swaps it by one assignment."""

    current: Identity | None
