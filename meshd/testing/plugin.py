"""The pytest plugin: a fixture ``mesh``, and what runs the tests that use it.

A test that takes ``mesh`` is an ``async def``. It is run by trio on virtual time
inside an open mesh, whether or not another plugin for trio is there. Loaded by
its entry point; imports nothing of a mesh before a test wants one.

``mesh_seed`` is the seed: override the fixture, or parametrise it, to change it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from meshd.testing.mesh import Mesh

ORIGINAL: pytest.StashKey[Callable[..., Any]] = pytest.StashKey()


@pytest.fixture
def mesh_seed() -> int:
    """The seed of the fixture ``mesh``."""
    return 1


@pytest.fixture
def mesh(mesh_seed: int) -> MeshToOpen:
    """A mesh inside a test: ``meshd.testing.Mesh``, open while the test runs."""
    return MeshToOpen(mesh_seed)


class MeshToOpen:
    """Stands for the mesh until the test runs."""

    def __init__(self, seed: int) -> None:
        self.seed = seed


def pytest_itemcollected(item: pytest.Item) -> None:
    """Note asynchronous tests before any other plugin puts a wrapper around them: some are ours to run."""
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
        item.stash[ORIGINAL] = item.obj


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Run ours, last of all wrappers, so that whatever another one has put in place is undone.

    Ours are those whose ``mesh`` is: someone else's fixture of this name is theirs.
    """
    test = item.stash.get(ORIGINAL, None)
    if test is not None and isinstance(item, pytest.Function) and isinstance(item.funcargs.get("mesh"), MeshToOpen):
        item.obj = _runner(test)
    return (yield)


def _runner(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(**arguments: Any) -> None:
        __tracebackhide__ = True
        from meshd.testing.opening import run_mesh

        to_open: MeshToOpen = arguments["mesh"]
        foreign = [name for name, value in arguments.items() if type(value).__name__ == "TrioFixture"]
        if foreign:
            raise pytest.UsageError(
                f"pytest-trio's fixtures cannot be used together with `mesh`: {', '.join(foreign)}; "
                "open the mesh in the test instead, with open_mesh() and autojump_clock"
            )

        async def inside(mesh: Mesh) -> None:
            __tracebackhide__ = True
            await test(**{**arguments, "mesh": mesh})

        run_mesh(inside, to_open.seed)

    # pytest asks whether a function is async; the wrapped one is, this one is not.
    del run.__wrapped__
    return run
