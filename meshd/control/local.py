"""A control plane for the same user on the same machine: found with no flag.

A control plane writes a descriptor that only its user can read: where it is,
which roots to trust, and a join secret that works again and again, but only
from loopback. Whoever can read the file *is* the user, so the secret may join
as any workload. Removed on exit; one that was left behind by a crash is known
by its process, which no longer exists.

Imports nothing heavy: a sidecar looks here before it knows that it has a
control plane at all.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import attrs

from meshd.certs import private_files
from meshd.errors import ConfigError

log = logging.getLogger(__name__)

FILE = "control.json"
MAX_DESCRIPTOR = 512 * 1024


@attrs.frozen
class LocalDescriptor:
    """What a control plane tells its user's other processes."""

    url: str
    """``https://127.0.0.1:15012``."""
    trust_domain: str
    bundle: str
    """The roots to trust, PEM."""
    secret: str = attrs.field(repr=False)
    """The join secret; also lets its holder read ``/v1/nodes``."""
    pid: int
    started: str = ""
    """When the process ``pid`` started, in the kernel's ticks: a process id may be used again."""
    console: str = ""
    """Address of the console and debug port, "" for none."""
    state: str = ""
    """Its state directory, where `meshd token` makes tokens for it."""


def make_secret() -> str:
    """A new join secret."""
    return "local." + secrets.token_urlsafe(32)


def describe(
    url: str,
    trust_domain: str,
    bundle: str,
    secret: str,
    *,
    console: str = "",
    state: str = "",
    pid: int | None = None,
) -> LocalDescriptor:
    """A descriptor of this process (or of ``pid``)."""
    own = os.getpid() if pid is None else pid
    return LocalDescriptor(url, trust_domain, bundle, secret, own, _start_of(own), console, state)


def runtime_directory(environ: Mapping[str, str]) -> Path:
    """Where this user's descriptors are: ``MESHD_RUNTIME_DIR``, ``$XDG_RUNTIME_DIR/meshd`` or ``~/.local/state/meshd``."""
    if own := environ.get("MESHD_RUNTIME_DIR"):
        return Path(own)
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "meshd"
    return (
        Path(environ.get("XDG_STATE_HOME") or Path(environ.get("HOME") or "~").expanduser() / ".local/state") / "meshd"
    )


def write(directory: Path, descriptor: LocalDescriptor) -> bool:
    """Publish a descriptor.

    Returns:
        False when another live control plane of this user is published here: it stays.

    Raises:
        ConfigError: the directory cannot be private or written.
    """
    private_files.ensure_directory(directory)
    other = find(directory)
    if other is not None and other.pid != descriptor.pid:
        return False
    try:
        private_files.write(directory / FILE, json.dumps(attrs.asdict(descriptor)).encode())
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", origin=str(directory / FILE)) from error
    return True


def find(directory: Path) -> LocalDescriptor | None:
    """The live control plane that is published here, if there is one.

    Nothing is believed that another user could have written, and nothing of a
    process that is gone.
    """
    path = directory / FILE
    try:
        found = path.lstat()
        data = private_files.read(path, limit=MAX_DESCRIPTOR)
    except OSError:
        return None
    if data is None:
        return None
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        log.warning("a local control plane's descriptor is not private and is ignored", extra={"file": str(path)})
        return None
    descriptor = _read(data)
    if descriptor is None:
        log.warning("a local control plane's descriptor is broken and is ignored", extra={"file": str(path)})
        return None
    return descriptor if _alive(descriptor) else None


def remove(directory: Path, descriptor: LocalDescriptor) -> None:
    """Withdraw a descriptor, unless another control plane's has taken its place."""
    try:
        data = private_files.read(directory / FILE, limit=MAX_DESCRIPTOR)
        if data is not None and _read(data) == descriptor:
            private_files.remove(directory / FILE)
    except OSError as error:
        log.warning("a descriptor cannot be removed", extra={"file": str(directory / FILE), "error": error.strerror})


def _read(data: bytes) -> LocalDescriptor | None:
    try:
        descriptor = LocalDescriptor(**json.loads(data))
    except (ValueError, TypeError, RecursionError):
        return None
    kinds = (str, str, str, str, int, str, str, str)
    sound = all(type(value) is kind for value, kind in zip(attrs.astuple(descriptor), kinds, strict=True))
    return descriptor if sound else None


def _alive(descriptor: LocalDescriptor) -> bool:
    if descriptor.pid <= 0:
        return False
    try:
        os.kill(descriptor.pid, 0)
    except OSError:
        # Gone, or by now a process of another user, which cannot be ours.
        return False
    return not descriptor.started or _start_of(descriptor.pid) in ("", descriptor.started)


def _start_of(pid: int) -> str:
    try:
        # Behind the last ")" of the name, the 20th field is the start time (proc(5), field 22).
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
