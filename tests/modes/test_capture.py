"""Rules put in place and taken away, on a machine of our own and in a network namespace."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest
from typer.testing import CliRunner

from meshd.cli.main import app
from meshd.errors import StartError
from meshd.modes.capture import Machine, describe, has_ipv6, install, remove, run_program
from meshd.proxy.capture.config import CaptureConfig, Mode
from tests.namespaces import Namespace, namespace

__all__ = ["namespace"]

ALL = CaptureConfig(all_inbound=True, all_outbound=True)


@attrs.define
class Kernel:
    """Programs that say what they were told. ``saved`` is what ``iptables-save`` says."""

    saved: str = ""
    missing: frozenset[str] = frozenset()
    told: list[tuple[str, str]] = attrs.field(factory=list)

    def __call__(self, command: Sequence[str], given: str = "") -> str:
        if command[0] in self.missing:
            raise StartError(f"{command[0]} is not installed")
        if command[0].endswith("-save"):
            return self.saved
        self.told.append((" ".join(command), given))
        return ""


def machine(kernel: Kernel, notes: Path) -> Machine:
    return Machine(run=kernel, notes=notes, platform="linux", user=0)


def test_rules_go_to_iptables_restore(tmp_path: Path) -> None:
    kernel = Kernel()

    assert not install(ALL, machine(kernel, tmp_path / "notes"))

    ((command, text),) = kernel.told
    assert command == "iptables-restore -w 30 --noflush"
    assert text == describe(ALL).split("\n", 1)[1]


def test_ipv6_has_a_program_of_its_own(tmp_path: Path) -> None:
    kernel = Kernel()
    install(attrs.evolve(ALL, ipv6=True), machine(kernel, tmp_path))

    assert [command.split()[0] for command, _ in kernel.told] == ["ip", "iptables-restore", "ip6tables-restore"]


def test_a_machine_without_ipv6_needs_none_of_it(tmp_path: Path) -> None:
    kernel = Kernel(missing=frozenset({"ip6tables-save", "ip6tables-restore"}))
    install(ALL, machine(kernel, tmp_path))
    assert not remove(machine(kernel, tmp_path))

    with pytest.raises(StartError, match="ip6tables-save is not installed"):
        install(attrs.evolve(ALL, ipv6=True), machine(kernel, tmp_path))


def test_tproxy_is_shown_and_not_installed(tmp_path: Path) -> None:
    kernel = Kernel()
    config = attrs.evolve(ALL, mode=Mode.TPROXY)
    with pytest.raises(StartError, match="needs --dry-run"):
        install(config, machine(kernel, tmp_path))

    assert kernel.told == []
    assert "-j TPROXY" in describe(config)
    assert "# ip -4 rule add fwmark 1337 lookup 133\n" in describe(config)


@pytest.mark.parametrize(("platform", "user", "says"), [("darwin", 0, "of Linux alone"), ("linux", 1000, "with sudo")])
def test_where_it_cannot_work_it_says_so(platform: str, user: int, says: str, tmp_path: Path) -> None:
    here = Machine(run=Kernel(), notes=tmp_path, platform=platform, user=user)
    for act in (lambda: install(ALL, here), lambda: remove(here)):
        with pytest.raises(StartError, match=says) as error:
            act()
        assert error.value.exit_code == 78


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshd.modes.capture.PROGRAMS", "")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(StartError, match="apt-get install iptables"):
        run_program(("iptables-save",))
    with pytest.raises(StartError, match="apt-get install iproute2"):
        run_program(("ip", "rule"))


def test_a_failure_says_what_the_program_said() -> None:
    with pytest.raises(StartError, match=r"^cat /nonexistent: .*No such file"):
        run_program(("cat", "/nonexistent"))


def test_a_dry_run_prints_what_iptables_restore_takes() -> None:
    result = CliRunner().invoke(app, ["capture", "install", "--dry-run", "--no-ipv6", "--inbound-ports", "80,443"])

    assert result.exit_code == 0
    assert result.stdout.startswith("# iptables-restore --noflush\n* nat\n-N ISTIO_INBOUND\n")
    assert "-A ISTIO_INBOUND -p tcp --dport 443 -j ISTIO_IN_REDIRECT\n" in result.stdout
    assert result.stdout.endswith("-A ISTIO_OUTPUT -j ISTIO_REDIRECT\nCOMMIT\n")


def test_questions_for_names_are_those_to_the_servers_of_the_machine() -> None:
    arguments = ["capture", "install", "-n", "--no-ipv6", "--dns", "--dns-servers"]
    one = CliRunner().invoke(app, [*arguments, "10.0.0.2"]).stdout
    every = CliRunner().invoke(app, [*arguments, "*"]).stdout

    assert "--dport 53 -d 10.0.0.2/32 -j REDIRECT --to-port 15053" in one
    assert "-p udp --dport 53 -j REDIRECT --to-port 15053" in every


def test_whether_a_machine_has_ipv6(tmp_path: Path) -> None:
    file = tmp_path / "if_inet6"
    assert not has_ipv6(file)
    file.write_text("00000000000000000000000000000001 01 80 10 80       lo\n")
    assert not has_ipv6(file)
    file.write_text(file.read_text() + "20010db8000000000000000000000001 02 40 00 80     eth0\n")
    assert has_ipv6(file)


def test_the_kernel_takes_the_rules_and_gives_them_back(namespace: Namespace) -> None:
    """For real: what others put there stays, twice is once, and afterwards it is as it was."""
    namespace.run("iptables", "-t", "nat", "-A", "OUTPUT", "-o", "other0", "-j", "RETURN")
    before = rules(namespace)

    namespace.meshd(
        "capture", "install", "--ipv6", "--exclude-interfaces", "own0", "--dns", "--dns-servers", "10.0.0.2"
    )
    first = rules(namespace)
    assert any("-j REDIRECT --to-ports 15006" in line for line in first)
    assert any("-i own0 -j RETURN" in line for line in first)
    again = namespace.meshd(
        "capture", "install", "--ipv6", "--exclude-interfaces", "own0", "--dns", "--dns-servers", "10.0.0.2"
    )
    assert "earlier rules are replaced" in again
    assert rules(namespace) == first

    assert "::6/128" in namespace.run("ip", "-6", "addr", "show", "dev", "lo")

    namespace.meshd("capture", "install", "--no-ipv6", "--drop-invalid")
    assert any("--ctstate INVALID -j ISTIO_DROP" in line for line in rules(namespace))

    assert "nothing is captured any more" in namespace.meshd("capture", "remove")
    assert rules(namespace) == before
    assert "::6/128" not in namespace.run("ip", "-6", "addr", "show", "dev", "lo")
    assert "nothing was captured" in namespace.meshd("capture", "remove")


def rules(namespace: Namespace) -> list[str]:
    found = []
    for program in ("iptables-save", "ip6tables-save"):
        found += [line for line in namespace.run(program).splitlines() if line.startswith(("-A", ":ISTIO"))]
    return found


@pytest.mark.skipif(os.geteuid() == 0, reason="only others than root are refused")
def test_others_than_root_are_told_so() -> None:
    result = subprocess.run(["meshd", "capture", "remove"], capture_output=True, text=True, check=False)
    assert result.returncode == 78
