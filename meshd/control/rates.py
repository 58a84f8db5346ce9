"""How often someone may ask: a bucket of permits per key. Pure.

Time is an argument. The number of keys is bounded: the one that was not seen
for longest is forgotten, which at worst gives it a full bucket again.
"""

from __future__ import annotations

from collections import OrderedDict

import attrs


@attrs.frozen
class Rate:
    """``per_second`` permits, of which ``burst`` may be saved up."""

    per_second: float
    burst: float


class Buckets:
    """Token buckets by key. The caller gives trio's clock."""

    def __init__(self, rate: Rate, *, max_keys: int = 65536) -> None:
        self._rate = rate
        self._max_keys = max_keys
        # The whole mutable state: for each key its permits and when they were counted.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_for(self, key: str, now: float) -> float:
        """Seconds until a permit is there; 0 when there is one. Takes nothing."""
        permits = self._permits(key, now)
        return 0.0 if permits >= 1 else (1 - permits) / self._rate.per_second

    def take(self, key: str, now: float) -> float:
        """Take a permit. Returns 0.0, or the seconds after which to ask again (nothing taken then)."""
        wait = self.wait_for(key, now)
        if wait == 0:
            self._buckets[key] = (self._permits(key, now) - 1, now)
            self._buckets.move_to_end(key)
            if len(self._buckets) > self._max_keys:
                self._buckets.popitem(last=False)
        return wait

    def _permits(self, key: str, now: float) -> float:
        permits, since = self._buckets.get(key, (self._rate.burst, now))
        return min(self._rate.burst, permits + (now - since) * self._rate.per_second)
