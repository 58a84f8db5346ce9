"""A snapshot as it travels: canonical JSON parts named by their SHA-256, under a manifest. Pure.

Rules of this file:

* A *part* is some bytes; its name is their SHA-256 in lower-case hexadecimal.
* A *leaf* is a part that holds one value: one listener, one virtual host, one
  cluster, one group of endpoints. A *node* is a part that lists leaves by name,
  or, when there are more than ``FANOUT`` of them, further nodes by the next
  digit of the names' hashes. A *branch* is the node at the top of one kind.
* The *manifest* lists the branches. Its own SHA-256 is the snapshot's version.

So a change of one group of endpoints changes one leaf, the nodes above it and
the manifest, and nothing else has to travel. Equal snapshots have equal bytes
everywhere; nothing here depends on the order of a set or a dict.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import attrs

from meshd.errors import ConfigError
from meshd.snapshot.cluster import Cluster, EndpointGroup
from meshd.snapshot.codec import Codecs, Json
from meshd.snapshot.listener import Listener
from meshd.snapshot.route import RouteTable, VirtualHost
from meshd.snapshot.snapshot import SecretRef, Snapshot, Telemetry

KIB = 1024
MIB = 1024 * KIB

FORMAT: Final = 1
"""Changes when an older reader could not read a manifest any more."""
FANOUT: Final = 64
"""Leaves in one node: about 8 KiB of names and digests."""
DIGEST_LENGTH: Final = 64


@attrs.frozen
class Limits:
    """What a reader accepts. The defaults are far above a mesh of 10,000 services."""

    manifest_size: int = 64 * KIB
    part_size: int = 16 * MIB
    total_size: int = 256 * MIB
    parts: int = 250_000


@attrs.frozen
class Encoded:
    """A snapshot's bytes. ``version`` is the manifest's digest; ``parts`` maps digest to bytes."""

    version: str
    manifest: bytes
    parts: Mapping[str, bytes]


@attrs.frozen
class _HostOfTable:
    """A virtual host is a leaf of its own: tables can be big and change a host at a time."""

    table: str
    host: VirtualHost


_BRANCHES: Final[dict[str, Any]] = {
    "clusters": Cluster,
    "endpoints": EndpointGroup,
    "listeners": Listener,
    "routes": RouteTable,
    "secrets": SecretRef,
    "telemetry": Telemetry,
    "virtual_hosts": _HostOfTable,
}


class EncodeMemo:
    """Remembers the bytes of values, so that unchanged ones are not encoded again.

    An object that was encoded before is recognised; an equal copy of it is only
    encoded once more. One memo may serve the snapshots of many proxies, whose
    parts are mostly the same. Whoever owns it calls ``turn`` now and then.
    """

    # The whole mutable state is these three: the codecs met, and for each branch,
    # name and object (by id, which the entry keeps from being used again) its
    # digest and bytes, once for what was used since the last turn, once before it.
    def __init__(self) -> None:
        self.codecs = Codecs()
        self._now: dict[tuple[str, str, int], tuple[object, str, bytes]] = {}
        self._before: dict[tuple[str, str, int], tuple[object, str, bytes]] = {}

    def turn(self) -> None:
        """Forget what has not been used since the last turn."""
        self._before, self._now = self._now, {}

    def leaf(self, branch: str, name: str, key: object, make: Callable[[], bytes]) -> tuple[str, bytes]:
        """Digest and bytes of ``key`` under this name."""
        place = (branch, name, id(key))
        found = self._now.get(place) or self._before.get(place)
        if found is None:
            content = make()
            found = (key, digest(content), content)
        self._now[place] = found
        return found[1], found[2]


class DecodeMemo:
    """Remembers the values last decoded by digest. Forgets what the last call did not use."""

    # The whole mutable state is these two: the codecs met, and what the last call decoded.
    def __init__(self) -> None:
        self.codecs = Codecs()
        self.leaves: dict[tuple[str, str], object] = {}


def digest(content: bytes) -> str:
    """A part's name."""
    return hashlib.sha256(content).hexdigest()


def canonical(value: Json) -> bytes:
    """The one way to write a plain value: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


# --- writing ---


def encode(snapshot: Snapshot, memo: EncodeMemo | None = None) -> Encoded:
    """Write a snapshot; its ``version`` is ignored, collections are put in order of their names.

    Raises:
        ConfigError: two values of one kind have the same name.
    """
    memo = memo or EncodeMemo()
    parts: dict[str, bytes] = {}
    branches: dict[str, Json] = {}
    for branch, values in _leaves_of(snapshot).items():
        names: dict[str, str] = {}
        write = memo.codecs.of(_BRANCHES[branch]).write
        for name, key, value in values:
            if name in names:
                raise ConfigError(f"a snapshot cannot hold two {branch} named {name!r}")
            names[name], content = memo.leaf(branch, name, key, partial(_write_leaf, write, value))
            parts[names[name]] = content
        if names:
            branches[branch] = _write_node(names, parts, 0)
    manifest = canonical({"branches": branches, "format": FORMAT, "trust_domain": snapshot.trust_domain})
    return Encoded(digest(manifest), manifest, parts)


def _write_leaf(write: Callable[[Any], Json], value: object) -> bytes:
    return canonical(write(value))


def _leaves_of(snapshot: Snapshot) -> dict[str, Iterable[tuple[str, object, object]]]:
    """For each branch: a leaf's name, the object to remember it by, and the value to write."""
    tables = snapshot.route_tables
    return {
        "clusters": ((each.name, each, each) for each in snapshot.clusters),
        "endpoints": ((each.cluster, each, each) for each in snapshot.endpoints),
        "listeners": ((each.name, each, each) for each in snapshot.listeners),
        "routes": ((each.name, each, attrs.evolve(each, virtual_hosts=())) for each in tables),
        "secrets": ((each.name, each, each) for each in snapshot.secrets),
        "telemetry": (("telemetry", each, each) for each in (snapshot.telemetry,)),
        "virtual_hosts": (
            (f"{table.name} {host.name}", host, _HostOfTable(table.name, host))
            for table in tables
            for host in table.virtual_hosts
        ),
    }


def _write_node(names: dict[str, str], parts: dict[str, bytes], depth: int) -> str:
    if len(names) <= FANOUT or depth == DIGEST_LENGTH:
        node: dict[str, Json] = {"leaves": dict(names)}
    else:
        shards: dict[str, dict[str, str]] = {}
        for name, leaf in names.items():
            shards.setdefault(_shard(name, depth), {})[name] = leaf
        node = {"shards": {shard: _write_node(inside, parts, depth + 1) for shard, inside in shards.items()}}
    content = canonical(node)
    name = digest(content)
    parts[name] = content
    return name


def _shard(name: str, depth: int) -> str:
    return digest(name.encode("utf-8", "surrogatepass"))[depth]


# --- reading ---


def decode(
    manifest: bytes,
    get_part: Callable[[str], bytes],
    memo: DecodeMemo | None = None,
    limits: Limits = Limits(),
) -> Snapshot:
    """Read a snapshot back, trusting nothing but the digests.

    Args:
        manifest: The manifest's bytes.
        get_part: Gives the bytes of a digest; ``KeyError`` when it has none.
        memo: Decoded values to use again, from an earlier call.
        limits: What is too much.

    Raises:
        ConfigError: a part is missing, is not what its name says, is too big, or
            holds what a snapshot cannot.
    """
    memo = memo or DecodeMemo()
    top = _read_manifest(manifest, limits)
    reader = _Reader(get_part, limits)
    kept: dict[tuple[str, str], object] = {}
    values: dict[str, dict[str, Any]] = {branch: {} for branch in _BRANCHES}
    for branch, root in top.branches.items():
        read = memo.codecs.of(_BRANCHES[branch]).read
        for name, leaf in reader.leaves(root):
            value = memo.leaves.get((branch, leaf))
            if value is None:
                value = read(reader.plain(leaf), f"{branch}[{name}]")
            kept[branch, leaf] = values[branch][name] = value
    memo.leaves = kept
    return _assemble(top, digest(manifest), values)


def wanted(manifest: bytes, held: Callable[[str], bytes | None], limits: Limits = Limits()) -> tuple[str, ...]:
    """The digests that are known to be needed and are not held; ask again once they are.

    Empty means that ``decode`` has all it needs. A held part whose bytes are not
    what its name says counts as not held.

    Raises:
        ConfigError: the manifest or a held node cannot be used.
    """
    missing: dict[str, None] = {}

    def get_part(name: str) -> bytes:
        content = held(name)
        if content is None or digest(content) != name:
            missing[name] = None
            return b""
        return content

    reader = _Reader(get_part, limits, partial=True)
    for root in _read_manifest(manifest, limits).branches.values():
        for _, leaf in reader.leaves(root):
            get_part(leaf)
    return tuple(missing)


@attrs.frozen
class _Manifest:
    branches: dict[str, str]
    trust_domain: str


def _read_manifest(manifest: bytes, limits: Limits) -> _Manifest:
    if len(manifest) > limits.manifest_size:
        raise ConfigError(f"the manifest has {len(manifest)} bytes, more than {limits.manifest_size}")
    plain = _parse(manifest, "manifest")
    if not isinstance(plain, dict) or set(plain) != {"branches", "format", "trust_domain"}:
        raise ConfigError("not a manifest: expected branches, format and trust_domain", path="manifest")
    if plain["format"] != FORMAT:
        raise ConfigError(
            f"format {plain['format']!r:.40} is not {FORMAT}: proxy and control plane are of different releases",
            path="manifest",
        )
    trust_domain = plain["trust_domain"]
    if not isinstance(trust_domain, str):
        raise ConfigError("trust_domain is no string", path="manifest")
    branches = _read_names(plain["branches"], "manifest")
    unknown = sorted(set(branches) - set(_BRANCHES))
    if unknown:
        raise ConfigError(f"unknown branch {unknown[0]!r:.80}", path="manifest")
    return _Manifest(branches, trust_domain)


def _read_names(plain: Json, path: str) -> dict[str, str]:
    if not isinstance(plain, dict):
        raise ConfigError("expected names and digests", path=path)
    names = {}
    for name, value in plain.items():
        if not (isinstance(value, str) and len(value) == DIGEST_LENGTH and set(value) <= set("0123456789abcdef")):
            raise ConfigError(f"{name!r:.80} has no SHA-256 digest", path=path)
        names[name] = value
    return names


def _parse(content: bytes, path: str) -> Json:
    try:
        plain: Json = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not JSON: {error!s:.200}", path=path) from error
    return plain


class _Reader:
    """Walks the tree of one manifest, within limits. Lives for one call."""

    # The whole mutable state is these two counters.
    def __init__(self, get_part: Callable[[str], bytes], limits: Limits, *, partial: bool = False) -> None:
        self._get_part = get_part
        self._limits = limits
        self._partial = partial
        self._parts = 0
        self._size = 0

    def leaves(self, root: str, depth: int = 0) -> Iterator[tuple[str, str]]:
        """Names and digests of all leaves below ``root``; absent nodes are passed over if ``partial``."""
        content = self._content(root)
        if not content and self._partial:
            return
        path = f"part {root[:12]}"
        node = _parse(content, path)
        if not isinstance(node, dict) or len(node) != 1 or not node.keys() <= {"leaves", "shards"}:
            raise ConfigError("not a node: expected leaves or shards", path=path)
        if "leaves" in node:
            for leaf in _read_names(node["leaves"], path).items():
                self._count()
                yield leaf
            return
        if depth == DIGEST_LENGTH:
            raise ConfigError("nodes are nested too deeply", path=path)
        for shard in _read_names(node["shards"], path).values():
            yield from self.leaves(shard, depth + 1)

    def plain(self, leaf: str) -> Json:
        """A leaf's plain value."""
        return _parse(self._content(leaf), f"part {leaf[:12]}")

    def _count(self) -> None:
        self._parts += 1
        if self._parts > self._limits.parts:
            raise ConfigError(f"a snapshot of more than {self._limits.parts} parts")

    def _content(self, name: str) -> bytes:
        try:
            content = self._get_part(name)
        except KeyError as error:
            raise ConfigError("this part is missing", path=f"part {name[:12]}") from error
        if not content and self._partial:
            return content
        if len(content) > self._limits.part_size:
            raise ConfigError(f"a part of more than {self._limits.part_size} bytes", path=f"part {name[:12]}")
        self._size += len(content)
        if self._size > self._limits.total_size:
            raise ConfigError(f"a snapshot of more than {self._limits.total_size} bytes")
        if digest(content) != name:
            raise ConfigError("its bytes are not what its name says", path=f"part {name[:12]}")
        self._count()
        return content


def _assemble(top: _Manifest, version: str, values: dict[str, dict[str, Any]]) -> Snapshot:
    hosts: dict[str, list[VirtualHost]] = {name: [] for name in values["routes"]}
    for leaf in values["virtual_hosts"].values():
        if leaf.table not in hosts:
            raise ConfigError(f"virtual host {leaf.host.name!r:.80} belongs to no route table")
        hosts[leaf.table].append(leaf.host)
    telemetry = values["telemetry"].get("telemetry", Telemetry())
    if len(values["telemetry"]) > 1:
        raise ConfigError("more than one telemetry")
    return Snapshot(
        version=version,
        listeners=_in_order(values["listeners"]),
        route_tables=tuple(
            attrs.evolve(table, virtual_hosts=tuple(sorted(hosts[name], key=lambda host: host.name)))
            for name, table in sorted(values["routes"].items())
        ),
        clusters=_in_order(values["clusters"]),
        endpoints=_in_order(values["endpoints"]),
        telemetry=telemetry,
        secrets=_in_order(values["secrets"]),
        trust_domain=top.trust_domain,
    )


def _in_order(values: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(value for _, value in sorted(values.items()))
