"""Where a request to a host that the mesh does not know wants to go.

A captured connection was on its way there. Without capture the client says it
by name: ``Host: example.com:8080`` at the outbound port, and the name is
resolved here. A destination that is this very proxy is refused, or a request
could circle for ever.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import trio

from meshd.errors import ConfigError, ConnectionLost, ResponseFlag, UpstreamError
from meshd.net.address import Address
from meshd.policy.exchange import ConnectionInfo
from meshd.proxy.exchange import ProxyExchange
from meshd.proxy.upstream.host import Host
from meshd.proxy.upstream.passthrough import PassthroughUpstream
from meshd.proxy.upstream.upstream import Upstream
from meshd.snapshot.common import Direction

if TYPE_CHECKING:
    from meshd.proxy.live import Live

SOURCE_IPV4 = "127.0.0.6"
SOURCE_IPV6 = "::6"
"""Istio's addresses for this; ``meshd capture install --ipv6`` gives the machine the second."""


def connection_destination(connection: ConnectionInfo) -> Address:
    """Where a connection was going. What came in without capture was going to the application, beside us."""
    if connection.direction is Direction.INBOUND and not connection.captured:
        return Address("127.0.0.1", connection.destination_port)
    return connection.local


def host_at(upstream: PassthroughUpstream, connection: ConnectionInfo, address: Address, live: Live) -> Host:
    """The host at an IP address, for one connection of a client.

    What came in captured goes on from an address by which the kernel's rules
    know that it has come in already; nothing else may speak to programs that
    listen on loopback only.

    Raises:
        UpstreamError: it is this proxy (UH), or too many are in use (UO).
    """
    came_in = connection.captured and connection.direction is Direction.INBOUND
    # Whatever address of this machine it came in by, a wildcard listener of ours has it.
    if live.is_own(address) or (came_in and live.is_own(Address("127.0.0.1", address.port))):
        without = "" if connection.captured else "; without capture nobody can tell where the client was going"
        raise _nowhere(f"{address} is this proxy itself{without}")
    source = (SOURCE_IPV6 if ":" in address.host else SOURCE_IPV4) if came_in else ""
    return upstream.host_for(address, source)


def requested(exchange: ProxyExchange) -> Address:
    """The address a request asks for.

    Raises:
        UpstreamError: its authority is no address.
    """
    connection = exchange.connection
    if connection.captured or connection.direction is Direction.INBOUND:
        return connection_destination(connection)
    authority = exchange.request.authority.decode("ascii", "replace")
    default = 443 if exchange.request.scheme == b"https" else 80
    try:
        if authority.startswith("[") and authority.endswith("]"):
            return Address(authority[1:-1], default)
        return Address.parse(authority) if ":" in authority else Address(authority, default)
    except ConfigError as error:
        raise _nowhere(str(error)) from error


async def passthrough_host(exchange: ProxyExchange, upstream: PassthroughUpstream) -> Host:
    """The host for an exchange that goes where it says.

    Raises:
        UpstreamError: there is no such place (DF), or it is this proxy (UH).
    """
    wanted = requested(exchange)
    try:
        ip = str(ipaddress.ip_address(wanted.host))
    except ValueError:
        ip = await _resolve(exchange, wanted.host, upstream)
    address = Address(ip, wanted.port)
    return host_at(upstream, exchange.connection, address, exchange.live)


async def hosts_known(exchange: ProxyExchange, upstream: Upstream) -> None:
    """Wait for a cluster's first look-up of names; what ends the exchange ends the wait."""
    with trio.CancelScope() as scope:
        outer, exchange.scope = exchange.scope, scope
        try:
            await upstream.wait_ready()
        finally:
            exchange.scope = outer
    if exchange.failure is not None:
        raise exchange.failure


async def _resolve(exchange: ProxyExchange, name: str, upstream: PassthroughUpstream) -> str:
    limit = upstream.cluster.limits.connect_timeout
    addresses: tuple[str, ...] = ()
    cause = f"no answer within {limit:g} s"
    with trio.CancelScope(deadline=trio.current_time() + limit) as scope:
        outer, exchange.scope = exchange.scope, scope
        try:
            addresses = await exchange.live.resolver.resolve(name)
            cause = "it has no address"
        except ConnectionLost as error:
            cause = str(error)
        finally:
            exchange.scope = outer
    if exchange.failure is not None:
        raise exchange.failure
    if not addresses:
        raise UpstreamError("dns resolution failure", ResponseFlag.DNS_FAILURE, cause=f"{name}: {cause}")
    return addresses[0]


def _nowhere(cause: str) -> UpstreamError:
    return UpstreamError("no healthy upstream", ResponseFlag.NO_HEALTHY_UPSTREAM, cause=cause)
