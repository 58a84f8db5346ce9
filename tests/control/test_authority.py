"""The CA's files."""

from __future__ import annotations

import logging
import stat
import time
from pathlib import Path
from random import Random

import pytest
import trio
from trio.testing import MockClock

from meshd.certs.authority import CaMaterial, Lifetimes, Subject, make_root
from meshd.certs.x509 import describe, key_to_pem
from meshd.control.authority import Authority, ControlIdentity, open_authority
from meshd.errors import ConfigError
from tests.certs.pki import make_ca

ME = Subject("spiffe://cluster.local/ns/default/sa/me")


def open_at(state: Path, **options: object) -> Authority:
    return open_authority(state, "cluster.local", time.time, **options)  # type: ignore[arg-type]


def test_made_once_and_found_again(tmp_path: Path) -> None:
    first = open_at(tmp_path / "s")
    again = open_at(tmp_path / "s")
    assert first.pin == again.pin
    assert first.bundle.version == again.bundle.version
    assert len(first.bundle.roots) == 1


def test_private(tmp_path: Path) -> None:
    open_at(tmp_path / "s")
    for path in [tmp_path / "s", *(tmp_path / "s").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_key_that_others_could_read_is_closed_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_at(tmp_path / "s")
    key = tmp_path / "s" / "ca" / "key.pem"
    key.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        open_at(tmp_path / "s")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "the CA's key could be read by others" in caplog.text


@pytest.mark.parametrize("lost", ["key.pem", "root.pem"])
def test_half_a_ca_is_not_replaced_silently(tmp_path: Path, lost: str) -> None:
    open_at(tmp_path / "s")
    (tmp_path / "s" / "ca" / lost).unlink()
    with pytest.raises(ConfigError, match="is missing: put both back, or remove the directory"):
        open_at(tmp_path / "s")


@pytest.mark.parametrize("broken", ["key.pem", "root.pem"])
def test_a_broken_file_says_where(tmp_path: Path, broken: str) -> None:
    open_at(tmp_path / "s")
    (tmp_path / "s" / "ca" / broken).write_bytes(b"\xff garbage")
    with pytest.raises(ConfigError) as caught:
        open_at(tmp_path / "s")
    assert str(caught.value).startswith(str(tmp_path / "s" / "ca"))


def test_the_directory_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("")
    with pytest.raises(ConfigError, match="cannot be used as a private directory"):
        open_at(tmp_path / "s")


def test_of_two_that_start_at_once_one_ca_remains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process's directory appears between our look and our rename."""
    from meshd.control import authority

    made = authority._make_material

    def late(directory: Path, material: CaMaterial) -> None:
        if not directory.exists():
            monkeypatch.undo()
            open_at(tmp_path / "s")
        made(directory, material)

    monkeypatch.setattr(authority, "_make_material", late)
    mine = open_at(tmp_path / "s")
    assert mine.pin == open_at(tmp_path / "s").pin
    assert not [path for path in (tmp_path / "s").iterdir() if path.name.startswith(".ca")]


def test_extra_roots_by_setting_and_by_file(tmp_path: Path) -> None:
    authority = open_at(tmp_path / "s", extra_roots=(make_ca(name="a").pem,))
    assert len(authority.bundle.roots) == 2
    assert authority.pin == describe(authority.bundle.roots[0])[0].pin
    assert not authority.reload()
    (tmp_path / "s" / "roots" / "b.pem").write_text(make_ca(name="b").pem)
    assert authority.reload()
    assert len(authority.bundle.roots) == 3


def test_unusable_extra_roots_are_left_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority = open_at(tmp_path / "s")
    ca = make_ca(name="x")
    roots = tmp_path / "s" / "roots"
    (roots / "garbage.pem").write_text("hello")
    (roots / "leaf.pem").write_text(ca.issue(ME.spiffe_id).chain_pem)
    (roots / "old.pem").write_text(make_root("d", time.time() - 20 * 365 * 86400).certificate_pem)
    assert not authority.reload()
    why = [record.__dict__["error"] for record in caplog.records]
    assert len(why) == 3
    assert "it has expired" in why
    assert "it is no CA's certificate" in why


def test_from_ones_own_root_to_a_plug_in_ca_and_back(tmp_path: Path) -> None:
    """What signed before stays trusted, so certificates in use live on."""
    own = open_at(tmp_path / "s")
    other = make_ca(name="company")
    below = other.intermediate()
    plugin = CaMaterial(below.pem, key_to_pem(below.key), other.pem)
    plugged = open_at(tmp_path / "s", plugin=plugin)
    assert plugged.pin == describe(other.pem)[0].pin
    assert set(own.bundle.roots) < set(plugged.bundle.roots)
    back = open_at(tmp_path / "s")
    assert back.pin == own.pin
    assert len(back.bundle.roots) == 2


def test_a_plug_in_ca_that_cannot_work_names_the_flags(tmp_path: Path) -> None:
    one, two = make_ca(name="one"), make_ca(name="two")
    with pytest.raises(ConfigError, match="--ca-cert, --ca-key, --ca-chain: the CA's key does not belong"):
        open_at(tmp_path / "s", plugin=CaMaterial(one.pem, key_to_pem(two.key)))


async def test_the_control_planes_own_certificate_is_renewed(tmp_path: Path, autojump_clock: MockClock) -> None:
    base = time.time() - trio.current_time()

    def wall() -> float:
        return base + trio.current_time()

    authority = open_authority(tmp_path / "s", "cluster.local", wall, lifetimes=Lifetimes(default=3600))
    identity = ControlIdentity(authority, wall, Random(1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(identity.run)
        await trio.sleep(1)
        seen = set()
        for _ in range(40):
            assert identity.current is not None
            assert identity.current.not_after > wall()
            seen.add(identity.current.serial)
            await trio.sleep(300)
        nursery.cancel_scope.cancel()
    assert 5 <= len(seen) <= 9
    assert identity.current is not None
    assert identity.current.spiffe_id == "spiffe://cluster.local/ns/meshd-system/sa/control"


async def test_a_ca_that_ends_while_it_runs_is_an_alarm_not_a_crash(
    tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    base = time.time() - trio.current_time()

    def wall() -> float:
        return base + trio.current_time()

    root = make_root("cluster.local", wall(), lifetime=1000)
    authority = open_authority(tmp_path / "s", "cluster.local", wall, plugin=root)
    identity = ControlIdentity(authority, wall, Random(1))
    with trio.move_on_after(2000):
        await identity.run()
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert errors
    assert len(errors) < 60
