"""Who takes part in a mesh inside a test: services with their workloads, gateways, and strangers."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

import trio

from meshd.net.address import Address
from meshd.net.connection import Network
from meshd.testing.app import FakeApp, Received, Script
from meshd.testing.calls import TIMEOUT, Answer, Call, Client
from meshd.testing.fields import Fields
from meshd.testing.proxies import INBOUND_PORT, OUTBOUND, ProxyProcess

DEFAULT_PORTS = {"http": 80, "https": 443}


class Workload:
    """One instance of a service: a machine with an application and, as a rule, a sidecar. Made by ``Mesh.service``."""

    def __init__(self, name: str, machine: Network, address: Address, client: Client) -> None:
        """Put it together; ``sidecar`` is set by the mesh.

        Args:
            name: ``reviews-v2``.
            machine: Its machine.
            address: Of the application, as other machines see it.
            client: Makes the application's requests.
        """
        self.name = name
        self.address = address
        self.app: FakeApp
        self.sidecar: ProxyProcess | None = None
        self._machine = machine
        self._client = client

    @property
    def ip(self) -> str:
        """Its machine's address."""
        return self.address.host

    @property
    def inbound(self) -> Address:
        """Where its sidecar takes in the mesh's traffic."""
        return Address(self.ip, INBOUND_PORT)

    @property
    def proxy(self) -> ProxyProcess:
        """Its sidecar.

        Raises:
            RuntimeError: it has none.
        """
        if self.sidecar is None:
            raise RuntimeError(f"{self.name} has no sidecar")
        return self.sidecar

    @property
    def requests(self) -> list[Received]:
        """What its application was asked, in order."""
        return self.app.requests

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Fields = (),
        body: bytes = b"",
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - virtual seconds of an application that gives up
    ) -> Answer:
        """A request of its application, through its sidecar: the URL's host is the service, as in ``http://reviews:9080/``.

        Raises:
            DeadlineExceeded: the application gave up after ``timeout`` seconds.
            MeshdError: the connection to the sidecar was refused or broke.
        """
        if urlsplit(url).scheme == "https":
            raise ValueError(f"{url}: applications speak plain HTTP to their sidecar, which does the TLS: use http://")
        call = Call(method, url, headers, body, timeout)
        return await self._client.send(call, OUTBOUND, self.proxy.records)

    def __repr__(self) -> str:
        return f"<Workload {self.name} {self.address}>"


class Service:
    """A service of the mesh, with its workloads in order. Made by ``Mesh.service``."""

    def __init__(self, name: str, namespace: str, workloads: tuple[Workload, ...]) -> None:
        self.name = name
        self.namespace = namespace
        self.workloads = workloads

    def __iter__(self) -> Iterator[Workload]:
        return iter(self.workloads)

    def __getitem__(self, version: str) -> Workload:
        """The workload of a version: ``reviews["v2"]``."""
        wanted = f"{self.name}-{version}"
        for workload in self.workloads:
            if workload.name in (wanted, version):
                return workload
        raise KeyError(version)

    @property
    def workload(self) -> Workload:
        """The first one."""
        return self.workloads[0]

    @property
    def app(self) -> FakeApp:
        """The first one's application."""
        return self.workload.app

    @property
    def sidecar(self) -> ProxyProcess:
        """The first one's sidecar."""
        return self.workload.proxy

    @property
    def requests(self) -> list[Received]:
        """What all its applications were asked, in the order of time."""
        return sorted((each for workload in self for each in workload.requests), key=lambda each: each.at)

    def behave(self, script: Script) -> None:
        """Let every application of it answer so from now on."""
        for workload in self:
            workload.app.behave(script)

    def __repr__(self) -> str:
        return f"<Service {self.namespace}/{self.name} {[each.name for each in self]}>"


class Outsider:
    """A machine without a sidecar: a browser, a stranger. Made by ``Mesh.outsider``."""

    def __init__(self, ip: str, client: Client, contexts: Callable[[str], ssl.SSLContext]) -> None:
        self.ip = ip
        self._client = client
        self._contexts = contexts

    async def call(
        self,
        method: str,
        url: str,
        *,
        to: Address | Workload | Gateway | None = None,
        headers: Fields = (),
        body: bytes = b"",
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - virtual seconds of a client that gives up
        trust: str = "",
    ) -> Answer:
        """A request straight to an address.

        Args:
            method: In capitals.
            url: Its host becomes the Host header.
            to: Where to connect: an address, a gateway (at the URL's port), or a workload (at its application's
                port, past its sidecar); None takes the URL's own host, which is then an IP address.
            headers: Header fields.
            body: The body.
            timeout: Seconds until the client gives up.
            trust: For ``https``: the roots to trust, PEM.

        Raises:
            DeadlineExceeded: the client gave up.
            MeshdError: the connection was refused or broke.
        """
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme, 80)
        context = self._contexts(trust) if parts.scheme == "https" else None
        call = Call(method, url, headers, body, timeout, context)
        match to:
            case Gateway():
                return await self._client.send(call, Address(to.ip, to.ports.get(port, port)), to.proxy.records)
            case Workload():
                return await self._client.send(call, to.address)
        return await self._client.send(call, to or Address(parts.hostname or "", port))


class Gateway:
    """A gateway of the mesh. Made by ``Mesh.gateway``."""

    def __init__(self, ip: str, proxy: ProxyProcess, ports: Mapping[int, int], outsider: Outsider) -> None:
        self.ip = ip
        self.proxy = proxy
        self.ports = ports
        """From a Gateway server's port to where it is bound, where that differs."""
        self._outsider = outsider

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Fields = (),
        body: bytes = b"",
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - as Outsider.call
        trust: str = "",
    ) -> Answer:
        """A request from outside, as ``Outsider.call``: the URL's port is the Gateway server's."""
        return await self._outsider.call(method, url, to=self, headers=headers, body=body, timeout=timeout, trust=trust)


async def start_app(nursery: trio.Nursery, workload: Workload, host: str) -> None:
    """Let a workload's application listen on its machine."""
    await nursery.start(workload.app.serve, workload._machine, Address(host, workload.address.port))
