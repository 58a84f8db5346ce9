"""Quiet, then one hand-over; and reading paths once."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from meshd.api.document import Document
from meshd.api.networking.virtual_service import VirtualService
from meshd.control.finding import Finding
from meshd.control.ingest import Ingest, load_paths
from meshd.control.sources.source import SourceSet


class Listener:
    """Notes when it was told, and of what."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, list[str]]] = []

    def __call__(self, documents: tuple[Document, ...], findings: tuple[Finding, ...]) -> None:
        self.calls.append((round(trio.current_time(), 3), [each.name for each in documents]))


def of(*names: str, source: str = "files") -> SourceSet:
    return SourceSet.of(source, [Document.of(VirtualService(), name) for name in names])


async def test_a_change_takes_effect_after_a_quiet_moment(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    listener = Listener()
    ingest = Ingest(listener)
    nursery.start_soon(ingest.run)
    start = trio.current_time()
    ingest.accept(of("a"))
    await trio.sleep(0.05)
    ingest.accept(of("a", "b"))
    await trio.sleep(5)
    assert listener.calls == [(round(start + 0.15, 3), ["a", "b"])]


async def test_a_stream_of_changes_takes_effect_every_second(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    listener = Listener()
    ingest = Ingest(listener)
    nursery.start_soon(ingest.run)
    start = trio.current_time()
    for count in range(50):
        ingest.accept(of(*(f"n{number:02}" for number in range(count + 1))))
        await trio.sleep(0.06)
    await trio.sleep(5)
    times = [round(time - start, 2) for time, _ in listener.calls]
    assert times[0] == 1.0
    assert len(times) == 3
    assert all(later - earlier <= 1.1 for earlier, later in pairwise(times))
    assert len(listener.calls[-1][1]) == 50


async def test_nothing_is_handed_over_before_every_source_has_spoken(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    listener = Listener()
    ingest = Ingest(listener, expected=("files", "registrations"))
    nursery.start_soon(ingest.run)
    ingest.accept(of("a"))
    await trio.sleep(5)
    assert listener.calls == []
    ingest.accept(SourceSet("registrations"))
    await trio.sleep(5)
    assert [names for _, names in listener.calls] == [["a"]]


async def test_an_idle_ingest_does_nothing(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    listener = Listener()
    nursery.start_soon(Ingest(listener).run)
    await trio.sleep(100)
    assert listener.calls == []


async def test_the_times_are_settings(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    listener = Listener()
    ingest = Ingest(listener, quiet=2.0, longest=3.0)
    nursery.start_soon(ingest.run)
    start = trio.current_time()
    ingest.accept(of("a"))
    await trio.sleep(10)
    assert listener.calls[0][0] == round(start + 2.0, 3)


async def test_flush_does_not_wait() -> None:
    listener = Listener()
    ingest = Ingest(listener)
    ingest.accept(of("a"))
    ingest.flush()
    assert len(listener.calls) == 1


def test_load_paths(tmp_path: Path) -> None:
    good = "apiVersion: v1\nkind: Namespace\nmetadata: {name: prod}\n"
    (tmp_path / "a.yaml").write_text(good)
    (tmp_path / "b.yaml").write_text("kind: [")
    documents, findings = load_paths([tmp_path])
    assert [str(each) for each in documents] == ["Namespace prod"]
    assert [finding.code for finding in findings] == ["MD0001"]
    documents, findings = load_paths([tmp_path / "a.yaml", str(tmp_path / "none.yaml")])
    assert len(documents) == 1
    assert str(findings[0]) == (
        f"{tmp_path}/none.yaml: error MD0007: cannot be read: there is no such file or directory"
    )


@pytest.mark.parametrize("paths", [[], ["."]])
def test_load_paths_never_fails(paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_paths(paths) == ((), ())
