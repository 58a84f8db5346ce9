"""What sidecar and gateway have in common: an engine, a feed of snapshots, and small servers beside them."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol

import attrs
import trio

from meshd import __version__
from meshd.certs.contexts import TlsContexts
from meshd.errors import ConfigError, StartError
from meshd.modes.feeds import Feed
from meshd.modes.file_secrets import WithFiles
from meshd.modes.limits import Limits, with_settings
from meshd.modes.memory import default_limit, process_memory
from meshd.modes.process import World, listen
from meshd.modes.settings import Listening, ProxySettings
from meshd.net.address import Address, is_loopback
from meshd.net.connection import Connection, Listener, Network
from meshd.net.timers import Timers
from meshd.policy.exchange import Exchange
from meshd.proxy.admin import Admin, health_server, metrics_server
from meshd.proxy.bindings import Bindings
from meshd.proxy.capture.own_connections import OwnConnections
from meshd.proxy.engine import Engine
from meshd.proxy.small_server import LOOPBACK_NAMES, Names, SmallServer
from meshd.proxy.tls import MeshTls
from meshd.proxy.world import ProxyWorld
from meshd.snapshot.snapshot import Snapshot
from meshd.telemetry.log_writer import LogWriter, open_sink
from meshd.telemetry.metrics import Registry
from meshd.telemetry.names import ProcessMetrics

logger = logging.getLogger(__name__)

OFF = "off"
WATCH_READY = 0.1
"""Seconds between looks for "is it ready now", until it is; only the log line waits for it."""


class Role(Protocol):
    """What makes a proxy a sidecar or a gateway."""

    kind: str
    limits: Limits
    """Where the user sets none."""

    def reserve(self, network: Network) -> tuple[Bindings, Mapping[Address, Listener]]:
        """Bind what must be known or refused before any configuration is there.

        Raises:
            StartError: an address that was asked for cannot be had.
        """
        ...

    def make_feed(self, world: World, proxy: Proxy) -> Feed:
        """Where snapshots come from.

        Raises:
            StartError: from nowhere.
        """
        ...

    def adapt(self, snapshot: Snapshot) -> Snapshot:
        """A snapshot with what only this process knows."""
        ...

    def describe(self, addresses: Mapping[str, Address]) -> dict[str, str]:
        """Where it is reached, for the line that says it is ready."""
        ...


@attrs.define(eq=False)
class ReservedNetwork:
    """A network that hands out listeners which are bound already (``Network``)."""

    network: Network
    reserved: dict[Address, Listener]
    own_connections: OwnConnections
    """Told of every connection that is made."""

    async def connect(self, address: Address, *, source: str = "") -> Connection:
        """See ``Network``."""
        connection = await self.network.connect(address, source=source)
        self.own_connections.note(connection.local, address, trio.current_time())
        return connection

    def listen(self, address: Address, *, backlog: int = 1024) -> Listener:
        """See ``Network``."""
        return self.reserved.pop(address, None) or self.network.listen(address, backlog=backlog)


@attrs.define(eq=False)
class Proxy:
    """A ``Program``: the proxy of one role."""

    settings: ProxySettings
    role: Role
    observe: Callable[[Exchange, float], None] | None = None
    """See ``ProxyWorld``."""
    beside: Callable[[World, Engine], tuple[Callable[[], Awaitable[None]], ...]] | None = None
    """Binds and gives what else runs as long as the proxy does. May raise StartError."""
    # The whole mutable state: what is made when it starts, and what it is asked to do.
    _engine: Engine | None = attrs.field(default=None, init=False)
    _feed: Feed | None = attrs.field(default=None, init=False)
    _log_writer: LogWriter | None = attrs.field(default=None, init=False)
    _beside: dict[str, str] = attrs.field(factory=dict, init=False)
    """Where the small servers are, by flag."""
    _metrics: ProcessMetrics | None = attrs.field(default=None, init=False)
    _quit: trio.Event = attrs.field(factory=trio.Event, init=False)

    @property
    def engine(self) -> Engine | None:
        """What runs the snapshots, once it is made."""
        return self._engine

    @property
    def feed(self) -> Feed | None:
        """Where snapshots come from, once it is made."""
        return self._feed

    async def run(self, world: World) -> None:
        """Start, serve until cancelled (or told to quit by the admin interface)."""
        bindings, bound = self.role.reserve(world.network)
        reserved = dict(bound)
        try:
            await self._run(world, bindings, reserved)
        finally:
            # Those that no configuration has claimed.
            for listener in reserved.values():
                listener.close()

    async def _run(self, world: World, bindings: Bindings, reserved: dict[Address, Listener]) -> None:
        try:
            feed = self._feed = self.role.make_feed(world, self)
        except ConfigError as error:
            raise StartError(str(error)) from error
        engine = self._engine = self._make_engine(world, bindings, reserved, feed)
        small = self._small_servers(world, engine, feed)
        beside = self.beside(world, engine) if self.beside is not None else ()
        try:
            feed.begin()
        except ConfigError as error:
            raise start_error(error) from error
        try:
            await self._serve(engine, feed, small, beside)
        finally:
            feed.close()

    async def _serve(
        self,
        engine: Engine,
        feed: Feed,
        small: list[tuple[SmallServer, Listener]],
        beside: tuple[Callable[[], Awaitable[None]], ...],
    ) -> None:
        # Traffic, its configuration and its log share one fate; so do the small servers.
        async with trio.open_nursery() as proxy_nursery:
            if self._log_writer is not None:
                proxy_nursery.start_soon(self._log_writer.run)
            await proxy_nursery.start(engine.run)
            for server, listener in small:
                await proxy_nursery.start(server.serve, listener)
            for task in beside:
                proxy_nursery.start_soon(task)
            proxy_nursery.start_soon(feed.run)
            proxy_nursery.start_soon(self._tell_ready, engine, feed)
            await self._quit.wait()
            await self.drain()
            proxy_nursery.cancel_scope.cancel()

    def apply(self, snapshot: Snapshot) -> None:
        """Run a snapshot from now on.

        Raises:
            ConfigError: it cannot be run; the old one goes on.
        """
        assert self._engine is not None
        assert self._metrics is not None
        try:
            prepared = self._engine.prepare(self._adapt(snapshot))
        except ConfigError:
            self._metrics.rejected()
            raise
        self._engine.commit(prepared)
        self._metrics.config(snapshot.version)

    def _adapt(self, snapshot: Snapshot) -> Snapshot:
        """With what only this process knows: the role's own ports, and a log that is to be JSON throughout."""
        snapshot = self.role.adapt(snapshot)
        if self.settings.logging.format != "json":
            return snapshot
        access_log = attrs.evolve(snapshot.telemetry.access_log, encoding="JSON")
        return attrs.evolve(snapshot, telemetry=attrs.evolve(snapshot.telemetry, access_log=access_log))

    async def drain(self) -> None:
        """See ``Program``: leave the mesh, let requests end, write the last log lines."""
        if self._feed is not None:
            await self._feed.leave()
        if self._engine is not None:
            await self._engine.drain()
        if self._log_writer is not None:
            with trio.move_on_after(1):
                await self._log_writer.flush()

    def reload(self) -> None:
        """See ``Program``. The access log is opened again too: whoever rotates logs sends SIGHUP."""
        if self._feed is not None:
            self._feed.reload()
        if self._log_writer is not None:
            self._log_writer.reopen()

    def _make_engine(self, world: World, bindings: Bindings, reserved: dict[Address, Listener], feed: Feed) -> Engine:
        contexts = TlsContexts(feed.identity, wall_clock=world.wall_clock)
        self._log_writer = self._open_access_log()
        registry = Registry()
        self._metrics = _process_metrics(registry, feed)
        own = OwnConnections()
        limits = self._limits()
        return Engine(
            ProxyWorld(
                network=ReservedNetwork(world.network, reserved, own),
                own_connections=own,
                resolver=world.resolver,
                timers=world.timers,
                rng=world.rng,
                tls=MeshTls(
                    contexts,
                    feed.identity,
                    WithFiles(feed.secrets),
                    lambda path: Path(path).read_text(encoding="utf-8"),
                ),
                wall_clock=world.wall_clock,
                registry=registry,
                bindings=bindings,
                limits=limits.proxy,
                http_limits=limits.http,
                memory=process_memory(),
                log_writer=self._log_writer,
                observe=self.observe,
            )
        )

    def _limits(self) -> Limits:
        settings = self.settings
        limits = with_settings(self.role.limits, settings.limits)
        memory = limits.proxy.memory
        if not any(setting.name == "memory" for setting in settings.limits):
            memory = default_limit()
        return attrs.evolve(
            limits, proxy=attrs.evolve(limits.proxy, drain_timeout=settings.drain_timeout, memory=memory)
        )

    def _open_access_log(self) -> LogWriter | None:
        target = self.settings.logging.access_log
        return None if target == OFF else LogWriter(open_sink(target))

    def _small_servers(self, world: World, engine: Engine, feed: Feed) -> list[tuple[SmallServer, Listener]]:
        def not_ready() -> str:
            return feed.waiting_for() or engine.ready.reason

        admin = Admin(engine, feed.identity, world.wall_clock, self._quit.set, set_level, not_ready)
        timers: Timers = world.timers
        servers: list[tuple[str, Listening, SmallServer]] = [
            (
                "admin",
                self.settings.admin,
                admin.server(timers, names=_admin_names(self.settings.admin, world.hostname)),
            ),
            ("health", self.settings.health, health_server(not_ready, timers)),
            ("stats", self.settings.stats, metrics_server(engine.world.registry, timers)),
        ]
        found: list[tuple[SmallServer, Listener]] = []
        for what, where, server in servers:
            listener = listen(world.network, where, what)
            if listener is not None:
                found.append((server, listener))
                self._beside[what] = str(listener.address)
        return found

    async def _tell_ready(self, engine: Engine, feed: Feed) -> None:
        told = ""
        while reason := feed.waiting_for() or engine.ready.reason:
            if reason != told:
                logger.info("not ready yet: %s", reason)
                told = reason
            await trio.sleep(WATCH_READY)
        logger.info("ready", extra={"pid": os.getpid(), **self.role.describe(engine.addresses), **self._beside})


def _admin_names(admin: Listening, hostname: str) -> Names:
    """By what names the admin interface may be called: of this machine, when it is not on loopback alone."""
    address = admin.address
    if address is None or is_loopback(address.host):
        return Names()
    logger.warning("--admin %s can be reached from other machines: whoever reaches it can stop this proxy", address)
    return Names(LOOPBACK_NAMES | {hostname.lower(), address.host.lower()}, addresses=True)


def _process_metrics(registry: Registry, feed: Feed) -> ProcessMetrics:
    metrics = ProcessMetrics(registry, version=__version__)
    if feed.identity.current is not None or feed.waiting_for():
        # A proxy that has a certificate, or waits for its first; others have none to tell of.
        metrics.follow_certificate(lambda: feed.identity.current.not_after if feed.identity.current else 0.0)
    return metrics


def start_error(error: ConfigError) -> StartError:
    """How a configuration ends a start: a port that cannot be had (78), or documents that make no sense (65)."""
    return StartError(str(error), exit_code=78 if isinstance(error.__cause__, OSError) else 65)


def set_level(level: str) -> None:
    """Set the level of meshd's loggers."""
    logging.getLogger("meshd").setLevel(level.upper())
