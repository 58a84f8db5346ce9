"""The last good state on disk."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
from pathlib import Path

import pytest

from meshd.certs import private_files
from meshd.certs.keystore import Keystore, SecretMaterial
from meshd.errors import ConfigError
from tests.certs.pki import REVIEWS, make_ca

IDENTITY = make_ca().issue(REVIEWS)


@pytest.fixture
def store(tmp_path: Path) -> Keystore:
    return Keystore.open(tmp_path / "state")


def name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_identity_comes_back(store: Keystore) -> None:
    assert store.load_identity() is None
    store.save_identity(IDENTITY)
    assert store.load_identity() == IDENTITY


def test_everything_is_private(store: Keystore, tmp_path: Path) -> None:
    store.save_identity(IDENTITY)
    store.save_part(name(b"x"), b"x")
    store.save_manifest(b"{}")
    store.save_secrets({"a": SecretMaterial("a", "1", "c", "k")})
    for path in [tmp_path / "state", *(tmp_path / "state").rglob("*")]:
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"[" * 100_000,
        b"\xff\xfe",
        json.dumps({"spiffe_id": 1}).encode(),
        b'{"not_before": NaN}',
        b"x" * 2_000_000,
    ],
)
def test_garbage_is_left_aside_with_one_line(
    store: Keystore, tmp_path: Path, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    for file in ("identity.json", "secrets.json"):
        (tmp_path / "state" / file).write_bytes(garbage)
    assert store.load_identity() is None
    assert len(caplog.records) == 1
    if garbage != b"[]":
        assert store.load_secrets() == {}


@pytest.mark.parametrize("cut", range(0, 100, 7))
def test_a_torn_identity_is_none(store: Keystore, tmp_path: Path, cut: int) -> None:
    store.save_identity(IDENTITY)
    path = tmp_path / "state" / "identity.json"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * cut // 100])
    assert store.load_identity() is None


@pytest.mark.parametrize("field", ["chain_pem", "bundle_pem", "not_after", "serial"])
def test_a_field_of_another_kind(store: Keystore, tmp_path: Path, field: str) -> None:
    store.save_identity(IDENTITY)
    path = tmp_path / "state" / "identity.json"
    plain = json.loads(path.read_bytes())
    for wrong in (None, 7, "no PEM" if field != "serial" else [], True):
        path.write_text(json.dumps({**plain, field: wrong}))
        assert store.load_identity() is None


def test_parts_are_what_their_names_say(store: Keystore, tmp_path: Path) -> None:
    store.save_part(name(b"one"), b"one")
    assert store.load_part(name(b"one")) == b"one"
    assert store.load_part(name(b"two")) is None
    assert store.load_part("../identity.json") is None
    (tmp_path / "state" / "parts" / name(b"one")).write_bytes(b"on")
    assert store.load_part(name(b"one")) is None


def test_a_name_that_is_no_digest_is_not_written(store: Keystore, tmp_path: Path) -> None:
    store.save_part("../evil", b"x")
    assert not (tmp_path / "state" / "evil").exists()


def test_prune_keeps_what_is_used(store: Keystore) -> None:
    for data in (b"a", b"b", b"c"):
        store.save_part(name(data), data)
    store.prune_parts([name(b"b")])
    assert [store.load_part(name(data)) for data in (b"a", b"b", b"c")] == [None, b"b", None]


def test_a_full_disk_is_a_line_in_the_log(
    store: Keystore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store.save_identity(IDENTITY)

    def full(_path: Path, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(private_files, "write", full)
    with caplog.at_level(logging.WARNING):
        store.save_identity(make_ca().issue(REVIEWS))
        store.save_manifest(b"{}")
    assert store.failures == 2
    assert store.load_identity() == IDENTITY


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_left_aside(store: Keystore, tmp_path: Path) -> None:
    store.save_identity(IDENTITY)
    (tmp_path / "state" / "identity.json").chmod(0)
    assert store.load_identity() is None


def test_one_process_at_a_time(store: Keystore, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="another process uses this state directory"):
        Keystore.open(tmp_path / "state")
    store.close()
    store.close()
    Keystore.open(tmp_path / "state").close()


def test_secrets_come_back_and_are_not_shown(store: Keystore) -> None:
    secrets = {"web": SecretMaterial("web", "1", "CERT", "KEY", "CA")}
    store.save_secrets(secrets)
    assert store.load_secrets() == secrets
    assert "KEY" not in repr(store.load_secrets())
