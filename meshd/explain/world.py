"""Everything an explanation looks things up in: documents, the mesh they make, what is compiled of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from meshd.api.document import Document
from meshd.control.analysis.pod_facts import Known, PodFacts
from meshd.control.compiler import Memo, compile_snapshot
from meshd.control.compiler.clusters import rules_of
from meshd.control.compiler.world import World as Compilation
from meshd.control.mesh import Mesh
from meshd.control.scope import Scope
from meshd.control.services import Service, Source
from meshd.control.workloads import selects
from meshd.explain.places import Places
from meshd.snapshot.cluster import Cluster
from meshd.snapshot.snapshot import Snapshot

Labels = tuple[tuple[str, str], ...]

MOST_SCOPES = 64
"""How many proxies' snapshots are kept: somebody may ask for any number of namespaces and labels."""


@attrs.define(eq=False)
class World:
    """Made once for a set of documents; several questions share what is compiled.

    ``complete``: the documents are those of a control plane, so that a service
    without endpoints has none. Files alone seldom say where pods run.
    """

    documents: tuple[Document, ...]
    mesh: Mesh
    complete: bool = False
    places: Places = attrs.field(init=False)
    _memo: Memo = attrs.field(factory=Memo, init=False)
    _snapshots: dict[Scope, Snapshot] = attrs.field(factory=dict, init=False)
    _pods: PodFacts | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.places = Places(self.documents)

    @classmethod
    def of(cls, documents: Iterable[Document], *, complete: bool = False) -> World:
        """Put documents in order."""
        found = tuple(documents)
        return cls(found, Mesh.of(found), complete)

    @property
    def pods(self) -> PodFacts:
        """The workloads that documents describe."""
        if self._pods is None:
            self._pods = PodFacts.of(self.documents)
        return self._pods

    def snapshot(self, scope: Scope) -> Snapshot:
        """What a proxy is given."""
        found = self._snapshots.get(scope)
        if found is None:
            if len(self._snapshots) >= MOST_SCOPES:
                self._snapshots.clear()
                self._memo = Memo()
            found = self._snapshots[scope] = compile_snapshot(self.mesh, scope, self._memo)
        return found

    def compilation(self, scope: Scope) -> Compilation:
        """The look-ups that the compiler makes for a proxy."""
        return Compilation(self.mesh, scope, self._memo)

    def service(self, cluster: Cluster, scope: Scope) -> Service | None:
        """The service of a cluster, as a proxy sees it."""
        return self.mesh.service(cluster.service, scope.namespace) if cluster.service else None

    def subset_labels(self, service: Service, subset: str, scope: Scope) -> Labels | None:
        """The labels of a subset, None when there is no such subset."""
        if not subset:
            return ()
        rules = rules_of(self.compilation(scope).destination_rules(service))
        return next((tuple(each.labels.items()) for each in rules.subsets if each.name == subset), None)

    def behind(self, service: Service, subset: Labels = ()) -> tuple[Known, ...]:
        """The workloads that documents describe behind a service (and subset), () when it selects none."""
        if not service.selector:
            return ()
        found = self.pods.select(dict(service.selector), service.namespace)
        return tuple(each for each in found if selects(subset, each.labels))

    def endpoints_known(self, cluster: Cluster, scope: Scope) -> bool:
        """Whether the want of endpoints means that there are none."""
        service = self.service(cluster, scope)
        if self.complete or service is None or service.source is not Source.WORKLOADS:
            return True
        if any(backends for _, backends in self.mesh.backends.get((service.host, service.namespace), ())):
            return True
        if not service.selector:
            # A ServiceEntry says its endpoints; those of a Service may be written elsewhere.
            return not service.registry
        everyone = self.behind(service)
        # Templates tell the labels that pods will have.
        return bool(everyone) and not self.behind(service, self.subset_labels(service, cluster.subset, scope) or ())
