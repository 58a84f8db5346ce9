"""Free ports for processes that will bind them a moment later, without two demos choosing the same."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import sys
from types import TracebackType
from typing import Self

import attrs

from meshd.errors import StartError
from meshd.modes.settings import Listening
from meshd.net.address import Address

HOST = "127.0.0.1"
RANGE = range(20_000, 32_000)
"""Below the ports that Linux gives to outgoing connections (ip_local_port_range)."""
DOORS = 200
"""How many ports are tried for the gateway."""


@attrs.define(eq=False)
class Claims:
    """Ports that this demo has chosen, for as long as the block.

    A claim is a name in Linux's abstract socket namespace: it needs no file and
    goes away with its process. Elsewhere ports are only looked at.
    """

    _held: contextlib.ExitStack = attrs.field(factory=contextlib.ExitStack, init=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._held.close()

    def take(self, count: int, rng: random.Random) -> list[int]:
        """Free ports, in no order.

        Raises:
            StartError: there are not so many.
        """
        found: list[int] = []
        for port in rng.sample(RANGE, len(RANGE)):
            if self._claim(port) and not _why_not(Address(HOST, port)):
                found.append(port)
            if len(found) == count:
                return found
        raise StartError(f"no {count} free ports on {HOST}", exit_code=1)

    def door(self, listening: Listening) -> Address:
        """The gateway's address: the one that was asked for, or the first free one from the default.

        Raises:
            StartError: the one that was asked for cannot be had.
        """
        wanted = listening.address
        assert wanted is not None
        host = wanted.host or HOST
        if wanted.port == 0:
            with socket.create_server((host, 0)) as free:
                return Address(host, free.getsockname()[1])
        tries = 1 if listening.asked else DOORS
        why = ""
        for port in range(wanted.port, min(wanted.port + tries, 65536)):
            why = _why_not(Address(host, port)) or ("" if self._claim(port) else "another demo has it")
            if not why:
                return Address(host, port)
        raise StartError(f"--port {wanted}: {why}; name another port (0 takes any free one)")

    def _claim(self, port: int) -> bool:
        if sys.platform != "linux":
            return True
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            claim.bind(f"\0meshd-demo-port-{port}")
        except OSError:
            claim.close()
            return False
        self._held.enter_context(claim)
        return True


def _why_not(address: Address) -> str:
    """Why nobody could listen there now, "" when somebody could."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        # SO_REUSEADDR, as our listeners have it: yesterday's connections do not keep a port busy.
        with socket.create_server((address.host, address.port), family=family):
            return ""
    except OSError as error:
        return os.strerror(error.errno).lower() if error.errno else str(error)
