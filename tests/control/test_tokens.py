"""Join tokens: one identity, once."""

from __future__ import annotations

import json
import multiprocessing
import stat
from pathlib import Path

import pytest

from meshd.control.tokens import DEFAULT_TTL, KEEP_USED, TokenStore
from meshd.errors import ConfigError, IdentityError

PIN, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64


class Wall:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def store(tmp_path: Path, wall: Wall) -> TokenStore:
    return TokenStore(tmp_path / "tokens", wall)


def test_a_token_gives_its_identity(store: TokenStore) -> None:
    made, text = store.create("default", "reviews")
    token = store.redeem(text + "\n", PIN)
    assert (token.namespace, token.service_account) == ("default", "reviews")
    assert token.id == made.id
    assert store.list()[0].state(0) == "used"


def test_the_secret_is_stored_nowhere(store: TokenStore, tmp_path: Path) -> None:
    token, text = store.create("default", "reviews")
    secret = text.rpartition(".")[2]
    stored = b"".join(path.read_bytes() for path in (tmp_path / "tokens").iterdir())
    assert secret.encode() not in stored
    assert secret not in repr(token)
    assert token.hash not in repr(token)
    for path in (tmp_path / "tokens").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_once_for_a_key_and_never_for_another(store: TokenStore) -> None:
    _, text = store.create("default", "reviews")
    store.redeem(text, PIN)
    store.redeem(text, PIN)
    with pytest.raises(IdentityError, match="has been used already: make another"):
        store.redeem(text, OTHER)


def test_expiry(store: TokenStore, wall: Wall) -> None:
    _, text = store.create("default", "reviews")
    wall.now += DEFAULT_TTL - 1
    store.check(text)
    wall.now += 1
    with pytest.raises(IdentityError, match="has expired: make another"):
        store.redeem(text, PIN)


def test_a_used_token_does_not_live_on_for_its_key(store: TokenStore, wall: Wall) -> None:
    _, text = store.create("default", "reviews")
    store.redeem(text, PIN)
    wall.now += DEFAULT_TTL
    with pytest.raises(IdentityError, match="has been used already"):
        store.redeem(text, PIN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "meshd1.",
        "meshd1.0123456789abcdef.",
        "x" * 100_000,
        "meshd1.../../../etc.passwd",
        "meshd1.0123456789ABCDEF." + "a" * 43,
    ],
)
def test_what_is_no_token(store: TokenStore, text: str) -> None:
    with pytest.raises(IdentityError, match="this is no join token: expected the whole line"):
        store.redeem(text, PIN)


def test_an_unknown_one_and_a_wrong_secret_look_alike(store: TokenStore) -> None:
    _, text = store.create("default", "reviews")
    head, _, _secret = text.rpartition(".")
    for wrong in (f"{head}.{'A' * 43}", f"meshd1.{'0' * 16}.{'A' * 43}"):
        with pytest.raises(IdentityError, match="not known here: make one with `meshd token create`"):
            store.redeem(wrong, PIN)
    store.redeem(text, PIN)


def test_bound_to_a_node(store: TokenStore) -> None:
    _, text = store.create("default", "reviews", node="vm-1")
    with pytest.raises(IdentityError, match="for node 'vm-1' only"):
        store.redeem(text, PIN, node="vm-2")
    store.redeem(text, PIN, node="vm-1")


def test_revoked(store: TokenStore) -> None:
    token, text = store.create("default", "reviews")
    assert store.revoke(token.id)
    assert not store.revoke(token.id)
    assert not store.revoke("../../etc/passwd")
    with pytest.raises(IdentityError, match="not known here"):
        store.redeem(text, PIN)
    assert store.list() == ()


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (("", "a"), {}),
        (("a", "b/c"), {}),
        (("a", "b"), {"node": "../x"}),
        (("a", "b"), {"ttl": 0.0}),
        (("a", "b"), {"ttl": 1e9}),
        (("a", "b"), {"ttl": float("nan")}),
    ],
)
def test_what_cannot_be_made(store: TokenStore, names: tuple[str, str], options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        store.create(*names, **options)  # type: ignore[arg-type]


def test_old_ones_are_forgotten_when_a_new_one_is_made(store: TokenStore, wall: Wall, tmp_path: Path) -> None:
    _, text = store.create("default", "reviews")
    store.redeem(text, PIN)
    wall.now += DEFAULT_TTL + KEEP_USED - 1
    store.create("default", "a")
    assert len(store.list()) == 2
    wall.now += 2
    store.create("default", "b")
    assert len(store.list()) == 2
    assert len(list((tmp_path / "tokens").iterdir())) == 2


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b"{}", b'{"id": 7}', b"\xff"])
def test_garbage_in_the_directory_is_no_token(store: TokenStore, tmp_path: Path, garbage: bytes) -> None:
    _, text = store.create("default", "reviews")
    (tmp_path / "tokens" / ("0" * 16 + ".json")).write_bytes(garbage)
    assert len(store.list()) == 1
    with pytest.raises(IdentityError, match="not known here"):
        store.redeem(f"meshd1.{'0' * 16}.{'A' * 43}", PIN)
    store.redeem(text, PIN)


def test_an_unreadable_mark_counts_as_used(store: TokenStore, tmp_path: Path) -> None:
    token, text = store.create("default", "reviews")
    (tmp_path / "tokens" / f"{token.id}.used").write_bytes(b"{")
    with pytest.raises(IdentityError, match="used already"):
        store.redeem(text, PIN)


def test_fields_of_another_kind_are_no_token(store: TokenStore, tmp_path: Path) -> None:
    token, text = store.create("default", "reviews")
    path = tmp_path / "tokens" / f"{token.id}.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "expires": "never"}))
    with pytest.raises(IdentityError, match="not known here"):
        store.redeem(text, PIN)


def test_a_directory_that_cannot_be_written_refuses(store: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from meshd.certs import private_files

    _, text = store.create("default", "reviews")

    def full(_path: Path, _data: bytes) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(private_files, "create", full)
    with pytest.raises(IdentityError, match="cannot be marked as used: No space left"):
        store.redeem(text, PIN)
    with pytest.raises(ConfigError, match="cannot be stored: No space left"):
        store.create("default", "reviews")


def _redeem(directory: Path, text: str, pin: str, results: object) -> None:
    try:
        TokenStore(directory, Wall()).redeem(text, pin)
        results.put(pin)  # type: ignore[attr-defined]
    except IdentityError:
        results.put("")  # type: ignore[attr-defined]


def test_of_several_processes_one_wins(store: TokenStore, tmp_path: Path) -> None:
    _, text = store.create("default", "reviews")
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    racers = [
        context.Process(target=_redeem, args=(tmp_path / "tokens", text, f"sha256:{index:064x}", results))
        for index in range(6)
    ]
    for racer in racers:
        racer.start()
    won = [results.get(timeout=30) for _ in racers]
    for racer in racers:
        racer.join()
    assert len([pin for pin in won if pin]) == 1
