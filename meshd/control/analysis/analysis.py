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
    """One analysis.

    ``name``: Istio's own name of it where Istio has it, else ``meshd.`` and a
    word. ``about`` completes "checks that". With ``offline`` it judges by what
    else there is (pods, namespaces, Secrets): of use where all documents are at
    hand, noise in a control plane whose workloads come and go.
    """

    name: str
    about: str
    codes: tuple[str, ...]
    run: Run
    offline: bool = False
