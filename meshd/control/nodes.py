"""The proxies that are there: who they are, what they run, and when they were last heard of.

A node is a proxy: an identity from a certificate, and a name that tells the
proxies of one identity apart. It registers, renews while it lives, and is
forgotten when it leaves or falls silent. Registered sidecars are a *source* of
documents (``control/registrations.py``).

Registrations are kept in a file, so that a control plane that restarts does not
publish an empty mesh while its proxies are still coming back; after a start
they have one time to live to show up again.
"""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import trio

from meshd.api.document import Document
from meshd.certs import private_files
from meshd.control.registrations import Workload, documents
from meshd.control.scope import Scope
from meshd.errors import ConfigError, MeshdError
from meshd.snapshot.codec import Codecs
from meshd.snapshot.protocol import NodeStatus, PollStatus, Registration

log = logging.getLogger(__name__)

SECONDS = 1.0
MIB = 1024 * 1024
MAX_FILE = 256 * MIB
QUIET = 0.02 * SECONDS
"""Changes that come within this time are published together: a thousand nodes register at once after an outage."""
SAVE_INTERVAL = 0.2 * SECONDS
"""Between two writes of the file at least. What a crash loses in between is missing from everybody's endpoints
until it registers again."""
SAVE_SHARE = 20
"""A write that takes long is not repeated before so many times its length have passed."""


@attrs.frozen
class NodeLimits:
    """How long silence is tolerated, and how many nodes there may be."""

    ttl: float = 30 * SECONDS
    """A registration that was not renewed for so long is dropped; agents renew after a third of it."""
    grace: float = 10 * SECONDS
    """The same, once a node's waiting poll broke off. Source: Istio's PILOT_WORKLOAD_ENTRY_GRACE_PERIOD."""
    most: int = 50_000
    most_per_identity: int = 5_000


class TooManyNodes(MeshdError):
    """A limit on nodes is reached."""


@attrs.frozen
class NodeKey:
    """Which node. ``spiffe_id`` is from the certificate."""

    spiffe_id: str
    name: str


@attrs.define
class Node:
    """One proxy. Changed by ``Nodes`` only."""

    key: NodeKey
    workload: Workload
    scope: Scope
    """Whose configuration is compiled for it; always that of ``workload``."""
    deadline: float
    """trio's clock: when the registration lapses."""
    certificate_expiry: float = 0.0
    last_seen: float = 0.0
    """Wall clock, 0: not since the control plane started."""
    status: PollStatus | None = None


def scope_of(workload: Workload, trust_domain: str) -> Scope:
    """Whose configuration is compiled for a workload."""
    said = workload.registration
    return Scope(
        kind="gateway" if said.kind == "gateway" else "sidecar",
        namespace=workload.namespace,
        service_account=workload.service_account,
        name=workload.name,
        labels=workload.labels,
        address=said.address,
        app_ports=(said.app_port,) if said.app_port else (),
        app_host=said.app_host,
        trust_domain=trust_domain,
    )


class Nodes:
    """Every node. Made by the control plane's mode; the API server tells it what it hears."""

    def __init__(
        self,
        wall_clock: Callable[[], float],
        file: Path | None = None,
        *,
        limits: NodeLimits | None = None,
        on_scope_gone: Callable[[Scope], None] | None = None,
    ) -> None:
        """Make an empty registry.

        Args:
            wall_clock: Seconds since the epoch.
            file: Where registrations outlive a restart; its directory exists and is private.
            limits: How long silence is tolerated.
            on_scope_gone: Called when the last node of a scope has gone.
        """
        self._wall_clock = wall_clock
        self._on_scope_gone = on_scope_gone
        self._file = file
        self.limits = limits or NodeLimits()
        # The whole mutable state: the nodes, and how many each identity and each scope has; the hosts others declare; an event that is set when documents may
        # have changed or a deadline has moved closer; when the file is to be written, and how long that takes.
        self._nodes: dict[NodeKey, Node] = {}
        self._of_identity: Counter[str] = Counter()
        self._of_scope: Counter[Scope] = Counter()
        self._declared: frozenset[str] = frozenset()
        self._save_at = math.inf
        self._save_took = 0.0
        self._stirred = trio.Event()
        self._expired = 0

    def load(self) -> int:
        """Take up the registrations of the process before. Returns how many; call it inside trio, before ``run``."""
        if self._file is None:
            return 0
        try:
            data = private_files.read(self._file, limit=MAX_FILE)
            saved = () if data is None else Codecs().of(tuple[_Saved, ...]).read(json.loads(data), "")
        except (OSError, ValueError, RecursionError, ConfigError) as error:
            log.warning("saved registrations are left aside", extra={"file": str(self._file), "error": str(error)})
            return 0
        deadline = trio.current_time() + self.limits.ttl
        for each in saved:
            workload = Workload(each.namespace, each.service_account, each.name, each.registration)
            key = NodeKey(each.spiffe_id, each.name)
            self._enter(Node(key, workload, scope_of(workload, each.trust_domain), deadline))
        return len(saved)

    def get(self, key: NodeKey) -> Node | None:
        """A node that is registered now."""
        return self._nodes.get(key)

    def __iter__(self) -> Iterator[Node]:
        return iter(tuple(self._nodes.values()))

    def __len__(self) -> int:
        return len(self._nodes)

    def register(self, key: NodeKey, workload: Workload, trust_domain: str, certificate_expiry: float) -> Node:
        """Enter or renew a node.

        Raises:
            TooManyNodes: a limit is reached.
        """
        now = trio.current_time()
        node = self._nodes.get(key)
        changed = node is None or node.workload != workload
        if node is None:
            self._check_room(key)
            node = Node(key, workload, scope_of(workload, trust_domain), now)
            log.info("node registered", extra={"node": key.name, "identity": key.spiffe_id})
        node.deadline = now + self.limits.ttl
        node.last_seen = self._wall_clock()
        node.certificate_expiry = certificate_expiry
        if changed:
            self._replace(node, workload, trust_domain)
            self._changed()
        return node

    def report(self, node: Node, status: PollStatus) -> None:
        """A node polled: it lives, and says what it runs."""
        if status.refused and (node.status is None or node.status.refused != status.refused):
            log.warning(
                "a node refused its configuration",
                extra={"node": node.key.name, "version": status.refused[:12], "reason": status.reason},
            )
        node.status = status
        node.last_seen = self._wall_clock()
        node.deadline = max(node.deadline, trio.current_time() + self.limits.ttl)

    def broke_off(self, node: Node) -> None:
        """A node's waiting poll ended without us: it comes back soon, or it is gone."""
        deadline = trio.current_time() + self.limits.grace
        if deadline < node.deadline:
            node.deadline = deadline
            self._stir()

    def remove(self, key: NodeKey) -> bool:
        """A node leaves."""
        if not self._drop(key):
            return False
        log.info("node left", extra={"node": key.name, "identity": key.spiffe_id})
        self._changed()
        return True

    def declare(self, hosts: frozenset[str]) -> None:
        """Tell which hosts other documents declare: those get no Service from here."""
        if hosts != self._declared:
            self._declared = hosts
            self._stir()

    def documents(self) -> tuple[Document, ...]:
        """What the registrations amount to."""
        return documents([node.workload for node in self._nodes.values()], self._declared)

    async def run(self, publish: Callable[[tuple[Document, ...]], None]) -> None:
        """Publish the documents whenever they change, and forget who falls silent, until cancelled."""
        try:
            await self._run(publish)
        finally:
            if self._save_at < math.inf:
                self._save()

    async def _run(self, publish: Callable[[tuple[Document, ...]], None]) -> None:
        published: tuple[Document, ...] | None = None
        while True:
            stirred = self._stirred
            now = trio.current_time()
            self._expire(now)
            made = self.documents()
            if made != published:
                published = made
                publish(made)
            if self._save_at <= now:
                self._save()
            due = min((node.deadline for node in self._nodes.values()), default=math.inf)
            with trio.CancelScope(deadline=min(due, self._save_at)):
                await stirred.wait()
                await trio.sleep(QUIET)

    def rows(self, version_of: Callable[[Node], str]) -> tuple[NodeStatus, ...]:
        """For ``proxy-status``, in order of namespace and name."""
        rows = [_row(node, version_of(node)) for node in self._nodes.values()]
        return tuple(sorted(rows, key=lambda row: (row.namespace, row.name, row.service_account)))

    def statistics(self) -> dict[str, int]:
        """Nodes that are registered, and how many were dropped because they fell silent."""
        return {"registered": len(self._nodes), "expired": self._expired}

    def _check_room(self, key: NodeKey) -> None:
        if len(self._nodes) >= self.limits.most:
            raise TooManyNodes(f"{self.limits.most} nodes are registered; that is the limit")
        if self._of_identity[key.spiffe_id] >= self.limits.most_per_identity:
            raise TooManyNodes(
                f"{self.limits.most_per_identity} nodes of {key.spiffe_id} are registered; that is the limit for one identity"
            )

    def _replace(self, node: Node, workload: Workload, trust_domain: str) -> None:
        # The new scope is counted before the old one goes: it may be the same.
        scope = scope_of(workload, trust_domain)
        self._of_scope[scope] += 1
        self._drop(node.key)
        node.workload, node.scope = workload, scope
        self._enter(node)
        self._of_scope[scope] -= 1

    def _enter(self, node: Node) -> None:
        self._nodes[node.key] = node
        self._of_scope[node.scope] += 1
        self._of_identity[node.key.spiffe_id] += 1

    def _drop(self, key: NodeKey) -> bool:
        node = self._nodes.pop(key, None)
        if node is None:
            return False
        self._of_identity[key.spiffe_id] -= 1
        if not self._of_identity[key.spiffe_id]:
            del self._of_identity[key.spiffe_id]
        self._of_scope[node.scope] -= 1
        if not self._of_scope[node.scope]:
            del self._of_scope[node.scope]
            if self._on_scope_gone is not None:
                self._on_scope_gone(node.scope)
        return True

    def _expire(self, now: float) -> None:
        silent = [node for node in self._nodes.values() if node.deadline <= now]
        for node in silent:
            self._drop(node.key)
            self._expired += 1
            log.warning("node fell silent", extra={"node": node.key.name, "identity": node.key.spiffe_id})
        if silent:
            self._save_soon()

    def _changed(self) -> None:
        self._save_soon()
        self._stir()

    def _save_soon(self) -> None:
        pause = max(SAVE_INTERVAL, SAVE_SHARE * self._save_took)
        self._save_at = min(self._save_at, trio.current_time() + pause)

    def _stir(self) -> None:
        self._stirred.set()
        self._stirred = trio.Event()

    def _save(self) -> None:
        self._save_at = math.inf
        if self._file is None:
            return
        began = trio.current_time()
        saved = tuple(_saved(node) for node in self._nodes.values())
        try:
            private_files.write(self._file, json.dumps(Codecs().of(tuple[_Saved, ...]).write(saved)).encode())
        except OSError as error:
            log.warning("registrations cannot be saved", extra={"file": str(self._file), "error": error.strerror})
        self._save_took = trio.current_time() - began


@attrs.frozen
class _Saved:
    spiffe_id: str
    name: str
    namespace: str
    service_account: str
    trust_domain: str
    registration: Registration


def _saved(node: Node) -> _Saved:
    workload = node.workload
    return _Saved(
        node.key.spiffe_id,
        node.key.name,
        workload.namespace,
        workload.service_account,
        node.scope.trust_domain,
        workload.registration,
    )


def _row(node: Node, version: str) -> NodeStatus:
    said = node.workload.registration
    status = node.status or PollStatus()
    return NodeStatus(
        name=node.key.name,
        namespace=node.workload.namespace,
        service_account=node.workload.service_account,
        kind=said.kind,
        service=said.service,
        address=f"{said.address}:{said.inbound_port}" if said.address and said.inbound_port else said.address,
        status=_judge(status, version),
        applied=status.applied,
        published=version,
        reason=status.reason,
        last_seen=node.last_seen,
        certificate_expiry=node.certificate_expiry,
        healthy=said.healthy,
        release=said.release,
    )


def _judge(status: PollStatus, version: str) -> str:
    if status.refused and status.refused == version:
        return "REFUSED"
    if not status.applied:
        return "NEVER"
    return "SYNCED" if status.applied == version else "STALE"
