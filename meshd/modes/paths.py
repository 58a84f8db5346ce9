"""Where meshd keeps its files, when nobody says, and under what name. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def state_home(environ: Mapping[str, str]) -> Path:
    """``$XDG_STATE_HOME/meshd``, else ``~/.local/state/meshd``; ``/var/lib/meshd`` for whoever has no home."""
    if given := environ.get("XDG_STATE_HOME"):
        return Path(given) / "meshd"
    if home := environ.get("HOME"):
        return Path(home) / ".local" / "state" / "meshd"
    return Path("/var/lib/meshd")


def node_name(hostname: str, service: str, version: str, port: int) -> str:
    """A name that tells the proxies of one identity apart, the same after a restart."""
    parts = [part for part in (service, version) if part]
    host = "".join(each if each.isalnum() or each in "-." else "-" for each in hostname).strip("-.")
    return f"{'-'.join(parts) or 'sidecar'}.{host or 'localhost'}.{port}"
