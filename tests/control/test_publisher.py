"""Publishing by assignment."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from meshd.control.publisher import KEPT_VERSIONS, Publisher
from meshd.errors import ConfigError
from meshd.snapshot.snapshot import SecretRef, Snapshot
from meshd.snapshot.wire import decode, encode
from tests.agent.rig import mark_of, snapshot

Mesh = Mapping[str, Snapshot]


class Compiler:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def __call__(self, mesh: Mesh, scope: str) -> Snapshot:
        self.calls.append(scope)
        if scope not in mesh:
            raise ConfigError(f"nothing for {scope}")
        return mesh[scope]


@pytest.fixture
def compiler() -> Compiler:
    return Compiler()


@pytest.fixture
def publisher(compiler: Compiler) -> Publisher[Mesh, str]:
    return Publisher(compiler, encode)


async def test_nothing_before_the_first_mesh(publisher: Publisher[Mesh, str]) -> None:
    assert publisher.current("a") is None
    assert publisher.generation == 0


async def test_compiled_when_asked_and_once(publisher: Publisher[Mesh, str], compiler: Compiler) -> None:
    publisher.publish({"a": snapshot("one"), "b": snapshot("two")})
    assert compiler.calls == []
    first = publisher.current("a")
    assert publisher.current("a") is first
    assert compiler.calls == ["a"]
    assert first is not None
    assert mark_of(decode(first.manifest, first.parts.__getitem__)) == "one"


async def test_equal_configuration_has_an_equal_version(publisher: Publisher[Mesh, str]) -> None:
    publisher.publish({"a": snapshot("one")})
    before = publisher.current("a")
    publisher.publish({"a": snapshot("one"), "b": snapshot("new")})
    assert publisher.generation == 2
    assert publisher.current("a") is before


async def test_waiting(publisher: Publisher[Mesh, str], autojump_clock: MockClock) -> None:
    publisher.publish({"a": snapshot("one"), "b": snapshot("x")})
    known = publisher.current("a")
    assert known is not None
    got: list[object] = []

    async def wait() -> None:
        got.append(await publisher.wait(lambda: "a", {known.version}, 30))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        publisher.publish({"a": snapshot("one"), "b": snapshot("y")})
        await wait_all_tasks_blocked()
        assert got == [], "nothing has changed for this one"
        publisher.publish({"a": snapshot("two")})
        await wait_all_tasks_blocked()
        assert got[0] == publisher.current("a")
    began = trio.current_time()
    assert await publisher.wait(lambda: "a", {publisher.current("a").version}, 30) is None  # type: ignore[union-attr]
    assert trio.current_time() - began == 30


async def test_a_scope_that_goes_or_changes_while_it_waits(publisher: Publisher[Mesh, str]) -> None:
    publisher.publish({"a": snapshot("one"), "b": snapshot("two")})
    scope: list[str | None] = ["a"]
    known = publisher.current("a")
    assert known is not None
    got: list[object] = []

    async def wait() -> None:
        got.append(await publisher.wait(lambda: scope[0], {known.version}, 30))

    for new in ("b", None):
        async with trio.open_nursery() as nursery:
            scope[0] = "a"
            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            scope[0] = new
            publisher.wake()
    assert got == [publisher.current("b"), None]


async def test_a_mesh_that_cannot_be_compiled_leaves_the_last_good_one(
    publisher: Publisher[Mesh, str], compiler: Compiler, caplog: pytest.LogCaptureFixture
) -> None:
    publisher.publish({"a": snapshot("one")})
    good = publisher.current("a")
    publisher.publish({"b": snapshot("two")})
    assert publisher.current("a") is good
    assert publisher.current("a") is good
    assert len(caplog.records) == 1
    assert len(compiler.calls) == 2
    with pytest.raises(ConfigError, match="nothing for c"):
        publisher.current("c")
    assert publisher.statistics()["failed"] == 2


async def test_parts_are_those_of_the_scopes_own_last_versions(publisher: Publisher[Mesh, str]) -> None:
    versions = []
    for mark in ("one", "two", "three", "four"):
        publisher.publish({"a": snapshot(mark), "b": snapshot("secret")})
        versions.append(publisher.current("a"))
    others = publisher.current("b")
    assert others is not None
    for version in versions[-KEPT_VERSIONS:]:
        assert version is not None
        for digest, part in version.parts.items():
            assert publisher.held("a", digest) == part
    assert versions[0] is not None
    gone = set(versions[0].parts) - {digest for version in versions[1:] if version for digest in version.parts}
    assert gone
    assert all(publisher.held("a", digest) is None for digest in gone)
    foreign = set(others.parts) - {digest for version in versions if version for digest in version.parts}
    assert foreign
    assert all(publisher.held("a", digest) is None for digest in foreign)
    assert publisher.held("nobody", next(iter(others.parts))) is None


async def test_forgetting(publisher: Publisher[Mesh, str]) -> None:
    publisher.publish({"a": snapshot("one")})
    publisher.current("a")
    publisher.forget("a")
    publisher.forget("a")
    assert publisher.statistics()["scopes"] == 0


async def test_secrets_are_named_with_their_versions(publisher: Publisher[Mesh, str]) -> None:
    publisher.publish({"a": snapshot("one", secrets=(SecretRef("kubernetes://web", "v1"),))})
    published = publisher.current("a")
    assert published is not None
    assert published.secrets == {"kubernetes://web": "v1"}


async def test_a_bounded_number_of_scopes(
    compiler: Compiler, publisher: Publisher[Mesh, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from meshd.control import publisher as module

    monkeypatch.setattr(module, "MAX_SCOPES", 2)
    publisher.publish({name: snapshot(name) for name in "abc"})
    for name in "abc":
        publisher.current(name)
    assert publisher.statistics()["scopes"] == 2
    publisher.current("c")
    publisher.current("a")
    assert compiler.calls == ["a", "b", "c", "a"]
