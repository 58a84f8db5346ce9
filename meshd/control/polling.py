"""The part of the API that proxies live on: registration, configuration, parts, secrets.

A proxy sees its own configuration and nothing else: its scope is made from its
certificate and its registration, parts are found only among those of its own
last versions, secrets only if its present configuration names them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

import attrs
import trio

from meshd.certs.spiffe import SpiffeId
from meshd.control.issuing import Caller, Refusal
from meshd.control.nodes import Node, NodeKey, Nodes, TooManyNodes
from meshd.control.publisher import Published, Publisher
from meshd.control.registrations import Workload
from meshd.control.scope import Scope
from meshd.errors import ConfigError
from meshd.http.head import Headers
from meshd.snapshot.protocol import (
    BUNDLE_HEADER,
    GENERATION_HEADER,
    MAX_BATCH,
    STATUS_HEADER,
    PartsRequest,
    PollStatus,
    Registration,
    RegistrationReply,
    SecretResponse,
    is_name,
    read,
    write,
)

SECONDS = 1.0

_VERSION = re.compile(rb'(?:W/)?"([0-9a-f]{64})"')
_WAIT = re.compile(rb"(?:^|[,;]\s*)wait=(\d{1,6})\b")

JSON = (b"content-type", b"application/json")
LINES = (b"content-type", b"application/jsonl")

SecretLookup = Callable[[Scope, str], SecretResponse | None]
"""The content of a secret for a scope; None when there is none."""


@attrs.frozen
class PollLimits:
    """How long polls wait, and how many may."""

    max_wait: float = 60 * SECONDS
    start_wait: float = 5 * SECONDS
    """How long a poll is held while the control plane has not read its store yet."""
    max_waiting: int = 20_000
    """Source: 24 to 29 KiB for each waiting connection, measured: half a gigabyte."""
    max_waiting_per_node: int = 4
    """A node polls once at a time; more are left over from broken connections."""


@attrs.frozen
class Answer:
    """A response of the API."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = (JSON,)


@attrs.frozen
class Request:
    """A request of the API, its body read and its sender known as far as the connection proves it."""

    method: bytes
    path: str
    headers: Headers
    body: bytes = attrs.field(repr=False)
    caller: Caller


class Polling:
    """Made by ``ControlApi``."""

    def __init__(
        self,
        publisher: Publisher[object, Scope],
        nodes: Nodes,
        *,
        epoch: str,
        bundle_version: Callable[[], str],
        secrets: SecretLookup,
        limits: PollLimits,
    ) -> None:
        self._publisher = publisher
        self._nodes = nodes
        self._epoch = epoch
        self._bundle_version = bundle_version
        self._secrets = secrets
        self._limits = limits
        # The whole mutable state: who waits, and whether nobody shall any more.
        self._waiting: dict[NodeKey, int] = {}
        self._draining = False

    @property
    def waiting(self) -> int:
        """Polls that wait now."""
        return sum(self._waiting.values())

    def drain(self) -> None:
        """Answer every waiting poll now, and let none wait any more."""
        self._draining = True
        self._publisher.wake()

    async def register(self, request: Request) -> Answer:
        """``PUT /v1/registration``."""
        spiffe, key = self._identify(request)
        registration = read(Registration, request.body)
        workload = Workload(spiffe.namespace, spiffe.service_account, key.name, registration)
        before = self._nodes.get(key)
        scope = before.scope if before else None
        try:
            node = self._nodes.register(key, workload, spiffe.trust_domain, request.caller.certificate_expiry)
        except TooManyNodes as error:
            raise Refusal(429, "too_many_nodes", str(error), retry_after=30 * SECONDS) from error
        if scope is not None and scope != node.scope:
            self._publisher.wake()
        ttl = max(1, int(self._nodes.limits.ttl))
        return Answer(200, write(RegistrationReply(ttl, str(spiffe))))

    async def unregister(self, request: Request) -> Answer:
        """``DELETE /v1/registration``."""
        _, key = self._identify(request)
        if self._nodes.remove(key):
            self._publisher.wake()
        return Answer(204, headers=())

    async def config(self, request: Request) -> Answer:
        """``GET /v1/config``: the manifest, at once or when it changes.

        Cancellation: the client has gone; its node gets the grace of one that
        has broken off.
        """
        node = self._node(request)
        status = _status(request.headers)
        self._nodes.report(node, status)
        known = frozenset(each.decode() for each in _VERSION.findall(request.headers.get(b"if-none-match") or b""))
        wait = 0.0 if self._draining else min(_wait(request.headers), self._limits.max_wait)
        try:
            if not self._publisher.generation:
                # Just started: better a little late than an error and a pause.
                await self._await_other(node, frozenset(), self._limits.start_wait)
            published = self._now(node.scope)
            if published.version in known and wait > 0:
                published = await self._await_other(node, known, wait) or published
        except trio.Cancelled:
            self._nodes.broke_off(node)
            raise
        headers = (
            (b"etag", f'"{published.version}"'.encode()),
            (BUNDLE_HEADER, self._bundle_version().encode()),
            (GENERATION_HEADER, f"{self._epoch}.{self._publisher.generation}".encode()),
            (b"cache-control", b"no-store"),
        )
        if published.version in known:
            return Answer(304, headers=headers)
        return Answer(200, published.manifest, (JSON, *headers))

    async def part(self, request: Request) -> Answer:
        """``GET /v1/parts/{digest}``."""
        node = self._node(request)
        digest = request.path.rpartition("/")[2]
        part = self._publisher.held(node.scope, digest)
        if part is None:
            raise _no_part(digest)
        return Answer(200, part, (JSON, (b"etag", f'"{digest}"'.encode()), (b"cache-control", b"no-store")))

    async def parts(self, request: Request) -> Answer:
        """``POST /v1/parts``: several, each on a line of its own, in the order asked for."""
        node = self._node(request)
        asked = read(PartsRequest, request.body)
        lines = []
        for digest in asked.digests[:MAX_BATCH]:
            part = self._publisher.held(node.scope, digest)
            if part is None:
                raise _no_part(digest)
            lines.append(part + b"\n")
        return Answer(200, b"".join(lines), (LINES, (b"cache-control", b"no-store")))

    async def secret(self, request: Request) -> Answer:
        """``GET /v1/secrets/{name}``: only a secret that the node's configuration names."""
        node = self._node(request)
        name = unquote(request.path.removeprefix("/v1/secrets/"))
        version = self._now(node.scope).secrets.get(name)
        found = self._secrets(node.scope, name) if version is not None else None
        if found is None:
            raise Refusal(404, "no_secret", f"the configuration of {node.key.name} names no secret {name[:80]!r}")
        return Answer(200, write(found), (JSON, (b"cache-control", b"no-store")))

    def version_of(self, node: Node) -> str:
        """What a node should run now, "" when nothing is published for it."""
        try:
            published = self._publisher.current(node.scope)
        except ConfigError:
            return ""
        return published.version if published else ""

    async def _await_other(self, node: Node, known: frozenset[str], wait: float) -> Published | None:
        if self.waiting >= self._limits.max_waiting:
            raise Refusal(429, "too_many_polls", "too many polls are waiting", retry_after=5 * SECONDS)
        if self._waiting.get(node.key, 0) >= self._limits.max_waiting_per_node:
            raise Refusal(
                429, "too_many_polls", f"node {node.key.name} waits several times already", retry_after=SECONDS
            )
        bundle = self._bundle_version()

        def scope_of() -> Scope | None:
            if self._draining or self._bundle_version() != bundle:
                return None
            present = self._nodes.get(node.key)
            return present.scope if present else None

        self._waiting[node.key] = self._waiting.get(node.key, 0) + 1
        try:
            return await self._publisher.wait(scope_of, known, wait)
        finally:
            self._waiting[node.key] -= 1
            if not self._waiting[node.key]:
                del self._waiting[node.key]

    def _now(self, scope: Scope) -> Published:
        try:
            published = self._publisher.current(scope)
        except ConfigError as error:
            message = f"the configuration cannot be compiled for this proxy: {error}"
            raise Refusal(503, "no_configuration", message, retry_after=5 * SECONDS) from error
        if published is None:
            raise Refusal(503, "not_ready", "the control plane has not read its store yet", retry_after=SECONDS)
        return published

    def _identify(self, request: Request) -> tuple[SpiffeId, NodeKey]:
        spiffe = request.caller.spiffe
        if spiffe is None:
            raise Refusal(
                401,
                "certificate_required",
                "this needs a client certificate of the mesh",
                mend="get one at POST /v1/certificates with a join token",
            )
        if not spiffe.namespace:
            raise Refusal(403, "no_workload", f"{spiffe} is not of the form spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT")
        if not is_name(request.caller.node):
            raise Refusal(400, "node_required", "the header meshd-node must name the node")
        return spiffe, NodeKey(str(spiffe), request.caller.node)

    def _node(self, request: Request) -> Node:
        _, key = self._identify(request)
        node = self._nodes.get(key)
        if node is None:
            raise Refusal(
                409, "unregistered", f"node {key.name} is not registered", mend="register at PUT /v1/registration"
            )
        return node


def _status(headers: Headers) -> PollStatus:
    value = headers.get(STATUS_HEADER)
    return read(PollStatus, value) if value is not None else PollStatus()


def _wait(headers: Headers) -> float:
    """Seconds of ``Prefer: wait=N`` (RFC 7240 section 4.3); 0 without one."""
    found = _WAIT.search(headers.get(b"prefer") or b"")
    return float(found[1]) if found else 0.0


def _no_part(digest: str) -> Refusal:
    mend = "a newer configuration was published meanwhile: poll again"
    return Refusal(404, "no_part", f"no part {digest[:64]!r} in this node's configuration", mend=mend)
