"""CORS policies alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from meshd.api.document import Path
from meshd.api.networking.virtual_service import CorsPolicy
from meshd.api.problem import Problem, error
from meshd.control.analysis import checks

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE")


def cors_policy(policy: CorsPolicy, path: Path) -> Iterator[Problem]:
    """Istio's rules for a CorsPolicy."""
    for index, origin in enumerate(policy.allowOrigins):
        here = (*path, "allowOrigins", index)
        if not (origin.exact or origin.prefix or origin.regex):
            yield error(here, "an origin needs exact, prefix or regex, and not an empty one")
        else:
            yield from checks.string_match(origin, here)
    for index, method in enumerate(policy.allowMethods):
        if method not in METHODS:
            yield error((*path, "allowMethods", index), f'"{method}" is not an HTTP method: {", ".join(METHODS)}')
    for name in ("allowHeaders", "exposeHeaders"):
        for index, header in enumerate(getattr(policy, name)):
            if header != "*":
                yield from checks.header_name(header, (*path, name, index))
    if policy.maxAge is not None:
        yield from checks.duration(policy.maxAge, (*path, "maxAge"))
        if policy.maxAge >= checks.SHORTEST_DURATION and not float(policy.maxAge).is_integer():
            yield error((*path, "maxAge"), "browsers count maxAge in whole seconds")
