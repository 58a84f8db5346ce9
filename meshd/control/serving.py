"""The control plane's listeners: accept, TLS, HTTP.

15012 speaks TLS with the control plane's own certificate, chosen anew for each
connection, and asks for a client certificate without insisting: a proxy's first
certificate is got without one. 15014 is plain.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import attrs
import trio

from meshd.certs.contexts import TlsContexts
from meshd.certs.verify import verify_spiffe
from meshd.errors import ConnectionLost, DeadlineExceeded, IdentityError, ProtocolError
from meshd.http.limits import HttpLimits
from meshd.http.server import serve_connection
from meshd.http.serving import Drain, Handler
from meshd.net.connection import Connection, Listener
from meshd.net.timers import Timers
from meshd.net.tls import wrap_server

log = logging.getLogger(__name__)

SECONDS = 1.0
ALPN = ("http/1.1",)
"""A waiting poll holds an exchange for half a minute; one connection each is simple, and cheap enough (29 KiB)."""


@attrs.frozen
class ServingLimits:
    """Bounds of the listeners."""

    handshake_timeout: float = 10 * SECONDS
    max_connections: int = 25_000
    max_anonymous: int = 1_000
    """Connections whose handshake is not done, or whose client showed no certificate: strangers cannot crowd out
    the mesh."""
    http: HttpLimits = attrs.field(
        factory=lambda: HttpLimits(header_timeout=10 * SECONDS, idle_timeout=120 * SECONDS, h2_max_streams=64)
    )


class Secure(Protocol):
    """Makes the TLS server side of an accepted connection."""

    async def __call__(self, connection: Connection) -> Connection:
        """Shake hands. Raises as ``wrap_server``."""
        ...


def secure_with(contexts: TlsContexts, trust_domain: str) -> Secure:
    """TLS with the certificate that is current at each handshake; clients of the mesh, or nobody."""
    verify = verify_spiffe(trust_domains=(trust_domain,), optional=True)

    async def secure(connection: Connection) -> Connection:
        context = contexts.mesh_server(alpn=ALPN, require_client_certificate=False)
        return await wrap_server(connection, context, verify=verify)

    return secure


class ApiListener:
    """Serves one listener until it is drained. Made by the control plane's mode."""

    def __init__(
        self,
        handler: Handler,
        timers: Timers,
        *,
        secure: Secure | None = None,
        limits: ServingLimits | None = None,
        on_refused: Callable[[str], None] = lambda _why: None,
    ) -> None:
        """Put it together.

        Args:
            handler: Answers each exchange.
            timers: For idle times.
            secure: TLS; None serves plain HTTP.
            limits: Bounds.
            on_refused: Told why a connection was refused (for metrics).
        """
        self._handler = handler
        self._timers = timers
        self._secure = secure
        self._limits = limits or ServingLimits()
        self._on_refused = on_refused
        # The whole mutable state: the drain, and how many connections there are, and of strangers.
        self._drain = Drain()
        self._open = 0
        self._anonymous = 0

    def statistics(self) -> dict[str, int]:
        """Connections now, and those of them that have shown no certificate."""
        return {"connections": self._open, "anonymous": self._anonymous}

    def drain(self) -> None:
        """Close idle connections now and busy ones after their exchange."""
        self._drain.begin()

    async def serve(self, listener: Listener) -> None:
        """Accept until cancelled. A connection that fails harms nobody else.

        Cancellation: closes the listener and every connection.
        """
        try:
            # A connection's task handles what its peer can do; anything else it raises is a
            # bug, and ends the control plane, which its supervisor starts again.
            async with trio.open_nursery() as connections:
                while True:
                    connection = await listener.accept()
                    if self._open >= self._limits.max_connections or self._anonymous >= self._limits.max_anonymous:
                        self._on_refused("connection limit")
                        connection.close()
                        continue
                    self._open += 1
                    self._anonymous += 1
                    connections.start_soon(self._serve_one, connection)
        finally:
            listener.close()

    async def _serve_one(self, connection: Connection) -> None:
        # Counted by who accepted it: several may be accepted before the first task runs.
        known = False
        try:
            secured = await self._shake_hands(connection)
            if secured is None:
                return
            if secured.tls is not None and secured.tls.peer_uri:
                known = True
                self._anonymous -= 1
            await serve_connection(
                secured,
                self._handler,
                timers=self._timers,
                limits=self._limits.http,
                protocol="http/1.1" if self._secure else "auto",
                drain=self._drain,
            )
        finally:
            self._open -= 1
            self._anonymous -= 0 if known else 1
            connection.close()

    async def _shake_hands(self, connection: Connection) -> Connection | None:
        if self._secure is None:
            return connection
        try:
            with trio.fail_after(self._limits.handshake_timeout):
                return await self._secure(connection)
        except (IdentityError, ProtocolError, ConnectionLost, DeadlineExceeded) as error:
            why = str(error)
        except trio.TooSlowError:
            why = "the handshake took too long"
        self._on_refused("handshake")
        log.info("a connection to the API was refused", extra={"peer": str(connection.peer), "why": why})
        return None
