"""Who is next, and in what shares."""

from __future__ import annotations

import random
from collections import Counter

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.proxy.upstream.balancer import EarliestDeadline, LeastRequest, RoundRobin, balancer_for
from meshd.snapshot.cluster import Balancing


@attrs.define(eq=False)
class Target:
    name: str
    weight: int = 1
    active: int = 0


def targets(*weights: int) -> list[Target]:
    return [Target(f"h{at}", weight) for at, weight in enumerate(weights)]


def shares(balancer, picks: int) -> Counter[str]:
    return Counter(balancer.pick().name for _ in range(picks))


def test_round_robin_is_even_and_in_order_from_a_random_start():
    hosts = targets(1, 1, 1)
    names = [RoundRobin(hosts, lambda: 0.5).pick().name, RoundRobin(hosts, lambda: 0.99).pick().name]
    assert names == ["h1", "h2"]
    balancer = RoundRobin(hosts, lambda: 0.0)
    assert [balancer.pick().name for _ in range(7)] == ["h0", "h1", "h2", "h0", "h1", "h2", "h0"]


def test_weighted_round_robin_spreads_the_heavy_one_out():
    balancer = balancer_for(Balancing.ROUND_ROBIN, targets(3, 1), lambda: 0.0)
    names = "".join(balancer.pick().name[1] for _ in range(400))
    assert names.count("0") == 300
    assert "00000" not in names
    assert "11" not in names


@settings(max_examples=30, deadline=None)
@given(weights=st.lists(st.integers(1, 50), min_size=1, max_size=6), seed=st.integers(0, 2**32))
@pytest.mark.parametrize("balancing", [Balancing.ROUND_ROBIN, Balancing.LEAST_REQUEST, Balancing.RANDOM])
def test_shares_follow_weights(balancing, weights, seed):
    hosts = targets(*weights)
    balancer = balancer_for(balancing, hosts, random.Random(seed).random)
    picks = 200 * len(hosts)
    found = shares(balancer, picks)
    for host in hosts:
        expected = picks * host.weight / sum(weights)
        assert abs(found[host.name] - expected) <= 6 * (expected**0.5) + 2


def test_least_request_takes_the_less_busy_of_two():
    busy, free = Target("busy", active=9), Target("free")
    numbers = iter([0.0, 0.9, 0.9, 0.0, 0.0, 0.0])
    balancer = LeastRequest([busy, free], lambda: next(numbers))
    assert balancer.pick() is free
    assert balancer.pick() is free
    assert balancer.pick() is busy, "both choices fell on it"


def test_weighted_least_request_divides_by_load():
    hosts = targets(2, 1)
    hosts[0].active = 9
    balancer = balancer_for(Balancing.LEAST_REQUEST, hosts, lambda: 0.0)
    assert isinstance(balancer, EarliestDeadline)
    found = shares(balancer, 120)
    # 2 / (9 + 1) against 1 / (0 + 1): one in six.
    assert abs(found["h0"] - 20) <= 2


def test_random_leaves_nobody_out_however_small_its_share():
    hosts = targets(1, 10_000_000)
    balancer = balancer_for(Balancing.RANDOM, hosts, random.Random(1).random)
    assert {host.name for host in balancer._wheel} == {"h0", "h1"}
    assert len(balancer._wheel) <= 100_001


def test_a_single_host_is_always_it():
    for balancing in Balancing:
        balancer = balancer_for(balancing, targets(7), random.Random(3).random)
        assert {balancer.pick().name for _ in range(5)} == {"h0"}
