"""What the control plane and an agent say to each other, beside manifests and parts. Pure values.

Every message is a JSON object (``docs/reference/control-api.md``). Rules:

- A request is read strictly: an unknown member is refused, so that a setting
  is never ignored in silence.
- A response may have members that an older agent does not know; it leaves them
  aside. So a control plane can be renewed before its proxies.
- Every text, list and number is bounded here, once, for both sides.
- Nothing in a message says who its sender is: that is in the certificate.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable
from functools import cache
from typing import Any, TypeVar, cast

import attrs

from meshd.errors import ConfigError
from meshd.snapshot.codec import Codec, Codecs

KIB = 1024

MAX_MESSAGE = 64 * KIB
"""Any message but those that hold certificates for many names."""
MAX_LABELS = 64
MAX_REASON = 512
"""Characters of an explanation in a status header; headers are at most 8 KiB together almost everywhere."""
MAX_BATCH = 512
"""Parts asked for at once."""
MAX_PEM = 256 * KIB

NODE_HEADER = b"meshd-node"
"""On every request of an agent: its node's name, which tells the proxies of one identity apart; unique in it."""
BUNDLE_HEADER = b"meshd-bundle"
"""On every answer to a poll: the trust bundle's version; another one than the agent has means "fetch it"."""
STATUS_HEADER = b"meshd-status"
"""On every poll: a ``PollStatus`` as JSON in ASCII."""
GENERATION_HEADER = b"meshd-generation"
"""On every answer to a poll: ``<epoch>.<count>``; within one epoch (a control plane's life) it never goes back."""

CONTROL_NAMESPACE = "meshd-system"
CONTROL_ACCOUNT = "control"
CONTROL_PATH = f"/ns/{CONTROL_NAMESPACE}/sa/{CONTROL_ACCOUNT}"
"""The control plane's SPIFFE id, behind ``spiffe://<trust domain>``."""

_NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,251}[A-Za-z0-9])?")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LABEL_NAME = re.compile(r"(?:[A-Za-z0-9][-A-Za-z0-9.]{0,252}/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_HOST = re.compile(r"[0-9A-Za-z:._-]{0,253}")

T = TypeVar("T")
Check = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def is_name(text: str) -> bool:
    """Can this be the name of a node, a namespace or a service account? Letters, digits, ``-_.``; at most 253."""
    return _NAME.fullmatch(text) is not None


def _matching(pattern: re.Pattern[str], expected: str, *, empty: bool = False) -> Check:
    def check(_: Any, attribute: attrs.Attribute[Any], value: str) -> None:
        if not (pattern.fullmatch(value) or (empty and not value)):
            raise ConfigError(f"expected {expected}, found {value[:80]!r}", path=attribute.name)

    return check


def _at_most(limit: int) -> Check:
    def check(_: Any, attribute: attrs.Attribute[Any], value: str | tuple[Any, ...]) -> None:
        if len(value) > limit:
            raise ConfigError(f"has a size of {len(value)}; the limit is {limit}", path=attribute.name)

    return check


def _between(low: int, high: int) -> Check:
    def check(_: Any, attribute: attrs.Attribute[Any], value: int) -> None:
        if not low <= value <= high:
            raise ConfigError(f"expected a number from {low} to {high}, found {value}", path=attribute.name)

    return check


def _one_of(*members: str) -> Check:
    return _matching(re.compile("|".join(re.escape(member) for member in members)), " or ".join(members))


def _labels(_: Any, attribute: attrs.Attribute[Any], value: tuple[tuple[str, str], ...]) -> None:
    if len(value) > MAX_LABELS:
        raise ConfigError(f"{len(value)} labels; the limit is {MAX_LABELS}", path=attribute.name)
    for name, text in value:
        if not _LABEL_NAME.fullmatch(name):
            raise ConfigError(f"{name[:80]!r} is no label name (Kubernetes' rules)", path=attribute.name)
        if not _LABEL_VALUE.fullmatch(text):
            raise ConfigError(f"{text[:80]!r} is no label value (Kubernetes' rules)", path=f"{attribute.name}[{name}]")


_name_or_none = _matching(_NAME, "a name of letters, digits, '-', '_', '.', or nothing", empty=True)
_version_or_none = _matching(_DIGEST, "a version (64 hexadecimal digits), or nothing", empty=True)


@attrs.frozen
class Registration:
    """A proxy that is there. Its namespace and service account are those of its certificate."""

    kind: str = attrs.field(default="sidecar", validator=_one_of("sidecar", "gateway"))
    service: str = attrs.field(default="", validator=_name_or_none)
    """The service this sidecar's application is a part of; "" serves nothing."""
    labels: tuple[tuple[str, str], ...] = attrs.field(default=(), validator=_labels)
    address: str = attrs.field(default="", validator=_matching(_HOST, "an IP address or host name"))
    inbound_port: int = attrs.field(default=0, validator=_between(0, 65535))
    """Where its mesh traffic comes in."""
    app_port: int = attrs.field(default=0, validator=_between(0, 65535))
    """The application's own port: what policies and Services speak of."""
    app_host: str = attrs.field(default="127.0.0.1", validator=_matching(_HOST, "an IP address or host name"))
    """Where the application listens, seen from the proxy."""
    service_port: int = attrs.field(default=0, validator=_between(0, 65535))
    """The port of the service when no document declares it; 0 is ``app_port``."""
    protocol: str = attrs.field(default="", validator=_name_or_none)
    """As in a Service's port name (``http``, ``grpc``, ``tcp``...); "" is found out by looking."""
    healthy: bool = True
    release: str = attrs.field(default="", validator=_at_most(64))


@attrs.frozen
class RegistrationReply:
    """Registered: to be renewed before ``ttl`` seconds have passed."""

    ttl: int = attrs.field(validator=_between(1, 86400))
    spiffe_id: str = attrs.field(validator=_at_most(2048))


@attrs.frozen
class CertificateRequest:
    """A request to sign.

    Namespace and service account only say what the sender expects; they grant
    nothing, except with the credential of a local control plane: its owner may
    be anyone.
    """

    csr: str = attrs.field(validator=_at_most(MAX_PEM))
    ttl: int = attrs.field(default=0, validator=_between(0, 10 * 365 * 86400))
    """Seconds; 0 is the control plane's default."""
    namespace: str = attrs.field(default="", validator=_name_or_none)
    service_account: str = attrs.field(default="", validator=_name_or_none)


@attrs.frozen
class CertificateResponse:
    """A chain (leaf first, no root) and the roots to trust."""

    chain: str = attrs.field(validator=_at_most(MAX_PEM))
    bundle: str = attrs.field(validator=_at_most(MAX_PEM))
    trust_domain: str = attrs.field(validator=_at_most(255))
    spiffe_id: str = attrs.field(validator=_at_most(2048))


@attrs.frozen
class BundleResponse:
    """Every root of the mesh."""

    trust_domain: str = attrs.field(validator=_at_most(255))
    bundle: str = attrs.field(validator=_at_most(MAX_PEM))


@attrs.frozen
class PollStatus:
    """What a node runs: sent with every poll. ``refused`` and ``reason`` tell of a version it could not take."""

    applied: str = attrs.field(default="", validator=_version_or_none)
    refused: str = attrs.field(default="", validator=_version_or_none)
    reason: str = attrs.field(default="", validator=_at_most(MAX_REASON))


@attrs.frozen
class PartsRequest:
    """Several parts at once."""

    digests: tuple[str, ...] = attrs.field(validator=_at_most(MAX_BATCH))


@attrs.frozen
class SecretResponse:
    """A gateway's certificate. PEM texts; ``ca`` for checking clients, or ""."""

    name: str = attrs.field(validator=_at_most(512))
    version: str = attrs.field(validator=_at_most(128))
    certificate: str = attrs.field(default="", validator=_at_most(MAX_PEM))
    key: str = attrs.field(default="", repr=False, validator=_at_most(MAX_PEM))
    ca: str = attrs.field(default="", validator=_at_most(MAX_PEM))


@attrs.frozen
class NodeStatus:
    """One line of ``proxy-status``. Times are seconds since the epoch, 0 for never."""

    name: str
    namespace: str
    service_account: str
    kind: str
    service: str
    address: str
    status: str
    """``SYNCED``, ``STALE`` (another version is published), ``REFUSED`` or ``NEVER`` (nothing applied yet)."""
    applied: str
    published: str
    reason: str
    last_seen: float
    certificate_expiry: float
    healthy: bool
    release: str


@attrs.frozen
class NodesResponse:
    """Every node a control plane knows."""

    nodes: tuple[NodeStatus, ...]


@attrs.frozen
class ErrorBody:
    """Why a request was refused, for programs (``code``) and people (``message``, and ``mend``: what to do)."""

    code: str = attrs.field(validator=_at_most(64))
    message: str = attrs.field(validator=_at_most(2048))
    mend: str = attrs.field(default="", validator=_at_most(2048))


@cache
def _codec(kind: Hashable) -> Codec:
    """A message's codec: making it costs as much as ten messages, and it is the same for ever."""
    return Codecs().of(kind)


def write(message: object) -> bytes:
    """A message as JSON: ASCII, one line, members in order of their names."""
    plain = _codec(cast("Hashable", type(message))).write(message)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def read(kind: type[T], data: bytes, *, limit: int = MAX_MESSAGE, lenient: bool = False) -> T:
    """A message from JSON.

    Args:
        kind: Which message is expected.
        data: What came.
        limit: Most bytes.
        lenient: Leave members aside that this release does not know (responses).

    Raises:
        ConfigError: it is not one; the message says why, the path where.
    """
    if len(data) > limit:
        raise ConfigError(f"a message of {len(data)} bytes; the limit is {limit}")
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError("expected JSON") from error
    if lenient and isinstance(plain, dict):
        known = {field.name for field in attrs.fields(kind)}  # type: ignore[arg-type]
        plain = {name: value for name, value in plain.items() if name in known}
    message = _codec(cast("Hashable", kind)).read(plain, "")
    assert isinstance(message, kind)
    return message
