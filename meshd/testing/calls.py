"""Requests as an application makes them, and what its proxy knows of them."""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Callable
from urllib.parse import urlsplit

import attrs
import trio

from meshd.errors import DeadlineExceeded
from meshd.http.h1 import H1ClientConnection
from meshd.http.head import RequestHead, ResponseHead
from meshd.net.address import Address
from meshd.net.connection import Connection, Network
from meshd.net.tls import wrap_client
from meshd.policy.exchange import Exchange
from meshd.testing.fields import Fields, FieldView, headers_of

TIMEOUT = 300.0
"""Virtual seconds after which an application gives a call up, unless the test says otherwise."""
KEEP = 60.0
"""Seconds that an application keeps an idle connection: much less than its sidecar does, as pools are wont to."""
RECORDS_KEPT = 10_000
MICROSECONDS = 6
"""Digits to which durations are rounded: sums of floats are then what a test writes down."""


@attrs.frozen
class AccessRecord:
    """What a proxy knows of a request once it is over: its access log line, as values."""

    at: float
    """When it began, on trio's clock."""
    took: float
    direction: str
    """``outbound``, ``inbound`` or ``gateway``."""
    method: str
    path: str
    host: str
    status: int
    flags: tuple[str, ...]
    """Response flags, as ``("UT",)``."""
    detail: str
    """Envoy's response code details: ``via_upstream``, ``route_not_found``, ``rbac_access_denied...``."""
    reason: str
    """In words, for answers that meshd itself made."""
    attempts: int
    """How many times a backend was tried."""
    cluster: str
    route: str
    virtual_host: str
    endpoint: str
    """``host:port`` of the backend that was used last, "" for none."""
    principal: str
    """The caller's SPIFFE id without ``spiffe://``, "" without mutual TLS."""
    mtls: bool
    """Mutual TLS on the way in."""
    upstream_mtls: bool
    """Mutual TLS on the way out."""
    request_id: str

    @classmethod
    def of(cls, exchange: Exchange, now: float) -> AccessRecord:
        """The record of an exchange that has just ended."""
        request, connection = exchange.request, exchange.connection
        return cls(
            at=exchange.started,
            took=round(now - exchange.started, MICROSECONDS),
            direction=connection.direction.value,
            method=request.method.decode("latin-1"),
            path=(exchange.original_path or request.target).decode("latin-1"),
            host=request.authority.decode("latin-1"),
            status=exchange.status,
            flags=tuple(flag.value for flag in exchange.flags),
            detail=exchange.detail or ("via_upstream" if exchange.upstream_host and exchange.status else ""),
            reason=exchange.reason,
            attempts=exchange.attempts,
            cluster=exchange.cluster,
            route=exchange.route.name if exchange.route is not None else "",
            virtual_host=exchange.virtual_host,
            endpoint=exchange.upstream_host,
            principal=connection.principal,
            mtls=connection.mtls,
            upstream_mtls=exchange.upstream_mtls,
            request_id=exchange.request_id.decode("latin-1"),
        )


class Records:
    """The records of one proxy, in the order in which its exchanges ended; the last 10,000 are kept."""

    def __init__(self) -> None:
        # The whole mutable state: what is kept, and who waits for the next record of a connection.
        self._kept: deque[AccessRecord] = deque(maxlen=RECORDS_KEPT)
        self._waiting: dict[Address, Expected] = {}

    def observe(self, exchange: Exchange, now: float) -> None:
        """Take up an exchange that has ended (``ProxyWorld.observe``)."""
        record = AccessRecord.of(exchange, now)
        self._kept.append(record)
        expected = self._waiting.pop(exchange.connection.peer, None)
        if expected is not None:
            expected.record = record
            expected.there.set()

    def expect(self, client: Address) -> Expected:
        """Say that a request is about to be made from this client's address."""
        expected = self._waiting[client] = Expected()
        return expected

    def forget(self, client: Address) -> None:
        """Expect it no longer."""
        self._waiting.pop(client, None)

    @property
    def all(self) -> tuple[AccessRecord, ...]:
        """Those that are kept."""
        return tuple(self._kept)


@attrs.define(eq=False)
class Expected:
    """The record that a request will leave. Made by ``Records.expect``."""

    there: trio.Event = attrs.field(factory=trio.Event)
    record: AccessRecord | None = None


@attrs.frozen
class Answer:
    """A response as the application got it, and what its proxy knows of it (empty when there was no proxy)."""

    status: int
    headers: FieldView
    body: bytes
    took: float
    """Virtual seconds from the call to the last byte."""
    served_by: str = ""
    """The workload that answered (or its sidecar), as ``reviews-v2``; "" when it was the calling proxy itself."""
    record: AccessRecord | None = attrs.field(default=None, repr=False)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def attempts(self) -> int:
        """How many times the calling proxy tried a backend."""
        return self.record.attempts if self.record else 0

    @property
    def flags(self) -> tuple[str, ...]:
        """The calling proxy's response flags."""
        return self.record.flags if self.record else ()

    @property
    def detail(self) -> str:
        """The calling proxy's response code details."""
        return self.record.detail if self.record else ""

    @property
    def reason(self) -> str:
        """Why meshd answered itself, in words: its ``x-meshd-reason``, or the calling proxy's own."""
        return self.headers.get("x-meshd-reason") or (self.record.reason if self.record else "")

    @property
    def cluster(self) -> str:
        """Where the calling proxy sent it."""
        return self.record.cluster if self.record else ""

    @property
    def route(self) -> str:
        """The name of the route that was taken."""
        return self.record.route if self.record else ""

    @property
    def mtls(self) -> bool:
        """Did the calling proxy speak mutual TLS with the backend?"""
        return self.record is not None and self.record.upstream_mtls


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


class Client:
    """Makes requests from one machine over kept-alive connections, as applications do."""

    def __init__(self, network: Network, name_of: Callable[[str], str]) -> None:
        """Put it together.

        Args:
            network: The machine.
            name_of: From an endpoint ``host:port`` to the workload there, "" when there is none.
        """
        self._network = network
        self._name_of = name_of
        # The whole mutable state: connections that are free.
        self._free: dict[tuple[Address, str], list[H1ClientConnection]] = {}

    async def send(self, call: Call, to: Address, records: Records | None = None) -> Answer:
        """Make a request.

        Args:
            call: The request.
            to: Where to connect.
            records: Of the proxy that is there.

        Raises:
            DeadlineExceeded: it took longer than ``call.timeout``.
            MeshdError: the connection was refused or broke, as the application sees it.
        """
        began = trio.current_time()
        with trio.move_on_after(call.timeout):
            client = await self._connection(call, to)
            here = client.connection.local
            expected = records.expect(here) if records is not None else None
            try:
                head, body = await self._exchange(client, call)
                took = round(trio.current_time() - began, MICROSECONDS)
                if expected is not None:
                    # A proxy that was killed meanwhile leaves no record.
                    with trio.move_on_after(1):
                        await expected.there.wait()
            finally:
                if records is not None:
                    records.forget(here)
            record = expected.record if expected is not None else None
            answered = record is not None and record.detail == "via_upstream"
            served_by = self._name_of(record.endpoint) if record is not None and answered else ""
            return Answer(head.status, FieldView(head.headers), body, took, served_by, record)
        raise DeadlineExceeded(f"{call.method} {call.url}: {call.timeout:g} seconds")

    def close(self) -> None:
        """Close the connections that are free."""
        for clients in self._free.values():
            for client in clients:
                client.close()
        self._free.clear()

    async def _exchange(self, client: H1ClientConnection, call: Call) -> tuple[ResponseHead, bytes]:
        stream = client.open()
        try:
            await stream.send_head(request_head(call), call.body, end=True)
            head = await stream.receive_head()
            pieces = []
            while not stream.body.ended:
                pieces.append(await stream.body.receive())
        finally:
            stream.finish()
        self._keep(client, call)
        return head, b"".join(pieces)

    async def _connection(self, call: Call, to: Address) -> H1ClientConnection:
        free = self._free.setdefault((to, call.url.partition("://")[0]), [])
        while free:
            client = free.pop()
            if client.is_available() and trio.current_time() - client.idle_since < KEEP:
                return client
            client.close()
        connection: Connection = await self._network.connect(to)
        if call.context is not None:
            host = urlsplit(call.url).hostname or ""
            connection = await wrap_client(connection, call.context, server_hostname=host)
        return H1ClientConnection(connection)

    def _keep(self, client: H1ClientConnection, call: Call) -> None:
        # Behind another name or another trust one begins anew: TLS connections are not shared.
        if client.is_available() and call.context is None:
            to = client.connection.peer
            self._free.setdefault((to, call.url.partition("://")[0]), []).append(client)
        elif call.context is not None:
            client.close()


def request_head(call: Call) -> RequestHead:
    """The head of a call.

    Raises:
        ValueError: its URL is none.
    """
    parts = urlsplit(call.url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"{call.url!r} is no URL: expected http://SERVICE[:PORT]/PATH")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return RequestHead(
        call.method.encode(),
        target.encode(),
        parts.netloc.encode(),
        headers_of(call.headers),
        length=len(call.body),
        scheme=parts.scheme.encode(),
    )
