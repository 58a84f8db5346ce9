"""``--bind SERVICE:PORT=ADDR``: local ports for single services, added to whatever is configured. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from meshd.modes.settings import ServiceBind
from meshd.proxy.bindings import Binding
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import FilterChain, HttpManager, Listener, TcpProxy
from meshd.snapshot.route import RouteTable, VirtualHost
from meshd.snapshot.snapshot import Snapshot

NOWHERE = "BlackHoleCluster"


def listener_name(bind: ServiceBind) -> str:
    """``bind_reviews_9080``."""
    return f"bind_{bind.host}_{bind.port}"


def bindings_of(binds: Iterable[ServiceBind]) -> tuple[tuple[str, Binding], ...]:
    """Where those listeners are bound."""
    return tuple((listener_name(bind), Binding(bind.address)) for bind in binds)


def with_binds(snapshot: Snapshot, binds: Iterable[ServiceBind]) -> Snapshot:
    """The snapshot with a listener for each bind; a service that is not known yet answers 404 and closes."""
    added = tuple(_listener(snapshot, bind) for bind in binds)
    return attrs.evolve(snapshot, listeners=snapshot.listeners + added) if added else snapshot


def _listener(snapshot: Snapshot, bind: ServiceBind) -> Listener:
    name = listener_name(bind)
    chain = (
        _http_chain(snapshot, bind) or _tcp_chain(snapshot, bind) or FilterChain(name, tcp=TcpProxy(((NOWHERE, 1),)))
    )
    return Listener(name, bind.port, Direction.OUTBOUND, (chain,))


def _http_chain(snapshot: Snapshot, bind: ServiceBind) -> FilterChain | None:
    for table in snapshot.route_tables:
        host = _virtual_host(table, bind) if table.name == str(bind.port) else None
        if host is not None:
            manager = HttpManager(route_table=table.name, virtual_host=host.name)
            return FilterChain(listener_name(bind), http=manager)
    return None


def _virtual_host(table: RouteTable, bind: ServiceBind) -> VirtualHost | None:
    wanted = bind.host.lower()
    return next((host for host in table.virtual_hosts if wanted in host.domains), None)


def _tcp_chain(snapshot: Snapshot, bind: ServiceBind) -> FilterChain | None:
    wanted = bind.host.lower()
    for cluster in snapshot.clusters:
        names = {cluster.service, cluster.service_name, f"{cluster.service_name}.{cluster.service_namespace}"}
        if (
            cluster.port == bind.port
            and not cluster.subset
            and wanted in names
            and cluster.name.startswith("outbound|")
        ):
            return FilterChain(listener_name(bind), tcp=TcpProxy(((cluster.name, 1),)))
    return None
