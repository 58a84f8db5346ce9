"""Values for ``x-request-id``: UUIDs (version 4) from a given source of randomness, made in batches. Pure."""

from __future__ import annotations

from typing import Protocol

_BATCH = 256
_OWN = 12
"""Hexadecimal digits that each id of a batch has to itself; the rest is the batch's."""


class Bits(Protocol):
    """A ``random.Random``, as far as it is needed."""

    def getrandbits(self, k: int, /) -> int:
        """``k`` random bits."""
        ...


class RequestIds:
    """Hands out ids. The whole mutable state is the rest of the present batch."""

    def __init__(self, rng: Bits) -> None:
        self._rng = rng
        self._ready: list[bytes] = []

    def take(self) -> bytes:
        """The next id."""
        if not self._ready:
            self._fill()
        return self._ready.pop()

    def _fill(self) -> None:
        # 48 bits to itself and 74 of its batch: two ids are equal as rarely as one in 2**33 batches has
        # a repeated own part. The own part comes first because samplers look at an id's first digits.
        size = _OWN * _BATCH
        digits = b"%0*x" % (size + 32, self._rng.getrandbits(4 * (size + 32)))
        batch = digits[size:]
        rest = b"-4%b-%c%b-%b" % (batch[:3], b"89ab"[int(batch[3:4], 16) & 3], batch[4:7], batch[7:19])
        self._ready = [digits[at : at + 8] + b"-" + digits[at + 8 : at + _OWN] + rest for at in range(0, size, _OWN)]
