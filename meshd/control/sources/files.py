"""Files and directories as a source: read now, and again whenever they change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from meshd.control.sources.source import SourceSet
from meshd.control.sources.watching import RESCAN, Watcher
from meshd.control.store.directory import DirectoryStore

RunSync = Callable[[Callable[[], SourceSet]], Awaitable[SourceSet]]


async def in_thread(read: Callable[[], SourceSet]) -> SourceSet:
    """Read without holding up the loop."""
    return await trio.to_thread.run_sync(read)


async def inline(read: Callable[[], SourceSet]) -> SourceSet:
    """Read here and now: for virtual time, where there are no threads."""
    await trio.lowlevel.checkpoint()
    return read()


class FileSource:
    """Publishes what a ``DirectoryStore`` holds.

    Args:
        store: What to read.
        watcher: Who tells that it changed; ``run`` closes it.
        run_sync: How to run a read: ``in_thread`` or ``inline``.
        rescan: Seconds after which to look without being told.
    """

    def __init__(
        self, store: DirectoryStore, watcher: Watcher, *, run_sync: RunSync = in_thread, rescan: float = RESCAN
    ) -> None:
        self.name = store.name
        self._store = store
        self._watcher = watcher
        self._run_sync = run_sync
        self._rescan = rescan

    async def run(self, publish: Callable[[SourceSet], None]) -> None:
        """Publish the whole set now and after every change, until cancelled."""
        last: SourceSet | None = None
        try:
            while True:
                now = await self._run_sync(self._store.read)
                if now != last:
                    publish(now)
                    last = now
                with trio.move_on_after(self._rescan):
                    await self._watcher.wait_change()
        finally:
            self._watcher.close()
