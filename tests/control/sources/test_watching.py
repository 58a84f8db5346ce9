"""Watchers: what is chosen, and that a change is never lost."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from meshd.control.sources import watching
from meshd.control.sources.watching import ManualWatcher, NativeWatcher, PollingWatcher, make_watcher


async def test_manual_keeps_a_change_until_somebody_waits(autojump_clock: MockClock) -> None:
    watcher = ManualWatcher()
    watcher.changed()
    await watcher.wait_change()
    with trio.move_on_after(10) as scope:
        await watcher.wait_change()
    assert scope.cancelled_caught
    watcher.changed()
    await watcher.wait_change()
    watcher.close()


async def test_polling(autojump_clock: MockClock) -> None:
    start = trio.current_time()
    watcher = PollingWatcher(3.0)
    await watcher.wait_change()
    assert trio.current_time() - start == 3.0
    watcher.close()


async def test_directories_are_watched_and_files_are_polled(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.touch()
    assert isinstance(make_watcher([str(file)]), PollingWatcher)
    assert isinstance(make_watcher([str(tmp_path), str(file)]), PollingWatcher)
    assert isinstance(make_watcher([str(tmp_path / "none")]), PollingWatcher)
    native = make_watcher([str(tmp_path)])
    assert isinstance(native, NativeWatcher)
    native.close()
    native.close()


async def test_polling_where_the_system_cannot_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(directories: object) -> None:
        raise OSError("too many watches")

    monkeypatch.setattr(watching, "NativeWatcher", refuse)
    assert isinstance(make_watcher([str(tmp_path)]), PollingWatcher)


async def test_native_is_cancelled_at_once_and_loses_nothing(tmp_path: Path) -> None:
    watcher = NativeWatcher([str(tmp_path)])
    with trio.fail_after(20):
        with trio.move_on_after(0.05) as scope:
            await watcher.wait_change()
        assert scope.cancelled_caught
        (tmp_path / "a.yaml").touch()
        await watcher.wait_change()
    watcher.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "watch files"]


async def test_a_watcher_that_fails_says_so_and_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def watch(self, *times: object) -> None:
            raise RuntimeError("the system gave up")

        def close(self) -> None:
            pass

    watcher = NativeWatcher([str(tmp_path)])
    watcher._notify = Broken()
    with trio.move_on_after(0.05):
        await watcher.wait_change()
    assert watcher._thread is not None
    watcher._thread.join()
    watcher.close()
    assert "the system no longer tells of changes" in caplog.text
