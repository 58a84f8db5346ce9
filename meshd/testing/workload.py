"""Who takes part in a mesh inside a test: services with their workloads, gateways, and strangers."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs

from meshd.api.convert import suggestion
from meshd.modes.settings import ServiceBind
from meshd.net.address import Address
from meshd.net.connection import Connection
from meshd.testing.answer import Answer
from meshd.testing.app import FakeApp, Received, Script
from meshd.testing.calls import TIMEOUT, Call, Client
from meshd.testing.cast import Nobody
from meshd.testing.fields import Fields
from meshd.testing.proxies import INBOUND_PORT, OUTBOUND, ProxyProcess

DEFAULT_PORTS = {"http": 80, "https": 443}

Wait = Callable[[], Awaitable[None]]
"""Waits until everybody who takes part is ready and runs what is in the store; at once when they do."""


class Workload:
    """One instance of a service: a machine with an application and, as a rule, a sidecar. Made by ``Mesh.service``."""

    def __init__(self, name: str, address: Address, client: Client, ready: Wait) -> None:
        """Put it together; ``app`` and ``sidecar`` are set by the mesh.

        Args:
            name: ``reviews-v2``.
            address: Of the application, as other machines see it.
            client: Makes the application's requests.
            ready: Is awaited before each of them.
        """
        self.name = name
        self.address = address
        self.app: FakeApp
        self.sidecar: ProxyProcess | None = None
        self.binds: dict[str, ServiceBind] = {}
        """The local ports of services, by what the test calls them: ``db:5432``."""
        self._client = client
        self._ready = ready

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
        request: str,
        url: str = "",
        *,
        headers: Fields = (),
        body: bytes | str = b"",
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - virtual seconds of an application that gives up
        protocol: str = "http",
    ) -> Answer:
        """A request of its application, through its sidecar: ``await workload.call("GET http://reviews/")``.

        Args:
            request: Method and URL, whose host is a service; or the method alone.
            url: The URL, when ``request`` is the method alone.
            headers: Header fields.
            body: The body.
            timeout: Virtual seconds until the application gives up.
            protocol: ``http``, ``h2``, or ``grpc`` (``h2`` with the fields that gRPC wants).

        Raises:
            DeadlineExceeded: the application gave up.
            MeshdError: the connection to the sidecar was refused or broke.
            ValueError: that is no request.
        """
        call = Call.of(request, url, headers=headers, body=_bytes(body), timeout=timeout, protocol=protocol)
        if call.url.startswith("https:"):
            raise ValueError(
                f"{call.url}: applications speak plain HTTP to their sidecar, which does the TLS: use http://"
            )
        await self._ready()
        return await self._client.send(call, OUTBOUND, self.proxy.records)

    async def connect(self, service: str) -> Connection:
        """A connection of its application that is not HTTP, through its sidecar: ``await workload.connect("db:5432")``.

        Args:
            service: One of those for which it was given a local port (``binds`` of ``Mesh.service``).

        Raises:
            KeyError: it has none for this one.
            MeshdError: the connection to the sidecar was refused.
        """
        bind = self.binds.get(service)
        if bind is None:
            known = suggestion(service, self.binds) if self.binds else ""
            raise Nobody(
                f"{self.name} has no local port for {service!r}{known}: mesh.service(..., binds=[{service!r}])"
            )
        await self._ready()
        return await self._client.connect(bind.address)

    def __repr__(self) -> str:
        return f"<Workload {self.name} {self.address}>"


class Service:
    """A service of the mesh, with its workloads in order. Made by ``Mesh.service``.

    It joins in the background; ``await`` it to see it join. A call waits for it anyway.
    """

    def __init__(self, name: str, namespace: str, workloads: tuple[Workload, ...], ready: Wait) -> None:
        self.name = name
        self.namespace = namespace
        self.workloads = workloads
        self._ready = ready

    def __await__(self) -> Generator[Any, None, Service]:
        """Wait until it has joined and every proxy knows it."""
        yield from self._ready().__await__()
        return self

    def __iter__(self) -> Iterator[Workload]:
        return iter(self.workloads)

    def __getitem__(self, version: str) -> Workload:
        """The workload of a version: ``reviews["v2"]``."""
        wanted = f"{self.name}-{version}"
        for workload in self.workloads:
            if workload.name in (wanted, version):
                return workload
        names = [workload.name for workload in self.workloads]
        raise Nobody(f"{self.name} has no version {version!r}{suggestion(wanted, names)}")

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

    def __init__(self, ip: str, client: Client, contexts: Callable[[str], ssl.SSLContext], ready: Wait) -> None:
        self.ip = ip
        self._client = client
        self._contexts = contexts
        self._ready = ready

    async def call(
        self,
        request: str,
        url: str = "",
        *,
        to: Address | Workload | Gateway | None = None,
        headers: Fields = (),
        body: bytes | str = b"",
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - virtual seconds of a client that gives up
        protocol: str = "http",
        trust: str = "",
    ) -> Answer:
        """A request straight to an address.

        Args:
            request: Method and URL, whose host becomes the Host header; or the method alone.
            url: The URL, when ``request`` is the method alone.
            to: Where to connect: an address, a gateway (at the URL's port), or a workload (at its application's
                port, past its sidecar); None takes the URL's own host, which is then an IP address.
            headers: Header fields.
            body: The body.
            timeout: Seconds until the client gives up.
            protocol: ``http``, ``h2`` or ``grpc``.
            trust: For ``https``: the roots to trust, PEM.

        Raises:
            DeadlineExceeded: the client gave up.
            MeshdError: the connection was refused or broke.
            ValueError: that is no request.
        """
        more = {"headers": headers, "body": _bytes(body), "timeout": timeout, "protocol": protocol}
        call = Call.of(request, url, **more)
        parts = urlsplit(call.url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme, 80)
        if parts.scheme == "https":
            call = attrs.evolve(call, context=self._contexts(trust))
        await self._ready()
        match to:
            case Gateway():
                return await self._client.send(call, Address(to.ip, to.ports.get(port, port)), to.proxy.records)
            case Workload():
                return await self._client.send(call, to.address)
        return await self._client.send(call, to or Address(parts.hostname or "", port))


class Gateway:
    """A gateway of the mesh. Made by ``Mesh.gateway``; joins in the background, as a ``Service``."""

    def __init__(self, name: str, ip: str, proxy: ProxyProcess, ports: Mapping[int, int], outsider: Outsider) -> None:
        self.name = name
        self.ip = ip
        self.proxy = proxy
        self.ports = ports
        """From a Gateway server's port to where it is bound, where that differs."""
        self._outsider = outsider

    def __await__(self) -> Generator[Any, None, Gateway]:
        """Wait until it is ready and runs what is in the store."""
        yield from self._outsider._ready().__await__()
        return self

    async def call(
        self,
        request: str,
        url: str = "",
        *,
        headers: Fields = (),
        body: bytes | str = b"",
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - as Outsider.call
        protocol: str = "http",
        trust: str = "",
    ) -> Answer:
        """A request from outside, as ``Outsider.call``: the URL's port is the Gateway server's."""
        return await self._outsider.call(
            request, url, to=self, headers=headers, body=body, timeout=timeout, protocol=protocol, trust=trust
        )

    def __repr__(self) -> str:
        return f"<Gateway {self.name} {self.ip}>"


def _bytes(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else body
