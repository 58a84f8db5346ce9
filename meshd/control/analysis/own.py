"""Analyses that Istio does not have: one visible list. Pure."""

from __future__ import annotations

from typing import Final

from meshd.control.analysis import route_paths, route_shares, route_times, shadowed
from meshd.control.analysis.analysis import Analysis

OWN: Final[tuple[Analysis, ...]] = (
    Analysis(
        "meshd.Shadowed",
        "no rule or match of a VirtualService is taken whole by an earlier one",
        ("MD0010", "MD0011"),
        shadowed.shadowed_rules,
    ),
    Analysis(
        "meshd.RoutePaths",
        "prefixes, rewrites and regular expressions mean what they seem to",
        ("MD0012", "MD0013", "MD0014", "MD0015", "MD0016", "MD0017"),
        route_paths.route_paths,
    ),
    Analysis(
        "meshd.RouteTimes",
        "timeouts, retries and faults of a route do not get in each other's way",
        ("MD0018", "MD0019", "MD0020", "MD0021", "MD0022"),
        route_times.route_times,
    ),
    Analysis(
        "meshd.RouteShares",
        "weights and mirrors do what their numbers say",
        ("MD0023", "MD0024", "MD0025"),
        route_shares.route_shares,
    ),
)
