"""Finding one's own control plane."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from meshd.control import local


def make(**changes: Any) -> local.LocalDescriptor:
    described = local.describe("https://127.0.0.1:15012", "cluster.local", "PEM", local.make_secret())
    return attrs.evolve(described, **changes)


def test_written_and_found(tmp_path: Path) -> None:
    mine = make()
    assert local.find(tmp_path / "run") is None
    assert local.write(tmp_path / "run", mine)
    assert local.find(tmp_path / "run") == mine
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "run" / local.FILE).stat().st_mode) == 0o600
    local.remove(tmp_path / "run", mine)
    assert local.find(tmp_path / "run") is None


def test_secrets_differ_and_are_not_shown() -> None:
    assert local.make_secret() != local.make_secret()
    mine = make()
    assert mine.secret not in repr(mine)


def test_one_that_was_left_behind_is_not_found(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    local.write(tmp_path, make(pid=child.pid, started="1"))
    assert local.find(tmp_path) is None
    assert local.write(tmp_path, make()), "and is replaced"
    assert local.find(tmp_path) is not None


def test_a_process_id_that_was_used_again(tmp_path: Path) -> None:
    local.write(tmp_path, make(started="1"))
    assert local.find(tmp_path) is None


def test_another_live_one_stays(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        theirs = local.describe("https://127.0.0.1:1", "d", "PEM", "s", pid=child.pid)
        assert local.write(tmp_path, theirs)
        mine = make()
        assert not local.write(tmp_path, mine)
        local.remove(tmp_path, mine)
        assert local.find(tmp_path) == theirs
    finally:
        child.communicate()


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b"{}", b"null", b'{"url": 1}', b"[" * 100_000, b"x" * 600_000])
def test_garbage_is_nobody(tmp_path: Path, garbage: bytes) -> None:
    local.write(tmp_path, make())
    (tmp_path / local.FILE).write_bytes(garbage)
    assert local.find(tmp_path) is None
    assert local.write(tmp_path, make())


def test_one_that_others_can_read_or_write_is_not_believed(tmp_path: Path) -> None:
    local.write(tmp_path, make())
    (tmp_path / local.FILE).chmod(0o644)
    assert local.find(tmp_path) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_one_of_another_user_is_not_believed(tmp_path: Path) -> None:
    local.write(tmp_path, make())
    os.chown(tmp_path / local.FILE, 1, 1)
    assert local.find(tmp_path) is None


def test_a_link_is_judged_itself(tmp_path: Path) -> None:
    local.write(tmp_path / "a", make())
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / local.FILE).symlink_to(tmp_path / "a" / local.FILE)
    assert local.find(tmp_path / "b") is None


def test_where_it_is() -> None:
    where = local.runtime_directory
    assert where({"MESHD_RUNTIME_DIR": "/x", "XDG_RUNTIME_DIR": "/run/user/1"}) == Path("/x")
    assert where({"XDG_RUNTIME_DIR": "/run/user/1", "HOME": "/home/a"}) == Path("/run/user/1/meshd")
    assert where({"HOME": "/home/a"}) == Path("/home/a/.local/state/meshd")
    assert where({"HOME": "/home/a", "XDG_STATE_HOME": "/s"}) == Path("/s/meshd")


def test_looking_loads_nothing_heavy() -> None:
    code = (
        "import sys, meshd.control.local;"
        "sys.exit(any(name in sys.modules for name in ('cryptography', 'yaml', 'trio')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
