"""Values for ``x-request-id``: UUIDs (version 4) from a given source of randomness, made in batches. Pure."""

from __future__ import annotations

from typing import Protocol

_BATCH = 256
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


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
        digits = f"{self._rng.getrandbits(128 * _BATCH):0{32 * _BATCH}x}"
        for at in range(0, len(digits), 32):
            d = digits[at : at + 32]
            self._ready.append(f"{d[:8]}-{d[8:12]}-4{d[13:16]}-{_VARIANT[d[16]]}{d[17:20]}-{d[20:]}".encode())
