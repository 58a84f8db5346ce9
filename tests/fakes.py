"""Fakes for tests over any ``Network``: backends with scripted behaviours, and a small client.

    upstream = FakeUpstream("v1")                    # answers 200 with its name
    upstream.script(reset(), answer(503), answer())  # then: a reset, a 503, and from then on 200
    await nursery.start(upstream.run, network, Address("10.0.0.1", 80))

    client = FakeClient(network)
    got = await client.get(Address("127.0.0.1", 8080), "/x", host="example.com")
    assert (got.status, got.body) == (200, b"v1")

Nothing here sleeps or uses a thread; on ``MockClock`` everything is exact.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

import attrs
import trio

from meshd.errors import ConnectionLost, MeshdError
from meshd.http.h1 import H1ClientConnection
from meshd.http.h2 import connect_h2
from meshd.http.head import Headers, RequestHead, ResponseHead
from meshd.http.server import Drain, serve_connection
from meshd.http.stream import ClientConnection, ClientStream, ServerStream
from meshd.net.address import Address
from meshd.net.connection import Connection, Network
from meshd.net.timers import Timers
from meshd.net.tls import Verify, wrap_client, wrap_server

Items = Iterable[tuple[bytes, bytes]]


@attrs.define(eq=False)
class Received:
    """A request as a backend got it."""

    at: float
    method: bytes
    target: bytes
    authority: bytes
    headers: Headers
    version: str
    peer_uri: str
    server: bytes
    """The backend's name."""
    body: bytes = b""
    whole: bool = False
    """The body came to its end."""
    trailers: Headers | None = None


Behaviour = Callable[[ServerStream, Received], Awaitable[None]]


def answer(
    status: int = 200,
    body: bytes | None = None,
    headers: Items = (),
    *,
    trailers: Items = (),
    delay: float = 0.0,
) -> Behaviour:
    """Read the request to its end, wait ``delay`` seconds, answer; ``body`` None is the backend's name."""

    async def behave(stream: ServerStream, received: Received) -> None:
        await read_body(stream, received)
        if delay:
            await trio.sleep(delay)
        data = received.server if body is None else body
        head = ResponseHead(status, Headers.of(headers), length=None if trailers else len(data))
        if trailers:
            await stream.respond(head, data, end=False)
            await stream.send_trailers(Headers.of(trailers))
        else:
            await stream.respond(head, data, end=True)

    return behave


def echo(headers: Items = ()) -> Behaviour:
    """Send the request's body back, piece by piece, as it arrives."""

    async def behave(stream: ServerStream, received: Received) -> None:
        await stream.respond(ResponseHead(200, Headers.of(headers), length=None), end=False)
        while not stream.body.ended:
            piece = await stream.body.receive()
            if piece:
                received.body += piece
                await stream.send(piece)
        received.whole = True
        await stream.send(b"", end=True)

    return behave


def early(status: int = 200, body: bytes = b"early") -> Behaviour:
    """Answer without reading the request's body."""

    async def behave(stream: ServerStream, received: Received) -> None:
        await stream.respond(ResponseHead(status, length=len(body)), body, end=True)

    return behave


def pieces(parts: Sequence[bytes], *, gap: float = 0.0, length: int | None = None, cut: bool = False) -> Behaviour:
    """Answer piece by piece, ``gap`` seconds apart; ``cut``: reset instead of ending."""

    async def behave(stream: ServerStream, received: Received) -> None:
        await read_body(stream, received)
        await stream.respond(ResponseHead(200, length=length), end=False)
        for part in parts:
            await stream.send(part)
            if gap:
                await trio.sleep(gap)
        if cut:
            stream.abort(ConnectionLost("cut"))
        else:
            await stream.send(b"", end=True)

    return behave


def reset(*, after_body: bool = True) -> Behaviour:
    """Reset before any response."""

    async def behave(stream: ServerStream, received: Received) -> None:
        if after_body:
            await read_body(stream, received)
        stream.abort(ConnectionLost("reset"))

    return behave


def hang() -> Behaviour:
    """Take the request and never answer; end when the client gives up."""

    async def behave(stream: ServerStream, received: Received) -> None:
        gone = trio.Event()
        stream.on_abort = lambda _error: gone.set()
        await read_body(stream, received)
        await gone.wait()
        raise ConnectionLost("the client gave up")

    return behave


async def read_body(stream: ServerStream, received: Received) -> None:
    """Take the rest of a request's body."""
    body = stream.body
    while not body.ended:
        received.body += await body.receive()
    received.whole = True
    received.trailers = body.trailers


class FakeUpstream:
    """A backend that records what it gets and does as it is told.

    ``requests`` are those whose head has come, in order; ``connections`` counts
    those accepted; ``open`` those open now.
    """

    def __init__(
        self,
        name: str = "upstream",
        behaviour: Behaviour | None = None,
        *,
        context: Callable[[], ssl.SSLContext] | None = None,
        verify: Verify | None = None,
    ) -> None:
        self.name = name
        self.default = behaviour or answer()
        self.requests: list[Received] = []
        self.connections = 0
        self.open = 0
        self.drain = Drain()
        self._context = context
        self._verify = verify
        self._script: deque[Behaviour] = deque()
        self._nursery: trio.Nursery | None = None
        self._scope = trio.CancelScope()

    def script(self, *behaviours: Behaviour) -> None:
        """What to do with the next requests; then the default again."""
        self._script.extend(behaviours)

    async def run(
        self,
        network: Network,
        address: Address,
        task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled or ``stop``ped; reports where."""
        listener = network.listen(address)
        timers = Timers()
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(timers.run)
                task_status.started(listener.address)
                try:
                    while True:
                        connection = await listener.accept()
                        nursery.start_soon(self._serve, connection, timers)
                finally:
                    listener.close()

    def stop(self) -> None:
        """Die at once: connections are reset, new ones refused."""
        self._scope.cancel()

    async def _serve(self, connection: Connection, timers: Timers) -> None:
        self.connections += 1
        self.open += 1
        try:
            if self._context is not None:
                connection = await wrap_server(connection, self._context(), verify=self._verify)
            await serve_connection(connection, self._handle, timers=timers, drain=self.drain)
        except MeshdError:
            pass
        except trio.Cancelled:
            connection.abort(ConnectionLost("stopped"))
            raise
        finally:
            self.open -= 1

    async def _handle(self, stream: ServerStream) -> None:
        request = stream.request
        tls = stream.connection.tls
        received = Received(
            trio.current_time(),
            request.method,
            request.target,
            request.authority,
            request.headers.copy(),
            request.version,
            tls.peer_uri if tls is not None else "",
            self.name.encode(),
        )
        self.requests.append(received)
        behaviour = self._script.popleft() if self._script else self.default
        await behaviour(stream, received)


class RawUpstream:
    """A backend that speaks bytes: ``behave`` gets each connection. ``received`` is everything that came."""

    def __init__(self, behave: Callable[[Connection, RawUpstream], Awaitable[None]]) -> None:
        self._behave = behave
        self.received = b""
        self.connections = 0

    async def run(
        self,
        network: Network,
        address: Address,
        task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled."""
        listener = network.listen(address)
        async with trio.open_nursery() as nursery:
            task_status.started(listener.address)
            try:
                while True:
                    connection = await listener.accept()
                    self.connections += 1
                    nursery.start_soon(self._serve, connection)
            finally:
                listener.close()

    async def _serve(self, connection: Connection) -> None:
        try:
            await self._behave(connection, self)
        except (MeshdError, trio.ClosedResourceError):
            pass
        finally:
            connection.close()

    async def read_head(self, connection: Connection) -> bytes:
        """Everything up to a blank line (what follows is read too, if it came along)."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = await connection.receive()
            if not more:
                raise ConnectionLost("no head")
            data += more
            self.received += more
        return data


@attrs.define(eq=False)
class Answer:
    """A response as a client got it."""

    status: int
    headers: Headers
    body: bytes
    trailers: Headers | None
    at: float
    """trio's clock when it was complete."""

    def header(self, name: str) -> str | None:
        """A header's value."""
        value = self.headers.get(name.encode())
        return None if value is None else value.decode()


class FakeClient:
    """Requests over a network. One instance reuses its connections (one per address, protocol and TLS context)."""

    def __init__(self, network: Network, nursery: trio.Nursery | None = None) -> None:
        """``nursery``: needed for HTTP/2, where a connection's reader lives in it."""
        self._network = network
        self._nursery = nursery
        self._timers = Timers()
        self._free: dict[object, list[ClientConnection]] = {}
        self._clocked = False

    async def get(self, address: Address, target: str = "/", **more: object) -> Answer:
        """A GET; see ``request``."""
        return await self.request(address, "GET", target, **more)  # type: ignore[arg-type]

    async def post(self, address: Address, target: str, body: bytes, **more: object) -> Answer:
        """A POST with a whole body; see ``request``."""
        return await self.request(address, "POST", target, body=body, **more)  # type: ignore[arg-type]

    async def request(
        self,
        address: Address,
        method: str,
        target: str,
        *,
        host: str = "example.com",
        headers: Items = (),
        body: bytes = b"",
        parts: Sequence[bytes] | None = None,
        trailers: Items = (),
        http2: bool = False,
        context: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> Answer:
        """One exchange. ``parts`` sends the body in pieces without a length.

        Raises:
            MeshdError: it did not come to its end.
        """
        client = await self.connection(address, http2=http2, context=context, server_name=server_name)
        stream = client.open()
        length = None if parts is not None or trailers else len(body)
        head = RequestHead(method.encode(), target.encode(), host.encode(), Headers.of(headers), length=length)
        try:
            if parts is None and not trailers:
                await stream.send_head(head, body, end=True)
            else:
                await stream.send_head(head, body, end=False)
                for part in parts or ():
                    await stream.send(part)
                if trailers:
                    await stream.send_trailers(Headers.of(trailers))
                else:
                    await stream.send(b"", end=True)
            got = await read_answer(stream)
        finally:
            stream.finish()
        if not client.is_closed():
            self._free.setdefault((address, http2, context), []).append(client)
        return got

    async def connection(
        self,
        address: Address,
        *,
        http2: bool = False,
        context: ssl.SSLContext | None = None,
        server_name: str | None = None,
        verify: Verify | None = None,
    ) -> ClientConnection:
        """A connection that is free, or a new one."""
        free = self._free.setdefault((address, http2, context), [])
        while free:
            client = free.pop()
            if client.is_available():
                return client
        connection: Connection = await self._network.connect(address)
        if context is not None:
            connection = await wrap_client(connection, context, server_hostname=server_name, verify=verify)
        if not http2:
            return H1ClientConnection(connection)
        assert self._nursery is not None, "HTTP/2 needs FakeClient(network, nursery)"
        if not self._clocked:
            self._clocked = True
            self._nursery.start_soon(self._timers.run)
        return await connect_h2(connection, self._nursery, timers=self._timers)


async def read_answer(stream: ClientStream) -> Answer:
    """The response of a stream, to its end."""
    head = await stream.receive_head()
    body = b""
    while not stream.body.ended:
        body += await stream.body.receive()
    return Answer(head.status, head.headers, body, stream.body.trailers, trio.current_time())
