"""``meshd sidecar``: the proxy beside one service."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from meshd import __version__
from meshd.errors import StartError
from meshd.modes import feeds, process
from meshd.modes.binds import bindings_of, with_binds
from meshd.modes.feeds import Feed
from meshd.modes.limits import SIDECAR, Limits
from meshd.modes.paths import node_name, state_home
from meshd.modes.plain import INBOUND, OUTBOUND, plain_snapshot
from meshd.modes.process import World, listen
from meshd.modes.proxying import Proxy
from meshd.modes.settings import ControlAccess, Listening, SidecarSettings
from meshd.net.address import Address, is_loopback
from meshd.net.connection import Listener, Network
from meshd.proxy.bindings import Binding, Bindings
from meshd.snapshot.cluster import Peer
from meshd.snapshot.snapshot import Snapshot

if TYPE_CHECKING:
    from meshd.modes.names import Names
    from meshd.proxy.engine import Engine

logger = logging.getLogger(__name__)

ANYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - to recognise it


@attrs.define(eq=False)
class SidecarRole:
    """What makes a proxy a sidecar (a ``Role``)."""

    settings: SidecarSettings
    kind: str = "sidecar"
    limits: Limits = SIDECAR
    _inbound: Address | None = attrs.field(default=None, init=False)
    _outbound: Address | None = attrs.field(default=None, init=False)
    _names: Names | None = attrs.field(init=False)

    @_names.default
    def _make_names(self) -> Names | None:
        if self.settings.dns is None:
            return None
        from meshd.modes.names import Names

        return Names(self.settings.workload.namespace)

    def reserve(self, network: Network) -> tuple[Bindings, Mapping[Address, Listener]]:
        """See ``Role``: where we are reached must be known before the control plane is told."""
        settings = self.settings
        wanted: list[tuple[str, Listening, str]] = [(OUTBOUND, settings.outbound, "outbound")]
        if settings.upstream is not None:
            wanted.append((INBOUND, settings.inbound, "inbound"))
        wanted += [
            (name, Listening(binding.address, asked=True), "bind") for name, binding in bindings_of(settings.binds)
        ]
        names: list[tuple[str, Binding]] = []
        reserved: dict[Address, Listener] = {}
        for name, listening, flag in wanted:
            listener = listen(network, listening, flag)
            assert listener is not None
            names.append((name, Binding(listener.address)))
            reserved[listener.address] = listener
            if flag != "inbound" and not is_loopback(listener.address.host):
                logger.warning(
                    "--%s %s can be reached from other machines: whoever reaches it calls the mesh as this workload "
                    "(127.0.0.1 keeps it to this one)",
                    flag,
                    listener.address,
                )
        found = dict(names)
        self._outbound = found[OUTBOUND].address
        self._inbound = found[INBOUND].address if INBOUND in found else None
        return Bindings(names=tuple(names)), reserved

    def make_feed(self, world: World, proxy: Proxy) -> Feed:
        """See ``Role``: files, a control plane, or everything through."""
        settings = self.settings
        if settings.config:
            return self._static_feed(world, proxy)
        state = self._state(world)
        access = feeds.find_control(settings.control, os.environ) or feeds.recall_control(state)
        if access is None:
            if settings.upstream is None:
                raise StartError("no control plane on this machine: name one with --control URL, or give --upstream")
            logger.info("no control plane and no configuration: a plain proxy, without mutual TLS or policy")
            return feeds.PlainFeed(plain_snapshot(settings.upstream, self._peer()), proxy.apply)
        return self._control_feed(access, state, world, proxy)

    def _static_feed(self, world: World, proxy: Proxy) -> Feed:
        # Reading and compiling documents needs libraries that no other sidecar pays for.
        from meshd.control.scope import Scope
        from meshd.modes.secrets import MeshSecrets
        from meshd.modes.static_feed import StaticFeed

        workload = self.settings.workload
        upstream = self.settings.upstream
        scope = Scope(
            namespace=workload.namespace,
            service_account=self._account(),
            name=self._peer().workload,
            labels=tuple(self._labels().items()),
            app_ports=(upstream.port,) if upstream else (),
            app_host=upstream.host if upstream else "",
        )
        paths = tuple(str(path) for path in self.settings.config)
        return StaticFeed(paths, scope, proxy.apply, world.wall_clock, MeshSecrets(scope))

    def _control_feed(self, access: ControlAccess, state: Path, world: World, proxy: Proxy) -> Feed:
        # An agent is loaded by those who have a control plane.
        from meshd.modes import control_feed
        from meshd.snapshot.protocol import Registration

        workload, upstream, inbound = self.settings.workload, self.settings.upstream, self._inbound
        reached = Address("", 0)
        if inbound is not None:
            reached = self._reached(inbound) or Address(control_feed.own_address(access), inbound.port)
        registration = Registration(
            service=workload.service,
            labels=workload.labels,
            address=reached.host,
            inbound_port=reached.port,
            app_port=upstream.port if upstream else 0,
            app_host=upstream.host if upstream else "127.0.0.1",
            release=__version__,
        )
        place = control_feed.Place(workload.namespace, self._account(), self._node(world), state, registration)
        feed = control_feed.make(access, place, world, proxy.apply)
        feeds.remember_control(state, access)
        return feed

    def _node(self, world: World) -> str:
        workload, inbound, outbound = self.settings.workload, self._inbound, self._outbound
        port = inbound.port if inbound else outbound.port if outbound else 0
        return node_name(world.hostname, workload.service, dict(workload.labels).get("version", ""), port)

    def _state(self, world: World) -> Path:
        """Where what the control plane said is kept."""
        default = state_home(os.environ) / "sidecar" / f"{self.settings.workload.namespace}.{self._node(world)}"
        return self.settings.state or default

    def _reached(self, inbound: Address) -> Address | None:
        """Where others reach this sidecar, when flags say it."""
        advertised = self.settings.advertise or Address("", 0)
        host = advertised.host or ("" if inbound.host in ANYWHERE else inbound.host)
        return Address(host, advertised.port or inbound.port) if host else None

    def _account(self) -> str:
        workload = self.settings.workload
        return workload.service_account or workload.service or "default"

    def _labels(self) -> dict[str, str]:
        workload = self.settings.workload
        own = {"app": workload.service} if workload.service else {}
        return own | dict(workload.labels)

    def _peer(self) -> Peer:
        labels = self._labels()
        app, version = labels.get("app", ""), labels.get("version", "")
        return Peer(
            workload="-".join(part for part in (app, version) if part) or "sidecar",
            namespace=self.settings.workload.namespace,
            app=app,
            version=version,
            canonical_service=app,
            canonical_revision=version or "latest",
        )

    def beside(self, world: World, engine: Engine) -> tuple[Callable[[], Awaitable[None]], ...]:
        """The DNS proxy: what runs beside the engine, see ``Proxy.beside``."""
        if self.settings.dns is None:
            return ()
        # Only those who ask for it pay for it.
        from meshd.modes.names import open_dns

        assert self._names is not None
        return open_dns(self.settings.dns, self._names, world, engine)

    def adapt(self, snapshot: Snapshot) -> Snapshot:
        """See ``Role``: ``--bind`` and ``--dns``; and without ``--upstream`` nothing comes in."""
        if self._names is not None:
            snapshot = self._names.adapt(snapshot)
        if self.settings.upstream is None:
            kept = tuple(each for each in snapshot.listeners if each.name != INBOUND)
            snapshot = attrs.evolve(snapshot, listeners=kept)
        return with_binds(snapshot, self.settings.binds)

    def describe(self, addresses: Mapping[str, Address]) -> dict[str, str]:
        """See ``Role``."""
        return {name: str(address) for name, address in addresses.items()}


def run(settings: SidecarSettings) -> None:
    """Run a sidecar until it is told to stop."""
    role = SidecarRole(settings)
    process.run(Proxy(settings, role, beside=role.beside), settings.logging)
