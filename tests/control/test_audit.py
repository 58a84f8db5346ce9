"""The audit log."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from meshd.control.audit import MAX_FIELD, AuditLog
from meshd.errors import IdentityError


def test_a_line_for_each_event(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "s" / "audit.log", lambda: 1_800_000_000.5)
    log.write("certificate_issued", identity="spiffe://d/ns/a/sa/b", serial="1f")
    log.write("certificate_refused", why="line one\nline two", number=7)
    log.close()
    again = AuditLog(tmp_path / "s" / "audit.log", lambda: 1_800_000_001.0)
    again.write("x")
    lines = [json.loads(line) for line in (tmp_path / "s" / "audit.log").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["certificate_issued", "certificate_refused", "x"]
    assert lines[0]["time"] == "2027-01-15T08:00:00.500+00:00"
    assert stat.S_IMODE((tmp_path / "s" / "audit.log").stat().st_mode) == 0o600
    again.close()


def test_a_peers_words_are_bounded(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log", lambda: 0.0)
    log.write("x", why="y" * 10_000)
    assert len(json.loads((tmp_path / "audit.log").read_bytes())["why"]) == MAX_FIELD
    log.close()


def test_what_cannot_be_written_refuses_the_act(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AuditLog(tmp_path / "audit.log", lambda: 0.0)
    monkeypatch.setattr(os, "write", lambda _fd, _data: 3)
    with pytest.raises(IdentityError, match="the disk is full"):
        log.write("x")

    def fail(_fd: int, _data: bytes) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(IdentityError, match="cannot be written: Input/output error"):
        log.write("x")
    monkeypatch.undo()
    log.close()


def test_reopened_after_rotation(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log", lambda: 0.0)
    log.write("one")
    (tmp_path / "audit.log").rename(tmp_path / "audit.log.1")
    log.write("two")
    log.reopen()
    log.write("three")
    log.close()
    assert '"three"' in (tmp_path / "audit.log").read_text()
    assert (tmp_path / "audit.log.1").read_text().count("\n") == 2
    assert stat.S_IMODE((tmp_path / "audit.log").stat().st_mode) == 0o600
