"""What the admin (15000), health (15021) and metrics (15090) ports show: CONTRACT section 2.

Nothing here shows a secret: the snapshot names secrets and holds none, and
``/certs`` shows what any TLS client could see.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from meshd.certs.identity import IdentitySource, utc_text
from meshd.net.timers import Timers
from meshd.proxy.engine import Engine
from meshd.proxy.small_server import Action, Names, Page, Query, SmallServer
from meshd.proxy.upstream.upstream import Upstream
from meshd.snapshot.codec import Codecs
from meshd.snapshot.snapshot import Snapshot
from meshd.telemetry.metrics import Registry

LEVELS = ("debug", "info", "warning", "error", "critical")
_JSON = "application/json"


@attrs.frozen(eq=False)
class Admin:
    """The admin interface of one engine."""

    engine: Engine
    identity: IdentitySource | None
    wall_clock: Callable[[], float]
    quit: Callable[[], None]
    """Ask the process to drain and stop."""
    set_level: Callable[[str], None]
    """Set the log level."""
    ready: Callable[[], str]
    """Why the process is not ready, "" when it is (the engine's reason, the agent's, ...)."""

    def server(self, timers: Timers, *, names: Names = Names()) -> SmallServer:
        """The server for it, answering to ``names``."""
        registry = self.engine.world.registry
        return SmallServer(
            {
                "/ready": Action(lambda _query: ready_page(self.ready())),
                "/stats/prometheus": Action(lambda _query: metrics_page(registry)),
                "/config_dump": Action(self.config_dump),
                "/clusters": Action(self.clusters),
                "/listeners": Action(self.listeners),
                "/certs": Action(self.certs),
                "/drain": Action(self.drain, changes=True),
                "/quitquitquit": Action(self.quitquitquit, changes=True),
                "/logging": Action(self.logging, changes=True),
            },
            timers,
            names=names,
        )

    def config_dump(self, _query: Query) -> Page:
        """The compiled snapshot with its version."""
        live = self.engine.live
        if live is None:
            return Page(b"no configuration yet\n", 503)
        plain: Any = Codecs().of(Snapshot).write(live.snapshot)
        return _json({"version": live.snapshot.version, "snapshot": plain})

    def clusters(self, query: Query) -> Page:
        """Hosts with health and load; text as Envoy's, or JSON with ``?format=json``."""
        upstreams = self.engine.upstreams
        if query.get("format") == "json":
            return _json({"clusters": [_cluster(upstream) for upstream in upstreams.values()]})
        return Page(_cluster_text(upstreams))

    def listeners(self, query: Query) -> Page:
        """What is bound where."""
        addresses = self.engine.addresses
        if query.get("format") == "json":
            rows = [
                {"name": acceptor.name, "address": str(acceptor.address), "connections": acceptor.open}
                for acceptor in self.engine.acceptors
            ]
            return _json({"listeners": rows})
        return Page("".join(f"{name}::{address}\n" for name, address in addresses.items()).encode())

    def certs(self, _query: Query) -> Page:
        """The workload's certificate: who, until when."""
        current = self.identity.current if self.identity is not None else None
        if current is None:
            return _json({"certificates": []})
        left = current.not_after - self.wall_clock()
        row = {
            "spiffe_id": current.spiffe_id,
            "serial": current.serial,
            "not_before": utc_text(current.not_before),
            "not_after": utc_text(current.not_after),
            "seconds_left": round(left),
            "chain_pem": current.chain_pem,
            "bundle_pem": current.bundle_pem,
        }
        return _json({"certificates": [row]})

    async def drain(self, _query: Query) -> Page:
        """Drain the engine; answers when it is done."""
        await self.engine.drain()
        return Page(b"OK\n")

    def quitquitquit(self, _query: Query) -> Page:
        """Ask the process to stop."""
        self.quit()
        return Page(b"OK\n")

    def logging(self, query: Query) -> Page:
        """Set the log level."""
        level = query.get("level", "").lower()
        if level not in LEVELS:
            return Page(f"?level= is one of {', '.join(LEVELS)}\n".encode(), 400)
        self.set_level(level)
        return Page(f"level {level}\n".encode())


def health_server(ready: Callable[[], str], timers: Timers) -> SmallServer:
    """``/healthz/ready`` for whoever asks (15021)."""
    return SmallServer({"/healthz/ready": Action(lambda _query: ready_page(ready()))}, timers)


def metrics_server(registry: Registry, timers: Timers) -> SmallServer:
    """``/stats/prometheus`` for whoever scrapes (15090)."""
    return SmallServer({"/stats/prometheus": Action(lambda _query: metrics_page(registry))}, timers)


def ready_page(reason: str) -> Page:
    """200 LIVE, or 503 with why not."""
    return Page(b"LIVE\n") if not reason else Page(f"not ready: {reason}\n".encode(), 503)


def metrics_page(registry: Registry) -> Page:
    """Prometheus' text format, in slices."""
    return Page(registry.render(), content_type="text/plain; version=0.0.4; charset=utf-8")


def _json(value: object) -> Page:
    return Page(json.dumps(value, indent=1).encode() + b"\n", content_type=_JSON)


def _cluster(upstream: Upstream) -> dict[str, object]:
    cluster = upstream.cluster
    return {
        "name": cluster.name,
        "connections": upstream.connections,
        "active": upstream.active,
        "pending": upstream.pending,
        "overflows": upstream.overflows,
        "hosts": [
            {
                "address": host.name,
                "healthy": True,
                "ejected": False,
                "weight": host.weight,
                "active": host.active,
                "requests": host.requests,
                "successes": host.successes,
                "failures": host.failures,
                "timeouts": host.timeouts,
                "connections": host.pool.open,
                "connect_failures": host.connect_failures,
                "identity": host.endpoint.identity,
                "mtls": host.endpoint.mtls,
                "locality": host.endpoint.locality,
            }
            for host in upstream.hosts.values()
        ],
    }


def _cluster_text(upstreams: Mapping[str, Upstream]) -> Iterator[bytes]:
    for name, upstream in upstreams.items():
        rows: list[str] = []
        for host in upstream.hosts.values():
            values = {
                "cx_active": host.pool.open,
                "cx_connect_fail": host.connect_failures,
                "cx_total": host.connections,
                "rq_active": host.active,
                "rq_error": host.failures,
                "rq_success": host.successes,
                "rq_timeout": host.timeouts,
                "rq_total": host.requests,
                "health_flags": "healthy",
                "weight": host.weight,
                "locality": host.endpoint.locality,
            }
            rows.extend(f"{name}::{host.name}::{key}::{value}\n" for key, value in values.items())
        yield "".join(rows).encode() or f"{name}::no hosts\n".encode()
