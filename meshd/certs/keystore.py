"""What a proxy keeps on disk: its last good identity, configuration and gateway secrets.

A proxy starts from here when no control plane answers. Everything is private
(0700, 0600) and whole (``certs/private_files.py``). What cannot be read back,
or is not what it should be, is left aside with one log line: a broken cache is
never worse than none. A full disk never stops a proxy: it is a log line too.

One process uses a directory at a time; a lock that dies with the process sees
to that.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs

from meshd.certs import private_files
from meshd.certs.bundle import split_pem
from meshd.certs.identity import Identity
from meshd.errors import ConfigError, IdentityError

log = logging.getLogger(__name__)

KIB = 1024
MIB = 1024 * KIB
MAX_IDENTITY = 1 * MIB
MAX_MANIFEST = 1 * MIB
MAX_SECRETS = 16 * MIB
MAX_PART = 16 * MIB
"""As a snapshot's reader accepts (``snapshot/wire.py``)."""

_DIGEST = re.compile(r"[0-9a-f]{64}")

T = TypeVar("T")


@attrs.frozen
class SecretMaterial:
    """A gateway's certificate as a server uses it. PEM texts; ``ca_pem`` for checking clients, or ""."""

    name: str
    version: str
    certificate_pem: str = ""
    key_pem: str = attrs.field(default="", repr=False)
    ca_pem: str = ""


class Keystore:
    """A private directory. Made by ``Keystore.open``, closed by its opener."""

    def __init__(self, directory: Path, lock: int) -> None:
        self._directory = directory
        self._parts = directory / "parts"
        # The whole mutable state: the lock's descriptor (None: closed), and how often writing failed.
        self._lock: int | None = lock
        self.failures = 0

    @classmethod
    def open(cls, directory: Path) -> Keystore:
        """Take a directory, making it if needed.

        Raises:
            ConfigError: it cannot be private, or another process uses it.
        """
        private_files.ensure_directory(directory)
        private_files.ensure_directory(directory / "parts")
        try:
            lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"cannot be opened: {error.strerror}", origin=str(directory / "lock")) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise ConfigError("another process uses this state directory", origin=str(directory)) from error
        return cls(directory, lock)

    def close(self) -> None:
        """Let the directory go. Idempotent."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def load_identity(self) -> Identity | None:
        """The identity that was saved last, whatever its age."""
        return self._load("identity.json", MAX_IDENTITY, _read_identity)

    def save_identity(self, identity: Identity) -> None:
        """Keep an identity: key, chain and roots in one file, so that they always belong together."""
        self._save("identity.json", json.dumps(attrs.asdict(identity)).encode())

    def load_manifest(self) -> bytes | None:
        """The manifest of the configuration that was applied last."""
        return self._load("manifest.json", MAX_MANIFEST, lambda data: data)

    def save_manifest(self, manifest: bytes) -> None:
        """Keep a manifest, once its parts are kept."""
        self._save("manifest.json", manifest)

    def load_part(self, digest: str) -> bytes | None:
        """A part whose bytes are what its name says, else None."""
        if not _DIGEST.fullmatch(digest):
            return None
        try:
            data = private_files.read(self._parts / digest, limit=MAX_PART)
        except OSError:
            return None
        return data if data is not None and hashlib.sha256(data).hexdigest() == digest else None

    def save_part(self, digest: str, data: bytes) -> None:
        """Keep a part. Not flushed: its name tells a torn one when it is read."""
        path = self._parts / digest
        if not _DIGEST.fullmatch(digest) or path.exists():
            return
        with self._noting(digest):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)

    def prune_parts(self, keep: Iterable[str]) -> None:
        """Delete every part but these."""
        kept = set(keep)
        with self._noting("parts"):
            for entry in list(os.scandir(self._parts)):
                if entry.name not in kept:
                    with contextlib.suppress(FileNotFoundError):
                        Path(entry.path).unlink()

    def remove_parts(self, digests: Iterable[str]) -> None:
        """Delete these parts."""
        with self._noting("parts"):
            for digest in digests:
                private_files.remove(self._parts / digest)

    def load_secrets(self) -> dict[str, SecretMaterial]:
        """Gateway certificates by name."""
        return self._load("secrets.json", MAX_SECRETS, _read_secrets) or {}

    def save_secrets(self, secrets: Mapping[str, SecretMaterial]) -> None:
        """Keep exactly these gateway certificates."""
        self._save("secrets.json", json.dumps([attrs.asdict(secret) for secret in secrets.values()]).encode())

    def _load(self, name: str, limit: int, read: Callable[[bytes], T]) -> T | None:
        path = self._directory / name
        try:
            data = private_files.read(path, limit=limit)
            return None if data is None else read(data)
        except OSError as error:
            log.warning("a saved file cannot be read and is left aside", extra={"file": str(path), "error": str(error)})
        except (ValueError, TypeError, KeyError, RecursionError, IdentityError):
            log.warning("a saved file is broken and is left aside", extra={"file": str(path)})
        return None

    def _save(self, name: str, data: bytes) -> None:
        with self._noting(name):
            private_files.write(self._directory / name, data)

    @contextlib.contextmanager
    def _noting(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failures += 1
            log.warning(
                "cannot save to the state directory; a restart without a control plane would miss it",
                extra={"directory": str(self._directory), "file": name, "error": error.strerror},
            )


def _read_identity(data: bytes) -> Identity:
    plain = json.loads(data)
    for name in ("not_before", "not_after"):
        if type(plain[name]) is not float or not math.isfinite(plain[name]):
            raise ValueError(name)
    for name in ("spiffe_id", "chain_pem", "key_pem", "bundle_pem", "serial"):
        if type(plain[name]) is not str:
            raise ValueError(name)
    split_pem(plain["chain_pem"])
    split_pem(plain["bundle_pem"])
    return Identity(**plain)


def _read_secrets(data: bytes) -> dict[str, SecretMaterial]:
    plain: list[dict[str, Any]] = json.loads(data)
    secrets = [SecretMaterial(**each) for each in plain]
    if not all(type(value) is str for secret in secrets for value in attrs.astuple(secret)):
        raise ValueError("secrets")
    return {secret.name: secret for secret in secrets}
