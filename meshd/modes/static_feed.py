"""Snapshots from files, without a control plane: read, compiled and watched in this process."""

from __future__ import annotations

import logging
from collections.abc import Callable

import attrs
import trio

from meshd.api.document import Document
from meshd.api.load import Loader
from meshd.api.problem import Level
from meshd.certs.identity import IdentitySource
from meshd.control.analysis.catalog import analyze
from meshd.control.compiler import Memo, compile_snapshot
from meshd.control.finding import Finding
from meshd.control.ingest import Ingest, load_paths
from meshd.control.mesh import Mesh
from meshd.control.scope import Scope
from meshd.control.sources.files import FileSource
from meshd.control.sources.watching import make_watcher
from meshd.control.store.directory import DirectoryStore
from meshd.errors import ConfigError, StartError
from meshd.modes.bell import Bell
from meshd.modes.feeds import Apply, Nobody
from meshd.modes.findings import FindingLog
from meshd.modes.no_identity import without_identity
from meshd.modes.secrets import MeshSecrets

logger = logging.getLogger(__name__)

UNUSABLE = 65


@attrs.define(eq=False)
class StaticFeed:
    """Files in, snapshots out (a ``Feed``)."""

    paths: tuple[str, ...]
    scope: Scope
    apply: Apply
    wall_clock: Callable[[], float]
    secrets: MeshSecrets
    identity: IdentitySource = attrs.field(factory=Nobody)
    _findings: FindingLog = attrs.field(factory=FindingLog, init=False)
    _memo: Memo = attrs.field(factory=Memo, init=False)
    _version: str = attrs.field(default="", init=False)
    _bell: Bell | None = attrs.field(default=None, init=False)

    def begin(self) -> None:
        """Read and apply; what is wrong from the start is not started with.

        Raises:
            StartError: a document is wrong (exit code 65), or the result cannot be run.
        """
        documents, findings = load_paths(self.paths)
        errors = [finding for finding in findings if finding.level is Level.ERROR]
        self._findings.tell(findings)
        if errors:
            raise StartError(
                f"{len(errors)} error{'s' if len(errors) > 1 else ''} in the configuration", exit_code=UNUSABLE
            )
        if not documents:
            raise StartError(f"no configuration in {', '.join(self.paths)}", exit_code=UNUSABLE)
        self._use(documents, findings)

    async def run(self) -> None:
        """Watch the files; a change that is wrong is told and changes nothing."""
        ingest = Ingest(self._changed)
        store = DirectoryStore(self.paths, Loader(), wall_clock=self.wall_clock)
        self._bell = Bell(make_watcher(self.paths))
        # A crash of either is a bug and ends the process.
        async with trio.open_nursery() as feed_nursery:
            feed_nursery.start_soon(ingest.run)
            await FileSource(store, self._bell).run(ingest.accept)

    def _changed(self, documents: tuple[Document, ...], findings: tuple[Finding, ...]) -> None:
        try:
            self._use(documents, findings)
        except ConfigError as error:
            logger.error("the new configuration cannot be run; the old one stays: %s", error)  # noqa: TRY400 - no bug

    def _use(self, documents: tuple[Document, ...], findings: tuple[Finding, ...]) -> None:
        self._findings.tell((*findings, *analyze(documents)))
        mesh = self.secrets.mesh = Mesh.of(documents)
        snapshot = compile_snapshot(mesh, self.scope, self._memo)
        if snapshot.version != self._version:
            self.apply(without_identity(snapshot))
            self._version = snapshot.version

    def waiting_for(self) -> str:
        """See ``Feed``."""
        return ""

    def reload(self) -> None:
        """See ``Feed``."""
        if self._bell is not None:
            self._bell.ring()

    async def leave(self) -> None:
        """See ``Feed``: nobody knows of us."""

    def close(self) -> None:
        """See ``Feed``."""
