"""A VirtualService in the making: everything that routes of one place say of one host. Pure."""

from __future__ import annotations

import attrs

from meshd.api.document import Document
from meshd.api.networking.virtual_service import VirtualService
from meshd.control.gateway_api.http_rules import Rule, in_order
from meshd.control.owned import Owned


@attrs.define
class Gathered:
    """Filled while routes are read, older first; ``first`` is the oldest."""

    first: Document
    host: str
    gateway: str
    rules: list[Rule] = attrs.field(factory=list)

    def made(self, export_to: tuple[str, ...]) -> Owned[VirtualService]:
        """The VirtualService, under the name of its oldest route."""
        rules = in_order(self.rules)
        spec = VirtualService((self.host,), (self.gateway,), http=tuple(rule.http for rule in rules))
        return Owned(
            self.first.kind,
            self.first.namespace,
            self.first.name,
            spec,
            self.first.seniority,
            export_to=export_to,
            gateway_api=True,
            http_origins=tuple(rule.origin for rule in rules),
            http_matches=tuple(rule.match for rule in rules),
        )
