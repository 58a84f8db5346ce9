"""Requests as an application makes them."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

import attrs
import trio
import trio.testing

from meshd.errors import DeadlineExceeded
from meshd.http.h1 import H1ClientConnection
from meshd.http.h2 import connect_h2
from meshd.http.head import RequestHead, ResponseHead
from meshd.http.stream import ClientConnection
from meshd.net.address import Address
from meshd.net.connection import Connection, Network
from meshd.net.timers import Timers
from meshd.net.tls import wrap_client
from meshd.testing.answer import Answer
from meshd.testing.fields import Fields, FieldView, headers_of
from meshd.testing.records import MICROSECONDS, Journal, Records

TIMEOUT = 300.0
"""Virtual seconds after which an application gives a call up, unless the test says otherwise."""
KEEP = 60.0
"""Seconds that an application keeps an idle connection: much less than its sidecar does, as pools are wont to."""
PROTOCOLS = ("http", "h2", "grpc")
EXAMPLE = "GET http://reviews/reviews/0"


@attrs.frozen
class Call:
    """A request to be made."""

    method: str
    url: str
    headers: Fields = ()
    body: bytes = b""
    timeout: float = TIMEOUT
    context: ssl.SSLContext | None = None
    """For ``https``: whom to trust."""
    protocol: str = "http"
    """``http`` (HTTP/1.1), ``h2``, or ``grpc``, which is ``h2`` with the fields that gRPC wants."""

    @classmethod
    def of(cls, request: str, url: str = "", **more: object) -> Call:
        """A call as tests write it: ``"GET http://reviews/"``, or method and URL apart.

        Raises:
            ValueError: that is no request; says how one is written.
        """
        method, _, rest = request.strip().partition(" ")
        if url and rest:
            raise ValueError(f"{request!r} has a URL already; write {EXAMPLE!r}, or method and URL apart")
        url = url or rest.strip()
        if "://" in method or not method.isupper() or not url:
            raise ValueError(
                f"{f'{request} {url}'.strip()!r} is no request: expected a method and a URL, as in {EXAMPLE!r}"
            )
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"{url!r} is no URL: expected http://SERVICE[:PORT]/PATH, as in {EXAMPLE!r}")
        call = cls(method, url, **more)  # type: ignore[arg-type]
        if call.protocol not in PROTOCOLS:
            raise ValueError(f"{call.protocol!r} is no protocol of a call: it must be one of {', '.join(PROTOCOLS)}")
        return call

    @property
    def line(self) -> str:
        """``GET http://reviews/``."""
        return f"{self.method} {self.url}"

    def head(self) -> RequestHead:
        """The head of its request."""
        parts = urlsplit(self.url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = headers_of(self.headers)
        if self.protocol == "grpc":
            for name, value in ((b"te", b"trailers"), (b"content-type", b"application/grpc")):
                if headers.get(name) is None:
                    headers.set(name, value)
        return RequestHead(
            self.method.encode(),
            target.encode(),
            parts.netloc.encode(),
            headers,
            length=len(self.body),
            scheme=parts.scheme.encode(),
        )


@attrs.frozen(eq=False)
class Neighbours:
    """What a client knows of the mesh around it: who is behind an endpoint, and who got which request."""

    nursery: trio.Nursery
    """The mesh's: HTTP/2 connections live in it."""
    timers: Timers
    name_of: Callable[[str], tuple[str, str]]
    """From an endpoint ``host:port`` to the workload there and its service, ("", "") when there is none."""
    journal: Journal
    busy: Callable[[], str]
    """Who has a request and has not answered it, in words; "" when there is nobody."""


class Client:
    """Makes requests from one machine over kept-alive connections, as applications do."""

    def __init__(self, network: Network, neighbours: Neighbours) -> None:
        self._network = network
        self._neighbours = neighbours
        # The whole mutable state: connections that are free.
        self._free: dict[tuple[Address, str], list[H1ClientConnection]] = {}

    async def send(self, call: Call, to: Address, records: Records | None = None) -> Answer:
        """Make a request. When it returns, all that happens at this moment of virtual time has happened.

        Args:
            call: The request.
            to: Where to connect.
            records: Of the proxy that is there.

        Raises:
            DeadlineExceeded: it took longer than ``call.timeout``.
            MeshdError: the connection was refused or broke, as the application sees it.
        """
        with trio.move_on_after(call.timeout):
            return await self._send(call, to, records)
        busy = self._neighbours.busy()
        raise DeadlineExceeded(f"{f'{busy}; ' if busy else ''}{call.line}: {call.timeout:g} virtual seconds")

    async def _send(self, call: Call, to: Address, records: Records | None) -> Answer:
        began = trio.current_time()
        client = await self._connection(call, to)
        here = client.connection.local
        expected = records.expect(here) if records is not None else None
        try:
            head, body, trailers = await _exchange(client, call)
            took = round(trio.current_time() - began, MICROSECONDS)
            if expected is not None:
                # A proxy that was killed meanwhile leaves no record.
                with trio.move_on_after(1):
                    await expected.there.wait()
        finally:
            self._put_back(client, call, to)
            if records is not None:
                records.forget(here)
        await trio.testing.wait_all_tasks_blocked()
        record = expected.record if expected is not None else None
        answered = record is not None and record.detail == "via_upstream"
        served_by, service = self._neighbours.name_of(record.endpoint) if record is not None and answered else ("", "")
        hosts = self._neighbours.journal.hosts(record.request_id) if record is not None else ()
        return Answer(
            head.status, FieldView(head.headers), body, took, served_by, record, hosts, trailers, call.line, "", service
        )

    async def connect(self, to: Address) -> Connection:
        """A plain connection.

        Raises:
            MeshdError: it was refused.
        """
        return await self._network.connect(to)

    def close(self) -> None:
        """Close the connections that are free."""
        for clients in self._free.values():
            for client in clients:
                client.close()
        self._free.clear()

    async def _connection(self, call: Call, to: Address) -> ClientConnection:
        if call.protocol == "http":
            return self._take(call, to) or H1ClientConnection(await self._connect(call, to))
        around = self._neighbours
        return await connect_h2(await self._connect(call, to), around.nursery, timers=around.timers)

    def _put_back(self, client: ClientConnection, call: Call, to: Address) -> None:
        # Behind another name or another trust one begins anew: TLS connections are not shared.
        if isinstance(client, H1ClientConnection) and client.is_available() and call.context is None:
            self._free.setdefault((to, call.url.partition("://")[0]), []).append(client)
        else:
            client.close()

    def _take(self, call: Call, to: Address) -> H1ClientConnection | None:
        free = self._free.get((to, call.url.partition("://")[0]), [])
        while free:
            client = free.pop()
            if client.is_available() and trio.current_time() - client.idle_since < KEEP:
                return client
            client.close()
        return None

    async def _connect(self, call: Call, to: Address) -> Connection:
        connection: Connection = await self._network.connect(to)
        if call.context is not None:
            host = urlsplit(call.url).hostname or ""
            connection = await wrap_client(connection, call.context, server_hostname=host)
        return connection


async def _exchange(client: ClientConnection, call: Call) -> tuple[ResponseHead, bytes, FieldView]:
    stream = client.open()
    try:
        await stream.send_head(call.head(), call.body, end=True)
        head = await stream.receive_head()
        pieces = []
        while not stream.body.ended:
            pieces.append(await stream.body.receive())
        trailers = FieldView(stream.body.trailers)
    finally:
        stream.finish()
    return head, b"".join(pieces), trailers
