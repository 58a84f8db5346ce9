"""The demo: lay out a directory, start everything, say what there is, and clean up."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import attrs
import trio

from meshd.control import local
from meshd.errors import MeshdError, StartError
from meshd.modes.demo import tour
from meshd.modes.demo.children import Children
from meshd.modes.demo.plan import (
    CERTIFICATE_TTL,
    PORTS_NEEDED,
    TOUR_CERTIFICATE_TTL,
    VERSIONS,
    Member,
    Plan,
    environment,
    make_plan,
)
from meshd.modes.demo.ports import Claims
from meshd.modes.demo.visitor import Visitor
from meshd.modes.process import expected_error, open_world
from meshd.modes.settings import DemoSettings

READY_WITHIN = 30.0
"""Seconds; a machine that needs longer has other troubles."""
LOOK_EVERY = 0.05


def say(text: str) -> None:
    """To the person in front of the terminal."""
    print(text, flush=True)  # noqa: T201 - the demo is a conversation


def run(settings: DemoSettings) -> int:
    """Run the demo until Ctrl-C, or the tour.

    Returns:
        The exit code.

    Raises:
        StartError: it cannot start.
    """
    gc.enable()
    with _directory(settings) as directory:
        try:
            return trio.run(_main, settings, directory)
        except BaseExceptionGroup as group:
            error = expected_error(group)
            if error is None:
                raise
            raise error from None


@contextlib.contextmanager
def _directory(settings: DemoSettings) -> Iterator[Path]:
    """The demo's directory, filled; a temporary one goes away again."""
    if settings.directory is None:
        directory = Path(tempfile.mkdtemp(prefix="meshd-demo-"))
    else:
        directory = settings.directory.absolute()
    try:
        _lay_out(directory)
        yield directory
    finally:
        if settings.directory is None and not settings.keep:
            shutil.rmtree(directory, ignore_errors=True)
        elif settings.keep or settings.directory is not None:
            say(f"Left behind: {directory}")


def _lay_out(directory: Path) -> None:
    try:
        for name in ("store", "try"):
            target = directory / name
            target.mkdir(parents=True, exist_ok=True)
            for source in resources.files("meshd.modes.demo").joinpath(name).iterdir():
                if not (target / source.name).exists():
                    (target / source.name).write_bytes(source.read_bytes())
        for name in ("logs", "run", "state"):
            (directory / name).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StartError(f"--dir {directory}: {error.strerror}") from error


async def _main(settings: DemoSettings, directory: Path) -> int:
    async with open_world() as world:
        with Claims() as claims:
            gateway = claims.door(settings.port)
            ttl = TOUR_CERTIFICATE_TTL if settings.check else CERTIFICATE_TTL
            plan = make_plan(directory, gateway, claims.take(PORTS_NEEDED, world.rng), certificate_ttl=ttl)
            demo = Demo(plan, Children(environment(plan, os.environ), plan.logs, say))
            return await demo.run(Visitor.make(plan, world), check=settings.check)


@attrs.define(eq=False)
class Demo:
    """One demo, from the first process to the last."""

    plan: Plan
    children: Children

    async def run(self, visitor: Visitor, *, check: bool) -> int:
        """Start, then wait for Ctrl-C or make the tour; every process has ended when it returns."""
        started = trio.current_time()
        say(f"Starting {len(self.plan.members())} processes in {self.plan.directory} ...")
        code = 0
        try:
            # Whoever fails here (a process that does not start, the tour) ends the demo.
            async with trio.open_nursery() as demo_nursery:
                demo_nursery.start_soon(self._interrupted, demo_nursery.cancel_scope)
                for member in self.plan.members():
                    demo_nursery.start_soon(self._keep, member)
                await self._wait_ready(visitor)
                took = trio.current_time() - started
                if check:
                    code = await tour.make(self.plan, self.children, visitor, say, took)
                else:
                    say(_welcome(self.plan, took))
                    await trio.sleep_forever()
                demo_nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 20):
                await self.children.stop_all()
            self.children.kill_all()
        return code

    async def _keep(self, member: Member) -> None:
        # A proxy looks for the control plane once, when it starts.
        while member.waits and local.find(self.plan.runtime) is None:
            await trio.sleep(LOOK_EVERY)
        await self.children.keep(member)

    async def _interrupted(self, scope: trio.CancelScope) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            asked = False
            async for _ in signals:
                if asked:
                    self.children.kill_all()
                    os._exit(1)
                asked = True
                say("\nStopping ...")
                scope.cancel()

    async def _wait_ready(self, visitor: Visitor) -> None:
        """Until every proxy is ready and a whole page comes.

        Raises:
            StartError: it takes too long.
        """
        missing = "the first page"
        with trio.move_on_after(READY_WITHIN):
            while True:
                try:
                    waiting = await visitor.not_ready()
                    page = None if waiting else await visitor.page()
                    if page is not None and page.whole:
                        return
                    missing = ", ".join(waiting) or "a whole page"
                except MeshdError as error:
                    missing = str(error)
                await trio.sleep(LOOK_EVERY)
        raise StartError(
            f"the demo is not ready after {READY_WITHIN:.0f} seconds: {missing}; look into {self.plan.logs} (--keep)",
            exit_code=1,
        )


def _welcome(plan: Plan, took: float) -> str:
    count = len(VERSIONS)
    services = len({service for service, _ in VERSIONS})
    store = plan.store
    return f"""
Bookinfo runs: {services} services in {count} versions, a sidecar beside each, a gateway and a control plane,
{len(plan.members())} processes on this machine. Ready after {took:.1f} s.

  page     {plan.url}
  store    {store}
           (Istio's YAML; what is put there is live within a second)
  logs     {plan.logs}

Reload the page: reviews come without stars, with black or with red ones, as its three versions take turns.
Then try, in another terminal:

  cp {plan.examples}/reviews-v3.yaml {store}/       # red stars for everybody
  cp {plan.examples}/ratings-deny.yaml {store}/     # reviews may no longer ask ratings
  MESHD_RUNTIME_DIR={plan.runtime} {_meshd()} proxy-status

Removing a file from the store takes its effect away. Ctrl-C ends the demo."""


def _meshd() -> str:
    """How the user called us, so that the command can be copied."""
    return sys.argv[0] if Path(sys.argv[0]).name == "meshd" else f"{sys.executable} -m meshd"
