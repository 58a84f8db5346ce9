"""kill -9 for every process of the demo, one after the other: the others serve what they can, and it comes back."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.programs import running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

BACK_WITHIN = 15.0
"""Seconds from a kill until everything is whole again (a busy machine; a quiet one needs two)."""
WATCHED = 1.0
"""Seconds of pages looked at right after a kill."""
NEEDED = ("gateway", "productpage-v1", "productpage-v1.sidecar")
"""Without these there is no page at all."""


def look(url: str) -> str:
    """A page; "" when there is none."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=20) as answer:
            return str(answer.read(), "utf-8")
    except (urllib.error.URLError, OSError):
        return ""


def whole(page: str) -> bool:
    troubled = 'class="trouble"' in page or 'class="rating unavailable"' in page
    return "reviews-v" in page and not troubled


def children(pid: int) -> dict[int, str]:
    """The command lines of a process's children."""
    found = {}
    for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            found[int(each)] = Path(f"/proc/{each}/cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return found


def name_of(command: str) -> str:
    if " control " in command:
        return "control"
    if " gateway " in command:
        return "gateway"
    service = re.search(r"(?:--service|demo\.service) (\S+)", command)
    version = re.search(r"--version (\S+)", command)
    assert service is not None
    assert version is not None
    return f"{service[1]}-{version[1]}" + (".sidecar" if " sidecar " in command else "")


def test_every_process_may_die(tmp_path: Path) -> None:
    with running(tmp_path, "demo", "--port", "127.0.0.1:0", "--dir", str(tmp_path / "d")) as program:
        program.wait_for("Ctrl-C ends the demo")
        url = program.wait_for(r"http://127\.0\.0\.1:\d+/productpage")[0]
        victims = {name_of(command): pid for pid, command in children(program.process.pid).items()}
        assert len(victims) == 16
        for name in sorted(victims):
            os.kill(victims[name], signal.SIGKILL)
            killed = time.monotonic()
            pages = []
            while time.monotonic() - killed < WATCHED:
                pages.append(look(url))
            if name not in NEEDED:
                assert all(pages), f"without {name} there are pages that do not come"
            if name == "control":
                assert all(map(whole, pages)), "traffic needs no control plane"
            program.wait_for(rf"{re.escape(name)} ended \(SIGKILL\); starting it again")
            good = 0
            while good < 6:
                good = good + 1 if whole(look(url)) else 0
                assert time.monotonic() - killed < BACK_WITHIN, f"{name} does not come back: {program.text[-2000:]}"
        now = {name_of(command): pid for pid, command in children(program.process.pid).items()}
        assert now.keys() == victims.keys()
        assert not set(now.values()) & set(victims.values()), "each has had another life"
        logs = "".join(path.read_text() for path in (tmp_path / "d" / "logs").iterdir())
        assert "Traceback" not in logs + program.text
        assert "PRIVATE KEY" not in logs
        program.signal(signal.SIGINT)
        assert program.wait() == 0
    assert not subprocess.run(["pgrep", "-f", str(tmp_path / "d")], capture_output=True, check=False).stdout
