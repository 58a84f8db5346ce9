"""The real program in a process of its own, for what only a process can show: exit codes, signals, ports."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 20.0
"""Seconds for anything to happen on a busy machine."""


def environment(home: Path) -> dict[str, str]:
    """Nothing of the user's own meshd."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MESHD_", "XDG_"))}
    kept = {key: value for key, value in kept.items() if not key.lower().endswith("_proxy")}
    return kept | {"HOME": str(home), "MESHD_RUNTIME_DIR": str(home / "run")}


class Program:
    """A running ``meshd``; its output is in a file that grows."""

    def __init__(self, home: Path, *arguments: str, python: tuple[str, ...] = ()) -> None:
        self.output = home / f"output-{time.monotonic_ns()}"
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, *python, "-m", "meshd", *arguments],
                env=environment(home),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=home,
            )

    @property
    def text(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first match in its output."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = re.search(pattern, self.text)
            if found:
                return found
            ended = self.process.poll() is not None
            assert not ended or re.search(pattern, self.text), f"ended without {pattern!r}:\n{self.text}"
            assert time.monotonic() < deadline, f"{pattern!r} did not come:\n{self.text}"
            time.sleep(0.02)

    def wait(self) -> int:
        return self.process.wait(timeout=PATIENCE)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()


@contextmanager
def running(home: Path, *arguments: str, python: tuple[str, ...] = ()) -> Iterator[Program]:
    """A program that is gone when the block ends."""
    program = Program(home, *arguments, python=python)
    try:
        yield program
    finally:
        if program.process.poll() is None:
            program.process.kill()
        program.process.wait()


def finished(home: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of a program that ends by itself."""
    with running(home, *arguments) as program:
        return program.wait(), program.text


def answering(port: int) -> str:
    """A gateway's whole configuration: whatever comes in at ``port`` is answered with TEXT."""
    return ANSWERING.replace("PORT", str(port))


ANSWERING = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: PORT, name: http, protocol: HTTP}
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: answer}
spec:
  hosts: ["*"]
  gateways: [door]
  http:
  - directResponse: {status: 200, body: {string: "TEXT"}}
"""
