"""Who claims which hosts, to find those that have names in common. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from meshd.control import hosts


class HostBook:
    """Claims by host. Exact hosts meet in a dictionary; only wildcards are compared one by one."""

    def __init__(self) -> None:
        self._exact: dict[str, list[Any]] = {}
        self._wild: dict[str, list[Any]] = {}

    def add(self, host: str, claimant: Any) -> None:
        """Note a claim."""
        (self._wild if hosts.is_wildcard(host) else self._exact).setdefault(host, []).append(claimant)

    def overlapping(self, host: str) -> Iterator[Any]:
        """The claimants of every host that has a name in common with this one, itself included."""
        if not hosts.is_wildcard(host):
            yield from self._exact.get(host, ())
        else:
            for each, claimants in self._exact.items():
                if hosts.covers(host, each):
                    yield from claimants
        for each, claimants in self._wild.items():
            if hosts.overlaps(host, each):
                yield from claimants
