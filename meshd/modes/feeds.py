"""Where a proxy's snapshots come from: a control plane, or nobody; ``static_feed`` has the files.

A feed is begun once the engine exists, then runs until cancelled. It also says
who the proxy is, for TLS, and why it is not ready yet.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

import attrs

from meshd.certs.identity import Identity, IdentitySource
from meshd.control import local
from meshd.modes.settings import ControlAccess
from meshd.proxy.tls import Secret
from meshd.snapshot.snapshot import Snapshot

logger = logging.getLogger(__name__)

Apply = Callable[[Snapshot], None]
"""Run a snapshot; raises ConfigError when it cannot be run, and then nothing has changed."""


class Feed(Protocol):
    """A source of snapshots."""

    @property
    def identity(self) -> IdentitySource:
        """Who the proxy is."""
        ...

    @property
    def secrets(self) -> Mapping[str, Secret]:
        """The secrets that the present snapshot names."""
        ...

    def begin(self) -> None:
        """Apply what is known already.

        Raises:
            StartError: it cannot be run.
        """
        ...

    async def run(self) -> None:
        """Apply what comes, until cancelled."""
        ...

    def waiting_for(self) -> str:
        """Why there is nothing to serve yet, "" when there is."""
        ...

    def reload(self) -> None:
        """Look again, soon."""
        ...

    async def leave(self) -> None:
        """Say goodbye; bounded."""
        ...

    def close(self) -> None:
        """Give back what it holds. Idempotent."""
        ...


@attrs.define
class Nobody:
    """No identity (``IdentitySource``)."""

    current: Identity | None = None


@attrs.define(eq=False)
class PlainFeed:
    """One snapshot, for ever."""

    snapshot: Snapshot
    apply: Apply
    identity: IdentitySource = attrs.field(factory=Nobody)
    secrets: Mapping[str, Secret] = attrs.field(factory=dict)

    def begin(self) -> None:
        """See ``Feed``."""
        self.apply(self.snapshot)

    async def run(self) -> None:
        """See ``Feed``: nothing will come."""

    def waiting_for(self) -> str:
        """See ``Feed``."""
        return ""

    def reload(self) -> None:
        """See ``Feed``."""

    async def leave(self) -> None:
        """See ``Feed``: nobody knows of us."""

    def close(self) -> None:
        """See ``Feed``."""


def find_control(access: ControlAccess, environ: Mapping[str, str]) -> ControlAccess | None:
    """The control plane that was named, or this user's own on this machine; None when there is neither."""
    if access.url:
        return access
    found = local.find(local.runtime_directory(environ))
    if found is None:
        return None
    logger.info("found a control plane on this machine", extra={"control": found.url})
    return ControlAccess(found.url, found.secret, found.bundle)
