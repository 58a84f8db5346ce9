"""What was in force outlives the process, whatever happens to the files meanwhile."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from meshd.api.load import Loader
from meshd.control.finding import LAST_GOOD_IN_FORCE
from meshd.control.merge import combine, settle
from meshd.control.store.directory import DirectoryStore
from meshd.control.store.last_good import INDEX, LastGood

POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: NAME}
spec: {action: ALLOW, rules: [{to: [{operation: {paths: ["PATH"]}}]}]}
"""


def policy(name: str = "p", path: str = "/a") -> str:
    return POLICY.replace("NAME", name).replace("PATH", path)


def broken(name: str = "p") -> str:
    return policy(name).replace("rules:", "rulez:")


class Life:
    """One life of a control plane: reads of a store, and what is in force after each."""

    def __init__(self, root: Path) -> None:
        self._store = DirectoryStore(
            [root / "store"], Loader(), wall_clock=lambda: 0.0, last_good=LastGood(root / "state")
        )
        self._good: object = {}
        self.codes: list[str] = []

    def read(self) -> dict[str, str]:
        """The path each policy allows, by name."""
        settled = settle(self._good, self._store.read())  # type: ignore[arg-type]
        self._good = settled.good
        merged = combine([settled])
        self.codes = [finding.code for finding in merged.findings]
        return {each.name: each.resource.rules[0].to[0].operation.paths[0] for each in merged.documents}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path


def write(root: Path, *texts: str, name: str = "f.yaml") -> None:
    (root / "store" / name).write_text("---".join(texts))


def test_broken_while_nobody_looked(root: Path) -> None:
    write(root, policy())
    assert Life(root).read() == {"p": "/a"}
    write(root, broken())
    life = Life(root)
    assert life.read() == {"p": "/a"}
    assert LAST_GOOD_IN_FORCE in life.codes
    assert life.read() == {"p": "/a"}, "and it stays"
    assert Life(root).read() == {"p": "/a"}, "over any number of lives"


def test_broken_while_running(root: Path) -> None:
    write(root, policy())
    life = Life(root)
    life.read()
    write(root, policy(path="/newer"))
    assert life.read() == {"p": "/newer"}
    write(root, broken())
    assert life.read() == {"p": "/newer"}
    assert Life(root).read() == {"p": "/newer"}


def test_each_object_has_its_own_last_good_form(root: Path) -> None:
    write(root, policy("a"), policy("b"))
    life = Life(root)
    life.read()
    write(root, broken("a"), policy("b", "/second"))
    life.read()
    write(root, broken("a"), broken("b"))
    assert life.read() == {"a": "/a", "b": "/second"}
    assert Life(root).read() == {"a": "/a", "b": "/second"}


def test_a_file_that_is_no_yaml_any_more(root: Path) -> None:
    write(root, policy())
    Life(root).read()
    write(root, "a: [")
    assert Life(root).read() == {"p": "/a"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_a_file_that_cannot_be_read(root: Path) -> None:
    write(root, policy())
    Life(root).read()
    (root / "store" / "f.yaml").chmod(0)
    assert Life(root).read() == {"p": "/a"}


def test_what_was_removed_is_gone(root: Path) -> None:
    write(root, policy("a"), policy("b"))
    Life(root).read()
    write(root, policy("b"))
    assert Life(root).read() == {"b": "/a"}
    (root / "store" / "f.yaml").unlink()
    assert Life(root).read() == {}
    write(root, broken("a"), broken("b"))
    assert Life(root).read() == {}, "what was deleted does not come back by being broken"


def test_what_was_never_good_is_not_in_force(root: Path) -> None:
    write(root, broken())
    assert Life(root).read() == {}


def test_only_what_is_needed_is_kept(root: Path) -> None:
    life = Life(root)
    for number in range(5):
        write(root, policy(path=f"/{number}"))
        life.read()
    assert len(list((root / "state").iterdir())) == 2
    for path in (root / "state").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"\xff",
        b"{}",
        b"[1]",
        b"[[1, 2, 3, 4]]",
        b"[" * 100_000,
        json.dumps([[["g", "k", "n", "x"], "f", "../../secret", 0]]).encode(),
        json.dumps([[["g"], "f", "0" * 64, 0]]).encode(),
        json.dumps([[["g", "k", "n", "x"], "f", "0" * 64, 0]]).encode(),
    ],
)
def test_garbage_is_worth_nothing(root: Path, index: bytes, caplog: pytest.LogCaptureFixture) -> None:
    write(root, policy())
    Life(root).read()
    (root / "state" / INDEX).write_bytes(index)
    assert Life(root).read() == {"p": "/a"}
    assert "Traceback" not in caplog.text


def test_a_copy_that_was_changed_is_read_as_strictly_as_any_file(root: Path) -> None:
    write(root, policy())
    Life(root).read()
    write(root, broken())
    for path in (root / "state").iterdir():
        if path.name != INDEX:
            path.write_bytes(b"\xff")
    assert Life(root).read() == {}


def accepted_once(root: Path, text: str, key: list[str]) -> None:
    """What an earlier meshd left behind, whose rules let this text pass."""
    write(root, text)
    state = root / "state"
    state.mkdir(mode=0o700)
    digest = hashlib.sha256(text.encode()).hexdigest()
    (state / digest).write_text(text)
    (state / INDEX).write_text(json.dumps([[key, str(root / "store" / "f.yaml"), digest, 1.0]]))


def test_a_rule_that_came_since_takes_nothing_away(root: Path) -> None:
    text = policy().replace("[{to:", "[{from: [{source: {}}], to:")
    accepted_once(root, text, ["security.istio.io", "AuthorizationPolicy", "default", "p"])
    life = Life(root)
    assert life.read() == {"p": "/a"}
    assert {LAST_GOOD_IN_FORCE, "IST0106"} <= set(life.codes), "and it is told that it is refused now"
    assert life.read() == {"p": "/a"}
    assert Life(root).read() == {"p": "/a"}
    write(root, text.replace("/a", "/b"))
    assert Life(root).read() == {"p": "/a"}, "but nothing new comes past the rule"


def test_where_nothing_can_be_written(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "state").write_text("a file")
    write(root, policy())
    life = Life(root)
    assert life.read() == {"p": "/a"}
    write(root, policy(path="/b"))
    assert life.read() == {"p": "/b"}
    assert caplog.text.count("cannot be kept") == 1
