"""The pytest plugin: a fixture ``mesh``, and what runs the tests that use it.

A test that takes ``mesh`` is an ``async def``. It is run by trio on virtual time
inside an open mesh, whichever other plugins for asynchronous tests are there.
Loaded by its entry point; imports nothing of a mesh before a test wants one.

``mesh_seed`` is the seed, ``mesh_options`` what else ``open_mesh`` takes: override
these fixtures, or parametrise them, to change them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from meshd.testing.mesh import Mesh

ORIGINAL: pytest.StashKey[Callable[..., Any]] = pytest.StashKey()


@pytest.fixture
def mesh_seed() -> int:
    """The seed of the fixture ``mesh``."""
    return 1


@pytest.fixture
def mesh_options() -> dict[str, Any]:
    """More of what ``meshd.testing.open_mesh`` takes, for the fixture ``mesh``."""
    return {}


@pytest.fixture
def mesh(request: pytest.FixtureRequest, mesh_seed: int, mesh_options: dict[str, Any]) -> MeshToOpen:
    """A mesh inside a test: ``meshd.testing.Mesh``, open while the test runs."""
    return MeshToOpen(mesh_seed, {"beside": Path(request.path).parent, **mesh_options})


class MeshToOpen:
    """Stands for the mesh until the test runs. A plain test can do one thing with it: ``run``."""

    def __init__(self, seed: int, options: dict[str, Any]) -> None:
        self._seed = seed
        self._options = options

    def run(self, test: Callable[[Mesh], Awaitable[Any]]) -> Any:
        """Open the mesh, give it to an async function, and return what that returns."""
        __tracebackhide__ = True
        from meshd.testing.opening import run_mesh

        return run_mesh(test, self._seed, **self._options)

    def __getattr__(self, name: str) -> NoReturn:
        __tracebackhide__ = True
        raise AttributeError(
            f"mesh.{name}: a mesh lives in asynchronous tests and fixtures cannot use it: "
            "write `async def test_...(mesh)`, or in a plain test mesh.run(an_async_function)"
        )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Note asynchronous tests before any other plugin puts a wrapper around them: some are ours to run."""
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
        item.stash[ORIGINAL] = item.obj


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Run ours past every other plugin's way of running a test.

    Ours are those whose ``mesh`` is: someone else's fixture of this name is theirs.
    """
    test = item.stash.get(ORIGINAL, None)
    if test is None or not isinstance(item, pytest.Function):
        return (yield)
    if not isinstance(item.funcargs.get("mesh"), MeshToOpen):
        return (yield)
    # What others have put in place of the test (item.obj), or of the way to call it, is not looked at.
    arguments = {name: item.funcargs[name] for name in item._fixtureinfo.argnames}
    runner = _opening(test)

    def runtest() -> None:
        __tracebackhide__ = True
        runner(**arguments)

    item.runtest = runtest  # type: ignore[method-assign]
    try:
        return (yield)
    finally:
        del item.runtest


def _opening(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(**named: Any) -> None:
        __tracebackhide__ = True
        foreign = [name for name, value in named.items() if type(value).__name__ == "TrioFixture"]
        if foreign:
            raise pytest.UsageError(
                f"pytest-trio's fixtures cannot be used together with `mesh`: {', '.join(foreign)}; "
                "open the mesh in the test instead, with open_mesh() and autojump_clock"
            )
        to_open: MeshToOpen = named["mesh"]

        async def inside(mesh: Mesh) -> None:
            __tracebackhide__ = True
            await test(**{**named, "mesh": mesh})

        to_open.run(inside)

    # Whoever asks whether it is async is not to look through it.
    del run.__wrapped__
    return run
