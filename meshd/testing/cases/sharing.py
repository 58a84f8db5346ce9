"""Shares of many calls, and how far chance may lead away from them. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from meshd.testing.judging import Mismatch

DEVIATIONS = 4.0
"""Standard deviations: what chance gives in all but one of 15,000 runs."""
WHOLE = 99.999
"""Percent from which shares are taken for complete."""


def judge_shares(
    field: str, shares: Mapping[str, float], seen: Sequence[tuple[str, ...]], within: float | None
) -> Iterator[Mismatch]:
    """In what shares differ.

    Args:
        field: What to call it.
        shares: Percent by value.
        seen: For each call, the names by which what was seen may be called.
        within: Percentage points that a share may be off; None is what chance allows.
    """
    calls = len(seen)
    for name, percent in shares.items():
        count = sum(name in names for names in seen)
        allowed = within if within is not None else _allowed(percent, calls)
        if abs(100 * count / calls - percent) > allowed:
            yield Mismatch(
                f"{field}.{name}",
                f"{percent:g}% (give or take {allowed:.3g})",
                f"{100 * count / calls:.3g}% ({count} of {calls})",
            )
    if sum(shares.values()) >= WHOLE:
        others = sorted({names[0] for names in seen if not shares.keys() & set(names)})
        if others:
            wanted = ", ".join(shares)
            yield Mismatch(field, f"only {wanted}", ", ".join(name or "the calling proxy itself" for name in others))


def _allowed(percent: float, calls: int) -> float:
    share = percent / 100
    deviation = math.sqrt(max(0.0, share * (1 - share)) / calls)
    return 100 * (DEVIATIONS * deviation + (0.5 / calls if 0 < share < 1 else 0.0)) + 1e-9
