"""``meshd capture``: the rules put in place, replaced and taken away by the system's own programs.

What is in place stays in place when a proxy ends: connections then fail, and
none goes past the mesh.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import attrs

from meshd.errors import StartError
from meshd.proxy.capture.config import CaptureConfig, Mode
from meshd.proxy.capture.installed import Note, Saved, note_of, parse, transition
from meshd.proxy.capture.plan import Rules, plan

RUN: Final = Path("/run/meshd")
"""Where the notes of what was put in place are kept; they are of no use after a restart of the machine."""
PROGRAMS: Final = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where these programs are, whatever PATH says."""
LOCK_WAIT: Final = "30"
"""Seconds to wait for others who change rules (Istio waits as long)."""
TIMEOUT: Final = 60.0
NOTHING: Final = Rules(())
FAMILIES: Final = ("ipv4", "ipv6")
_ADDRESS_ON: Final = ("-6", "addr", "replace", "::6/128", "dev", "lo")
_ADDRESS_OFF: Final = ("-6", "addr", "del", "::6/128", "dev", "lo")
_COMMANDS: Final = {"ipv4": "iptables", "ipv6": "ip6tables"}


class Run(Protocol):
    """Runs a program of the system."""

    def __call__(self, command: Sequence[str], given: str = "") -> str:
        """Its output.

        Raises:
            StartError: it is not there, or failed.
        """
        ...


def run_program(command: Sequence[str], given: str = "") -> str:
    """See ``Run``."""
    path = shutil.which(command[0], path=f"{os.environ.get('PATH', '')}:{PROGRAMS}")
    if path is None:
        package = "iproute2" if command[0] == "ip" else "iptables"
        raise StartError(f"{command[0]} is not installed: install {package} (`apt-get install {package}`)")
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program; no shell
            [path, *command[1:]], input=given, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StartError(f"{command[0]} did not end within {TIMEOUT:g} s") from error
    if done.returncode:
        why = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise StartError(f"{' '.join(command)}: {why}")
    return done.stdout


@attrs.frozen
class Machine:
    """Where rules are put in place; tests give their own."""

    run: Run = run_program
    notes: Path = RUN
    platform: str = sys.platform
    user: int = attrs.field(factory=lambda: os.geteuid() if hasattr(os, "geteuid") else -1)

    def check(self) -> None:
        """Refuse early what cannot work.

        Raises:
            StartError: not Linux, or not root.
        """
        if self.platform != "linux":
            raise StartError("capture is of Linux alone: use --bind, HTTP_PROXY or the outbound port instead")
        if self.user != 0:
            raise StartError("capture changes the kernel's rules, which takes root: run it with sudo")

    @property
    def note(self) -> Path:
        """Of the network namespace we are in."""
        with contextlib.suppress(OSError):
            return self.notes / f"capture-{Path('/proc/self/ns/net').stat().st_ino}.json"
        return self.notes / "capture.json"


Noted = Mapping[str, Note]
"""What an installation left a note of, by family."""


def describe(config: CaptureConfig) -> str:
    """What ``install`` would give to ``iptables-restore``, as a text that it takes.

    Raises:
        ConfigError: the configuration cannot be meant.
    """
    parts = []
    for family, text in zip(FAMILIES, plan(config).texts, strict=True):
        if text:
            parts.append(f"# {_restore(family)}\n{text}")
    if config.mode is Mode.TPROXY:
        parts += [f"# {' '.join(command)}\n" for command in _routes(config.mark, config.route_table, ipv6=config.ipv6)]
    return "".join(parts)


def _restore(family: str) -> str:
    return f"{_COMMANDS[family]}-restore --noflush"


def install(config: CaptureConfig, machine: Machine) -> bool:
    """Put the rules in place, instead of those that are there.

    Returns:
        Whether there were some before.

    Raises:
        ConfigError: the configuration cannot be meant.
        StartError: this machine cannot, TPROXY is asked for, or a program failed. What the kernel then has is the old or the new set of a
            table, never a part of one.
    """
    wanted = plan(config)
    if config.mode is Mode.TPROXY:
        raise StartError("sidecars take connections by REDIRECT only: --inbound-mode TPROXY needs --dry-run")
    machine.check()
    noted = _read(machine)
    families = [("ipv4", wanted.ipv4)]
    before = {"ipv4": _saved("ipv4", machine), "ipv6": _saved_if_there("ipv6", machine)}
    if config.ipv6 or (before["ipv6"] is not None and before["ipv6"].captures):
        families.append(("ipv6", wanted.ipv6))
    rules: dict[str, Note] = {}
    if config.ipv6:
        # What came in goes on from there (destination.py); IPv4 has all of 127.0.0.0/8 for that.
        machine.run(("ip", *_ADDRESS_ON))
    for family, mine in families:
        was = before[family] or _saved(family, machine)
        note = noted.get(family, {})
        _change(family, transition(was, note, mine), machine)
        rules[family] = note_of(was, note, _saved(family, machine))
    _write(rules, machine)
    return any(each is not None and each.captures for each in before.values())


def remove(machine: Machine) -> bool:
    """Take away every rule of ours.

    Returns:
        Whether there were some.

    Raises:
        StartError: this machine cannot, or a program failed.
    """
    machine.check()
    noted = _read(machine)
    found = False
    for family in FAMILIES:
        saved = _saved(family, machine) if family == "ipv4" else _saved_if_there(family, machine)
        text = transition(saved, noted.get(family, {}), NOTHING) if saved is not None else ""
        if text:
            found = True
            _change(family, text, machine)
    with contextlib.suppress(StartError):  # it may never have been there
        machine.run(("ip", *_ADDRESS_OFF))
    machine.note.unlink(missing_ok=True)
    return found


def _change(family: str, text: str, machine: Machine) -> None:
    if text:
        machine.run((f"{_COMMANDS[family]}-restore", "-w", LOCK_WAIT, "--noflush"), text)


def _saved(family: str, machine: Machine) -> Saved:
    return parse(machine.run((f"{_COMMANDS[family]}-save",)))


def _saved_if_there(family: str, machine: Machine) -> Saved | None:
    """None where the machine has no such tables: then it has none of ours."""
    try:
        return _saved(family, machine)
    except StartError:
        return None


def _routes(mark: int, table: int, *, ipv6: bool) -> list[tuple[str, ...]]:
    """TPROXY: marked packets are delivered to this machine, whatever their destination."""
    commands: list[tuple[str, ...]] = []
    for family in ("-4", "-6") if ipv6 else ("-4",):
        commands.append(("ip", family, "rule", "add", "fwmark", str(mark), "lookup", str(table)))
        commands.append(("ip", family, "route", "replace", "local", "default", "dev", "lo", "table", str(table)))
    return commands


def _read(machine: Machine) -> Noted:
    try:
        data = json.loads(machine.note.read_text(encoding="utf-8"))
        return {
            str(family): {str(table): tuple(map(str, lines)) for table, lines in tables.items()}
            for family, tables in data["rules"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Without a note what leads to chains of ours is still known.
        return {}


def _write(noted: Noted, machine: Machine) -> None:
    content = json.dumps({"rules": noted}, indent=1, default=list)
    try:
        machine.note.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        machine.note.write_text(content, encoding="utf-8")
    except OSError as error:
        raise StartError(
            f"the rules are in place, but no note of them can be kept in {machine.notes}: {error.strerror}"
        ) from error


def name_servers(file: Path = Path("/etc/resolv.conf")) -> tuple[str, ...]:
    """The servers that this machine asks for names."""
    from meshd.net.resolv_conf import read_resolv_conf

    return read_resolv_conf(file).servers


def has_ipv6(file: Path = Path("/proc/net/if_inet6")) -> bool:
    """Has this machine an IPv6 address that others can reach?"""
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    # Address, index, length of the prefix, scope (00: everywhere), flags, interface.
    return any(line.split()[3] == "00" for line in lines if len(line.split()) > 3)
