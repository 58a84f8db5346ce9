"""Files as a source: published whole, again after every change, never torn."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from meshd.api.load import Loader
from meshd.control.ingest import Ingest
from meshd.control.sources.files import FileSource, inline
from meshd.control.sources.source import SourceSet
from meshd.control.sources.watching import ManualWatcher, NativeWatcher, PollingWatcher, make_watcher
from meshd.control.store.directory import DirectoryStore


def namespace(name: str, comment: str = "") -> str:
    return f"# {comment}\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n"


class Mesh:
    """A directory, its source and an ingest, on virtual time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.watcher = ManualWatcher()
        self.time = 1e12
        store = DirectoryStore([root], Loader(), wall_clock=lambda: self.time)
        self.source = FileSource(store, self.watcher, run_sync=inline, rescan=math.inf)
        self.names: list[str] = []
        self.codes: list[str] = []
        self.ingest = Ingest(self._hear)

    def _hear(self, documents: object, findings: object) -> None:
        self.names = [each.name for each in documents]  # type: ignore[attr-defined]
        self.codes = [each.code for each in findings]  # type: ignore[attr-defined]

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.ingest.run)
            nursery.start_soon(self.source.run, self.ingest.accept)

    async def settle(self) -> None:
        self.watcher.changed()
        await trio.sleep(2)


@pytest.fixture
def mesh(tmp_path: Path, nursery: trio.Nursery) -> Mesh:
    made = Mesh(tmp_path)
    nursery.start_soon(made.run)
    return made


async def test_the_life_of_a_file(mesh: Mesh, autojump_clock: MockClock) -> None:
    file = mesh.root / "a.yaml"
    await mesh.settle()
    assert mesh.names == []
    file.write_text(namespace("a"))
    await mesh.settle()
    assert mesh.names == ["a"]
    file.write_text(namespace("b", "longer"))
    await mesh.settle()
    assert mesh.names == ["b"]
    file.unlink()
    await mesh.settle()
    assert mesh.names == []


async def test_a_half_written_file_changes_nothing(mesh: Mesh, autojump_clock: MockClock) -> None:
    file = mesh.root / "a.yaml"
    whole = namespace("a") + "---\n" + namespace("b") + "---\n" + namespace("c")
    file.write_text(whole)
    await mesh.settle()
    file.write_text(whole[: whole.rindex("}")])
    await mesh.settle()
    assert mesh.names == ["a", "b", "c"]
    assert mesh.codes == ["MD0001"]
    file.write_text(whole + "# saved\n")
    await mesh.settle()
    assert (mesh.names, mesh.codes) == (["a", "b", "c"], [])


async def test_a_broken_document_never_takes_down_what_worked(mesh: Mesh, autojump_clock: MockClock) -> None:
    (mesh.root / "a.yaml").write_text(namespace("a") + "---\n" + namespace("b"))
    (mesh.root / "c.yaml").write_text(namespace("c"))
    await mesh.settle()
    for text in (
        "kind: [",
        "\x00",
        "a: " + "[" * 100_000,
        "a: " + "x" * 10_000_000,
        namespace("b").replace("{", "{x: 1, "),
    ):
        (mesh.root / "a.yaml").write_text(text)
        (mesh.root / "d.yaml").write_text(namespace("d"))
        await mesh.settle()
        expected = ["a", "b", "c", "d"] if "Namespace" not in text else ["b", "c", "d"]
        assert mesh.names == expected, text[:40]
        assert mesh.codes
        (mesh.root / "d.yaml").unlink()
        (mesh.root / "a.yaml").write_text(namespace("a") + "---\n" + namespace("b") + "# mended\n")
        await mesh.settle()
        assert mesh.names == ["a", "b", "c"]


async def test_a_directory_that_went_away_takes_nothing_with_it(mesh: Mesh, autojump_clock: MockClock) -> None:
    (mesh.root / "a.yaml").write_text(namespace("a"))
    await mesh.settle()
    moved = mesh.root.rename(mesh.root.with_name("moved"))
    await mesh.settle()
    assert mesh.names == ["a"]
    assert mesh.codes == ["MD0007"]
    moved.rename(mesh.root)
    await mesh.settle()
    assert (mesh.names, mesh.codes) == (["a"], [])


async def test_an_unchanged_set_is_not_published_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    (tmp_path / "a.yaml").write_text(namespace("a"))
    published: list[SourceSet] = []
    store = DirectoryStore([tmp_path], Loader(), wall_clock=lambda: 1e12)
    with trio.move_on_after(100):
        await FileSource(store, PollingWatcher(1.0), run_sync=inline).run(published.append)
    assert len(published) == 1


@pytest.mark.parametrize("native", [True, False], ids=["native", "rescan"])
async def test_a_real_directory(tmp_path: Path, native: bool) -> None:
    """Real time, real events: write, rename over, new subdirectory, delete."""
    published: list[SourceSet] = []
    changed = trio.Event()

    def publish(found: SourceSet) -> None:
        nonlocal changed
        published.append(found)
        changed.set()
        changed = trio.Event()

    async def wait_names(*names: str) -> None:
        with trio.fail_after(20):
            while not published or {entry.key.name for entry in published[-1].entries if entry.key} != set(names):
                await changed.wait()

    store = DirectoryStore([tmp_path], Loader(), wall_clock=lambda: 0.0)
    watcher = make_watcher([str(tmp_path)]) if native else ManualWatcher()
    assert isinstance(watcher, NativeWatcher) is native
    source = FileSource(store, watcher, rescan=math.inf if native else 0.05)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(source.run, publish)
        await wait_names()
        if native:
            # The kernel is asked when the watcher is made, so that nothing after this line can be missed.
            await trio.testing.wait_all_tasks_blocked()
        (tmp_path / "a.yaml").write_text(namespace("a"))
        await wait_names("a")
        (tmp_path / "a.yaml.tmp").write_text(namespace("b"))
        (tmp_path / "a.yaml.tmp").replace(tmp_path / "a.yaml")
        await wait_names("b")
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "c.yaml").write_text(namespace("c"))
        await wait_names("b", "c")
        (tmp_path / "a.yaml").unlink()
        await wait_names("c")
        nursery.cancel_scope.cancel()
