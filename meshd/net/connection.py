"""What every byte stream of meshd can do: the seam between the stack and the world.

Two implementations make the world (``net/sockets.py`` for the kernel's TCP and
``net/memory.py`` for a mesh inside one process on virtual time), and
``net/tls.py`` wraps either. Nothing above this package touches a socket.

Rules of a connection:

- One task reads and one task writes at a time; they may be the same task.
- ``receive`` and ``send`` wait only when they must. They are *not* checkpoints
  when they can go on at once: whoever loops over many of them without waiting
  must yield now and then (the HTTP server does so after every so many requests).
- A ``send`` that failed or was cancelled leaves the stream in pieces; the
  caller closes the connection.
- ``abort`` is how anyone else ends a wait: a deadline, a vanished client, a
  drain. It is synchronous and can be called from any task, any number of times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import attrs

from meshd.net.address import Address


@attrs.frozen
class TlsInfo:
    """What a TLS handshake has established.

    ``peer_uri`` is the peer's SPIFFE id after meshd's own checks, "" when the
    peer showed no certificate or an ordinary web certificate.
    ``peer_certificate`` is its DER form (b"" if none), for XFCC's hash.
    ``peer_subject`` (RFC 2253) and ``peer_dns`` are what a verified certificate
    says of its owner.
    """

    version: str
    cipher: str
    alpn: str
    server_name: str
    peer_uri: str
    peer_certificate: bytes = attrs.field(default=b"", repr=False)
    local_uri: str = ""
    peer_subject: str = ""
    peer_dns: tuple[str, ...] = ()


class Connection(Protocol):
    """A two-way byte stream with one peer."""

    local: Address
    peer: Address
    tls: TlsInfo | None
    on_hangup: Callable[[], None] | None
    """Called once (and then None again), soon, when the peer's end of stream or
    reset arrives while nobody is parked in ``receive``. A kernel cannot tell a
    half-close from a close, and bytes may still be unread. An end that arrived
    before this was set is not told: ``receive_nowait`` shows it. The callback
    is quick and does not raise. Whoever sets it clears it again."""

    @property
    def truncated(self) -> bool:
        """True after an end of stream that proves nothing: TLS without close_notify.

        A message whose only end is the end of stream may then be cut. Always
        False on a plain connection, where a cut is a reset.
        """
        ...

    async def receive(self) -> bytes:
        """The next bytes (at most 64 KiB), b"" after the peer's end of stream.

        Raises:
            ConnectionLost: the peer reset the connection.
            BaseException: whatever ``abort`` was given.
        """
        ...

    def receive_nowait(self) -> bytes | None:
        """Bytes that are here already, None when there are none, b"" at the end."""
        ...

    async def send(self, data: bytes) -> None:
        """Send all of it; waits while the peer does not read.

        Raises:
            ConnectionLost: the peer is gone.
        """
        ...

    def send_nowait(self, data: bytes) -> int:
        """Send as much as goes without waiting; the rest is for ``send``.

        Returns:
            How many bytes were taken. 0 may mean no more than that this connection cannot tell.

        Raises:
            ConnectionLost: the peer is gone.
        """
        ...

    async def send_eof(self) -> None:
        """Tell the peer that nothing more will be sent (half-close)."""
        ...

    def unread(self, data: bytes) -> None:
        """Put bytes back; the next ``receive`` returns them first."""
        ...

    def abort(self, error: Exception) -> None:
        """Close now; every wait, present and future, raises ``error``."""
        ...

    def close(self) -> None:
        """Close now, without waiting. Idempotent."""
        ...

    async def aclose(self) -> None:
        """Close politely. Bounded.

        End of stream, drain a little of what still comes (so that the peer can
        read our last words), then close.
        """
        ...


@runtime_checkable
class Redirected(Protocol):
    """A connection that may have been led here on its way to somewhere else."""

    def original_destination(self) -> Address | None:
        """Where its client was going; None when it was coming here, or nobody knows."""
        ...


class Listener(Protocol):
    """A bound, listening address."""

    address: Address

    async def accept(self) -> Connection:
        """The next connection. Overload errors (EMFILE and kin) are waited out here."""
        ...

    def close(self) -> None:
        """Stop listening; a pending ``accept`` raises ``trio.ClosedResourceError``."""
        ...


class Network(Protocol):
    """Where connections come from. Sockets in production, memory in tests."""

    async def connect(self, address: Address, *, source: str = "") -> Connection:
        """Connect to an IP literal (names go through a ``Resolver`` first). The caller sets the deadline.

        ``source`` is an address of this machine to connect from, "" leaves the choice to the kernel.

        Raises:
            ConnectionLost: refused, unreachable, reset; the message is the system's.
        """
        ...

    def listen(self, address: Address, *, backlog: int = 1024) -> Listener:
        """Bind and listen, at once.

        Raises:
            OSError: as ``bind`` does (EADDRINUSE, EACCES, ...).
        """
        ...


class Resolver(Protocol):
    """Names to addresses."""

    async def resolve(self, host: str) -> tuple[str, ...]:
        """IP literals of a host name (itself, if it is one), in order of preference.

        Raises:
            ConnectionLost: no such name, or no answer.
        """
        ...
