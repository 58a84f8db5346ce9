"""Principals by all the names of the mesh's trust domain. Pure.

Source: Istio's ``pilot/pkg/security/trustdomain`` (``ReplaceTrustDomainAliases``):
a mesh that was renamed lets policies written for one name hold for the others.
"""

from __future__ import annotations

from typing import Final

POINTER: Final = "cluster.local"
"""In policies this trust domain means the mesh's own, whatever its name (Istio)."""

SLASHES: Final = 4
"""``cluster.local/ns/default/sa/reviews``: in anything else the first part is only a name."""


def principals(principal: str, domains: tuple[str, ...]) -> tuple[str, ...]:
    """A principal as a policy means it: under each of the mesh's names where it is of this mesh, else as it is.

    Args:
        principal: Without ``spiffe://``; may begin or end with ``*``.
        domains: The mesh's trust domain, then its aliases.
    """
    domain, _, path = principal.partition("/")
    if principal.count("/") != SLASHES or not (domain == POINTER or any(_means(domain, each) for each in domains)):
        return (principal,)
    # One that begins with a star covers some of the names already.
    found = (principal if _ends(domain, each) else f"{each}/{path}" for each in domains)
    return tuple(dict.fromkeys(found))


def _means(pattern: str, domain: str) -> bool:
    prefix = pattern.endswith("*") and domain.startswith(pattern[:-1])
    return pattern == domain or _ends(pattern, domain) or prefix


def _ends(pattern: str, domain: str) -> bool:
    return pattern.startswith("*") and domain.endswith(pattern[1:])
