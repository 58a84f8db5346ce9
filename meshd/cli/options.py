"""Flags that several commands share, and how their values are read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from meshd.errors import ConfigError
from meshd.modes.limits import Setting
from meshd.modes.limits import parse as parse_limit
from meshd.modes.settings import ControlAccess, Listening, Logging, PortMap, ServiceBind
from meshd.net.address import Address

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")


class Label(NamedTuple):
    """A label of a workload."""

    key: str
    value: str


def address(text: str) -> Address:
    """``[HOST]:PORT``."""
    try:
        return Address.parse(text)
    except ConfigError as error:
        raise typer.BadParameter(error.message) from error


def listening(text: str) -> Listening:
    """``[HOST]:PORT`` to listen at."""
    return Listening(address(text), asked=True)


def listening_or_off(text: str) -> Listening:
    """``[HOST]:PORT`` or ``off``."""
    return Listening(None, asked=True) if text == "off" else listening(text)


def label(text: str) -> Label:
    """``KEY=VALUE``."""
    key, equals, value = text.partition("=")
    if not (equals and key):
        raise typer.BadParameter(f"{text!r} is no label: expected KEY=VALUE, as in version=v2")
    return Label(key, value)


def service_bind(text: str) -> ServiceBind:
    """``SERVICE:PORT=ADDR``."""
    service, equals, where = text.rpartition("=")
    host, colon, port = service.rpartition(":")
    if not (equals and colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise typer.BadParameter(
            f"{text!r} binds nothing: expected SERVICE:PORT=ADDR, as in reviews:9080=127.0.0.1:9080"
        )
    try:
        return ServiceBind(host, int(port), Address.parse(where, default_host="127.0.0.1"))
    except ConfigError as error:
        raise typer.BadParameter(error.message) from error


def port_map(text: str) -> PortMap:
    """``PORT=ADDR``."""
    port, equals, where = text.partition("=")
    if not (equals and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise typer.BadParameter(f"{text!r} maps nothing: expected PORT=ADDR, as in 80=:8080")
    return PortMap(int(port), address(where))


def seconds(text: str | float) -> float:
    """A duration: ``30``, ``0.5``, ``250ms``, ``10m``, ``24h``, ``7d``; typer also passes the default through here."""
    if not isinstance(text, str):
        return text
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    number = text.rstrip("smhd")
    unit = text[len(number) :]
    try:
        value = float(number) * units[unit or "s"]
    except (ValueError, KeyError):
        raise typer.BadParameter(f"{text!r} is no duration: expected seconds, or as in 250ms, 10m, 24h") from None
    if not 0 <= value < 10 * 365 * 86400:
        raise typer.BadParameter(f"{text!r} is no sensible duration")
    return value


def limit(text: str) -> Setting:
    """``NAME=VALUE`` of a limit."""
    try:
        return parse_limit(text)
    except ConfigError as error:
        raise typer.BadParameter(error.message) from error


def chosen(text: str, choices: tuple[str, ...]) -> str:
    """One of a few words."""
    if text not in choices:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(choices)}")
    return text


def trust_domain(text: str) -> str:
    """The first part of a SPIFFE id."""
    if re.fullmatch(r"[a-z0-9._-]{1,255}", text) is None:
        raise typer.BadParameter(
            f"{text!r} is no trust domain: expected lower-case letters, digits, dots, dashes and underscores"
        )
    return text


def log_level(text: str) -> str:
    """The name of a log level."""
    return chosen(text, LEVELS)


def log_format(text: str) -> str:
    """The name of a log format."""
    return chosen(text, FORMATS)


def secret(value: str, file: Path | None, flag: str) -> str:
    """A secret given as a value or in a file (the file is the better way: a command line can be seen by others)."""
    if value and file:
        raise typer.BadParameter(f"give --{flag} or --{flag}-file, not both")
    return read(file).strip() if file else value


def read(file: Path) -> str:
    """A small text file that a flag names."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{file} is no text file") from error


def control_access(url: str, token: str, token_file: Path | None, bundle: Path | None, ca_hash: str) -> ControlAccess:
    """The control-plane flags, checked against each other."""
    if bundle and ca_hash:
        raise typer.BadParameter("give --trust-bundle or --ca-hash, not both")
    if ca_hash and not (ca_hash.startswith("sha256:") and len(ca_hash) == len("sha256:") + 64):
        raise typer.BadParameter("--ca-hash is sha256: and 64 hexadecimal digits, as `meshd token create` prints it")
    if (token or token_file or bundle or ca_hash) and not url:
        raise typer.BadParameter("--token, --trust-bundle and --ca-hash need --control URL")
    return ControlAccess(url, secret(token, token_file, "token"), read(bundle) if bundle else "", ca_hash)


def control_url(text: str) -> str:
    """``https://HOST:PORT``; scheme and port may be left out. "" (the default) stays."""
    if not text:
        return ""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "https", text
    rest = rest.rstrip("/")
    if scheme != "https" or not rest or "/" in rest:
        raise typer.BadParameter(
            f"{text!r} is no control plane: expected https://HOST:PORT, as in https://10.0.0.1:15012"
        )
    where = address(rest if rest.rpartition(":")[2].isdigit() else f"{rest}:15012")
    return f"https://{where}"


AdminOption = Annotated[
    Listening | None,
    typer.Option(
        "--admin",
        parser=listening_or_off,
        metavar="ADDR",
        help="Admin interface; `off` for none.",
        show_default="127.0.0.1:15000, or the next free port",
    ),
]
HealthOption = Annotated[
    Listening | None,
    typer.Option(
        "--health",
        parser=listening_or_off,
        metavar="ADDR",
        help="Readiness at /healthz/ready; `off` for none.",
        show_default=":15021, or the next free port",
    ),
]
StatsOption = Annotated[
    Listening | None,
    typer.Option(
        "--stats",
        parser=listening_or_off,
        metavar="ADDR",
        help="Metrics at /stats/prometheus; `off` for none.",
        show_default=":15090, or the next free port",
    ),
]
LogFormatOption = Annotated[
    str,
    typer.Option(
        "--log-format",
        parser=log_format,
        metavar="text|json",
        help="How to log, on stderr; JSON also makes the access log JSON.",
    ),
]
LogLevelOption = Annotated[
    str, typer.Option("--log-level", parser=log_level, metavar="|".join(LEVELS), help="How much to log.")
]
AccessLogOption = Annotated[
    str, typer.Option("--access-log", metavar="PATH|-|off", help="One line per request: to a file, stdout or nowhere.")
]
LimitOption = Annotated[
    list[Setting] | None,
    typer.Option(
        "--limit",
        parser=limit,
        metavar="NAME=VALUE",
        help="A limit of connections, sizes or times, as in connections-per-source=100 (repeatable).",
    ),
]
DrainTimeoutOption = Annotated[
    float,
    typer.Option(
        "--drain-timeout",
        parser=seconds,
        metavar="SECONDS",
        help="How long requests under way may take to finish when stopping.",
        show_default="5",
    ),
]
ControlOption = Annotated[
    str,
    typer.Option(
        "--control",
        parser=control_url,
        metavar="URL",
        help="The control plane, as https://HOST:15012. Without it: one that the same user runs on this machine.",
    ),
]
TokenOption = Annotated[
    str, typer.Option("--token", metavar="TOKEN", help="Join token for the first certificate (`meshd token create`).")
]
TokenFileOption = Annotated[
    Path | None, typer.Option("--token-file", metavar="FILE", help="A file that holds the join token.")
]
TrustBundleOption = Annotated[
    Path | None, typer.Option("--trust-bundle", metavar="FILE", help="The mesh's root certificates, PEM.")
]
CaHashOption = Annotated[
    str,
    typer.Option("--ca-hash", metavar="sha256:HEX", help="Hash of a root's public key, instead of --trust-bundle."),
]
NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", metavar="NAME", help="Namespace of the workload.")]
ServiceAccountOption = Annotated[
    str,
    typer.Option(
        "--service-account",
        metavar="NAME",
        help="Who the workload is in policies.",
        show_default="the service's name",
    ),
]
LabelsOption = Annotated[
    list[Label] | None,
    typer.Option("--label", "-l", parser=label, metavar="KEY=VALUE", help="A label of the workload (repeatable)."),
]
ConfigOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE_OR_DIR",
        help="Static configuration without a control plane; watched and read again when it changes (repeatable).",
    ),
]
StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        help="Where the last good configuration and certificates are kept.",
        show_default="~/.local/state/meshd",
    ),
]


def logging_of(format: str, level: str, access_log: str = "off") -> Logging:
    """The logging flags as one value."""
    return Logging(format, level, access_log)
