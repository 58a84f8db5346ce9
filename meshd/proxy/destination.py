"""Where a request to a host that the mesh does not know wants to go.

Without transparent capture the client says it by name: ``Host: example.com:8080``
at the outbound port. Its name is resolved here; a destination that is this very
proxy is refused, or a request could circle for ever.
"""

from __future__ import annotations

import ipaddress

import trio

from meshd.errors import ConfigError, ConnectionLost, ResponseFlag, UpstreamError
from meshd.net.address import Address
from meshd.proxy.exchange import ProxyExchange
from meshd.proxy.upstream.host import Host
from meshd.proxy.upstream.passthrough import PassthroughUpstream
from meshd.proxy.upstream.upstream import Upstream
from meshd.snapshot.common import Direction


def requested(exchange: ProxyExchange) -> Address:
    """The address a request asks for.

    Raises:
        UpstreamError: its authority is no address.
    """
    if exchange.connection.direction is Direction.INBOUND:
        return Address("127.0.0.1", exchange.connection.destination_port)
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
    live = exchange.live
    try:
        ip = str(ipaddress.ip_address(wanted.host))
    except ValueError:
        ip = await _resolve(exchange, wanted.host, upstream)
    address = Address(ip, wanted.port)
    if live.is_own(address):
        raise _nowhere(f"{address} is this proxy itself")
    return upstream.host_for(address)


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
