"""What filters see and the two shapes a filter has. Pure.

``HeadFilter`` decides: it looks at heads, edits them, or answers; synchronous,
microseconds. ``Filter`` waits: it asks a server, delays, tries again. A
``ConnectionFilter`` decides about a connection. Chains are compiled when a
snapshot is applied (``proxy/chain.py``): neighbouring head filters become one
loop, and a layer of ``await next(exchange)`` exists only where something waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs

from meshd.errors import ResponseFlag
from meshd.http.head import Headers, RequestHead, ResponseHead
from meshd.http.stream import Body
from meshd.net.address import Address
from meshd.snapshot.cluster import Peer
from meshd.snapshot.common import Direction
from meshd.snapshot.route import Route


@attrs.frozen
class ConnectionInfo:
    """The downstream connection, as policies and logs see it. One object per connection.

    ``principal`` is the peer's SPIFFE id without ``spiffe://``, "" without mTLS.
    ``destination_port`` is the application's port for inbound traffic (what
    policies compare), not the listener's.
    """

    direction: Direction
    peer: Address
    local: Address
    destination_port: int
    principal: str = ""
    namespace: str = ""
    server_name: str = ""
    tls: bool = False
    mtls: bool = False
    listener: str = ""
    chain: str = ""
    captured: bool = False
    """The kernel led it here: ``local`` is where the client was going."""
    direct: Address | None = None
    """Who made the connection, when a PROXY protocol header says that ``peer`` is behind it."""
    logged: bytes = attrs.field(init=False, eq=False, repr=False)
    """``local peer server-name`` for log lines: rendered here, once per connection."""

    @logged.default
    def _render_logged(self) -> bytes:
        return f"{self.local} {self.peer} {self.server_name or '-'}".encode("utf-8", "surrogateescape")


@attrs.define
class Reply:
    """A response made here instead of by a backend."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    flags: tuple[ResponseFlag, ...] = ()
    detail: str = ""
    """``%RESPONSE_CODE_DETAILS%``: ``rbac_access_denied_matched_policy[...]``, ``route_not_found``, ..."""
    reason: str = ""
    """One sentence for ``x-meshd-reason`` inside the mesh and the logs: what, why, how to mend."""
    grpc_status: int = -1
    """For gRPC requests, when the usual mapping from ``status`` is not wanted."""


@attrs.define
class Response:
    """A response on its way down: a head (editable) and a body that is read as it arrives."""

    head: ResponseHead
    body: Body
    local: bool = False
    """Made by meshd, not by a backend."""


class Exchange:
    """One request and its response, from head to last byte. Made by the downstream side of the proxy.

    Filters read and edit ``request``; the rest is the record that becomes the
    access log line, the metrics and the explanation. Byte counts are bodies'.

    A plain class, not an attrs one: defaults that are the class's own cost
    nothing to make, and one of these is made for every request.
    """

    connection: ConnectionInfo
    request: RequestHead
    started: float
    """trio's clock when the request head was complete."""
    request_id: bytes = b""
    route: Route | None = None
    virtual_host: str = ""
    cluster: str = ""
    upstream_host: str = ""
    upstream_peer: Peer | None = None
    upstream_mtls: bool = False
    upstream_local: str = ""
    upstream_service_time_ms: int = -1
    downstream_peer: Peer | None = None
    attempts: int = 0
    status: int = 0
    flags: list[ResponseFlag]
    detail: str = ""
    reason: str = ""
    upstream_failure: str = ""
    original_path: bytes = b""
    bytes_received: int = 0
    bytes_sent: int = 0
    grpc: bool = False
    grpc_status: int = -1
    response_headers: Headers | None = None
    """The response's headers as sent, for the log."""
    fault_injected: bool = False
    """A fault on this route switches its timeout and retries off (Istio)."""
    remote_host: str = ""
    """The client's address as trusted hops tell it (x-forwarded-for, PROXY protocol); "" is the connection's peer."""
    reroute: bool = False
    """Set by a filter of the chain that changed what routes look at: the route is asked for again."""

    def __init__(self, connection: ConnectionInfo, request: RequestHead, started: float, **known: object) -> None:
        """``known``: any other field."""
        self.connection = connection
        self.request = request
        self.started = started
        self.flags = []
        if known:
            self.__dict__.update(known)


class HeadFilter(Protocol):
    """Decides from heads; pure and synchronous."""

    def request(self, exchange: Exchange) -> Reply | None:
        """Edit ``exchange.request``, or answer."""
        ...

    def response(self, exchange: Exchange, response: ResponseHead) -> None:
        """Edit a response's head (local replies too)."""
        ...


Next = Callable[[Exchange], Awaitable[Response]]


class Filter(Protocol):
    """Waits: calls ``next`` once, several times, or not at all."""

    async def __call__(self, exchange: Exchange, next: Next) -> Response: ...


@attrs.frozen
class Denial:
    """A connection filter's no."""

    detail: str
    reason: str = ""


class ConnectionFilter(Protocol):
    """Decides about a connection from its addresses, SNI and peer identity."""

    def accept(self, connection: ConnectionInfo) -> Denial | None: ...
