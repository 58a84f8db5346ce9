"""Keys and certificate requests for a process that must stay small.

The library that makes keys costs 9 MB of memory for as long as the process
lives; a sidecar needs it for milliseconds, twice a day. So a child process
makes the key and the request, and checks what was issued; the key comes back
through a pipe and never touches a disk or another machine on its way.
Whoever needs keys is given a ``KeyMaker``: this one, or the one in
``certs/x509.py`` that works inside the process (control plane, tests).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, Protocol

import trio

from meshd.certs.facts import CertificateFacts, KeyAndRequest
from meshd.errors import IdentityError

SECONDS = 1.0
CHILD_DEADLINE = 30 * SECONDS
"""A child needs 0.2 s; a machine that swaps, more."""


class KeyMaker(Protocol):
    """Makes keys and reads certificates."""

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


class ChildKeyMaker:
    """A ``KeyMaker`` that asks a child process, one question a child."""

    def __init__(self, command: tuple[str, ...] = ()) -> None:
        """``command``: what to run instead of this Python's own module."""
        self._command = command or (sys.executable, "-m", "meshd.certs.x509")

    async def make(self) -> KeyAndRequest:
        """See ``KeyMaker.make``."""
        reply = await self._ask({"do": "make"})
        key, csr = reply.get("key_pem"), reply.get("csr_pem")
        if not isinstance(key, str) or not isinstance(csr, str):
            raise IdentityError("the key child gave no key")
        return KeyAndRequest(key, csr)

    async def describe(self, pem: str) -> tuple[CertificateFacts, ...]:
        """See ``KeyMaker.describe``."""
        return _facts(await self._ask({"do": "describe", "pem": pem}))

    async def accept(self, key_pem: str, chain_pem: str, bundle_pem: str) -> CertificateFacts:
        """See ``KeyMaker.accept``."""
        question = {"do": "accept", "key": key_pem, "chain": chain_pem, "bundle": bundle_pem}
        facts = _facts(await self._ask(question))
        if len(facts) != 1:
            raise IdentityError("the key child gave no answer")
        return facts[0]

    async def _ask(self, question: dict[str, str]) -> dict[str, Any]:
        try:
            with trio.fail_after(CHILD_DEADLINE):
                done = await trio.run_process(
                    self._command,
                    stdin=json.dumps(question).encode(),
                    capture_stdout=True,
                    capture_stderr=True,
                    check=False,
                    env=_environment(),
                )
        except trio.TooSlowError as error:
            raise IdentityError(f"the process that makes keys did not answer within {CHILD_DEADLINE:.0f} s") from error
        except OSError as error:
            raise IdentityError(f"the process that makes keys cannot be started: {error.strerror}") from error
        return _reply(done)


def _reply(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:200]
        raise IdentityError(f"the process that makes keys failed ({done.returncode}): {last or 'no message'}")
    try:
        reply = json.loads(done.stdout)
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
