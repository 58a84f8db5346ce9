"""Private files: written whole or not at all, and readable by nobody else.

Every key, token, certificate and cached configuration goes through here.
Directories are 0700 and files 0600; a file appears under its name complete and
flushed (temporary file, ``fsync``, ``rename``), so a crash or a full disk leaves
the old content. The calls block; the files are small.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from meshd.errors import ConfigError

KIB = 1024
READ_LIMIT = 4096 * KIB
"""Largest file read back (a cached manifest of a large mesh is below 1 MiB)."""


def ensure_directory(path: Path) -> Path:
    """Make a directory that only its owner can enter, and such parents where they are missing (as XDG asks).

    One that is there and open to others is closed to them if it is empty. What
    lies in it otherwise may be anything (``/tmp`` and ``/`` are root's own), so
    then the owner is asked.

    Raises:
        ConfigError: it cannot be made, is no directory, belongs to someone else, or is open to others.
    """
    try:
        # ``parents=True`` would leave the parents open to others, and one of them may be private itself, later.
        for missing in reversed([parent for parent in path.parents if not parent.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.stat()
        if found.st_uid != os.geteuid():
            raise ConfigError(f"belongs to user {found.st_uid}, not to you: name another directory", origin=str(path))
        if found.st_mode & 0o077:
            if next(path.iterdir(), None) is not None:
                mode = stat.S_IMODE(found.st_mode)
                raise ConfigError(
                    f"is open to others (mode {mode:o}) and not empty: name another directory, or run chmod 700 {path}",
                    origin=str(path),
                )
            path.chmod(0o700)
    except OSError as error:
        raise ConfigError(f"cannot be used as a private directory: {error.strerror}", origin=str(path)) from error
    return path


def write(path: Path, data: bytes) -> None:
    """Replace a file's content, atomically.

    Raises:
        OSError: the disk is full, read-only, ...; the old content is still there.
    """
    temporary = _write_temporary(path, data)
    try:
        temporary.replace(path)
    except OSError:
        _unlink(temporary)
        raise
    _flush_directory(path.parent)


def create(path: Path, data: bytes) -> bool:
    """Make a file that must not exist yet, atomically and complete; of several callers (in any process) one wins.

    Returns:
        False when it was there already.
    """
    temporary = _write_temporary(path, data)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        _unlink(temporary)
    _flush_directory(path.parent)
    return True


def read(path: Path, *, limit: int = READ_LIMIT) -> bytes | None:
    """A file's content, None when there is no such file.

    Raises:
        OSError: it cannot be read, or is larger than ``limit`` bytes.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if len(data) > limit:
        raise OSError(f"{path} is larger than {limit} bytes")
    return data


def remove(path: Path) -> bool:
    """Delete a file; False when it was not there."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _write_temporary(path: Path, data: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        _unlink(temporary)
        raise
    return temporary


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _flush_directory(path: Path) -> None:
    # So that the rename itself survives a power cut; some file systems do not offer it.
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
