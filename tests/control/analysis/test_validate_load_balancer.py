"""LoadBalancerSettings alone."""

from __future__ import annotations

import pytest

from tests.control.analysis.cases import said, text

EJECTS = "outlierDetection: {}"


def of(settings: str, beside: str = EJECTS) -> list[str]:
    policy = f"{{loadBalancer: {{{settings}}}, {beside}}}"
    found = said(text("DestinationRule", f"{{host: a.b, trafficPolicy: {policy}}}"))
    return [line.replace("spec.trafficPolicy.loadBalancer", "") for line in found if "MD0002" not in line]


@pytest.mark.parametrize(
    "settings",
    [
        "simple: ROUND_ROBIN, warmup: {duration: 60s, minimumPercent: 10.5, aggression: 2}",
        "consistentHash: {httpCookie: {name: a, ttl: 0s}, ringHash: {minimumRingSize: 7}}",
        "consistentHash: {useSourceIp: true, maglev: {tableSize: 65537}}",
        "localityLbSetting: {distribute: [{from: 'a/b/*', to: {'a/b/*': 80, 'a/c/*': 20}}, {from: d, to: {e: 100}}]}",
        "localityLbSetting: {failover: [{from: a, to: b}], failoverPriority: [version]}",
        "zoneAwareLbSetting: {enabled: true, minClusterSize: 3}",
    ],
)
def test_good(settings: str) -> None:
    assert of(settings) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("simple: RANDOM, consistentHash: {useSourceIp: true}", "simple and consistentHash cannot both be given"),
        ("simple: RANDOM, warmup: {duration: 1s}", "warning MD0005 .warmup: only ROUND_ROBIN and LEAST_REQUEST"),
        ("warmup: {duration: 0s}", "0s is too short"),
        ("warmup: {duration: 1s, minimumPercent: 101}", "101 is not a percentage"),
        ("warmup: {duration: 1s, aggression: -0.5}", "-0.5 is negative"),
        ("warmupDurationSecs: 0.5ms", "too short"),
        ("consistentHash: {useSourceIp: true, httpHeaderName: a}", "httpHeaderName and useSourceIp cannot both"),
        ("consistentHash: {httpCookie: {name: ''}}", "the cookie's name is empty"),
        ("consistentHash: {httpCookie: {name: a, ttl: -1s}}", "is negative"),
        (
            "consistentHash: {minimumRingSize: 1}",
            "warning .consistentHash.minimumRingSize: minimumRingSize is deprecated",
        ),
        ("consistentHash: {minimumRingSize: 1, ringHash: {}}", "minimumRingSize and ringHash cannot both"),
        ("consistentHash: {ringHash: {}, maglev: {tableSize: 7}}", "ringHash and maglev cannot both be given"),
        ("consistentHash: {maglev: {}}", "tableSize is needed"),
        ("consistentHash: {maglev: {tableSize: 5000011}}", "5000011 is too large"),
        ("consistentHash: {maglev: {tableSize: 65536}}", "65536 is not a prime"),
        ("consistentHash: {maglev: {tableSize: 1000}}", "1000 is not a prime"),
        ("consistentHash: {maglev: {tableSize: 9}}", "9 is not a prime"),
        ("localityLbSetting: {}, zoneAwareLbSetting: {}", "localityLbSetting and zoneAwareLbSetting cannot both"),
        (
            "localityLbSetting: {distribute: [{from: a, to: {b: 100}}], failover: [{from: a, to: b}]}",
            "distribute and failover cannot both be given",
        ),
        (
            "localityLbSetting: {failover: [{from: a, to: b}], failoverPriority: [topology.kubernetes.io/region]}",
            "cannot stand beside failover",
        ),
        ("localityLbSetting: {distribute: [{from: a, to: {b: 99}}]}", "the weights are together 99, not 100"),
        ("localityLbSetting: {distribute: [{from: a, to: {b: 0, c: 100}}]}", "1 to 100, not 0"),
        (
            "localityLbSetting: {distribute: [{from: 'a*b', to: {b: 100}}]}",
            'the last character of a locality can be "*"',
        ),
        ("localityLbSetting: {distribute: [{from: a//b, to: {b: 100}}]}", "no part empty"),
        (
            "localityLbSetting: {distribute: [{from: a, to: {b: 100}}, {from: a/b, to: {c: 100}}]}",
            '"a/b" and "a" overlap',
        ),
        ("localityLbSetting: {distribute: [{from: '*', to: {b: 50, 'b/*': 50}}]}", "overlap"),
        ("localityLbSetting: {failover: [{from: a, to: a}]}", "from and to are the same region"),
        ("localityLbSetting: {failover: [{from: a/b, to: c}]}", "name the region only"),
        ("localityLbSetting: {failover: [{from: a, to: '*'}]}", "name one region"),
        ("zoneAwareLbSetting: {minClusterSize: 0}", "minClusterSize is at least 1"),
        (
            "zoneAwareLbSetting: {failover: [{from: a, to: b}], failoverPriority: [topology.istio.io/subzone]}",
            "cannot stand beside failover",
        ),
    ],
)
def test_bad(settings: str, message: str) -> None:
    assert any(message in line for line in of(settings)), of(settings)


def test_failover_needs_outlier_detection() -> None:
    for setting in ("failover: [{from: a, to: b}]", "failoverPriority: [a]"):
        found = of(f"localityLbSetting: {{{setting}}}", "tls: {}")
        assert any("nobody fails over without outlierDetection" in line for line in found)
