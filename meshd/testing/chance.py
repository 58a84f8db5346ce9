"""One seed for everything that is left to chance, the order of tasks included.

Trio shuffles the tasks that can run at the same moment, so that nobody relies
on their order. It can be told to shuffle by a seed (it does so for Hypothesis,
through the two module variables set here); there is no public way to ask.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

from trio._core import _run as scheduler


@contextmanager
def seeded_scheduler(seed: object) -> Iterator[None]:
    """Let trio order tasks by a seed inside the block; as it was before, after it."""
    ordered, state = scheduler._ALLOW_DETERMINISTIC_SCHEDULING, scheduler._r.getstate()
    _set_ordered(ordered=True)
    scheduler._r.seed(f"{seed}/scheduler")
    try:
        yield
    finally:
        scheduler._r.setstate(state)
        _set_ordered(ordered=ordered)


def _set_ordered(*, ordered: bool) -> None:
    # Trio declares it final for its readers; its own Hypothesis plugin sets it the same way.
    setattr(scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING", ordered)  # noqa: B010


def stream_of_chance(seed: object, *names: object) -> random.Random:
    """A source of randomness of its own for each part of a mesh: what one part draws does not change another's luck."""
    return random.Random("/".join(map(str, (seed, *names))))
