"""docs/quickstart.md, done to the letter: its commands are run, and what it promises is compared."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(sh background|sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORTS = ("8081", "8082", "15101")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl (Debian package curl)"),
]


def blocks() -> list[tuple[str, str]]:
    text = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    for port in PORTS:
        with socket.create_server(("127.0.0.1", 0)) as free:
            text = re.sub(rf"\b{port}\b", str(free.getsockname()[1]), text)
    return BLOCK.findall(text)


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    """An environment of its own, in which `meshd` and `python` are those of this test."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, command in (("meshd", f"{sys.executable} -m meshd"), ("python", sys.executable)):
        (programs / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (programs / name).chmod(0o755)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MESHD_", "XDG_"))}
    kept = {key: value for key, value in kept.items() if not key.lower().endswith("_proxy")}
    return kept | {"HOME": str(tmp_path), "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


@pytest.mark.timeout(90)
def test_the_quickstart_works(place: dict[str, str], tmp_path: Path) -> None:
    running: list[subprocess.Popen[bytes]] = []
    told = blocks()
    try:
        for index, (kind, text) in enumerate(told):
            if kind == "sh background":
                running.append(start(text, place, tmp_path, tmp_path / f"log-{index}"))
                if "meshd control" in text:
                    wait_for(tmp_path / ".local/state/meshd/control.json")
            elif kind == "sh":
                follows = told[index + 1][1] if index + 1 < len(told) and told[index + 1][0] == "text" else None
                run(text, follows, place, tmp_path)
    finally:
        logs = [f"{path}:\n{path.read_text(errors='replace')}" for path in sorted(tmp_path.glob("log-*"))]
        print("\n".join(logs))  # noqa: T201 - pytest shows it when the test fails
        for process in running:
            os.killpg(process.pid, signal.SIGINT)
        codes = [process.wait(timeout=10) for process in running]
    ours = [
        code for code, text in zip(codes, (t for k, t in told if k == "sh background"), strict=True) if "meshd" in text
    ]
    assert set(ours) == {0}, "Ctrl-C ends every meshd cleanly"


def start(command: str, environment: dict[str, str], directory: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(
            f"exec {command}",
            shell=True,
            cwd=directory,
            env=environment,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 15
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)


def run(command: str, expected: str | None, environment: dict[str, str], directory: Path) -> None:
    """A person tries again when something takes a second; so does this, for a while."""
    deadline = time.monotonic() + 15
    while True:
        result = subprocess.run(
            command, shell=True, cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=30
        )
        if result.returncode == 0 and (expected is None or result.stdout.rstrip() == expected.rstrip()):
            return
        if time.monotonic() > deadline:
            pytest.fail(f"{command}said {result.stdout!r} {result.stderr!r}, not {expected!r}")
        time.sleep(0.2)
