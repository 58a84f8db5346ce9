"""Where meshd keeps its files, when nobody says. Pure."""

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
