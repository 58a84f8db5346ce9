"""The sidecar's DNS proxy: its sockets, and which names hold at this moment."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from functools import partial

import attrs
import trio

from meshd.errors import StartError
from meshd.modes.process import World, listen
from meshd.modes.settings import Listening
from meshd.net.address import Address, is_ip_literal, is_loopback
from meshd.net.resolv_conf import ResolvConf, read_resolv_conf
from meshd.proxy.dns.names import NameTable, table_of, with_virtual_listeners
from meshd.proxy.dns.server import PORT, DnsServer
from meshd.proxy.engine import Engine
from meshd.snapshot.snapshot import Snapshot

logger = logging.getLogger(__name__)


@attrs.define(eq=False)
class Names:
    """The names of the configuration in force. Told of each one before it is tried, asked after."""

    namespace: str
    # The whole mutable state: the names of the last configuration that was tried, and of the one in force.
    _tried: tuple[str, NameTable] | None = attrs.field(default=None, init=False)
    _table: NameTable | None = attrs.field(default=None, init=False)

    def adapt(self, snapshot: Snapshot) -> Snapshot:
        """With listeners for virtual addresses."""
        table = table_of(snapshot, self.namespace)
        self._tried = (snapshot.version, table)
        return with_virtual_listeners(snapshot, table)

    def current(self, engine: Engine) -> NameTable | None:
        """The names in force; None before there is any configuration."""
        live = engine.live
        if self._tried is not None and live is not None and live.snapshot.version == self._tried[0]:
            self._table = self._tried[1]
        return self._table


def open_dns(
    listening: Listening, names: Names, world: World, engine: Engine
) -> tuple[Callable[[], Awaitable[None]], ...]:
    """Bind both protocols at one port; what serves them.

    Raises:
        StartError: the address cannot be had.
    """
    listener = listen(world.network, listening, "dns")
    assert listener is not None
    try:
        sock = _bind(listener.address)
    except OSError as error:
        listener.close()
        why = (error.strerror or str(error)).lower()
        raise StartError(f"--dns {listener.address} by UDP: {why}") from error
    if not is_loopback(listener.address.host):
        logger.warning("--dns %s answers other machines too (127.0.0.1 keeps it to this one)", listener.address)
    resolv = without(read_resolv_conf(), listener.address)
    if not resolv.servers:
        logger.warning("/etc/resolv.conf names no server: only names of the mesh are answered")
    server = DnsServer(
        world.network,
        resolv,
        partial(names.current, engine),
        rng=world.rng,
        registry=engine.world.registry,
    )
    logger.info("answering questions for names", extra={"dns": str(listener.address)})
    return (partial(server.serve_udp, sock), partial(server.serve_tcp, listener))


def without(resolv: ResolvConf, own: Address) -> ResolvConf:
    """Those of the machine's servers that are not this one."""
    if own.port != PORT:
        return resolv
    everywhere = own.host in {"", "0.0.0.0", "::"}  # noqa: S104 - to recognise it
    kept = tuple(each for each in resolv.servers if each != own.host and not (everywhere and is_loopback(each)))
    return attrs.evolve(resolv, servers=kept)


def _bind(address: Address) -> trio.socket.SocketType:
    host = address.host or ("::" if socket.has_dualstack_ipv6() else "0.0.0.0")  # noqa: S104 - "" asks for it
    if not is_ip_literal(host):
        raise OSError(errno.EADDRNOTAVAIL, "it needs an IP address")
    ipv6 = ":" in host
    plain = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        if ipv6:
            plain.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        plain.bind((host, address.port))
        return trio.socket.from_stdlib_socket(plain)
    except BaseException:
        plain.close()
        raise
