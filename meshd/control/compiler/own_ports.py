"""Listeners with a port of their own that they cannot have. Pure.

One address that cannot be bound makes a proxy refuse a whole snapshot, so what
can be known of it beforehand is left out here: ports that the proxy itself
listens on, and addresses that another listener has already. Validation warns
of the former (``MD0081``).
"""

from __future__ import annotations

from collections.abc import Iterable

from meshd.snapshot.listener import Listener

ANYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared, not bound


def bindable(
    listeners: Iterable[Listener], first: frozenset[str] = frozenset(), reserved: frozenset[int] = frozenset()
) -> tuple[Listener, ...]:
    """The listeners without those that cannot be bound; of two at one address the first by name stays.

    Args:
        listeners: Of one proxy.
        first: Names of the proxy's own, which stay whatever comes.
        reserved: Ports that the proxy itself listens on.
    """
    kept: list[Listener] = []
    taken: dict[int, set[str]] = {}
    for listener in sorted(listeners, key=lambda each: (each.name not in first, each.name)):
        if listener.bound:
            own = listener.name in first
            hosts = taken.setdefault(listener.port, set())
            if not own and (listener.port in reserved or _meets(listener.host, hosts)):
                continue
            hosts.add(listener.host)
        kept.append(listener)
    return tuple(kept)


def _meets(host: str, taken: set[str]) -> bool:
    """Whether a host's sockets and those that are there want the same connections."""
    return bool(taken) and (host in taken or host in ANYWHERE or not ANYWHERE.isdisjoint(taken))
