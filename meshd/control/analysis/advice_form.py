"""What can be said about a code in general. Pure values."""

from __future__ import annotations

import attrs


@attrs.frozen
class Advice:
    """``meaning``: what it says about a configuration. ``remedy``: what to do; "" where nothing is to be done.

    ``why_not``: why meshd itself never reports the code, "" where it does.
    """

    meaning: str
    remedy: str = ""
    why_not: str = ""
