"""The last good form of every object of a store, kept where a restart finds it.

A store's files are edited while the control plane is down as well as while it
runs. An object whose present form is broken keeps its last good form in force;
without this memory a restart would take the object away, and with an
authorization policy everything that it keeps out would come in.

In a private directory: a copy of every file that an object in force came from,
named by its SHA-256, and ``index.json``, which says which object came from
which. What cannot be written or read is told in the log, and costs only what
is remembered. Nothing here waits on trio.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import attrs

from meshd.api.document import Key
from meshd.api.load import Loader
from meshd.certs import private_files
from meshd.control.sources.source import Entry, SourceSet, read_entries
from meshd.errors import ConfigError

logger = logging.getLogger(__name__)

INDEX = "index.json"
MAX_INDEX = 64 * 1024 * 1024
"""Bytes; an object takes about 200, a store has at most 20,000 files."""

Place = tuple[Key, str]
"""An object, and the file it stands in."""


@attrs.frozen
class Copy:
    """Where an object's last good form is: the digest of a file's text, and that file's time (seconds since 1970)."""

    digest: str
    modified: float


class LastGood:
    """The memory of one store.

    Args:
        directory: Private; made when it is not there.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # The whole mutable state: what the index says (None: not read yet), and whether writing works.
        self._index: dict[Place, Copy] | None = None
        self._works = True

    def keep(self, found: SourceSet, texts: Mapping[str, tuple[str, bytes | None]], loader: Loader) -> SourceSet:
        """Remember what is good now; the first time, add what was good in an earlier life and is not any more.

        Args:
            found: What the store says.
            texts: Of every file that was read: its digest, and its text if it is new.
            loader: Makes documents of texts.
        """
        first = self._index is None
        before = self._read() if self._index is None else self._index
        now = _in_force(before, found, texts)
        remembered: tuple[Entry, ...] = ()
        if first:
            good = {(entry.key, entry.file) for entry in found.entries if entry.document is not None}
            lost = {place: copy for place, copy in now.items() if place not in good}
            remembered = self._recall(lost, loader)
        self._index = now
        if first or now != before:
            self._write(now, {digest: text for digest, text in texts.values() if text is not None})
        return attrs.evolve(found, remembered=remembered) if remembered else found

    def _recall(self, lost: Mapping[Place, Copy], loader: Loader) -> tuple[Entry, ...]:
        found: list[Entry] = []
        for digest, file, modified in sorted({(copy.digest, place[1], copy.modified) for place, copy in lost.items()}):
            try:
                text = private_files.read(self._directory / digest, limit=loader.limits.max_bytes)
            except OSError as error:
                text = None
                logger.warning("a copy cannot be read", extra={"file": file, "error": str(error)})
            if text is None:
                continue
            wanted = {key for (key, place), copy in lost.items() if place == file and copy.digest == digest}
            entries = map(_as_it_was, read_entries(loader, text, file, modified))
            found += [entry for entry in entries if entry.key in wanted and entry.document is not None]
        return tuple(found)

    def _read(self) -> dict[Place, Copy]:
        try:
            data = private_files.read(self._directory / INDEX, limit=MAX_INDEX)
            rows = [] if data is None else json.loads(data)
            return {(Key(*map(str, key)), str(file)): Copy(_name(digest), float(at)) for key, file, digest, at in rows}
        except (OSError, ValueError, TypeError, RecursionError) as error:
            logger.warning(
                "what was in force before cannot be read",
                extra={"file": str(self._directory / INDEX), "error": str(error)},
            )
            return {}

    def _write(self, index: Mapping[Place, Copy], texts: Mapping[str, bytes]) -> None:
        """The copies first, then the index, then away with what is no longer named."""
        wanted = {copy.digest for copy in index.values()}
        rows = [[attrs.astuple(key), file, copy.digest, copy.modified] for (key, file), copy in index.items()]
        try:
            private_files.ensure_directory(self._directory)
            there = {path.name for path in self._directory.iterdir()}
            for digest in sorted(wanted - there):
                if digest in texts:
                    private_files.write(self._directory / digest, texts[digest])
            private_files.write(self._directory / INDEX, json.dumps(rows).encode())
            for name in there - wanted - {INDEX}:
                private_files.remove(self._directory / name)
        except (OSError, ConfigError) as error:
            if self._works:
                logger.warning(
                    "what is in force cannot be kept for a restart",
                    extra={"directory": str(self._directory), "error": str(error)},
                )
            self._works = False
        else:
            self._works = True


def _in_force(
    before: Mapping[Place, Copy], found: SourceSet, texts: Mapping[str, tuple[str, bytes | None]]
) -> dict[Place, Copy]:
    """What is good now, and of what is broken or cannot be seen, what was good before (as ``merge.settle`` has it)."""
    now: dict[Place, Copy] = {}
    broken: set[Place] = set()
    for entry in found.entries:
        if entry.key is None:
            continue
        place = (entry.key, entry.file)
        if entry.document is None:
            broken.add(place)
        elif entry.file in texts:
            now[place] = Copy(texts[entry.file][0], entry.modified)
    for place, copy in before.items():
        if place not in now and (place in broken or found.is_unsure_of(place[1])):
            now[place] = copy
    return now


def _as_it_was(entry: Entry) -> Entry:
    """An entry of a copy. It was good once: a rule that came since (with a newer meshd) does not take it away."""
    refused = entry.refused
    if entry.document is None and refused is not None and refused.resource is not None:
        return attrs.evolve(entry, document=refused)
    return entry


def _name(digest: object) -> str:
    """A digest, which names a file; anything else would name any file.

    Raises:
        ValueError: it is none.
    """
    text = str(digest)
    if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        raise ValueError(f"{text[:80]!r} is no digest")
    return text
