"""Ways into a mesh inside a test: within trio, and from outside of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import trio
from trio.testing import MockClock

from meshd.testing.chance import seeded_scheduler
from meshd.testing.mesh import Mesh

T = TypeVar("T")

HOUR = 3600.0


@asynccontextmanager
async def open_mesh(
    seed: int = 1,
    *,
    directory: Path | None = None,
    trust_domain: str = "cluster.local",
    certificate_ttl: float = 24 * HOUR,
) -> AsyncIterator[Mesh]:
    """Open a mesh with a control plane and nothing else.

    Args:
        seed: All chance comes from it: equal seeds give equal runs.
        directory: Where state directories go; None is a temporary one, removed at the end.
        trust_domain: Of the identities.
        certificate_ttl: Life of a workload's certificate in seconds.

    Raises:
        RuntimeError: trio does not run on virtual time.
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
        # Every process of the mesh lives in it; a bug in one of them fails the test.
        async with trio.open_nursery() as mesh_nursery:
            mesh = Mesh(mesh_nursery, place, seed, trust_domain=trust_domain, certificate_ttl=certificate_ttl)
            mesh.control.start()
            await mesh.control.ready()
            try:
                yield mesh
            except (trio.Cancelled, GeneratorExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # noqa: BLE001 - raised again below
                failure = error
            mesh_nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure


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


@contextmanager
def _directory(directory: Path | None) -> Iterator[Path]:
    if directory is not None:
        yield directory
        return
    # State is written so that it survives a power cut, which on a disk costs 4 ms for each file; memory does as well here.
    memory = Path("/dev/shm")  # noqa: S108 - a directory of its own is made in it
    with tempfile.TemporaryDirectory(prefix="meshd-test-", dir=memory if os.access(memory, os.W_OK) else None) as made:
        yield Path(made)
