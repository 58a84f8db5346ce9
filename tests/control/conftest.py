"""A control plane that is up, on virtual time where a test asks for ``autojump_clock``."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from meshd.net.memory import MemoryNetwork
from tests.agent.rig import Clock, ControlRig, snapshot


@pytest.fixture
async def control(tmp_path: Path, nursery: trio.Nursery) -> ControlRig:
    rig = ControlRig(MemoryNetwork(), tmp_path / "control", Clock())
    await rig.start(nursery)
    rig.publish(reviews=snapshot("one"), ratings=snapshot("for-ratings"))
    return rig
