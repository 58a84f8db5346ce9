"""Access log lines on their way out: buffered, bounded, never in the way of traffic.

Lines are appended to a list; one task hands them on once a second, or at once
when there are 64 KiB. What the sink cannot take in time is dropped and counted:
a full disk or a reader that sleeps costs lines, not requests. Only the sinks
made by ``open_sink`` touch the machine; a test gives its own.
"""

from __future__ import annotations

import logging
import os
import select
import stat
from collections.abc import Callable, Sequence
from typing import Protocol

import attrs
import trio

from meshd.errors import StartError

_log = logging.getLogger(__name__)

KIB = 1024
_LINE_FEED = 10
FLUSH_BYTES = 64 * KIB
"""Envoy's buffer of a log file (``access_log_flush_interval`` and its 64 KiB)."""
FLUSH_INTERVAL = 1.0
BATCH = 128
"""Lines rendered at a time: together they cost half of what they cost one by one between requests, because
the code and data they need stay in the processor's caches (measured: 12 against 6 microseconds)."""
BUFFER_LIMIT = 4096 * KIB
"""About ten thousand lines of Istio's format."""


class Sink(Protocol):
    """Where lines end up."""

    async def write(self, data: bytes) -> None:
        """Write all of it.

        Raises:
            OSError: some of it could not be written.
        """
        ...

    def reopen(self) -> None:
        """The file may have been renamed (log rotation): open its path anew before the next write."""
        ...

    def close(self) -> None:
        """Nothing more will be written."""
        ...


@attrs.frozen
class LogStatistics:
    """Lines buffered now; written and dropped so far."""

    buffered: int
    written: int
    dropped: int


class LogWriter:
    """The buffer before a sink. ``run`` belongs in the process's nursery; whoever made it calls ``flush`` last.

    Args:
        sink: Where lines go.
        flush_bytes: Buffered bytes that are handed on at once.
        flush_interval: Seconds that a line may wait.
        limit: Bytes buffered at most; further lines are dropped.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        flush_bytes: int = FLUSH_BYTES,
        flush_interval: float = FLUSH_INTERVAL,
        limit: int = BUFFER_LIMIT,
    ) -> None:
        self._sink = sink
        self._flush_bytes = flush_bytes
        self._flush_interval = flush_interval
        self._limit = limit
        # The whole mutable state: the lines with their size, those yet to be rendered, the two wake-ups, the counts.
        self._lines: list[bytes] = []
        self._pending: list[tuple[Callable[..., bytes], tuple[object, ...]]] = []
        self._size = 0
        self._some = trio.Event()
        self._enough = trio.Event()
        self._written = 0
        self._dropped = 0
        self._failing = False
        self._writing = trio.Lock()

    def append_later(self, render: Callable[..., bytes], *given: object) -> None:
        """Take a line that ``render(*given)`` will give. It is rendered soon, in a batch with others."""
        pending = self._pending
        if not pending:
            self._some.set()
        pending.append((render, given))
        if len(pending) >= BATCH:
            self._render()

    def _render(self) -> None:
        pending, self._pending = self._pending, []
        lines = [render(*given) for render, given in pending]
        size = sum(map(len, lines))
        if self._size + size > self._limit:
            for line in lines:
                self.append(line)
        elif lines:
            self._take(lines, size)

    def append(self, line: bytes) -> None:
        """Take a line (with its line feed), or drop it when the buffer is full."""
        if self._size >= self._limit:
            self._dropped += 1
            return
        self._take((line,), len(line))

    def _take(self, lines: Sequence[bytes], size: int) -> None:
        if not self._lines:
            self._some.set()
        self._lines += lines
        self._size += size
        if self._size >= self._flush_bytes:
            self._enough.set()

    async def run(self) -> None:
        """Hand lines on until cancelled. Sleeps while there are none."""
        while True:
            await self._some.wait()
            with trio.move_on_after(self._flush_interval):
                await self._enough.wait()
            await self.flush()

    async def flush(self) -> None:
        """Write what is buffered.

        Cancellation: lines handed to the sink may or may not have been written.
        """
        async with self._writing:
            self._render()
            lines, self._lines, self._size = self._lines, [], 0
            if self._some.is_set():
                self._some, self._enough = trio.Event(), trio.Event()
            if not lines:
                return
            try:
                await self._sink.write(b"".join(lines))
            except OSError as error:
                self._dropped += len(lines)
                if not self._failing:
                    _log.warning("access log cannot be written", extra={"reason": error.strerror or str(error)})
                self._failing = True
            else:
                self._written += len(lines)
                self._failing = False

    def reopen(self) -> None:
        """Follow a rotated file."""
        self._sink.reopen()

    def close(self) -> None:
        """Close the sink; after the last ``flush``."""
        self._sink.close()

    def statistics(self) -> LogStatistics:
        """Counts so far."""
        return LogStatistics(len(self._lines) + len(self._pending), self._written, self._dropped)


def open_sink(target: str) -> Sink:
    """A sink for a path, or for stdout (``-``).

    Raises:
        StartError: the file cannot be opened for appending.
    """
    if target == "-":
        return _Descriptor(1)
    sink = _File(target)
    sink.open()
    return sink


class _Descriptor:
    """A file descriptor that others own.

    What the kernel says it can take is written at once; only what it cannot
    (a full pipe, a stopped terminal) is left to a thread. Files and
    ``/dev/null`` are always ready, and a thread would cost the loop more.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # Of the present batch: how much is written. And whether the last batch ended inside a line.
        self._done = 0
        self._broken_line = False

    async def write(self, data: bytes) -> None:
        if self._broken_line:
            data = b"\n" + data
        self._done = 0
        try:
            self._write_at_once(data)
            if self._done < len(data):
                await trio.to_thread.run_sync(self._write_patiently, data, abandon_on_cancel=True)
        finally:
            if self._done:
                self._broken_line = self._done < len(data) and data[self._done - 1] != _LINE_FEED

    def _write_at_once(self, data: bytes) -> None:
        """Write until the descriptor would block."""
        mode = os.fstat(self._descriptor).st_mode
        piece = len(data) if stat.S_ISREG(mode) else select.PIPE_BUF
        readiness = select.poll()
        readiness.register(self._descriptor, select.POLLOUT)
        rest = memoryview(data)
        while self._done < len(data) and readiness.poll(0):
            try:
                self._done += os.write(self._descriptor, rest[self._done : self._done + piece])
            except BlockingIOError:
                return

    def _write_patiently(self, data: bytes) -> None:
        """Write all of it, waiting as long as it takes; in a thread."""
        rest = memoryview(data)
        while self._done < len(data):
            try:
                self._done += os.write(self._descriptor, rest[self._done :])
            except BlockingIOError:
                readiness = select.poll()
                readiness.register(self._descriptor, select.POLLOUT)
                readiness.poll()

    def reopen(self) -> None:
        pass

    def close(self) -> None:
        pass


class _File(_Descriptor):
    """A log file, opened for appending and followed by its path."""

    def __init__(self, path: str) -> None:
        super().__init__(-1)
        self._path = path
        self._stale = False

    def open(self) -> None:
        try:
            self._descriptor = self._open()
        except OSError as error:
            raise StartError(
                f"cannot write the access log {self._path}: {error.strerror}; give another path, - or off"
            ) from error

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    async def write(self, data: bytes) -> None:
        if self._stale:
            # Opened before the old one is closed: when it fails, the old file goes on.
            fresh = self._open()
            os.close(self._descriptor)
            self._descriptor, self._stale, self._broken_line = fresh, False, False
        await super().write(data)

    def reopen(self) -> None:
        self._stale = True

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
