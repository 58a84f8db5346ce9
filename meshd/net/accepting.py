"""Listening sockets: binding, and an accept loop that outlives a shortage.

*Resource handling.* When the process or the machine is out of descriptors or
memory, ``accept`` waits a little and tries again; the kernel's backlog holds
the clients meanwhile. *Error handling.* Errors that belong to one connection
that is already dead (Linux reports them here) are skipped. Whatever else
``accept`` may raise is a bug and propagates.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from typing import Generic, TypeVar

import trio

from meshd.net.address import Address, is_ip_literal

SECONDS = 1.0

OVERLOAD_WAIT = 0.1 * SECONDS
"""trio.serve_listeners waits as long."""
OVERLOAD_QUIET = 10 * SECONDS
"""Overloads less than this apart are one burst, and one line of log."""
ACCEPTS_PER_WAKE = 16
"""Connections taken in one go before other tasks run."""

_OVERLOADED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_DEAD_ALREADY = frozenset(
    getattr(errno, name)
    for name in (
        # accept(2), "Error handling", and POSIX.
        *("EPERM", "ECONNABORTED", "EPROTO", "ENETDOWN", "ENOPROTOOPT", "EHOSTDOWN"),
        *("ENONET", "EHOSTUNREACH", "EOPNOTSUPP", "ENETUNREACH", "EINTR"),
    )
    if hasattr(errno, name)
)

logger = logging.getLogger(__name__)

C = TypeVar("C")
Adopt = Callable[[socket.socket, tuple[str, int]], C]


class SocketListener(Generic[C]):
    """A bound, listening socket (``Listener``). Made by ``SocketNetwork.listen``; whoever asked for it closes it.

    Attributes:
        accepted: Connections so far.
        overloads: How often ``accept`` had to wait for descriptors or memory.

    Args:
        sock: Listening and non-blocking; the listener's from now on.
        address: What it listens on.
        adopt: Makes a connection of an accepted socket and its peer's name.
        on_overload: Called each time ``overloads`` grows.
    """

    def __init__(
        self, sock: socket.socket, address: Address, adopt: Adopt[C], on_overload: Callable[[], None] = lambda: None
    ) -> None:
        self.address = address
        self.accepted = 0
        self.overloads = 0
        self._sock = sock
        self._adopt = adopt
        self._on_overload = on_overload
        self._in_a_row = 0
        self._last_overload = -OVERLOAD_QUIET

    async def accept(self) -> C:
        """See ``Listener.accept``."""
        while True:
            if self._in_a_row >= ACCEPTS_PER_WAKE:
                self._in_a_row = 0
                await trio.lowlevel.checkpoint()
            try:
                sock, peer = self._sock.accept()
            except BlockingIOError:
                self._in_a_row = 0
                await trio.lowlevel.wait_readable(self._sock)
                continue
            except OSError as error:
                await self._survive(error)
                continue
            self._in_a_row += 1
            try:
                connection = self._adopt(sock, peer)
            except OSError:
                # The client has gone between the handshake and here.
                sock.close()
                continue
            self.accepted += 1
            return connection

    async def _survive(self, error: OSError) -> None:
        """Wait out, skip, or raise."""
        if self._sock.fileno() < 0:
            raise trio.ClosedResourceError("this listener was closed") from None
        if error.errno in _DEAD_ALREADY:
            self._in_a_row += 1
            return
        if error.errno not in _OVERLOADED:
            raise error
        self.overloads += 1
        self._on_overload()
        now = trio.current_time()
        if now - self._last_overload >= OVERLOAD_QUIET:
            logger.warning(
                "cannot accept connections for now: %s; they wait (raise `ulimit -n`, or lower connection limits)",
                error.strerror,
                extra={"listener": str(self.address), "errno": errno.errorcode.get(error.errno, "")},
            )
        self._last_overload = now
        await trio.sleep(OVERLOAD_WAIT)

    def close(self) -> None:
        """See ``Listener.close``."""
        if self._sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()


def open_listener(address: Address, backlog: int, *, reuse_port: bool = False) -> socket.socket:
    """Bind and listen.

    Raises:
        OSError: as ``bind`` does.
    """
    if address.host:
        return _bind(*_resolve(address), backlog, reuse_port=reuse_port)
    if socket.has_dualstack_ipv6():
        try:
            return _bind(socket.AF_INET6, ("::", address.port), backlog, reuse_port=reuse_port)
        except OSError as error:
            # IPv6 compiled in but switched off.
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
    return _bind(socket.AF_INET, ("0.0.0.0", address.port), backlog, reuse_port=reuse_port)  # noqa: S104 - "" asks for it


def _resolve(address: Address) -> tuple[socket.AddressFamily, tuple[str | int, ...]]:
    flags = socket.AI_PASSIVE | (socket.AI_NUMERICHOST if is_ip_literal(address.host) else 0)
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=flags)
    except socket.gaierror as error:
        raise OSError(errno.EADDRNOTAVAIL, f"no address for {address.host!r}: {error.strerror}") from error
    return found[0][0], found[0][4]  # type: ignore[return-value]  # int and bytes only without AI_NUMERIC support


def _bind(
    family: socket.AddressFamily, name: tuple[str | int, ...], backlog: int, *, reuse_port: bool
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if name[0] == "::" else 1)
        sock.bind(name)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock
