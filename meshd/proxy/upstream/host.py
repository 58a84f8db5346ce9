"""One endpoint at run time: its pool, its load, what became of its requests."""

from __future__ import annotations

from meshd.net.address import Address
from meshd.proxy.upstream.pool import Pool
from meshd.snapshot.cluster import Endpoint


class Host:
    """An endpoint of an upstream. Kept while the endpoint stays, whatever else changes."""

    __slots__ = (
        "active",
        "address",
        "connect_failures",
        "connections",
        "endpoint",
        "failures",
        "name",
        "pool",
        "requests",
        "retired",
        "source",
        "successes",
        "timeouts",
        "weight",
    )

    def __init__(self, endpoint: Endpoint, source: str = "") -> None:
        self.endpoint = endpoint
        self.source = source
        """The address of this machine to connect from, "" for any."""
        self.address = Address(endpoint.host, endpoint.port)
        self.name = str(self.address)
        self.weight = max(1, endpoint.weight)
        self.pool = Pool()
        self.retired = False
        """No longer an endpoint: what is under way ends, and every connection with it."""
        self.active = 0
        """Requests under way or in line."""
        self.requests = 0
        self.successes = 0
        """Answers below 500."""
        self.failures = 0
        """Answers of 500 and above, and no answer at all."""
        self.timeouts = 0
        self.connections = 0
        """Connections made so far."""
        self.connect_failures = 0

    @staticmethod
    def key(endpoint: Endpoint) -> tuple[str, int, bool, str]:
        """What makes an endpoint the same one after a change: connections to it stay good."""
        return (endpoint.host, endpoint.port, endpoint.mtls, endpoint.identity)

    def adopt(self, endpoint: Endpoint) -> None:
        """The endpoint's present weight, locality and description."""
        self.endpoint = endpoint
        self.weight = max(1, endpoint.weight)

    def __repr__(self) -> str:
        return f"<Host {self.name} active={self.active} open={self.pool.open}>"
