"""When to renew a certificate. Pure.

Half of the life is left for trying again: a renewal is due at half life (with
a little jitter, so that a mesh that was started at one time does not renew at
one time), is tried with growing pauses, raises an alarm when less than a
quarter of the life is left, and an expired certificate is never shown.
Source: Istio's SECRET_GRACE_PERIOD_RATIO 0.5 and jitter 0.01.
"""

from __future__ import annotations

from enum import StrEnum

import attrs

SECONDS = 1.0
MINUTES = 60 * SECONDS


class Freshness(StrEnum):
    """How a certificate stands at a moment."""

    FRESH = "fresh"
    DUE = "due"
    """Past its renewal time, with life left."""
    ALARM = "alarm"
    """Little life is left and it has not been renewed."""
    EXPIRED = "expired"
    NOT_YET = "not-yet-valid"


@attrs.frozen
class Rotation:
    """The schedule's numbers. Fractions are of the certificate's life."""

    fraction: float = 0.5
    jitter: float = 0.01
    alarm: float = 0.25
    """Life left below which an unrenewed certificate is an alarm."""
    retry_first: float = 1 * SECONDS
    retry_most: float = 1 * MINUTES
    longest_sleep: float = 5 * MINUTES
    """The wall clock may be set while we sleep: look at it this often at least."""
    least_interval: float = 1 * SECONDS
    """Between two renewals that succeed: certificates that end with an ending CA get shorter and shorter."""
    rest: float = 0.25
    """After a renewal, this much of what is left of the life passes before the next, whatever the clock says: one that
    is wrong by half a day must not make a new certificate look half spent, and renewed again, and again."""

    def renew_at(self, not_before: float, not_after: float, draw: float) -> float:
        """The wall-clock second to renew at.

        Args:
            not_before: When the certificate's life began, seconds since the epoch.
            not_after: When it ends.
            draw: Random in [-1, 1].
        """
        life = max(0.0, not_after - not_before)
        return not_before + life * (self.fraction + self.jitter * max(-1.0, min(1.0, draw)))

    def next_after(self, not_before: float, not_after: float, now: float, draw: float) -> float:
        """The wall-clock second to renew at, for a certificate that has come just now; otherwise as ``renew_at``."""
        pause = max(self.least_interval, self.rest * (not_after - now))
        return max(self.renew_at(not_before, not_after, draw), now + pause)

    def freshness(self, not_before: float, not_after: float, now: float) -> Freshness:
        """How a certificate stands now (without jitter)."""
        life = max(0.0, not_after - not_before)
        if now >= not_after:
            return Freshness.EXPIRED
        if now < not_before:
            return Freshness.NOT_YET
        if not_after - now < life * self.alarm:
            return Freshness.ALARM
        return Freshness.DUE if now >= not_before + life * self.fraction else Freshness.FRESH

    def sleep(self, due: float, now: float) -> float:
        """Seconds to sleep before looking at the clock again; 0 when it is time."""
        return max(0.0, min(due - now, self.longest_sleep))

    def retry_after(self, failures: int, remaining: float, draw: float) -> float:
        """Seconds to wait after a renewal that failed.

        Doubles from ``retry_first`` to ``retry_most``, jittered to between half
        and the whole; never longer than an eighth of the life that remains, so
        that a short-lived certificate still gets several tries.

        Args:
            failures: In a row, 1 or more.
            remaining: Seconds until the certificate expires (0 or less: none left).
            draw: Random in [0, 1].
        """
        pause = min(self.retry_most, self.retry_first * 2.0 ** min(failures - 1, 30))
        if remaining > 0:
            pause = min(pause, max(remaining / 8, self.retry_first / 4))
        return pause * (0.5 + 0.5 * draw)
