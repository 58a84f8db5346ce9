"""A small HTTP server over a fixed table of paths: what admin, health and metrics ports are made of.

With ``names`` it answers only those who name it by one of them (a browser that
was led here by DNS rebinding names it otherwise), and only pages of its own.
Things are changed by POST alone.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from urllib.parse import parse_qs

import attrs
import trio

from meshd.errors import ConnectionLost, MeshdError
from meshd.http.head import Headers, RequestHead, ResponseHead
from meshd.http.limits import HttpLimits
from meshd.http.server import serve_connection
from meshd.http.serving import Drain
from meshd.http.stream import ServerStream
from meshd.net import connection as net
from meshd.net.address import is_ip_literal
from meshd.net.timers import Timers

_log = logging.getLogger(__name__)

SECONDS = 1.0

LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))
ADMIN_LIMITS = HttpLimits(idle_timeout=60 * SECONDS, header_timeout=10 * SECONDS, stream_idle_timeout=30 * SECONDS)
CONNECTIONS = 100
"""At once, per small server."""


@attrs.frozen
class Page:
    """An answer: small text, or pieces that are made as they are sent."""

    body: bytes | Iterable[bytes] = b""
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    allow: str = ""
    """The methods that would be right, with a 405 (RFC 9110 section 15.5.6)."""


Query = Mapping[str, str]
Handler = Callable[[Query], Page | Awaitable[Page]]


@attrs.frozen
class Action:
    """A handler, and whether it changes something (POST) or only looks (GET)."""

    handler: Handler
    changes: bool = False


@attrs.frozen
class Names:
    """By what a server may be called: names, and any IP literal when ``addresses`` (no DNS can lead anybody to those)."""

    hosts: frozenset[str] = LOOPBACK_NAMES
    addresses: bool = False

    def take(self, host: str) -> bool:
        """Is this one of them?"""
        return host in self.hosts or (self.addresses and is_ip_literal(host))


class SmallServer:
    """Answers a fixed table of paths. Made by ``modes``; ``serve`` belongs in the process's nursery."""

    def __init__(self, routes: Mapping[str, Action], timers: Timers, *, names: Names | None = None) -> None:
        """``names``: by which it may be called; None: any."""
        self._routes = routes
        self._timers = timers
        self._names = names
        # The whole mutable state.
        self._open = 0

    async def serve(
        self,
        listener: net.Listener,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve a listener until cancelled; closes it then."""
        drain = Drain()
        # A connection's failure is logged in its task and ends that connection alone.
        async with trio.open_nursery() as connections:
            task_status.started()
            try:
                while True:
                    connection = await listener.accept()
                    if self._open >= CONNECTIONS:
                        connection.close()
                        continue
                    self._open += 1
                    connections.start_soon(self._connection, connection, drain)
            except trio.ClosedResourceError:
                return
            finally:
                drain.begin()
                listener.close()

    async def _connection(self, connection: net.Connection, drain: Drain) -> None:
        try:
            await serve_connection(connection, self.handle, timers=self._timers, limits=ADMIN_LIMITS, drain=drain)
        except (MeshdError, OSError) as error:
            _log.debug("connection ended", extra={"reason": str(error)})
        finally:
            connection.close()
            self._open -= 1

    async def handle(self, stream: ServerStream) -> None:
        """Answer one request."""
        page = await self._page(stream.request)
        if stream.request.method == b"HEAD":
            page = attrs.evolve(page, body=b"")
        headers = Headers.of(
            [
                (b"content-type", page.content_type.encode()),
                (b"cache-control", b"no-cache, max-age=0"),
                (b"x-content-type-options", b"nosniff"),
            ],
        )
        if page.allow:
            headers.add(b"allow", page.allow.encode())
        if isinstance(page.body, bytes):
            await stream.respond(ResponseHead(page.status, headers, length=len(page.body)), page.body, end=True)
            return
        await stream.respond(ResponseHead(page.status, headers, length=None), end=False)
        try:
            for piece in page.body:
                if piece:
                    await stream.send(piece)
                # Long pages are made in slices; traffic goes on in between.
                await trio.lowlevel.checkpoint()
        except MeshdError:
            stream.abort(ConnectionLost("the page was not finished"))
            return
        await stream.send(b"", end=True)

    async def _page(self, head: RequestHead) -> Page:
        refusal = self._refusal(head)
        if refusal:
            return Page(refusal.encode() + b"\n", 403)
        path = head.path.decode("ascii", "replace")
        action = self._routes.get(path)
        if action is None:
            return Page(self._help(), 200 if path in ("/", "/help") else 404)
        allowed = ("POST",) if action.changes else ("GET", "HEAD")
        if head.method.decode("ascii", "replace") not in allowed:
            return Page(f"{path} is for {allowed[0]}\n".encode(), 405, allow=", ".join(allowed))
        query = {name: values[0] for name, values in parse_qs(head.query.decode("ascii", "replace")).items()}
        page = action.handler(query)
        return page if isinstance(page, Page) else await page

    def _refusal(self, head: RequestHead) -> str:
        names = self._names
        if names is None:
            return ""
        host = _host_of(head.authority)
        if not names.take(host):
            own = ", ".join(sorted(names.hosts)) + (" or an IP address" if names.addresses else "")
            return f"this admin interface answers only to its own names ({own}): call it by one of them"
        origin = head.headers.get(b"origin")
        if origin is not None and not names.take(_host_of(origin.partition(b"://")[2])):
            return "pages of other origins may not use this admin interface"
        return ""

    def _help(self) -> bytes:
        lines = [f"{'POST' if action.changes else 'GET '} {path}" for path, action in sorted(self._routes.items())]
        return ("\n".join(lines) + "\n").encode()


def _host_of(authority: bytes) -> str:
    text = authority.decode("ascii", "replace").lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]
