"""An HTTP client for meshd's own needs: the agent, the command line, the demo, tests.

HTTP/1.1, kept-alive connections, TLS if given, everything bounded: the caller
says how long a request may take in all and how large an answer may be. It
follows no redirects and keeps no cookies. The proxy's upstream side does not
use it: it has pools of its own over the same codec.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import attrs
import trio

from meshd.errors import ConfigError, ConnectionLost, DeadlineExceeded, MeshdError, ProtocolError, UpstreamError
from meshd.http.h1 import H1ClientConnection
from meshd.http.h1_client_stream import H1ClientStream
from meshd.http.head import Headers, RequestHead, ResponseHead
from meshd.http.limits import MIB, SECONDS, HttpLimits
from meshd.net.address import Address
from meshd.net.connection import Connection, Network, Resolver, TlsInfo
from meshd.net.timers import Timers
from meshd.net.tls import Verify, wrap_client

MAX_BODY = 16 * MIB
"""The largest answer unless the caller says otherwise."""
MAX_IDLE = 4
"""Idle connections kept for each origin."""
KEEP = 30 * SECONDS
"""How long an idle connection is kept: less than the idle time of servers one meets (Node 5 s is the exception)."""
_SAFE_TO_REPEAT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))
"""Idempotent (RFC 9110 section 9.2.2): tried again when a kept connection turns out to be dead."""


Origin = tuple[str, str, int]
"""Scheme, host, port."""


@attrs.frozen
class ClientTls:
    """How to speak TLS with one host.

    ``context`` is an ``ssl.SSLContext`` for clients (its ALPN must not offer
    ``h2``); ``verify`` judges the peer after the handshake; ``server_name`` is
    sent as SNI, the URL's host when empty.
    """

    context: ssl.SSLContext
    verify: Verify | None = None
    server_name: str = ""


@attrs.frozen
class ClientResponse:
    """An answer, complete."""

    status: int
    headers: Headers
    body: bytes = attrs.field(repr=False)
    tls: TlsInfo | None = None
    """What the handshake had established; None without TLS."""


class StreamingResponse:
    """An answer whose body is still coming. Made by ``HttpClient.stream``, which ends it."""

    __slots__ = ("_body", "headers", "status", "tls")

    def __init__(self, head: ResponseHead, stream: H1ClientStream) -> None:
        self.status = head.status
        self.headers = head.headers
        self.tls = stream.connection.tls
        self._body = stream.body

    async def receive(self) -> bytes:
        """The next piece of the body; b"" at its end.

        Raises:
            MeshdError: the body is cut or broken.
        """
        return await self._body.receive()

    async def read(self, max_body: int) -> bytes:
        """The whole of the body.

        Raises:
            ProtocolError: it is larger than ``max_body``.
        """
        pieces: list[bytes] = []
        size = 0
        while piece := await self._body.receive():
            size += len(piece)
            if size > max_body:
                raise ProtocolError(f"an answer of more than {max_body} bytes", status=502, detail="body_too_large")
            pieces.append(piece)
        return b"".join(pieces)


class HttpClient:
    """Makes requests over connections that it keeps. Whoever makes it closes it.

    Args:
        network: Where connections come from.
        resolver: Names to addresses.
        timers: For closing idle connections; its ``run`` must be running.
        tls: Asked at every new ``https`` connection how to speak TLS with a host, so
            that it is always the certificate of now. Without it ``https`` is refused.
        limits: Bounds of heads.
    """

    def __init__(
        self,
        network: Network,
        resolver: Resolver,
        timers: Timers,
        *,
        tls: Callable[[str], ClientTls] | None = None,
        limits: HttpLimits | None = None,
    ) -> None:
        # The whole mutable state: idle connections by origin.
        self._idle: dict[Origin, list[H1ClientConnection]] = {}
        self._network = network
        self._resolver = resolver
        self._timers = timers
        self._tls = tls
        self._limits = limits or HttpLimits()

    async def request(
        self,
        method: str,
        url: str,
        *,
        timeout: float,  # noqa: ASYNC109 - one number for the whole request, which the caller knows best
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        max_body: int = MAX_BODY,
    ) -> ClientResponse:
        """Make a request and read its answer.

        Args:
            method: In capitals.
            url: ``http://`` or ``https://``.
            timeout: Seconds for all of it, from resolving the name to the answer's last byte.
            headers: More headers (not Host, nor anything about framing).
            body: To send.
            max_body: Bytes the answer may have.

        Raises:
            DeadlineExceeded: it took too long.
            ConfigError: the URL cannot be used.
            MeshdError: the server cannot be reached, is not who it should be, or does not answer as HTTP/1.1.
        """
        async with self.stream(method, url, timeout=timeout, headers=headers, body=body) as response:
            content = await response.read(max_body)
        return ClientResponse(response.status, response.headers, content, response.tls)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        timeout: float,  # noqa: ASYNC109 - one number for the whole request, which the caller knows best
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> AsyncIterator[StreamingResponse]:
        """As ``request``, with the body to be received piece by piece inside the block; ``timeout`` covers the block."""
        origin, head = _request_head(method, url, headers, len(body))
        with trio.move_on_after(timeout):
            client, stream, answer = await self._exchange(origin, head, body)
            try:
                yield StreamingResponse(answer, stream)
            finally:
                stream.finish()
                self._keep(origin, client)
            return
        raise DeadlineExceeded(f"{method} {url}: {timeout:g} seconds")

    def close(self) -> None:
        """Close idle connections, as after a change of certificates; requests under way go on."""
        for idle in self._idle.values():
            for client in idle:
                client.connection.on_hangup = None
                client.close()
        self._idle.clear()

    async def _exchange(
        self, origin: Origin, head: RequestHead, body: bytes
    ) -> tuple[H1ClientConnection, H1ClientStream, ResponseHead]:
        while True:
            client = self._take(origin)
            kept = client is not None
            if client is None:
                client = H1ClientConnection(await self._connect(origin), limits=self._limits)
                self._expire_later(origin, client, KEEP)
            stream = client.open()
            try:
                await stream.send_head(head, body, end=True)
                return client, stream, await stream.receive_head()
            except UpstreamError:
                stream.finish()
                # A kept connection may have died just now; a new one tells the truth.
                if not kept or head.method not in _SAFE_TO_REPEAT:
                    raise
            except BaseException:
                stream.finish()
                raise

    async def _connect(self, origin: Origin) -> Connection:
        scheme, host, port = origin
        if scheme == "https" and self._tls is None:
            raise ConfigError(f"https://{host}:{port}: this client was given no way to speak TLS")
        failure: MeshdError = ConnectionLost(f"{host}: no address")
        for literal in await self._resolver.resolve(host):
            try:
                connection = await self._network.connect(Address(literal, port))
            except ConnectionLost as error:
                failure = error
                continue
            if self._tls is None or scheme == "http":
                return connection
            tls = self._tls(host)
            return await wrap_client(
                connection, tls.context, server_hostname=tls.server_name or host, verify=tls.verify
            )
        raise failure

    def _take(self, origin: Origin) -> H1ClientConnection | None:
        idle = self._idle.get(origin, [])
        while idle:
            client = idle.pop()
            client.connection.on_hangup = None
            if client.is_available():
                return client
        return None

    def _keep(self, origin: Origin, client: H1ClientConnection) -> None:
        if not client.is_available():
            return
        idle = self._idle.setdefault(origin, [])
        idle.append(client)
        client.connection.on_hangup = lambda: self._drop(origin, client)
        if len(idle) > MAX_IDLE:
            self._drop(origin, idle[0])

    def _expire_later(self, origin: Origin, client: H1ClientConnection, seconds: float) -> None:
        """One timer per connection looks whether it has been idle for too long."""
        self._timers.after(seconds, lambda: self._expire(origin, client))

    def _expire(self, origin: Origin, client: H1ClientConnection) -> None:
        idle_for = trio.current_time() - client.idle_since
        if not client.is_idle():
            self._expire_later(origin, client, KEEP)
        elif idle_for >= KEEP:
            self._drop(origin, client)
        elif not client.is_closed():
            self._expire_later(origin, client, KEEP - idle_for)

    def _drop(self, origin: Origin, client: H1ClientConnection) -> None:
        idle = self._idle.get(origin, [])
        if client in idle:
            idle.remove(client)
            if not idle:
                del self._idle[origin]
            client.connection.on_hangup = None
            client.close()


def _request_head(method: str, url: str, headers: Iterable[tuple[str, str]], length: int) -> tuple[Origin, RequestHead]:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise ConfigError(f"{url!r} is no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or not url.isascii():
        raise ConfigError(f"{url!r} is no URL to send a request to: expected http://HOST[:PORT]/PATH")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    head = RequestHead(
        method.encode(),
        target.encode(),
        parts.netloc.encode(),
        Headers.of([(name.lower().encode(), value.encode()) for name, value in headers]),
        length=length,
        scheme=parts.scheme.encode(),
    )
    return (parts.scheme, parts.hostname, port), head
