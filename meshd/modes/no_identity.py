"""What is left of a snapshot for a proxy that has no certificate of the mesh. Pure.

Without a control plane nobody issues one. Chains that would show it are taken
out: PERMISSIVE ports go on in plain text, STRICT ports take nothing.
"""

from __future__ import annotations

import attrs

from meshd.snapshot.listener import FilterChain, Listener
from meshd.snapshot.snapshot import Snapshot

WORKLOAD = "default"
"""``DownstreamTls.certificate``: the workload's own."""


def without_identity(snapshot: Snapshot) -> Snapshot:
    """The snapshot without chains that need the workload's own certificate."""
    return attrs.evolve(snapshot, listeners=tuple(_without(listener) for listener in snapshot.listeners))


def _without(listener: Listener) -> Listener:
    kept = tuple(chain for chain in listener.chains if not _shows_own(chain))
    return attrs.evolve(listener, chains=kept) if len(kept) < len(listener.chains) else listener


def _shows_own(chain: FilterChain) -> bool:
    return chain.tls is not None and chain.tls.certificate == WORKLOAD
