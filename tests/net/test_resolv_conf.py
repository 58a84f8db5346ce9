"""What ``/etc/resolv.conf`` says."""

from __future__ import annotations

from pathlib import Path

from meshd.net.resolv_conf import ResolvConf, parse_resolv_conf, read_resolv_conf


def test_a_usual_file() -> None:
    text = "# made by hand\nsearch Default.svc.cluster.local svc.cluster.local.\nnameserver 10.0.0.2\noptions ndots:5 timeout:1\n"
    assert parse_resolv_conf(text) == ResolvConf(("10.0.0.2",), ("default.svc.cluster.local", "svc.cluster.local"), 5)


def test_what_cannot_be_read_is_passed_over() -> None:
    text = "nameserver ns.example.com\nnameserver\nnameserver 1.1.1.1 ; the first\noptions ndots:many\ndomain .\n"
    assert parse_resolv_conf(text) == ResolvConf(("1.1.1.1",))


def test_no_more_servers_than_others_ask() -> None:
    text = "".join(f"nameserver 10.0.0.{each}\n" for each in (1, 1, 2, 3, 4))
    assert parse_resolv_conf(text).servers == ("10.0.0.1", "10.0.0.2", "10.0.0.3")


def test_ipv6_and_its_zone() -> None:
    assert parse_resolv_conf("nameserver fe80::1%eth0\nnameserver fd00::53\n").servers == ("fe80::1", "fd00::53")


def test_no_file_names_no_server(tmp_path: Path) -> None:
    assert read_resolv_conf(tmp_path / "resolv.conf") == ResolvConf()
