"""``meshd capture``: lead the connections of every program on this machine to the proxy (Linux, root)."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from meshd.cli import options

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Lead connections to the proxy by the kernel's rules (Linux, as root).",
)

EVERY = "*"


def port_list(text: str) -> tuple[int, ...]:
    """``80,443``."""
    found = []
    for part in names(text):
        if not (part.isascii() and part.isdigit() and 0 < int(part) < 65536):
            raise typer.BadParameter(f"{part!r} is no port: expected numbers separated by commas, as in 80,443")
        found.append(int(part))
    return tuple(found)


def ports_or_all(text: str) -> tuple[int, ...] | None:
    """``*`` (None) or ``80,443``."""
    return None if text.strip() == EVERY else port_list(text)


def names(text: str) -> tuple[str, ...]:
    """``a,b``: words, which become parts of rules."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    for name in found:
        if name.startswith("-") or any(each.isspace() or not each.isprintable() or each in "\"'\\!" for each in name):
            raise typer.BadParameter(f"{name!r} cannot be used in a rule")
    return found


def names_or_all(text: str) -> tuple[str, ...] | None:
    """``*`` (None) or ``a,b``."""
    return None if text.strip() == EVERY else names(text)


def mode(text: str) -> str:
    """``REDIRECT`` or ``TPROXY``."""
    return options.chosen(text.upper(), ("REDIRECT", "TPROXY"))


PORT = {"min": 1, "max": 65535, "metavar": "PORT"}


@app.command("install")
def install(
    inbound_ports: Annotated[
        str,
        typer.Option(
            "--inbound-ports", "-b", metavar="PORTS|*", help="Ports taken when others call them; '' for none."
        ),
    ] = EVERY,
    exclude_inbound_ports: Annotated[
        str,
        typer.Option(
            "--exclude-inbound-ports", "-d", metavar="PORTS", help="Ports left alone, where every port is taken."
        ),
    ] = "15020,15021,15090",
    outbound_ranges: Annotated[
        str,
        typer.Option(
            "--outbound-ranges", "-i", metavar="CIDRS|*", help="Addresses taken when programs here call them."
        ),
    ] = EVERY,
    exclude_outbound_ranges: Annotated[
        str, typer.Option("--exclude-outbound-ranges", "-x", metavar="CIDRS", help="Addresses left alone.")
    ] = "",
    outbound_ports: Annotated[
        str,
        typer.Option(
            "--outbound-ports", "-q", metavar="PORTS", help="Ports taken whatever address they are called at."
        ),
    ] = "",
    exclude_outbound_ports: Annotated[
        str, typer.Option("--exclude-outbound-ports", "-o", metavar="PORTS", help="Called ports left alone.")
    ] = "",
    proxy_uid: Annotated[
        str,
        typer.Option("--proxy-uid", "-u", metavar="USERS", help="Users the proxy runs as; they are never captured."),
    ] = "1337",
    proxy_gid: Annotated[
        str,
        typer.Option(
            "--proxy-gid",
            "-g",
            metavar="GROUPS",
            help="Groups the proxy runs as; they are never captured.",
            show_default="as --proxy-uid",
        ),
    ] = "",
    outbound_port: Annotated[
        int, typer.Option("--outbound-port", "-p", help="Where the proxy takes what goes out.", **PORT)
    ] = 15001,
    inbound_port: Annotated[
        int, typer.Option("--inbound-port", "-z", help="Where the proxy takes what comes in.", **PORT)
    ] = 15006,
    tunnel_port: Annotated[
        int, typer.Option("--tunnel-port", "-e", help="A port for tunnels (HBONE), never taken.", **PORT)
    ] = 15008,
    dns: Annotated[
        bool, typer.Option("--dns", help="Questions for names go to the proxy too (`meshd sidecar --dns`).")
    ] = False,
    dns_port: Annotated[
        int, typer.Option("--dns-port", help="Where the proxy answers questions for names.", **PORT)
    ] = 15053,
    dns_servers: Annotated[
        str,
        typer.Option(
            "--dns-servers",
            metavar="ADDRESSES|*",
            help="Name servers whose questions are taken; * for those of every server.",
            show_default="those of /etc/resolv.conf",
        ),
    ] = "",
    groups: Annotated[
        str, typer.Option("--groups", metavar="GROUPS|*", help="Only programs of these groups are captured.")
    ] = EVERY,
    exclude_groups: Annotated[
        str, typer.Option("--exclude-groups", metavar="GROUPS", help="Programs of these groups are not captured.")
    ] = "",
    exclude_interfaces: Annotated[
        str, typer.Option("--exclude-interfaces", "-c", metavar="NAMES", help="Interfaces left alone.")
    ] = "",
    reroute_interfaces: Annotated[
        str,
        typer.Option(
            "--reroute-interfaces",
            "-k",
            metavar="NAMES",
            help="Interfaces of virtual machines here, whose calls are taken as this machine's own.",
        ),
    ] = "",
    inbound_mode: Annotated[
        str, typer.Option("--inbound-mode", "-m", parser=mode, metavar="REDIRECT|TPROXY", help="How calls are taken.")
    ] = "REDIRECT",
    tproxy_mark: Annotated[int, typer.Option("--tproxy-mark", "-t", help="TPROXY: the packets' mark.", min=1)] = 1337,
    tproxy_route_table: Annotated[
        int, typer.Option("--tproxy-route-table", "-r", help="TPROXY: the routing table.", min=1, max=252)
    ] = 133,
    loopback: Annotated[
        str, typer.Option("--loopback", metavar="CIDR", help="IPv4 addresses of this machine alone, never taken.")
    ] = "127.0.0.1/32",
    drop_invalid: Annotated[
        bool, typer.Option("--drop-invalid", help="Drop packets of no known connection instead of answering a reset.")
    ] = False,
    ipv6: Annotated[
        bool | None,
        typer.Option("--ipv6/--no-ipv6", help="IPv6 too.", show_default="whether this machine has an address in it"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only print the rules, for iptables-restore; needs no root.")
    ] = False,
) -> None:
    """Put rules in place that lead connections to a sidecar; rules of an earlier time are replaced.

    They stay when the sidecar stops: connections then fail, and none goes past
    the mesh. The sidecar must run as the user of --proxy-uid.

    Example: sudo meshd capture install --dns --exclude-outbound-ports 22
    """
    from meshd.modes.capture import Machine, describe, has_ipv6, name_servers
    from meshd.modes.capture import install as put_in_place
    from meshd.proxy.capture.config import CaptureConfig, Mode

    inbound, outbound = ports_or_all(inbound_ports), names_or_all(outbound_ranges)
    users = names(proxy_uid)
    servers = names_or_all(dns_servers)
    if inbound is not None and exclude_inbound_ports not in {"", "15020,15021,15090"}:
        raise typer.BadParameter("needs --inbound-ports '*'", param_hint="--exclude-inbound-ports")
    config = CaptureConfig(
        outbound_port=outbound_port,
        inbound_port=inbound_port,
        tunnel_port=tunnel_port,
        dns_port=dns_port,
        uids=users,
        gids=names(proxy_gid) or users,
        mode=Mode(inbound_mode),
        mark=tproxy_mark,
        route_table=tproxy_route_table,
        all_inbound=inbound is None,
        inbound_ports=inbound or (),
        excluded_inbound_ports=port_list(exclude_inbound_ports),
        all_outbound=outbound is None,
        outbound_ranges=outbound or (),
        excluded_outbound_ranges=names(exclude_outbound_ranges),
        outbound_ports=port_list(outbound_ports),
        excluded_outbound_ports=port_list(exclude_outbound_ports),
        groups=names_or_all(groups),
        excluded_groups=names(exclude_groups),
        excluded_interfaces=names(exclude_interfaces),
        rerouted_interfaces=names(reroute_interfaces),
        dns=dns,
        all_dns=dns and servers is None,
        dns_servers=(servers or name_servers()) if dns and servers is not None else (),
        drop_invalid=drop_invalid,
        ipv6=has_ipv6() if ipv6 is None else ipv6,
        loopback=loopback,
    )
    if dns and not (config.all_dns or config.dns_servers):
        raise typer.BadParameter("/etc/resolv.conf names no server: give --dns-servers", param_hint="--dns")
    if dry_run:
        sys.stdout.write(describe(config))
        return
    again = put_in_place(config, Machine())
    print(f"meshd: connections are captured{' (earlier rules are replaced)' if again else ''}", file=sys.stderr)


@app.command("remove")
def remove() -> None:
    """Take the rules away; connections then go where they would have gone."""
    from meshd.modes.capture import Machine
    from meshd.modes.capture import remove as take_away

    found = take_away(Machine())
    print("meshd: nothing is captured any more" if found else "meshd: nothing was captured", file=sys.stderr)
