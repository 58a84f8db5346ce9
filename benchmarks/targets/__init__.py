"""What is measured: meshd and its peers, each set up to do the same work."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import attrs

HERE = Path(__file__).parent


@attrs.frozen
class Plan:
    """Where a target listens, where its backend is, and a folder for its files."""

    port: int
    backend_port: int
    folder: Path


@attrs.frozen
class Target:
    """A peer: its name, the programs it needs, and its command for a plan."""

    name: str
    needs: tuple[str, ...]
    command: Callable[[Plan], list[str]]

    def missing(self) -> str:
        """The first program that is not installed, or ""."""
        return next((program for program in self.needs if not _program(program)), "")


def _program(name: str) -> str | None:
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name, path="/usr/sbin:/usr/bin:/bin:/usr/local/bin")


def _fill(template: str, plan: Plan, suffix: str) -> Path:
    text = (HERE / template).read_text()
    for key, value in (("PORT", plan.port), ("BACKEND", plan.backend_port), ("FOLDER", plan.folder)):
        text = text.replace(f"@{key}@", str(value))
    path = plan.folder / f"{plan.port}{suffix}"
    path.write_text(text)
    return path


def _meshd(plan: Plan) -> list[str]:
    config = _fill("meshd.yaml", plan, ".meshd.yaml")
    return [
        sys.executable, "-m", "meshd", "gateway", "--config", str(config), "--port", f"8080=127.0.0.1:{plan.port}",
        "--admin", "off", "--health", "off", "--stats", "off", "--access-log", "/dev/null",
    ]  # fmt: skip


def _envoy(template: str) -> Callable[[Plan], list[str]]:
    def command(plan: Plan) -> list[str]:
        config = _fill(template, plan, ".envoy.yaml")
        program = _program("envoy")
        return [str(program), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]

    return command


def _nginx(plan: Plan) -> list[str]:
    config = _fill("nginx.conf", plan, ".nginx.conf")
    return [str(_program("nginx")), "-c", str(config), "-g", "daemon off;"]


def _aiohttp(plan: Plan) -> list[str]:
    script = HERE / "aiohttp_proxy.py"
    return [sys.executable, str(script), str(plan.port), f"http://127.0.0.1:{plan.backend_port}", "/dev/null"]


TARGETS = (
    Target("meshd", (), _meshd),
    Target("envoy", ("envoy",), _envoy("envoy.yaml")),
    Target("nginx", ("nginx",), _nginx),
    Target("aiohttp", (), _aiohttp),
)


def backend_command(plan: Plan) -> list[str]:
    """nginx serving 1 KiB with keep-alive; ``plan.port`` is where it listens."""
    config = _fill("backend.conf", plan, ".backend.conf")
    return [str(_program("nginx")), "-c", str(config), "-g", "daemon off;"]


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(command: list[str], port: int, *, cpu: str, log: Path) -> subprocess.Popen[bytes]:
    """Run a command pinned to a processor and wait until its port answers."""
    with log.open("ab") as output:
        process = subprocess.Popen(["taskset", "-c", cpu, *command], stdout=output, stderr=output)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
        except OSError:
            time.sleep(0.05)
        else:
            return process
    process.kill()
    raise SystemExit(f"{command[0]} did not start; see {log}:\n{log.read_text()[-2000:]}")
