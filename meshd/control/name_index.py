"""Things by host, to find those that mean the same names without comparing all with all. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Generic, TypeVar

from meshd.control.hosts import covers, is_wildcard

Thing = TypeVar("Thing")


class NameIndex(Generic[Thing]):
    """Hosts, exact or with a wildcard, and what each stands for. Never changes.

    ``*.example.com`` is found by its end; other wildcards (``*-v1.example.com``),
    of which there are few, are compared one by one.
    """

    def __init__(self, pairs: Iterable[tuple[str, Thing]]) -> None:
        self._exact: dict[str, list[Thing]] = {}
        self._below: dict[str, list[tuple[str, Thing]]] = {}
        self._odd: list[tuple[str, Thing]] = []
        for host, thing in pairs:
            if not is_wildcard(host):
                self._exact.setdefault(host, []).append(thing)
            elif host.startswith("*.") or host == "*":
                self._below.setdefault(host[2:], []).append((host, thing))
            else:
                self._odd.append((host, thing))

    def exact(self, host: str) -> list[Thing]:
        """What stands there under this very name."""
        return self._exact.get(host, [])

    def covering(self, host: str) -> Iterator[Thing]:
        """What has a name, or a wildcard, that stands for all that ``host`` stands for."""
        yield from (thing for _, thing in self.covering_names(host))

    def covering_names(self, host: str) -> Iterator[tuple[str, Thing]]:
        """The same with its name, the longest wildcard first (those of other forms last)."""
        if not is_wildcard(host):
            yield from ((host, thing) for thing in self.exact(host))
        end = host
        while end:
            # "*.a.b" is covered by itself, so it is looked for under its own end first.
            _, _, end = end.partition(".")
            yield from self._below.get(end, ())
        yield from (pair for pair in self._odd if covers(pair[0], host))

    def covered(self, pattern: str) -> Iterator[Thing]:
        """What has a name, or a wildcard, that ``pattern`` stands for."""
        if not is_wildcard(pattern):
            yield from self.exact(pattern)
        elif pattern.startswith("*."):
            yield from self._by_end.get(pattern[2:], ())
        else:
            yield from (thing for name, thing in self._everything() if covers(pattern, name))

    def overlapping(self, host: str) -> Iterator[Thing]:
        """What has a name that some name of ``host`` is meant by; what is alike is given once for each of its hosts."""
        if not is_wildcard(host):
            yield from self.covering(host)
            return
        for name, thing in self.covering_names(host):
            if name != host:
                yield thing
        yield from self.covered(host)

    @cached_property
    def _by_end(self) -> dict[str, list[Thing]]:
        """All things by every end of their names: "b.c" and "c" for "a.b.c"."""
        found: dict[str, list[Thing]] = {}
        for name, thing in self._everything():
            end = name
            while end:
                _, _, end = end.partition(".")
                found.setdefault(end, []).append(thing)
        return found

    def _everything(self) -> Iterator[tuple[str, Thing]]:
        yield from ((host, thing) for host, things in self._exact.items() for thing in things)
        yield from (pair for pairs in self._below.values() for pair in pairs)
        yield from self._odd
