"""Documents in: sources to one merged set, once things are quiet.

``Ingest`` is the shell around ``merge``: it keeps what is in force of every
source, waits until nothing has changed for a moment, and hands over the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import trio

from meshd.api.document import Document
from meshd.api.load import Loader
from meshd.control.finding import Finding
from meshd.control.merge import Settled, combine, settle
from meshd.control.sources.source import SourceSet
from meshd.control.store.directory import DirectoryStore

QUIET = 0.1
"""Seconds without a change before a change takes effect (Istio's PILOT_DEBOUNCE_AFTER)."""

LONGEST = 1.0
"""Seconds after which a change takes effect though others keep coming."""

OnDocuments = Callable[[tuple[Document, ...], tuple[Finding, ...]], None]


class Ingest:
    """Merges what the sources publish.

    Args:
        on_documents: Called with every document in force and everything found;
            synchronous and quick.
        expected: Names of the sources that must have published once before
            anything is handed over, so that a start never looks like a loss.
        quiet: See ``QUIET``.
        longest: See ``LONGEST``.
    """

    def __init__(
        self,
        on_documents: OnDocuments,
        *,
        expected: Collection[str] = (),
        quiet: float = QUIET,
        longest: float = LONGEST,
    ) -> None:
        self._on_documents = on_documents
        self._waiting_for = set(expected)
        self._quiet = quiet
        self._longest = longest
        # The whole mutable state: what is in force of each source, and whether anything is to be handed over.
        self._settled: dict[str, Settled] = {}
        self._changed = trio.Event()
        self._held = False

    @property
    def pending(self) -> bool:
        """Is there a change that was not handed over yet? True until every expected source has spoken."""
        return self._held or bool(self._waiting_for)

    def accept(self, incoming: SourceSet) -> None:
        """A source's new set: give this to ``Source.run`` as ``publish``."""
        previous = self._settled.get(incoming.name)
        self._settled[incoming.name] = settle(previous.good if previous is not None else {}, incoming)
        self._waiting_for.discard(incoming.name)
        self._held = True
        self._changed.set()

    async def run(self) -> None:
        """Hand over what changed, once it is quiet, until cancelled."""
        while True:
            await self._changed.wait()
            await self._wait_quiet()
            self.flush()

    def flush(self) -> None:
        """Hand over now, if every expected source has spoken."""
        self._changed = trio.Event()
        if self._waiting_for:
            return
        self._held = False
        merged = combine(self._settled[name] for name in sorted(self._settled))
        self._on_documents(merged.documents, merged.findings)

    async def _wait_quiet(self) -> None:
        with trio.move_on_after(self._longest):
            while self._changed.is_set():
                self._changed = trio.Event()
                with trio.move_on_after(self._quiet):
                    await self._changed.wait()


def load_paths(
    paths: Sequence[Path | str], loader: Loader | None = None
) -> tuple[tuple[Document, ...], tuple[Finding, ...]]:
    """Read files and directories once: for offline use.

    Returns:
        The documents that can be used, in the order of their keys, and
        everything found on the way.
    """
    store = DirectoryStore(paths, loader if loader is not None else Loader(), wall_clock=lambda: math.inf)
    merged = combine([settle({}, store.read())])
    return merged.documents, merged.findings
