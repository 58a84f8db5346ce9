"""Serving one connection, whichever HTTP its client speaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import trio

from meshd.errors import MeshdError
from meshd.http.h1_server import H1ServerConnection
from meshd.http.limits import HttpLimits
from meshd.http.serving import Drain, ErrorReply, Handler, Service, log_bug, plain_reply, reply_to_protocol_error
from meshd.net.connection import Connection
from meshd.net.timers import Timers

H2_ALPN = frozenset(("h2", "istio-h2"))
"""ALPN names under which HTTP/2 is spoken (Istio's sidecars use a name of their own among themselves)."""

DEFAULT_LIMITS = HttpLimits()


async def serve_connection(
    connection: Connection,
    handler: Handler,
    *,
    timers: Timers,
    limits: HttpLimits = DEFAULT_LIMITS,
    protocol: Literal["auto", "http/1.1", "h2"] = "auto",
    accept_http_10: bool = False,
    drain: Drain | None = None,
    on_protocol_error: ErrorReply = reply_to_protocol_error,
    on_bug: Callable[[BaseException], None] = log_bug,
) -> None:
    """Serve a connection until it is over, and close it.

    Args:
        connection: Just accepted, its TLS handshake done.
        handler: Answers each exchange. On HTTP/2 several run at once, each in a task of its own.
        timers: For idle times; its ``run`` must be running.
        limits: Bounds.
        protocol: ``auto`` goes by ALPN, and without one by whether the client sends HTTP/2's preface.
        accept_http_10: Serve HTTP/1.0 clients (else 426, as Envoy does).
        drain: Ends the connection early but politely.
        on_protocol_error: Makes (and may log) the answer to a broken request.
        on_bug: Told what a handler raised that it should not have; the connection answers 500 if it still
            can, and closes.

    Cancellation: the connection is closed at once.
    """
    service = Service(handler, timers, limits, drain or Drain(), accept_http_10, on_protocol_error, on_bug)
    if protocol == "auto" and connection.tls is not None and connection.tls.alpn:
        protocol = "h2" if connection.tls.alpn in H2_ALPN else "http/1.1"
    try:
        is_h2 = protocol == "h2"
        if not is_h2:
            is_h2 = await H1ServerConnection(connection, service, detect=protocol == "auto").run()
        if is_h2:
            # A sidecar that meets no HTTP/2 starts 60 ms sooner and smaller without it.
            from meshd.http.h2_server import serve_h2

            await serve_h2(connection, service)
        await connection.aclose()
    except (MeshdError, trio.ClosedResourceError):
        # The client has gone, or was sent away: whoever needed to know was told by the exchange.
        pass
    finally:
        connection.close()


__all__ = ["Drain", "ErrorReply", "Handler", "plain_reply", "serve_connection"]
