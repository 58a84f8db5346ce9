"""Sidecars and gateways of a mesh inside a test: the real programs, with a look inside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import trio

from meshd.agent.config import AgentStatus
from meshd.certs.identity import Identity
from meshd.http.client import HttpClient
from meshd.modes.control_feed import ControlFeed
from meshd.modes.gateway import GatewayRole
from meshd.modes.proxying import Proxy, Role
from meshd.modes.settings import (
    ControlAccess,
    GatewaySettings,
    Listening,
    Logging,
    PortMap,
    ProxySettings,
    ServiceBind,
    SidecarSettings,
    Workload,
)
from meshd.modes.sidecar import SidecarRole
from meshd.net.address import Address
from meshd.net.timers import Timers
from meshd.proxy.engine import Engine
from meshd.testing.process import Ground, Process
from meshd.testing.records import AccessRecord, Records

LOOPBACK = "127.0.0.1"
OUTBOUND = Address(LOOPBACK, 15001)
INBOUND_PORT = 15006
ADMIN = Address(LOOPBACK, 15000)
READY_LOOKS = 0.01
"""Seconds between two looks."""

Access = Callable[[], ControlAccess]
"""How to reach the control plane; asked at every start, since a join token is worth one join."""


class ProxyProcess(Process[Proxy]):
    """A sidecar or gateway. Made by the mesh."""

    def __init__(
        self,
        name: str,
        make: Callable[[Callable[..., None]], Proxy],
        ground: Ground,
        note: Callable[[AccessRecord], None] | None = None,
    ) -> None:
        self.records = Records(note)
        super().__init__(name, lambda: make(self.records.observe), ground)

    @property
    def log(self) -> tuple[AccessRecord, ...]:
        """What it has served, in the order in which it ended."""
        return self.records.all

    @property
    def engine(self) -> Engine:
        """Its data plane."""
        engine = self.program.engine
        if engine is None:
            raise RuntimeError(f"{self.name} has only just been started")
        return engine

    @property
    def status(self) -> AgentStatus:
        """What its agent says of itself: readiness, configuration, certificate, the control plane."""
        feed = self.program.feed
        if feed is None:
            raise RuntimeError(f"{self.name} has only just been started")
        # Every proxy of a mesh has a control plane.
        assert isinstance(feed, ControlFeed)
        return feed.agent.status

    @property
    def identity(self) -> Identity | None:
        """The certificate it shows now."""
        feed = self.program.feed
        return feed.identity.current if feed is not None else None

    @property
    def version(self) -> str:
        """Of the configuration that it runs, "" for none."""
        return self.status.version

    def unready(self) -> str:
        """Why it is not ready, "" when it is."""
        if not self.running:
            return f"it is not running: {self.failure}" if self.failure else "it is not running"
        proxy = self.program
        if proxy.feed is None or proxy.engine is None:
            return "it has only just been started"
        return proxy.feed.waiting_for() or proxy.engine.ready.reason

    async def ready(self, timeout: float = 60.0) -> None:  # noqa: ASYNC109 - virtual seconds, said in the message
        """Wait until it can serve.

        Raises:
            MeshdError: it could not start.
            RuntimeError: it was not ready within ``timeout`` seconds; says why.
        """
        with trio.move_on_after(timeout):
            while self.unready():
                if self.failure is not None:
                    raise self.failure
                await trio.sleep(READY_LOOKS)
            return
        raise RuntimeError(f"{self.name} was not ready within {timeout:g} seconds: {self.unready()}")

    async def restart(self) -> None:
        """Kill it if it lives, and start it again from what it left on disk; waits until it is ready."""
        await self.kill()
        self.start()
        await self.ready()

    async def admin(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        """Ask its admin interface: status and body."""
        client = HttpClient(self._ground.machine, self._ground.resolver, Timers())
        try:
            answer = await client.request(method, f"http://{ADMIN}{path}", timeout=30.0)
        finally:
            client.close()
        return answer.status, answer.body


@attrs.frozen
class Stand:
    """What a sidecar stands beside."""

    service: str
    namespace: str
    account: str
    labels: tuple[tuple[str, str], ...]
    app: Address
    """The application, seen from the machine."""
    advertised: str
    """The machine's address."""
    binds: tuple[ServiceBind, ...] = ()


def sidecar_program(stand: Stand, access: Access, state: Path) -> Callable[[Callable[..., None]], Proxy]:
    """Makes the program of a sidecar, as ``meshd sidecar --upstream :PORT --service NAME`` does."""

    def make(observe: Callable[..., None]) -> Proxy:
        settings = SidecarSettings(
            upstream=stand.app,
            inbound=Listening(Address("", INBOUND_PORT), asked=True),
            outbound=Listening(OUTBOUND, asked=True),
            advertise=Address(stand.advertised, 0),
            binds=stand.binds,
            workload=Workload(stand.namespace, stand.account, stand.service, stand.labels),
            control=access(),
            state=state,
            logging=Logging(access_log="off"),
        )
        return _proxy(settings, SidecarRole(settings), observe)

    return make


def gateway_program(
    workload: Workload, ports: dict[int, int], access: Access, state: Path
) -> Callable[[Callable[..., None]], Proxy]:
    """Makes the program of a gateway, as ``meshd gateway --port N=:M`` does."""

    def make(observe: Callable[..., None]) -> Proxy:
        settings = GatewaySettings(
            ports=tuple(PortMap(port, Address("", bound)) for port, bound in ports.items()),
            workload=workload,
            control=access(),
            state=state,
            logging=Logging(access_log="off"),
        )
        return _proxy(settings, GatewayRole(settings), observe)

    return make


def _proxy(settings: ProxySettings, role: Role, observe: Callable[..., None]) -> Proxy:
    return Proxy(settings, role, observe)
