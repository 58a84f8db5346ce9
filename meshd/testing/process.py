"""A meshd process inside the test's own: the real program of a mode, in a world that is all memory.

It can be stopped as by SIGTERM, killed as by SIGKILL, and started again with
what it left on disk.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Generic, TypeVar

import attrs
import trio

from meshd.certs.x509 import LocalKeyMaker
from meshd.errors import ConnectionLost, MeshdError
from meshd.modes.process import Program, World, expected_error
from meshd.net.address import Address
from meshd.net.connection import Connection, Listener, Network, Resolver
from meshd.net.timers import Timers

T = TypeVar("T")
P = TypeVar("P", bound=Program)


async def inline(function: Callable[[], T], /) -> T:
    """Do it here and now: on virtual time there are no threads."""
    await trio.lowlevel.checkpoint()
    return function()


class ProcessNetwork:
    """One process's sockets on its machine (``Network``): they die with it, as a kernel sees to."""

    def __init__(self, machine: Network) -> None:
        self._machine = machine
        # The whole mutable state: what is open, and whether the process has died.
        self._connections: list[Connection] = []
        self._listeners: list[Listener] = []
        self._most = 64
        self._dead = False

    async def connect(self, address: Address, *, source: str = "") -> Connection:
        """See ``Network``."""
        if self._dead:
            raise ConnectionLost("this process has died")
        return self.hold(await self._machine.connect(address, source=source))

    def listen(self, address: Address, *, backlog: int = 1024) -> Listener:
        """See ``Network``."""
        listener = _ProcessListener(self._machine.listen(address, backlog=backlog), self)
        self._listeners.append(listener)
        return listener

    def hold(self, connection: Connection) -> Connection:
        """A connection that ends with the process."""
        self._connections.append(connection)
        if len(self._connections) > self._most:
            self._connections = [each for each in self._connections if not getattr(each, "closed", False)]
            self._most = 2 * len(self._connections) + 64
        return connection

    def die(self) -> None:
        """Every socket goes at once, with a reset."""
        self._dead = True
        for listener in self._listeners:
            listener.close()
        for connection in self._connections:
            connection.abort(ConnectionLost("this process has died"))


class _ProcessListener:
    def __init__(self, listener: Listener, network: ProcessNetwork) -> None:
        self.address = listener.address
        self._listener = listener
        self._network = network

    async def accept(self) -> Connection:
        return self._network.hold(await self._listener.accept())

    def close(self) -> None:
        self._listener.close()


@attrs.frozen(eq=False)
class Ground:
    """What a process stands on."""

    machine: Network
    resolver: Resolver
    hostname: str
    wall_clock: Callable[[], float]
    chance: Callable[[str], random.Random]
    """A fresh source of randomness by name."""
    nursery: trio.Nursery


@attrs.frozen(eq=False)
class _Life(Generic[P]):
    program: P
    network: ProcessNetwork
    scope: trio.CancelScope
    ended: trio.Event


class Process(Generic[P]):
    """A program that can be started, stopped and killed. Made by the mesh.

    Attributes:
        name: What it is called.
        failure: Why it could not start or go on, None when it could.
    """

    def __init__(self, name: str, make: Callable[[], P], ground: Ground) -> None:
        self.name = name
        self.failure: MeshdError | None = None
        self._make = make
        self._ground = ground
        # The rest of the mutable state: its present life, and how many it has had.
        self._life: _Life[P] | None = None
        self._starts = 0

    @property
    def running(self) -> bool:
        """Is it alive?"""
        return self._life is not None

    @property
    def program(self) -> P:
        """The program that runs.

        Raises:
            RuntimeError: none does.
        """
        if self._life is None:
            why = f": {self.failure}" if self.failure is not None else ""
            raise RuntimeError(f"{self.name} is not running{why}")
        return self._life.program

    def start(self) -> None:
        """Start it; ready is another matter.

        Raises:
            RuntimeError: it runs already.
        """
        if self._life is not None:
            raise RuntimeError(f"{self.name} is running already")
        self._starts += 1
        self.failure = None
        life = _Life(self._make(), ProcessNetwork(self._ground.machine), trio.CancelScope(), trio.Event())
        self._life = life
        self._ground.nursery.start_soon(self._run, life)

    async def kill(self) -> None:
        """End it at once, as ``kill -9`` does: connections are reset, nothing is said to anybody."""
        life = self._life
        if life is not None:
            # Cancelled first: no task shall find its sockets gone and do something about it.
            life.scope.cancel()
            life.network.die()
            await life.ended.wait()

    async def stop(self) -> None:
        """End it politely, as SIGTERM does: it drains, then goes."""
        life = self._life
        if life is not None:
            await life.program.drain()
            life.scope.cancel()
            await life.ended.wait()

    async def _run(self, life: _Life[P]) -> None:
        ground = self._ground
        timers = Timers()
        world = World(
            network=life.network,
            timers=timers,
            rng=ground.chance(f"{self.name}/{self._starts}"),
            wall_clock=ground.wall_clock,
            resolver=ground.resolver,
            key_maker=LocalKeyMaker(),
            hostname=ground.hostname,
            work=inline,
        )
        try:
            # As in a real process: the timers stand under everything, and a crash ends it. What
            # a program raises on purpose is kept for who looks; a bug goes on and fails the test.
            with life.scope:
                async with trio.open_nursery() as process_nursery:
                    process_nursery.start_soon(timers.run)
                    await life.program.run(world)
                    process_nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            self.failure = expected_error(group)
            if self.failure is None:
                raise
        finally:
            life.network.die()
            self._life = None
            life.ended.set()
