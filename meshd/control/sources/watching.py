"""Knowing that files changed: by the kernel's word where it gives it, else by looking now and then."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import trio

LOG = logging.getLogger(__name__)

POLL = 0.5
"""Seconds between looks where the kernel does not tell."""

RESCAN = 2.0
"""Seconds. A look at everything in case the kernel said nothing (network file systems, a directory made anew)."""

_STEP_MS = 20
_DEBOUNCE_MS = 60
"""How changes that come together are gathered; what is saved in one go is one change."""
_TIMEOUT_MS = 1000
"""The longest that the watching thread stays in one call."""


class Watcher(Protocol):
    """Tells that something may have changed."""

    async def wait_change(self) -> None:
        """Return after the next change, or at once if there was one since the last call.

        Cancellation: nothing is lost.
        """

    def close(self) -> None:
        """Give back what it holds. Idempotent."""


class PollingWatcher:
    """Says "perhaps" every so many seconds."""

    def __init__(self, interval: float = POLL) -> None:
        self._interval = interval

    async def wait_change(self) -> None:
        """Sleep."""
        await trio.sleep(self._interval)

    def close(self) -> None:
        """There is nothing to give back."""


class NativeWatcher:
    """inotify and its kin, through watchfiles, in a thread of its own.

    Args:
        directories: Watched with all that is in them.

    Raises:
        OSError: The system cannot watch them.
        ImportError: watchfiles is not installed.
    """

    def __init__(self, directories: Sequence[str]) -> None:
        from watchfiles._rust_notify import RustNotify  # the control plane alone needs it, and only with a directory

        self._notify: Any = RustNotify(
            list(directories),
            debug=False,
            force_polling=False,
            poll_delay_ms=0,
            recursive=True,
            ignore_permission_denied=True,
        )
        self._stop = threading.Event()
        # The whole mutable state: the thread, and whether something changed that nobody was told of yet.
        self._thread: threading.Thread | None = None
        self._event = trio.Event()

    async def wait_change(self) -> None:
        """Wait until the thread has seen something."""
        if self._thread is None:
            token = trio.lowlevel.current_trio_token()
            self._thread = threading.Thread(target=self._watch, args=(token,), name="watch files", daemon=True)
            self._thread.start()
        await self._event.wait()
        self._event = trio.Event()

    def close(self) -> None:
        """End the thread; it looks every ``_STEP_MS``. Idempotent."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=_TIMEOUT_MS / 1000)

    def _watch(self, token: trio.lowlevel.TrioToken) -> None:
        """The thread: tell the loop of every change."""
        while not self._stop.is_set():
            try:
                seen = self._notify.watch(_DEBOUNCE_MS, _STEP_MS, _TIMEOUT_MS, self._stop)
                if not isinstance(seen, str):  # "timeout", "stop" or "signal": nothing changed
                    token.run_sync_soon(self._tell)
            except trio.RunFinishedError:
                break
            except (OSError, RuntimeError) as error:
                LOG.warning("the system no longer tells of changes: files are polled", extra={"reason": str(error)})
                break
        self._notify.close()

    def _tell(self) -> None:
        self._event.set()


def make_watcher(paths: Sequence[str]) -> Watcher:
    """The best watcher for these paths.

    A single file is polled: the kernel watches the file that was, not the name
    to which an editor moves its successor.
    """
    try:
        if not all(Path(path).is_dir() for path in paths):
            return PollingWatcher()
        return NativeWatcher(paths)
    except (ImportError, OSError, RuntimeError) as error:
        LOG.warning("files are polled: the system cannot watch them", extra={"reason": str(error)})
        return PollingWatcher()


class ManualWatcher:
    """Told by hand: for tests, for virtual time, and for SIGHUP."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def changed(self) -> None:
        """Something changed."""
        self._event.set()

    async def wait_change(self) -> None:
        """Wait for ``changed``."""
        await self._event.wait()
        self._event = trio.Event()

    def close(self) -> None:
        """There is nothing to give back."""
