"""Keys and certificate requests for a process that must stay small.

The library that makes keys costs 9 MB of memory for as long as the process
lives; a sidecar needs it for a moment, twice a day. So a child process makes
the key and the request, and checks what was issued; the key comes back through
a pipe and never touches a disk or another machine on its way. A child lives for
one *session*, a join or a renewal, and answers several questions.

Whoever needs keys is given a ``KeyMaker``: this one, or the one in
``certs/x509.py`` that works inside the process (control plane, tests).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import trio

from meshd.certs.facts import CertificateFacts, KeyAndRequest
from meshd.errors import IdentityError

SECONDS = 1.0
CHILD_DEADLINE = 30 * SECONDS
"""A child needs 0.2 s; a machine that swaps, more."""
CHILD_FAREWELL = 2 * SECONDS
"""How long a child may take to end once nobody asks any more; then it is killed."""
MAX_ANSWER = 1024 * 1024


class Keys(Protocol):
    """Makes keys and reads certificates, within a session."""

    async def make(self) -> KeyAndRequest:
        """A new P-256 key and a request for it, with an empty subject and no names.

        Raises:
            IdentityError: the key could not be made here.
        """
        ...

    async def describe(self, pem: str) -> tuple[CertificateFacts, ...]:
        """The facts of every certificate of a PEM text, in order.

        Raises:
            IdentityError: it is none.
        """
        ...

    async def accept(self, key_pem: str, chain_pem: str, bundle_pem: str) -> CertificateFacts:
        """Check that a chain was issued for this key by a root of the bundle; gives the leaf's facts.

        Raises:
            IdentityError: it was not.
        """
        ...


class KeyMaker(Protocol):
    """Opens sessions."""

    def session(self) -> AbstractAsyncContextManager[Keys]:
        """Be ready for some questions, until the block ends."""
        ...


class ChildKeyMaker:
    """A ``KeyMaker`` that asks a child process."""

    def __init__(self, command: tuple[str, ...] = ()) -> None:
        """``command``: what to run instead of this Python's own module."""
        self._command = command or (sys.executable, "-m", "meshd.certs.x509")

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Keys]:
        """See ``KeyMaker``. The child starts with the first question and has ended when the block ends."""
        child = KeyChild(self._command)
        try:
            yield child
        finally:
            await child.aclose()


class KeyChild:
    """A child process that answers questions (``Keys``). Made by ``ChildKeyMaker``."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self._command = command
        # The whole mutable state is the process; None before the first question.
        self._process: trio.Process | None = None

    async def make(self) -> KeyAndRequest:
        """See ``Keys.make``."""
        reply = await self._ask({"do": "make"})
        key, csr = reply.get("key_pem"), reply.get("csr_pem")
        if not isinstance(key, str) or not isinstance(csr, str):
            raise IdentityError("the process that makes keys gave no key")
        return KeyAndRequest(key, csr)

    async def describe(self, pem: str) -> tuple[CertificateFacts, ...]:
        """See ``Keys.describe``."""
        return _facts(await self._ask({"do": "describe", "pem": pem}))

    async def accept(self, key_pem: str, chain_pem: str, bundle_pem: str) -> CertificateFacts:
        """See ``Keys.accept``."""
        question = {"do": "accept", "key": key_pem, "chain": chain_pem, "bundle": bundle_pem}
        facts = _facts(await self._ask(question))
        if len(facts) != 1:
            raise IdentityError("the process that makes keys gave no answer")
        return facts[0]

    async def aclose(self) -> None:
        """End the child: politely, then by force. Bounded, and not cut short by a cancellation."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 2 * CHILD_FAREWELL):
            with trio.move_on_after(CHILD_FAREWELL):
                await process.stdin.aclose()
                await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()
            for stream in (process.stdout, process.stderr):
                assert stream is not None
                await stream.aclose()
        self._process = None

    async def _ask(self, question: dict[str, str]) -> dict[str, Any]:
        try:
            with trio.fail_after(CHILD_DEADLINE):
                process = await self._started()
                assert process.stdin is not None
                await process.stdin.send_all(json.dumps(question).encode() + b"\n")
                line = await self._read_line(process)
        except trio.TooSlowError as error:
            raise IdentityError(f"the process that makes keys did not answer within {CHILD_DEADLINE:.0f} s") from error
        except trio.BrokenResourceError as error:
            raise IdentityError(f"the process that makes keys has ended: {await self._last_words()}") from error
        except OSError as error:
            raise IdentityError(f"the process that makes keys cannot be started: {error.strerror}") from error
        if not line:
            raise IdentityError(f"the process that makes keys has ended: {await self._last_words()}")
        return _reply(line)

    async def _started(self) -> trio.Process:
        if self._process is None:
            self._process = await trio.lowlevel.open_process(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(),
            )
        return self._process

    async def _read_line(self, process: trio.Process) -> bytes:
        """The next line; b"" when the child has ended instead."""
        assert process.stdout is not None
        line = b""
        while piece := await process.stdout.receive_some():
            line += piece
            if line.endswith(b"\n"):
                return line
            if len(line) > MAX_ANSWER:
                break
        return b""

    async def _last_words(self) -> str:
        process = self._process
        if process is None or process.stderr is None:
            return "no message"
        words = b""
        with trio.move_on_after(CHILD_FAREWELL):
            while len(words) < MAX_ANSWER and (piece := await process.stderr.receive_some()):
                words += piece
        return words.decode("utf-8", "replace").strip().rpartition("\n")[2][:200] or "no message"


def _reply(line: bytes) -> dict[str, Any]:
    try:
        reply = json.loads(line)
    except ValueError as error:
        raise IdentityError("the process that makes keys gave no answer") from error
    if not isinstance(reply, dict):
        raise IdentityError("the process that makes keys gave no answer")
    if refused := reply.get("refused"):
        raise IdentityError(str(refused))
    return reply


def _facts(reply: dict[str, Any]) -> tuple[CertificateFacts, ...]:
    try:
        return tuple(CertificateFacts(**fact) for fact in reply["facts"])
    except (KeyError, TypeError) as error:
        raise IdentityError("the process that makes keys gave no answer") from error


def _environment() -> dict[str, str]:
    # A single-file program unpacks itself somewhere and only sys.path knows where:
    # the child must find the same modules. Never the working directory: -P's variable.
    places = [place for place in sys.path if place]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places), "PYTHONSAFEPATH": "1"}
