"""Snapshots out: compiled when a node asks, kept while they are true, waited for.

A mesh is published by one assignment. Who waits for something new wakes, looks
at its own scope, and goes on waiting when nothing has changed for *it*: equal
configuration has an equal version, whatever was edited elsewhere. A scope is
compiled at most once per mesh, by the first who asks.

A mesh that cannot be compiled for a scope leaves that scope with what it had.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Generic, TypeVar

import attrs
import trio

from meshd.errors import ConfigError
from meshd.snapshot.snapshot import Snapshot
from meshd.snapshot.wire import Encoded

log = logging.getLogger(__name__)

MAX_SCOPES = 20_000
"""Scopes kept at a time; beyond it the one that was asked for least recently is compiled again when it comes back."""
KEPT_VERSIONS = 3
"""Versions of a scope whose parts can still be fetched: a node may be fetching while the next one is published."""

M = TypeVar("M")
S = TypeVar("S", bound=Hashable)


@attrs.frozen
class Published:
    """One scope's configuration as it travels."""

    version: str
    manifest: bytes
    parts: Mapping[str, bytes] = attrs.field(repr=False)
    secrets: Mapping[str, str]
    """Names of the secrets this configuration may use, with their versions."""


@attrs.define
class _Entry:
    # The whole mutable state of a scope: the generation it was last compiled for, and
    # the versions made (newest last).
    generation: int = 0
    versions: list[Published] = attrs.field(factory=list)


class Publisher(Generic[M, S]):
    """Made by the control plane's mode; the API server asks it."""

    def __init__(self, compile_snapshot: Callable[[M, S], Snapshot], encode: Callable[[Snapshot], Encoded]) -> None:
        self._compile = compile_snapshot
        self._encode = encode
        # The whole mutable state: the mesh, how many there have been, what waits for
        # the next one, and what was compiled.
        self._mesh: M | None = None
        self._generation = 0
        self._changed = trio.Event()
        self._entries: OrderedDict[S, _Entry] = OrderedDict()
        self._compiled = 0
        self._failed = 0

    @property
    def generation(self) -> int:
        """How many meshes have been published; 0: none yet."""
        return self._generation

    @property
    def mesh(self) -> M | None:
        """The mesh that is published now."""
        return self._mesh

    def publish(self, mesh: M) -> None:
        """Make a mesh the one that counts, from now on and for everybody; those who wait wake."""
        if self._generation and mesh == self._mesh:
            return
        self._mesh = mesh
        self._generation += 1
        self.wake()

    def wake(self) -> None:
        """Let everyone who waits look again."""
        self._changed.set()
        self._changed = trio.Event()

    def current(self, scope: S) -> Published | None:
        """What a scope should run now; None before the first mesh.

        Raises:
            ConfigError: this mesh cannot be compiled for the scope, and there is nothing older.
        """
        if self._mesh is None:
            return None
        entry = self._entries.setdefault(scope, _Entry())
        self._entries.move_to_end(scope)
        if len(self._entries) > MAX_SCOPES:
            self._entries.popitem(last=False)
        if entry.generation != self._generation:
            self._refresh(scope, entry, self._mesh)
        return entry.versions[-1]

    def held(self, scope: S, digest: str) -> bytes | None:
        """A part of one of the last versions of a scope. Parts of other scopes do not exist for it."""
        entry = self._entries.get(scope)
        for version in reversed(entry.versions if entry else ()):
            part = version.parts.get(digest)
            if part is not None:
                return part
        return None

    async def wait(self, scope_of: Callable[[], S | None], known: Collection[str], seconds: float) -> Published | None:
        """Wait until a scope should run a version that is not among the known ones.

        Args:
            scope_of: The scope now (a node may register anew while it waits); None ends the wait.
            known: Versions the caller has.
            seconds: At most this long.

        Returns:
            The new version, or None when the time is up or the scope is gone.

        Raises:
            ConfigError: as ``current``.
        """
        with trio.move_on_after(seconds):
            while True:
                changed = self._changed
                scope = scope_of()
                published = None if scope is None else self.current(scope)
                if published is not None and published.version not in known:
                    return published
                if scope is None:
                    return None
                await changed.wait()
        return None

    def forget(self, scope: S) -> None:
        """A scope is gone; so is what was compiled for it."""
        self._entries.pop(scope, None)

    def statistics(self) -> dict[str, int]:
        """Meshes published, scopes held, compilations done and failed."""
        return {
            "generation": self._generation,
            "scopes": len(self._entries),
            "compiled": self._compiled,
            "failed": self._failed,
        }

    def _refresh(self, scope: S, entry: _Entry, mesh: M) -> None:
        self._compiled += 1
        try:
            snapshot = self._compile(mesh, scope)
            encoded = self._encode(snapshot)
        except ConfigError as error:
            self._failed += 1
            if not entry.versions:
                raise
            entry.generation = self._generation
            log.error("configuration cannot be compiled; the last good one stays", extra={"error": str(error)})  # noqa: TRY400 - a document's fault
            return
        entry.generation = self._generation
        if entry.versions and entry.versions[-1].version == encoded.version:
            return
        secrets = {secret.name: secret.version for secret in snapshot.secrets}
        entry.versions.append(Published(encoded.version, encoded.manifest, encoded.parts, secrets))
        del entry.versions[:-KEPT_VERSIONS]
