"""``gateway.networking.k8s.io`` ReferenceGrant: who may refer to objects of this namespace. Pure values.

Source: ``apis/v1beta1/referencegrant_types.go`` of the Gateway API.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class ReferenceGrantFrom:
    """Who refers."""

    group: str
    kind: str
    namespace: str


@attrs.frozen
class ReferenceGrantTo:
    """To what: one object, or all of the kind."""

    group: str
    kind: str
    name: str | None = None


@attrs.frozen
class ReferenceGrant:
    """Any of ``from`` may refer to any of ``to``."""

    from_: tuple[ReferenceGrantFrom, ...]
    to: tuple[ReferenceGrantTo, ...]
