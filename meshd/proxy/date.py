"""The line ``date: ...`` for responses that come without one. Pure but for the clock it is given.

Source: RFC 9110 section 6.6.1 asks it of whoever answers and of whoever forwards; Envoy does the same.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class DateLine:
    """Renders the moment once a second. Made with a configuration."""

    __slots__ = ("_line", "_second", "_wall_clock")

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        # The whole mutable state: the second rendered last, and its line.
        self._second = -1
        self._line = b""

    def now(self) -> bytes:
        """A complete header line."""
        second = int(self._wall_clock())
        if second != self._second:
            self._second = second
            self._line = b"date: %b\r\n" % http_date(second)
        return self._line


def http_date(second: int) -> bytes:
    """``Sun, 06 Nov 1994 08:49:37 GMT``. Not ``strftime``: its names follow the locale."""
    moment = datetime.fromtimestamp(second, UTC)
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    return f"{day}, {moment.day:02} {month} {moment.year:04} {moment:%H:%M:%S} GMT".encode()
