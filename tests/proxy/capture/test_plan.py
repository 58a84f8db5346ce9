"""The rules, held to what Istio's own program executes for the same settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from meshd.errors import ConfigError
from meshd.proxy.capture.config import CaptureConfig, Mode
from meshd.proxy.capture.plan import PREFIX, plan
from tests.corpus import ROOT, corpus_path

EXPECTATIONS = "expectations/iptables.json"
SAVES = {"iptables-save", "ip6tables-save"}


def names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in names(text))


def of_istio(row: dict[str, Any]) -> CaptureConfig:
    """Istio's settings, by its own names, as ours."""
    inbound, outbound = row.pop("InboundPortsInclude", ""), row.pop("OutboundIPRangesInclude", "")
    groups = row.pop("OwnerGroupsInclude", "*")
    row.pop("DryRun", None)
    config = CaptureConfig(
        all_inbound=inbound == "*",
        inbound_ports=() if inbound == "*" else numbers(inbound),
        all_outbound=outbound == "*",
        outbound_ranges=() if outbound == "*" else names(outbound),
        groups=None if groups == "*" else names(groups),
        dns_servers=(*(row.pop("DNSServersV4", None) or ()), *(row.pop("DNSServersV6", None) or ())),
    )
    fields: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "ProxyPort": ("outbound_port", int),
        "InboundCapturePort": ("inbound_port", int),
        "InboundTunnelPort": ("tunnel_port", int),
        "ProxyUID": ("uids", names),
        "ProxyGID": ("gids", names),
        "InboundInterceptionMode": ("mode", lambda text: Mode(text or "REDIRECT")),
        "InboundTProxyMark": ("mark", int),
        "InboundTProxyRouteTable": ("route_table", int),
        "InboundPortsExclude": ("excluded_inbound_ports", numbers),
        "OwnerGroupsExclude": ("excluded_groups", names),
        "OutboundPortsInclude": ("outbound_ports", numbers),
        "OutboundPortsExclude": ("excluded_outbound_ports", numbers),
        "OutboundIPRangesExclude": ("excluded_outbound_ranges", names),
        "RerouteVirtualInterfaces": ("rerouted_interfaces", names),
        "ExcludeInterfaces": ("excluded_interfaces", names),
        "RedirectDNS": ("dns", bool),
        "CaptureAllDNS": ("all_dns", bool),
        "DropInvalid": ("drop_invalid", bool),
        "EnableIPv6": ("ipv6", bool),
        "HostIPv4LoopbackCidr": ("loopback", str),
    }
    for name, value in row.items():
        ours, read = fields[name]
        config = attrs.evolve(config, **{ours: read(value)})
    return config


def cases() -> list[Any]:
    file = ROOT / EXPECTATIONS
    rows = json.loads(file.read_text())["cases"] if file.exists() else [{"name": "absent"}]
    return [pytest.param(row, id=row["name"]) for row in rows]


@pytest.mark.parametrize("row", cases())
def test_the_rules_are_istios(row: dict[str, Any]) -> None:
    golden: Path = corpus_path(row.get("golden", EXPECTATIONS))
    expected = "".join(line for line in golden.read_text().splitlines(keepends=True) if line.strip() not in SAVES)

    assert "".join(plan(of_istio(dict(row["config"]))).texts) == expected


def test_without_ipv6_there_are_no_such_rules() -> None:
    ipv4, ipv6 = plan(CaptureConfig(all_inbound=True, all_outbound=True)).texts

    assert ipv4
    assert not ipv6


def test_exclusions_stand_before_what_captures() -> None:
    config = CaptureConfig(
        all_inbound=True,
        excluded_inbound_ports=(15090, 15021),
        all_outbound=True,
        excluded_outbound_ranges=("10.1.0.0/16", "fd00::/8"),
        excluded_outbound_ports=(22,),
        ipv6=True,
    )
    ipv4, ipv6 = (text.splitlines() for text in plan(config).texts)

    for port in (15090, 15021):
        excluded = f"-A ISTIO_INBOUND -p tcp --dport {port} -j RETURN"
        assert ipv4.index(excluded) < ipv4.index("-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT")
    for lines, network in ((ipv4, "10.1.0.0/16"), (ipv6, "fd00::/8")):
        last = lines.index("-A ISTIO_OUTPUT -j ISTIO_REDIRECT")
        assert lines.index(f"-A ISTIO_OUTPUT -d {network} -j RETURN") < last
        assert lines.index("-A ISTIO_OUTPUT -p tcp --dport 22 -j RETURN") < last
    assert not any("10.1.0.0" in line for line in ipv6)


def test_the_proxys_own_connections_leave_before_anything_is_captured() -> None:
    config = CaptureConfig(
        uids=("7", "8"), gids=("9",), all_outbound=True, dns=True, all_dns=True, outbound_ports=(80,)
    )
    lines = plan(config).texts[0].splitlines()
    nat = lines[lines.index("* nat") : lines.index("* raw")]
    captures = [at for at, line in enumerate(nat) if line.endswith(("-j ISTIO_REDIRECT", "-j ISTIO_OUTPUT_DNS"))]

    for owner in ("--uid-owner 7", "--uid-owner 8", "--gid-owner 9"):
        assert nat.index(f"-A ISTIO_OUTPUT -m owner {owner} -j RETURN") < min(captures)


def test_all_questions_for_names_are_captured_in_both_families() -> None:
    for text in plan(CaptureConfig(dns=True, all_dns=True, ipv6=True)).texts:
        assert "-A ISTIO_OUTPUT_DNS -p udp --dport 53 -j REDIRECT --to-port 15053\n" in text
        assert "-A ISTIO_OUTPUT_DNS -p tcp --dport 53 -j REDIRECT --to-ports 15053\n" in text
        assert "-A ISTIO_INBOUND -p udp --sport 53 -j CT --zone 1\n" in text


def test_another_port_for_names_is_used_throughout() -> None:
    text = plan(CaptureConfig(dns=True, all_dns=True, dns_port=5353)).texts[0]

    assert "15053" not in text
    assert "--sport 5353" in text


def test_every_chain_that_is_jumped_to_exists() -> None:
    config = CaptureConfig(
        mode=Mode.TPROXY, all_inbound=True, all_outbound=True, dns=True, all_dns=True, drop_invalid=True, ipv6=True
    )
    for rules in (plan(config).ipv4, plan(config).ipv6):
        for table, lines in rules.tables().items():
            made = {line.split()[1] for line in lines if line.startswith("-N ")}
            jumped = {line.split()[-1] for line in lines if f"-j {PREFIX}" in line}
            assert jumped <= made, table
            assert {"DROP", "RETURN", "ACCEPT"}.isdisjoint(made)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (CaptureConfig(outbound_ranges=("10.0.0.1",)), "expected a CIDR"),
        (CaptureConfig(excluded_outbound_ranges=("ten/8",)), "no address range"),
        (CaptureConfig(groups=("a",), excluded_groups=("b",)), "cannot both be given"),
        (CaptureConfig(groups=tuple(map(str, range(65)))), "65 groups"),
        (CaptureConfig(dns_servers=("ns.example.com",)), "no IP address"),
        (CaptureConfig(loopback="10.0.0.1/32"), "no loopback address"),
        (CaptureConfig(uids=(), gids=()), "captured for ever"),
    ],
)
def test_what_cannot_be_meant_is_refused(config: CaptureConfig, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        plan(config)
