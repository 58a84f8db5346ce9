"""A control plane that is up, and a maker of agents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from meshd.net.memory import MemoryNetwork
from tests.agent.rig import AgentRig, Clock, ControlRig, make_agent, snapshot


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork()


@pytest.fixture
async def clock(autojump_clock: trio.testing.MockClock) -> Clock:
    return Clock()


@pytest.fixture
async def control(network: MemoryNetwork, clock: Clock, tmp_path: Path, nursery: trio.Nursery) -> ControlRig:
    rig = ControlRig(network, tmp_path / "control", clock)
    await rig.start(nursery)
    rig.publish(reviews=snapshot("one"), ratings=snapshot("for-ratings"))
    return rig


@pytest.fixture
def launch(network: MemoryNetwork, clock: Clock, nursery: trio.Nursery) -> Callable[..., AgentRig]:
    def launch(**options: object) -> AgentRig:
        rig = make_agent(network, clock, **options)  # type: ignore[arg-type]
        nursery.start_soon(rig.run)
        return rig

    return launch
