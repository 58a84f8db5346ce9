"""A snapshot as plain values by name, so that a test can look at a part of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from meshd.api.document import Document
from meshd.control.compiler import compile_snapshot
from meshd.control.mesh import Mesh
from meshd.control.scope import Scope
from meshd.snapshot.chains import describe_match
from meshd.snapshot.cluster import Cluster, Endpoint
from meshd.snapshot.codec import Codecs
from meshd.snapshot.listener import FilterChain, Listener
from meshd.snapshot.policy import Authorization
from meshd.snapshot.route import Forward, Route, VirtualHost
from meshd.snapshot.snapshot import SecretRef, Snapshot, Telemetry
from tests.control.documents import documents

SIDECAR = Scope()
GATEWAY = Scope(kind="gateway", namespace="istio-system", labels=(("istio", "ingressgateway"),))


def compiled(text: str | tuple[Document, ...], scope: Scope = SIDECAR) -> Snapshot:
    """Documents (or their YAML) as one proxy's snapshot."""
    return compile_snapshot(Mesh.of(documents(text) if isinstance(text, str) else text), scope)


def render(snapshot: Snapshot) -> dict[str, Any]:
    """Everything in a snapshot, by kind and name."""
    codecs = Codecs()

    def plain(kind: Any, value: Any, *without: str) -> Any:
        written = codecs.of(kind).write(value)
        assert isinstance(written, dict)
        return {key: each for key, each in written.items() if key not in without}

    return {
        "listeners": {
            each.name: plain(Listener, each, "name", "chains")
            | {"chains": {label: plain(FilterChain, chain, "name") for label, chain in labelled(each.chains)}}
            for each in snapshot.listeners
        },
        "routes": {
            table.name: {host.name: plain(VirtualHost, host, "name") for host in table.virtual_hosts}
            for table in snapshot.route_tables
        },
        "clusters": {each.name: plain(Cluster, each, "name") for each in snapshot.clusters},
        "endpoints": {
            group.cluster: [plain(Endpoint, each) for each in group.endpoints] for group in snapshot.endpoints
        },
        "secrets": {each.name: plain(SecretRef, each, "name")["version"] for each in snapshot.secrets},
        "telemetry": plain(Telemetry, snapshot.telemetry),
    }


def labelled(chains: tuple[FilterChain, ...]) -> Iterator[tuple[str, FilterChain]]:
    """Chains with a name for each: what it matches is part of it where several share theirs."""
    shared = Counter(each.name for each in chains)
    for each in chains:
        yield each.name if shared[each.name] == 1 else f"{each.name}, {describe_match(each.match)}", each


def virtual_host(snapshot: Snapshot, table: str, name: str) -> VirtualHost:
    """A virtual host, by its table and name."""
    (found,) = (
        host for each in snapshot.route_tables if each.name == table for host in each.virtual_hosts if host.name == name
    )
    return found


def routes(snapshot: Snapshot, table: str, name: str) -> tuple[Route, ...]:
    """The routes of a virtual host."""
    return virtual_host(snapshot, table, name).routes


def shares(route: Route) -> dict[str, int]:
    """Clusters and weights of a route that forwards."""
    assert isinstance(route.action, Forward)
    return {each.cluster: each.weight for each in route.action.clusters}


def cluster(snapshot: Snapshot, name: str) -> Cluster:
    """A cluster by name."""
    (found,) = (each for each in snapshot.clusters if each.name == name)
    return found


def endpoints(snapshot: Snapshot, name: str) -> tuple[Endpoint, ...]:
    """The endpoints of a cluster."""
    (found,) = (each for each in snapshot.endpoints if each.cluster == name)
    return found.endpoints


def listener(snapshot: Snapshot, name: str) -> Listener:
    """A listener by name."""
    (found,) = (each for each in snapshot.listeners if each.name == name)
    return found


def chain(snapshot: Snapshot, listener_name: str, name: str) -> FilterChain:
    """A filter chain by name."""
    (found,) = (each for each in listener(snapshot, listener_name).chains if each.name == name)
    return found


def authorization(snapshot: Snapshot, listener_name: str, name: str) -> Authorization:
    """The authorization of a chain."""
    found = chain(snapshot, listener_name, name)
    filters = found.http.filters if found.http is not None else found.filters
    (only,) = filters
    assert isinstance(only, Authorization)
    return only
