"""The process's memory, as the proxy is told of it. Pure."""

from __future__ import annotations

from collections.abc import Callable

import attrs


@attrs.frozen(eq=False)
class Memory:
    """``used`` gives resident bytes; ``shrink`` gives the system back what can be given. Both are quick."""

    used: Callable[[], int]
    shrink: Callable[[], None]
