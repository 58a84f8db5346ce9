"""What an agent is told, what it is given, and what it says of itself. Values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import attrs

from meshd.agent.backoff import Backoff
from meshd.certs.request import KeyMaker
from meshd.certs.rotation import Rotation
from meshd.net.address import Address
from meshd.net.connection import Network, Resolver
from meshd.snapshot.protocol import Registration

KIB = 1024
MIB = 1024 * KIB
SECONDS = 1.0


@attrs.frozen
class AgentLimits:
    """How long an agent waits for a control plane, and how much it takes from it."""

    connect_timeout: float = 5 * SECONDS
    """For each address of the control plane: TCP and TLS."""
    request_timeout: float = 15 * SECONDS
    """A whole exchange, a poll's waiting not counted."""
    poll_wait: float = 30 * SECONDS
    """How long a poll asks to wait (CONTRACT: ``Prefer: wait=30``)."""
    poll_interval: float = 1 * SECONDS
    """Between two polls whose answers came at once without news: such a control plane must not keep us busy."""
    news_interval: float = 0.05 * SECONDS
    """Between any two polls."""
    fetch_timeout: float = 60 * SECONDS
    """All parts of a configuration together."""
    leave_timeout: float = 2 * SECONDS
    max_message: int = 512 * KIB
    max_manifest: int = 1 * MIB
    max_parts: int = 64 * MIB
    """One answer with parts (at most 512 of them are asked for at once)."""
    max_fetch_rounds: int = 64
    """Levels of a manifest's tree, times batches of a level, are far below."""


@attrs.frozen
class AgentConfig:
    """What one proxy's agent is told. ``namespace`` and ``service_account`` may be "": as the token says."""

    control: Address
    node: str
    namespace: str = ""
    service_account: str = ""
    registration: Registration = Registration()
    """What is told about this proxy; ``healthy`` is kept by the agent."""
    token: str = attrs.field(default="", repr=False)
    trust_bundle: str = ""
    """PEM of the roots to trust at first."""
    ca_hash: str = ""
    """``sha256:…`` of the root's public key, instead of (or beside) the roots themselves."""
    state_dir: Path | None = None
    """Where to keep identity and configuration; None keeps nothing."""
    certificate_ttl: int = 0
    """Seconds to ask for; 0 is the control plane's default."""
    limits: AgentLimits = AgentLimits()
    rotation: Rotation = Rotation()
    backoff: Backoff = Backoff()


@attrs.frozen
class World:
    """What an agent cannot make itself. ``wall_clock`` gives seconds since the epoch."""

    network: Network
    resolver: Resolver
    rng: Random
    key_maker: KeyMaker
    wall_clock: Callable[[], float]


@attrs.frozen
class AgentStatus:
    """How an agent stands. Times are seconds since the epoch, 0 for never."""

    ready: bool
    reason: str
    """Why it is not ready, "" when it is."""
    node: str
    control: str
    spiffe_id: str
    certificate_expiry: float
    certificate: str
    """A ``Freshness``, or "" when there is none."""
    version: str
    """Of the configuration that is applied, "" for none."""
    from_disk: bool
    """No control plane has confirmed this configuration since the start."""
    refused: str
    refused_reason: str
    connected: bool
    """The last exchange with the control plane worked."""
    last_contact: float
    problem: str
    """The last failure in words, "" when the last exchange worked."""
