"""The control plane of a mesh inside a test: the real program over a store in memory."""

from __future__ import annotations

from pathlib import Path

import trio

from meshd.control.finding import Finding
from meshd.control.tokens import TokenStore
from meshd.modes.control import ControlPlane, Office
from meshd.modes.settings import ControlAccess, ControlSettings, Listening, Logging
from meshd.net.address import Address
from meshd.snapshot.protocol import NodeStatus
from meshd.testing.process import Ground, Process
from meshd.testing.proxies import ProxyProcess
from meshd.testing.store import MemoryStore

HOST = "10.0.0.1"
API = Address(HOST, 15012)
CONSOLE = Address(HOST, 15014)


class ControlProcess(Process[ControlPlane]):
    """The control plane. Made by the mesh; its state directory and its store outlive it."""

    def __init__(
        self, store: MemoryStore, state: Path, ground: Ground, *, trust_domain: str, certificate_ttl: float
    ) -> None:
        self.state = state
        """Its state directory: the CA, tokens, audit log, registrations."""
        self._store = store
        settings = ControlSettings(
            store=Path("/nowhere"),
            state=state,
            listen=Listening(API, asked=True),
            console=Listening(CONSOLE, asked=True),
            trust_domain=trust_domain,
            certificate_ttl=certificate_ttl,
            advertise_locally=False,
            logging=Logging(access_log="off"),
        )
        super().__init__("control", lambda: ControlPlane(settings, store), ground)

    @property
    def office(self) -> Office:
        """What it is made of: authority, tokens, nodes, publisher.

        Raises:
            RuntimeError: it does not run.
        """
        office = self.program.office
        if office is None:
            raise RuntimeError("the control plane has only just been started")
        return office

    @property
    def nodes(self) -> tuple[NodeStatus, ...]:
        """What ``meshd proxy-status`` shows."""
        office = self.office
        return office.nodes.rows(office.api.polling.version_of)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What it found in the documents that are in the store."""
        return self.program.findings

    def token(self, service_account: str, *, namespace: str = "default", ttl: float = 600.0, node: str = "") -> str:
        """A join token, as ``meshd token create``."""
        tokens = TokenStore(self.state / "tokens", self._ground.wall_clock)
        return tokens.create(namespace, service_account, ttl=ttl, node=node)[1]

    def access(self, service_account: str, namespace: str) -> ControlAccess:
        """How a proxy of this account reaches it, with a new token."""
        bundle = (self.state / "ca" / "root.pem").read_text()
        return ControlAccess(f"https://{API}", self.token(service_account, namespace=namespace), bundle)

    async def ready(self) -> None:
        """Wait until it has read its store and published."""
        while not self._published():
            if self.failure is not None:
                raise self.failure
            await trio.sleep(0.01)

    async def restart(self) -> None:
        """Kill it if it lives, and start it again with the same state and store; waits until it has published."""
        await self.kill()
        self.start()
        await self.ready()

    def unsettled(self, proxies: list[ProxyProcess]) -> str:
        """Why these proxies do not all run what is in the store, "" when they do."""
        if not self._store.clean or not self._published() or not self.program.settled:
            return "the control plane has not published the store yet"
        office = self.office
        nodes = {node.key.name: node for node in office.nodes}
        for proxy in proxies:
            if not proxy.running:
                continue
            status = proxy.status
            node = nodes.get(status.node)
            if node is None:
                return f"{proxy.name} is not registered ({status.problem or 'no problem is known'})"
            wanted = office.api.polling.version_of(node)
            if wanted not in (status.version, status.refused):
                return f"{proxy.name} does not run {wanted[:12]} yet ({status.problem or 'no problem is known'})"
            if node.status is None or wanted not in (node.status.applied, node.status.refused):
                return f"{proxy.name} has not told yet that it runs {wanted[:12]}"
        return ""

    def _published(self) -> bool:
        return self.running and self.program.office is not None and self.program.office.publisher.mesh is not None
