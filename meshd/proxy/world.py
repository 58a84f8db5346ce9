"""What the data plane is given: everything it would otherwise have to take from the machine."""

from __future__ import annotations

import random
from collections.abc import Callable

import attrs

from meshd.http.limits import HOURS, HttpLimits
from meshd.net.connection import Network, Resolver
from meshd.net.timers import Timers
from meshd.policy.exchange import Exchange
from meshd.proxy.bindings import Bindings
from meshd.proxy.capture.own_connections import OwnConnections
from meshd.proxy.limits import ProxyLimits
from meshd.proxy.memory import Memory
from meshd.proxy.tls import TlsSide
from meshd.telemetry.access_log import LogWriter
from meshd.telemetry.metrics import Registry


@attrs.frozen(eq=False)
class ProxyWorld:
    """Made by ``modes`` or by a test; the same for the engine's whole life."""

    network: Network
    resolver: Resolver
    timers: Timers
    """Its ``run`` is in the process's nursery."""
    rng: random.Random
    tls: TlsSide
    wall_clock: Callable[[], float]
    """Seconds since the epoch; for access logs and certificates only."""
    registry: Registry
    bindings: Bindings = Bindings()
    limits: ProxyLimits = ProxyLimits()
    http_limits: HttpLimits = HttpLimits(stream_idle_timeout=1 * HOURS)
    memory: Memory = Memory(used=lambda: 0, shrink=lambda: None)
    """For ``ProxyLimits.memory``; unknown by default."""
    log_writer: LogWriter | None = None
    """Where access log lines go; None: nowhere."""
    own_connections: OwnConnections = attrs.field(factory=OwnConnections)
    """``network`` tells it of the connections it makes, none of which may come back."""
    observe: Callable[[Exchange, float], None] | None = None
    """Told of every exchange (and opaque connection) once it has ended, with trio's time: for tests. Quick; never raises."""
