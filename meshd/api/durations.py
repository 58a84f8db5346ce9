"""Go's durations: ``1h30m``, ``2.5s``, ``100ms``. Pure."""

from __future__ import annotations

import re

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_WHOLE = re.compile(rf"[-+]?(?:{_PART.pattern})+")

LONGEST = 315_576_000_000.0
"""Seconds: ten thousand years, protobuf's own limit."""


def parse_duration(text: str) -> float:
    """Seconds.

    Raises:
        ValueError: It is not a duration, with the remedy.
    """
    if text == "0":
        return 0.0
    if len(text) > 64 or not _WHOLE.fullmatch(text):
        remedy = f'; write "{text}s" for seconds' if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) else ""
        raise ValueError(f'"{text}" is not a duration such as 2s, 1.5s, 100ms or 1h30m{remedy}')
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if seconds > LONGEST:
        raise ValueError(f'"{text}" is longer than ten thousand years')
    return -seconds if text.startswith("-") else seconds


def format_duration(seconds: float) -> str:
    """The shortest of these forms: ``90s``, ``1.5s``, ``100ms``."""
    if seconds and abs(seconds) < 1:
        return f"{_plain(seconds * 1000)}ms"
    return f"{_plain(seconds)}s"


def _plain(number: float) -> str:
    """Without an exponent, to the nanosecond."""
    text = f"{number:.9f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
