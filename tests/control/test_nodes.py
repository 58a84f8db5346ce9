"""Registered nodes: they come, renew, poll, fall silent and leave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from meshd.control.nodes import Node, NodeKey, NodeLimits, Nodes, TooManyNodes
from meshd.control.registrations import Workload
from meshd.control.scope import Scope
from meshd.snapshot.protocol import PollStatus, Registration

DOMAIN = "cluster.local"
V1, V2 = "1" * 64, "2" * 64


def wall() -> float:
    return 1_800_000_000.0


def key(name: str = "n1", account: str = "reviews") -> NodeKey:
    return NodeKey(f"spiffe://{DOMAIN}/ns/default/sa/{account}", name)


def enter(nodes: Nodes, name: str = "n1", account: str = "reviews", **said: object) -> Node:
    settings = {"service": "reviews", "address": "10.0.0.5", "inbound_port": 15006, "app_port": 9080, **said}
    registration = Registration(**settings)  # type: ignore[arg-type]
    return nodes.register(key(name, account), Workload("default", account, name, registration), DOMAIN, 7.0)


@pytest.fixture
async def nodes(autojump_clock: MockClock) -> Nodes:
    return Nodes(wall)


async def test_the_first_set_is_published_at_once_even_if_empty(nodes: Nodes, autojump_clock: MockClock) -> None:
    seen: list[object] = []
    with trio.move_on_after(1):
        await nodes.run(seen.append)
    assert seen == [()]


async def test_changes_are_published_and_renewals_are_not(
    nodes: Nodes, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    seen: list[tuple[object, ...]] = []
    nursery.start_soon(nodes.run, seen.append)
    await trio.sleep(1)
    for index in range(50):
        enter(nodes, f"n{index}", address=f"10.0.0.{index}")
    await trio.sleep(1)
    assert [len(each) for each in seen] == [0, 51], "fifty that come together are one publication"
    for _ in range(5):
        await trio.sleep(5)
        for index in range(50):
            enter(nodes, f"n{index}", address=f"10.0.0.{index}")
    assert len(seen) == 2
    assert nodes.remove(key("n7"))
    assert not nodes.remove(key("n7"))
    await trio.sleep(1)
    assert [len(each) for each in seen] == [0, 51, 50]


async def test_the_silent_are_forgotten_exactly_when_their_time_is_up(
    nodes: Nodes, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    nursery.start_soon(nodes.run, lambda _: None)
    enter(nodes, "a")
    await trio.sleep(20)
    enter(nodes, "b")
    await trio.sleep(9.9)
    assert len(nodes) == 2
    await trio.sleep(0.2)
    assert [node.key.name for node in nodes] == ["b"]
    assert nodes.statistics() == {"registered": 1, "expired": 1}


async def test_polling_is_living(nodes: Nodes, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    nursery.start_soon(nodes.run, lambda _: None)
    node = enter(nodes)
    for _ in range(5):
        await trio.sleep(20)
        nodes.report(node, PollStatus(applied=V1))
    assert len(nodes) == 1


async def test_one_that_broke_off_has_a_grace(nodes: Nodes, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    nursery.start_soon(nodes.run, lambda _: None)
    node = enter(nodes)
    nodes.broke_off(node)
    await trio.sleep(9)
    nodes.report(node, PollStatus())
    await trio.sleep(20)
    assert len(nodes) == 1, "it came back"
    nodes.broke_off(node)
    await trio.sleep(10.1)
    assert len(nodes) == 0


async def test_declared_services_are_not_made(nodes: Nodes, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    seen: list[tuple[object, ...]] = []
    nursery.start_soon(nodes.run, seen.append)
    enter(nodes)
    await trio.sleep(1)
    nodes.declare(frozenset({"reviews.default.svc.cluster.local"}))
    await trio.sleep(1)
    nodes.declare(frozenset({"reviews.default.svc.cluster.local", "other"}))
    await trio.sleep(1)
    assert [[str(each) for each in made] for made in seen] == [
        ["WorkloadEntry default/n1.reviews", "Service default/reviews"],
        ["WorkloadEntry default/n1.reviews"],
    ]


async def test_limits(nodes: Nodes) -> None:
    small = Nodes(wall, limits=NodeLimits(most=3, most_per_identity=2))
    enter(small, "a")
    enter(small, "b")
    with pytest.raises(TooManyNodes, match=r"2 nodes of spiffe://.*/reviews are registered"):
        enter(small, "c")
    enter(small, "b")
    enter(small, "c", account="ratings")
    with pytest.raises(TooManyNodes, match="3 nodes are registered; that is the limit"):
        enter(small, "d", account="details")
    small.remove(key("a"))
    enter(small, "c")


async def test_the_last_of_a_scope_is_told(nodes: Nodes) -> None:
    gone: list[Scope] = []
    some = Nodes(wall, on_scope_gone=gone.append)
    one = enter(some, "n1")
    enter(some, "n2")
    some.remove(key("n1"))
    assert gone == [], "n2 is equal in everything that is compiled"
    enter(some, "n2", healthy=False)
    assert gone == [], "health is not compiled"
    enter(some, "n2", app_port=9999)
    assert gone == [one.scope]
    some.remove(key("n2"))
    assert len(gone) == 2


async def test_a_restart_keeps_registrations_for_one_life(
    nodes: Nodes, tmp_path: Path, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    file = tmp_path / "registrations.json"
    first = Nodes(wall, file)
    assert first.load() == 0
    with trio.move_on_after(5) as scope:
        enter(first, labels=(("version", "v1"),))
        await first.run(lambda _: None)
    del scope
    second = Nodes(wall, file)
    assert second.load() == 1
    assert second.documents() == first.documents()
    assert [node.scope for node in second] == [node.scope for node in first]
    nursery.start_soon(second.run, lambda _: None)
    await trio.sleep(29)
    assert len(second) == 1
    await trio.sleep(3)
    assert len(second) == 0
    assert json.loads(file.read_bytes()) == []


@pytest.mark.parametrize(
    "garbage", [b"", b"{", b"{}", b"[1]", b'[{"spiffe_id": "x"}]', b"[" * 100_000, b'[{"registration": {"kind": "x"}}]']
)
async def test_a_broken_file_is_left_aside(
    nodes: Nodes, tmp_path: Path, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "r.json").write_bytes(garbage)
    some = Nodes(wall, tmp_path / "r.json")
    assert some.load() == 0
    assert len(caplog.records) == 1
    assert len(some) == 0


async def test_status_for_people(nodes: Nodes) -> None:
    node = enter(nodes)

    def status() -> tuple[str, str]:
        (row,) = nodes.rows(lambda _: V2)
        return row.status, row.reason

    assert status() == ("NEVER", "")
    nodes.report(node, PollStatus(applied=V1))
    assert status() == ("STALE", "")
    nodes.report(node, PollStatus(applied=V1, refused=V2, reason="no"))
    assert status() == ("REFUSED", "no")
    nodes.report(node, PollStatus(applied=V2))
    assert status() == ("SYNCED", "")
    (row,) = nodes.rows(lambda _: V2)
    assert (row.last_seen, row.certificate_expiry, row.address) == (wall(), 7.0, "10.0.0.5:15006")


async def test_a_refusal_is_logged_once(nodes: Nodes, caplog: pytest.LogCaptureFixture) -> None:
    node = enter(nodes)
    for _ in range(3):
        nodes.report(node, PollStatus(refused=V2, reason="port taken"))
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "a node refused its configuration"
    ]


async def test_rows_are_in_order(nodes: Nodes) -> None:
    for name, account in (("b", "x"), ("a", "y"), ("a", "x")):
        enter(nodes, name, account)
    assert [(row.name, row.service_account) for row in nodes.rows(lambda _: "")] == [
        ("a", "x"),
        ("a", "y"),
        ("b", "x"),
    ]
