"""Once over the kernel's sockets, in real time, with keys made by a real child."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import trio

from meshd.agent import Agent, AgentConfig, World
from meshd.certs.request import ChildKeyMaker
from meshd.net.address import Address
from meshd.net.resolver import SystemResolver
from meshd.net.sockets import open_socket_network
from meshd.snapshot.protocol import Registration
from meshd.snapshot.snapshot import Snapshot
from tests.agent.rig import ControlRig, mark_of, snapshot


async def test_join_poll_and_leave(tmp_path: Path) -> None:
    applied = trio.Event()
    seen: list[Snapshot] = []

    def apply(found: Snapshot) -> None:
        nonlocal applied
        seen.append(found)
        applied.set()
        applied = trio.Event()

    loopback = Address("127.0.0.1", 0)
    with trio.fail_after(30):
        async with open_socket_network() as network, trio.open_nursery() as nursery:
            control = ControlRig(network, tmp_path / "control", time.time, listen=loopback, operators=loopback)
            await control.start(nursery)
            control.publish(reviews=snapshot("one"))
            config = AgentConfig(
                Address("localhost", control.address.port),
                "reviews-1",
                registration=Registration(service="reviews"),
                token=control.token(),
                ca_hash=control.authority.pin,
                state_dir=tmp_path / "agent",
            )
            agent = Agent(config, World(network, SystemResolver(), Random(3), ChildKeyMaker(), time.time), apply)
            first = applied
            nursery.start_soon(agent.run)
            await first.wait()
            assert agent.status.spiffe_id == "spiffe://cluster.local/ns/default/sa/reviews"
            second = applied
            control.publish(reviews=snapshot("two"))
            await second.wait()
            assert [mark_of(each) for each in seen] == ["one", "two"]
            await agent.leave()
            assert len(control.nodes) == 0
            nursery.cancel_scope.cancel()
    agent.close()
    control.audit.close()
