"""Who holds how many connections. Pure.

A source is a client's address. Over IPv6 it is the /64 around it: that is what
one client is given, and it may use all of it.
"""

from __future__ import annotations

import ipaddress


class Sources:
    """Connections by source. The whole mutable state is the dict of those that have any."""

    __slots__ = ("_open", "most")

    def __init__(self, most: int) -> None:
        """``most``: connections that one source may have; 0: any number, and nothing is counted."""
        self.most = most
        self._open: dict[str, int] = {}

    def enter(self, host: str) -> str | None:
        """Count a connection.

        Returns:
            What ``leave`` is to be told when it has ended; None when its source has as many as it may.
        """
        if not self.most:
            return ""
        source = source_of(host)
        count = self._open.get(source, 0)
        if count >= self.most:
            return None
        self._open[source] = count + 1
        return source

    def leave(self, source: str) -> None:
        """A connection that was counted has ended."""
        if not source:
            return
        count = self._open[source] - 1
        if count:
            self._open[source] = count
        else:
            del self._open[source]

    def __len__(self) -> int:
        """How many sources have connections."""
        return len(self._open)


def source_of(host: str) -> str:
    """What is counted of an address: an IPv4 address itself, of IPv6 its /64."""
    if ":" not in host:
        return host or "unknown"
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
