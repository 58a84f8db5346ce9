"""Who may refer to objects of other namespaces. Pure.

Source: the Gateway API's ReferenceGrant, which lies in the namespace that is referred to.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from meshd.api.document import Document
from meshd.api.gateway_api.reference_grant import ReferenceGrant
from meshd.api.gateway_api.references import GROUP


@attrs.frozen
class Referrer:
    """An object of the Gateway API that refers to others."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@attrs.frozen
class Target:
    """What is referred to."""

    group: str
    kind: str
    namespace: str
    name: str


class Grants:
    """The ReferenceGrants by namespace. Never changes."""

    def __init__(self, documents: Iterable[Document] = ()) -> None:
        self._grants: dict[str, list[ReferenceGrant]] = {}
        for document in documents:
            self._grants.setdefault(document.namespace, []).append(document.resource)

    def permit(self, referrer: Referrer, target: Target) -> bool:
        """Whether a reference is permitted: within a namespace always."""
        if referrer.namespace == target.namespace:
            return True
        return any(_covers(grant, referrer, target) for grant in self._grants.get(target.namespace, ()))


def _covers(grant: ReferenceGrant, referrer: Referrer, target: Target) -> bool:
    by = any(
        (each.group, each.kind, each.namespace) == (GROUP, referrer.kind, referrer.namespace) for each in grant.from_
    )
    return by and any(
        (each.group, each.kind) == (target.group, target.kind) and each.name in {None, "", target.name}
        for each in grant.to
    )
