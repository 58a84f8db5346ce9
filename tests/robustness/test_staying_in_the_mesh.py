"""A proxy that was in a mesh does not turn into a plain one because its control plane is away."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from meshd.errors import StartError
from meshd.modes import feeds
from meshd.modes.settings import ControlAccess
from tests.programs import finished, running

SIDECAR = ("sidecar", "--upstream", ":1", "--inbound", "127.0.0.1:0", "--outbound", "127.0.0.1:0")
QUIET = ("--admin", "off", "--health", "off", "--stats", "off")


def test_what_is_remembered_is_no_secret(tmp_path: Path) -> None:
    feeds.remember_control(tmp_path, ControlAccess("https://10.0.0.1:15012", "TOKEN", "BUNDLE"))
    assert feeds.recall_control(tmp_path) == ControlAccess("https://10.0.0.1:15012", "", "BUNDLE")
    (path,) = tmp_path.iterdir()
    assert "TOKEN" not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_who_never_was_in_a_mesh_belongs_to_none(tmp_path: Path) -> None:
    assert feeds.recall_control(tmp_path) is None
    assert feeds.recall_control(tmp_path / "none") is None


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[]", b"{}", b"[" * 100_000, json.dumps({"url": "https://x", "bundle": ""}).encode(), b"5"],
)
def test_garbage_opens_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / feeds.CONTROL).write_bytes(content)
    with pytest.raises(StartError, match=r"cannot tell which control plane .* --control URL, or remove"):
        feeds.recall_control(tmp_path)


@pytest.mark.slow
def test_a_restart_without_its_control_plane(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    control = ("control", "--store", "store", "--state", "control", "--listen", "127.0.0.1:0", "--console", "off")
    sidecar = (*SIDECAR, *QUIET, "--service", "s", "--state", "sidecar")
    with running(tmp_path, *control) as office:
        office.wait_for("INFO serving")
        with running(tmp_path, *sidecar) as program:
            program.wait_for("found a control plane on this machine")
            program.wait_for("INFO ready")
            assert program.stop() == 0
        assert office.stop() == 0
    with running(tmp_path, *sidecar) as program:
        program.wait_for("this proxy belongs to one and waits for it")
        program.wait_for("started from the configuration on disk")
        program.wait_for("INFO ready")
        assert "a plain proxy" not in program.text
        assert program.stop() == 0
    (tmp_path / "sidecar" / feeds.CONTROL).write_text("junk")
    code, text = finished(tmp_path, *sidecar)
    assert code == 78
    assert "Traceback" not in text
    shutil.rmtree(tmp_path / "sidecar")
    with running(tmp_path, *sidecar) as program:
        program.wait_for("a plain proxy")
        assert program.stop() == 0
