"""Exchanges with the control plane: HTTPS on one kept connection, with a deadline and a size for each.

Theory of operation. A channel has at most one connection and does one exchange
at a time; the poll loop and the other loops have a channel each. A connection
belongs to the identity it was made with: once that is swapped, the next exchange
makes a new one. An exchange that fails or is cancelled closes the connection; one that fails on a
*reused* connection before any answer is tried once more on a new one, since
every request of the protocol may be repeated.

Redirects are not followed, content codings not undone: neither is part of the
protocol, and both are ways to make an agent go or take what it should not.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable

import attrs
import trio

from meshd.agent.config import AgentLimits, World
from meshd.certs.contexts import TlsContexts
from meshd.certs.spiffe import peer_spiffe_id
from meshd.errors import (
    ConfigError,
    ConnectionLost,
    DeadlineExceeded,
    IdentityError,
    MeshdError,
    ProtocolError,
    TlsAlert,
    UpstreamError,
)
from meshd.http.h1 import H1ClientConnection
from meshd.http.head import Headers, RequestHead, ResponseHead
from meshd.net.address import Address
from meshd.net.connection import Connection
from meshd.net.tls import Verify, wrap_client
from meshd.snapshot.protocol import CONTROL_PATH, ErrorBody, read

log = logging.getLogger(__name__)

ALPN = ("http/1.1",)


class Unreachable(MeshdError):
    """The control plane did not answer, or not with what the protocol allows. Trying again may help."""


class ControlError(MeshdError):
    """The control plane refused a request.

    Args:
        status: HTTP status.
        body: What it said.
        retry_after: Seconds after which to try again, 0 for "not said".
    """

    def __init__(self, status: int, body: ErrorBody, retry_after: float = 0.0) -> None:
        super().__init__(f"{body.message}{'; ' if body.mend else ''}{body.mend}")
        self.status = status
        self.code = body.code
        self.retry_after = retry_after

    @property
    def final(self) -> bool:
        """Would the same request be refused again?"""
        return 400 <= self.status < 500 and self.status not in (408, 409, 425, 429)


@attrs.frozen
class Trust:
    """Whom to believe to be the control plane, as long as there is no identity.

    ``roots_pem`` "" believes anybody: only for fetching roots that are checked
    against a pin before they are used.
    """

    roots_pem: str
    trust_domain: str = ""
    """"" is any: the roots decide."""


@attrs.frozen
class Exchange:
    """A request to make."""

    method: bytes
    path: str
    body: bytes = attrs.field(default=b"", repr=False)
    headers: tuple[tuple[bytes, bytes], ...] = attrs.field(default=(), repr=False)
    limit: int = 512 * 1024
    """Bytes of the answer's body."""
    timeout: float = 15.0
    """For everything: connecting, asking, and the whole answer."""


@attrs.frozen
class Reply:
    """An answer: 2xx or 304."""

    status: int
    headers: Headers
    body: bytes = attrs.field(repr=False)


class Channel:
    """Made and closed by the agent."""

    def __init__(
        self,
        address: Address,
        world: World,
        contexts: TlsContexts,
        limits: AgentLimits,
        *,
        trust: Callable[[], Trust | None] = lambda: None,
    ) -> None:
        """Make a channel; nothing is connected yet.

        Args:
            address: The control plane's; its host may be a name.
            world: Network, resolver, randomness.
            contexts: For the identity that is current.
            limits: Deadlines.
            trust: Whom to believe now without an identity of our own; None uses the identity.
        """
        self._address = address
        self._world = world
        self._contexts = contexts
        self._limits = limits
        self._trust = trust
        # The whole mutable state: the connection, and what it was made with.
        self._client: H1ClientConnection | None = None
        self._made_with: object = None

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def request(self, exchange: Exchange) -> Reply:
        """Ask, and wait for the whole answer.

        Raises:
            Unreachable: nobody answered, or nothing usable.
            ControlError: the control plane refused.
            IdentityError: whoever answered is not our control plane, or does not believe that we are of its mesh.

        Cancellation: the connection is closed.
        """
        try:
            with trio.fail_after(exchange.timeout):
                return await self._request(exchange)
        except trio.TooSlowError as error:
            raise Unreachable(f"{self._address} did not answer within {exchange.timeout:.0f} s") from error
        except UpstreamError as error:
            if isinstance(error.__cause__, TlsAlert):
                raise self._not_accepted(error.__cause__) from error
            raise Unreachable(f"{self._address} broke off: {error}") from error
        except ProtocolError as error:
            raise Unreachable(f"{self._address} does not speak the protocol: {error}") from error
        except TlsAlert as error:
            raise self._not_accepted(error) from error
        except (ConnectionLost, DeadlineExceeded) as error:
            raise Unreachable(f"{self._address}: {error}") from error

    def _not_accepted(self, alert: TlsAlert) -> IdentityError:
        return IdentityError(f"the control plane at {self._address} does not accept our certificate: {alert}")

    async def _request(self, exchange: Exchange) -> Reply:
        client, reused = await self._connected()
        try:
            return await self._exchange(client, exchange)
        except (UpstreamError, ConnectionLost) as error:
            if not reused or isinstance(error.__cause__, TlsAlert):
                raise
        client, _ = await self._connected()
        return await self._exchange(client, exchange)

    async def _exchange(self, client: H1ClientConnection, exchange: Exchange) -> Reply:
        stream = client.open()
        done = False
        try:
            head = RequestHead(
                exchange.method,
                exchange.path.encode("ascii"),
                str(self._address).encode("ascii"),
                Headers.of(((b"accept", b"application/json"), *exchange.headers)),
                length=len(exchange.body),
                scheme=b"https",
            )
            await stream.send_head(head, exchange.body, end=True)
            response = await stream.receive_head()
            body = b""
            if response.status != 304:
                body = await self._read_body(stream.body.receive, response, exchange.limit)
            done = True
        finally:
            stream.finish()
            if not done:
                client.close()
                self._client = None
        return self._judge(response, body)

    async def _read_body(self, receive: Callable[[], Awaitable[bytes]], response: ResponseHead, limit: int) -> bytes:
        if response.length is not None and response.length > limit:
            raise Unreachable(f"{self._address} answers with {response.length} bytes; the limit is {limit}")
        pieces, size = [], 0
        while piece := await receive():
            size += len(piece)
            if size > limit:
                raise Unreachable(f"{self._address} answers with more than {limit} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    def _judge(self, response: ResponseHead, body: bytes) -> Reply:
        if response.headers.get(b"content-encoding") not in (None, b"identity"):
            raise Unreachable(f"{self._address} answers in a content coding, which was not asked for")
        if response.status in (200, 204, 304):
            return Reply(response.status, response.headers, body)
        if 300 <= response.status < 400:
            raise Unreachable(f"{self._address} answers with a redirect, which is not followed")
        raise ControlError(response.status, _error_body(response.status, body), _retry_after(response.headers))

    async def _connected(self) -> tuple[H1ClientConnection, bool]:
        trust = self._trust()
        wanted: object = trust if trust is not None else self._contexts.identity()
        if self._client is not None and self._client.is_available() and self._made_with is wanted:
            return self._client, True
        self.close()
        connection = await self._connect(trust)
        self._made_with = wanted
        self._client = H1ClientConnection(connection)
        return self._client, False

    async def _connect(self, trust: Trust | None) -> Connection:
        context, verify = self._security(trust)
        problem: MeshdError = ConnectionLost("its name has no address")
        for host in await self._world.resolver.resolve(self._address.host or "127.0.0.1"):
            address = Address(host, self._address.port)
            try:
                with trio.fail_after(self._limits.connect_timeout):
                    return await wrap_client(await self._world.network.connect(address), context, verify=verify)
            except trio.TooSlowError:
                problem = ConnectionLost(f"{address} did not answer within {self._limits.connect_timeout:.0f} s")
            except IdentityError as error:
                problem = IdentityError(f"{self._address} is not our control plane: {error}")
            except (ConnectionLost, ProtocolError) as error:
                problem = error
        raise problem

    def _security(self, trust: Trust | None) -> tuple[ssl.SSLContext, Verify | None]:
        if trust is None:
            domain = self._contexts.identity().spiffe_id.removeprefix("spiffe://").partition("/")[0]
            return self._contexts.mesh_client(alpn=ALPN), _control_plane_of(domain)
        if not trust.roots_pem:
            return self._contexts.web_client(alpn=ALPN, insecure_skip_verify=True), None
        try:
            context = self._contexts.web_client(alpn=ALPN, roots_pem=trust.roots_pem, verify_host=False)
        except ConfigError as error:
            raise IdentityError(str(error)) from error
        return context, _control_plane_of(trust.trust_domain)


def _control_plane_of(trust_domain: str) -> Verify:
    """The peer must be the control plane of a trust domain ("": of any that the roots vouch for)."""

    def verify(tls: ssl.SSLObject) -> str:
        identity = peer_spiffe_id(tls.getpeercert())
        if identity.path != CONTROL_PATH or (trust_domain and identity.trust_domain != trust_domain):
            raise IdentityError(f"the peer is {identity}, expected spiffe://{trust_domain or '*'}{CONTROL_PATH}")
        return str(identity)

    return verify


def _error_body(status: int, body: bytes) -> ErrorBody:
    try:
        return read(ErrorBody, body, lenient=True)
    except ConfigError:
        return ErrorBody("unknown", f"status {status}")


def _retry_after(headers: Headers) -> float:
    value = headers.get(b"retry-after") or b""
    return float(min(int(value), 300)) if value.isdigit() and len(value) < 7 else 0.0
