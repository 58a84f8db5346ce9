"""Fake services: an application whose answers are scripted, and which remembers what it was asked.

A behaviour is whatever says how to answer one request:

- a status (``503``), a body (``b"one"``), or ``respond(...)`` for all of it;
- ``hang()``, ``reset()``, ``echo()``;
- a function of the request, plain or async, that returns any of these; an async
  one may call other services through its own sidecar:
  ``await request.call("GET http://ratings/")``.

A list of behaviours is a script: one for each request, and the last one for all
that follow.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

import attrs
import trio

from meshd.errors import ConnectionLost
from meshd.http.head import ResponseHead
from meshd.http.server import serve_connection
from meshd.http.stream import ServerStream
from meshd.net.address import Address
from meshd.net.connection import Connection, Listener, Network
from meshd.net.timers import Timers
from meshd.testing.answer import Answer
from meshd.testing.fields import Fields, FieldView, headers_of
from meshd.testing.talk import Talk, echo_bytes, listen_only, reset_at_once, talk_of


@attrs.frozen(eq=False)
class Received:
    """A request as the application got it: behind its sidecar, mutual TLS taken off."""

    at: float
    """On trio's clock."""
    method: str
    path: str
    """With the query."""
    host: str
    headers: FieldView
    body: bytes
    served_by: str
    """The name of the application that got it."""
    call: Callable[..., Awaitable[Answer]] = attrs.field(repr=False)
    """Calls another service, as ``Workload.call``: ``await request.call("GET http://ratings/")``."""


Act = Callable[[ServerStream, Received], Awaitable[None]]


@attrs.frozen
class Action:
    """How to answer one request; made by ``respond`` and its kin."""

    act: Act = attrs.field(repr=False)
    talk: Talk | None = attrs.field(default=None, repr=False)
    """The same for a connection that is not HTTP, where it means something."""


Behaviour: TypeAlias = "int | bytes | str | Action | Callable[[Received], Any] | Callable[[Connection], Any]"
Script: TypeAlias = "Behaviour | list[Behaviour]"


def respond(
    status: int = 200,
    body: bytes | str | None = None,
    headers: Fields = (),
    *,
    delay: float = 0.0,
    trailers: Fields = (),
) -> Action:
    """Answer.

    Args:
        status: The status.
        body: The body; None is the name of the application that answers.
        headers: Header fields.
        delay: Seconds to take for it.
        trailers: Fields after the body.
    """
    if isinstance(status, bool) or not 200 <= status <= 599:
        raise ValueError(f"{status!r} is no status to answer with: expected 200 to 599")
    fields, ending = headers_of(headers), headers_of(trailers)

    async def act(stream: ServerStream, received: Received) -> None:
        if delay:
            await trio.sleep(delay)
        data = received.served_by.encode() if body is None else _bytes(body)
        if not len(ending):
            await stream.respond(ResponseHead(status, fields.copy(), length=len(data)), data, end=True)
            return
        await stream.respond(ResponseHead(status, fields.copy(), length=None), data, end=False)
        await stream.send_trailers(ending.copy())

    return Action(act)


OWN_NAME = respond()
"""What an application answers that is told nothing: its workload's name."""


def echo(status: int = 200) -> Action:
    """Answer with the request's own body, and ``x-echo-method`` and ``x-echo-path``."""

    async def act(stream: ServerStream, received: Received) -> None:
        fields = headers_of({"x-echo-method": received.method, "x-echo-path": received.path})
        await stream.respond(ResponseHead(status, fields, length=len(received.body)), received.body, end=True)

    return Action(act, echo_bytes)


def hang() -> Action:
    """Take the request and never answer."""

    async def act(stream: ServerStream, _received: Received) -> None:
        gone = trio.Event()
        stream.on_abort = lambda _error: gone.set()
        await gone.wait()
        raise ConnectionLost("the client gave up")

    return Action(act, listen_only)


def reset() -> Action:
    """Take the request and reset the connection."""

    async def act(stream: ServerStream, _received: Received) -> None:
        stream.abort(ConnectionLost("reset by the fake service"))

    return Action(act, reset_at_once)


def action_of(behaviour: Behaviour) -> Action:
    """Any behaviour as an action.

    Raises:
        TypeError: it is none.
    """
    match behaviour:
        case Action():
            return behaviour
        case int():
            return respond(behaviour)
        case bytes() | str():
            return respond(200, behaviour)
    if not callable(behaviour):
        raise TypeError(
            f"{behaviour!r} does not say how to answer: give a status, a body, respond(...), hang(), reset(), echo(),"
            " a function of the request, or a list of these"
        )

    async def act(stream: ServerStream, received: Received) -> None:
        result: Any = behaviour(received)  # type: ignore[arg-type]
        if inspect.isawaitable(result):
            result = await result
        await action_of(result).act(stream, received)

    return Action(act)


@attrs.frozen(eq=False)
class Site:
    """Where an application runs."""

    nursery: trio.Nursery
    """The mesh's; an application's tasks live in it."""
    network: Network
    """Its machine."""
    address: Address
    """Where it listens, as seen from the machine."""
    timers: Timers
    http: bool = True
    """False: it is given connections instead of requests."""


class FakeApp:
    """An application. Made by ``Mesh.service``, which starts it."""

    def __init__(self, name: str, script: Script, site: Site, call: Callable[..., Awaitable[Answer]]) -> None:
        # The whole mutable state: what is to be answered next, what was asked, what has no answer yet, and what runs.
        self.name = name
        self.requests: list[Received] = []
        """Every request so far, in the order in which they were complete."""
        self.unanswered: list[Received] = []
        """Those that it has and has not answered."""
        self.connections = 0
        """How many connections were accepted so far."""
        self.on_request: Callable[[Received], None] | None = None
        """Is told every request."""
        self._site = site
        self._call = call
        self._script: list[Any] = []
        self._scope: trio.CancelScope | None = None
        self._ended = trio.Event()
        self.behave(script)

    def behave(self, script: Script) -> None:
        """Answer so from the next request on."""
        behaviours: Iterable[Behaviour] = script if isinstance(script, list) else [script]
        self._script = [action_of(each) if self._site.http else talk_of(each) for each in behaviours]
        if not self._script:
            raise TypeError("an empty script says nothing: give at least one behaviour")

    @property
    def running(self) -> bool:
        """Does it listen?"""
        return self._scope is not None

    def start(self) -> None:
        """Listen, and serve until stopped.

        Raises:
            RuntimeError: it runs already.
        """
        if self._scope is not None:
            raise RuntimeError(f"the application {self.name} is running already")
        listener = self._site.network.listen(self._site.address)
        self._scope, self._ended = trio.CancelScope(), trio.Event()
        self._site.nursery.start_soon(self._run, listener, self._scope)

    async def stop(self) -> None:
        """Die at once; ``start`` brings it back."""
        if self._scope is not None:
            self._scope.cancel()
            await self._ended.wait()

    async def _run(self, listener: Listener, scope: trio.CancelScope) -> None:
        try:
            with scope:
                # A connection fails alone; a bug in a behaviour is answered with a 500, and logged.
                async with trio.open_nursery() as app_nursery:
                    while True:
                        connection = await listener.accept()
                        self.connections += 1
                        app_nursery.start_soon(self._serve_one, connection)
        finally:
            listener.close()
            self._scope = None
            self.unanswered.clear()
            self._ended.set()

    async def _serve_one(self, connection: Connection) -> None:
        try:
            if self._site.http:
                await serve_connection(connection, self._handle, timers=self._site.timers)
            else:
                await self._next()(connection)
        except ConnectionLost:
            # Whoever talked to it has gone; that is the other side's business.
            pass
        finally:
            connection.abort(ConnectionLost("the application has stopped"))

    async def _handle(self, stream: ServerStream) -> None:
        head = stream.request
        body = b""
        while not stream.body.ended:
            body += await stream.body.receive()
        received = Received(
            at=trio.current_time(),
            method=head.method.decode("latin-1"),
            path=head.target.decode("latin-1"),
            host=head.authority.decode("latin-1"),
            headers=FieldView(head.headers),
            body=body,
            served_by=self.name,
            call=self._call,
        )
        self.requests.append(received)
        if self.on_request is not None:
            self.on_request(received)
        action = self._next()
        self.unanswered.append(received)
        try:
            await action.act(stream, received)
        finally:
            if received in self.unanswered:
                self.unanswered.remove(received)

    def _next(self) -> Any:
        return self._script.pop(0) if len(self._script) > 1 else self._script[0]


def _bytes(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else body
