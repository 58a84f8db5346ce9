"""Results of pure functions, kept from one mesh to the next. Pure.

A function's arguments are its key, and it reads nothing else: so a part whose
inputs did not change is not compiled again, whatever else did. Keys are frozen
values; two that are equal are one, even when they were parsed anew.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from meshd.control.mesh import Mesh
from meshd.snapshot.wire import EncodeMemo

Result = TypeVar("Result")


class Memo:
    """One per control plane: what its compilations share. Forgets what two meshes in a row did not use."""

    # The whole mutable state is these: the present mesh, the results used with it,
    # and those used with the one before. ``encoded`` has its own two generations.
    def __init__(self) -> None:
        self.encoded = EncodeMemo()
        self._mesh: Mesh | None = None
        self._now: dict[tuple[Hashable, ...], Any] = {}
        self._before: dict[tuple[Hashable, ...], Any] = {}
        self._made = 0

    def turn_to(self, mesh: Mesh) -> None:
        """Say which mesh is being compiled; another one than last time begins a new generation."""
        if mesh is not self._mesh:
            self._mesh = mesh
            self._before, self._now = self._now, {}
            self.encoded.turn()

    def call(self, function: Callable[..., Result], *arguments: Hashable) -> Result:
        """``function(*arguments)``, or what it gave for equal arguments."""
        key = (function, *arguments)
        if key in self._now:
            result: Result = self._now[key]
            return result
        if key in self._before:
            result = self._before[key]
        else:
            result = function(*arguments)
            self._made += 1
        self._now[key] = result
        return result

    def statistics(self) -> tuple[int, int]:
        """How many results are held for the present mesh, and how many had to be made in all."""
        return len(self._now), self._made
