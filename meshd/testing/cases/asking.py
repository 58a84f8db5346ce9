"""What the configuration says about a call in a mesh that runs: asked of the very snapshots that its proxies have."""

from __future__ import annotations

from urllib.parse import urlsplit

import attrs

from meshd.api.document import Document
from meshd.control.scope import Scope
from meshd.explain.call import Told
from meshd.explain.explain import Explanation
from meshd.explain.hops import journey
from meshd.explain.question import Question
from meshd.explain.viewpoint import Viewpoint, believed
from meshd.explain.world import World
from meshd.snapshot.common import Direction
from meshd.snapshot.match import knowing_tables
from meshd.snapshot.snapshot import Snapshot
from meshd.testing.mesh import Mesh
from meshd.testing.proxies import ProxyProcess


@attrs.frozen(eq=False)
class Asked:
    """A call, and the proxy that meets it first."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    proxy: ProxyProcess
    name: str
    """Whose it is."""
    mode: Direction


def ask(mesh: Mesh, documents: tuple[Document, ...], asked: Asked) -> Explanation:
    """What happens to a call, hop by hop.

    Raises:
        ConfigError: such a call cannot be asked about.
        RuntimeError: the control plane does not run, or does not know the proxy.
    """
    published = mesh.control.office.publisher.mesh
    scope = _scope(mesh, asked.proxy)
    if published is None or scope is None:
        raise RuntimeError(f"the control plane does not know {asked.proxy.name}")
    world = World(documents, published, complete=True)
    told = Told(headers=asked.headers, address=_address(world.snapshot(scope), asked))
    question = Question(asked.method, asked.url, mode=asked.mode.value, told=told)
    view = Viewpoint(asked.mode, scope, asked.name)
    hops = journey(world, view, believed(question.call(), view))
    located = tuple(attrs.evolve(hop, decision=world.places.locate(hop.decision)) for hop in hops)
    return Explanation(question, located)


def _address(snapshot: Snapshot, asked: Asked) -> str:
    """Where the call's connection goes, "" for where its URL says.

    Applications speak to their sidecar's own port, which takes a host without a
    port for the only one that it knows of that name.
    """
    url = urlsplit(asked.url)
    if asked.mode is not Direction.OUTBOUND or url.port is not None:
        return ""
    known = knowing_tables(snapshot.route_tables, (url.hostname or "").encode())
    return f":{known[0].name}" if len(known) == 1 else ""


def _scope(mesh: Mesh, proxy: ProxyProcess) -> Scope | None:
    name = proxy.status.node
    return next((node.scope for node in mesh.control.office.nodes if node.key.name == name), None)
