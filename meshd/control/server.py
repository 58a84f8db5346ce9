"""The control plane's HTTPS API (15012), and its small plain one for operators (15014).

One table says which function answers what. Everything a request may claim is
bounded before it is looked at; who sends it is decided by its certificate, its
token, or the local credential, and by nothing it says. Every error has one
form: ``{"code", "message", "mend"}``.

The wire protocol for users: ``docs/reference/control-api.md``.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Awaitable, Callable, Iterator

import attrs
import trio
from cryptography import x509

from meshd.certs.spiffe import SpiffeId
from meshd.control.authority import Authority
from meshd.control.issuing import Caller, Issuer, Refusal
from meshd.control.nodes import NodeKey, Nodes
from meshd.control.polling import JSON, Answer, Polling, PollLimits, Request, SecretLookup
from meshd.control.publisher import Publisher
from meshd.control.rates import Buckets, Rate
from meshd.control.scope import Scope
from meshd.errors import ConfigError, ConnectionLost, DeadlineExceeded, IdentityError, ProtocolError
from meshd.http.head import Headers, ResponseHead
from meshd.http.stream import ServerStream
from meshd.snapshot.protocol import (
    CONTROL_PATH,
    MAX_MESSAGE,
    NODE_HEADER,
    BundleResponse,
    CertificateRequest,
    ErrorBody,
    NodesResponse,
    read,
    write,
)

log = logging.getLogger(__name__)

SECONDS = 1.0
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

Handler = Callable[[Request], Awaitable[Answer]]


@attrs.frozen
class ApiLimits:
    """What a client of the API may ask for."""

    max_body: int = MAX_MESSAGE
    """Bytes of a request's body."""
    body_timeout: float = 15 * SECONDS
    per_caller: Rate = Rate(50.0, 500.0)
    """Requests by registered node, else by identity, else by peer address. A node makes some ten while it starts,
    and one in some seconds later."""
    polls: PollLimits = PollLimits()


@attrs.frozen
class Parts:
    """What the API is made of. ``admins`` are SPIFFE ids that may read every node's status."""

    authority: Authority
    issuer: Issuer
    nodes: Nodes
    publisher: Publisher[object, Scope]
    wall_clock: Callable[[], float]
    epoch: str
    """Differs between any two starts of a control plane."""
    secrets: SecretLookup = lambda _scope, _name: None
    admins: frozenset[str] = frozenset()
    limits: ApiLimits = ApiLimits()
    explain: Callable[[bytes], Awaitable[bytes]] | None = None
    """Answers questions about requests (``meshd explain``); raises ConfigError for what is none."""
    count: Callable[[str, int], None] = lambda _endpoint, _status: None
    """Called for every response: the endpoint's name and the status."""


class ControlApi:
    """Answers requests. Made by the control plane's mode; ``handle`` is given to the HTTP server."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.polling = Polling(
            parts.publisher,
            parts.nodes,
            epoch=parts.epoch,
            bundle_version=lambda: parts.authority.bundle.version,
            secrets=parts.secrets,
            limits=parts.limits.polls,
        )
        # The whole mutable state is who asked how often.
        self._asked = Buckets(parts.limits.per_caller)
        polling = self.polling
        self._exact: dict[tuple[bytes, str], Handler] = {
            (b"GET", "/v1/bundle"): self._bundle,
            (b"POST", "/v1/certificates"): self._certificates,
            (b"PUT", "/v1/registration"): polling.register,
            (b"DELETE", "/v1/registration"): polling.unregister,
            (b"GET", "/v1/config"): polling.config,
            (b"POST", "/v1/parts"): polling.parts,
            (b"GET", "/v1/nodes"): self._nodes,
            (b"POST", "/v1/explain"): self._explain,
        }
        self._below: dict[tuple[bytes, str], Handler] = {
            (b"GET", "/v1/parts/"): polling.part,
            (b"GET", "/v1/secrets/"): polling.secret,
        }

    def drain(self) -> None:
        """Answer every waiting poll now: the control plane is about to stop."""
        self.polling.drain()

    async def handle(self, stream: ServerStream) -> None:
        """Answer one request of 15012."""
        method, path = stream.request.method, _path(stream)
        name, handler = self._find(method, path)
        try:
            with _while_client_stays(stream):
                answer = await self._answer(stream, path, handler)
                await _respond(stream, answer)
                self._parts.count(name, answer.status)
        except (ConnectionLost, DeadlineExceeded, ProtocolError) as error:
            # The client's doing, on its own connection: nothing to tell anybody.
            log.debug("a request of the API ended early", extra={"endpoint": name, "error": str(error)})
            stream.abort(error)

    async def _answer(self, stream: ServerStream, path: str, handler: Handler | None) -> Answer:
        try:
            caller = self._admit(stream)
            if handler is None:
                return _refused(self._unknown(stream.request.method, path))
            body = await _read_body(stream, self._parts.limits)
            return await handler(Request(stream.request.method, path, stream.request.headers, body, caller))
        except Refusal as refusal:
            return _refused(refusal)
        except ConfigError as error:
            return _refused(Refusal(400, "bad_request", str(error)))
        except IdentityError as error:
            return _refused(Refusal(403, "identity_refused", str(error)))

    def _find(self, method: bytes, path: str) -> tuple[str, Handler | None]:
        if handler := self._exact.get((method, path)):
            return path, handler
        for (known, prefix), handler in self._below.items():
            if known == method and path.startswith(prefix) and len(path) > len(prefix):
                return prefix + "*", handler
        return "unknown", None

    def _unknown(self, method: bytes, path: str) -> Refusal:
        known = {at for _, at in self._exact} | {prefix for _, prefix in self._below}
        if path in known or any(path.startswith(prefix) for _, prefix in self._below):
            return Refusal(405, "method_not_allowed", f"{method.decode('latin-1')[:16]} is not for {path[:80]}")
        return Refusal(404, "not_found", f"there is nothing at {path[:80]!r}", mend="see docs/reference/control-api.md")

    def _admit(self, stream: ServerStream) -> Caller:
        caller = self._caller(stream)
        # Many nodes may share an identity: each that is registered has a bucket of its own.
        registered = caller.spiffe is not None and self._parts.nodes.get(NodeKey(str(caller.spiffe), caller.node))
        key = f"{caller.key} {caller.node}" if registered else caller.key
        wait = self._asked.take(key, trio.current_time())
        if wait:
            raise Refusal(429, "too_many_requests", "too many requests", retry_after=wait)
        return caller

    def _caller(self, stream: ServerStream) -> Caller:
        tls = stream.connection.tls
        headers = stream.request.headers
        spiffe, expiry = None, 0.0
        if tls is not None and tls.peer_uri:
            spiffe = SpiffeId.parse(tls.peer_uri)
            expiry = _expiry(tls.peer_certificate)
            if spiffe.trust_domain != self._parts.authority.trust_domain:
                raise Refusal(403, "other_mesh", f"{spiffe} is not of this mesh")
            # The handshake may be long ago: a connection must not outlive its identity.
            if expiry <= self._parts.wall_clock():
                raise Refusal(401, "certificate_expired", "the client certificate has expired since it connected")
        return Caller(stream.connection.peer, spiffe, expiry, _bearer(headers), _text(headers.get(NODE_HEADER)))

    async def _bundle(self, request: Request) -> Answer:
        bundle = self._parts.authority.bundle
        etag = f'"{bundle.version}"'.encode()
        if (request.headers.get(b"if-none-match") or b"") == etag:
            return Answer(304, headers=((b"etag", etag),))
        return Answer(200, write(BundleResponse(bundle.trust_domain, bundle.pem)), (JSON, (b"etag", etag)))

    async def _certificates(self, request: Request) -> Answer:
        asked = read(CertificateRequest, request.body)
        response = self._parts.issuer.issue(request.caller, asked, trio.current_time())
        return Answer(200, write(response), (JSON, (b"cache-control", b"no-store")))

    async def _nodes(self, request: Request) -> Answer:
        self._require_admin(request.caller, "the nodes are shown")
        return Answer(200, write(self.nodes_response()))

    async def _explain(self, request: Request) -> Answer:
        self._require_admin(request.caller, "everybody's routes and policies are explained")
        return await explained(self._parts, request.body)

    def _require_admin(self, caller: Caller, what: str) -> None:
        own = f"spiffe://{self._parts.authority.trust_domain}{CONTROL_PATH}"
        if not self._parts.issuer.is_local(caller) and str(caller.spiffe) not in {own, *self._parts.admins}:
            raise Refusal(
                403,
                "not_admin",
                f"{what} to administrators only",
                mend="run this as the control plane's user on its machine",
            )

    def nodes_response(self) -> NodesResponse:
        """Every node as ``proxy-status`` shows it."""
        return NodesResponse(self._parts.nodes.rows(self.polling.version_of))


class OperatorApi:
    """The plain HTTP of 15014: ``/ready``, ``/metrics`` and ``/debug/...``; meant for loopback.

    Asked only by its own names: a page in a browser must not reach it through a
    name it has made to point here (DNS rebinding).
    """

    def __init__(
        self,
        parts: Parts,
        api: ControlApi,
        *,
        ready: Callable[[], str],
        metrics: Callable[[], Iterator[bytes]],
        names: frozenset[str] = LOCAL_NAMES,
    ) -> None:
        """Put it together.

        Args:
            parts: As for ``ControlApi``.
            api: For the nodes' status.
            ready: Why the control plane is not ready, "" when it is.
            metrics: The metrics page, in slices.
            names: Host names it may be asked by.
        """
        self._parts = parts
        self._api = api
        self._ready = ready
        self._metrics = metrics
        self._names = names

    async def handle(self, stream: ServerStream) -> None:
        """Answer one request of 15014."""
        try:
            if _host(stream.request.authority) not in self._names:
                answer = _refused(Refusal(421, "misdirected", "this is not a name of the control plane"))
            elif not self._own_page(stream):
                answer = _refused(Refusal(403, "from_a_page", "pages of other origins may not ask the control plane"))
            elif stream.request.method == b"POST" and _path(stream) == "/debug/explain":
                answer = await explained(self._parts, await _read_body(stream, self._parts.limits))
            elif stream.request.method not in (b"GET", b"HEAD"):
                answer = _refused(Refusal(405, "method_not_allowed", "only GET"))
            else:
                answer = await self._answer(_path(stream))
            await _respond(stream, answer)
        except Refusal as refusal:
            await _respond(stream, _refused(refusal))
        except (ConnectionLost, DeadlineExceeded, ProtocolError) as error:
            stream.abort(error)

    def _own_page(self, stream: ServerStream) -> bool:
        """Whether nobody's page asks, or one of the control plane's own."""
        origin = stream.request.headers.get(b"origin")
        return origin is None or _host(origin.partition(b"://")[2]) in self._names

    async def _answer(self, path: str) -> Answer:
        plain = (b"content-type", b"text/plain; charset=utf-8")
        match path:
            case "/ready":
                reason = self._ready()
                return Answer(503 if reason else 200, (reason or "ready").encode() + b"\n", (plain,))
            case "/metrics":
                slices = []
                for piece in self._metrics():
                    slices.append(piece)
                    # A page of many series must not hold the loop.
                    await trio.lowlevel.checkpoint()
                return Answer(200, b"".join(slices), ((b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),))
            case "/debug/nodes":
                return Answer(200, write(self._api.nodes_response()))
            case "/debug/statistics":
                return Answer(200, json.dumps(self.statistics()).encode())
        return _refused(
            Refusal(
                404,
                "not_found",
                "there are /ready, /metrics, /debug/nodes, /debug/statistics and (POST) /debug/explain",
            )
        )

    def statistics(self) -> dict[str, object]:
        """Counts of the control plane's rooms."""
        issuer = self._parts.issuer
        return {
            "publisher": self._parts.publisher.statistics(),
            "nodes": self._parts.nodes.statistics(),
            "polls": {"waiting": self._api.polling.waiting},
            "certificates": {"issued": issuer.issued, "refused": issuer.refused},
        }


class _while_client_stays:  # noqa: N801 - used as a context manager
    """Cancels the block when the client goes away, so that a waiting poll does not wait for nobody."""

    def __init__(self, stream: ServerStream) -> None:
        self._stream = stream
        self._scope = trio.CancelScope()

    def __enter__(self) -> None:
        self._scope.__enter__()
        self._stream.on_abort = lambda _: self._scope.cancel()

    def __exit__(self, *exception: object) -> bool:
        self._stream.on_abort = None
        return bool(self._scope.__exit__(*exception))  # type: ignore[arg-type]


async def explained(parts: Parts, body: bytes) -> Answer:
    """The answer to questions about requests.

    Raises:
        Refusal: they are none, or nothing can be said yet.
    """
    if parts.explain is None:
        raise Refusal(404, "not_found", "this control plane explains nothing")
    try:
        return Answer(200, await parts.explain(body), (JSON, (b"cache-control", b"no-store")))
    except ConfigError as error:
        raise Refusal(400, "bad_request", str(error)) from error


async def _read_body(stream: ServerStream, limits: ApiLimits) -> bytes:
    declared = stream.request.length
    if declared is not None and declared > limits.max_body:
        raise _too_large(limits.max_body)
    pieces, size = [], 0
    with trio.move_on_after(limits.body_timeout) as scope:
        while piece := await stream.body.receive():
            size += len(piece)
            if size > limits.max_body:
                raise _too_large(limits.max_body)
            pieces.append(piece)
    if scope.cancelled_caught:
        raise Refusal(408, "timeout", f"the body did not come within {limits.body_timeout:.0f} s")
    return b"".join(pieces)


def _too_large(limit: int) -> Refusal:
    return Refusal(413, "too_large", f"a request's body may have {limit} bytes")


def _refused(refusal: Refusal) -> Answer:
    headers: tuple[tuple[bytes, bytes], ...] = (JSON, (b"cache-control", b"no-store"))
    if refusal.retry_after > 0:
        headers = (*headers, (b"retry-after", str(math.ceil(refusal.retry_after)).encode()))
    body = ErrorBody(refusal.code, refusal.message[:2048], refusal.mend)
    return Answer(refusal.status, write(body), headers)


async def _respond(stream: ServerStream, answer: Answer) -> None:
    if not stream.body.ended:
        # Refused before its body was read: what still comes of it is not wanted.
        stream.close_after()
    head = ResponseHead(answer.status, Headers.of(answer.headers), length=len(answer.body))
    if answer.status == 304:
        head.length = None
    body = b"" if stream.request.method == b"HEAD" else answer.body
    await stream.respond(head, body, end=True)


def _path(stream: ServerStream) -> str:
    return stream.request.path.decode("ascii", "replace")


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("ascii", "replace")


def _bearer(headers: Headers) -> str:
    scheme, _, credential = _text(headers.get(b"authorization")).partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else ""


def _host(authority: bytes) -> str:
    host = authority.decode("ascii", "replace").lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _expiry(certificate: bytes) -> float:
    try:
        return x509.load_der_x509_certificate(certificate).not_valid_after_utc.timestamp()
    except ValueError as error:
        raise Refusal(403, "identity_refused", "the client certificate cannot be read") from error
