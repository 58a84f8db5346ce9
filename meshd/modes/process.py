"""A long-running process: signals, the poller, the timers, and one program inside.

The nursery of a process holds what everything else stands on; whatever crashes
in it ends the process. A program is run until the first SIGTERM or SIGINT, then
asked to drain, then cancelled. A second signal ends the process at once.
SIGHUP asks the program to read its configuration again.
"""

from __future__ import annotations

import errno
import gc
import logging
import os
import random
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

import attrs
import trio

from meshd.errors import MeshdError, StartError
from meshd.modes import logs
from meshd.modes.settings import Listening, Logging
from meshd.net.address import Address
from meshd.net.connection import Listener, Network, Resolver
from meshd.net.resolver import SystemResolver
from meshd.net.sockets import open_socket_network
from meshd.net.timers import Timers

if TYPE_CHECKING:
    # Only a proxy with a control plane needs one.
    from meshd.certs.request import KeyMaker

logger = logging.getLogger(__name__)

T = TypeVar("T")

GC_THRESHOLD = 20_000
"""Young objects before a collection. Nearly all garbage of a request is freed by its count;
collecting less often is worth 3 to 4 % (measured)."""
PORTS_TRIED = 200
"""How far to look for a free port when a default one is taken."""


class Work(Protocol):
    """How to do what takes long without holding up the loop."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]: ...


async def in_thread(function: Callable[[], T], /) -> T:
    """Do it in a thread."""
    return await trio.to_thread.run_sync(function)


@attrs.frozen
class World:
    """What a program is given instead of taking it: network, names, time, chance, keys, threads.

    ``key_maker`` None: keys are made in a child process, which keeps their library out of this one.
    """

    network: Network
    timers: Timers
    rng: random.Random
    wall_clock: Callable[[], float]
    resolver: Resolver = attrs.field(factory=SystemResolver)
    key_maker: KeyMaker | None = None
    hostname: str = attrs.field(factory=socket.gethostname)
    work: Work = in_thread


class Program(Protocol):
    """What runs inside a process."""

    async def run(self, world: World) -> None:
        """Do it, until cancelled.

        Raises:
            StartError: it cannot start, or not go on.
        """
        ...

    async def drain(self) -> None:
        """Stop taking work and let what is under way finish; bounded by the program's own deadline."""
        ...

    def reload(self) -> None:
        """Read static configuration again, soon; a worse one changes nothing."""
        ...


def run(program: Program, logging_settings: Logging) -> None:
    """Run a program as this process.

    Raises:
        StartError: it cannot start as configured, or not go on.
        ConfigError: its configuration cannot be used.
    """
    logs.set_up(logging_settings)
    # What is loaded by now lives as long as the process; the collector need not look at it again.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 20)
    gc.enable()
    try:
        trio.run(_main, program)
    except BaseExceptionGroup as group:
        if group.split(KeyboardInterrupt)[1] is None:
            # Ctrl-C before anybody listened for signals.
            raise KeyboardInterrupt from None
        expected = expected_error(group)
        if expected is None:
            raise
        raise expected from None


def expected_error(group: BaseExceptionGroup[BaseException]) -> MeshdError | None:
    """The first leaf, when every leaf is an error that we raise on purpose."""
    leaves: list[BaseException] = list(group.exceptions)
    found: list[MeshdError] = []
    while leaves:
        leaf = leaves.pop(0)
        if isinstance(leaf, BaseExceptionGroup):
            leaves[:0] = leaf.exceptions
        elif isinstance(leaf, MeshdError):
            found.append(leaf)
        else:
            return None
    return next((error for error in found if isinstance(error, StartError)), found[0])


async def _main(program: Program) -> None:
    stop = trio.Event()
    async with open_world() as world, trio.open_nursery() as process_nursery:

        async def run() -> None:
            # A program may also end by itself (`/quitquitquit`).
            await program.run(world)
            process_nursery.cancel_scope.cancel()

        # Both live as long as the process; a crash of either ends it.
        await process_nursery.start(_watch_signals, program, stop)
        process_nursery.start_soon(run)
        await stop.wait()
        await program.drain()
        process_nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_world() -> AsyncIterator[World]:
    """The real world: the kernel's sockets, trio's clock, the system's randomness."""
    timers = Timers()
    async with open_socket_network() as network, trio.open_nursery() as ground_nursery:
        # The timers stand under everything; their crash ends the process.
        ground_nursery.start_soon(timers.run)
        # The one place where the wall clock is taken instead of given.
        wall_clock = time.time  # noqa: TID251
        yield World(network, timers, random.Random(os.urandom(16)), wall_clock)
        ground_nursery.cancel_scope.cancel()


async def _watch_signals(
    program: Program, stop: trio.Event, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            name = signal.Signals(number).name
            if number == signal.SIGHUP:
                logger.info("reading the configuration again", extra={"signal": name})
                program.reload()
            elif not stop.is_set():
                logger.info("stopping", extra={"signal": name})
                stop.set()
            else:
                # Whoever asks twice does not want to wait for anything of ours.
                logger.warning("stopping at once", extra={"signal": name})
                os._exit(128 + number)


def listen(network: Network, listening: Listening, what: str) -> Listener | None:
    """Bind a listener of our own (not of the mesh's traffic).

    Args:
        network: Where.
        listening: The address; one that was not asked for gives way to the next free port.
        what: The flag's name, for messages: ``admin``.

    Raises:
        StartError: an address that was asked for cannot be had (exit code 78).
    """
    address = listening.address
    if address is None:
        return None
    tries = 1 if listening.asked or address.port == 0 else PORTS_TRIED
    for offset in range(tries):
        candidate = Address(address.host, min(address.port + offset, 65535))
        try:
            listener = network.listen(candidate)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and offset + 1 < tries:
                continue
            raise StartError(f"--{what} {candidate}: {_why(error)}") from error
        if offset:
            logger.warning("port %d is taken; %s is at %s", address.port, what, listener.address)
        return listener
    raise AssertionError("the loop ends by return or raise")


def _why(error: OSError) -> str:
    reason = (error.strerror or str(error)).lower()
    if error.errno == errno.EADDRINUSE:
        return f"{reason}; stop what listens there or name another port (0 takes any free one)"
    if error.errno == errno.EACCES:
        return f"{reason}; ports below 1024 need root or CAP_NET_BIND_SERVICE"
    return reason
