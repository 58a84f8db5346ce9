"""A route's ``corsPolicy`` as its filter. Pure.

Source: Istio's ``pilot/pkg/networking/core/route/route.go`` (``TranslateCORSPolicy``).
"""

from __future__ import annotations

from meshd.api.networking.virtual_service import CorsPolicy, UnmatchedPreflights
from meshd.control.compiler.matches import string_match
from meshd.snapshot.common import MatchKind, StringMatch
from meshd.snapshot.policy import Cors


def cors(policy: CorsPolicy | None) -> tuple[Cors, ...]:
    """The filter, () without a policy. ``allowOrigin`` is only looked at where ``allowOrigins`` is absent."""
    if policy is None:
        return ()
    origins = tuple(string_match(each) for each in policy.allowOrigins)
    if not origins:
        origins = tuple(StringMatch(MatchKind.EXACT, each) for each in policy.allowOrigin)
    return (
        Cors(
            origins=origins,
            allow_methods=",".join(policy.allowMethods),
            allow_headers=",".join(policy.allowHeaders),
            expose_headers=",".join(policy.exposeHeaders),
            max_age="" if policy.maxAge is None else str(int(policy.maxAge)),
            allow_credentials=bool(policy.allowCredentials),
            forward_unmatched_preflights=policy.unmatchedPreflights is not UnmatchedPreflights.IGNORE,
        ),
    )
