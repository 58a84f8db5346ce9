"""A watcher that can also be rung by hand: SIGHUP says "look again"."""

from __future__ import annotations

import attrs
import trio

from meshd.control.sources.watching import Watcher


@attrs.define(eq=False)
class Bell:
    """A ``Watcher`` around another one."""

    _watcher: Watcher
    _rung: trio.Event = attrs.field(factory=trio.Event, init=False)

    def ring(self) -> None:
        """Let the next ``wait_change`` return."""
        self._rung.set()

    async def wait_change(self) -> None:
        """Return after a change, or a ring."""
        # The waits fail only by bugs, which go on to whoever waits here.
        async with trio.open_nursery() as wait_nursery:
            wait_nursery.start_soon(self._wait_watcher, wait_nursery.cancel_scope)
            await self._rung.wait()
            self._rung = trio.Event()
            wait_nursery.cancel_scope.cancel()

    async def _wait_watcher(self, scope: trio.CancelScope) -> None:
        await self._watcher.wait_change()
        scope.cancel()

    def close(self) -> None:
        """Close the other one."""
        self._watcher.close()
