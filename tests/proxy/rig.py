"""An engine on a memory network, with everything it needs and everything a test wants to look at."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping

import trio

from meshd.net.address import Address
from meshd.net.memory import MemoryNetwork, StaticResolver
from meshd.net.timers import Timers
from meshd.proxy.bindings import Bindings
from meshd.proxy.engine import Engine
from meshd.proxy.limits import ProxyLimits
from meshd.proxy.world import ProxyWorld
from meshd.snapshot.snapshot import Snapshot
from meshd.telemetry.access_log import LogWriter
from meshd.telemetry.metrics import Registry
from tests.fakes import Behaviour, FakeClient, FakeUpstream

EPOCH = 1_800_000_000.0


class ListSink:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.data = b""

    async def write(self, data: bytes) -> None:
        self.data += data

    def reopen(self) -> None: ...

    def close(self) -> None: ...


class NoTls:
    """For worlds without TLS."""

    def missing(self, tls: object) -> str:
        return "no TLS here"

    async def accept(self, connection: object, tls: object, server_name: str) -> None:
        raise AssertionError("no TLS here")

    async def connect(self, connection: object, tls: object, endpoint: object, **more: object) -> None:
        raise AssertionError("no TLS here")


class Rig:
    """One proxy and its surroundings. Made by ``start``."""

    def __init__(self, nursery: trio.Nursery, network: MemoryNetwork, **world: object) -> None:
        self.nursery = nursery
        self.network = network
        self.sink = ListSink()
        self.registry = Registry()
        self.log_writer = LogWriter(self.sink)
        self.timers = Timers()
        given: dict[str, object] = {
            "network": network,
            "resolver": StaticResolver({}),
            "rng": random.Random(1),
            "tls": NoTls(),
            "bindings": Bindings(),
            "limits": ProxyLimits(),
            **world,
        }
        self.engine = Engine(
            ProxyWorld(
                timers=self.timers,
                wall_clock=lambda: EPOCH + trio.current_time(),
                registry=self.registry,
                log_writer=self.log_writer,
                **given,  # type: ignore[arg-type]
            )
        )
        self.client = FakeClient(network, nursery)

    @classmethod
    async def start(
        cls,
        nursery: trio.Nursery,
        snapshot: Snapshot | None = None,
        *,
        network: MemoryNetwork | None = None,
        **world: object,
    ) -> Rig:
        """A running engine with ``snapshot`` applied."""
        rig = cls(nursery, network or MemoryNetwork(), **world)
        nursery.start_soon(rig.timers.run)
        await nursery.start(rig.engine.run)
        if snapshot is not None:
            rig.apply(snapshot)
        return rig

    def apply(self, snapshot: Snapshot) -> None:
        """Change over."""
        self.engine.commit(self.engine.prepare(snapshot))

    async def upstream(
        self, address: str, name: str = "", behaviour: Behaviour | None = None, **more: object
    ) -> FakeUpstream:
        """A backend at ``ip:port``."""
        fake = FakeUpstream(name or address, behaviour, **more)  # type: ignore[arg-type]
        await self.nursery.start(fake.run, more.pop("network", self.network), Address.parse(address))
        return fake

    def address(self, name: str = "0.0.0.0_80") -> Address:
        """Where to reach a listener from here."""
        bound = self.engine.addresses[name]
        return Address(bound.host or "127.0.0.1", bound.port)

    async def get(self, target: str = "/", **more: object):
        """A GET through the gateway."""
        return await self.client.get(self.address(), target, **more)

    async def logs(self) -> list[Mapping[str, object]]:
        """The access log so far."""
        await self.log_writer.flush()
        return [json.loads(line) for line in self.sink.data.decode().splitlines()]

    def metrics(self) -> str:
        """The metrics page."""
        return b"".join(self.registry.render()).decode()
