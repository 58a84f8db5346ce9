"""Who takes part in the demo: processes, ports, command lines. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs

from meshd.net.address import Address

Command = tuple[str, ...]

HOST = "127.0.0.1"
CERTIFICATE_TTL = "24h"
TOUR_CERTIFICATE_TTL = "40s"
"""So short that a tour of a minute sees a rotation, at half of it."""


@attrs.frozen
class Workload:
    """One version of one service, with its sidecar."""

    service: str
    version: str
    app: int
    inbound: int
    outbound: int
    admin: int

    @property
    def name(self) -> str:
        """``reviews-v2``."""
        return f"{self.service}-{self.version}"

    @property
    def account(self) -> str:
        """The service account, as the sample names it."""
        return f"bookinfo-{self.service}"


@attrs.frozen
class Member:
    """One process. ``waits``: it needs a control plane to be there when it starts."""

    name: str
    command: Command
    waits: bool = False


@attrs.frozen
class Plan:
    """The whole demo. Addresses are on loopback."""

    directory: Path
    gateway: Address
    gateway_admin: int
    control: int
    console: int
    workloads: tuple[Workload, ...]
    certificate_ttl: str = CERTIFICATE_TTL

    @property
    def store(self) -> Path:
        """The directory that configures the mesh."""
        return self.directory / "store"

    @property
    def examples(self) -> Path:
        """Configuration to try, to be copied into the store."""
        return self.directory / "try"

    @property
    def logs(self) -> Path:
        """A file for each process."""
        return self.directory / "logs"

    @property
    def runtime(self) -> Path:
        """Where the control plane leaves word of itself."""
        return self.directory / "run"

    @property
    def url(self) -> str:
        """The page."""
        return f"http://{self.gateway}/productpage"

    @property
    def admins(self) -> dict[str, Address]:
        """Where every proxy's admin interface is, by process name."""
        found = {f"{each.name}.sidecar": Address(HOST, each.admin) for each in self.workloads}
        return found | {"gateway": Address(HOST, self.gateway_admin)}

    def workload(self, name: str) -> Workload:
        """A workload by its name, ``reviews-v2``."""
        return next(each for each in self.workloads if each.name == name)

    def members(self) -> tuple[Member, ...]:
        """Every process, in the order of starting."""
        apps = tuple(_app(each) for each in self.workloads)
        sidecars = tuple(self._sidecar(each) for each in self.workloads)
        return (self._control(), *apps, *sidecars, self._gateway())

    def _control(self) -> Member:
        command: Command = ("meshd", "control", "--store", str(self.store))
        command += ("--state", str(self.directory / "state" / "control"))
        command += ("--listen", f"{HOST}:{self.control}", "--console", f"{HOST}:{self.console}")
        return Member("control", (*command, "--certificate-ttl", self.certificate_ttl))

    def _gateway(self) -> Member:
        command = ("meshd", "gateway", "--port", f"8080={self.gateway}")
        return Member("gateway", command + self._proxy("gateway", self.gateway_admin), waits=True)

    def _sidecar(self, workload: Workload) -> Member:
        command: Command = ("meshd", "sidecar", "--upstream", f"{HOST}:{workload.app}")
        command += ("--service", workload.service, "--version", workload.version)
        command += ("--service-account", workload.account)
        command += ("--inbound", f"{HOST}:{workload.inbound}", "--outbound", f"{HOST}:{workload.outbound}")
        return Member(f"{workload.name}.sidecar", command + self._proxy(workload.name, workload.admin), waits=True)

    def _proxy(self, name: str, admin: int) -> Command:
        state = self.directory / "state" / name
        return ("--admin", f"{HOST}:{admin}", "--health", "off", "--stats", "off", "--state", str(state))


def _app(workload: Workload) -> Member:
    command = ("meshd.modes.demo.service", workload.service, "--version", workload.version)
    where = ("--listen", f"{HOST}:{workload.app}", "--mesh", f"{HOST}:{workload.outbound}")
    return Member(workload.name, command + where)


VERSIONS: tuple[tuple[str, str], ...] = (
    ("productpage", "v1"),
    ("details", "v1"),
    ("details", "v2"),
    ("reviews", "v1"),
    ("reviews", "v2"),
    ("reviews", "v3"),
    ("ratings", "v1"),
)
PORTS_NEEDED = 4 * len(VERSIONS) + 3


def make_plan(directory: Path, gateway: Address, ports: Iterable[int], *, certificate_ttl: str) -> Plan:
    """A plan from ``PORTS_NEEDED`` free ports."""
    free = iter(ports)
    workloads = tuple(
        Workload(service, version, app=next(free), inbound=next(free), outbound=next(free), admin=next(free))
        for service, version in VERSIONS
    )
    return Plan(
        directory=directory,
        gateway=gateway,
        gateway_admin=next(free),
        control=next(free),
        console=next(free),
        workloads=workloads,
        certificate_ttl=certificate_ttl,
    )


def environment(plan: Plan, inherited: Mapping[str, str]) -> dict[str, str]:
    """The processes' environment: what the user's shell says to other meshd commands does not reach the demo's."""
    kept = {key: value for key, value in inherited.items() if not key.startswith("MESHD_")}
    return kept | {"MESHD_RUNTIME_DIR": str(plan.runtime), "PYTHONUNBUFFERED": "1"}
