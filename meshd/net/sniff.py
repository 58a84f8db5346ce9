"""Look at a connection's first bytes without taking them.

Which filter chain a connection belongs to, and which TLS context it gets, must
be known before the handshake: OpenSSL's own server-name callback can change the
certificate, but not whether a client certificate is required.
"""

from __future__ import annotations

import attrs

from meshd.net.connection import Connection
from meshd.net.first_bytes import ClientHello, Http1, Http2Preface, NeedMore, Opaque, Tls, Verdict, classify

KIB = 1024

MAX_BYTES = 64 * KIB
"""Envoy's ``http_inspector`` and ``tls_inspector`` look at no more."""


@attrs.frozen
class Sniffed:
    """What the first bytes said. ``Sniffed()`` is a connection of which nothing is known.

    Attributes:
        hello: The ClientHello, None when it is no TLS.
        protocol: Without TLS: ``http/1.1``, ``h2c`` or "".
        ended: The peer ended its stream before it could be told.
    """

    hello: ClientHello | None = None
    protocol: str = ""
    ended: bool = False

    @property
    def transport_protocol(self) -> str:
        """``tls`` or ``raw_buffer``, as ``FilterChainMatch`` has it."""
        return "raw_buffer" if self.hello is None else "tls"

    @property
    def application_protocols(self) -> tuple[str, ...]:
        """With TLS what the client offers by ALPN; without what was recognised."""
        if self.hello is not None:
            return self.hello.alpn
        return (self.protocol,) if self.protocol else ()

    @property
    def server_name(self) -> str:
        """SNI in lower case, "" when there is none."""
        return self.hello.server_name if self.hello is not None else ""


async def inspect(connection: Connection, *, tls: bool, http: bool, max_bytes: int = MAX_BYTES) -> Sniffed:
    """Read until it is clear what is spoken, then put everything back.

    The deadline is the caller's: some protocols let the server speak first, and
    then nothing ever comes.

    Args:
        connection: Its next ``receive`` gives all that was read here, again.
        tls: Whether TLS is looked for.
        http: Whether HTTP is looked for.
        max_bytes: After so many bytes without a verdict it is opaque.

    Raises:
        ConnectionLost: the peer reset the connection.

    Cancellation: what was read is put back.
    """
    data = b""
    ended = False
    try:
        while isinstance(verdict := classify(data, tls=tls, http=http), NeedMore):
            if len(data) >= max_bytes:
                verdict = Opaque()
                break
            piece = await connection.receive()
            if not piece:
                ended = True
                break
            data += piece
    finally:
        if data:
            connection.unread(data)
    return _sniffed(verdict, ended=ended)


def _sniffed(verdict: Verdict, *, ended: bool) -> Sniffed:
    match verdict:
        case Tls(hello):
            return Sniffed(hello)
        case Http1():
            return Sniffed(protocol="http/1.1")
        case Http2Preface():
            return Sniffed(protocol="h2c")
        case _:
            return Sniffed(ended=ended)
