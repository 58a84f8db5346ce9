"""Where the client was going: a cluster whose hosts are made as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from meshd.net.address import Address
from meshd.proxy.upstream.connect import Connector
from meshd.proxy.upstream.host import Host
from meshd.proxy.upstream.upstream import Upstream
from meshd.snapshot.cluster import Cluster, Endpoint


class PassthroughUpstream(Upstream):
    """Where the client was going: hosts made as they are asked for."""

    def __init__(
        self,
        cluster: Cluster,
        connector: Connector,
        uniform: Callable[[], float],
        *,
        capacity: int,
    ) -> None:
        super().__init__(cluster, connector, uniform)
        self.simple = False
        self._capacity = capacity

    def set_endpoints(self, endpoints: Sequence[Endpoint]) -> None:
        """Nothing: destinations come with requests."""

    def host_for(self, address: Address, source: str = "") -> Host:
        """The host at an IP literal and port; ``source`` is the address to connect from, if it matters.

        Raises:
            UpstreamError: too many destinations are in use at once (UO).
        """
        endpoint = Endpoint(address.host, address.port)
        key = (*Host.key(endpoint)[:3], source)
        host = self.hosts.get(key)
        if host is None:
            if len(self.hosts) >= self._capacity:
                self._forget_some()
            host = self.hosts[key] = Host(endpoint, source)
        return host

    def _forget_some(self) -> None:
        for key, host in list(self.hosts.items()):
            if not host.active:
                del self.hosts[key]
                self.retire_host(host)
                return
        raise self._overflow("destinations", self._capacity)
