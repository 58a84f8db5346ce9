"""A sidecar and its control plane as processes: found without a flag, joined by token, refused for good reasons."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshd import __version__
from meshd.certs.x509 import describe, key_to_pem
from tests.certs.pki import make_ca
from tests.programs import Program, finished, running

pytestmark = pytest.mark.slow

QUIET = ("--admin", "off", "--health", "off", "--stats", "off")
SIDECAR = ("sidecar", "--upstream", ":1", "--inbound", "127.0.0.1:0", "--outbound", "127.0.0.1:0", *QUIET)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mesh")


@pytest.fixture(scope="module")
def control(home: Path) -> Iterator[Program]:
    (home / "store").mkdir()
    with running(home, *arguments(home)) as program:
        program.wait_for("INFO serving")
        yield program
        assert program.stop() == 0
        assert "Traceback" not in program.text


def arguments(home: Path, port: int = 0) -> tuple[str, ...]:
    where = ("--listen", f"127.0.0.1:{port}", "--console", "127.0.0.1:0")
    return ("control", "--store", str(home / "store"), "--state", str(home / "state"), *where)


def url(control: Program) -> str:
    return control.wait_for(r"api=(https://\S+)")[1]


def ca_hash(control: Program) -> str:
    return control.wait_for(r"ca_hash=(sha256:\w+)")[1]


def token(home: Path, account: str, *more: str) -> str:
    code, text = finished(home, "token", "create", "--service-account", account, "-o", "json", *more)
    assert code == 0, text
    return str(json.loads(text)["token"])


def test_without_a_flag(home: Path, control: Program) -> None:
    with running(home, *SIDECAR, "--service", "plain") as program:
        program.wait_for("found a control plane on this machine")
        program.wait_for("certificate obtained identity=spiffe://cluster.local/ns/default/sa/plain")
        program.wait_for("INFO ready")
        code, text = finished(home, "proxy-status", "-o", "json")
        assert code == 0, text
        row = next(row for row in json.loads(text) if row["service"] == "plain")
        assert (row["status"], row["service_account"]) == ("SYNCED", "plain")
        assert row["release"] == __version__
        assert program.stop() == 0
    control.wait_for(r"node (left|removed|deregistered|gone)\S* .*plain|plain.*(left|removed|gone)")


def test_by_token(home: Path, control: Program) -> None:
    given = home / "token"
    given.write_text(token(home, "joined") + "\n")
    flags = ("--control", url(control), "--ca-hash", ca_hash(control), "--token-file", str(given))
    state = ("--state", str(home / "joined"))
    with running(home, *SIDECAR, "--service", "joined", *flags, *state) as program:
        program.wait_for("certificate obtained identity=spiffe://cluster.local/ns/default/sa/joined")
        program.wait_for("INFO ready")
        assert program.stop() == 0
    assert given.read_text().strip() not in program.text, "a token is never logged"
    # The same proxy starts again from its disk; the token, used by now, is not needed.
    with running(home, *SIDECAR, "--service", "joined", *flags, *state) as program:
        program.wait_for("INFO ready")
        assert program.stop() == 0


def refused(home: Path, *flags: str) -> str:
    code, text = finished(home, *SIDECAR, "--service", "x", "--state", str(home / "refused"), *flags)
    assert code == 78, text
    assert "Traceback" not in text
    lines = [line for line in text.splitlines() if line.startswith("meshd: ")]
    assert len(lines) == 1, text
    return lines[0]


def test_tokens_that_are_no_good(home: Path, control: Program) -> None:
    access = ("--control", url(control), "--ca-hash", ca_hash(control))
    used = token(home, "x")
    with running(home, *SIDECAR, "--service", "x", *access, "--token", used, "--state", str(home / "used")) as program:
        program.wait_for("certificate obtained")
        assert program.stop() == 0
    assert "used already" in refused(home, *access, "--token", used)
    assert "not known here" in refused(home, *access, "--token", "meshd1.0123456789abcdef." + "x" * 43)
    assert "no join token" in refused(home, *access, "--token", "nonsense")
    expired = token(home, "x", "--ttl", "1")

    time.sleep(1.1)
    assert "expired" in refused(home, *access, "--token", expired)


def test_another_control_plane_is_not_believed(home: Path, control: Program, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_text(make_ca(name="another mesh").root_pem)
    access = ("--control", url(control), "--token", token(home, "x"))
    refused(home, *access, "--trust-bundle", str(other))
    refused(home, *access, "--ca-hash", "sha256:" + "0" * 64)


def test_a_silent_control_plane_is_waited_for(home: Path) -> None:
    flags = ("--control", "https://127.0.0.1:1", "--ca-hash", "sha256:" + "0" * 64, "--token", "meshd1.x.y")
    with running(home, *SIDECAR, "--service", "y", "--state", str(home / "silent"), *flags) as program:
        program.wait_for("not ready yet: ")
        assert program.stop() == 0


def test_tokens_are_listed_and_revoked(home: Path, control: Program) -> None:
    code, text = finished(home, "token", "create", "--service-account", "revoked")
    assert code == 0
    secret = text.splitlines()[-1]
    identifier = secret.split(".")[1]
    _, text = finished(home, "token", "list")
    assert identifier in text
    assert secret not in text
    assert finished(home, "token", "revoke", identifier)[0] == 0
    code, text = finished(home, "token", "revoke", identifier)
    assert (code, "no token has the id" in text) == (1, True)


def test_it_serves_from_disk_while_nobody_answers(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    flags = (*SIDECAR, "--service", "d", "--state", str(tmp_path / "d"))
    with running(tmp_path, *arguments(tmp_path)) as control:
        where = ("--control", url(control), "--ca-hash", ca_hash(control), "--token", token(tmp_path, "d"))
        with running(tmp_path, *flags, *where) as program:
            program.wait_for("INFO ready")
            assert program.stop() == 0
        control.stop()
    with running(tmp_path, *flags, *where) as program:
        program.wait_for("started from the configuration on disk")
        program.wait_for("INFO ready")
        assert program.stop() == 0
    shutil.rmtree(tmp_path / "d")


def test_the_state_directory_is_private(home: Path, control: Program) -> None:
    for path in [home / "state", *(home / "state").rglob("*"), home / "run", *(home / "run").rglob("*")]:
        mode = path.stat().st_mode & 0o777
        assert mode == (0o700 if path.is_dir() else 0o600), f"{path} is {mode:o}"


def test_a_ca_of_ones_own(tmp_path: Path) -> None:
    """The company's CA signs a meshd CA, which signs workloads: they trust the company's root."""
    company = make_ca(name="company")
    below = company.intermediate(name="mesh")
    for name, text in (("ca-cert", below.pem), ("ca-key", key_to_pem(below.key)), ("chain", company.pem)):
        (tmp_path / f"{name}.pem").write_text(text)
    (tmp_path / "store").mkdir()
    flags = ("--ca-cert", "ca-cert.pem", "--ca-key", "ca-key.pem")
    with running(tmp_path, *arguments(tmp_path), *flags, "--ca-chain", "chain.pem") as control:
        assert ca_hash(control) == describe(company.pem)[0].pin
        join = ("--control", url(control), "--token", token(tmp_path, "reviews"), "--ca-hash", ca_hash(control))
        with running(tmp_path, *SIDECAR, "--service-account", "reviews", *join) as program:
            program.wait_for("certificate obtained identity=spiffe://cluster.local/ns/default/sa/reviews")
            assert program.stop() == 0
        assert control.stop() == 0
    assert not (tmp_path / "state" / "ca").exists()


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (("--ca-cert", "a.pem"), 2, "--ca-key must be given too"),
        (("--ca-key", "a.pem"), 2, "--ca-cert must be given too"),
        (("--ca-chain", "a.pem"), 2, "--ca-cert and --ca-key must be given too"),
        (("--ca-cert", "nowhere.pem", "--ca-key", "a.pem"), 78, "--ca-cert nowhere.pem cannot be read: No such file"),
        (("--ca-cert", "a.pem", "--ca-key", "a.pem"), 78, "--ca-cert, --ca-key, --ca-chain: "),
    ],
)
def test_a_ca_that_cannot_be_used(tmp_path: Path, flags: tuple[str, ...], code: int, said: str) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "a.pem").write_text("no certificate")
    found, text = finished(tmp_path, *arguments(tmp_path), *flags)
    assert (found, said in text) == (code, True), text
    assert "Traceback" not in text
