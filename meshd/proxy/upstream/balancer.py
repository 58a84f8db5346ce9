"""Which host is next: least request, round robin, random. Pure.

Randomness is a callable that gives a float in [0, 1). A balancer is built when
a cluster's hosts change; what it keeps between picks is its own.

Source: Envoy. LEAST_REQUEST with equal weights is the better of two random
choices (P2C); with different weights it is an earliest-deadline schedule whose
weights are divided by (active requests + 1). ROUND_ROBIN starts at a random
place; with weights it is an earliest-deadline schedule.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from meshd.snapshot.cluster import Balancing


class Candidate(Protocol):
    """What a balancer looks at."""

    @property
    def weight(self) -> int:
        """Relative share, at least 1."""
        ...

    @property
    def active(self) -> int:
        """Requests under way."""
        ...


H = TypeVar("H", bound=Candidate)


class Balancer(Protocol[H]):
    """Picks one of its hosts."""

    hosts: tuple[H, ...]

    def pick(self) -> H:
        """The next host. Only when there are hosts."""
        ...


class RoundRobin(Generic[H]):
    """Equal weights: one after the other, from a random start."""

    def __init__(self, hosts: Sequence[H], uniform: Callable[[], float]) -> None:
        self.hosts = tuple(hosts)
        self._next = int(uniform() * len(self.hosts))

    def pick(self) -> H:
        at = self._next
        self._next = at + 1 if at + 1 < len(self.hosts) else 0
        return self.hosts[at]


class Random(Generic[H]):
    """Any host, by weight."""

    def __init__(self, hosts: Sequence[H], uniform: Callable[[], float]) -> None:
        self.hosts = tuple(hosts)
        self._uniform = uniform
        # A host stands here as often as its weight says, the common divisor taken out.
        self._wheel = _wheel(self.hosts)

    def pick(self) -> H:
        return self._wheel[int(self._uniform() * len(self._wheel))]


class LeastRequest(Generic[H]):
    """Equal weights: the less busy of two random hosts."""

    def __init__(self, hosts: Sequence[H], uniform: Callable[[], float]) -> None:
        self.hosts = tuple(hosts)
        self._uniform = uniform

    def pick(self) -> H:
        hosts = self.hosts
        count = len(hosts)
        if count == 1:
            return hosts[0]
        one = hosts[int(self._uniform() * count)]
        two = hosts[int(self._uniform() * count)]
        return two if two.active < one.active else one


class EarliestDeadline(Generic[H]):
    """Weighted: the host whose next turn is earliest; a turn lasts 1 / its effective weight."""

    def __init__(self, hosts: Sequence[H], uniform: Callable[[], float], *, by_load: bool) -> None:
        self.hosts = tuple(hosts)
        self._by_load = by_load
        # A random phase per host, so that many proxies do not all begin with the same one.
        self._queue = [(uniform() / host.weight, at, host) for at, host in enumerate(self.hosts)]
        heapq.heapify(self._queue)

    def pick(self) -> H:
        deadline, at, host = self._queue[0]
        weight = host.weight / (host.active + 1) if self._by_load else host.weight
        heapq.heapreplace(self._queue, (deadline + 1 / weight, at, host))
        return host


def balancer_for(balancing: Balancing, hosts: Sequence[H], uniform: Callable[[], float]) -> Balancer[H]:
    """The balancer for a cluster's policy and its present hosts (at least one)."""
    if balancing is Balancing.RANDOM:
        return Random(hosts, uniform)
    weighted = len({host.weight for host in hosts}) > 1
    by_load = balancing is Balancing.LEAST_REQUEST
    if weighted:
        return EarliestDeadline(hosts, uniform, by_load=by_load)
    return LeastRequest(hosts, uniform) if by_load else RoundRobin(hosts, uniform)


_WHEEL_LENGTH = 100_000


def _wheel(hosts: tuple[H, ...]) -> tuple[H, ...]:
    weights = [host.weight for host in hosts]
    divisor = math.gcd(*weights)
    total = sum(weights) // divisor
    if total > _WHEEL_LENGTH:
        # Shares are kept to a hundred-thousandth; nobody is left out.
        weights = [max(1, weight * _WHEEL_LENGTH // (total * divisor)) for weight in weights]
        divisor = 1
    return tuple(host for host, weight in zip(hosts, weights, strict=True) for _ in range(weight // divisor))
