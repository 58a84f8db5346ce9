"""The names of the mesh and their addresses, from what a proxy is configured with. Pure.

A service with an address of its own is called by it. One without, beside those
that are headless, gets a *virtual* address of 240.240.0.0/16, which leads
nowhere but to the proxy: it tells services apart that a client calls by name.
A virtual address comes from the name's hash, so it is the same on every proxy
and after every restart, unless two names want the same one.

Source: Istio's ``pkg/dns/client`` and its automatic allocation of addresses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import attrs

from meshd.net.address import is_ip_literal
from meshd.snapshot.cluster import Cluster, Discovery
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import FilterChain, Listener, TcpProxy
from meshd.snapshot.snapshot import Snapshot

PREFIX = "240.240."
SLOTS = 256 * 254
"""Addresses whose last part is 0 or 255 are left out (Istio)."""

OUTBOUND = "outbound|"


@attrs.frozen
class NameTable:
    """What is answered. Names are in lower case; a wildcard's begins with ``*.``."""

    names: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict, repr=False)
    virtual: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    """Of hosts that have a virtual address."""

    def find(self, name: str) -> tuple[str, ...] | None:
        """The addresses of a name, None when it is none of the mesh's."""
        found = self.names.get(name)
        if found is not None:
            return found
        labels = name.split(".")
        for at in range(1, len(labels)):
            found = self.names.get("*." + ".".join(labels[at:]))
            if found is not None:
                return found
        return None


def table_of(snapshot: Snapshot, namespace: str) -> NameTable:
    """The names that a proxy of this namespace answers for.

    Short names of a Kubernetes service: ``reviews`` in its own namespace,
    ``reviews.default`` and ``reviews.default.svc`` in all.
    """
    services: dict[str, Cluster] = {}
    for cluster in snapshot.clusters:
        if cluster.name.startswith(OUTBOUND) and not cluster.subset and cluster.service:
            services.setdefault(cluster.service, cluster)
    endpoints = _endpoints(snapshot, services)
    virtual = allocate(host for host, cluster in services.items() if _needs_virtual(cluster))
    names: dict[str, tuple[str, ...]] = {}
    for host, cluster in sorted(services.items()):
        addresses = cluster.addresses or endpoints.get(host, ())
        if host in virtual:
            addresses = (virtual[host],)
        if addresses:
            for name in _names(cluster, namespace):
                names.setdefault(name, addresses)
    return NameTable(names, virtual)


def _needs_virtual(cluster: Cluster) -> bool:
    unfit = cluster.headless or cluster.service.startswith("*") or is_ip_literal(cluster.service)
    # Without endpoints of its own, a service is wherever its name says: others answer for that.
    return not (unfit or cluster.addresses or cluster.discovery is Discovery.ORIGINAL_DESTINATION)


def _endpoints(snapshot: Snapshot, services: Mapping[str, Cluster]) -> dict[str, tuple[str, ...]]:
    """Of headless services."""
    headless = {cluster.name: host for host, cluster in services.items() if cluster.headless}
    return {
        headless[group.cluster]: tuple(dict.fromkeys(each.host for each in group.endpoints if is_ip_literal(each.host)))
        for group in snapshot.endpoints
        if group.cluster in headless
    }


def _names(cluster: Cluster, namespace: str) -> tuple[str, ...]:
    host = cluster.service.lower()
    short = f"{cluster.service_name}.{cluster.service_namespace}".lower()
    if not host.startswith(f"{short}.svc."):
        return (host,)
    own = (cluster.service_name.lower(),) if cluster.service_namespace == namespace else ()
    return (host, f"{short}.svc", short, *own)


def allocate(hosts: Iterable[str]) -> dict[str, str]:
    """A virtual address for each host: by its hash, the next free one where that is taken."""
    taken: set[int] = set()
    found: dict[str, str] = {}
    for host in sorted(set(hosts)):
        if len(taken) >= SLOTS:
            break
        slot = int.from_bytes(hashlib.sha256(host.encode("utf-8", "surrogateescape")).digest()[:8], "big") % SLOTS
        while slot in taken:
            slot = (slot + 1) % SLOTS
        taken.add(slot)
        found[host] = f"{PREFIX}{slot // 254}.{slot % 254 + 1}"
    return found


def with_virtual_listeners(snapshot: Snapshot, table: NameTable) -> Snapshot:
    """The snapshot with listeners for virtual addresses, where the address alone can tell a service.

    HTTP names its host, so what shares a port's listener is told apart there.
    Every other service would be told by the port alone.
    """
    http = {listener.port for listener in snapshot.listeners if _all_http(listener)}
    known = {(listener.host, listener.port): listener for listener in snapshot.listeners if not listener.bound}
    added: list[Listener] = []
    for cluster in snapshot.clusters:
        address = table.virtual.get(cluster.service)
        if address is None or cluster.subset or not cluster.name.startswith(OUTBOUND):
            continue
        shared = known.get(("", cluster.port))
        if cluster.port not in http and shared is not None:
            added.append(_virtual(address, cluster, shared))
    return attrs.evolve(snapshot, listeners=snapshot.listeners + tuple(added)) if added else snapshot


def _all_http(listener: Listener) -> bool:
    return (
        listener.direction is Direction.OUTBOUND
        and not listener.host
        and all(chain.http is not None for chain in listener.chains)
    )


def _virtual(address: str, cluster: Cluster, shared: Listener) -> Listener:
    """HTTP as at the shared port; for all else, the rules for the service where they are there, or the service."""
    kept = tuple(chain for chain in shared.chains if chain.http is not None or _leads_to(chain, cluster))
    rest = FilterChain(f"{address}_{cluster.port}", tcp=TcpProxy(((cluster.name, 1),)))
    for chain in (*shared.chains, shared.default_chain):
        if chain is not None and chain.tcp is not None and _leads_to(chain, cluster) and chain.match == rest.match:
            rest = chain
    return Listener(
        name=f"{address}_{cluster.port}",
        port=cluster.port,
        direction=Direction.OUTBOUND,
        chains=kept if any(chain.match != rest.match for chain in kept) else (rest,),
        host=address,
        bound=False,
        detection_timeout=shared.detection_timeout,
        default_chain=rest if any(chain.match != rest.match for chain in kept) else None,
    )


def _leads_to(chain: FilterChain, cluster: Cluster) -> bool:
    suffix = f"|{cluster.service}"
    return chain.tcp is not None and any(name.endswith(suffix) for name, _ in chain.tcp.clusters)
