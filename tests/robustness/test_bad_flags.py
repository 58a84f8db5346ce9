"""Flags and environments that make no sense: one line that says which and how to mend it, and the right exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import environment

pytestmark = pytest.mark.slow

SIDECAR = (
    *("sidecar", "--upstream", ":1", "--inbound", "127.0.0.1:0", "--outbound", "127.0.0.1:0"),
    *("--admin", "off", "--health", "off", "--stats", "off"),
)
NOBODY = ("--control", "https://127.0.0.1:1")
TOKEN = ("--token", "meshd1.0123456789abcdef." + "x" * 43)
CONTROL = ("control", "--listen", "127.0.0.1:0", "--console", "off", "--store", "empty")

FLAGS: list[tuple[tuple[str, ...], int, str]] = [
    (("sidecar",), 2, "--upstream"),
    (("sidecar", "--upstream", "nonsense"), 2, "'nonsense' is no address"),
    (("sidecar", "--upstream", ":99999"), 2, "':99999' is no address"),
    (("sidecar", "--upstream", ":0"), 2, "port 0"),
    (("sidecar", "--upstream", "[::1"), 2, "brackets"),
    ((*SIDECAR, "--drain-timeout", "soon"), 2, "'soon' is no duration"),
    ((*SIDECAR, "--drain-timeout", "-1"), 2, "no sensible duration"),
    ((*SIDECAR, "--drain-timeout", "nan"), 2, "no sensible duration"),
    ((*SIDECAR, "--log-level", "loud"), 2, "none of debug, info, warning, error"),
    ((*SIDECAR, "--label", "x"), 2, "'x' is no label"),
    ((*SIDECAR, "--bind", "x"), 2, "'x' binds nothing"),
    ((*SIDECAR, "--inbound", "no.such.host.invalid:1"), 78, "--inbound no.such.host.invalid:1"),
    ((*SIDECAR, "--access-log", "none/x"), 78, "cannot write the access log none/x"),
    ((*SIDECAR, "--access-log", "/"), 78, "cannot write the access log /"),
    ((*SIDECAR, "--control", "ftp://x"), 2, "'ftp://x' is no control plane"),
    ((*SIDECAR, *TOKEN), 2, "need --control URL"),
    ((*SIDECAR, *NOBODY), 78, "no join token"),
    ((*SIDECAR, *NOBODY, "--token-file", "empty"), 2, "empty: Is a directory"),
    ((*SIDECAR, *NOBODY, "--token-file", "binary"), 2, "binary is no text file"),
    ((*SIDECAR, *NOBODY, "--token-file", "none"), 2, "none: No such file"),
    ((*SIDECAR, *NOBODY, *TOKEN, "--token-file", "text"), 2, "not both"),
    ((*SIDECAR, *NOBODY, "--trust-bundle", "none"), 2, "none: No such file"),
    ((*SIDECAR, *NOBODY, *TOKEN, "--trust-bundle", "text"), 78, "no certificate found"),
    ((*SIDECAR, *NOBODY, "--ca-hash", "sha256:zz"), 2, "64 hexadecimal digits"),
    ((*SIDECAR, *NOBODY, *TOKEN, "--ca-hash", "sha256:" + "g" * 64), 78, "64 hexadecimal digits"),
    ((*SIDECAR, *NOBODY, "--service", "../../x"), 78, "'../../x'"),
    ((*SIDECAR, *NOBODY, *TOKEN, "--state", "text"), 78, "text: cannot be used as a private directory"),
    ((*SIDECAR, *NOBODY, *TOKEN, "--state", "shared"), 78, "is open to others"),
    (("gateway",), 78, "--config FILE_OR_DIR, --control URL"),
    (("gateway", "--config", "empty"), 65, "no configuration in empty"),
    (("gateway", "--config", "binary"), 65, "UTF-8"),
    (("gateway", "--config", "/dev/zero"), 65, "it is not a file"),
    (("gateway", "--port", "80", "--config", "text"), 2, "'80' maps nothing"),
    (("gateway", "--port", "80=x", "--config", "text"), 2, "'x' is no address"),
    (("control",), 2, "--store"),
    ((*CONTROL, "--store", "text"), 78, "not a directory"),
    ((*CONTROL, "--state", "/proc/x"), 78, "/proc/x"),
    ((*CONTROL, "--state", "text"), 78, "text: cannot be used as a private directory"),
    ((*CONTROL, "--state", "shared"), 78, "is open to others"),
    ((*CONTROL, "--trust-domain", "BAD DOMAIN"), 2, "'BAD DOMAIN' is no trust domain"),
    ((*CONTROL, "--trust-domain", "a/b"), 2, "'a/b' is no trust domain"),
    ((*CONTROL, "--listen", "192.0.2.1:1"), 78, "--listen 192.0.2.1:1"),
    ((*CONTROL, "--certificate-ttl", "0"), 2, "--certificate-ttl"),
    (("token", "create"), 2, "--service-account"),
    (("token", "create", "--service-account", "a b"), 65, "a b"),
    (("nonsense",), 2, "No such command 'nonsense'"),
    (("gateway", "--nonsense"), 2, "No such option: --nonsense"),
]

ENVIRONMENTS = [
    ({"MESHD_SIDECAR_UPSTREAM": "junk"}, "'junk' is no address"),
    ({"MESHD_SIDECAR_UPSTREAM": ":1", "MESHD_SIDECAR_LOG_LEVEL": "x"}, "'x' is none of"),
    ({"MESHD_SIDECAR_UPSTREAM": ":1", "MESHD_SIDECAR_LABEL": "a"}, "'a' is no label"),
    ({"MESHD_SIDECAR_UPSTREAM": ":1", "MESHD_SIDECAR_DRAIN_TIMEOUT": "x"}, "'x' is no duration"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("flags")
    (made / "empty").mkdir()
    (made / "shared").mkdir(mode=0o755)
    (made / "shared" / "of others").write_text("")
    (made / "binary").write_bytes(b"\xff\xfe\x00")
    (made / "text").write_text("hello\n")
    return made


def run(home: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "meshd", *arguments],
        env=environment(home) | variables,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.stdout == "", "what went wrong is said on stderr"
    return done.returncode, done.stderr


@pytest.mark.parametrize(("arguments", "code", "message"), FLAGS, ids=[" ".join(each[0][-2:]) for each in FLAGS])
def test_flags(home: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    returned, text = run(home, *arguments)
    assert "Traceback" not in text
    assert returned == code, text
    assert message in text
    said = [line for line in text.splitlines() if line.startswith(("meshd: ", "Error: "))]
    assert len(said) == 1, text
    assert "x" * 43 not in text, "a token is not repeated"


@pytest.mark.parametrize(("variables", "message"), ENVIRONMENTS)
def test_environments(home: Path, variables: dict[str, str], message: str) -> None:
    returned, text = run(home, "sidecar", **variables)
    assert returned == 2
    assert message in text
    assert "Traceback" not in text


def test_nothing_was_touched(home: Path) -> None:
    assert (home / "shared").stat().st_mode & 0o777 == 0o755
    assert (home / "text").read_text() == "hello\n"
    assert list((home / "empty").iterdir()) == []
