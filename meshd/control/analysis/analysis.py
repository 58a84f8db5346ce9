"""What an analysis is. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import attrs

from meshd.control.analysis.facts import Facts
from meshd.control.finding import Finding

Run: TypeAlias = Callable[[Facts], Iterable[Finding]]


@attrs.frozen
class Analysis:
    """One analysis. ``name``: Istio's own name of it where Istio has it, else ``meshd.`` and a word."""

    name: str
    about: str
    codes: tuple[str, ...]
    run: Run
