"""A resource with its owner, as the mesh keeps it. Pure."""

from __future__ import annotations

from typing import Generic, TypeVar

import attrs

from meshd.api.common import Map

Resource = TypeVar("Resource")


@attrs.frozen(cache_hash=True)
class Owned(Generic[Resource]):
    """A resource with its owner, without where it was written."""

    kind: str
    namespace: str
    name: str
    resource: Resource
    seniority: tuple[str, str, str] = ("~", "", "")
    dry_run: bool = False
    """A policy that must only be watched (``istio.io/dry-run``)."""
    annotations: Map[str, str] = Map()
    export_to: tuple[str, ...] = ()
    """Who sees it: its own word, else the mesh's default; () is everybody."""
    http_origins: tuple[tuple[str, int], ...] = ()
    """VirtualServices with delegates: where each of their http rules comes from (document, index)."""

    gateway_api: bool = False
    """Made of routes of the Gateway API, whose rules about visibility and missing destinations hold for it."""
    http_matches: tuple[int, ...] = ()
    """Of the same: which of their rule's matches each http rule is; -1 for a rule that has none."""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"
