"""Snapshots from a control plane, through the agent.

Apart from ``feeds``, because a proxy without a control plane need not load an agent.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from meshd.agent.agent import Agent
from meshd.agent.config import AgentConfig
from meshd.agent.config import World as AgentWorld
from meshd.certs.identity import IdentitySource
from meshd.certs.request import ChildKeyMaker
from meshd.errors import StartError
from meshd.modes.feeds import Apply
from meshd.modes.process import World
from meshd.modes.settings import ControlAccess
from meshd.net.address import Address
from meshd.proxy.tls import Secret
from meshd.snapshot.protocol import Registration

logger = logging.getLogger(__name__)


@attrs.frozen(eq=False)
class AgentSecrets(Mapping[str, Secret]):
    """The secrets that an agent has at the moment of asking: with each configuration it has another set of them."""

    agent: Agent

    def __getitem__(self, name: str) -> Secret:
        return self.agent.secrets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.agent.secrets)

    def __len__(self) -> int:
        return len(self.agent.secrets)


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
        return AgentSecrets(self.agent)

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


@attrs.frozen
class Place:
    """Whose agent it is: what the certificate will say, the node's name, and where things are kept."""

    namespace: str
    service_account: str
    node: str
    state: Path
    registration: Registration


def make(access: ControlAccess, place: Place, world: World, apply: Apply) -> ControlFeed:
    """A feed of a control plane.

    Raises:
        ConfigError: the state directory cannot be used.
    """
    config = AgentConfig(
        control=Address.parse(access.url.removeprefix("https://")),
        node=place.node,
        namespace=place.namespace,
        service_account=place.service_account,
        registration=place.registration,
        token=access.token,
        trust_bundle=access.trust_bundle,
        ca_hash=access.ca_hash,
        state_dir=place.state,
    )
    key_maker = world.key_maker or ChildKeyMaker()
    outside = AgentWorld(world.network, world.resolver, world.rng, key_maker, world.wall_clock)
    return ControlFeed(Agent(config, outside, apply))


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
