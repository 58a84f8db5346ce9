"""``meshd gateway``: the way into the mesh, or a gateway without one."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import attrs

from meshd import __version__
from meshd.errors import StartError
from meshd.modes import feeds, process
from meshd.modes.feeds import Feed
from meshd.modes.limits import GATEWAY, Limits
from meshd.modes.paths import node_name, state_home
from meshd.modes.process import World, listen
from meshd.modes.proxying import Proxy
from meshd.modes.settings import ControlAccess, GatewaySettings, Listening
from meshd.net.address import Address
from meshd.net.connection import Listener, Network
from meshd.proxy.bindings import Binding, Bindings
from meshd.snapshot.snapshot import Snapshot

logger = logging.getLogger(__name__)


@attrs.define(eq=False)
class GatewayRole:
    """What makes a proxy a gateway (a ``Role``)."""

    settings: GatewaySettings
    kind: str = "gateway"
    limits: Limits = GATEWAY

    def reserve(self, network: Network) -> tuple[Bindings, Mapping[Address, Listener]]:
        """See ``Role``: the ports of ``--port``."""
        ports: list[tuple[int, Binding]] = []
        reserved: dict[Address, Listener] = {}
        for each in self.settings.ports:
            listener = listen(network, Listening(each.address, asked=True), f"port {each.port}=")
            assert listener is not None
            ports.append((each.port, Binding(listener.address)))
            reserved[listener.address] = listener
        return Bindings(ports=tuple(ports)), reserved

    def make_feed(self, world: World, proxy: Proxy) -> Feed:
        """See ``Role``: files, or a control plane."""
        if self.settings.config:
            return self._static_feed(world, proxy)
        state = self._state(world)
        access = feeds.find_control(self.settings.control, os.environ) or feeds.recall_control(state)
        if access is None:
            raise StartError("a gateway needs --config FILE_OR_DIR, --control URL, or a control plane on this machine")
        return self._control_feed(access, state, world, proxy)

    def _static_feed(self, world: World, proxy: Proxy) -> Feed:
        from meshd.control.scope import Scope
        from meshd.modes.secrets import MeshSecrets
        from meshd.modes.static_feed import StaticFeed

        workload = self.settings.workload
        scope = Scope(
            kind="gateway",
            namespace=workload.namespace,
            service_account=self._account(),
            name=workload.service,
            labels=workload.labels,
        )
        paths = tuple(str(path) for path in self.settings.config)
        return StaticFeed(paths, scope, proxy.apply, world.wall_clock, MeshSecrets(scope))

    def _control_feed(self, access: ControlAccess, state: Path, world: World, proxy: Proxy) -> Feed:
        from meshd.modes import control_feed
        from meshd.snapshot.protocol import Registration

        workload = self.settings.workload
        registration = Registration(
            kind="gateway", service=workload.service, labels=workload.labels, release=__version__
        )
        place = control_feed.Place(workload.namespace, self._account(), self._node(world), state, registration)
        feed = control_feed.make(access, place, world, proxy.apply)
        feeds.remember_control(state, access)
        return feed

    def _node(self, world: World) -> str:
        settings = self.settings
        admin = settings.admin.address
        first = settings.ports[0].address.port if settings.ports else admin.port if admin else 0
        return node_name(world.hostname, settings.workload.service, "", first)

    def _state(self, world: World) -> Path:
        """Where what the control plane said is kept."""
        default = state_home(os.environ) / "gateway" / f"{self.settings.workload.namespace}.{self._node(world)}"
        return self.settings.state or default

    def _account(self) -> str:
        return self.settings.workload.service_account or self.settings.workload.service

    def adapt(self, snapshot: Snapshot) -> Snapshot:
        """See ``Role``."""
        return snapshot

    def describe(self, addresses: Mapping[str, Address]) -> dict[str, str]:
        """See ``Role``."""
        return {"listeners": ",".join(f"{name}={address}" for name, address in addresses.items()) or "none"}


def run(settings: GatewaySettings) -> None:
    """Run a gateway until it is told to stop."""
    process.run(Proxy(settings, GatewayRole(settings)), settings.logging)
