"""The command line: every flag has its variable, and every mistake one clear answer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from meshd import __version__
from meshd.cli import options
from meshd.cli.main import app

runner = CliRunner()


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))
    if not hasattr(command, "commands"):
        yield path, command


ALL = list(commands(typer.main.get_command(app)))


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_every_flag_has_its_variable_and_help(path: tuple[str, ...], command: Any) -> None:
    assert command.help
    context = command.make_context(path[-1], [], resilient_parsing=True, auto_envvar_prefix="_".join(["MESHD", *path]))
    prefix = context.auto_envvar_prefix.upper().replace("-", "_")
    for option in command.params:
        assert option.help, f"{option.name} says nothing"
        if option.param_type_name == "option":
            flag = max(option.opts, key=len).lstrip("-").replace("-", "_").upper()
            # A flag whose name is a word of Python's names its variable itself.
            assert (option.envvar or f"{prefix}_{option.name.upper()}") == f"{prefix}_{flag}"


def test_a_variable_is_a_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHD_SIDECAR_ADMIN", "nonsense:x")
    result = runner.invoke(app, ["sidecar", "--upstream", ":1"])
    assert result.exit_code == 2
    assert "'nonsense:x' is no address" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sidcar"], "Did you mean 'sidecar'?"),
        (["sidecar", "--upsteam", ":1"], "--upstream"),
        (["sidecar"], "give --upstream"),
        (["sidecar", "--upstream", ":0"], "port 0 is where nobody listens"),
        (["sidecar", "--upstream", "1.2.3.4"], "is no address"),
        (["sidecar", "--upstream", "::1:80"], "put IPv6 in brackets"),
        (["sidecar", "--upstream", ":1", "--bind", "reviews=:1"], "expected SERVICE:PORT=ADDR"),
        (["sidecar", "--upstream", ":1", "--label", "x"], "expected KEY=VALUE"),
        (["sidecar", "--upstream", ":1", "--log-level", "loud"], "debug, info, warning, error"),
        (["sidecar", "--upstream", ":1", "--token", "t"], "need --control URL"),
        (["sidecar", "--upstream", ":1", "--control", "http://x"], "expected https://HOST:PORT"),
        (["sidecar", "--upstream", ":1", "--control", "x", "--ca-hash", "abc"], "64 hexadecimal digits"),
        (["sidecar", "--upstream", ":1", "--control", "x", "--token-file", "/nonexistent/t"], "No such file"),
        (["sidecar", "--upstream", ":1", "--control", "x", "--config", "y"], "--control or --config, not both"),
        (["sidecar", "--upstream", ":1", "--drain-timeout", "soon"], "is no duration"),
        (["gateway", "--port", "0=:1"], "expected PORT=ADDR"),
        (["gateway", "--port", "80"], "expected PORT=ADDR"),
        (["control"], "--store"),
        (["control", "--store", "x", "--certificate-ttl", "0"], "a second at least"),
        (["token", "create"], "--service-account"),
        (["version", "--output", "xml"], "table, json, yaml"),
        (["demo", "--port", "1.1.1.1:x"], "is no address"),
        (["capture", "install", "-n", "--inbound-ports", "http"], "'http' is no port"),
        (["capture", "install", "-n", "--outbound-ports", "0"], "'0' is no port"),
        (["capture", "install", "-n", "--proxy-uid", "a b"], "cannot be used in a rule"),
        (["capture", "install", "-n", "--exclude-interfaces", "-j"], "cannot be used in a rule"),
        (["capture", "install", "-n", "--inbound-mode", "nat"], "REDIRECT, TPROXY"),
        (["capture", "install", "-n", "-b", "80", "-d", "81"], "needs --inbound-ports '*'"),
    ],
)
def test_mistakes_are_explained(arguments: list[str], message: str) -> None:
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_version() -> None:
    assert runner.invoke(app, ["version", "--short"]).output == f"{__version__}\n"
    assert runner.invoke(app, ["--version"]).output == f"meshd {__version__}\n"
    assert f'"meshd": "{__version__}"' in runner.invoke(app, ["version", "-o", "json"]).output
    assert f"meshd: {__version__}" in runner.invoke(app, ["version", "-o", "yaml"]).output


def test_help_is_quick_and_plain() -> None:
    code = "import sys; sys.argv = ['meshd', 'sidecar', '--help']\nfrom meshd.cli.main import main\n"
    check = "import atexit\natexit.register(lambda: print(sorted({'rich', 'yaml', 'trio', 'cryptography'} & set(sys.modules))))\n"
    result = subprocess.run([sys.executable, "-c", check + code + "main()"], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5", 5.0), ("0.5s", 0.5), ("250ms", 0.25), ("10m", 600.0), ("24h", 86400.0), ("1d", 86400.0)],
)
def test_durations(text: str, expected: float) -> None:
    assert options.seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "s", "-1", "nan", "1e9d", "5 s m", "1w", "inf"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        options.seconds(text)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("mesh", "https://mesh:15012"),
        ("https://mesh", "https://mesh:15012"),
        ("https://10.0.0.1:1/", "https://10.0.0.1:1"),
        ("[::1]:9", "https://[::1]:9"),
    ],
)
def test_control_urls(text: str, url: str) -> None:
    assert options.control_url(text) == url


def test_a_secret_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret\n")
    assert options.secret("", file, "token") == "secret"
    with pytest.raises(typer.BadParameter, match="not both"):
        options.secret("x", file, "token")


def test_errors_are_one_line_and_have_their_code(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "meshd", "token", "list", "--state", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 78
    assert result.stdout == ""
    assert (
        result.stderr == f"meshd: {tmp_path} is not the state directory of a control plane: name it with --state DIR\n"
    )
