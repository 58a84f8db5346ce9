"""A directory of YAML as a store.

Every ``read`` looks at all files and reads again only those that changed (by
time and size, then by content). Nothing here waits on trio: call it in a
thread when the store may be slow.

- ``*.yaml``, ``*.yml`` and ``*.json``, in all subdirectories; hidden files and
  directories and what editors leave behind are passed over. A file that was
  named itself is read whatever it is called.
- Symbolic links are followed; a directory that was seen already is not entered
  again, so loops end.
- Whatever cannot be read is a finding, and what came from there stays in force.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from meshd.api.document import Origin
from meshd.api.load import Loader
from meshd.api.problem import SYNTAX_ERROR, Level
from meshd.api.yaml import too_large
from meshd.control.finding import CANNOT_BE_READ, Finding
from meshd.control.sources.source import Entry, SourceSet, read_entries, uncertain_files
from meshd.control.store.last_good import LastGood

SUFFIXES = (".yaml", ".yml", ".json")

FRESH = 2.0
"""Seconds. A file this young may change again without its time changing: its content is compared."""


@attrs.frozen
class DirectoryLimits:
    """How much a store may hold. ``max_files``: of one store; ``max_levels``: of directories in directories."""

    max_files: int = 20_000
    max_levels: int = 32


DEFAULT_DIRECTORY_LIMITS = DirectoryLimits()


@attrs.frozen
class _File:
    """What is remembered of a file."""

    stamp: tuple[int, int, int]
    digest: bytes
    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...] = ()
    unsure: bool = False
    text: bytes | None = attrs.field(default=None, repr=False)
    """Only from one reading to the next: for the memory of what was good."""


@attrs.define
class _Scan:
    """One look at everything."""

    files: dict[str, os.stat_result] = attrs.Factory(dict)
    findings: list[Finding] = attrs.Factory(list)
    unsure: list[str] = attrs.Factory(list)
    seen: set[tuple[int, int]] = attrs.Factory(set)


class DirectoryStore:
    """Reads files and directories, remembering what it has read.

    Args:
        paths: Files and directories.
        loader: Makes documents of texts.
        wall_clock: Seconds since 1970, to tell a fresh file.
        limits: How much it may hold.
        name: What to call it as a source.
        last_good: Remembers over restarts what was in force; None: nobody does.
    """

    def __init__(
        self,
        paths: Sequence[Path | str],
        loader: Loader,
        *,
        wall_clock: Callable[[], float],
        limits: DirectoryLimits = DEFAULT_DIRECTORY_LIMITS,
        name: str = "files",
        last_good: LastGood | None = None,
    ) -> None:
        self.name = name
        self.paths = tuple(str(Path(path)) for path in paths)
        self._loader = loader
        self._wall_clock = wall_clock
        self._limits = limits
        self._last_good = last_good
        # The whole mutable state: what every file said when it was last read.
        self._files: dict[str, _File] = {}

    def read(self) -> SourceSet:
        """Everything that is there now."""
        scan = _Scan()
        for path in self.paths:
            self._look(scan, path, level=0, named=True)
        files = {path: self._file(path, status) for path, status in sorted(scan.files.items())}
        self._files = {path: attrs.evolve(file, text=None) for path, file in files.items() if not file.unsure}
        entries = tuple(entry for file in files.values() for entry in file.entries)
        findings = (*scan.findings, *(finding for file in files.values() for finding in file.findings))
        unsure = (*scan.unsure, *(path for path, file in files.items() if file.unsure), *uncertain_files(entries))
        found = SourceSet(self.name, entries, findings, tuple(sorted(set(unsure))))
        if self._last_good is None:
            return found
        texts = {path: (file.digest.hex(), file.text) for path, file in files.items() if not file.unsure}
        return self._last_good.keep(found, texts, self._loader)

    def _look(self, scan: _Scan, path: str, *, level: int, named: bool = False) -> None:
        """Add a file, or what is in a directory."""
        try:
            status = Path(path).stat()
        except OSError as error:
            gone = isinstance(error, FileNotFoundError) and not path.endswith(SUFFIXES)
            if named or not gone:
                self._cannot(scan, path, error, directory=not path.endswith(SUFFIXES))
            return
        if stat.S_ISDIR(status.st_mode):
            self._enter(scan, path, status, level)
        elif not named and not path.endswith(SUFFIXES):
            return
        elif not stat.S_ISREG(status.st_mode):  # To open a pipe may wait for ever.
            scan.findings.append(_unreadable(path, "it is not a file"))
        elif len(scan.files) >= self._limits.max_files:
            if not any(finding.origin.file == "" for finding in scan.findings):
                scan.findings.append(_unreadable("", f"there are more than {self._limits.max_files} files"))
            scan.unsure.append(path)
        else:
            scan.files[path] = status

    def _enter(self, scan: _Scan, path: str, status: os.stat_result, level: int) -> None:
        identity = (status.st_dev, status.st_ino)
        if identity in scan.seen:
            return
        scan.seen.add(identity)
        if level > self._limits.max_levels:
            scan.findings.append(_unreadable(path, f"it is more than {self._limits.max_levels} directories deep"))
            scan.unsure.append(f"{path}/")
            return
        try:
            inner = sorted(Path(path).iterdir())
        except OSError as error:
            self._cannot(scan, path, error, directory=True)
            return
        for each in inner:
            if not each.name.startswith("."):
                self._look(scan, str(each), level=level + 1)

    def _cannot(self, scan: _Scan, path: str, error: OSError, *, directory: bool) -> None:
        scan.findings.append(_unreadable(path, _why(error)))
        scan.unsure.append(path)
        if directory:
            scan.unsure.append(f"{path}/")

    def _file(self, path: str, status: os.stat_result) -> _File:
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        known = self._files.get(path)
        settled = self._wall_clock() - status.st_mtime > FRESH
        if known is not None and known.stamp == stamp and settled:
            return known
        limit = self._loader.limits.max_bytes
        if status.st_size > limit:
            finding = Finding(
                SYNTAX_ERROR, Level.ERROR, str(too_large(status.st_size, limit)), origin=Origin(path, 1, 1)
            )
            return _File(stamp, b"", (), (finding,), unsure=True)
        try:
            with Path(path).open("rb") as stream:
                text = stream.read(limit + 1)
        except OSError as error:
            return _File(stamp, b"", (), (_unreadable(path, _why(error)),), unsure=True)
        digest = hashlib.sha256(text).digest()
        if known is not None and known.digest == digest and known.stamp[0] == stamp[0]:
            return attrs.evolve(known, stamp=stamp)
        entries = read_entries(self._loader, text, path, status.st_mtime)
        return _File(stamp, digest, entries, text=text if self._last_good is not None else None)


def _why(error: OSError) -> str:
    match error:
        case PermissionError():
            return "permission denied; let the user that runs meshd read it"
        case FileNotFoundError():
            return "there is no such file or directory"
        case _:
            return (error.strerror or str(error)).lower()


def _unreadable(path: str, why: str) -> Finding:
    return Finding(CANNOT_BE_READ, Level.ERROR, f"cannot be read: {why}", origin=Origin(path))
