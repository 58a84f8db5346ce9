"""The rules that capture: a configuration in, the text for ``iptables-restore`` out. Pure.

Theory of operation. Two chains lead to the proxy: ``ISTIO_REDIRECT`` to its
outbound port and ``ISTIO_IN_REDIRECT`` to its inbound port. ``ISTIO_INBOUND``
decides about what comes to this machine, ``ISTIO_OUTPUT`` about what programs
on it send; both return what is none of the mesh's business. The rules that keep
the proxy's own connections out (by user, then by group) stand before those that
capture, whatever is captured.

The order of the rules is their meaning, so each function below says where in a
chain it stands by when it is called in ``_rules``.

Source: Istio's ``tools/istio-iptables``; the chains have its names, so that its
tools and its users recognise them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from meshd.proxy.capture.config import CaptureConfig, Mode, cidr

BUILT_IN = frozenset({"INPUT", "OUTPUT", "FORWARD", "PREROUTING", "POSTROUTING"})
"""Chains that the kernel has."""
PREFIX = "ISTIO_"
"""Of every chain of ours."""

INBOUND = "ISTIO_INBOUND"
OUTPUT = "ISTIO_OUTPUT"
OUTPUT_DNS = "ISTIO_OUTPUT_DNS"
REDIRECT = "ISTIO_REDIRECT"
IN_REDIRECT = "ISTIO_IN_REDIRECT"
TPROXY = "ISTIO_TPROXY"
DIVERT = "ISTIO_DIVERT"
DROP = "ISTIO_DROP"

TARGETS = frozenset(
    {"RETURN", "ACCEPT", "DROP", "REDIRECT", "TPROXY", "MARK", "CONNMARK", "CT"},
)
"""What a rule can jump to that is no chain."""

OUTBOUND_MARK = "1338"
"""TPROXY: on packets from the proxy's outbound side to this machine's own address, which do come in."""
QUESTION_ZONE = "1"
ANSWER_ZONE = "2"
"""Connection-tracking zones: the proxy's own questions, and those of programs that it answers. In one zone
the two could be taken for each other."""


@attrs.frozen
class Rule:
    """One rule. ``position`` 0 appends, else inserts there."""

    table: str
    chain: str
    match: str
    position: int = 0

    def __str__(self) -> str:
        how = f"-I {self.chain} {self.position}" if self.position else f"-A {self.chain}"
        return f"{how} {self.match}"

    @property
    def target(self) -> str:
        """The chain it jumps to without options, "" when it jumps to none."""
        words = self.match.split()
        return words[-1] if len(words) > 1 and words[-2] == "-j" and words[-1] not in TARGETS else ""


@attrs.frozen
class Rules:
    """The rules of one address family, in their order."""

    rules: tuple[Rule, ...]

    def restore(self) -> str:
        """For ``iptables-restore --noflush``; "" when there are none."""
        return render(self.tables())

    def tables(self) -> dict[str, list[str]]:
        """The lines of each table: its chains, then its rules."""
        lines: dict[str, list[str]] = {}
        known: set[tuple[str, str]] = set()
        # Chains with rules come before those that are only jumped to.
        chains = [(rule.table, rule.chain) for rule in self.rules] + [(rule.table, rule.target) for rule in self.rules]
        for table, chain in chains:
            if chain and chain not in BUILT_IN and (table, chain) not in known:
                known.add((table, chain))
                lines.setdefault(table, []).append(f"-N {chain}")
        for rule in self.rules:
            lines.setdefault(rule.table, []).append(str(rule))
        return lines


def render(tables: dict[str, list[str]]) -> str:
    """The lines of each table as ``iptables-restore`` reads them; a table is changed as a whole or not at all."""
    return "".join(
        f"* {table}\n" + "".join(f"{line}\n" for line in tables[table]) + "COMMIT\n" for table in sorted(tables)
    )


@attrs.frozen
class Plan:
    """What is given to ``iptables-restore`` and ``ip6tables-restore``."""

    ipv4: Rules
    ipv6: Rules

    @property
    def texts(self) -> tuple[str, str]:
        """The two texts; the second is "" without IPv6."""
        return self.ipv4.restore(), self.ipv6.restore()


def plan(config: CaptureConfig) -> Plan:
    """The rules for a configuration.

    Raises:
        ConfigError: it cannot be meant.
    """
    config.check()
    return Plan(
        Rules(tuple(_rules(config, _Family.ipv4(config)))),
        Rules(tuple(_rules(config, _Family.ipv6(config))) if config.ipv6 else ()),
    )


@attrs.frozen
class _Family:
    """What differs between IPv4 and IPv6."""

    loopback: str
    passthrough: str
    """Where the proxy connects from when it hands a captured connection on to this machine as it was."""
    host_bits: str
    ranges: tuple[str, ...]
    excluded_ranges: tuple[str, ...]
    dns_servers: tuple[str, ...]

    @classmethod
    def ipv4(cls, config: CaptureConfig) -> _Family:
        return cls(config.loopback, "127.0.0.6/32", "/32", *_of_version(config, 4))

    @classmethod
    def ipv6(cls, config: CaptureConfig) -> _Family:
        return cls("::1/128", "::6/128", "/128", *_of_version(config, 6))


def _of_version(config: CaptureConfig, version: int) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    def chosen(texts: Iterable[str]) -> tuple[str, ...]:
        found = (cidr(text) for text in texts)
        return tuple(each.with_prefixlen for each in found if each.version == version)

    servers = tuple(each for each in config.dns_servers if (":" in each) == (version == 6))
    return chosen(config.outbound_ranges), chosen(config.excluded_outbound_ranges), servers


def _rules(config: CaptureConfig, family: _Family) -> Iterator[Rule]:
    dns = config.dns and (config.all_dns or bool(config.dns_servers))
    yield from _interfaces(config)
    if config.drop_invalid:
        yield Rule("mangle", "PREROUTING", f"-m conntrack --ctstate INVALID -j {DROP}")
        yield Rule("mangle", DROP, "-j DROP")
    yield Rule("nat", INBOUND, f"-p tcp --dport {config.tunnel_port} -j RETURN")
    yield Rule("nat", REDIRECT, f"-p tcp -j REDIRECT --to-ports {config.outbound_port}")
    yield Rule("nat", IN_REDIRECT, f"-p tcp -j REDIRECT --to-ports {config.inbound_port}")
    if config.all_inbound or config.inbound_ports:
        yield from _inbound_tproxy(config, family) if config.mode is Mode.TPROXY else _inbound_redirect(config)
    yield Rule("nat", "OUTPUT", f"-j {OUTPUT}")
    for port in config.excluded_outbound_ports:
        yield Rule("nat", OUTPUT, f"-p tcp --dport {port} -j RETURN")
        yield Rule("nat", OUTPUT, f"-p udp --dport {port} -j RETURN")
    yield Rule("nat", OUTPUT, f"-o lo -s {family.passthrough} -j RETURN")
    yield from _proxy_itself(config, family, dns=dns)
    yield from _groups(config)
    if dns:
        yield from _dns(config, family)
    yield Rule("nat", OUTPUT, f"-d {family.loopback} -j RETURN")
    for each in family.excluded_ranges:
        yield Rule("nat", OUTPUT, f"-d {each} -j RETURN")
    for port in config.outbound_ports:
        yield Rule("nat", OUTPUT, f"-p tcp --dport {port} -j {REDIRECT}")
    yield from _outbound(config, family)
    if config.mode is Mode.TPROXY:
        yield from _marks(config, family)


def _interfaces(config: CaptureConfig) -> Iterator[Rule]:
    """Before everything else: interfaces that are not the mesh's."""
    for interface in config.excluded_interfaces:
        yield Rule("nat", "PREROUTING", f"-i {interface} -j RETURN")
        yield Rule("nat", "OUTPUT", f"-o {interface} -j RETURN")
    if config.mode is Mode.TPROXY:
        for interface in config.excluded_interfaces:
            yield Rule("mangle", "PREROUTING", f"-i {interface} -j RETURN")
            yield Rule("mangle", "OUTPUT", f"-o {interface} -j RETURN")
    for interface in config.rerouted_interfaces:
        yield Rule("nat", "PREROUTING", f"-i {interface} -j RETURN", 1)


def _inbound_redirect(config: CaptureConfig) -> Iterator[Rule]:
    yield Rule("nat", "PREROUTING", f"-p tcp -j {INBOUND}")
    if not config.all_inbound:
        for port in config.inbound_ports:
            yield Rule("nat", INBOUND, f"-p tcp --dport {port} -j {IN_REDIRECT}")
        return
    for port in config.excluded_inbound_ports:
        yield Rule("nat", INBOUND, f"-p tcp --dport {port} -j RETURN")
    yield Rule("nat", INBOUND, f"-p tcp -j {IN_REDIRECT}")


def _inbound_tproxy(config: CaptureConfig, family: _Family) -> Iterator[Rule]:
    """Packets are marked, and a routing rule (``routes``) leads marked ones to this machine."""
    mark = config.mark
    yield Rule("mangle", DIVERT, f"-j MARK --set-mark {mark}")
    yield Rule("mangle", DIVERT, "-j ACCEPT")
    to_proxy = f"-j TPROXY --tproxy-mark {mark}/0xffffffff --on-port {config.inbound_port}"
    yield Rule("mangle", TPROXY, f"! -d {family.loopback} -p tcp {to_proxy}")
    yield Rule("mangle", "PREROUTING", f"-p tcp -j {INBOUND}")
    ports = [""] if config.all_inbound else [f"--dport {port} " for port in config.inbound_ports]
    if config.all_inbound:
        for port in config.excluded_inbound_ports:
            yield Rule("mangle", INBOUND, f"-p tcp --dport {port} -j RETURN")
    for which in ports:
        # Packets of a connection that exists belong to its socket; others begin one.
        yield Rule("mangle", INBOUND, f"-p tcp {which}-m conntrack --ctstate RELATED,ESTABLISHED -j {DIVERT}")
        yield Rule("mangle", INBOUND, f"-p tcp {which}-j {TPROXY}")


def _proxy_itself(config: CaptureConfig, family: _Family, *, dns: bool) -> Iterator[Rule]:
    """The proxy's own connections: those to this machine's own address come in, all others leave as they are.

    With questions for names captured, the proxy's own to a name server on this
    machine must reach it; programs' questions to one on the loopback interface
    must still come to us, so port 53 is left to the rules that follow.
    """
    ranges = (cidr(text) for text in config.outbound_ranges)
    loopback_wanted = any(each.ip.is_loopback for each in ranges)
    others = "-o lo -p tcp ! --dport 53" if dns else "-o lo"
    owners = [("--uid-owner", uid) for uid in config.uids] + [("--gid-owner", gid) for gid in config.gids]
    for kind, owner in owners:
        tunnel = f"! --dport {config.tunnel_port}"
        if dns and kind == "--uid-owner":
            tunnel = f"-m multiport ! --dports 53,{config.tunnel_port}"
        to_itself = f"-o lo ! -d {family.loopback} -p tcp {tunnel}"
        yield Rule("nat", OUTPUT, f"{to_itself} -m owner {kind} {owner} -j {IN_REDIRECT}")
        if not loopback_wanted:
            yield Rule("nat", OUTPUT, f"{others} -m owner ! {kind} {owner} -j RETURN")
        yield Rule("nat", OUTPUT, f"-m owner {kind} {owner} -j RETURN")


def _groups(config: CaptureConfig) -> Iterator[Rule]:
    if config.groups is None:
        for group in config.excluded_groups:
            yield Rule("nat", OUTPUT, f"-m owner --gid-owner {group} -j RETURN")
        return
    none_of = "".join(f"-m owner ! --gid-owner {group} " for group in config.groups)
    yield Rule("nat", OUTPUT, f"{none_of}-j RETURN")


def _dns(config: CaptureConfig, family: _Family) -> Iterator[Rule]:
    """Questions to the servers of ``resolv.conf`` alone, unless all are wanted.

    A program of this machine that answers some questions and asks a server
    further on about others would be asked by us and ask us in turn.
    """
    yield Rule("raw", "OUTPUT", f"-j {OUTPUT_DNS}")
    servers = [""] if config.all_dns else [f"-d {server}{family.host_bits} " for server in family.dns_servers]
    if servers:
        yield Rule("nat", OUTPUT, f"-j {OUTPUT_DNS}")
    for protocol, option in (("tcp", "--to-ports"), ("udp", "--to-port")):
        for server in servers:
            to_proxy = f"-j REDIRECT {option} {config.dns_port}"
            yield Rule("nat", OUTPUT_DNS, f"-p {protocol} --dport 53 {server}{to_proxy}")
    owners = [f"--uid-owner {uid}" for uid in config.uids] + [f"--gid-owner {gid}" for gid in config.gids]
    for owner in owners:
        yield Rule("raw", OUTPUT_DNS, f"-p udp --dport 53 -m owner {owner} -j CT --zone {QUESTION_ZONE}")
        yield Rule("raw", OUTPUT_DNS, f"-p udp --sport {config.dns_port} -m owner {owner} -j CT --zone {ANSWER_ZONE}")
    if servers:
        yield Rule("raw", "PREROUTING", f"-j {INBOUND}")
    for server in servers:
        yield Rule("raw", OUTPUT_DNS, f"-p udp --dport 53 {server}-j CT --zone {ANSWER_ZONE}")
        source = server.replace("-d ", "-s ")
        yield Rule("raw", INBOUND, f"-p udp --sport 53 {source}-j CT --zone {QUESTION_ZONE}")


def _outbound(config: CaptureConfig, family: _Family) -> Iterator[Rule]:
    """Last: what is captured of all that no rule before has let go."""
    if config.all_outbound:
        yield Rule("nat", OUTPUT, f"-j {REDIRECT}")
        for interface in config.rerouted_interfaces:
            yield Rule("nat", "PREROUTING", f"-i {interface} -j {REDIRECT}", 1)
        return
    for each in family.ranges:
        for interface in config.rerouted_interfaces:
            yield Rule("nat", "PREROUTING", f"-i {interface} -d {each} -j {REDIRECT}", 1)
        yield Rule("nat", OUTPUT, f"-d {each} -j {REDIRECT}")


def _marks(config: CaptureConfig, family: _Family) -> Iterator[Rule]:
    """TPROXY: a connection's packets keep its mark both ways, and what is marked already is not taken twice."""
    mark = config.mark
    yield Rule("mangle", "PREROUTING", f"-p tcp -m mark --mark {mark} -j CONNMARK --save-mark")
    yield Rule("mangle", "OUTPUT", f"-p tcp -o lo -m mark --mark {mark} -j RETURN")
    owners = [f"--uid-owner {uid}" for uid in config.uids] + [f"--gid-owner {gid}" for gid in config.gids]
    for owner in owners:
        own_address = f"! -d {family.loopback} -p tcp -o lo"
        yield Rule("mangle", "OUTPUT", f"{own_address} -m owner {owner} -j MARK --set-mark {OUTBOUND_MARK}")
    yield Rule("mangle", "OUTPUT", f"-p tcp -m connmark --mark {mark} -j CONNMARK --restore-mark")
    yield Rule("mangle", INBOUND, f"-p tcp -m mark --mark {mark} -j RETURN", 1)
    yield Rule("mangle", INBOUND, f"-p tcp -s {family.passthrough} -i lo -j RETURN", 2)
    yield Rule("mangle", INBOUND, f"-p tcp -i lo -m mark ! --mark {OUTBOUND_MARK} -j RETURN", 3)
