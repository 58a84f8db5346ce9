"""Making a connection to a host: TCP, TLS when the cluster or the endpoint asks for it, the protocol.

Auto mTLS is decided here, per endpoint: an endpoint of the mesh gets mutual TLS,
any other plaintext. The server's identity is checked by the TLS side before the
first byte of a request; a wrong one is a connection failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import trio

from meshd.errors import ConfigError, ConnectionLost, IdentityError, ProtocolError, ResponseFlag, UpstreamError
from meshd.http.h1 import H1ClientConnection
from meshd.http.limits import HttpLimits
from meshd.http.stream import ClientConnection
from meshd.net.connection import Connection, Network
from meshd.net.timers import Timers
from meshd.proxy.tls import TlsSide
from meshd.proxy.upstream.host import Host
from meshd.snapshot.cluster import Cluster, Endpoint, TlsMode

ISTIO_H2 = ("istio-h2", "istio", "h2")
ISTIO_HTTP1 = ("istio-http/1.1", "istio", "http/1.1")
ISTIO_TCP = ("istio-peer-exchange", "istio")
"""What a mesh client offers by ALPN, so that a PERMISSIVE server can tell the mesh's TLS from the application's own."""


def mutual(cluster: Cluster, endpoint: Endpoint) -> bool:
    """Does the mesh's own mutual TLS apply to this endpoint?"""
    tls = cluster.tls
    if tls is None:
        return False
    return tls.mode is TlsMode.ISTIO_MUTUAL or (tls.mode is TlsMode.AUTO and endpoint.mtls)


def secured(cluster: Cluster, endpoint: Endpoint) -> bool:
    """Is TLS of any kind spoken to this endpoint?"""
    tls = cluster.tls
    if tls is None or tls.mode is TlsMode.DISABLE:
        return False
    return tls.mode is not TlsMode.AUTO or endpoint.mtls


@attrs.define
class Connector:
    """Connects for every upstream of an engine. The one mutable field is the nursery, given when the engine runs."""

    network: Network
    tls: TlsSide
    timers: Timers
    http_limits: HttpLimits
    nursery: trio.Nursery | None = None
    """In it live connection attempts and HTTP/2 connections: both outlive the exchange that wanted them."""

    async def open(self, cluster: Cluster, host: Host) -> ClientConnection:
        """An HTTP connection to a host, within the cluster's connect timeout (TLS included, as in Envoy).

        Raises:
            UpstreamError: no connection; flag UF.
        """
        with _failing_after(cluster.limits.connect_timeout):
            connection = await self._dial(cluster, host, ISTIO_H2 if cluster.http2 else ISTIO_HTTP1)
            try:
                return await self._speak(cluster, connection)
            except BaseException:
                connection.close()
                raise
        raise AssertionError("unreachable: the block returns or raises")

    async def open_tcp(self, cluster: Cluster, host: Host) -> Connection:
        """A byte stream to a host, within the cluster's connect timeout.

        Raises:
            UpstreamError: no connection; flag UF.
        """
        with _failing_after(cluster.limits.connect_timeout):
            return await self._dial(cluster, host, ISTIO_TCP)
        raise AssertionError("unreachable: the block returns or raises")

    async def _speak(self, cluster: Cluster, connection: Connection) -> ClientConnection:
        if not cluster.http2:
            return H1ClientConnection(connection, limits=self.http_limits)
        assert self.nursery is not None
        try:
            # Only clusters that speak HTTP/2 need its libraries, and they cost a sidecar 70 ms.
            from meshd.http.h2 import connect_h2

            return await connect_h2(connection, self.nursery, timers=self.timers, limits=self.http_limits)
        except (ConnectionLost, ProtocolError) as error:
            raise _failed("remote connection failure", str(error)) from error

    async def _dial(self, cluster: Cluster, host: Host, alpn: tuple[str, ...]) -> Connection:
        try:
            connection = await self.network.connect(host.address, source=host.source)
        except (ConnectionLost, OSError) as error:
            raise _failed("remote connection failure", str(error)) from error
        if not secured(cluster, host.endpoint):
            return connection
        assert cluster.tls is not None
        try:
            return await self.tls.connect(
                connection,
                cluster.tls,
                host.endpoint,
                mutual=mutual(cluster, host.endpoint),
                alpn=alpn,
                server_name=cluster.tls.sni or cluster.service,
            )
        except (ConnectionLost, ProtocolError, IdentityError, ConfigError) as error:
            connection.close()
            raise _failed("remote connection failure", f"TLS: {error}") from error
        except BaseException:
            connection.close()
            raise


def _failed(reason: str, cause: str) -> UpstreamError:
    return UpstreamError(reason, ResponseFlag.UPSTREAM_CONNECTION_FAILURE, cause=cause)


@contextmanager
def _failing_after(seconds: float) -> Iterator[None]:
    """``trio.fail_after`` that fails in the mesh's words."""
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise _failed("connection timeout", f"no connection within {seconds:g} s")
