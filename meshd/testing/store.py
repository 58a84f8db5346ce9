"""A store in memory: texts by name, as a directory has files, and a source of documents."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import attrs
import trio

from meshd.api.document import Document
from meshd.api.load import Loader
from meshd.control.finding import Finding
from meshd.control.sources.source import Entry, SourceSet, read_entries, uncertain_files


@attrs.frozen
class _Text:
    entries: tuple[Entry, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(finding for entry in self.entries for finding in entry.findings)


class MemoryStore:
    """What a control plane reads in place of a directory (``Source``). Outlives the control plane, as a directory does."""

    name = "files"

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._loader = Loader()
        # The whole mutable state: the texts, the time of the newest, and who has read which state of them.
        self._texts: dict[str, _Text] = {}
        self._newest = 0.0
        self._changes = 0
        self._read = -1
        self._changed = trio.Event()

    @property
    def clean(self) -> bool:
        """Has everything been read by the control plane that runs?"""
        return self._read == self._changes

    def put(self, name: str, text: str | bytes) -> tuple[Finding, ...]:
        """Write a file, new or in the place of the one of this name; returns what is wrong with it."""
        # Of an object that two files define the newer file wins: no two are equally new.
        self._newest = max(self._wall_clock(), math.nextafter(self._newest, math.inf))
        written = _Text(read_entries(self._loader, text, name, self._newest))
        self._texts[name] = written
        self._stir()
        return written.findings

    def put_documents(self, name: str, documents: Iterable[Document]) -> None:
        """Write documents that were read elsewhere, with the places where they stand."""
        self._newest = max(self._wall_clock(), math.nextafter(self._newest, math.inf))
        self._texts[name] = _Text(
            tuple(Entry(each.key, each, modified=self._newest, file=each.origin.file) for each in documents)
        )
        self._stir()

    def remove(self, name: str) -> None:
        """Delete a file.

        Raises:
            KeyError: there is none of this name.
        """
        del self._texts[name]
        self._stir()

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files that are there."""
        return tuple(self._texts)

    @property
    def documents(self) -> tuple[Document, ...]:
        """The documents that are usable, file by file."""
        entries = (entry for _, text in sorted(self._texts.items()) for entry in text.entries)
        return tuple(entry.document for entry in entries if entry.document is not None)

    async def run(self, publish: Callable[[SourceSet], None]) -> None:
        """See ``Source``."""
        while True:
            changed, self._read = self._changed, self._changes
            publish(self._set())
            await changed.wait()

    def _set(self) -> SourceSet:
        entries = tuple(entry for _, text in sorted(self._texts.items()) for entry in text.entries)
        return SourceSet(self.name, entries, unsure=uncertain_files(entries))

    def _stir(self) -> None:
        self._changes += 1
        self._changed.set()
        self._changed = trio.Event()
