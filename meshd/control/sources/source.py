"""What a source publishes: its complete set of documents, good and bad. Pure values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import attrs

from meshd.api.document import Document, Key
from meshd.api.load import Loader
from meshd.api.problem import Level
from meshd.control.analysis.validation import validate
from meshd.control.finding import Finding, of_loading, of_problem


@attrs.frozen
class Entry:
    """One object as a source has it.

    ``document`` is None when it cannot be used; its findings say why. ``key``
    is None when not even its name is known. ``modified``: seconds of the wall
    clock, 0 when the source knows no time. ``file``: where it stands.
    """

    key: Key | None = None
    document: Document | None = None
    findings: tuple[Finding, ...] = ()
    modified: float = 0.0
    file: str = ""
    refused: Document | None = None
    """The document when it breaks a rule; without its resource when that could not be read."""


@attrs.frozen
class SourceSet:
    """Everything a source has, now.

    ``unsure``: files and directories (ending in ``/``) that could not be read
    whole; an object that came from there and is missing now was not deleted.
    """

    name: str
    entries: tuple[Entry, ...] = ()
    findings: tuple[Finding, ...] = ()
    unsure: tuple[str, ...] = ()
    remembered: tuple[Entry, ...] = attrs.field(default=(), eq=False)
    """What was in force in an earlier life of this process; said once, at the start, and only where it still matters."""

    def is_unsure_of(self, file: str) -> bool:
        """Could what came from this file still be there?"""
        return any(file == place or (place.endswith("/") and file.startswith(place)) for place in self.unsure)

    @classmethod
    def of(cls, name: str, documents: Iterable[Document]) -> SourceSet:
        """A set of documents that meshd itself made."""
        return cls(name, tuple(Entry(document.key, document, file=document.origin.file) for document in documents))


class Source(Protocol):
    """Something that has documents."""

    name: str
    """What to call it; no two sources of a process share one."""

    async def run(self, publish: Callable[[SourceSet], None]) -> None:
        """Publish the whole set now, and again after every change, until cancelled."""


def read_entries(loader: Loader, text: bytes | str, file: str, modified: float = 0.0) -> tuple[Entry, ...]:
    """Load and validate every object of a text."""
    entries = []
    for loaded in loader.load(text, file):
        findings = of_loading(loaded)
        document, refused = loaded.document, loaded.shell
        if document is not None:
            findings += tuple(of_problem(problem, document) for problem in validate(document))
            if any(finding.level is Level.ERROR for finding in findings):
                document, refused = None, document
        entries.append(Entry(loaded.key, document, findings, modified, file, refused))
    return tuple(entries)


def uncertain_files(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Files in which something has gone whose name is not known."""
    return tuple(
        sorted(
            {
                entry.file
                for entry in entries
                if entry.key is None and any(finding.level is Level.ERROR for finding in entry.findings)
            }
        )
    )
