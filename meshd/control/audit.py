"""The audit log: every certificate issued and every attempt refused, one JSON object a line.

Append-only, 0600, flushed line by line: who (peer, identity, node), what, the
serial, and why it was allowed or refused. Never a key, a token or a request.
An audit that cannot be written refuses the act: nothing is signed unseen.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable
from pathlib import Path

from meshd.certs.private_files import ensure_directory
from meshd.errors import ConfigError, IdentityError

MAX_FIELD = 512
"""Characters of one value: a peer's words must not fill the disk."""


class AuditLog:
    """An open audit file. Made and closed by the control plane's mode; several processes may append to one."""

    def __init__(self, path: Path, wall_clock: Callable[[], float]) -> None:
        """Open for appending, making the file.

        Raises:
            ConfigError: its directory cannot be private, or the file cannot be opened.
        """
        ensure_directory(path.parent)
        self._path = path
        self._wall_clock = wall_clock
        # The whole mutable state is the open file.
        try:
            self._descriptor = _open(path)
        except OSError as error:
            raise ConfigError(f"cannot be opened: {error.strerror}", origin=str(path)) from error

    def write(self, event: str, **fields: str | float) -> None:
        """Append one event.

        Raises:
            IdentityError: it could not be written.
        """
        now = datetime.datetime.fromtimestamp(self._wall_clock(), tz=datetime.UTC)
        record: dict[str, str | float] = {"time": now.isoformat(timespec="milliseconds"), "event": event}
        for name, value in fields.items():
            record[name] = value[:MAX_FIELD] if isinstance(value, str) else value
        line = json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"
        try:
            # One write of a line below PIPE_BUF's size is not torn by another process's append.
            written = os.write(self._descriptor, line)
        except OSError as error:
            raise IdentityError(f"the audit log {self._path} cannot be written: {error.strerror}") from error
        if written != len(line):
            raise IdentityError(f"the audit log {self._path} cannot be written: the disk is full")

    def reopen(self) -> None:
        """Go on in a new file: whoever rotates logs has moved the old one away.

        Raises:
            OSError: the new file cannot be opened; the old one goes on.
        """
        descriptor = _open(self._path)
        os.close(self._descriptor)
        self._descriptor = descriptor

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
