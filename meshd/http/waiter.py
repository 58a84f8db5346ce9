"""One task waits, anyone wakes it: the smallest thing that tasks of one connection need."""

from __future__ import annotations

import trio

from meshd.net.go_on import GO_ON


class Waiter:
    """Parks at most one task. A wake-up that comes first is kept.

    Whoever waits looks at what it waits for after every wake-up: one may be stale.
    """

    __slots__ = ("_task", "_woken")

    def __init__(self) -> None:
        # The whole mutable state: who is parked, and whether the next wait ends at once.
        self._task: trio.lowlevel.Task | None = None
        self._woken = False

    async def wait(self) -> None:
        """Park until woken. Not a checkpoint when woken already.

        Cancellation: nothing is lost but the wait.
        """
        if self._woken:
            self._woken = False
            return
        assert self._task is None, "one task waits at a time"
        self._task = trio.lowlevel.current_task()

        def give_up(_: object) -> trio.lowlevel.Abort:
            self._task = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(give_up)

    def wake(self) -> None:
        """Let the parked task go on, or the next one that comes."""
        task = self._task
        if task is None:
            self._woken = True
        else:
            self._task = None
            trio.lowlevel.reschedule(task, GO_ON)
