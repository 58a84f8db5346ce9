"""Ways into a mesh inside a test: within trio, and from outside of it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import trio
from trio.testing import MockClock

from meshd.testing.chance import seeded_scheduler
from meshd.testing.mesh import Mesh, Settings

T = TypeVar("T")

HOUR = 3600.0
PATIENCE = 60.0
"""Real seconds for one test. One that waits for what never happens would let virtual time race for ever."""
MINUTE = 60.0


@asynccontextmanager
async def open_mesh(
    seed: int = 1,
    *,
    directory: Path | None = None,
    trust_domain: str = "cluster.local",
    certificate_ttl: float = 24 * HOUR,
    beside: Path | None = None,
    patience: float = PATIENCE,
) -> AsyncIterator[Mesh]:
    """Open a mesh with a control plane and nothing else.

    Args:
        seed: All chance comes from it: equal seeds give equal runs.
        directory: Where state directories go; None is a temporary one, removed at the end.
        trust_domain: Of the identities.
        certificate_ttl: Life of a workload's certificate in seconds.
        beside: A directory from which the paths of ``Mesh.load`` may start, beside the working directory.
        patience: Real seconds after which a test that still waits is ended, and told where it waits.

    Raises:
        RuntimeError: trio does not run on virtual time; a call was never awaited; patience is at its end.
    """
    clock = trio.lowlevel.current_clock()
    if not isinstance(clock, MockClock):
        raise RuntimeError(  # noqa: TRY004 - the type of the clock is not the caller's argument
            "a mesh inside a test needs virtual time: use the fixture `mesh`, run_mesh(...), "
            "or trio.run(..., clock=trio.testing.MockClock(autojump_threshold=0))"
        )
    with seeded_scheduler(seed), _directory(directory) as place:
        # What the test itself raises leaves as it is, not in a group: an assertion is to be read.
        failure: BaseException | None = None
        waiting = _Patience(patience, trio.lowlevel.current_task())
        # Every process of the mesh lives in it; a bug in one of them fails the test.
        async with trio.open_nursery() as mesh_nursery:
            settings = Settings(seed, trust_domain, certificate_ttl, beside)
            mesh = Mesh(mesh_nursery, place, settings)
            mesh_nursery.start_soon(waiting.watch, mesh_nursery.cancel_scope)
            mesh.control.start()
            await mesh.control.ready()
            try:
                yield mesh
            except (trio.Cancelled, GeneratorExit, KeyboardInterrupt):
                mesh.forgotten()
                raise
            except BaseException as error:  # noqa: BLE001 - raised again below
                failure = error
            mesh_nursery.cancel_scope.cancel()
        lost = mesh.forgotten()
        if failure is not None:
            raise failure
        if waiting.ended:
            raise RuntimeError(waiting.ended)
        if lost:
            raise RuntimeError(
                f"a call was made and never awaited, so nothing happened: write await; {', '.join(lost)}"
            )


def run_mesh(test: Callable[[Mesh], Awaitable[T]], seed: int = 1, **options: Any) -> T:
    """Run a function of a mesh on virtual time, outside of pytest or in a plain function; returns what it returns.

    Args:
        test: Is given the mesh.
        seed: See ``open_mesh``.
        options: See ``open_mesh``.
    """
    __tracebackhide__ = True

    async def main() -> T:
        __tracebackhide__ = True
        async with open_mesh(seed, **options) as mesh:
            return await test(mesh)

    return trio.run(main, clock=MockClock(autojump_threshold=0))


class _Patience:
    """Ends a test that waits for what never happens: processor time is all that such a test uses."""

    def __init__(self, seconds: float, task: trio.lowlevel.Task) -> None:
        # The whole mutable state: why it was ended, "" while it was not.
        self.ended = ""
        self._seconds = seconds
        self._task = task

    async def watch(self, scope: trio.CancelScope) -> None:
        """Look once in a virtual minute."""
        began, virtual = _real_time(), trio.current_time()
        while _real_time() - began < self._seconds:  # noqa: ASYNC110 - no event tells of time
            await trio.sleep(MINUTE)
        places = [
            f"{frame.f_code.co_filename}:{line}"
            for frame, line in self._task.iter_await_frames()
            if "/trio/" not in frame.f_code.co_filename and "/meshd/testing/" not in frame.f_code.co_filename
        ]
        self.ended = (
            f"the test has run for {self._seconds:g} real seconds and {trio.current_time() - virtual:.0f} virtual ones,"
            f" and waits at {places[-1] if places else 'its end'}: what it waits for may never happen"
            " (patience=SECONDS of open_mesh allows more)"
        )
        scope.cancel()


def _real_time() -> float:
    return time.monotonic()  # noqa: TID251 - virtual time is what is guarded against


@contextmanager
def _directory(directory: Path | None) -> Iterator[Path]:
    if directory is not None:
        yield directory
        return
    # State is written so that it survives a power cut, which on a disk costs 4 ms for each file; memory does as well here.
    memory = Path("/dev/shm")  # noqa: S108 - a directory of its own is made in it
    with tempfile.TemporaryDirectory(prefix="meshd-test-", dir=memory if os.access(memory, os.W_OK) else None) as made:
        yield Path(made)
