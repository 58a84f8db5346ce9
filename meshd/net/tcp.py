"""The kernel's TCP under Trio: the measured hot path.

Theory of operation. A connection is a raw non-blocking socket registered once
with a ``Poller``.

- *Sending* tries at once, and parks only when the kernel's buffer is full.
- *Receiving* reads only when readiness is latched (``_readable``), and parks
  first otherwise: a read right after a request was written would only find
  that there is nothing yet.
- A *latch* is set by the poller whether or not somebody is parked, so readiness
  that comes early is kept. It is cleared by a read that shows the socket to be
  empty: one that failed with EAGAIN, or one that got less than it asked for.
  The second is not proof once the peer has ended its stream or sent urgent
  data (no further edge will come), so from then on (``_eager``) only EAGAIN
  counts.
- A small message that ``send_nowait`` takes may be *held* (``_held``) until the
  present round of tasks is over (``net/outbox.py``): several become one write.
  Whatever else sends, ends or closes lets it go first. What the kernel does not
  take of it then (``_rest``) follows when it is writable; until then
  ``send_nowait`` takes nothing, and ``send`` waits behind it.
- A *parked* task is in ``_reader`` or ``_writer``. Whoever takes it out of
  there, poller or cancellation, and nobody else, reschedules it: so never twice.
- *Closing* closes the descriptor and latches everything: whoever wakes, or comes
  later, tries, fails on the closed descriptor, and raises ``_error``. The
  fast path needs no check.

A reset is told by the kernel once, to a read or a write, and afterwards looks
like a clean end of stream. So it is remembered in ``_lost``: what was cut must
never look whole.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Callable

import trio
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

from meshd.errors import ConnectionLost
from meshd.net.address import Address
from meshd.net.connection import TlsInfo
from meshd.net.go_on import GO_ON
from meshd.net.original_destination import original_destination
from meshd.net.poller import FAILED, HUNG_UP, PEER_ENDED, READABLE, URGENT, WRITABLE, Poller

KIB = 1024
SECONDS = 1.0

CHUNK = 64 * KIB
"""The most that one ``receive`` returns (``Connection.receive``)."""
FULL_READS = 16
"""Reads in a row that leave more behind, after which a reader lets others run: a MiB, some 0.3 ms of relaying."""
DRAIN_BYTES = 256 * KIB
DRAIN_TIME = 1 * SECONDS
"""How much and how long ``aclose`` reads on, so that our last words are not lost to a reset.
Envoy's ``delayed_close_timeout`` is 1 s."""

HELD = 16 * KIB
"""The most that is held for one connection; a larger message is sent at once."""

_ENDED = PEER_ENDED | HUNG_UP | FAILED
_CAN_READ = READABLE | URGENT | _ENDED
_CAN_WRITE = WRITABLE | HUNG_UP | FAILED
_LINGER_RESET = struct.pack("ii", 1, 0)


class SocketConnection:
    """A TCP connection (``Connection``). Made by ``SocketNetwork``; whoever holds it closes it.

    Args:
        sock: Connected and non-blocking; the connection's from now on.
        poller: Tells it when it is ready.
        local, peer: Its two addresses.
    """

    __slots__ = (
        "_eager",
        "_eof_sent",
        "_error",
        "_full_reads",
        "_held",
        "_lost",
        "_outbox",
        "_poller",
        "_pushed",
        "_readable",
        "_reader",
        "_rearm",
        "_recv",
        "_rest",
        "_send",
        "_sock",
        "_writable",
        "_writer",
        "local",
        "on_hangup",
        "peer",
        "tls",
    )

    def __init__(self, sock: socket.socket, poller: Poller, local: Address, peer: Address) -> None:
        self.local = local
        self.peer = peer
        self.tls: TlsInfo | None = None
        self.on_hangup: Callable[[], None] | None = None
        self._sock = sock
        self._recv = sock.recv
        self._send = sock.send
        self._poller = poller
        self._rearm = None if poller.edge_triggered else poller.rearm
        self._outbox = poller.outbox
        self._held = b""
        self._rest: memoryview | None = None
        self._pushed = b""
        self._readable = False
        self._writable = True
        self._eager = False
        self._eof_sent = False
        self._full_reads = 0
        self._reader: Task | None = None
        self._writer: Task | None = None
        self._error: Exception | None = None
        self._lost: ConnectionLost | None = None
        poller.register(sock, self._wake)

    @property
    def truncated(self) -> bool:
        """See ``Connection.truncated``."""
        return False

    async def receive(self) -> bytes:
        """See ``Connection.receive``."""
        while True:
            if self._readable or self._pushed:
                if self._full_reads >= FULL_READS:
                    self._full_reads = 0
                    await trio.lowlevel.checkpoint()
                data = self.receive_nowait()
                if data is not None:
                    return data
            if self._reader is not None:
                raise trio.BusyResourceError("another task is receiving from this connection")
            self._reader = current_task()
            await wait_task_rescheduled(self._abort_receive)

    def receive_nowait(self) -> bytes | None:
        """See ``Connection.receive_nowait``."""
        if self._pushed:
            pushed, self._pushed = self._pushed, b""
            return pushed
        if not self._readable:
            return None
        data: bytes | None
        try:
            data = self._recv(CHUNK)
        except BlockingIOError:
            data = None
        except OSError as error:
            raise self._explain(error) from error
        if data is None or (len(data) < CHUNK and not self._eager):
            self._readable = False
            if self._rearm is not None:
                self._rearm(self._sock, READABLE)
        elif data:
            self._full_reads += 1
        elif self._lost is not None:
            raise self._lost
        return data

    def send_nowait(self, data: bytes) -> int:
        """See ``Connection.send_nowait``; what is taken may be held until the present round of tasks is over."""
        if self._writer is not None:
            raise trio.BusyResourceError("another task is sending on this connection")
        outbox = self._outbox
        held = self._held
        if outbox is None or self._rest is not None or len(held) + len(data) > HELD or not outbox.open:
            return self._send_now(data)
        if self._error is not None:
            raise self._error
        if self._eof_sent:
            raise trio.ClosedResourceError("the end of this stream was already sent")
        if held:
            self._held = held + data
        elif data:
            self._held = data
            outbox.add(self._release)
        return len(data)

    def _send_now(self, data: bytes) -> int:
        if self._held:
            self._release()
        if self._rest is not None:
            return 0
        try:
            return self._send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._explain(error) from error

    async def send(self, data: bytes) -> None:
        """See ``Connection.send``."""
        if self._writer is not None:
            raise trio.BusyResourceError("another task is sending on this connection")
        sent = self._send_now(data)
        if sent < len(data):
            await self._send_rest(memoryview(data)[sent:])

    def _release(self) -> None:
        """Send what is held. Called by the outbox: a failure is kept for whoever comes next."""
        data, self._held = self._held, b""
        if data:
            self._go_on(memoryview(data))

    def _go_on(self, rest: memoryview) -> None:
        """Send what nobody waits for."""
        try:
            rest = rest[self._send(rest) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self._rest = None
            if self._error is None:
                self._explain(error)
                # Not from here: Trio may be about to sleep.
                trio.lowlevel.current_trio_token().run_sync_soon(self._wake_parked)
            return
        self._rest = rest or None
        if rest:
            self._writable = False

    async def _send_rest(self, rest: memoryview) -> None:
        if self._rest is not None:
            # What was held goes first, and is waited for here from now on.
            rest = memoryview(bytes(self._rest) + bytes(rest))
            self._rest = None
        while rest:
            self._writable = False
            if self._rearm is not None:
                self._rearm(self._sock, WRITABLE)
            while not self._writable:
                self._writer = current_task()
                await wait_task_rescheduled(self._abort_send)
            try:
                rest = rest[self._send(rest) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._explain(error) from error

    async def send_eof(self) -> None:
        """See ``Connection.send_eof``."""
        if self._writer is not None:
            raise trio.BusyResourceError("another task is sending on this connection")
        if self._eof_sent and self._error is None:
            return
        if self._held:
            self._release()
        if self._rest is not None:
            await self._send_rest(memoryview(b""))
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise self._explain(error) from error
        self._eof_sent = True

    def unread(self, data: bytes) -> None:
        """See ``Connection.unread``."""
        self._pushed = data + self._pushed

    def original_destination(self) -> Address | None:
        """See ``Redirected.original_destination``."""
        return None if self._error is not None else original_destination(self._sock, self.local)

    def abort(self, error: Exception) -> None:
        """See ``Connection.abort``: the peer gets a reset."""
        if self._error is None:
            self._reset()
            self._shut(error)

    def _reset(self) -> None:
        """Let the peer be told by a reset when this is closed."""
        with contextlib.suppress(OSError):  # the BSDs refuse it once the peer has gone
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)

    def close(self) -> None:
        """See ``Connection.close``. The kernel still delivers what was sent, unless bytes were left unread."""
        if self._error is not None:
            return
        if self._held:
            self._release()
        if self._rest is not None:
            # What was cut must not look whole.
            self._reset()
        self._shut(trio.ClosedResourceError("this connection was closed"))

    async def aclose(self) -> None:
        """See ``Connection.aclose``; at most ``DRAIN_BYTES`` and ``DRAIN_TIME``.

        Cancellation: closed at once.
        """
        try:
            if self._error is None and self._reader is None and self._writer is None:
                with trio.move_on_after(DRAIN_TIME):
                    await self.send_eof()
                    await self._drain()
        except ConnectionLost:
            # The peer is gone: nobody is left to read our last words.
            pass
        except Exception as error:
            # Closed by someone else meanwhile.
            if error is not self._error:
                raise
        finally:
            self.close()
        await trio.lowlevel.checkpoint()

    async def _drain(self) -> None:
        left = DRAIN_BYTES
        while left > 0 and (data := await self.receive()):
            left -= len(data)

    def _shut(self, error: Exception) -> None:
        self._error = error
        self._poller.unregister(self._sock)
        self._sock.close()
        self._pushed = self._held = b""
        self._rest = None
        self._readable = self._writable = True
        self._wake_parked()

    def _wake_parked(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reschedule(reader, GO_ON)
        writer, self._writer = self._writer, None
        if writer is not None:
            reschedule(writer, GO_ON)

    def _wake(self, flags: int, error: OSError | None = None, /) -> None:
        """What the poller calls."""
        if flags & _CAN_READ:
            self._readable = True
            if error is not None and self._lost is None:
                self._lost = ConnectionLost(describe(error))
            if flags & ~(READABLE | WRITABLE):
                self._eager = True
            reader = self._reader
            if reader is not None:
                self._reader = None
                reschedule(reader, GO_ON)
            elif flags & _ENDED and self.on_hangup is not None:
                callback, self.on_hangup = self.on_hangup, None
                callback()
        if flags & _CAN_WRITE:
            self._writable = True
            if self._rest is not None:
                self._go_on(self._rest)
            writer = self._writer
            if writer is not None:
                self._writer = None
                reschedule(writer, GO_ON)

    def _abort_receive(self, _: object) -> Abort:
        self._reader = None
        return Abort.SUCCEEDED

    def _abort_send(self, _: object) -> Abort:
        self._writer = None
        return Abort.SUCCEEDED

    def _explain(self, error: OSError) -> Exception:
        """What an operation that failed raises."""
        if self._error is not None:
            return self._error
        if self._eof_sent and error.errno == errno.EPIPE:
            return trio.ClosedResourceError("the end of this stream was already sent")
        if self._lost is None:
            self._lost = ConnectionLost(describe(error))
        self._readable = self._eager = True
        return self._lost

    def __repr__(self) -> str:
        return f"<SocketConnection {self.local} with {self.peer}{' closed' if self._error else ''}>"


def describe(error: OSError) -> str:
    """The system's words, in lower case: ``connection refused``."""
    return (error.strerror or str(error)).lower()
