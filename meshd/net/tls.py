"""Begin TLS on a connection, as its server or its client. What is then inside is ``net/tls_connection.py``."""

from __future__ import annotations

import ssl

from meshd.errors import IdentityError
from meshd.net.connection import Connection
from meshd.net.tls_connection import MAX_HANDSHAKE_BYTES, JudgingContext, TlsConnection, Verify

__all__ = ["MAX_HANDSHAKE_BYTES", "JudgingContext", "TlsConnection", "Verify", "wrap_client", "wrap_server"]


async def wrap_server(
    connection: Connection,
    context: ssl.SSLContext,
    *,
    verify: Verify | None = None,
    server_name: str = "",
    local_uri: str = "",
    max_handshake_bytes: int = MAX_HANDSHAKE_BYTES,
) -> TlsConnection:
    """Be the server of a TLS handshake.

    Args:
        connection: The transport; the result owns it from now on.
        context: Chosen beforehand from the ClientHello (``net/sniff.py``).
        verify: Judges the peer once its certificate has been verified.
        server_name: What the ClientHello asked for, for ``TlsInfo``.
        local_uri: Our own SPIFFE id, for ``TlsInfo``.
        max_handshake_bytes: What the peer may send before it is done.

    Raises:
        IdentityError: the peer's certificate, or ``verify``.
        TlsAlert: the peer refused.
        ProtocolError: what the peer speaks is no usable TLS.
        ConnectionLost: it went away. After each of these the connection is closed.

    Cancellation: the connection is closed.
    """
    tls = TlsConnection(connection, context, server_side=True, server_hostname=None)
    await tls._begin(verify, max_handshake_bytes)
    tls._note(server_name, local_uri)
    return tls


async def wrap_client(
    connection: Connection,
    context: ssl.SSLContext,
    *,
    server_hostname: str | None = None,
    verify: Verify | None = None,
    local_uri: str = "",
    max_handshake_bytes: int = MAX_HANDSHAKE_BYTES,
) -> TlsConnection:
    """Be the client of a TLS handshake; otherwise as ``wrap_server``.

    ``server_hostname`` is sent as SNI, and checked if the context checks host
    names. With TLS 1.3 the server may still refuse our certificate: then the
    first ``receive`` raises ``TlsAlert``.
    """
    if context.check_hostname and not server_hostname:
        # ``wrap_socket`` refuses this; ``wrap_bio`` would check nothing, silently.
        connection.close()
        raise IdentityError("the server's certificate cannot be checked: there is no name to check it for")
    try:
        tls = TlsConnection(connection, context, server_side=False, server_hostname=server_hostname or None)
    except ValueError as error:
        connection.close()
        raise IdentityError(f"the server's certificate cannot be checked: {error}") from error
    await tls._begin(verify, max_handshake_bytes)
    tls._note(server_hostname or "", local_uri)
    return tls
