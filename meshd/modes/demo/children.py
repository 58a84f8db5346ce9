"""The demo's processes: started, watched, started again when they die, and never left behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
import trio

from meshd.errors import StartError
from meshd.modes.demo.plan import Member

RESTART_DELAY = 1.0
"""Seconds between a death and a new start."""
YOUNG = 3.0
"""Seconds; who dies younger than this did not really start."""
MOST_FAILURES = 3
"""Starts in a row that fail before the demo gives up."""
PATIENCE = 8.0
"""Seconds between asking a process to stop and killing it; above the proxies' drain timeout."""
LAST_WORDS = 3
"""Lines of a failed process's log that are shown."""

PR_SET_PDEATHSIG = 1
"""prctl(2)."""

Say = Callable[[str], None]


def _die_with_parent() -> Callable[[], None]:
    """For the child, between fork and exec: a demo that is killed outright takes its processes along (Linux)."""
    if not sys.platform.startswith("linux"):
        return lambda: None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask_kernel() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    return ask_kernel


@attrs.define(eq=False)
class Children:
    """The processes. ``run`` belongs in a nursery; ``stop_all`` ends them."""

    environment: Mapping[str, str]
    logs: Path
    say: Say
    # The whole mutable state: who lives, and whether they are meant to.
    _alive: dict[str, subprocess.Popen[bytes]] = attrs.field(factory=dict, init=False)
    _stopping: bool = attrs.field(default=False, init=False)
    _die: Callable[[], None] = attrs.field(factory=_die_with_parent, init=False)

    async def keep(self, member: Member) -> None:
        """Run a process for as long as the demo runs.

        Raises:
            StartError: it fails again and again.
        """
        failures = 0
        while not self.stopping():
            started = trio.current_time()
            code = await self._run(member)
            if self.stopping():
                return
            failures = failures + 1 if trio.current_time() - started < YOUNG else 0
            if failures >= MOST_FAILURES:
                raise StartError(
                    f"{member.name} does not start ({_how(code)}): {self._last_words(member)}", exit_code=1
                )
            self.say(f"{member.name} ended ({_how(code)}); starting it again")
            await trio.sleep(RESTART_DELAY)

    async def _run(self, member: Member) -> int:
        """One life of a process; its exit code, negative for a signal."""
        with self._log(member).open("ab") as log:
            # Not trio.run_process: it forks in a worker thread, and with that thread's end
            # the kernel would believe the parent dead (see prctl(2), PR_SET_PDEATHSIG).
            process = subprocess.Popen(  # noqa: ASYNC220, S603 - a few milliseconds; our own command line
                [sys.executable, "-m", *member.command],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in the terminal is for the demo, which then stops its processes in order.
                start_new_session=True,
                preexec_fn=self._die,  # noqa: PLW1509 - one system call, nothing that a thread could hold
            )
        self._alive[member.name] = process
        return await _wait(process)

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a living process."""
        process = self._alive.get(name)
        if process is not None and process.poll() is None:
            process.send_signal(number)

    def stopping(self) -> bool:
        """Has the end begun?"""
        return self._stopping

    def is_alive(self, name: str) -> bool:
        """Is there a process of this name now?"""
        process = self._alive.get(name)
        return process is not None and process.poll() is None

    def pid(self, name: str) -> int:
        """The process id of a name's present process."""
        return self._alive[name].pid

    async def stop_all(self) -> None:
        """Ask every process to stop, wait, and kill who does not."""
        self._stopping = True
        for name in self._alive:
            self.signal(name, signal.SIGTERM)
        with trio.move_on_after(PATIENCE):
            for process in self._alive.values():
                await _wait(process)
        self.kill_all()

    def kill_all(self) -> None:
        """End what still lives, at once."""
        self._stopping = True
        for process in self._alive.values():
            if process.poll() is None:
                process.kill()
                process.wait()

    def _log(self, member: Member) -> Path:
        return self.logs / f"{member.name}.log"

    def _last_words(self, member: Member) -> str:
        lines = self._log(member).read_text(encoding="utf-8", errors="replace").splitlines()
        return " | ".join(lines[-LAST_WORDS:]) or f"it said nothing; see {self._log(member)}"


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


async def _wait(process: subprocess.Popen[bytes]) -> int:
    """The exit code, once there is one."""
    try:
        watch = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        while (code := process.poll()) is None:
            await trio.sleep(0.05)
        return code
    try:
        await trio.lowlevel.wait_readable(watch)
    finally:
        os.close(watch)
    return process.wait()
