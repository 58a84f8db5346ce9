"""Clusters whose hosts are names: every address of every name, looked up again and again.

The last good addresses of a name stay while it cannot be resolved.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import attrs
import trio

from meshd.errors import ConnectionLost
from meshd.net.connection import Resolver
from meshd.proxy.upstream.connect import Connector
from meshd.proxy.upstream.upstream import Upstream
from meshd.snapshot.cluster import Cluster, Endpoint

_log = logging.getLogger(__name__)


class DnsUpstream(Upstream):
    """Resolves its endpoints' names in the engine's nursery, from ``start`` until retired."""

    def __init__(
        self,
        cluster: Cluster,
        connector: Connector,
        uniform: Callable[[], float],
        *,
        resolver: Resolver,
        refresh: float,
        retry: float,
    ) -> None:
        super().__init__(cluster, connector, uniform)
        self._resolver = resolver
        self._refresh = refresh
        self._retry = retry
        # The whole mutable state beside the hosts: the names, their last good
        # addresses, the scope of the running look-ups, and whether one round is done.
        self._names: tuple[Endpoint, ...] = ()
        self._known: dict[str, tuple[str, ...]] = {}
        self._scope: trio.CancelScope | None = None
        self._resolved = trio.Event()
        self.simple = self.known = False

    def set_endpoints(self, endpoints: Sequence[Endpoint]) -> None:
        """Make these the names; addresses of names that stay are kept."""
        if tuple(endpoints) == self._names:
            return
        self._names = tuple(endpoints)
        names = {endpoint.host for endpoint in endpoints}
        self._known = {name: found for name, found in self._known.items() if name in names}
        self._publish()
        self._restart()

    def start(self) -> None:
        """Begin to look up; called when the engine's nursery is there."""
        self._restart()

    def retire(self) -> None:
        """Stop looking up; see ``Upstream.retire``."""
        super().retire()
        if self._scope is not None:
            self._scope.cancel()
        self._resolved.set()

    async def wait_ready(self) -> None:
        """Wait until every name has been looked up once, well or ill."""
        await self._resolved.wait()

    def _restart(self) -> None:
        nursery = self.connector.nursery
        if nursery is None or self.retired:
            return
        if self._scope is not None:
            self._scope.cancel()
        self._scope = trio.CancelScope()
        nursery.start_soon(self._run, self._scope)

    async def _run(self, scope: trio.CancelScope) -> None:
        with scope:
            patience = self._retry
            while True:
                if await self._round():
                    patience = self._retry
                    await trio.sleep(self._refresh)
                else:
                    await trio.sleep(patience)
                    patience = min(patience * 2, self._refresh)

    async def _round(self) -> bool:
        """Look every name up once; True when all went well."""
        good = True
        for name in dict.fromkeys(endpoint.host for endpoint in self._names):
            try:
                addresses = await self._resolver.resolve(name)
            except ConnectionLost as error:
                good = False
                self.trouble = f"{name} cannot be resolved: {error}"
                _log.warning(
                    "name not resolved",
                    extra={"cluster": self.cluster.name, "host": name, "reason": str(error)},
                )
                continue
            if addresses:
                self._known[name] = addresses
        if good:
            self.trouble = ""
        self._publish()
        self.simple = self.known = True
        self._resolved.set()
        return good

    def _publish(self) -> None:
        found = [
            attrs.evolve(endpoint, host=address)
            for endpoint in self._names
            for address in self._known.get(endpoint.host, ())
        ]
        super().set_endpoints(found)
