"""Where a proxy's snapshots come from: a control plane, or nobody; ``static_feed`` has the files.

A feed is begun once the engine exists, then runs until cancelled. It also says
who the proxy is, for TLS, and why it is not ready yet.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from typing import Protocol

import attrs

from meshd.agent.agent import Agent
from meshd.agent.config import AgentConfig
from meshd.agent.config import World as AgentWorld
from meshd.certs.identity import Identity, IdentitySource
from meshd.certs.request import ChildKeyMaker
from meshd.control import local
from meshd.errors import StartError
from meshd.modes.process import World
from meshd.modes.settings import ControlAccess
from meshd.net.address import Address
from meshd.net.connection import Resolver
from meshd.proxy.tls import Secret
from meshd.snapshot.protocol import Registration
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


@attrs.define(eq=False)
class ControlFeed:
    """The control plane's word, through the agent."""

    agent: Agent

    @property
    def identity(self) -> IdentitySource:
        """See ``Feed``."""
        return self.agent.identity

    @property
    def secrets(self) -> Mapping[str, Secret]:
        """See ``Feed``."""
        return self.agent.secrets

    def begin(self) -> None:
        """See ``Feed``: the last good configuration, from disk."""
        if self.agent.load():
            logger.info("started from the configuration on disk", extra={"version": self.agent.status.version})

    async def run(self) -> None:
        """See ``Feed``."""
        await self.agent.run()

    def waiting_for(self) -> str:
        """See ``Feed``."""
        status = self.agent.status
        return "" if status.ready else status.reason

    def reload(self) -> None:
        """See ``Feed``: the control plane's changes come by themselves."""

    async def leave(self) -> None:
        """See ``Feed``."""
        await self.agent.leave()

    def close(self) -> None:
        """See ``Feed``."""
        self.agent.close()


def find_control(access: ControlAccess, environ: Mapping[str, str]) -> ControlAccess | None:
    """The control plane that was named, or this user's own on this machine; None when there is neither."""
    if access.url:
        return access
    found = local.find(local.runtime_directory(environ))
    if found is None:
        return None
    logger.info("found a control plane on this machine", extra={"control": found.url})
    return ControlAccess(found.url, found.secret, found.bundle)


def agent_config(access: ControlAccess, registration: Registration, node: str) -> AgentConfig:
    """The agent's settings but for identity and disk."""
    return AgentConfig(
        control=Address.parse(access.url.removeprefix("https://")),
        node=node,
        registration=registration,
        token=access.token,
        trust_bundle=access.trust_bundle,
        ca_hash=access.ca_hash,
    )


def agent_world(world: World, resolver: Resolver) -> AgentWorld:
    """What an agent is given; keys are made in a child process, which keeps their library out of this one."""
    return AgentWorld(world.network, resolver, world.rng, ChildKeyMaker(), world.wall_clock)


def node_name(service: str, version: str, port: int) -> str:
    """A name that tells the proxies of one identity apart, the same after a restart."""
    parts = [part for part in (service, version) if part]
    host = "".join(each if each.isalnum() or each in "-." else "-" for each in socket.gethostname()).strip("-.")
    return f"{'-'.join(parts) or 'sidecar'}.{host or 'localhost'}.{port}"


def own_address(access: ControlAccess) -> str:
    """The address by which this machine talks to the control plane, which is how others reach it; "" when unknown."""
    control = Address.parse(access.url.removeprefix("https://"))
    try:
        family, _, _, _, where = socket.getaddrinfo(control.host, control.port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # Connecting a datagram socket sends nothing; it only picks the route.
            probe.connect(where)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise StartError(
            f"--control {access.url}: {error.strerror or error}; name this machine with --advertise"
        ) from error
