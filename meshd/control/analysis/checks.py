"""Checks of single values that several kinds share. Pure.

Every check yields the problems of one value at one path, and nothing when it
is fine. Source of the rules: Istio's ``pkg/config/validation``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping

from meshd.api.common import Duration, Percent, StringMatch
from meshd.api.document import Path
from meshd.api.durations import format_duration
from meshd.api.problem import Problem, error
from meshd.errors import ConfigError, ProtocolError
from meshd.http.guard import check_authority
from meshd.snapshot.regex import full_match, substitute

LABEL = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")
"""One part of a DNS name (RFC 1123)."""

_SNI_PREFIX = "outbound_."
"""Istio's own server names (``outbound_.9080_.v1_.reviews...``), which are no DNS names."""

_PARTIAL_WILDCARD = re.compile(r"\*[a-zA-Z0-9](?:[-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")
_WILDCARD_LABEL = re.compile(r"\*|\*-[a-zA-Z0-9](?:[-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE = re.compile(r"[^\x00\r\n]*")
_URI_PATH = re.compile(r"[\x21\x22\x24-\x7e]*")
_LABEL_KEY = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_OBJECT_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")

LONGEST_NAME = 255
LONGEST_REGEX = 1024
"""Bytes; Istio's ``maxRegexLength``."""
SHORTEST_DURATION = 0.001
LARGEST_PORT = 65535


def object_name(name: str, path: Path) -> Iterator[Problem]:
    """``metadata.name``, as Kubernetes takes it."""
    if len(name) > 253 or not _OBJECT_NAME.fullmatch(name):
        yield error(path, f'"{name}" is not a name: lower-case letters, digits, "-" and "." only, 253 at most')


def namespace(name: str, path: Path) -> Iterator[Problem]:
    """``metadata.namespace``."""
    if not _NAMESPACE.fullmatch(name):
        yield error(path, f'"{name}" is not a namespace: lower-case letters, digits and "-" only, 63 at most')


def fqdn(name: str, path: Path) -> Iterator[Problem]:
    """A DNS name without a wildcard."""
    plain = name.removesuffix(".")
    if not plain:
        yield error(path, "a host name is missing")
    elif len(name) > LONGEST_NAME:
        yield error(path, f"the host name is longer than {LONGEST_NAME}")
    else:
        labels = plain.split(".")
        for label in labels:
            if not LABEL.fullmatch(label):
                yield error(path, f'"{name}" is not a host name{_why_not_host(name, label)}')
                return
        if labels[-1].isdecimal():
            yield error(path, f'"{name}" is not a host name: its last part is a number')


def _why_not_host(name: str, label: str) -> str:
    if "://" in name:
        return ": leave the scheme out"
    if "/" in name:
        return ": leave the path out"
    if ":" in name:
        return ": leave the port out"
    if "*" in label:
        return ': "*" can only stand at the beginning, as in "*.example.com"'
    return f': "{label}" is not a part of one' if label else ": a part of it is empty"


def wildcard_host(name: str, path: Path, *, partial: bool = False) -> Iterator[Problem]:
    """A DNS name, ``*``, ``*.example.com`` or ``*-x.example.com``; with ``partial`` also ``*x.example.com``."""
    if name.startswith(_SNI_PREFIX):
        return
    first, _, rest = name.partition(".")
    if _WILDCARD_LABEL.fullmatch(first) or (partial and _PARTIAL_WILDCARD.fullmatch(first)):
        if rest:
            yield from fqdn(rest, path)
        elif name.endswith("."):
            yield error(path, f'"{name}" is not a host name')
        return
    yield from fqdn(name, path)


def host_or_address(name: str, path: Path) -> Iterator[Problem]:
    """A wildcard host or an IP address."""
    if not is_address(name):
        yield from wildcard_host(name, path)


def is_address(text: str) -> bool:
    """Whether it is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def subnet(text: str, path: Path) -> Iterator[Problem]:
    """An IP address or a CIDR block."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        yield error(path, f'"{text}" is not an IP address or a block such as 10.0.0.0/8')


def port(number: int, path: Path) -> Iterator[Problem]:
    """1 to 65535."""
    if not 1 <= number <= LARGEST_PORT:
        yield error(path, f"{number} is not a port: 1 to {LARGEST_PORT}")


def duration(seconds: Duration | None, path: Path, *, least: float = SHORTEST_DURATION) -> Iterator[Problem]:
    """At least a millisecond, unless ``least`` says otherwise, and whole milliseconds (Istio)."""
    if seconds is None:
        return
    if seconds < least:
        yield error(path, f"{format_duration(seconds)} is too short: at least {format_duration(least)}")
    elif abs(seconds * 1000 - round(seconds * 1000)) > 1e-7:
        yield error(path, f"{format_duration(seconds)} is finer than a millisecond")


def port_text(text: str, path: Path, *, at_value: bool = True) -> Iterator[Problem]:
    """A port written as text."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= LARGEST_PORT):
        yield error(path, f'"{text}" is not a port: 1 to {LARGEST_PORT}', at_value=at_value)


def percent(value: Percent | float | None, path: Path) -> Iterator[Problem]:
    """0 to 100."""
    number = value.value if isinstance(value, Percent) else value
    if number is not None and not 0 <= number <= 100:
        yield error(path, f"{number:g} is not a percentage: 0 to 100")


def not_negative(number: int | None, path: Path) -> Iterator[Problem]:
    """Zero or more."""
    if number is not None and number < 0:
        yield error(path, f"{number} is negative")


def regex(pattern: str, path: Path, replacement: str | None = None) -> Iterator[Problem]:
    """RE2, 1024 bytes at most; with a ``replacement``, one that names its groups only."""
    if len(pattern.encode()) > LONGEST_REGEX:
        yield error(path, f"the regular expression is longer than {LONGEST_REGEX} bytes")
        return
    try:
        # The proxies' own functions decide: what is accepted here must run there.
        if replacement is None:
            full_match(pattern)
        else:
            substitute(pattern, replacement)
    except ConfigError as caught:
        yield error(path, caught.message)


def string_match(match: StringMatch | None, path: Path) -> Iterator[Problem]:
    """At most one of the three forms, and a regular expression that compiles."""
    if match is None:
        return
    given = [name for name in ("exact", "prefix", "regex") if getattr(match, name) is not None]
    if len(given) > 1:
        yield error(path, f"{' and '.join(given)} cannot both be given: choose one", at_value=False)
    if match.regex is not None and match.regex != "*":
        yield from regex(match.regex, (*path, "regex"))


def header_name(name: str, path: Path) -> Iterator[Problem]:
    """A token of RFC 9110, or a pseudo-header."""
    if not name:
        yield error(path, "a header's name is empty", at_value=False)
    elif not _HEADER_NAME.fullmatch(name.removeprefix(":") if name.startswith(":") else name):
        yield error(path, f'"{name}" is not a header name', at_value=False)


def uri_path(text: str, path: Path) -> Iterator[Problem]:
    """What a request line can hold: visible ASCII without ``#``."""
    if not _URI_PATH.fullmatch(text):
        yield error(path, f'"{text}" holds a character that must be percent-encoded (as %20 for a space)')


def authority(text: str, path: Path) -> Iterator[Problem]:
    """A host, with or without a port, as a request may carry it; "" is none."""
    if not text:
        return
    try:
        check_authority(text.encode())
    except ProtocolError:
        yield error(path, f'"{text}" is not a host with or without a port')


def header_value(value: str, path: Path) -> Iterator[Problem]:
    """No line breaks and no NUL."""
    if not _HEADER_VALUE.fullmatch(value):
        yield error(path, "a header's value cannot have line breaks or NUL")


def labels(values: Mapping[str, str], path: Path) -> Iterator[Problem]:
    """Kubernetes labels."""
    for key, value in values.items():
        prefix, slash, name = key.rpartition("/")
        if not _LABEL_KEY.fullmatch(name) or (slash and not _OBJECT_NAME.fullmatch(prefix)):
            yield error((*path, key), f'"{key}" is not a label\'s name', at_value=False)
        if not _LABEL_VALUE.fullmatch(value):
            yield error((*path, key), f'"{value}" is not a label\'s value: letters, digits, "-", "_", ".", 63 at most')


def selector(values: Mapping[str, str], path: Path) -> Iterator[Problem]:
    """Labels to select by: no wildcards, no empty names."""
    for key, value in values.items():
        if not key:
            yield error((*path, key), "a label's name is empty", at_value=False)
        elif "*" in key or "*" in value:
            yield error((*path, key), "a selector takes no wildcards: leave the selector out to select everything")
        elif len(value) > 63:
            yield error((*path, key), "a label's value has 63 characters at most")


def export_to(values: Iterable[str], path: Path, own: str, *, none_allowed: bool = False) -> Iterator[Problem]:
    """``*``, ``.``, namespaces; ``~`` (nobody) only where it is allowed, and alone."""
    seen: set[str] = set()
    listed = list(values)
    for index, value in enumerate(listed):
        here = (*path, index)
        meant = own if value == "." else value
        if meant in seen:
            yield error(here, f'"{value}" is here twice')
        seen.add(meant)
        if value == "~":
            if not none_allowed:
                yield error(here, '"~" is not allowed here; "." keeps it to its own namespace')
            elif len(listed) > 1:
                yield error(here, '"~" must stand alone')
        elif value not in ("*", "."):
            yield from namespace(value, here)
    if "*" in seen and len(seen) > 1:
        yield error(path, '"*" is everybody: nothing can stand beside it')
