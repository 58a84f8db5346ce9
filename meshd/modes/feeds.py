"""Where a proxy's snapshots come from: a control plane, or nobody; ``static_feed`` has the files.

A feed is begun once the engine exists, then runs until cancelled. It also says
who the proxy is, for TLS, and why it is not ready yet.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import attrs

from meshd.certs import private_files
from meshd.certs.identity import Identity, IdentitySource
from meshd.control import local
from meshd.errors import ConfigError, StartError
from meshd.modes.settings import ControlAccess
from meshd.net.address import Address
from meshd.proxy.tls import Secret
from meshd.snapshot.snapshot import Snapshot

logger = logging.getLogger(__name__)

CONTROL = "control.json"
"""In a proxy's state directory: which control plane its configuration is from."""

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


def remember_control(state: Path, access: ControlAccess) -> None:
    """Keep, beside what is kept of a control plane's configuration, which control plane that is; never the token."""
    try:
        private_files.write(state / CONTROL, json.dumps({"url": access.url, "bundle": access.trust_bundle}).encode())
    except OSError as error:
        logger.warning(
            "cannot remember the control plane; a restart without it would not look for it",
            extra={"file": str(state / CONTROL), "error": error.strerror},
        )


def recall_control(state: Path) -> ControlAccess | None:
    """The control plane that this proxy belonged to before.

    Whoever was in a mesh does not leave it because its control plane is away:
    policies and mutual TLS would be gone with it.

    Raises:
        StartError: there was one, and which one cannot be told.
    """
    try:
        data = private_files.read(state / CONTROL)
        access = None if data is None else _access(json.loads(data))
    except (OSError, ValueError, TypeError, KeyError, RecursionError, ConfigError) as error:
        raise StartError(
            f"{state / CONTROL}: cannot tell which control plane this proxy belongs to;"
            f" name it with --control URL, or remove {state} to start anew"
        ) from error
    if access is not None:
        logger.warning(
            "no control plane on this machine; this proxy belongs to one and waits for it (to leave the mesh, remove the state)",
            extra={"control": access.url, "state": str(state)},
        )
    return access


def _access(plain: Any) -> ControlAccess:
    url, bundle = str(plain["url"]), str(plain["bundle"])
    Address.parse(url.removeprefix("https://"))
    return ControlAccess(url, trust_bundle=bundle)
