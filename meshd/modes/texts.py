"""Texts that a command is given: standard input, and files that are read whole."""

from __future__ import annotations

import sys
from pathlib import Path

from meshd.api.yaml import DEFAULT_LIMITS
from meshd.errors import StartError

STDIN = "-"
UNUSABLE = 65
LIMIT = DEFAULT_LIMITS.max_bytes
"""Bytes. One more is read, so that whoever looks at the text sees that it is too large."""


def standard_input() -> bytes:
    """What is piped in.

    Raises:
        StartError: it is closed, or cannot be read (exit code 65).
    """
    if sys.stdin is None:
        raise StartError("standard input is closed: pipe a text in, or name a file", exit_code=UNUSABLE)
    try:
        return sys.stdin.buffer.read(LIMIT + 1)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise StartError(f"standard input cannot be read: {why}", exit_code=UNUSABLE) from error


def read_file(path: Path | str) -> bytes:
    """A file, or whatever else the path names: a pipe of the shell's ``<(...)`` is as good.

    Raises:
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as stream:
        return stream.read(LIMIT + 1)
