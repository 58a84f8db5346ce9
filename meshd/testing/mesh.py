"""A whole mesh in one process, on virtual time.

::

    async with open_mesh(seed=1) as mesh:
        await mesh.service("reviews", versions={"v1": b"one", "v2": [503, 503, b"two"]})
        await mesh.service("productpage")
        await mesh.apply(VIRTUAL_SERVICE)
        answer = await mesh.call("productpage", "GET", "http://reviews:9080/")
        assert (answer.status, answer.served_by) == (200, "reviews-v1")

Everything but the wires, the clock and the applications is real: the control
plane with its CA, tokens and HTTPS API, agents that join, poll and rotate,
engines that speak mutual TLS. Each workload has a machine of its own.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import trio

from meshd.certs.contexts import TlsContexts
from meshd.control.finding import Finding
from meshd.errors import ConfigError
from meshd.modes.feeds import Nobody
from meshd.modes.settings import Workload as Account
from meshd.net.address import Address
from meshd.net.memory import MemoryMachine, MemoryNetwork, StaticResolver, Wire
from meshd.testing.app import FakeApp, Script, respond
from meshd.testing.calls import TIMEOUT, Answer, Client
from meshd.testing.chance import stream_of_chance
from meshd.testing.control import HOST as CONTROL_HOST
from meshd.testing.control import ControlProcess
from meshd.testing.fields import Fields
from meshd.testing.process import Ground
from meshd.testing.proxies import LOOPBACK, Access, ProxyProcess, Stand, gateway_program, sidecar_program
from meshd.testing.store import MemoryStore, errors_of
from meshd.testing.workload import Gateway, Outsider, Service, Workload, start_app

START = 1_767_225_600.0
"""The wall clock when a mesh is opened: 2026-01-01T00:00:00Z."""
SETTLE = 0.03
"""Seconds after which a registration has become documents (``control/nodes.py`` waits 0.02)."""
LOOK = 0.01
"""Seconds between two looks."""
OWN_NAME = respond()


class Mesh:
    """A mesh inside a test. Made by ``open_mesh``.

    Attributes:
        seed: What all chance comes from.
        directory: Where the state directories are.
        control: The control plane.
        network: All wires and machines.
        names: What names resolve to, beside the mesh's own: ``mesh.names["db.example.com"] = ("10.9.9.9",)``.
        store: The documents.
    """

    def __init__(
        self, nursery: trio.Nursery, directory: Path, seed: int, *, trust_domain: str, certificate_ttl: float
    ) -> None:
        self.seed = seed
        self.directory = directory
        self.network = MemoryNetwork()
        self._resolver = StaticResolver()
        self.names = self._resolver.names
        self._nursery = nursery
        self._opened = trio.current_time()
        # The whole mutable state: who takes part, and how many machines there are.
        self.services: dict[str, Service] = {}
        self.gateways: list[Gateway] = []
        self._by_ip: dict[str, Workload] = {}
        self._machines = 0
        self._strangers = 0
        self._files = 0
        self.store = MemoryStore(self.wall_clock)
        ground = self._ground(CONTROL_HOST, "control")
        self.control = ControlProcess(
            self.store, directory / "control", ground, trust_domain=trust_domain, certificate_ttl=certificate_ttl
        )

    # Time.

    def now(self) -> float:
        """Seconds since the mesh was opened."""
        return trio.current_time() - self._opened

    def wall_clock(self) -> float:
        """Seconds since 1970, as certificates and logs of this mesh have them."""
        return START + self.now()

    async def sleep(self, seconds: float) -> None:
        """Let time pass; it costs what happens in it."""
        await trio.sleep(seconds)

    # Configuration.

    async def apply(self, *documents: str | Path) -> None:
        """Put documents into the store, and wait until every proxy runs them.

        Args:
            documents: YAML texts, files, or directories of them. A file of the same name is replaced.

        Raises:
            ConfigError: a document is refused; those that are not are in force.
            RuntimeError: a proxy does not come to run it.
        """
        errors = [finding for each in documents for finding in errors_of(self.put(each))]
        await self.settled()
        if errors:
            raise ConfigError("; ".join(map(str, errors)))

    def put(self, document: str | Path, name: str = "") -> tuple[Finding, ...]:
        """Put documents into the store, and wait for nothing; returns what is wrong with them."""
        if isinstance(document, Path):
            paths = sorted(document.rglob("*.yaml")) if document.is_dir() else [document]
            return tuple(each for path in paths for each in self.store.put(name or str(path), path.read_text("utf-8")))
        if not name:
            self._files += 1
            name = f"applied-{self._files}.yaml"
        return self.store.put(name, document)

    async def delete(self, name: str | Path) -> None:
        """Take a file out of the store, and wait until every proxy knows.

        Raises:
            KeyError: there is none of this name.
        """
        self.store.remove(str(name))
        await self.settled()

    async def settled(self, timeout: float = 60.0) -> None:  # noqa: ASYNC109 - virtual seconds, said in the message
        """Wait until every proxy that runs has what is in the store (or has refused it).

        Raises:
            RuntimeError: that did not happen within ``timeout`` seconds; says why.
        """
        with trio.move_on_after(timeout):
            await trio.sleep(SETTLE)
            while self.control.unsettled(self.proxies):  # noqa: ASYNC110 - looking costs nothing on virtual time
                await trio.sleep(LOOK)
            return
        raise RuntimeError(f"not settled within {timeout:g} seconds: {self.control.unsettled(self.proxies)}")

    # Who takes part.

    @property
    def workloads(self) -> list[Workload]:
        """Every workload, in the order in which they came."""
        return [workload for service in self.services.values() for workload in service]

    @property
    def proxies(self) -> list[ProxyProcess]:
        """Every sidecar and gateway."""
        sidecars = [workload.sidecar for workload in self.workloads if workload.sidecar is not None]
        return [*sidecars, *(gateway.proxy for gateway in self.gateways)]

    def workload(self, name: str) -> Workload:
        """A workload by its name (``reviews-v2``), or the first of a service (``reviews``).

        Raises:
            KeyError: there is none.
        """
        service = self.services.get(name)
        if service is not None:
            return service.workload
        for workload in self.workloads:
            if workload.name == name:
                return workload
        raise KeyError(f"no service or workload {name!r}; there are {sorted(self.services)}")

    async def service(
        self,
        name: str,
        behaviour: Script = OWN_NAME,
        *,
        versions: Mapping[str, Script] | None = None,
        namespace: str = "default",
        account: str = "",
        labels: Mapping[str, str] | None = None,
        port: int = 9080,
        sidecar: bool = True,
    ) -> Service:
        """Add a service: for each version a machine with an application and a sidecar that joins the mesh.

        Args:
            name: Of the service; others call ``http://NAME:PORT/``.
            behaviour: How the application answers (``testing/app.py``); by default with its workload's name.
            versions: Label ``version`` and behaviour of several workloads, instead of one without a version.
            namespace: Its namespace.
            account: Its service account; the service's name unless given.
            labels: More labels.
            port: Where the applications listen.
            sidecar: False gives machines without a sidecar: known to the mesh by documents only.

        Returns:
            The service, once every sidecar is ready and every proxy knows it.
        """
        scripts = dict(versions) if versions is not None else {"": behaviour}
        added = tuple(
            self._add_workload("-".join(filter(None, (name, version))), script, port)
            for version, script in scripts.items()
        )
        service = Service(name, namespace, added)
        for version, workload in zip(scripts, added, strict=True):
            await start_app(self._nursery, workload, LOOPBACK if sidecar else "")
            if sidecar:
                marks = {**(labels or {}), **({"version": version} if version else {})}
                self._add_sidecar(workload, name, namespace, account or name, tuple(sorted(marks.items())))
        self.services[name if name not in self.services else f"{name}.{namespace}"] = service
        if sidecar:
            for workload in added:
                await workload.proxy.ready()
            await self.settled()
        return service

    async def gateway(
        self,
        name: str = "istio-ingressgateway",
        *,
        namespace: str = "istio-system",
        labels: Mapping[str, str] | None = None,
        ports: Mapping[int, int] | None = None,
    ) -> Gateway:
        """Add a gateway.

        Args:
            name: Of its workload and service account.
            namespace: Its namespace.
            labels: What Gateway selectors look for; ``istio: ingressgateway`` unless given.
            ports: Where server ports are bound, when not as they are.

        Returns:
            The gateway, once it is ready and runs what is in the store.
        """
        ip, _ = self._machine()
        account = Account(namespace, name, name, tuple(sorted((labels or {"istio": "ingressgateway"}).items())))
        node = f"{name}-{len(self.gateways) + 1}"
        access = self._access(name, namespace)
        program = gateway_program(account, dict(ports or {}), access, self.directory / node)
        proxy = ProxyProcess(node, program, self._ground(ip, node))
        gateway = Gateway(ip, proxy, dict(ports or {}), self.outsider())
        self.gateways.append(gateway)
        proxy.start()
        await proxy.ready()
        await self.settled()
        return gateway

    def outsider(self) -> Outsider:
        """A machine outside of the mesh, with an address of its own."""
        self._strangers += 1
        ip = f"203.0.113.{self._strangers}"
        contexts = TlsContexts(Nobody(), wall_clock=self.wall_clock)

        def trusting(roots: str) -> ssl.SSLContext:
            return contexts.web_client(alpn=("http/1.1",), roots_pem=roots)

        return Outsider(ip, Client(self.network.machine(ip), self._name_of), trusting)

    async def call(
        self,
        caller: str | Workload,
        method: str,
        url: str,
        *,
        headers: Fields = (),
        body: bytes = b"",
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - as Workload.call
    ) -> Answer:
        """A request of a workload's application through its sidecar: see ``Workload.call``."""
        workload = self.workload(caller) if isinstance(caller, str) else caller
        return await workload.call(method, url, headers=headers, body=body, timeout=timeout)

    # Harm.

    def wires(self, host: str = "") -> tuple[Wire, ...]:
        """The connections that are open, or those of one machine: to be cut, stalled, slowed down."""
        wires = self.network.wires
        return tuple(wire for wire in wires if not host or host in (wire.client.local.host, wire.server.local.host))

    @contextmanager
    def unplugged(self, *hosts: str) -> Iterator[None]:
        """Take machines off the network for the length of the block: nothing arrives, nothing is refused."""
        before = self.network.on_wire
        stalled = [wire for host in hosts for wire in self.wires(host)]

        def plug(wire: Wire) -> None:
            if before is not None:
                before(wire)
            # A machine off the network can be reached by nobody, and reaches nobody but itself.
            if wire.client.local.host in hosts:
                wire.stall()
                stalled.append(wire)

        for wire in stalled:
            wire.stall()
        self.network.silent.update(hosts)
        self.network.on_wire = plug
        try:
            yield
        finally:
            self.network.silent.difference_update(hosts)
            self.network.on_wire = before
            for wire in stalled:
                wire.resume()

    # Making the parts.

    def _add_workload(self, name: str, script: Script, port: int) -> Workload:
        ip, machine = self._machine()
        workload = Workload(name, machine, Address(ip, port), Client(machine, self._name_of))
        workload.app = FakeApp(name, script, workload.call)
        self._by_ip[ip] = workload
        return workload

    def _add_sidecar(
        self, workload: Workload, service: str, namespace: str, account: str, labels: Sequence[tuple[str, str]]
    ) -> None:
        app = Address(LOOPBACK, workload.address.port)
        stand = Stand(service, namespace, account, tuple(labels), app, workload.ip)
        state = self.directory / f"{workload.name}.{namespace}"
        program = sidecar_program(stand, self._access(account, namespace), state)
        workload.sidecar = ProxyProcess(
            f"{workload.name}.{namespace}", program, self._ground(workload.ip, workload.name)
        )
        workload.sidecar.start()

    def _access(self, account: str, namespace: str) -> Access:
        return partial(self.control.access, account, namespace)

    def _machine(self) -> tuple[str, MemoryMachine]:
        self._machines += 1
        ip = f"10.0.{1 + self._machines // 250}.{self._machines % 250 + 1}"
        return ip, self.network.machine(ip)

    def _ground(self, ip: str, hostname: str) -> Ground:
        chance = partial(stream_of_chance, self.seed)
        return Ground(self.network.machine(ip), self._resolver, hostname, self.wall_clock, chance, self._nursery)

    def _name_of(self, endpoint: str) -> str:
        workload = self._by_ip.get(Address.parse(endpoint).host)
        return workload.name if workload is not None else ""
