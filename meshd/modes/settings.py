"""What the commands are told, as values; made by ``cli`` or by tests, read by the modes. Pure values."""

from __future__ import annotations

from pathlib import Path

import attrs

from meshd.modes.limits import Setting
from meshd.net.address import Address

DRAIN_TIMEOUT = 5.0
"""Seconds to let exchanges under way finish (Istio's terminationDrainDuration)."""


@attrs.frozen
class Listening:
    """Where to listen.

    ``address`` None: nowhere (``off``). ``asked``: the user named it, so a taken
    port is an error; a default that is taken gives way to the next free port.
    """

    address: Address | None
    asked: bool = False

    @classmethod
    def default(cls, host: str, port: int) -> Listening:
        """Our own choice, which may give way."""
        return cls(Address(host, port))


@attrs.frozen
class Logging:
    """``format`` is ``text`` or ``json``; ``level`` a name of ``logging``; ``access_log`` a path, ``-`` or ``off``."""

    format: str = "text"
    level: str = "info"
    access_log: str = "-"


@attrs.frozen
class ControlAccess:
    """How a proxy reaches its control plane and proves who it is.

    ``url`` "" and no local control plane: there is none. ``token`` is a join
    token for the first certificate; ``trust_bundle`` (PEM) or ``ca_hash``
    (``sha256:`` of a root's public key) say which control plane is the right one.
    """

    url: str = ""
    token: str = attrs.field(default="", repr=False)
    trust_bundle: str = ""
    ca_hash: str = ""


@attrs.frozen
class Workload:
    """Who a proxy speaks for. ``service_account`` "" takes the service's name, else ``default``."""

    namespace: str = "default"
    service_account: str = ""
    service: str = ""
    labels: tuple[tuple[str, str], ...] = ()


@attrs.frozen
class ServiceBind:
    """A local port of its own for one service of the mesh: ``--bind reviews:9080=127.0.0.1:9080``."""

    host: str
    port: int
    address: Address


@attrs.frozen
class PortMap:
    """Where a Gateway server's port is really bound: ``--port 80=:8080``."""

    port: int
    address: Address


@attrs.frozen(kw_only=True)
class ProxySettings:
    """What sidecar and gateway have in common."""

    admin: Listening = Listening.default("127.0.0.1", 15000)
    health: Listening = Listening.default("", 15021)
    stats: Listening = Listening.default("", 15090)
    logging: Logging = Logging()
    drain_timeout: float = DRAIN_TIMEOUT
    control: ControlAccess = ControlAccess()
    workload: Workload = Workload()
    config: tuple[Path, ...] = ()
    state: Path | None = None
    limits: tuple[Setting, ...] = ()
    """Set by ``--limit``; for others the role's own."""


@attrs.frozen(kw_only=True)
class SidecarSettings(ProxySettings):
    """``upstream`` None: nothing is taken in, only calls going out."""

    upstream: Address | None = None
    inbound: Listening = Listening.default("", 15006)
    outbound: Listening = Listening.default("127.0.0.1", 15001)
    binds: tuple[ServiceBind, ...] = ()
    advertise: Address | None = None
    dns: Listening | None = None
    """Where to answer questions for names; None: nowhere."""


@attrs.frozen(kw_only=True)
class GatewaySettings(ProxySettings):
    """``ports`` maps Gateway server ports to addresses; a port not named is bound as it is."""

    ports: tuple[PortMap, ...] = ()


@attrs.frozen
class CaFiles:
    """A CA of the user's own: its certificate, its key, and (None when it is a root itself) what stands above it; all PEM."""

    certificate: Path
    key: Path
    chain: Path | None = None


@attrs.frozen(kw_only=True)
class ControlSettings:
    """The control plane. ``state`` None is ``control`` in the user's state directory; ``ca`` None makes a root of its own there."""

    store: Path
    state: Path | None = None
    listen: Listening = Listening.default("", 15012)
    console: Listening = Listening.default("127.0.0.1", 15014)
    trust_domain: str = "cluster.local"
    certificate_ttl: float = 24 * 3600.0
    ca: CaFiles | None = None
    advertise_locally: bool = True
    logging: Logging = Logging(access_log="off")


@attrs.frozen(kw_only=True)
class DemoSettings:
    """The demo. ``directory`` None is a new temporary one, removed at the end unless ``keep``."""

    directory: Path | None = None
    port: Listening = Listening(Address("127.0.0.1", 8080))
    keep: bool = False
    check: bool = False
