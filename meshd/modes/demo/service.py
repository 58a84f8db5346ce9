"""One application of Bookinfo as a process of its own.

    python -m meshd.modes.demo.service reviews --version v2 --listen 127.0.0.1:9080 --mesh 127.0.0.1:15001

It listens in plain HTTP on loopback, for its sidecar alone, and sends what it
asks of others to its sidecar's outbound port.
"""

from __future__ import annotations

import argparse
import logging
import secrets

import attrs
import trio

from meshd.errors import ConnectionLost
from meshd.http.head import Headers as HttpHeaders
from meshd.http.head import RequestHead, ResponseHead
from meshd.http.server import Drain, Handler, serve_connection
from meshd.http.stream import ServerStream
from meshd.modes.demo import apps
from meshd.modes.demo.apps import Answer, Call, Headers
from meshd.modes.demo.client import Client
from meshd.modes.process import World, listen, run
from meshd.modes.settings import Listening, Logging
from meshd.net.address import Address
from meshd.net.connection import Connection, Listener

logger = logging.getLogger(__name__)

MOST_BODY = 64 * 1024
"""Bytes of a form or of another service's answer."""
MOST_CONNECTIONS = 1024
"""At once; more wait in the kernel's backlog."""
PAST_WAITING = 30.0
"""Seconds after which a call that the application itself would wait longer for is given up."""


@attrs.define(eq=False)
class Service:
    """A ``Program``: one application behind one listener."""

    name: str
    version: str
    address: Address
    mesh: Address
    _drain: Drain = attrs.field(factory=Drain, init=False)

    async def run(self, world: World) -> None:
        """Serve until cancelled."""
        client = Client(world.network)

        async def ask(authority: str, path: str, headers: Headers) -> Answer:
            head = RequestHead(b"GET", path.encode(), authority.encode(), HttpHeaders.of(headers))
            with trio.move_on_after(PAST_WAITING):
                answer, body = await client.request(self.mesh, head, most=MOST_BODY)
                return Answer(answer.status, body)
            raise ConnectionLost(f"no answer within {PAST_WAITING:.0f} seconds")

        app = self._app(ask)

        async def handle(stream: ServerStream) -> None:
            await answer(stream, app)

        listener = listen(world.network, Listening(self.address, asked=True), "listen")
        assert listener is not None
        logger.info("serving", extra={"service": self.name, "version": self.version, "address": listener.address})
        try:
            await self._serve(listener, handle, world)
        finally:
            listener.close()
            client.close()

    def _app(self, ask: apps.Ask) -> apps.App:
        if self.name == "productpage":
            return apps.Shop(self.version, ask, secrets.token_bytes(32))
        if self.name == "reviews":
            return apps.reviews(self.version, ask)
        return {"details": apps.details, "ratings": apps.ratings}[self.name](self.version)

    async def _serve(self, listener: Listener, handler: Handler, world: World) -> None:
        room = trio.Semaphore(MOST_CONNECTIONS)

        async def one(connection: Connection) -> None:
            try:
                await serve_connection(connection, handler, timers=world.timers, drain=self._drain)
            finally:
                room.release()

        # A client cannot make its connection's task fail; a bug in one takes the application down.
        async with trio.open_nursery() as connection_nursery:
            while True:
                await room.acquire()
                connection_nursery.start_soon(one, await listener.accept())

    async def drain(self) -> None:
        """Idle connections close; others after the answer that they wait for."""
        self._drain.begin()

    def reload(self) -> None:
        """There is nothing to read again."""


async def answer(stream: ServerStream, app: apps.App) -> None:
    """One exchange: the request as a ``Call``, the ``Answer`` as a response."""
    body = b""
    while piece := await stream.body.receive():
        body += piece
        if len(body) > MOST_BODY:
            await respond(stream, Answer.of_json({"error": "too long"}, 413))
            return
    request = stream.request
    call = Call(request.method.decode("ascii"), request.path.decode("latin-1"), dict(request.headers.items()), body)
    await respond(stream, await app(call))


async def respond(stream: ServerStream, answer: Answer) -> None:
    """Send an answer."""
    headers = HttpHeaders.of(((b"content-type", answer.content_type), *answer.headers))
    await stream.respond(ResponseHead(answer.status, headers, length=len(answer.body)), answer.body, end=True)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description="One of Bookinfo's applications.")
    parser.add_argument("name", choices=("productpage", "details", "reviews", "ratings"))
    parser.add_argument("--version", default="v1")
    parser.add_argument("--listen", type=Address.parse, required=True)
    parser.add_argument("--mesh", type=Address.parse, required=True)
    flags = parser.parse_args()
    run(Service(flags.name, flags.version, flags.listen, flags.mesh), Logging())


if __name__ == "__main__":
    main()
