"""The last ordinary head of a connection, kept to be read again for the price of a comparison. Pure.

Pollers, health checks and most backends send the same head again and again. To
read an ordinary head is a pure function of its bytes (and of what is fixed for
the connection, and the method that a response answers), so equal bytes have
equal meaning: they are compared, and a copy of what they meant before is handed
out. A property test holds this to reading each head anew.

One head per connection is kept, only when it came twice in a row (what never
repeats costs no copy), and only a small one (an idle connection must stay cheap).
"""

from __future__ import annotations

from typing import Generic, TypeVar

from meshd.http.head import RequestHead, ResponseHead

KIB = 1024

MOST_KEPT = 4 * KIB
"""Bytes of the longest head worth keeping."""

Head = TypeVar("Head", RequestHead, ResponseHead)


class LastHead(Generic[Head]):
    """What came last and what it meant. The whole mutable state is what ``__init__`` sets.

    ``head`` is None until ``raw`` has come twice; then it is nobody else's, and
    whoever hands it out hands out a copy.
    """

    __slots__ = ("framing", "head", "keep_alive", "method", "raw")

    def __init__(self) -> None:
        self.raw = b""
        self.head: Head | None = None
        self.framing = 0
        self.keep_alive = False
        self.method = b""
        """Of the request that a response answered."""

    def note(self, raw: bytes, head: Head, *, keep_alive: bool, framing: int = 0, method: bytes = b"") -> None:
        """An ordinary head was read."""
        if raw == self.raw and method == self.method:
            self.head = head.copy()
            self.keep_alive = keep_alive
            self.framing = framing
        elif len(raw) <= MOST_KEPT:
            self.raw = raw
            self.head = None
            self.method = method
