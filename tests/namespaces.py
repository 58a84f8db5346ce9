"""Network namespaces of the kernel, for tests of what it does to connections. Root and iptables are needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence

import attrs
import pytest

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def reason_against() -> str:
    """Why no namespace can be made here, "" when one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces need Linux and root"
    for program in ("ip", "iptables-save", "iptables-restore"):
        if shutil.which(program, path=PATH) is None:
            return f"{program} is not installed"
    tried = subprocess.run(
        ["unshare", "--net", "iptables-save", "-t", "nat"],
        capture_output=True,
        check=False,
        env={**os.environ, "PATH": PATH},
    )
    return "" if tried.returncode == 0 else "this kernel does not let us have network namespaces with rules"


@attrs.frozen
class Namespace:
    """One that is up, with a loopback interface."""

    name: str

    def command(self, *words: str) -> list[str]:
        """A command line that runs in it."""
        return ["ip", "netns", "exec", self.name, *words]

    def run(self, *words: str) -> str:
        """Run a program in it to its end; both its outputs."""
        return _run(self.command(*words))

    def meshd(self, *arguments: str) -> str:
        """Run a short command of ours in it."""
        return self.run(sys.executable, "-m", "meshd", *arguments)


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, "PATH": PATH}
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr or done.stdout}"
    return done.stdout + done.stderr


def make() -> Namespace:
    """A new one."""
    made = Namespace(f"meshd-{uuid.uuid4().hex[:8]}")
    _run(["ip", "netns", "add", made.name])
    made.run("ip", "link", "set", "lo", "up")
    return made


def unmake(made: Namespace) -> None:
    """Away with it, and with what was put up inside."""
    subprocess.run(
        ["ip", "netns", "del", made.name], check=False, capture_output=True, env={**os.environ, "PATH": PATH}
    )


def connect(one: Namespace, address: str, other: Namespace, other_address: str) -> None:
    """A cable between the two; each has the other as its way to everywhere."""
    _run(
        ["ip", "link", "add", "mesh0", "netns", one.name, "type", "veth", "peer", "name", "mesh0", "netns", other.name]
    )
    for end, mine, far in ((one, address, other_address), (other, other_address, address)):
        end.run("ip", "addr", "add", f"{mine}/24", "dev", "mesh0")
        end.run("ip", "link", "set", "mesh0", "up")
        end.run("ip", "route", "add", "default", "via", far)


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """One; skips the test where there can be none."""
    reason = reason_against()
    if reason:
        pytest.skip(reason)
    made = make()
    try:
        yield made
    finally:
        unmake(made)
