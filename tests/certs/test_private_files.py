"""Files that appear whole, and for nobody else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from meshd.certs import private_files
from meshd.errors import ConfigError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_modes(tmp_path: Path) -> None:
    directory = private_files.ensure_directory(tmp_path / "a" / "b")
    private_files.write(directory / "key", b"secret")
    assert mode(directory) == 0o700
    assert mode(directory / "key") == 0o600
    assert private_files.read(directory / "key") == b"secret"


def test_missing_parents_are_private_too(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        private_files.ensure_directory(tmp_path / "a" / "b" / "c")
        # What was a parent then is somebody's private directory now.
        private_files.ensure_directory(tmp_path / "a")
    finally:
        os.umask(old)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a", tmp_path / "a" / "b")] == [0o700, 0o700]


def test_an_open_directory_is_closed_to_others(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    private_files.ensure_directory(tmp_path / "open")
    assert mode(tmp_path / "open") == 0o700


def test_an_open_directory_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir(mode=0o755)
    (tmp_path / "shared" / "of others").write_text("")
    with pytest.raises(ConfigError, match=r"shared: is open to others \(mode 755\) and not empty: .*chmod 700"):
        private_files.ensure_directory(tmp_path / "shared")
    assert mode(tmp_path / "shared") == 0o755


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used as a private directory"):
        private_files.ensure_directory(tmp_path / "file")


def test_a_write_that_fails_leaves_the_old_content_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private_files.write(tmp_path / "f", b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        private_files.write(tmp_path / "f", b"new")
    assert private_files.read(tmp_path / "f") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_create_has_one_winner(tmp_path: Path) -> None:
    assert private_files.create(tmp_path / "f", b"first")
    assert not private_files.create(tmp_path / "f", b"second")
    assert private_files.read(tmp_path / "f") == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_reading_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 11)
    assert private_files.read(tmp_path / "f", limit=11) == b"x" * 11
    with pytest.raises(OSError, match="larger than 10 bytes"):
        private_files.read(tmp_path / "f", limit=10)
    assert private_files.read(tmp_path / "none") is None
    assert private_files.read(tmp_path / "f" / "none") is None


def test_remove(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    assert private_files.remove(tmp_path / "f")
    assert not private_files.remove(tmp_path / "f")
