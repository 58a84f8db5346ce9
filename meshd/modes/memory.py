"""How much memory this process has, and may have, on Linux; elsewhere nothing is known and nothing limited."""

from __future__ import annotations

import gc
import os
from pathlib import Path

from meshd.proxy.memory import Memory

STATM = Path("/proc/self/statm")
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Version 2, version 1."""
SHARE = 0.9
"""Of the cgroup's limit: the kernel kills at all of it."""
UNLIMITED = 1 << 50
"""Version 1 writes "no limit" as a number greater than any machine's memory."""


def process_memory() -> Memory:
    """This process's."""
    return Memory(used=resident, shrink=shrink)


def resident() -> int:
    """Resident bytes; 0 where nobody tells."""
    try:
        pages = int(STATM.read_bytes().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def shrink() -> None:
    """Give the system back what is free: the C library keeps it otherwise, and the process looks full for ever."""
    # Loaded by those who need it: it costs a megabyte.
    import ctypes

    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def default_limit(files: tuple[Path, ...] = CGROUP_LIMITS) -> int:
    """Nine tenths of what the cgroup gives, 0 when it gives without limit."""
    for file in files:
        try:
            text = file.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
        if text.isdigit() and int(text) < UNLIMITED:
            return int(int(text) * SHARE)
    return 0
