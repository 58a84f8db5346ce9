"""An agent and a control plane together: join, poll, rotate, leave."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from meshd.net.memory import MemoryNetwork
from tests.agent.rig import AgentRig, Clock, ControlRig, mark_of, snapshot

Launch = Callable[..., AgentRig]


async def test_joins_with_a_token_and_gets_its_configuration(control: ControlRig, launch: Launch) -> None:
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await trio.sleep(1)
    identity = rig.agent.identity.current
    assert identity is not None
    assert identity.spiffe_id == "spiffe://cluster.local/ns/default/sa/reviews"
    assert [mark_of(each) for each in rig.applied] == ["one"]
    status = rig.agent.status
    assert status.ready, status.reason
    assert status.version == rig.applied[0].version
    assert status.connected


async def test_a_change_is_applied_within_the_waiting_poll(control: ControlRig, launch: Launch) -> None:
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await trio.sleep(1)
    before = trio.current_time()
    control.publish(reviews=snapshot("two"))
    await wait_all_tasks_blocked(0.001)
    assert [mark_of(each) for each in rig.applied] == ["one", "two"]
    assert trio.current_time() - before < 0.1
    await trio.sleep(0.5)
    row = control.nodes.rows(control.api.polling.version_of)[0]
    assert (row.name, row.status, row.applied) == ("reviews-1", "SYNCED", rig.applied[1].version)
