"""LoadBalancerSettings alone: hashing, localities, warm-up. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isqrt

from meshd.api.document import Path
from meshd.api.networking.destination_rule import (
    ConsistentHashLB,
    Failover,
    LoadBalancerSettings,
    LocalityLoadBalancerSetting,
    SimpleLB,
    WarmupConfiguration,
    ZoneAwareLoadBalancerSetting,
)
from meshd.api.problem import FIELD_WITHOUT_EFFECT, Problem, error, warning
from meshd.control.analysis import checks

LARGEST_TABLE = 5_000_011
"""Envoy's limit of a Maglev table, exclusive."""

_HASHED = ("httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName")
_TOPOLOGY = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone")


def load_balancer(settings: LoadBalancerSettings, path: Path, *, ejects: bool) -> Iterator[Problem]:
    """Istio's rules for LoadBalancerSettings.

    Args:
        settings: What was written.
        path: Where.
        ejects: There is an outlier detection beside it, without which nobody fails over.
    """
    if settings.simple is not None and settings.consistentHash is not None:
        yield error(path, "simple and consistentHash cannot both be given: choose one", at_value=False)
    if settings.consistentHash is not None:
        yield from _consistent_hash(settings.consistentHash, (*path, "consistentHash"))
    if settings.localityLbSetting is not None and settings.zoneAwareLbSetting is not None:
        yield error(path, "localityLbSetting and zoneAwareLbSetting cannot both be given: choose one", at_value=False)
    if settings.localityLbSetting is not None:
        yield from locality(settings.localityLbSetting, (*path, "localityLbSetting"), ejects=ejects)
    if settings.zoneAwareLbSetting is not None:
        yield from zone_aware(settings.zoneAwareLbSetting, (*path, "zoneAwareLbSetting"), ejects=ejects)
    yield from checks.duration(settings.warmupDurationSecs, (*path, "warmupDurationSecs"))
    if settings.warmup is not None:
        yield from _warmup(settings.warmup, (*path, "warmup"))
        if settings.simple in (SimpleLB.RANDOM, SimpleLB.PASSTHROUGH) or settings.consistentHash is not None:
            yield warning(
                (*path, "warmup"), "only ROUND_ROBIN and LEAST_REQUEST warm hosts up", code=FIELD_WITHOUT_EFFECT
            )


def _warmup(warmup: WarmupConfiguration, path: Path) -> Iterator[Problem]:
    yield from checks.duration(warmup.duration, (*path, "duration"))
    yield from checks.percent(warmup.minimumPercent, (*path, "minimumPercent"))
    if warmup.aggression is not None and warmup.aggression < 0:
        yield error((*path, "aggression"), f"{warmup.aggression:g} is negative: 1 is a straight line, more is slower")


def _consistent_hash(settings: ConsistentHashLB, path: Path) -> Iterator[Problem]:
    hashed = [name for name in _HASHED if getattr(settings, name) is not None]
    if len(hashed) > 1:
        yield error(path, f"{' and '.join(hashed)} cannot both be given: choose one", at_value=False)
    if settings.httpCookie is not None and not settings.httpCookie.name:
        yield error((*path, "httpCookie", "name"), "the cookie's name is empty")
    if settings.httpCookie is not None and (settings.httpCookie.ttl or 0) < 0:
        yield error((*path, "httpCookie", "ttl"), "the cookie's time to live is negative")
    algorithms = [name for name in ("ringHash", "maglev") if getattr(settings, name) is not None]
    if len(algorithms) > 1:
        yield error(path, "ringHash and maglev cannot both be given: choose one", at_value=False)
    if settings.minimumRingSize:
        here = (*path, "minimumRingSize")
        yield warning(here, "minimumRingSize is deprecated: write ringHash: {minimumRingSize: ...}")
        if algorithms:
            yield error(here, f"minimumRingSize and {algorithms[0]} cannot both be given: choose one")
    if settings.maglev is not None:
        yield from _table(settings.maglev.tableSize or 0, (*path, "maglev", "tableSize"))


def _table(size: int, path: Path) -> Iterator[Problem]:
    if not size:
        yield error(path, "tableSize is needed: a prime such as 65537", at_value=False)
    elif size >= LARGEST_TABLE:
        yield error(path, f"{size} is too large: less than {LARGEST_TABLE}")
    elif not _is_prime(size):
        yield error(path, f"{size} is not a prime: the next one above 65536 is 65537")


def _is_prime(number: int) -> bool:
    """As Envoy counts, where 1 is one too."""
    if number < 4:
        return number != 0
    return number % 2 != 0 and all(number % factor for factor in range(3, isqrt(number) + 1, 2))


def locality(setting: LocalityLoadBalancerSetting, path: Path, *, ejects: bool) -> Iterator[Problem]:
    """Istio's rules for a LocalityLoadBalancerSetting."""
    if setting.distribute and setting.failover:
        yield error(path, "distribute and failover cannot both be given: choose one", at_value=False)
        return
    if setting.failover:
        for index, label in enumerate(setting.failoverPriority):
            if label in _TOPOLOGY:
                yield error((*path, "failoverPriority", index), f"{label} cannot stand beside failover: choose one")
    yield from _overlaps([each.from_ for each in setting.distribute], (*path, "distribute"))
    for index, share in enumerate(setting.distribute):
        here = (*path, "distribute", index, "to")
        for place, weight in share.to.items():
            if not 1 <= weight <= 100:
                yield error((*here, place), f"the weight of a locality is 1 to 100, not {weight}")
        total = sum(share.to.values())
        if total != 100:
            yield error(here, f"the weights are together {total}, not 100", at_value=False)
        yield from _overlaps(list(share.to), here)
    yield from _failover(setting.failover, setting.failoverPriority, path, ejects=ejects)


def zone_aware(setting: ZoneAwareLoadBalancerSetting, path: Path, *, ejects: bool) -> Iterator[Problem]:
    """The rules for a ZoneAwareLoadBalancerSetting."""
    if setting.minClusterSize == 0:
        yield error((*path, "minClusterSize"), "minClusterSize is at least 1")
    if setting.failover:
        for index, label in enumerate(setting.failoverPriority):
            if label in _TOPOLOGY:
                yield error((*path, "failoverPriority", index), f"{label} cannot stand beside failover: choose one")
    yield from _failover(setting.failover, setting.failoverPriority, path, ejects=ejects)


def _failover(failover: Sequence[Failover], priority: Sequence[str], path: Path, *, ejects: bool) -> Iterator[Problem]:
    if (failover or priority) and not ejects:
        name = "failover" if failover else "failoverPriority"
        yield warning((*path, name), "nobody fails over without outlierDetection: add it to the same policy")
    for index, step in enumerate(failover):
        here = (*path, "failover", index)
        if step.from_ == step.to:
            yield error(here, "from and to are the same region", at_value=False)
        for name, region in (("from", step.from_), ("to", step.to)):
            if "/" in region:
                yield error((*here, name), f'"{region}" is more than a region: name the region only')
            if "*" in region:
                yield error((*here, name), f'"{region}" has a wildcard: name one region')


def _overlaps(localities: Sequence[str], path: Path) -> Iterator[Problem]:
    """``region/zone/subzone`` with ``*`` at the end only, none of them within another."""
    seen: list[tuple[str, ...]] = []
    for text in localities:
        parts = tuple(text.split("/", 2))
        if "*" in text[:-1]:
            yield error(path, f'"{text}": only the last character of a locality can be "*"', at_value=False)
            return
        if not all(parts):
            yield error(path, f'"{text}" is not a locality: region/zone/subzone, no part empty', at_value=False)
            return
        own = parts[:-1] if parts[-1] == "*" else parts
        for other in seen:
            if own[: len(other)] == other or other[: len(own)] == own:
                yield error(
                    path,
                    f'"{text}" and "{"/".join(other) or "*"}" overlap: which one counts is not clear',
                    at_value=False,
                )
                return
        seen.append(own)
